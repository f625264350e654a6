"""A shard of features: what comes back, and what is refused."""

import json
import struct

import numpy as np
import pytest

from eval.features.shards import DamagedShard, read_shard, write_shard
from sigma.errors import DataError


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(3, 2, 4, 5)).astype(np.float16)


def write(path, values):
    write_shard(path, 'key', [0, 2, 3], [(1, 'no frame')], {'time': values, 'tokens': values[..., None, None, :]})
    return path


def test_what_was_written_comes_back_mapped_and_the_bytes_are_always_the_same(tmp_path, values):
    path = write(tmp_path / '0.safetensors', values)
    shard = read_shard(path, 'key', ('time', 'tokens'))
    assert (shard.rows, shard.failed) == ([0, 2, 3], [(1, 'no frame')])
    assert isinstance(shard.values('time'), np.memmap)
    assert np.array_equal(shard.values('time'), values)
    assert np.array_equal(shard.values('tokens'), values[..., None, None, :])
    assert path.read_bytes() == write(tmp_path / '1.safetensors', values).read_bytes()


def test_other_programs_read_it(tmp_path, values):
    safetensors = pytest.importorskip('safetensors.numpy')
    assert np.array_equal(safetensors.load_file(write(tmp_path / '0.safetensors', values))['time'], values)


def test_a_shard_without_a_readable_video_is_whole(tmp_path):
    write_shard(tmp_path / '0.safetensors', 'key', [], [(0, 'no frame')], {'time': np.zeros((0, 2, 4, 5), np.float16)})
    assert read_shard(tmp_path / '0.safetensors', 'key', ('time',)).values('time').shape == (0, 2, 4, 5)


@pytest.mark.parametrize('place', ['length', 'header', 'said', 'values'])
def test_a_changed_byte_anywhere_is_found(tmp_path, values, place):
    path = write(tmp_path / '0.safetensors', values)
    data = bytearray(path.read_bytes())
    (size,) = struct.unpack('<Q', data[:8])
    data[{'length': 0, 'header': 8, 'said': data.index(b'no frame'), 'values': 8 + size + 1}[place]] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedShard, match='0.safetensors'):
        read_shard(path, 'key', ('time', 'tokens'))


@pytest.mark.parametrize('kept', [0, 5, 100, -1])
def test_a_file_that_was_cut_short_is_found_without_reading_the_values(tmp_path, values, kept):
    path = write(tmp_path / '0.safetensors', values)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DamagedShard):
        read_shard(path, 'key')


@pytest.mark.parametrize('text', ['[]', '{}', '{"__metadata__": {}}', '{"__metadata__": {"sigma": "[]"}}'])
def test_another_safetensors_file_is_no_shard(tmp_path, text):
    path = tmp_path / '0.safetensors'
    path.write_bytes(struct.pack('<Q', len(text)) + text.encode())
    assert json.loads(text) is not None
    with pytest.raises(DamagedShard):
        read_shard(path, 'key')


def test_another_key_is_refused_and_an_absent_file_is_absent(tmp_path, values):
    path = write(tmp_path / '0.safetensors', values)
    with pytest.raises(DataError, match='other weights, videos or another view'):
        read_shard(path, 'another')
    with pytest.raises(FileNotFoundError):
        read_shard(tmp_path / '1.safetensors', 'key')
