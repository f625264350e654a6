"""The forms for other tasks: labels and annotations say what the pictures show, and nothing else tells the labels."""

import io
import json
from collections import Counter
from dataclasses import replace

import av
import numpy as np
import pytest
from mmengine.config import Config

from sigma.data import index
from sigma.data.cards import load_dataset_card
from sigma.datasets.toy import render as toy
from sigma.datasets.toy.forms import COUNTS, FORMS, MOTIONS, RHYTHMS, SPEEDS, Motion, motions_of, rhythm_phases
from sigma.datasets.toy.render import ToySpec, clip_frames, clip_motion, encode, scene_frames
from sigma.datasets.toy.scenes import DOMAINS, NUM_PHASES, Pose, draw_pair, draw_scene
from tools import prepare

RHYTHM, SPEED = ToySpec(form='rhythms'), ToySpec(form='speeds')
REPETITION, PAIR = ToySpec(form='repetition'), ToySpec(form='two_movers')


def scene_of(spec, split, label, number):
    """The scene of a clip: `clip_frames` draws the same."""
    for_scene, _ = toy._generators(spec, split, label, number)
    return FORMS[spec.form].draw(for_scene, spec, split)


def centroids(frames, background) -> np.ndarray:
    """(T, 2) x and y of what differs from the background, in pixels."""
    weights = np.abs(frames.astype(float) - background).sum(3)
    weights *= weights > 60
    rows, columns = np.mgrid[: frames.shape[1], : frames.shape[2]]
    total = weights.sum((1, 2))
    return np.stack([(weights * columns).sum((1, 2)) / total, (weights * rows).sum((1, 2)) / total], 1)


def bag(frames) -> Counter:
    return Counter(frame.tobytes() for frame in frames)


def decode(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)])


def angles_of(scene, places: np.ndarray) -> np.ndarray:
    """Angles on the scene's orbit, in turns, unwrapped, from places in units of the side."""
    x, y = (places - scene.centre).T
    cos, sin = np.cos(scene.tilt), np.sin(scene.tilt)
    along, across = (cos * x + sin * y) / scene.radii[0], (cos * y - sin * x) / scene.radii[1]
    return np.unwrap(np.arctan2(across, along)) / (2 * np.pi)


def turned(spec, label, number) -> np.ndarray:
    """(T,) turns made since the first frame, signed, as the pictures of a test clip show them."""
    scene = scene_of(spec, 'test', label, number)
    frames = clip_frames(spec, 'test', label, number)
    angles = angles_of(scene, (centroids(frames, scene.background) + 0.5) / spec.size)
    return angles - angles[0]


# ------------------------------------------------------------------------------------------------------- rhythms


@pytest.mark.parametrize('spec', [RHYTHM, replace(RHYTHM, domain='shift', level='hard')])
def test_a_bag_of_sampled_frames_tells_no_rhythm(spec):
    """For one scene the classes show the same pictures, byte for byte, before and after coding."""
    domain = DOMAINS[spec.domain]
    scene = draw_scene(np.random.default_rng(5), spec, 'train')
    drawn, coded, orders = [], [], set()
    for label in spec.classes:
        motion = FORMS['rhythms'].motion(label, 0, domain, np.random.default_rng(1))
        frames = scene_frames(scene, motion)
        decoded = decode(encode(frames, domain.fps, domain.stride_frames))
        drawn.append(bag(frames[:: domain.stride_frames]))
        coded.append(bag(decoded[:: domain.stride_frames]))
        orders.add(tuple(frame.tobytes() for frame in frames[:: domain.stride_frames]))
    assert len(drawn[0]) == NUM_PHASES
    assert all(other == drawn[0] for other in drawn)
    assert all(other == coded[0] for other in coded)
    assert len(orders) == len(spec.classes) == 4


