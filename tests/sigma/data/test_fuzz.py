"""What `prepare` makes of files and lists that are as bad as they come (made_up_videos.py, made_up_lists.py).

It never ends in a traceback, hangs, or takes all memory; and a video that it calls readable has the frames that ffmpeg
shows. The quick tests take a few of each; the slow ones 512 of each: `bash tools/test.sh -m slow -k made_up`.
"""

from __future__ import annotations

import contextlib
import json
import re
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from sigma.data.cards import load_dataset_card
from sigma.data.index import Index, VideoInfo, load_index, read_strictly
from sigma.data.lists import read_list
from sigma.datasets.tables import read_table
from sigma.errors import DecodeError
from sigma.video import Proof, open_reader, open_video
from tests.conftest import ROOT, assert_one_sentence, call_main
from tests.sigma.data.by_ffmpeg import HAS_FFMPEG, shown_frames
from tests.sigma.data.made_up_lists import made_up as made_up_list
from tests.sigma.data.made_up_lists import made_up_classes
from tests.sigma.data.made_up_videos import made_up, sources
from tests.sigma.video_files import SHARED, written
from tools import prepare

MOST_MEMORY = 3 * 2**30  # bytes of address space, per process
MOST_RESIDENT = 2 * 2**30  # bytes in memory at once, of the largest process
# Decoders of FFmpeg that take any bits for a picture: damage in their frames has no right answer.
ACCEPTS_ANY_BITS = {'vp8'}


@pytest.fixture(scope='session')
def good_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp('good')
    return sources(folder, (SHARED / 'cases/media', SHARED / 'data/real/codecs'))


def lay(folder: Path, numbers: range, files) -> Path:
    """Write made-up files as videos of two classes."""
    for number in numbers:
        name, data = made_up(number, files)
        (folder / f'class{number % 2}').mkdir(parents=True, exist_ok=True)
        (folder / f'class{number % 2}' / name).write_bytes(data)
    return folder


def kind_of(reason: str) -> str:
    """A reason without its numbers and FFmpeg's own words."""
    return re.sub(r'\d+', 'N', reason.partition(' (')[0])[:60]


def prepared(videos: Path, out: Path, seconds: float) -> Index:
    """Run `prepare folder` on all of them, with little memory; check how it ends."""
    command = [sys.executable, 'tools/prepare.py', 'folder', videos, '--out', out, '--allow-unreadable', '--workers', 2]
    done = subprocess.run(
        list(map(str, command)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors='replace',
        timeout=seconds,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY)),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'Traceback' not in done.stderr + done.stdout
    strange = [line for line in done.stderr.splitlines() if not line.startswith(('prepare: ', 'reading videos: '))]
    assert not strange, 'something printed past the log'
    assert all(line.isprintable() for line in done.stdout.splitlines()), 'bytes of a file reached the terminal'
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < MOST_RESIDENT
    return load_index(out / 'index.jsonl')


def check_reasons(index: Index) -> None:
    """Every file has frames, or a reason that says what is wrong with the file, not with us."""
    for video in index.values():
        assert bool(video.reason) != video.readable, video.path
        assert (video.frames > 0) == video.readable, video.path
        assert not re.match(r'[A-Za-z]*(Error|Exception):', video.reason), f'{video.path}: {video.reason}'
        assert not re.search('died|hangs|allocate memory', video.reason), f'{video.path}: {video.reason}'
        if video.readable:
            times = video.frame_times  # as training loads it
            assert 0 < times.duration < float('inf')
            assert (np.diff(times.borders_ms) >= 0).all(), video.path


def disagreement(root: Path, video: VideoInfo) -> str:
    """How the frames that the proved reader returns differ from those that ffmpeg shows; empty if they do not."""
    file = root / video.path
    turn, codec, is_plain = how_shown(file)
    width, height = (video.width, video.height) if is_plain else turn.size(video.width, video.height)
    shown = shown_frames(file, width, height, video.frames, turns=is_plain)
    num_shown = shown if isinstance(shown, int) else len(shown)
    if num_shown == 0:
        return 'ffmpeg cannot read it'
    if num_shown != video.frames:
        return f'{video.frames} frames, ffmpeg shows {num_shown}'
    if isinstance(shown, int):
        return ''
    places = sorted(Random(video.sha256).sample(range(video.frames), min(4, video.frames)))
    try:
        found = open_reader(str(file), 'proved', video.proof).frames(np.array(places))
    except DecodeError as error:
        return f'readable, but the reader says: {error}'
    if codec in ACCEPTS_ANY_BITS:
        return ''
    wrong = [place for place, picture in zip(places, found) if not is_same(picture, shown, place, turn, is_plain)]
    return f'other pixels at frames {wrong}' if wrong else ''


