"""Every layout of others against numbers that its own code made: features equal to 1e-5, or the file is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import layer_norm

from sigma import load_encoder
from sigma.checkpoints.encoder import load_encoder_weights
from sigma.checkpoints.files import read_weights
from sigma.checkpoints.layouts import to_ours, told_by
from sigma.checkpoints.severe import from_severe
from sigma.errors import CheckpointError
from sigma.models import R2Plus1D18, VideoViT
from tests.conftest import assert_one_sentence, call_main
from tests.sigma.checkpoints.peers import (
    FRAMES,
    MVD_ARGUMENTS,
    PEERS,
    SIZE,
    VIDEOMAE_ARGUMENTS,
    clip,
    image,
    peer,
)
from tests.sigma.models.test_models import TINY
from tools import convert

PRETRAINED = {'sigma': 16, 'videomae': 16, 'mgmae': FRAMES, 'videomaev2': FRAMES, 'mvd': FRAMES, 'umt': FRAMES}
FINE_TUNED = ('sigma', 'videomae', 'mgmae', 'videomaev2', 'mvd')


def vit(frames: int = FRAMES, **settings) -> VideoViT:
    return VideoViT(TINY, SIZE, frames, **settings).eval()


@torch.no_grad()
def assert_tokens(encoder: VideoViT, wanted, frames: int = FRAMES) -> None:
    torch.testing.assert_close(encoder.encode(clip(frames)), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('name', PRETRAINED)
@pytest.mark.parametrize('prefix', ['', 'module.', '_orig_mod.'])
def test_pretrained_files_give_the_features_of_their_own_code(name, prefix, tmp_path):
    theirs = peer(f'{name}_pretrained')
    file = theirs.save(tmp_path / 'x.pth', prefix=prefix)
    encoder = vit(PRETRAINED[name], tubelet_size=1 if name == 'umt' else 2)
    load_encoder_weights(encoder, file)
    assert_tokens(encoder, theirs.outputs['tokens'], PRETRAINED[name])


@pytest.mark.parametrize('name', FINE_TUNED)
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_fine_tuned_files_give_the_features_of_their_own_code(name, prefix, tmp_path, caplog):
    theirs = peer(f'{name}_finetuned')
    settings = MVD_ARGUMENTS if name == 'mvd' else VIDEOMAE_ARGUMENTS
    file = theirs.save(tmp_path / 'x.pth', 'model', settings, prefix)
    frozen, tuned = vit(), vit(final_norm=False)  # a card builds both
    load_encoder_weights(frozen, file)
    assert 'fc_norm' in caplog.text  # what is left out is said
    assert 'without a norm' in caplog.text
    load_encoder_weights(tuned, file, drop=('norm.',))
    for encoder in (frozen, tuned):
        assert_tokens(encoder, theirs.outputs['tokens'])
    # the head, under our names
    head = to_ours(theirs.tensors, told=told_by({'arguments': settings})).head
    pooled = theirs.outputs['tokens'].mean(1)
    pooled = layer_norm(pooled, pooled.shape[1:], head['fc_norm.weight'], head['fc_norm.bias'], eps=1e-6)
    torch.testing.assert_close(
        pooled @ head['fc.weight'].T + head['fc.bias'], theirs.outputs['logits'], atol=1e-6, rtol=1e-6
    )


@pytest.mark.parametrize('name', ['videomae', 'mvd'])
def test_a_fine_tuned_file_that_does_not_say_its_positions_is_refused_until_told(name, tmp_path, capsys):
    theirs = peer(f'{name}_finetuned')
    file = theirs.save(tmp_path / 'x.pth', under='module')  # as DeepSpeed writes it, without args
    with pytest.raises(CheckpointError, match='which positions .*--positions videomae or --positions mvd'):
        load_encoder_weights(vit(), file)
    out = tmp_path / 'x.safetensors'
    assert_one_sentence(call_main(convert.main, capsys, file, out), 'x.pth', '--positions')
    assert not out.exists()
    sizes = ('--num-frames', FRAMES, '--image-size', SIZE)
    done = call_main(convert.main, capsys, file, out, '--positions', name, *sizes)
    assert done.returncode == 0, done.stderr
    for source, positions in ((file, name), (out, None)):
        encoder = vit()
        load_encoder_weights(encoder, source, positions=positions)
        assert_tokens(encoder, theirs.outputs['tokens'])
    known = theirs.save(tmp_path / 'known.pth', arguments=MVD_ARGUMENTS if name == 'mvd' else VIDEOMAE_ARGUMENTS)
    other = 'videomae' if name == 'mvd' else 'mvd'
    with pytest.raises(CheckpointError, match=f"{other} were asked for, .* {name}'s"):
        load_encoder_weights(vit(), known, positions=other)


def test_own_positions_stay_with_a_model_that_is_saved_and_loaded(tmp_path):
    theirs = peer('mvd_finetuned')
    encoder, again = vit(), vit()
    assert 'positions' not in encoder.state_dict()
    load_encoder_weights(encoder, theirs.save(tmp_path / 'x.pth', arguments=MVD_ARGUMENTS))
    again.norm = torch.nn.Identity()
    again.load_state_dict(encoder.state_dict())
    assert_tokens(again, theirs.outputs['tokens'])
    assert again.fixed_length


def test_layer_scale_is_folded_and_learned_positions_travel(tmp_path):
    for name in ('videomae_layerscale', 'videomae_learned'):
        theirs = peer(name)
        encoder = vit()
        load_encoder_weights(encoder, theirs.save(tmp_path / 'x.pth', arguments=VIDEOMAE_ARGUMENTS))
        assert_tokens(encoder, theirs.outputs['tokens'])
    learned = peer('videomae_pretrained')
    positions = torch.randn(32, 48)
    tensors = learned.tensors | {'encoder.pos_embed': positions[None]}
    torch.testing.assert_close(to_ours(tensors).encoder['positions'], positions)
    theirs = peer('umt_finetuned')
    encoder = vit(tubelet_size=1)
    load_encoder_weights(encoder, theirs.save(tmp_path / 'x.pth', arguments=VIDEOMAE_ARGUMENTS))
    assert_tokens(encoder, theirs.outputs['tokens'])


def test_v_jepa_is_read_from_its_target_encoder(tmp_path):
    theirs = peer('vjepa')
    wrong = {f'module.backbone.{name}': 0 * tensor for name, tensor in theirs.tensors.items()}
    right = {f'module.backbone.{name}': tensor for name, tensor in theirs.tensors.items()}
    torch.save({'encoder': wrong, 'predictor': {}, 'target_encoder': right, 'epoch': 3}, tmp_path / 'x.pth')
    encoder = vit()
    load_encoder_weights(encoder, tmp_path / 'x.pth')
    assert_tokens(encoder, theirs.outputs['tokens'])


@pytest.mark.parametrize(
    ('name', 'found'),
    [
        ('videomaev2_cosine', 'cosine attention'),
        ('vjepa2', 'V-JEPA 2'),
        ('svt', 'TimeSformer and SVT'),
        ('timesformer', 'TimeSformer and SVT'),
    ],
)
def test_other_networks_are_refused_by_every_conversion(name, found, tmp_path, capsys):
    prefix = {'svt': 'backbone.', 'timesformer': 'model.'}.get(name, '')
    file = peer(name).save(tmp_path / 'x.pth', arguments=VIDEOMAE_ARGUMENTS, prefix=prefix)
    if name == 'vjepa2':
        file = peer(name).save(tmp_path / 'x.pth')
    if prefix:  # taken for an image encoder by their kernel
        lines = [('--inflate', 4), ('--to', 'timm')]
    else:
        lines = [('--to', layout) for layout in ('sigma', 'mmaction', 'hf', 'published')]
        with pytest.raises(CheckpointError, match=found):
            load_encoder_weights(vit(), file)
    for line in lines:
        done = call_main(convert.main, capsys, file, tmp_path / 'o.safetensors', *line)
        assert_one_sentence(done, 'x.pth')
        assert found in done.stderr or line[1] == 'timm'
        assert not (tmp_path / 'o.safetensors').exists()


@torch.no_grad()
@pytest.mark.parametrize('name', ['dino', 'dinov2', 'dinov2_chunked', 'dinov2_reg4'])
def test_image_encoders_become_timms_with_their_own_features(name, tmp_path, capsys):
    import timm  # after sigma.compat

    theirs = peer(name)
    heads = {'dino_head.mlp.0.weight': torch.ones(2, 48), 'ibot_head.last_layer.weight': torch.ones(2, 2)}
    tensors = {f'backbone.{n}': tensor for n, tensor in theirs.tensors.items()}
    torch.save({'teacher': tensors | heads}, tmp_path / 'teacher_checkpoint.pth')
    out = tmp_path / 'o.safetensors'
    done = call_main(convert.main, capsys, tmp_path / 'teacher_checkpoint.pth', out, '--to', 'timm')
    assert done.returncode == 0, done.stderr
    assert 'dino_head.mlp.0.weight' in done.stdout
    size, patch = (32, 16) if name == 'dino' else (56, 14)
    more = {} if name == 'dino' else {'init_values': 1.0}
    more |= {'reg_tokens': 4, 'no_embed_class': True} if name == 'dinov2_reg4' else {}
    model = timm.models.VisionTransformer(size, patch, num_classes=0, embed_dim=48, depth=2, num_heads=4, **more).eval()
    model.load_state_dict(load_file(out), strict=True)
    found = model.forward_features(image(size))[:, model.num_prefix_tokens :]
    torch.testing.assert_close(found, theirs.outputs['tokens'], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('method', [m for m in json.loads((PEERS / 'severe.json').read_text()) if m != 'torchvision'])
def test_files_of_severe_get_the_names_that_its_loader_gives(method, tmp_path):
    table = json.loads((PEERS / 'severe.json').read_text())
    names, entry = table['torchvision'], table[method]
    tensors = {name: torch.full((1, 1, 1, 1, 1), float(i)) for i, name in enumerate(entry['names'])}
    tensors |= {name: torch.zeros(1) for name in entry['left_out']}
    torch.save({entry['under']: tensors} if entry['under'] else tensors, tmp_path / 'x.pth')
    found, left_out = from_severe(read_weights(tmp_path / 'x.pth').tensors)
    assert {n: t.item() for n, t in found.items() if n != 'fc.weight'} == {n: i for i, n in enumerate(names)}
    assert set(left_out) | {n for n in found if n == 'fc.weight'} == set(entry['left_out'])


@pytest.mark.integration
def test_a_whole_file_of_severe_loads(tmp_path, capsys):
    torch.manual_seed(0)
    theirs, ours = R2Plus1D18(), R2Plus1D18()
    torch.save({'model': {f'video_network.base.{n}': t for n, t in theirs.state_dict().items()}}, tmp_path / 'gdt.pth')
    load_encoder_weights(ours, tmp_path / 'gdt.pth', 'r2plus1d', ('fc.',))
    assert all(torch.equal(t, ours.state_dict()[n]) for n, t in theirs.state_dict().items())
    out = tmp_path / 'o.safetensors'
    assert call_main(convert.main, capsys, tmp_path / 'gdt.pth', out).returncode == 0
    assert set(load_file(out)) == set(theirs.state_dict())


def test_tclr_is_refused_by_name(tmp_path, capsys):
    kernel, third = torch.zeros(45, 3, 1, 7, 7), torch.zeros(8, 4, 3, 3, 3)
    tclr = {'module.0.stem.0.weight': kernel, 'module.0.layer4.0.conv1.0.weight': third}
    torch.save({'state_dict': tclr}, tmp_path / 'tclr.pth')
    with pytest.raises(CheckpointError, match='TCLR'):
        load_encoder_weights(torch.nn.Linear(1, 1), tmp_path / 'tclr.pth', 'r2plus1d')
    done = call_main(convert.main, capsys, tmp_path / 'tclr.pth', tmp_path / 't.safetensors')
    assert_one_sentence(done, 'TCLR')


def test_load_encoder_takes_a_fine_tuned_file(tmp_path):
    theirs = peer('mvd_finetuned')
    file = theirs.save(tmp_path / 'x.pth', arguments=MVD_ARGUMENTS)
    assert_tokens(load_encoder(file, TINY, SIZE, FRAMES), theirs.outputs['tokens'])