@pytest.mark.parametrize('label, frame', RHYTHMS.items())
@pytest.mark.parametrize('stride', [2, 3])
def test_a_rhythm_is_one_turn_that_hurries_at_its_frame(label, frame, stride):
    phases = np.array(rhythm_phases(label, stride))
    assert len(phases) == NUM_PHASES * stride
    steps = np.diff(np.append(phases, phases[0])) % NUM_PHASES  # round the whole clip
    assert steps.sum() == pytest.approx(NUM_PHASES)
    speeds = steps * stride
    fast, slow = frame * stride, (frame * stride + 8 * stride) % len(phases)
    # 1 + 2 pi b at the class's frame, 1 - 2 pi b half a clip later, for b = 0.1
    assert (speeds[fast] + speeds[fast - 1]) / 2 == pytest.approx(1.628, abs=0.02)
    assert (speeds[slow] + speeds[slow - 1]) / 2 == pytest.approx(0.372, abs=0.02)


def test_rhythms_show_on_the_screen():
    """The speed about each candidate frame, from pictures alone, names the class; both directions occur."""
    right, directions = [], Counter()
    for label in RHYTHM.classes:
        for number in range(6):
            turns = turned(RHYTHM, label, number)
            directions[np.sign(turns[-1])] += 1
            speeds = np.abs(np.diff(turns))
            period = np.append(speeds, speeds[0])
            found = max(RHYTHMS, key=lambda name: sum(np.roll(period, 4 - 2 * RHYTHMS[name])[:8]))
            right.append(found == label)
    assert np.mean(right) >= 0.95
    assert min(directions[-1], directions[1]) >= 6


# -------------------------------------------------------------------------------------------------------- speeds


def test_speeds_show_on_the_screen():
    """Turns made in 31 frames, from pictures alone, are 31/32 of the class's, either way round."""
    signs = Counter()
    for label, turns in SPEEDS.items():
        for number in range(5):
            made = turned(SPEED, label, number)
            signs[np.sign(made[-1])] += 1
            assert abs(made[-1]) == pytest.approx(turns * 31 / 32, abs=0.06)
            assert np.abs(np.diff(made)) == pytest.approx(turns / 32, abs=0.035)  # even
    assert min(signs[-1], signs[1]) >= 6


@pytest.mark.parametrize('form', ['rhythms', 'speeds'])
def test_the_direction_knows_nothing_of_the_class(form):
    spec = ToySpec(form=form)
    for label in spec.classes:
        signs = [np.sign(np.sum(clip_motion(spec, 'train', label, number).places)) for number in range(80)]
        assert 25 <= signs.count(1) <= 55  # 40 +- 3.4 standard deviations


# ---------------------------------------------------------------------------------------------------- repetition


def shown_count(frames, background) -> float:
    """Cycles from pictures alone: crossings of the middle of the longer axis of the path, two a cycle."""
    places = centroids(frames, background)
    moving = places[np.append(np.abs(np.diff(frames.astype(int), axis=0)).sum((1, 2, 3)) > 0, False)]
    along = places @ np.linalg.svd(moving - moving.mean(0))[2][0]
    along -= (along.max() + along.min()) / 2
    side = np.sign(np.where(np.abs(along) < 1, 0, along))  # a pixel of hysteresis
    side = side[side != 0]
    crossings = np.count_nonzero(np.diff(side)) + (side[0] != side[-1])
    return crossings / 2


def test_counts_are_balanced():
    labels = toy.entries(REPETITION)
    assert Counter(label for _, label in labels['train']) == {2: 35, 3: 35, 4: 34, 5: 34, 6: 34, 7: 34, 8: 34}
    assert Counter(label for _, label in labels['test']) == {2: 15, 3: 15, 4: 14, 5: 14, 6: 14, 7: 14, 8: 14}


def test_the_count_shows_on_the_screen():
    right = []
    for number in range(42):
        label = FORMS['repetition'].label_of(number)
        background = scene_of(REPETITION, 'test', label, number).background
        right.append(shown_count(clip_frames(REPETITION, 'test', label, number), background) == label)
    assert np.mean(right) >= 0.95


