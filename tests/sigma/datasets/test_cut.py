"""Cut clips: the right frames of each section, every video decoded once, and what does not fit is refused."""

import csv
from contextlib import nullcontext
from pathlib import Path

import av
import numpy as np
import pytest

from sigma.data import index
from sigma.data.cards import load_dataset_card
from sigma.datasets import cut
from sigma.datasets.cut import Cutting
from tests.conftest import assert_one_sentence, call_main
from tests.sigma.datasets.test_join import draw, shown
from tools import prepare

ROWS = [
    ('a.mp4', 'train', 2, 6, 'bin'),
    ('a.mp4', 'train', 6.5, 8.25, 'blue'),
    ('a.mp4', 'train', 4, 12, 'at'),  # overlaps both
    ('b.mp4', 'test', 0, 3, 'bin'),
    ('b.mp4', 'test', 14, 16, 'blue'),
    ('b.mp4', 'test', 9, 9.5, 'at'),
]


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """Cutting and indexing in this process: spawning others takes longer than a few clips."""

    def serially(function, jobs, workers=None, **_):
        return ((job, function(job)) for job in jobs)

    for module in (cut, index):
        monkeypatch.setattr(module, 'in_processes', serially)
        monkeypatch.setattr(module, 'progress_bar', lambda *arguments: nullcontext(lambda: None))


@pytest.fixture
def words(tmp_path) -> Path:
    root = tmp_path / 'recordings'
    draw(root / 'a.mp4', 1, 16)
    draw(root / 'b.mp4', 2, 16)
    return lay(root, ROWS)


def lay(root: Path, rows) -> Path:
    with (root / 'words.csv').open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['path', 'split', 'start_frame', 'end_frame', 'word'])
        writer.writerows(rows)
    return root / 'words.csv'


def run(table: Path, out: Path, capsys, *more):
    return call_main(
        prepare.main, capsys, 'cut', '--csv', str(table), '--label-columns', 'word', '--out', str(out), *more
    )


def frames(out: Path) -> dict[str, list[tuple[int, int]]]:
    return {path.relative_to(out / 'videos').as_posix(): shown(path) for path in sorted(out.glob('videos/*/*.mp4'))}


def test_a_clip_holds_the_frames_that_its_section_touches(words, tmp_path, capsys):
    assert run(words, tmp_path / 'out', capsys).returncode == 0
    assert frames(tmp_path / 'out') == {
        'a/000002-000005.mp4': [(1, n) for n in range(2, 6)],
        'a/000004-000011.mp4': [(1, n) for n in range(4, 12)],
        'a/000006-000008.mp4': [(1, n) for n in range(6, 9)],
        'b/000000-000002.mp4': [(2, n) for n in range(3)],
        'b/000009-000009.mp4': [(2, 9)],
        'b/000014-000015.mp4': [(2, n) for n in (14, 15)],
    }
    card = load_dataset_card(str(tmp_path / 'out'))
    assert card.info['classes'] == ['at', 'bin', 'blue']
    assert dict(card.pairs('test')) == {'b/000000-000002.mp4': 1, 'b/000009-000009.mp4': 0, 'b/000014-000015.mp4': 2}


def test_clips_of_equal_length_lie_around_the_middle_and_inside_the_video(words, tmp_path, capsys):
    assert run(words, tmp_path / 'out', capsys, '--clip-frames', '4').returncode == 0
    firsts = {'a': (2, 5, 6), 'b': (0, 7, 12)}  # 7.375 - 2 -> 5; 1.5 - 2 -> 0; 9.25 - 2 -> 7; 15 - 2 -> 12
    assert frames(tmp_path / 'out') == {
        f'{video}/{first:06d}-{first + 3:06d}.mp4': [(number, n) for n in range(first, first + 4)]
        for number, (video, all_of) in enumerate(firsts.items(), start=1)
        for first in all_of
    }


def test_size_and_rate_are_those_of_the_video(words, tmp_path, capsys):
    run(words, tmp_path / 'out', capsys)
    with av.open(str(tmp_path / 'out' / 'videos' / 'a' / '000002-000005.mp4')) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (64, 48, 25)


def test_times_of_a_variable_rate_are_those_of_the_section():
    times = cut.FrameTimes.listed(np.array([0, 0.1, 0.3, 0.6, 1.0]), 1.5)
    part = cut._part(times, 1, 3)
    assert part.borders_ms.tolist() == [0, 200, 500, 900]


def test_each_video_is_decoded_once_and_a_second_run_writes_nothing(words, tmp_path, capsys, monkeypatch):
    opened, own = [], cut.open_video
    monkeypatch.setattr(cut, 'open_video', lambda path: opened.append(Path(path).name) or own(path))
    run(words, tmp_path / 'out', capsys)
    assert sorted(opened) == ['a.mp4', 'b.mp4']
    lost = tmp_path / 'out' / 'videos' / 'b' / '000014-000015.mp4'
    before = lost.read_bytes()
    lost.unlink()
    run(words, tmp_path / 'out', capsys)
    assert sorted(opened) == ['a.mp4', 'b.mp4', 'b.mp4']
    assert lost.read_bytes() == before


def test_rows_are_chosen_by_a_column(words, tmp_path, capsys):
    assert run(words, tmp_path / 'out', capsys, '--where', 'word=bin,at').returncode == 0
    assert load_dataset_card(str(tmp_path / 'out')).info['classes'] == ['at', 'bin']


@pytest.mark.parametrize(
    ('row', 'options', 'words_of'),
    [
        (('a.mp4', 'train', 5, 5, 'bin'), (), ('a.mp4', 'empty')),
        (('a.mp4', 'train', 'x', 5, 'bin'), (), ('start_frame', "'x'")),
        (('a.mp4', 'train', 16, 18, 'bin'), (), ('16 frames',)),
        (('a.mp4', 'train', 2, 6, 'white'), (), ('same clip', '000002-000005')),
        (None, ('--start-column', 'start_fram'), ('start_frame',)),
        (None, ('--where', 'word=green'), ('word=green',)),
        (None, ('--where', 'word'), ('COLUMN=VALUES',)),
    ],
)
def test_bad_input_is_one_sentence(words, tmp_path, capsys, row, options, words_of):
    if row is not None:
        lay(words.parent, [*ROWS, row])
    assert_one_sentence(run(words, tmp_path / 'out', capsys, *options), *words_of)


def test_clips_that_were_cut_in_another_way_are_never_mixed(words, tmp_path, capsys):
    run(words, tmp_path / 'out', capsys)
    assert_one_sentence(run(words, tmp_path / 'out', capsys, '--clip-frames', '4'), 'other settings')


def test_a_video_shorter_than_a_clip_gives_all_its_frames(words, tmp_path, capsys):
    draw(words.parent / 'c.mp4', 3, 16)
    lay(words.parent, [ROWS[0], ('c.mp4', 'train', 0, 3, 'blue'), ROWS[4]])
    done = run(words, tmp_path / 'out', capsys, '--clip-frames', '20')
    assert done.returncode == 0
    assert '3 of 3 clips have fewer than 20 frames' in done.stderr
    assert [len(found) for found in frames(tmp_path / 'out').values()] == [16, 16, 16]


def test_spans():
    cutting = Cutting(num_frames=16)
    assert cutting.span(23.75, 29.5, 75) == (19, 35)
    assert cutting.span(0, 5, 75) == (0, 16)
    assert cutting.span(70, 75, 75) == (59, 75)
    assert Cutting().span(23.75, 29.5, 75) == (23, 30)
