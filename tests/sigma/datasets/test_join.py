"""Joined videos: every frame is the one that the plan says, boundaries are exact, and what does not fit is refused."""

import csv
import json
from collections import Counter
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sigma.data import index
from sigma.data.cards import load_dataset_card
from sigma.data.index import Index, VideoInfo, load_index
from sigma.datasets import join
from sigma.datasets.join import Joining, Piece, join_video, picks, plan
from sigma.errors import DataError
from sigma.video import Colour, FrameTimes, ToRGB, Turn, open_video
from tests.conftest import SHARED, assert_one_sentence, call_main
from tests.sigma.video_files import picture, written
from tools import prepare

EGO = SHARED / 'data' / 'real' / 'egogestar'
LABELS = ('wave', 'point', 'none')  # the last is the background
FRAMES = {'wave': 14, 'point': 20, 'none': 17}
PER_LABEL = {'train': 3, 'test': 2}


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """Joining and indexing in this process: spawning others takes longer than a few clips."""

    def serially(function, jobs, workers=None, **_):
        return ((job, function(job)) for job in jobs)

    for module in (join, index):
        monkeypatch.setattr(module, 'in_processes', serially)
        monkeypatch.setattr(module, 'progress_bar', lambda *arguments: nullcontext(lambda: None))


def draw(path: Path, number: int, num_frames: int, size=(64, 48), fps=25) -> None:
    """A clip whose left half tells its number, 16 gray levels apart, and whose right half tells the frame, 8 apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, 'yuv420p'
        stream.codec_context.options = {'qp': '8'}
        for frame in range(num_frames):
            picture = np.zeros((size[1], size[0], 3), np.uint8)
            picture[:, : size[0] // 2], picture[:, size[0] // 2 :] = 16 * number, 8 * frame
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def shown(path: Path) -> list[tuple[int, int]]:
    """(number of the clip, its frame) that every frame of a joined video shows."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format='rgb24').astype(float) for frame in container.decode(video=0)]
    middle = frames[0].shape[1] // 2
    return [(round(f[:, : middle - 4].mean() / 16), round(f[:, middle + 4 :].mean() / 8)) for f in frames]


def lay(root: Path, **looks) -> tuple[Path, dict[str, int]]:
    """A table of clips, and the number that each shows; `looks` gives a label another size or rate."""
    rows, numbers = [], {}
    for label in LABELS:
        for split, count in PER_LABEL.items():
            for place in range(count):
                name = f'{label}/{split}{place}.mp4'
                numbers[name] = len(numbers)
                draw(root / name, numbers[name], FRAMES[label], **looks.get(label, {}))
                rows.append({'path': name, 'label': label, 'split': split})
    with (root / 'clips.csv').open('w', newline='') as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return root / 'clips.csv', numbers


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    return lay(tmp_path_factory.mktemp('clips'))


def run(capsys, table, out, *more):
    arguments = ('--csv', table, '--background', 'none', '--actions', 2, 3, '--out', out, *more)
    return call_main(prepare.main, capsys, 'join', *arguments)


def test_boundaries_are_exact_and_every_frame_is_in_its_place(clips, tmp_path, capsys):
    table, numbers = clips
    done = run(capsys, table, tmp_path / 'long')
    assert done.returncode == 0, done.stderr
    card = load_dataset_card(str(tmp_path / 'long'))
    assert (card.task, card.info['classes'], card.info['metric']) == ('localization', ['point', 'wave'], 'map_30_70')
    used = Counter()
    for split in ('train', 'test'):
        for entry in card.entries(split):
            seen = shown(Path(entry['filename']))
            assert len(seen) == entry['total_frames']
            assert entry['fps'] == 25
            names = {number: name for name, number in numbers.items()}
            label_at = [names[number].split('/')[0] for number, _ in seen]
            assert all(f'/{split}' in names[number] for number, _ in seen)  # nothing of the other split
            is_action = np.zeros(len(seen), dtype=bool)
            for start, end, label in entry['annotation']['actions']:
                first, after = start * 25, end * 25
                assert (first, after) == (pytest.approx(round(first), abs=1e-4), pytest.approx(round(after), abs=1e-4))
                first, after = round(first), round(after)
                name = card.info['classes'][label]
                (number,) = {clip for clip, _ in seen[first:after]}
                assert label_at[first:after] == [name] * FRAMES[name]
                assert [frame for _, frame in seen[first:after]] == list(range(FRAMES[name]))  # whole, in order
                assert label_at[first - 1] == label_at[after] == 'none'  # to the frame
                is_action[first:after] = True
                used[number] += 1
            assert not any(name == 'none' for name, flag in zip(label_at, is_action) if flag)
            assert all(name == 'none' for name, flag in zip(label_at, is_action) if not flag)
            assert entry['label'] == tuple(sorted({label for *_, label in entry['annotation']['actions']}))
    assert used == {number: 1 for name, number in numbers.items() if not name.startswith('none')}