def test_cycles_are_where_the_motion_begins_and_returns():
    for number in range(21):
        label = FORMS['repetition'].label_of(number)
        cycles = clip_motion(REPETITION, 'train', label, number).annotation['cycles']
        frames = clip_frames(REPETITION, 'train', label, number)
        background = scene_of(REPETITION, 'train', label, number).background
        assert len(cycles) == label + 1
        first, last = cycles[0], cycles[-1]
        still = frames[first].tobytes()
        assert all(frame.tobytes() == still for frame in (*frames[:first], *frames[last + 1 :]))
        assert frames[first + 1].tobytes() != still != frames[last - 1].tobytes()
        places = centroids(frames, background)
        path = np.linalg.norm(np.diff(places, axis=0), axis=1).max()  # pixels in the fastest frame
        # rounded to frames, a boundary is at most half a frame from the return
        assert np.linalg.norm(places[cycles] - places[first], axis=1).max() <= 0.5 * path + 0.5


def test_periods_drift_by_a_fifth_at_most_and_are_never_too_short_to_see():
    drifts, begins, ends, lengths = [], [], [], []
    for number in range(240):
        label = FORMS['repetition'].label_of(number)
        motion = clip_motion(REPETITION, 'train', label, number)
        cycles, num_frames = motion.annotation['cycles'], len(motion.places)
        periods, mean = np.diff(cycles), (cycles[-1] - cycles[0]) / label
        assert periods.min() >= 5
        assert np.abs(periods - mean).max() <= 0.2 * mean + 1  # each boundary is rounded
        drifts.append(np.abs(periods - mean).max() / mean)
        begins.append(cycles[0])
        ends.append(num_frames - 1 - cycles[-1])
        assert max(begins[-1], ends[-1]) <= 0.1 * num_frames
        lengths.append(num_frames)
    assert (min(lengths), max(lengths)) == (64, 96)
    assert np.quantile(drifts, 0.9) > 0.1
    for still in (begins, ends):
        assert 0.35 < np.mean(np.array(still) > 0) < 0.55  # half of them, less those that draw 0 frames


def test_scene_length_and_still_time_know_nothing_of_the_count():
    for number in range(3):
        clips = [clip_motion(REPETITION, 'train', count, number) for count in COUNTS]
        ends = {(len(clip.places), clip.annotation['cycles'][0], clip.annotation['cycles'][-1]) for clip in clips}
        assert len(ends) == 1
        pictures = {clip_frames(REPETITION, 'train', count, number)[0].tobytes() for count in (2, 8)}
        assert len(pictures) == 1


def test_half_of_the_movers_go_to_and_fro():
    small = replace(REPETITION, size=32)
    flat = [scene_of(small, 'train', 2, number).radii[1] == 0 for number in range(100)]
    assert 35 <= sum(flat) <= 65


# ---------------------------------------------------------------------------------------------------- two movers


def shown_motion(scene, poses) -> str:
    """The motion of a mover alone on its background, from pictures: how its place and its size go."""
    frames = np.stack([scene.frame((pose,)) for pose in poses])
    weights = np.abs(frames.astype(float) - scene.background).sum(3)
    areas = (weights > 60).sum((1, 2))
    x, y = (centroids(frames, scene.background) - centroids(frames[:1], scene.background)).T
    if areas.max() / areas.min() > 1.5:
        return 'grow_and_shrink'
    spread_x, spread_y = np.ptp(x), np.ptp(y)
    if max(spread_x, spread_y) < 4:
        return 'spin'
    if min(spread_x, spread_y) < 0.3 * max(spread_x, spread_y):
        return 'to_and_fro' if spread_x > spread_y else 'up_and_down'
    x, y = x - x.mean(), y - y.mean()
    turn = np.sum(x[:-1] * y[1:] - y[:-1] * x[1:])  # y points down: a positive turn is clockwise
    return 'circle_cw' if turn > 0 else 'circle_ccw'