def how_shown(file: Path):
    """(turn, codec, whether ffmpeg turns it alike: a turn by right angles, not mirrored)."""
    with open_video(file, strict=False) as opened:
        matrix = opened.first.side_data.get('DISPLAYMATRIX')
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist() if matrix is not None else (1, 0, 0, 0, 1)
        is_plain = (b == c == 0 and a == d != 0) or (a == d == 0 and b == -c != 0)
        return opened.turn, opened.codec, is_plain


def is_same(picture, shown, place, turn, is_plain) -> bool:
    """Whether a picture is a frame of ffmpeg, but for rounding and the resampling of colours; nearest of all to it."""
    wanted = blocks(picture)

    def levels(number: int) -> float:
        other = shown[number] if is_plain else turn.apply(shown[number])
        return float(np.abs(wanted - blocks(other)).mean())

    here = levels(place)
    return here <= 2 and all(
        here <= levels(other) + 0.1 for other in range(max(0, place - 3), min(len(shown), place + 4))
    )


def blocks(picture) -> np.ndarray:
    """Means of blocks of 8x8 pixels."""
    height, width = (max(1, side // 8) for side in picture.shape[:2])
    cut = picture[: min(height * 8, picture.shape[0]), : min(width * 8, picture.shape[1])].astype(np.float32)
    if min(picture.shape[:2]) < 8:
        return cut
    return cut.reshape(height, 8, width, 8, 3).mean(axis=(1, 3))


def check_frames(index: Index) -> None:
    if not HAS_FFMPEG:
        pytest.skip('needs ffmpeg of the system to compare frames: apt-get install -y ffmpeg')
    found = {video.path: disagreement(index.root, video) for video in index.values() if video.readable}
    # An older ffmpeg refuses some damaged headers that PyAV's decoder passes over.
    refused = [path for path, what in found.items() if what == 'ffmpeg cannot read it']
    assert len(refused) <= len(found) / 100, refused
    wrong = {path: what for path, what in found.items() if what and path not in refused}
    assert not wrong


def told(index: Index) -> str:
    """Counts for a person: `pytest -rP` shows them."""
    reasons = Counter(kind_of(video.reason) for video in index.unreadable)
    return json.dumps({'readable': len(index) - len(index.unreadable), **dict(reasons.most_common())}, indent=1)


def test_made_up_videos_are_read_rightly_or_refused(good_files, tmp_path, monkeypatch):
    videos = lay(tmp_path / 'videos', range(32), good_files)
    paths = sorted(path.relative_to(videos).as_posix() for path in videos.rglob('*') if path.is_file())
    index = Index(videos, [read_strictly(path, videos) for path in paths])
    check_reasons(index)
    check_frames(index)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_512_made_up_videos_are_read_rightly_or_refused(good_files, tmp_path):
    index = prepared(lay(tmp_path / 'videos', range(512), good_files), tmp_path / 'out', seconds=600)
    print(told(index))
    assert len(index) == 512
    check_reasons(index)
    check_frames(index)


# What it found, one of each kind.


def reading(folder: Path, name: str, data: bytes) -> VideoInfo:
    (folder / name).write_bytes(data)
    return read_strictly(name, folder)


def with_field(data: bytes, mark: bytes, offset: int, field: bytes) -> bytes:
    place = data.index(mark) + offset
    return data[:place] + field + data[place + len(field) :]


def test_a_stream_without_a_decoder_is_unreadable(good_files, tmp_path):
    found = reading(tmp_path, 'x.mp4', good_files['bframes.mp4'].replace(b'avc1', b'xxxx'))
    assert not found.readable
    assert 'no decoder' in found.reason
    with pytest.raises(DecodeError, match='no decoder'), open_video(tmp_path / 'x.mp4'):
        pass


def test_a_surprise_in_one_file_does_not_stop_the_others(good_files, tmp_path, monkeypatch):
    def surprised(*_):
        raise AttributeError('nobody thought of it')

    monkeypatch.setattr('sigma.data.index.read_whole', surprised)
    found = reading(tmp_path, 'x.mp4', good_files['bframes.mp4'])
    assert (found.readable, found.reason) == (False, 'AttributeError: nobody thought of it')


def test_huge_frames_are_refused_before_they_take_memory(tmp_path):
    screen = b'GIF89a' + (20000).to_bytes(2, 'little') + (9000).to_bytes(2, 'little') + b'\x80\x00\x00' + bytes(6)
    image = b'\x2c' + bytes(4) + b'\x01\x00\x01\x00\x00' + b'\x02\x02\x44\x01\x00'
    found = reading(tmp_path, 'x.gif', screen + 2 * image + b'\x3b')
    assert not found.readable
    assert '20000x9000' in found.reason


def test_a_header_that_lies_about_the_size_is_refused(good_files, tmp_path):
    # FFmpeg goes on with the size in the stream, but loses the display matrix: frames would lie on their side.
    entry = good_files['turned.mp4'].index(b'avc1', good_files['turned.mp4'].index(b'stsd'))
    data = good_files['turned.mp4']
    found = reading(tmp_path, 'x.mp4', data[: entry + 28] + b'\x7f\xff\x7f\xff' + data[entry + 32 :])
    assert not found.readable
    assert '32767x32767' in found.reason


def test_a_gif_that_ends_inside_a_picture_is_refused(good_files, tmp_path):
    data = good_files['gif.gif']
    found = reading(tmp_path, 'x.gif', data[:3000] + bytes(512) + data[3512:])
    assert not found.readable


def test_what_the_index_calls_readable_the_reader_opens(good_files, tmp_path):
    # A small fault in the container, which the strict pass lets pass.
    found = reading(tmp_path, 'x.avi', with_field(good_files['msmpeg4.avi'], b'INFO', -8, bytes(7)))
    assert (found.readable, found.frames) == (True, 14)
    with pytest.raises(DecodeError), open_video(tmp_path / 'x.avi'):
        pass
    (tmp_path / 'good.avi').write_bytes(good_files['msmpeg4.avi'])
    right = open_reader(str(tmp_path / 'good.avi')).frames(np.arange(14))
    for proof in (found.proof, Proof(14)):
        assert (open_reader(str(tmp_path / 'x.avi'), 'proved', proof).frames(np.arange(14)) == right).all()


def test_a_reason_shows_no_control_characters_of_the_file(tmp_path):
    found = reading(tmp_path, 'x.mp4', b"ffconcat version 1.0\nfile '\x1b[31m/x'\n")
    assert not found.readable
    assert found.reason.isprintable()


# ------------------------------------------------------------------------------------------------- lists and tables


@pytest.fixture(scope='session')
def small_videos(tmp_path_factory):
    """Six readable videos and what the index says of them."""
    folder = tmp_path_factory.mktemp('videos')
    for number in range(6):
        written(folder / f'{number}.mp4', num_frames=2 + number, size=(32, 32))
    return folder, {video.path: video for number in range(6) if (video := read_strictly(f'{number}.mp4', folder))}


@pytest.fixture
def prepare_one(small_videos, tmp_path, monkeypatch, capsys):
    """A function that runs `prepare` on one made-up list and checks how it ends; gives (exit status, what it said)."""
    videos, known = small_videos

    def read(function, jobs, workers=None, **limits):  # here, and no video twice
        for path, root, file, readers in jobs:
            yield (path, root, file, readers), known.get(path) or read_strictly(path, root, file, readers)

    monkeypatch.setattr('sigma.data.index.in_processes', read)

    def run(number: int) -> tuple[int, str]:
        name, data, options = made_up_list(number, sorted(known))
        table, out = tmp_path / str(number) / name, tmp_path / str(number) / 'out'
        table.parent.mkdir()
        table.write_bytes(data)
        if name.endswith('.txt'):
            command = ['list', '--train', table, '--root', videos]
            if (classes := made_up_classes(number)) is not None:
                (table.parent / 'classes.txt').write_bytes(classes)
                command += ['--classes', table.parent / 'classes.txt']
        else:
            command = ['folder', videos, '--csv', table]
        with little_memory():
            done = call_main(main, capsys, *command, '--out', out, *options)
        check_end(done, out)
        if done.returncode == 0:
            check_dataset(out, known)
        return done.returncode, done.stderr

    return run


def main(arguments: list[str]) -> int:
    """`prepare`, whose parser exits by itself."""
    try:
        return prepare.main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)


@contextlib.contextmanager
def little_memory():
    """Half a gigabyte more than there is now."""
    former = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 2**29, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, former)