def test_the_card_and_the_record_say_what_the_videos_are(clips, tmp_path, capsys):
    done = run(capsys, clips[0], tmp_path / 'long', '--stride-frames', 2)
    note = (
        'concatenations, not recordings: 10 clips of actions, each in one video, with stretches of 5 clips of '
        "'none' between them; every boundary is a cut; 64x48 at 25 frames a second, whatever a clip had"
    )
    assert note in done.stdout
    card = load_dataset_card(str(tmp_path / 'long'))
    assert card.info['note'] == note
    assert card.info['sampling'] == {'num_frames': 16, 'stride_frames': 2}
    made = json.loads((tmp_path / 'long' / 'joined.json').read_text())
    assert (made['background'], made['fps'], made['seed']) == ('none', 25.0, 0)
    clip, sha256, label, first, last, count = made['videos']['test/0000.mp4'][1]
    assert (label, first, last, count) == (clip.split('/')[0], 0, FRAMES[label] - 1, FRAMES[label])
    assert sha256 == load_index(tmp_path / 'long' / 'clips.jsonl')[clip].sha256


def test_it_goes_on_and_repeats_byte_for_byte(clips, tmp_path, capsys):
    assert run(capsys, clips[0], tmp_path / 'a').returncode == 0
    assert run(capsys, clips[0], tmp_path / 'b').returncode == 0
    videos = sorted((tmp_path / 'a' / 'videos').rglob('*.mp4'))
    other = [tmp_path / 'b' / path.relative_to(tmp_path / 'a') for path in videos]
    assert [path.read_bytes() for path in videos] == [path.read_bytes() for path in other]
    before = [path.stat().st_mtime_ns for path in videos]
    (videos[0].with_name(f'.{videos[0].name}.tmp')).write_bytes(b'what a kill has left')
    lost = videos.pop()
    before.pop()
    lost.unlink()
    assert run(capsys, clips[0], tmp_path / 'a').returncode == 0
    assert [path.stat().st_mtime_ns for path in videos] == before
    assert lost.read_bytes() == other[-1].read_bytes()
    assert_one_sentence(run(capsys, clips[0], tmp_path / 'a', '--seed', 1), 'joined with other seed', 'another --out')
    assert run(capsys, clips[0], tmp_path / 'c', '--seed', 1).returncode == 0
    assert (tmp_path / 'c' / 'annotations.json').read_text() != (tmp_path / 'a' / 'annotations.json').read_text()
    other[0].write_bytes(other[1].read_bytes())  # another video under its name
    assert_one_sentence(run(capsys, clips[0], tmp_path / 'b'), 'remove it and run the command again')


@pytest.mark.parametrize(
    ('num_frames', 'fps', 'rate', 'expected'),
    [
        (5, 25.0, 25, (0, 1, 2, 3, 4)),
        (6, 30.0, 15, (1, 3, 5)),  # the frame in the middle of each longer one
        (3, 10.0, 20, (0, 0, 1, 1, 2, 2)),
        (4, 29.97003, Fraction(30000, 1001), (0, 1, 2, 3)),
        (1, 30.0, 1, (0,)),
    ],
)
def test_a_clip_is_shown_at_its_own_speed(num_frames, fps, rate, expected):
    assert picks(FrameTimes.constant(num_frames, fps), Fraction(rate)) == expected


def test_a_clip_without_a_constant_rate_keeps_its_times():
    times = FrameTimes.listed([0, 0.04, 0.08, 0.2, 0.28], 0.32)
    assert picks(times, Fraction(25)) == (0, 1, 2, 2, 2, 3, 3, 4)
    assert picks(times, Fraction(10)) == (1, 2, 3)