def test_pairs_of_motions_are_balanced():
    assert Counter(map(motions_of, range(36))) == {(a, b): 1 for a in MOTIONS for b in MOTIONS}
    labels = toy.entries(PAIR)
    assert Counter(len(label) for _, label in labels['train']) == {1: 40, 2: 200}
    assert list(MOTIONS) == sorted(MOTIONS)
    for pairs in labels.values():
        assert {name for _, label in pairs for name in label} == set(MOTIONS)
        assert all(label == tuple(sorted(set(label))) for _, label in pairs)


def test_motions_show_on_the_screen():
    """Each mover alone, while its action runs; away from the frame's border, which cuts movers off."""
    right = []
    for number in range(36):
        label = FORMS['two_movers'].label_of(number)
        scene, motion = scene_of(PAIR, 'test', label, number), clip_motion(PAIR, 'test', label, number)
        for place, name in enumerate(motions_of(number)):
            alone = replace(scene, movers=(scene.movers[place],), homes=((0.5, 0.5),), turns=(scene.turns[place],))
            right.append(shown_motion(alone, [poses[place] for poses in motion.places]) == name)
    assert np.mean(right) >= 0.95


@pytest.mark.parametrize('spec', [PAIR, replace(PAIR, domain='shift')])
def test_actions_are_exactly_when_something_moves(spec):
    fps = DOMAINS[spec.domain].fps
    for number in range(12):
        label = FORMS['two_movers'].label_of(number)
        motion = clip_motion(spec, 'train', label, number)
        actions = motion.annotation['actions']
        assert tuple(sorted({name for _, _, name in actions})) == label
        assert sorted(name for _, _, name in actions) == sorted(motions_of(number))
        moving = np.zeros(64, bool)
        for start, end, _ in actions:
            first, last = start * fps, end * fps
            assert (first, last) == (pytest.approx(round(first), abs=1e-4), pytest.approx(round(last), abs=1e-4))
            assert 24 <= round(last) - round(first) <= 48
            assert 0 <= round(first) < round(last) <= 63
            moving[round(first) + 1 : round(last)] = True
        frames = clip_frames(spec, 'train', label, number)
        same = np.array([frame.tobytes() == frames[0].tobytes() for frame in frames])
        assert same[~moving].all()
        assert np.mean(same[moving]) < 0.1  # halfway through its period a mover may be at home again


def test_a_mover_is_at_rest_before_and_after_its_action_and_returns_there():
    for name, pose_at in MOTIONS.items():
        for amplitude in (-0.8, 1.0):
            begin, end = pose_at(0.0, amplitude, 1.0), pose_at(2 * np.pi, amplitude, 1.0)
            assert begin == Pose()
            turns = 2 * np.pi if name == 'spin' else 0
            assert (end.x, end.y, end.scale) == (pytest.approx(0), pytest.approx(0), pytest.approx(1))
            assert abs(end.turn) == pytest.approx(turns)


def test_circles_are_clockwise_on_screen():
    scene = draw_pair(np.random.default_rng(3), PAIR, 'train')
    scene = replace(scene, movers=scene.movers[:1], homes=((0.5, 0.5),), turns=scene.turns[:1])
    angles = np.linspace(0, 2 * np.pi, 24)
    for name in ('circle_cw', 'circle_ccw'):
        assert shown_motion(scene, [MOTIONS[name](angle, 1.0, 2.0) for angle in angles]) == name


def test_where_movers_rest_knows_nothing_of_their_motions():
    """A scene has no part in the motions: another label, the same first picture."""
    scene = scene_of(PAIR, 'train', ('spin',), 5)
    still = Motion([(Pose(), Pose())])
    assert scene_frames(scene, still)[0].tobytes() == clip_frames(PAIR, 'train', ('circle_ccw', 'spin'), 5)[0].tobytes()


# --------------------------------------------------------------------------------------------------- the datasets


