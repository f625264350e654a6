"""What a weights file says about itself: read without torch, checked against its tensors, never trusted blindly."""

import copy
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from sigma import load_encoder
from sigma.checkpoints import described
from sigma.checkpoints.encoder import read_encoder
from sigma.checkpoints.files import read_training_state, read_weights, save_tensors, save_training_state
from sigma.checkpoints.layouts import from_ours, to_ours
from sigma.data.cards import read_config
from sigma.errors import CheckpointError
from sigma.flops import config_flops
from sigma.models import VideoViT
from sigma.revision import git_state
from tests.conftest import DEMO, ROOT, call_main, demo_options
from tools import train

ARCH = {'embed_dims': 48, 'depth': 2, 'num_heads': 4}  # not a published width: heads must be told
CARD = {
    'version': 1,
    'backbone': {
        'type': 'sigma.VideoViT',
        'arch': ARCH,
        'image_size': 32,
        'num_frames': 4,
        'patch_size': 16,
        'tubelet_size': 2,
        'final_norm': True,
    },
    'clip': {'num_frames': 4, 'stride_frames': 3, 'size': 32},
    'mean': [127.5, 127.5, 127.5],
    'std': [50.0, 51.0, 52.0],
    'pretraining_data': 'waves, train split, no labels',
    'source': 'SIGMA pretraining, config waves',
    'training': {'config': 'waves', 'epochs': 2, 'iters': 10},
}


def changed(**paths) -> dict:
    """The card with fields replaced: `backbone__image_size=33`."""
    card = copy.deepcopy(CARD)
    for path, value in paths.items():
        *folders, name = path.split('__')
        place = card
        for folder in folders:
            place = place[folder]
        place[name] = value
    return card


@pytest.fixture(scope='module')
def vit() -> VideoViT:
    torch.manual_seed(0)
    return VideoViT(ARCH, image_size=32, num_frames=4).eval()


@pytest.mark.parametrize('layout', ['sigma', 'published', 'mmaction', 'hf'])
def test_a_card_is_read_beside_tensors_of_any_layout(vit, layout, tmp_path):
    tensors, _ = from_ours(to_ours(vit.state_dict()), layout)
    path = save_tensors(tmp_path / 'x.safetensors', tensors, {'kind': 'weights', 'card': CARD})
    assert described.card_of_file(path) == CARD


def test_a_training_state_describes_itself_too(vit, tmp_path):
    tensors = {f'encoder.{name}': tensor for name, tensor in vit.state_dict().items()}
    state = {'meta': {'iter': 3, 'card': CARD}, 'state_dict': tensors, 'random': {'0': (1, [2])}}
    path = save_training_state(tmp_path / 'iter_3.safetensors', state)
    assert described.card_of_file(path) == CARD
    assert load_encoder(path).blocks[0].attn.num_heads == 4


def test_files_without_a_card_have_none(vit, tmp_path):
    save_file(dict(vit.state_dict()), tmp_path / 'other.safetensors')
    old = save_tensors(tmp_path / 'old.safetensors', vit.state_dict(), {'kind': 'encoder'})
    torch.save(vit.state_dict(), tmp_path / 'x.pth')
    assert [described.card_of_file(p) for p in (tmp_path / 'other.safetensors', old, tmp_path / 'x.pth')] == [None] * 3


def test_the_encoder_of_a_file_is_what_it_says(vit, tmp_path):
    path = save_tensors(tmp_path / 'encoder.safetensors', vit.state_dict(), {'kind': 'encoder', 'card': CARD})
    clip = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(load_encoder(path)(clip), vit(clip))
    assert load_encoder(path, num_frames=8).grid == (4, 2, 2)  # what the caller asks for comes first
    with pytest.raises(CheckpointError, match='4 heads, but 3'):
        load_encoder(path, arch=ARCH | {'num_heads': 3})