def test_turned_coloured_and_uneven_clips_are_joined_as_they_are_shown(tmp_path):
    rows = ['path,label,split']
    looks = {
        'none': {},
        'point': {'rotation': 90, 'size': (48, 64), 'num_frames': 10},
        'wave': {'milliseconds': [0, 40, 80, 400, 440], 'matrix': 1, 'full_range': True},
    }
    for split in ('train', 'test'):
        for label, look in looks.items():
            path = tmp_path / 'clips' / f'{label}_{split}.mkv'
            path.parent.mkdir(exist_ok=True)
            written(path.with_suffix('.mp4') if 'rotation' in look else path, **look)
            rows.append(f'{path.with_suffix(".mp4").name if "rotation" in look else path.name},{label},{split}')
    table = tmp_path / 'clips' / 'clips.csv'
    table.write_text('\n'.join(rows) + '\n')
    arguments = ['--csv', table, '--background', 'none', '--out', tmp_path / 'out', '--fps', 25]
    assert prepare.main(['join', *map(str, arguments), '--frame-size', '64x48', '--workers', '1']) == 0
    card = load_dataset_card(str(tmp_path / 'out'))
    (entry,) = card.entries('test')
    spans = {card.info['classes'][label]: (start, end) for start, end, label in entry['annotation']['actions']}
    assert spans['wave'][1] - spans['wave'][0] == pytest.approx(0.48)
    assert spans['point'][1] - spans['point'][0] == pytest.approx(0.4)
    with open_video(entry['filename']) as video:
        assert (video.turn, video.colour) == (Turn(), Colour())
        frames = list(map(ToRGB(), video.frames()))
    assert {frame.shape for frame in frames} == {(48, 64, 3)}
    for label, number, turns in (('wave', 2, 0), ('point', 5, 1), ('none', 3, 0)):
        place = 3 if label == 'none' else round(spans[label][0] * 25) + (5 if label == 'wave' else number)
        wanted = np.rot90(picture(number, *looks[label].get('size', (64, 48))), turns)
        for row in (8, 40):  # away from the edges between colours
            for column in (8, 56):
                if label != 'none' or (row, column) != (40, 56):  # the stretch of background begins anywhere
                    off = frames[place][row - 3 : row + 3, column - 3 : column + 3].mean(axis=(0, 1))
                    assert np.abs(off - wanted[row, column]).max() <= 5, (label, row, column)  # coded twice


def test_other_rates_and_sizes_are_refused_or_made_the_stated_one(tmp_path, capsys):
    table, numbers = lay(tmp_path, wave={'size': (80, 60)}, none={'fps': 50})
    out = tmp_path / 'long'
    words = ('15 clips have 2 frame sizes, 64x48 (10), 80x60 (5)', '--frame-size WIDTHxHEIGHT')
    assert_one_sentence(run(capsys, table, out), *words)
    words = ('15 clips have 2 frame rates, 25 to 50 per second', '--fps')
    assert_one_sentence(run(capsys, table, out, '--frame-size', '72x48'), *words)
    done = run(capsys, table, out, '--frame-size', '72x48', '--fps', 25)
    assert done.returncode == 0, done.stderr
    assert '72x48 at 25 frames a second, whatever a clip had' in done.stdout
    made = load_index(out / 'index.jsonl')
    assert {(video.width, video.height, video.fps) for video in made.values()} == {(72, 48, 25.0)}
    seen = shown(out / 'videos' / 'test' / '0000.mp4')
    none = [frame for number, frame in seen[:9] if number >= 10]
    assert len(none) >= 4
    assert set(np.diff(none)) == {2}  # at twice the rate every second frame is shown
    assert_one_sentence(
        run(capsys, table, tmp_path / 'b', '--frame-size', '71x48', '--fps', 25), '71x48 cannot be made'
    )


def test_an_unreadable_clip_is_named_and_counted(clips, tmp_path, capsys):
    table, _ = lay(tmp_path)
    (tmp_path / 'wave' / 'train1.mp4').write_bytes(b'no video')
    done = run(capsys, table, tmp_path / 'long')
    assert_one_sentence(done, '1 of 15 videos are unreadable', status=1)
    assert 'unreadable: wave/train1.mp4' in done.stdout
    assert not (tmp_path / 'long' / 'videos').exists()
    done = run(capsys, table, tmp_path / 'long', '--allow-unreadable')
    assert done.returncode == 0
    assert 'unreadable: wave/train1.mp4' in done.stdout
    assert load_dataset_card(str(tmp_path / 'long')).info['note'].endswith('; 1 unreadable clips left out')
    actions = json.loads((tmp_path / 'long' / 'annotations.json').read_text())
    assert sum(len(entry['actions']) for entry in actions.values()) == 9
    for place in range(2):
        (tmp_path / 'none' / f'test{place}.mp4').write_bytes(b'no video')
    done = run(capsys, table, tmp_path / 'other', '--allow-unreadable')
    assert_one_sentence(done, "No readable clip of test has the background label 'none'")
    for file in tmp_path.glob('*/*.mp4'):
        file.write_bytes(b'no video')
    assert_one_sentence(run(capsys, table, tmp_path / 'third', '--allow-unreadable'), 'None of the 15 clips')


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (('--background', 'nothing'), "Unknown label 'nothing'. Known: none, point, wave"),
        (('--actions', 3, 2), '--actions 3 2'),
        (('--seed', -1), 'The seed is -1'),
        (('--fps', 0), '--fps 0.0'),
        (('--test-where', 'split=wave'), 'No video is in the test split'),
        (('--csv', 'nowhere.csv', '.'), "No CSV file at 'nowhere.csv'"),
    ],
)
def test_bad_input_ends_in_a_sentence(clips, tmp_path, capsys, arguments, words):
    assert_one_sentence(run(capsys, clips[0], tmp_path / 'long', *arguments), words)
    assert not (tmp_path / 'long').exists()


