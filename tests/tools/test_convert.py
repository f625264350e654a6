"""Converting a whole model between layouts, from the command."""

import argparse
import json
import os
import signal
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sigma import load_encoder
from sigma.checkpoints import files as checkpoints
from sigma.checkpoints.described import card_of_file
from sigma.checkpoints.files import read_weights_apart, save_tensors
from sigma.checkpoints.mmaction import to_mmaction
from sigma.checkpoints.published import to_published
from sigma.errors import CheckpointError
from sigma.models import VideoViT
from tests.conftest import assert_one_sentence, call_main, crash
from tests.sigma.checkpoints.test_checkpoints import Hostile
from tests.sigma.checkpoints.test_described import ARCH, CARD
from tests.sigma.models.test_models import tiny_sigma
from tools import convert


def test_a_released_file_becomes_an_encoder_of_either_kind(tmp_path, capsys):
    model = tiny_sigma()
    torch.save({'model': to_published(model.state_dict()), 'epoch': 3}, tmp_path / 'released.pth')
    wanted = model.encoder.state_dict()
    for layout, tensors in (('sigma', wanted), ('mmaction', to_mmaction(wanted))):
        out = tmp_path / f'{layout}.safetensors'
        done = call_main(convert.main, capsys, tmp_path / 'released.pth', out, '--to', layout)
        assert done.returncode == 0
        assert 'decoder.mask_token' in done.stdout  # what has no place is named
        found = load_file(out)
        assert set(found) == set(tensors)
        for name in found:
            torch.testing.assert_close(found[name], tensors[name])


def test_there_and_back_is_the_same_file(tmp_path, capsys):
    published = to_published(tiny_sigma().state_dict())
    torch.save({'model': published}, tmp_path / 'released.pth')
    out = tmp_path / 'again.safetensors'
    assert call_main(convert.main, capsys, tmp_path / 'released.pth', out, '--to', 'published').returncode == 0
    found = load_file(out)
    assert set(found) == set(published)
    assert all(torch.equal(found[name], published[name]) for name in found)


def test_a_fine_tuned_vit_loses_its_classifier_by_name(tmp_path, capsys):
    tensors = to_published(tiny_sigma().state_dict())
    vit = {k.removeprefix('encoder.'): v for k, v in tensors.items() if k.startswith('encoder.')}
    vit |= {'fc_norm.weight': torch.ones(48), 'head.weight': torch.ones(7, 48)}
    torch.save({'module': vit}, tmp_path / 'tuned.pth')
    done = call_main(convert.main, capsys, tmp_path / 'tuned.pth', tmp_path / 'x.safetensors')
    assert '2 tensors have no place there and were left out: fc_norm.weight, head.weight' in done.stdout


def test_bad_input_ends_in_one_sentence_and_writes_nothing(tmp_path, capsys):
    torch.save({'model': {'x': torch.ones(1)}}, tmp_path / 'x.pth')
    out = tmp_path / 'out.safetensors'
    assert_one_sentence(call_main(convert.main, capsys, tmp_path / 'none.pth', out), 'none.pth is not there')
    assert_one_sentence(call_main(convert.main, capsys, tmp_path / 'x.pth', out), 'no video transformer')
    assert_one_sentence(call_main(convert.main, capsys, tmp_path / 'x.pth', tmp_path / 'o.pth'), 'must end in')
    assert not out.exists()
    out.write_bytes(b'mine')
    assert_one_sentence(call_main(convert.main, capsys, tmp_path / 'x.pth', out), 'already exists')
    assert out.read_bytes() == b'mine'
    save_file(dict(tiny_sigma().state_dict()), tmp_path / 'ours.safetensors')
    no_folder = out / 'in_a_file' / 'o.safetensors'
    done = call_main(convert.main, capsys, tmp_path / 'ours.safetensors', no_folder)
    assert_one_sentence(done, 'o.safetensors could not be written')
    assert 'Errno' not in str(done)


def test_transformers_folder_has_weights_and_config(tmp_path, capsys):
    save_file(dict(tiny_sigma().state_dict()), tmp_path / 'ours.safetensors')
    out = tmp_path / 'hub' / 'model.safetensors'
    arguments = (tmp_path / 'ours.safetensors', out, '--to', 'hf', '--image-size', 64, '--num-frames', 4)
    assert_one_sentence(call_main(convert.main, capsys, *arguments), 'width 48', '--heads')
    done = call_main(convert.main, capsys, *arguments, '--heads', 4)
    assert_one_sentence(done, 'width 32', '--decoder-heads')
    assert not out.parent.exists()
    arguments = (*arguments, '--heads', 4, '--decoder-heads', 2)
    done = call_main(convert.main, capsys, *arguments)
    assert done.returncode == 0, done.stderr
    assert 'prototypes' in done.stdout  # no place there, by name
    config = json.loads((out.parent / 'config.json').read_text())
    assert (config['image_size'], config['num_frames'], config['layer_norm_eps']) == (64, 4, 1e-6)
    assert 'videomae.encoder.layer.1.attention.attention.v_bias' in load_file(out)
    with safe_open(out, 'pt') as file:
        assert file.metadata()['format'] == 'pt'  # transformers refuses a file that does not say so
    out.unlink()
    done = call_main(convert.main, capsys, *arguments)
    assert_one_sentence(done, 'config.json already exists')