def check_end(done, out: Path) -> None:
    """Prepared; or refused in one sentence that fits a screen, with nothing written."""
    assert done.returncode in (0, 2), done.stderr
    lines = done.stderr.splitlines()
    assert all(line.isprintable() for line in lines), done.stderr[:500]
    assert max(map(len, lines), default=0) < 2000, done.stderr[:500]
    if done.returncode == 2:
        assert lines[-1].startswith('prepare'), done.stderr
        assert not out.exists()


def check_dataset(out: Path, known) -> None:
    """The card and the lists can be read, and hold known videos, each once."""
    card = load_dataset_card(str(out))
    listed = []
    for split in card.info['splits'].values():
        entries = read_list(out / split['list'], card.info['delimiter'], card.info['task'] == 'multi_label')
        assert len(entries) == split['num_videos'] > 0
        listed += entries
    paths = [path for path, _ in listed]
    assert len(set(paths)) == len(paths)
    assert set(paths) <= set(known)
    if card.info['task'] != 'repetition':
        numbers = [number for _, label in listed for number in (label if isinstance(label, tuple) else (label,))]
        assert max(numbers, default=0) < len(card.info['classes'])


def test_made_up_lists_are_taken_or_refused_in_one_sentence(prepare_one):
    ended = [prepare_one(number)[0] for number in range(60)]
    assert set(ended) == {0, 2}