def test_a_split_without_action_or_background_and_foreign_folders_are_refused(clips, tmp_path, capsys):
    info = Index('.', [VideoInfo(f'{n}.mp4', readable=True, frames=9, fps=25.0) for n in range(3)])
    joining = Joining('none', 25.0, 64, 48)
    with pytest.raises(DataError, match=r"All readable clips of test are background \('none'\)"):
        plan({'train': [('0.mp4', 'a'), ('1.mp4', 'none')], 'test': [('2.mp4', 'none')]}, info, joining)
    with pytest.raises(DataError, match="No readable clip of train has the background label 'none'"):
        plan({'train': [('0.mp4', 'a')], 'test': [('1.mp4', 'a'), ('2.mp4', 'none')]}, info, joining)
    with pytest.raises(DataError, match=r'2 videos \(0.mp4, 1.mp4\) are background; action clips are needed'):
        join.check_background({'train': [('0.mp4', 'none'), ('1.mp4', 'none')]}, 'none')
    (tmp_path / 'dataset.py').write_text('')
    assert_one_sentence(run(capsys, clips[0], tmp_path), 'holds a dataset that was not joined')
    assert [file.name for file in tmp_path.iterdir()] == ['dataset.py']
    with pytest.raises(SystemExit):
        run(capsys, clips[0], tmp_path / 'x', '--frame-size', '64')
    assert "'64' is not WIDTHxHEIGHT" in capsys.readouterr().err


def test_what_is_refused_replaces_nothing(clips, tmp_path, capsys):
    out, (other, _) = tmp_path / 'long', lay(tmp_path / 'other', wave={'fps': 20})
    assert run(capsys, clips[0], out).returncode == 0
    before = {file: file.read_bytes() for file in out.rglob('*') if file.is_file()}
    assert_one_sentence(run(capsys, other, out, '--fps', 25), 'joined with other clips')
    assert_one_sentence(run(capsys, clips[0], out, '--seed', 1), 'holds videos that were joined with other seed')
    assert {file: file.read_bytes() for file in out.rglob('*') if file.is_file()} == before


def test_a_clip_that_is_shorter_than_the_index_says_leaves_no_video(clips, tmp_path):
    root = clips[0].parent
    pieces = (Piece('wave/train0.mp4', 'wave', (0, 1, FRAMES['wave'])),)
    reason = join_video(str(root), str(tmp_path / 'v.mp4'), pieces, Joining('none', 25.0, 64, 48))
    assert reason.endswith(f'wave/train0.mp4 ends before its frame {FRAMES["wave"]}')
    assert list(tmp_path.iterdir()) == []


def test_background_comes_again_only_after_all_have_come():
    info = Index('.', [VideoInfo(f'{n}.mp4', readable=True, frames=40, fps=25.0) for n in range(30)])
    splits = {'train': [(f'{n}.mp4', 'none' if n < 4 else 'a') for n in range(30)]}
    videos = plan(splits, info, Joining('none', 25.0, 64, 48, (3, 5)))
    rests = [piece for pieces in videos.values() for piece in pieces if piece.label is None]
    assert len(rests) == 26 + len(videos)
    for begin in range(0, len(rests) - 3, 4):
        assert {piece.clip for piece in rests[begin : begin + 4]} == {f'{n}.mp4' for n in range(4)}
    lengths = [len(piece.picks) for piece in rests]
    assert min(lengths) >= 20
    assert len(set(lengths)) > 5
    counts = [sum(piece.label is not None for piece in pieces) for pieces in videos.values()]
    assert sum(counts) == 26
    assert all(3 <= count <= 5 for count in counts[:-1])
    assert all(pieces[0].label is None and pieces[-1].label is None for pieces in videos.values())


@pytest.mark.skipif(not EGO.is_dir(), reason='the real footage of ../shared is not here')
def test_the_real_gestures_can_be_joined():
    """No gesture is left out or stands in two videos, and no clip in both splits."""
    with (EGO / 'clips.csv').open() as file:
        rows = list(csv.DictReader(file))
    splits = {'train': [], 'test': []}
    for row in rows:
        splits['test' if 16 <= int(row['serial']) <= 22 else 'train'].append((row['path'], row['label']))
    infos = [VideoInfo(r['path'], readable=True, frames=int(r['frames']), fps=float(r['orig_fps'])) for r in rows]
    videos = plan(splits, Index(EGO, infos), Joining('unclassified', 15.0, 170, 128))
    actions = [piece.clip for pieces in videos.values() for piece in pieces if piece.label]
    assert len(actions) == len(set(actions)) == 217
    for split, pairs in splits.items():
        used = {piece.clip for video, pieces in videos.items() if video.startswith(split) for piece in pieces}
        assert used == {clip for clip, _ in pairs}