def test_a_file_that_describes_itself_is_converted_with_its_own_sizes(tmp_path, capsys):
    torch.manual_seed(0)
    vit = VideoViT(ARCH, image_size=32, num_frames=4).eval()
    source = save_tensors(tmp_path / 'encoder.safetensors', vit.state_dict(), {'kind': 'encoder', 'card': CARD})
    hub = tmp_path / 'hub' / 'model.safetensors'
    done = call_main(convert.main, capsys, source, hub, '--to', 'hf')
    assert 'clips of 4 frames of 32 pixels\n' in done.stdout, done.stderr
    config = json.loads(hub.with_name('config.json').read_text())
    found = [config[key] for key in ('image_size', 'num_frames', 'tubelet_size', 'patch_size', 'num_attention_heads')]
    assert found == [32, 4, 2, 16, 4]
    for layout in ('sigma', 'mmaction', 'published', 'hf'):  # and again from each of them
        out = tmp_path / layout / 'x.safetensors'
        done = call_main(convert.main, capsys, hub, out, '--to', layout)
        assert done.returncode == 0, done.stderr
        assert card_of_file(out) == CARD
        clip = torch.randn(1, 3, 4, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(load_encoder(out)(clip), vit(clip), atol=1e-5, rtol=1e-5)
    done = call_main(convert.main, capsys, source, tmp_path / 'y.safetensors', '--to', 'hf', '--heads', 3)
    assert_one_sentence(done, '4 heads, not 3')
    done = call_main(convert.main, capsys, source, tmp_path / 'y.safetensors', '--card', 'random')
    assert_one_sentence(done, 'describes itself', '--card random')


def test_a_card_describes_a_file_of_others_once_and_for_all(tmp_path, capsys):
    vit = VideoViT('tiny', image_size=64).eval()
    torch.save({'model': to_published(vit.state_dict())}, tmp_path / 'released.pth')
    out, wrong = tmp_path / 'out.safetensors', tmp_path / 'wrong.safetensors'
    assert call_main(convert.main, capsys, tmp_path / 'released.pth', out, '--card', 'random').returncode == 0
    card = card_of_file(out)
    assert card['backbone']['arch'] == {'embed_dims': 128, 'depth': 4, 'num_heads': 4}
    assert card['clip'] == {'num_frames': 16, 'stride_frames': 2, 'size': 64}
    assert card['source'] == 'released.pth'
    assert card['pretraining_data'].startswith('not stated')
    assert load_encoder(out).grid == (8, 4, 4)
    for name, words in (('vit_b', ('768', '128')), ('r2plus1d_18', ('R2Plus1D18',)), ('vit_bb', ('vit_b',))):
        done = call_main(convert.main, capsys, tmp_path / 'released.pth', wrong, '--card', name)
        assert_one_sentence(done, *words)
        assert not wrong.exists()
    done = call_main(convert.main, capsys, tmp_path / 'released.pth', tmp_path / 'hub' / 'm.safetensors', '--to', 'hf')
    assert 'clips of 16 frames of 224 pixels (assumed: neither IN nor --card says it)' in done.stdout


def test_an_image_encoder_becomes_a_teacher_or_is_inflated(tmp_path, capsys):
    import timm  # after sigma.compat

    state = timm.create_model('vit_tiny_patch16_224', img_size=32, depth=2, num_classes=5).state_dict()
    torch.save({'teacher': {f'backbone.{k}': v for k, v in state.items()}}, tmp_path / 'dino.pth')
    done = call_main(convert.main, capsys, tmp_path / 'dino.pth', tmp_path / 't.safetensors', '--to', 'timm')
    assert done.returncode == 0, done.stderr
    assert set(load_file(tmp_path / 't.safetensors')) == {k for k in state if not k.startswith('head.')}
    done = call_main(convert.main, capsys, tmp_path / 'dino.pth', tmp_path / 'v.safetensors')
    assert_one_sentence(done, '--inflate FRAMES')
    done = call_main(convert.main, capsys, tmp_path / 'dino.pth', tmp_path / 'v.safetensors', '--inflate', 4)
    assert done.returncode == 0, done.stderr
    assert 'left out: backbone.head.bias, backbone.head.weight, cls_token' in done.stdout
    assert load_file(tmp_path / 'v.safetensors')['positions'].shape == (8, 192)
    save_file(dict(tiny_sigma().state_dict()), tmp_path / 'ours.safetensors')
    done = call_main(convert.main, capsys, tmp_path / 'ours.safetensors', tmp_path / 'o.safetensors', '--to', 'timm')
    assert_one_sentence(done, 'layout of image encoders')
    done = call_main(convert.main, capsys, tmp_path / 'ours.safetensors', tmp_path / 'o.safetensors', '--inflate', 4)
    assert_one_sentence(done, 'already is a video transformer')
    line = (tmp_path / 'dino.pth', tmp_path / 'o.safetensors', '--to', 'timm', '--inflate', 4)
    assert_one_sentence(call_main(convert.main, capsys, *line), '--inflate gives a video encoder')


@pytest.mark.parametrize(
    'wrap',
    [
        lambda weights: {'model_ema': weights, 'epoch': 3},
        lambda weights: {'model': weights, 'model_ema': {k: 0 * v for k, v in weights.items()}},
        lambda weights: {'state_dict': {'model': weights}},
        lambda weights: {'model': {'state_dict': weights}, 'optimizer': {'state': {}}},
    ],
)
def test_weights_are_found_in_the_dictionaries_of_other_trainers(wrap, tmp_path, capsys):
    vit = to_published(tiny_sigma().state_dict())
    torch.save(wrap(vit), tmp_path / 'x.pth')
    done = call_main(convert.main, capsys, tmp_path / 'x.pth', tmp_path / 'o.safetensors', '--to', 'published')
    assert done.returncode == 0, done.stderr
    found = load_file(tmp_path / 'o.safetensors')
    assert set(found) == set(vit)
    assert all(torch.equal(found[name], vit[name]) for name in vit)


def test_what_a_released_file_says_of_its_training_is_told_and_kept(tmp_path, capsys):
    settings = argparse.Namespace(epochs=1601, start_epoch=740, lr=2.8e-4, model='pretrain_videomae_base_patch16_224')
    weights = to_published(tiny_sigma().state_dict())
    torch.save({'model': weights, 'epoch': 799, 'args': settings}, tmp_path / 'x.pth')
    out = tmp_path / 'o.safetensors'
    done = call_main(convert.main, capsys, tmp_path / 'x.pth', out)
    assert 'the file says about its training: epoch 799, epochs 1601, start_epoch 740' in done.stdout
    with safe_open(out, 'pt') as file:
        told = json.loads(file.metadata()['sigma'])['training']
    assert told == {'epoch': 799, 'epochs': 1601, 'start_epoch': 740}


def test_a_dictionary_that_holds_itself_is_no_trap(tmp_path, capsys):
    circle = {'epoch': 3}
    circle['model'] = circle
    torch.save(circle, tmp_path / 'x.pth')
    assert_one_sentence(
        call_main(convert.main, capsys, tmp_path / 'x.pth', tmp_path / 'o.safetensors'), 'no named tensors'
    )


def test_a_file_without_weights_says_what_it_holds(tmp_path, capsys):
    torch.save({'averaged': {'w': torch.ones(1)}, 'step': 4}, tmp_path / 'x.pth')
    done = call_main(convert.main, capsys, tmp_path / 'x.pth', tmp_path / 'o.safetensors')
    assert_one_sentence(done, 'model_ema, state_dict_ema, ema; found averaged, step.')


def test_a_hostile_pickle_is_refused_and_never_executed(tmp_path, capsys):
    torch.save({'model': {'w': torch.ones(1)}, 'x': Hostile(tmp_path / 'written')}, tmp_path / 'bad.pth')
    done = call_main(convert.main, capsys, tmp_path / 'bad.pth', tmp_path / 'out.safetensors')
    assert_one_sentence(done, 'bad.pth', 'refused without running it')
    assert not (tmp_path / 'written').exists()
    assert not (tmp_path / 'out.safetensors').exists()


@pytest.mark.parametrize(
    ('accident', 'sentence'),
    [
        (lambda *args, **kwargs: crash(signal.SIGSEGV), 'SIGSEGV'),
        (lambda *args, **kwargs: os._exit(7), 'status 7'),
        (lambda *args, **kwargs: time.sleep(60), '0.5 s'),
    ],
)
def test_a_reader_that_dies_or_hangs_is_one_sentence(tmp_path, monkeypatch, accident, sentence):
    torch.save({'model': {'w': torch.ones(1)}}, tmp_path / 'x.pth')
    assert list(read_weights_apart(tmp_path / 'x.pth').tensors) == ['w']
    monkeypatch.setattr(checkpoints.torch, 'load', accident)
    with pytest.raises(CheckpointError, match=f'x.pth .*{sentence}'):
        read_weights_apart(tmp_path / 'x.pth', seconds=0.5 if '0.5' in sentence else 60)