@pytest.fixture
def refused(tmp_path, capsys):
    """A function that gives `prepare` a table or list of two videos, and returns the one sentence that refuses it."""

    def run(name: str, data: bytes, *options) -> str:
        for video in ('a.mp4', 'b.mp4'):
            (tmp_path / video).touch()
        (tmp_path / name).write_bytes(data)
        kind = ('folder', '--csv') if name.endswith('.csv') else ('list', '--train')
        done = call_main(main, capsys, *kind, tmp_path / name, '--out', tmp_path / 'out', *options)
        assert_one_sentence(done)
        assert not (tmp_path / 'out').exists()
        return done.stderr.strip()

    return run


def test_a_label_that_is_no_class_number_is_refused(refused):
    """Names of all classes up to it would fill the memory; Python raises on more than 4300 digits."""
    assert '1000000000' in refused('train.txt', b'a.mp4 0\nb.mp4 1000000000\n', '--test-fraction', '0.5')
    assert 'line 2' in (said := refused('train.txt', b'a.mp4 0\nb.mp4 ' + b'9' * 5000, '--test-fraction', '0.5'))
    assert len(said) < 1200
    huge = b'path,count,split\na.mp4,3,train\nb.mp4,' + b'9' * 5000 + b',test\n'
    assert 'b.mp4' in refused('table.csv', huge, '--task', 'repetition')


def test_class_names_in_another_encoding_are_refused(refused, tmp_path):
    (tmp_path / 'names.txt').write_bytes('é\nü\n'.encode('latin-1'))
    said = refused('train.txt', b'a.mp4 0\nb.mp4 1\n', '--test-fraction', '0.5', '--classes', tmp_path / 'names.txt')
    assert 'names.txt' in said
    assert 'UTF-8' in said


def test_a_table_with_a_column_twice_or_a_row_too_long_is_refused(refused):
    assert "'label'" in refused('table.csv', b'path,label,split,label\na.mp4,x,train,y\nb.mp4,y,test,x\n')
    said = refused('table.csv', b'path,label,split\na.mp4,x,train\nb.mp4,jump, high,test\n')
    assert 'line 3' in said
    assert '4 cells' in said


def test_empty_cells_beyond_the_columns_do_no_harm(tmp_path):
    (tmp_path / 'table.csv').write_text('path,label,,\na.mp4,x,,,,\nb.mp4\n')
    rows, _ = read_table(tmp_path / 'table.csv')
    assert [(row['path'], row['label']) for row in rows] == [('a.mp4', 'x'), ('b.mp4', '')]


def test_no_control_characters_of_a_table_reach_the_terminal(refused):
    assert refused('table.csv', b'p\x1b[31mth,label\na.mp4,x\n').isprintable()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_512_made_up_lists_are_taken_or_refused_in_one_sentence(prepare_one):
    ended = Counter(prepare_one(number)[0] for number in range(512))
    print(dict(ended))
    assert min(ended[0], ended[2]) > 50
