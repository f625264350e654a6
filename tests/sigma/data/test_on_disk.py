"""Videos on disk against the index: untouched, touched, copied, replaced, repaired, gone."""

import json
import os
import shutil
from dataclasses import asdict, replace

import pytest

from sigma.data import on_disk
from sigma.data.cards import load_dataset_card
from sigma.data.index import INDEX_VERSION, Index, load_index, read_strictly
from sigma.data.on_disk import changed_videos
from sigma.datasets.prepared import write_dataset
from sigma.errors import DataError
from tests.tools.videos import tiny_clip
from tests.tools.videos import with_tail as tail


@pytest.fixture(scope='module')
def clip(tmp_path_factory) -> bytes:
    return tiny_clip(tmp_path_factory.mktemp('clip') / 'clip.mp4')


def index_again(home) -> Index:
    """Write the index in this process: `build_index` would start others."""
    videos = [asdict(read_strictly(f'{name}.mp4', home / 'videos')) for name in 'abcd']
    lines = [{'version': INDEX_VERSION, 'root': 'videos'}, *videos]
    (home / 'index.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return load_index(home / 'index.jsonl')


@pytest.fixture
def home(tmp_path, clip):
    """A prepared dataset of four videos, each with a tail of its own."""
    for name in 'abcd':
        path = tmp_path / 'videos' / f'{name}.mp4'
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tail(clip, name))
    splits = {'train': [('a.mp4', 'x'), ('b.mp4', 'y')], 'test': [('c.mp4', 'x'), ('d.mp4', 'y')]}
    info = {'name': 'mine', 'task': 'action_recognition', 'video_root': 'videos', 'metric': 'top1'}
    info |= {'flips_change_label': True, 'prepare': "python tools/prepare.py folder '/my videos' --out '/my data'"}
    assert write_dataset(tmp_path, info, splits, index_again(tmp_path), allow_unreadable=False)
    return tmp_path


def identity(home, split='test') -> str:
    return load_dataset_card(str(home)).content_sha256(split)


def hashed(monkeypatch) -> list[str]:
    """Names of the files that are hashed from now on."""
    names = []
    real = on_disk.sha256_file
    monkeypatch.setattr(on_disk, 'sha256_file', lambda path: names.append(path.name) or real(path))
    return names


def test_a_touched_or_copied_dataset_is_the_same_and_is_hashed_once(home, tmp_path_factory, monkeypatch):
    before = identity(home)
    names = hashed(monkeypatch)
    assert identity(home) == before
    assert names == []
    os.utime(home / 'videos' / 'c.mp4', (1, 1))
    assert identity(home) == before
    assert names == ['c.mp4']
    assert identity(home) == before
    assert names == ['c.mp4']  # remembered
    copy = tmp_path_factory.mktemp('copy') / 'mine'
    shutil.copytree(home, copy, copy_function=shutil.copyfile)  # as `cp -r` does, with new times
    assert identity(copy) == before
    assert sorted(names[1:]) == ['c.mp4', 'd.mp4']


@pytest.mark.parametrize('size', ['same', 'other'])
def test_a_replaced_video_is_named_with_the_command_and_another_identity_follows(home, clip, size, monkeypatch):
    before = {split: identity(home, split) for split in ('train', 'test')}
    names = hashed(monkeypatch)
    (home / 'videos' / 'c.mp4').write_bytes(tail(clip, 'z') if size == 'same' else tail(clip, 'z') + b'\0\0\0\x08free')
    with pytest.raises(DataError) as caught:
        identity(home)
    assert names == (['c.mp4'] if size == 'same' else [])  # another size needs no hash
    assert 'mine (test): 1 of 2 videos are no longer the files that were indexed, first c.mp4' in str(caught.value)
    assert str(caught.value).endswith("Prepare it with: python tools/prepare.py folder '/my videos' --out '/my data'")
    assert identity(home, 'train') == before['train']
    index_again(home)
    assert identity(home) != before['test']
    assert identity(home, 'train') == before['train']


def test_a_verified_file_that_is_replaced_later_is_seen(home, clip):
    os.utime(home / 'videos' / 'c.mp4', (1, 1))
    identity(home)
    assert json.loads((home / 'index.jsonl.verified').read_text())['c.mp4'][2] == 10**9
    (home / 'videos' / 'c.mp4').write_bytes(tail(clip, 'z'))
    with pytest.raises(DataError, match='first c.mp4'):
        identity(home)


def test_a_damaged_memory_is_passed_over_and_written_again(home):
    before = identity(home)
    for text in ('{"c.mp4": [1]}', '[]', '{', '{"c.mp4": 3}'):
        (home / 'index.jsonl.verified').write_text(text)
        os.utime(home / 'videos' / 'c.mp4', (2, 2))
        assert identity(home) == before
        assert json.loads((home / 'index.jsonl.verified').read_text())['c.mp4'][2] == 2 * 10**9


def test_an_empty_file_that_was_touched_is_the_same(home):
    (home / 'videos' / 'd.mp4').write_bytes(b'')
    index_again(home)
    before = identity(home)
    os.utime(home / 'videos' / 'd.mp4', (1, 1))
    assert identity(home) == before


def test_a_repaired_video_is_a_changed_one_and_a_gone_one_is_gone(home):
    entries = [(video, home / 'videos' / video.path) for video in load_index(home / 'index.jsonl').values()]
    (home / 'videos' / 'a.mp4').unlink()
    (home / 'videos' / 'b.mp4').write_bytes(b'')
    broken = [(replace(video, readable=False), file) for video, file in entries]
    assert changed_videos(entries, home / 'index.jsonl') == (['a.mp4'], ['b.mp4'])
    assert changed_videos(broken, home / 'index.jsonl') == ([], ['b.mp4'])
