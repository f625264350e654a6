"""Checkpoint files: written whole or not at all, nothing executed, every tensor placed."""

import argparse
import datetime
import gzip
import json
import os
import pickle
import random
import sys
import types
import warnings
import zipfile
from collections import OrderedDict, defaultdict, deque
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sigma.checkpoints import files as checkpoints
from sigma.checkpoints.files import (
    load_strictly,
    read_training_state,
    read_weights,
    read_weights_apart,
    save_tensors,
    save_training_state,
    sha256_of_tensors,
)
from sigma.checkpoints.published import from_published, to_published
from sigma.errors import CheckpointError
from tests.sigma.models.test_models import tiny_sigma


class Hostile:
    """Unpickling this would write a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), 'w')


def test_training_state_comes_back_equal(tmp_path):
    state = {
        'meta': {'epoch': 3, 'iter': 17, 'name': 'x', 'flag': True, 'none': None, 'share': 0.1},
        'optimizer': {
            'state': {0: {'step': torch.tensor(4.0)}, 7: {'avg': torch.randn(2, 3)}},
            'groups': [{'betas': (0.9, 0.95)}],
        },
        'state_dict': {'a.b': torch.arange(4), 'half': torch.randn(3).bfloat16()},
    }
    found = read_training_state(save_training_state(tmp_path / 'x.safetensors', state))
    assert found['meta'] == state['meta']
    assert list(found['optimizer']['state']) == [0, 7]
    assert found['optimizer']['groups'] == [{'betas': (0.9, 0.95)}]
    torch.testing.assert_close(found['optimizer']['state'][7]['avg'], state['optimizer']['state'][7]['avg'])
    assert found['state_dict']['half'].dtype == torch.bfloat16
    assert torch.equal(read_weights(tmp_path / 'x.safetensors').tensors['a.b'], torch.arange(4))


def test_what_is_no_plain_value_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(TypeError, match='model/thing is a'):
        save_training_state(tmp_path / 'x.safetensors', {'model': {'thing': object()}})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = save_tensors(tmp_path / 'x.safetensors', {'a': torch.ones(2)}, {})
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(checkpoints.os, 'fsync', full)
    with pytest.raises(CheckpointError, match='No space left'):
        save_tensors(path, {'a': torch.zeros(2)}, {})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ['x.safetensors']


def test_a_file_may_be_read_by_whom_the_umask_lets(tmp_path):
    before = os.umask(0o027)
    try:
        path = save_tensors(tmp_path / 'x.safetensors', {'a': torch.ones(2)}, {'kind': 'encoder'})
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_hostile_pickle_is_refused_and_never_executed(tmp_path, recwarn):
    target = tmp_path / 'written'
    for name, content in (
        ('bare.pth', Hostile(target)),
        ('inside.pth', {'model': {'w': torch.ones(1)}, 'x': Hostile(target)}),
    ):
        torch.save(content, tmp_path / name)
        with pytest.raises(CheckpointError, match='without running it'):
            read_weights(tmp_path / name)
    (tmp_path / 'old.pkl').write_bytes(pickle.dumps(Hostile(target)))
    with pytest.raises(CheckpointError):
        read_weights(tmp_path / 'old.pkl')
    assert not target.exists()
    assert not recwarn.list  # our error alone, without torch's warning about the pickle protocol


def test_released_files_with_argparse_arguments_are_read(tmp_path):
    content = {'model': {'encoder.norm.weight': torch.ones(3)}, 'args': argparse.Namespace(lr=1e-3), 'epoch': 1}
    torch.save(content, tmp_path / 'released.pth')
    assert list(read_weights(tmp_path / 'released.pth').tensors) == ['encoder.norm.weight']


MEDIA = Path(__file__).parents[4] / 'shared' / 'cases' / 'media'


def data_class(module: str, name: str, base: type = object) -> type:
    """A class that pickles under a foreign name, as the file of someone who has that package does."""
    made = type(name, (base,), {})
    made.__module__ = module
    home = sys.modules.setdefault(module, types.ModuleType(module))
    setattr(home, name, made)
    return made


@pytest.mark.parametrize('name', ['mmaction2_epoch_1', 'numpy_args'])
def test_files_of_mmaction2_and_of_numpy_users_are_read(name):
    file = MEDIA / f'{name}.pth'
    if not file.is_file():
        pytest.skip('the cases of ../shared are not here')
    for read in (read_weights, read_weights_apart):
        tensors = read(file).tensors
        assert len(tensors) == {'mmaction2_epoch_1': 33, 'numpy_args': 54}[name]
        assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_objects_that_only_hold_data_are_passed_over(tmp_path, monkeypatch):
    from mmengine.config import ConfigDict
    from mmengine.logging import HistoryBuffer

    history = HistoryBuffer([1.0, 2.0], [1, 1])
    monkeypatch.setattr(HistoryBuffer, '__setstate__', lambda *a: pytest.fail('the real class was used'), raising=False)
    monkeypatch.setattr(HistoryBuffer, '__init__', lambda *a: pytest.fail('the real class was used'))
    settings = argparse.Namespace(
        output_dir=Path('runs'), lr=np.float64(1e-3), epochs=30, betas=np.ones(2), use_cls_token=np.bool_(False)
    )
    content = {
        'state_dict': {'w': torch.arange(3.0)},
        'args': settings,
        'hub': {'loss': history},
        'cfg': ConfigDict(a=1, b={'c': 2}),
        'queue': deque([1.0, np.float32(2)], maxlen=5),
        'counts': defaultdict(list, {'a': [1]}),
        'when': datetime.datetime(2026, 1, 2),
        'seen': OrderedDict(a=Path('x')),
    }
    for is_zip in (True, False):
        torch.save(content, tmp_path / 'x.pth', _use_new_zipfile_serialization=is_zip)
        weights = read_weights(tmp_path / 'x.pth')
        assert {name: tensor.tolist() for name, tensor in weights.tensors.items()} == {'w': [0, 1, 2]}
        assert weights.header['training'] == {'epochs': 30}
        assert weights.header['arguments'] == {
            'output_dir': None,
            'lr': None,
            'epochs': 30,
            'betas': None,
            'use_cls_token': None,
        }  # the names count, also of what is no plain value


def test_an_unknown_class_is_named_with_the_way_out(tmp_path):
    thing = data_class('somebodys_trainer', 'Meter')()
    for is_zip in (True, False):
        torch.save(
            {'model': {'w': torch.ones(1)}, 'meter': thing}, tmp_path / 'x.pth', _use_new_zipfile_serialization=is_zip
        )
        with pytest.raises(CheckpointError, match=r'somebodys_trainer\.Meter .*without running it.*state_dict'):
            read_weights(tmp_path / 'x.pth')


def zip_of(path, *names):
    with zipfile.ZipFile(path, 'w') as archive:
        for name in names:
            archive.writestr(name, b'x' * 100)
    return path.read_bytes()


def test_what_is_no_checkpoint_is_called_what_it_is(tmp_path):
    weights = tmp_path / 'w.pth'
    torch.save({'a': torch.ones(2000)}, weights)
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / 'script.pt')
    pointer = b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n'
    cases = {
        'Git LFS pointer.*git lfs pull': pointer,
        'web page': b'\n<!DOCTYPE html><html><body>Sign in</body></html>',
        'an empty file': b'',
        'cut short.*5000 bytes': weights.read_bytes()[:5000],
        'zip archive of 2 other files, first .a.txt': zip_of(tmp_path / 'z', 'a.txt', 'b.txt'),
        'file of numpy arrays': zip_of(tmp_path / 'z', 'arr_0.npy'),
        'TorchScript': (tmp_path / 'script.pt').read_bytes(),
        'gzip archive': gzip.compress(b'weights'),
        'JSON text': b'{"error": "not found"}',
        'HDF5': b'\x89HDF\r\n\x1a\n' + bytes(100),
    }
    for what, content in cases.items():
        for ending in ('pth', 'safetensors'):
            (tmp_path / f'x.{ending}').write_bytes(content)
            for read in (read_weights, read_weights_apart):
                with pytest.raises(CheckpointError, match=rf'x\.{ending} is (a |an )?{what.removeprefix("an ")}'):
                    read(tmp_path / f'x.{ending}')
    with pytest.raises(CheckpointError, match='a folder'):
        read_weights(tmp_path)


def test_a_header_as_long_as_the_mark_of_a_zip_is_no_zip(tmp_path):
    length = int.from_bytes(b'PK', 'little')
    header = json.dumps({'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]}}).ljust(length).encode()
    content = length.to_bytes(8, 'little') + header + torch.ones(2).numpy().tobytes()
    (tmp_path / 'x.safetensors').write_bytes(content)
    assert content.startswith(b'PK')
    assert read_weights(tmp_path / 'x.safetensors').tensors['a'].tolist() == [1, 1]


def test_a_wrong_ending_is_no_obstacle_or_is_named(tmp_path):
    path = save_tensors(tmp_path / 'x.safetensors', {'a': torch.ones(2)}, {}).rename(tmp_path / 'pytorch_model.bin')
    assert read_weights(path).tensors['a'].tolist() == [1, 1]
    assert read_weights_apart(path).tensors['a'].tolist() == [1, 1]
    torch.save({'a': torch.ones(2)}, tmp_path / 'y.safetensors')
    with pytest.raises(CheckpointError, match='rename it to .pth'):
        read_weights(tmp_path / 'y.safetensors')


@pytest.mark.parametrize('name', ['x.pth', 'x.safetensors'])
def test_nan_and_infinite_weights_are_refused_with_name_and_count(tmp_path, name):
    tensors = {'fine': torch.ones(3), 'b.weight': torch.tensor([1.0, float('nan'), float('inf')]), 'n': torch.arange(3)}
    tensors['half'] = torch.full((2,), float('nan')).half()
    torch.save({'model': tensors}, tmp_path / 'x.pth')
    save_file(tensors, tmp_path / 'x.safetensors')
    for read in (read_weights, read_weights_apart):
        with pytest.raises(CheckpointError, match=rf'{name} .*2 of its 4 tensors, first b.weight .2 of 3 values'):
            read(tmp_path / name)


@pytest.mark.parametrize('name', ['x.safetensors', 'x.pth'])
def test_absent_empty_and_damaged_files_are_named(tmp_path, name):
    with pytest.raises(CheckpointError, match='is not there'):
        read_weights(tmp_path / name)
    for content in (b'', b'<html>not found</html>' * 50):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=name):
            read_weights(tmp_path / name)


def test_a_truncated_safetensors_file_is_damaged(tmp_path):
    path = save_tensors(tmp_path / 'x.safetensors', {'a': torch.ones(2000)}, {})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match='damaged'):
        read_weights(path)


@pytest.mark.parametrize('is_zip', [True, False])
def test_damaged_bytes_of_a_pickle_are_one_sentence(tmp_path, is_zip):
    path, draw = tmp_path / 'x.pth', random.Random(0)
    torch.save({'model': {'a': torch.ones(4)}, 'epoch': 3}, path, _use_new_zipfile_serialization=is_zip)
    whole, refused = path.read_bytes(), 0
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(5):
            damaged[draw.randrange(len(whole))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            with warnings.catch_warnings(action='ignore'):
                read_weights(path)
        except CheckpointError:
            refused += 1
    assert refused > 50  # the others only changed values


@pytest.mark.parametrize(
    'header', ['[]', '3', 'x', '{"kind": "training_state"}', '{"kind": "training_state", "tree": {"@tensor": "b"}}']
)
def test_a_header_that_is_not_ours_is_one_sentence(tmp_path, header):
    save_file({'a': torch.ones(2)}, tmp_path / 'x.safetensors', {checkpoints.HEADER_KEY: header})
    for read in (read_weights, read_training_state):
        with pytest.raises(CheckpointError, match='x.safetensors is damaged'):
            read(tmp_path / 'x.safetensors')


def test_loading_names_the_first_keys_that_do_not_fit():
    module = nn.Linear(3, 2)
    with pytest.raises(
        CheckpointError, match=r'f.pth .*2 keys .* Linear, first x.*1 of .* Linear .*missing, first bias'
    ):
        load_strictly(module, {'weight': torch.ones(2, 3), 'x': torch.ones(1), 'y': torch.ones(1)}, 'f.pth')
    with pytest.raises(CheckpointError, match=r'weight .*\(5, 3\).*\(2, 3\)'):
        load_strictly(module, {'weight': torch.ones(5, 3), 'bias': torch.ones(2)}, 'f.pth')


def test_published_layout_round_trips_with_nothing_missing_or_left_over():
    model = tiny_sigma()
    published = to_published(model.state_dict())
    assert {'mask_token', 'prototypes', 'encoder_to_decoder.weight', 'head.0.weight', 'head.2.bias'} <= set(published)
    assert 'encoder.blocks.0.attn.q_bias' in published
    assert not [k for k in published if k.endswith('qkv.bias')]
    back = from_published(published)
    assert set(back) == set(model.state_dict())
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(back[name], tensor)


def test_hash_of_tensors_changes_with_one_bit():
    tensors = {'a': torch.zeros(4), 'b': torch.tensor(1.0)}
    first = sha256_of_tensors(tensors)
    assert sha256_of_tensors(dict(reversed(tensors.items()))) == first
    tensors['a'][2] = 1e-45
    assert sha256_of_tensors(tensors) != first