@pytest.fixture
def one_process(monkeypatch):
    """Rendering and indexing in this process: spawning others takes longer than a few clips."""

    def serially(function, jobs, workers=None, **_):
        return ((job, function(job)) for job in jobs)

    monkeypatch.setattr(toy, 'in_processes', serially)
    monkeypatch.setattr(index, 'in_processes', serially)


def test_one_command_prepares_the_whole_suite_and_goes_on(tmp_path, one_process, capsys):
    arguments = ['toy', '--form', 'all', '--clips-per-class', '2', '1', '--size', '32', '--out', str(tmp_path)]
    assert prepare.main(arguments) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(toy.SETS) == {
        *('toy', 'toy_shift', 'toy_shift_hard', 'toy_rhythms', 'toy_speeds', 'toy_repetition', 'toy_two_movers')
    }  # fmt: skip
    for name, spec in toy.SETS.items():
        card = load_dataset_card(str(tmp_path / name))
        assert (card.name, card.task) == (name, FORMS[spec.form].task)
        entries = card.entries('train')
        assert len(entries) == 2 * len(spec.classes) if card.task == 'action_recognition' else 2
        assert all(entry['reason'] is None for entry in entries)
        assert json.loads((tmp_path / name / 'toy.json').read_text())['form'] == spec.form
    entry = load_dataset_card(str(tmp_path / 'toy_repetition')).entries('train')[1]
    assert (entry['label'], len(entry['annotation']['cycles'])) == (3, 4)
    entry = load_dataset_card(str(tmp_path / 'toy_two_movers')).entries('train')[1]
    assert entry['total_frames'] == 64
    classes = load_dataset_card(str(tmp_path / 'toy_two_movers')).info['classes']
    assert [classes[number] for number in entry['label']] == ['circle_ccw', 'circle_cw']
    assert sorted(number for *_, number in entry['annotation']['actions']) == list(entry['label'])

    videos = sorted(tmp_path.rglob('*.mp4'))
    before = [path.stat().st_mtime_ns for path in videos]
    lost = videos.pop()
    before.pop()
    lost.unlink()
    assert prepare.main(arguments) == 0
    assert [path.stat().st_mtime_ns for path in videos] == before
    assert lost.is_file()


@pytest.mark.parametrize('form', FORMS)
def test_the_command_knows_every_form(form):
    assert prepare._parser(['toy']).parse_args(['toy', '--form', form, '--out', 'x']).form == form


@pytest.mark.parametrize('option', [('--domain', 'shift'), ('--level', 'hard')])
def test_what_the_suite_decides_is_refused(option, tmp_path, capsys):
    assert prepare.main(['toy', '--form', 'all', '--out', str(tmp_path / 'out'), *option]) == 2
    assert f'--form all sets {option[0]} itself' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_another_form_into_the_same_folder_is_refused(tmp_path, one_process, capsys):
    small = ['--clips-per-class', '1', '1', '--out', str(tmp_path / 'toy')]
    assert prepare.main(['toy', '--form', 'speeds', *small]) == 0
    assert prepare.main(['toy', '--form', 'rhythms', *small]) == 2
    assert "form 'speeds', not 'rhythms'" in capsys.readouterr().err


def test_the_command_of_a_card_makes_that_set(one_process, tmp_path, monkeypatch):
    """`prepare` of every card, with few clips, writes the fields of the card; only lists and hashes differ."""
    monkeypatch.setenv('SIGMA_DATA', str(tmp_path))
    for name in ('toy_shift_hard', 'toy_repetition'):
        card = toy.card(toy.SETS[name])
        words = card['prepare'].replace('"$SIGMA_DATA', str(tmp_path)).replace('"', '').split()[2:]
        assert prepare.main([*words, '--clips-per-class', '1', '1']) == 0
        info = Config.fromfile(tmp_path / name / 'dataset.py').dataset_info
        assert {key: info[key] for key in card if key != 'prepare'} == {k: v for k, v in card.items() if k != 'prepare'}