@pytest.mark.parametrize(
    ('card', 'words'),
    [
        (changed(backbone__arch__embed_dims=64), ('embed_dims 64', '48')),
        (changed(backbone__arch__depth=3), ('depth 3', '2')),
        (changed(backbone__patch_size=8), ('patch_size 8', '16')),
        (changed(backbone__tubelet_size=1), ('tubelet_size 1', '2')),
        (changed(backbone__arch__num_heads=5), ('embed_dims 48', 'num_heads 5')),
        (changed(backbone__image_size=33), ('image_size 33',)),
        (changed(clip__size=64), ('clip.size 64', 'image_size 32')),
        (changed(backbone__type='os.system'), ('os.system', 'sigma.VideoViT')),
        (changed(backbone__checkpoint='/etc/passwd'), ('checkpoint',)),
        (changed(backbone__arch='base'), ('arch.embed_dims',)),
        (changed(backbone__num_frames=True), ('num_frames', 'True')),
        (changed(backbone__final_norm=1), ('final_norm',)),
        (changed(clip__stride_frames=0), ('stride_frames',)),
        (changed(std=[1, 0, 1]), ('std',)),
        (changed(mean='ImageNet'), ('mean',)),
        (changed(version=2), ('version 2', 'update')),
        (changed(version=None), ('version',)),
        ({}, ('version',)),
        ([], ('list',)),
    ],
)
def test_a_card_that_contradicts_its_tensors_or_asks_for_more_is_refused(vit, tmp_path, card, words):
    path = save_tensors(tmp_path / 'encoder.safetensors', vit.state_dict(), {'kind': 'encoder', 'card': card})
    for read in (described.card_of_file, load_encoder, read_encoder):
        with pytest.raises(CheckpointError, match=r'encoder\.safetensors') as caught:
            read(path)
        assert all(word in str(caught.value) for word in words), caught.value


def test_tensors_other_than_those_written_are_refused(vit, tmp_path):
    other = {name: tensor + 1 for name, tensor in vit.state_dict().items()}
    path = save_tensors(tmp_path / 'x.safetensors', other, {'kind': 'encoder', 'sha256': '0' * 64})
    with pytest.raises(CheckpointError, match=r'x\.safetensors is damaged'):
        load_encoder(path, arch=ARCH, image_size=32, num_frames=4)


@pytest.mark.parametrize(
    'content',
    [b'', b'\x08', b'\xff' * 64, (2).to_bytes(8, 'little') + b'[]', (9).to_bytes(8, 'little') + b'{"a": [1]}'],
)
def test_a_file_that_is_no_safetensors_file_is_named(tmp_path, content):
    path = tmp_path / 'x.safetensors'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r'x\.safetensors is damaged'):
        described.card_of_file(path)


def test_reading_a_card_imports_no_torch():
    code = (
        'import sys; from sigma.checkpoints import described; '
        'print([m for m in ("torch", "numpy", "safetensors") if m in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_a_training_writes_the_card_of_its_encoder(toy, tmp_path, capsys):
    work = tmp_path / 'mine'
    done = call_main(train.main, capsys, DEMO, '--work-dir', work, *demo_options(toy, train_cfg__max_epochs=1))
    assert done.returncode == 0, done.stderr
    card = described.card_of_file(work / 'encoder.safetensors')
    state = read_training_state(work / 'iter_5.safetensors')
    assert described.card_of_file(work / 'iter_5.safetensors') == state['meta']['card']
    commit = {key: card['training'].pop(key) for key in ('commit', 'clean')}
    assert commit == git_state()
    assert card == state['meta']['card']  # without the commit: a resumed state equals one that was never interrupted
    assert card['backbone'] == {
        'type': 'sigma.VideoViT',
        'arch': {'embed_dims': 128, 'depth': 4, 'num_heads': 4},
        'image_size': 64,
        'num_frames': 16,
        'patch_size': 16,
        'tubelet_size': 2,
        'final_norm': True,
    }
    assert card['clip'] == {'num_frames': 16, 'stride_frames': 2, 'size': 64}
    assert card['mean'] == [123.675, 116.28, 103.53]
    assert card['std'] == [58.395, 57.12, 57.375]
    assert card['pretraining_data'] == 'toy, train split, no labels'
    assert card['source'] == 'SIGMA pretraining, config demo_sigma-mlp_vit-t_toy'
    training = card['training']
    assert (training['config'], training['epochs'], training['iters']) == ('demo_sigma-mlp_vit-t_toy', 1, 5)
    assert training['config_sha256'] == read_weights(work / 'encoder.safetensors').header['config_sha256']
    assert set(training) == {'config', 'config_sha256', 'epochs', 'iters', 'flops'}
    assert training['flops'] == 5 * 8 * sum(config_flops(read_config(DEMO)).values())  # five steps of eight clips
    assert json.loads(json.dumps(card)) == card
    encoder = load_encoder(work / 'encoder.safetensors')
    assert encoder.grid == (8, 4, 4)
