"""The rendered dataset: nothing but motion tells the class, and equal parameters give equal bytes."""

import hashlib
import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import PIL
import pytest

from sigma.data.index import VideoInfo
from sigma.datasets.toy import render as toy
from sigma.datasets.toy.forms import orbit_phases, visited_phases
from sigma.datasets.toy.render import ToySpec, clip_frames, clip_motion, encode, render, scene_frames
from sigma.datasets.toy.scenes import DOMAINS, NUM_PHASES, draw_scene, photograph
from sigma.errors import DataError

CLASSES = ToySpec().classes
MAIN, SHIFT = ToySpec(), ToySpec(domain='shift')


def sampled(frames: np.ndarray, spec: ToySpec) -> np.ndarray:
    return frames[:: DOMAINS[spec.domain].stride_frames]


def bag(frames: np.ndarray) -> Counter:
    """The frames without their order, byte for byte."""
    return Counter(frame.tobytes() for frame in frames)


def decode(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)])


def test_there_are_ten_classes_in_alphabetical_order():
    assert len(set(CLASSES)) == 10
    assert list(CLASSES) == sorted(CLASSES)


@pytest.mark.parametrize('label', CLASSES)
def test_each_class_visits_each_phase_once(label):
    assert sorted(visited_phases(label)) == list(range(NUM_PHASES))


def test_no_two_classes_are_one_order_seen_from_another_start():
    """The start is uniform on the circle, so classes must differ by more than a rotation."""
    steps = {label: tuple(np.diff(visited_phases(label)) % NUM_PHASES) for label in CLASSES}
    assert len(set(steps.values())) == len(CLASSES)


@pytest.mark.parametrize('label', CLASSES)
@pytest.mark.parametrize('stride', [2, 3])
def test_frames_follow_the_motion_by_the_shorter_arc(label, stride):
    phases = np.array(orbit_phases(label, stride))
    assert len(phases) == NUM_PHASES * stride
    assert phases[::stride].tolist() == list(visited_phases(label))
    arcs = (np.diff(phases) + 8) % NUM_PHASES - 8
    assert np.abs(arcs).max() <= 3 / stride + 1e-9
    parts = arcs[: stride * (NUM_PHASES - 1)].reshape(NUM_PHASES - 1, stride)
    assert np.allclose(parts, parts[:, :1])  # each step is walked in equal parts


@pytest.mark.parametrize('spec', [MAIN, SHIFT, replace(MAIN, level='hard'), replace(MAIN, size=112)])
def test_the_sampled_frames_of_a_scene_are_the_same_in_every_class(spec):
    scene = draw_scene(np.random.default_rng(5), spec, 'train')
    clips = [scene_frames(scene, clip_motion(spec, 'train', label, 0)) for label in CLASSES]
    bags = [bag(sampled(clip, spec)) for clip in clips]
    assert all(other == bags[0] for other in bags)
    assert len(bags[0]) == NUM_PHASES  # 16 different pictures, or the orders would not differ
    orders = {tuple(frame.tobytes() for frame in sampled(clip, spec)) for clip in clips}
    assert len(orders) == len(CLASSES)


@pytest.mark.parametrize('spec', [MAIN, SHIFT])
def test_coding_does_not_betray_the_class_either(spec):
    domain = DOMAINS[spec.domain]
    scene = draw_scene(np.random.default_rng(6), spec, 'test')
    bags = []
    for label in CLASSES:
        frames = scene_frames(scene, clip_motion(spec, 'test', label, 0))
        frames = decode(encode(frames, domain.fps, domain.stride_frames))
        assert frames.shape == (NUM_PHASES * domain.stride_frames, spec.size, spec.size, 3)
        bags.append(bag(sampled(frames, spec)))
    assert all(other == bags[0] for other in bags)


def test_the_phase_at_each_time_is_uniform_for_every_class():
    """The point on the circle is `start` + a fixed angle; `start` is uniform and drawn in ignorance of the class."""
    starts = np.array([draw_scene(np.random.default_rng([1, draw]), MAIN, 'train').start for draw in range(400)])
    for label in CLASSES:
        for phase in visited_phases(label)[::5]:
            angles = (starts + 2 * np.pi * phase / NUM_PHASES) % (2 * np.pi)
            counts = np.histogram(angles, bins=8, range=(0, 2 * np.pi))[0]
            # chi-square with 7 degrees of freedom stays below 24.3 in 999 of 1000 draws
            assert ((counts - 50) ** 2 / 50).sum() < 24.3


def test_clockwise_is_clockwise_on_screen():
    scene = draw_scene(np.random.default_rng(7), MAIN, 'train')
    places = []
    for phase in range(NUM_PHASES):
        difference = np.abs(scene.frame(phase).astype(float) - scene.background).sum(2)
        rows, columns = np.mgrid[:64, :64]
        places.append(((columns * difference).sum(), (rows * difference).sum()) / difference.sum())
    places = np.array(places) - np.mean(places, 0)
    (x, y), (next_x, next_y) = places.T, np.roll(places, -1, 0).T
    assert (x * next_y - y * next_x > 0).all()  # y points down, so a positive turn is clockwise


def test_photographs_are_of_one_split_and_domain_only():
    sets = [set(names) for domain in DOMAINS.values() for names in domain.photographs.values()]
    assert sum(map(len, sets)) == len(set().union(*sets))
    assert all(photograph(name).std() > 10 for names in sets for name in names)


def test_clips_differ_from_each_other_and_between_splits_and_seeds():
    clips = [
        clip_frames(spec, split, label, number)[0].tobytes()
        for spec in (MAIN, replace(MAIN, seed=1), SHIFT)
        for split in ('train', 'test')
        for label in ('turn1_cw', 'back_cw')
        for number in range(3)
    ]
    assert len(set(clips)) == len(clips)


def test_a_seed_draws_the_same_scene_at_every_size():
    small, large = (draw_scene(np.random.default_rng(8), replace(MAIN, size=size), 'train') for size in (64, 112))
    for name in ('centre', 'radii', 'tilt', 'start', 'rock'):
        assert getattr(small, name) == getattr(large, name)
    assert small.background.mean() == pytest.approx(large.background.mean(), abs=1)


def test_easy_backgrounds_are_calm_but_not_flat():
    """Each 16 x 16 patch varies by more than its coding noise (about 2 gray levels), which targets would else be."""
    spreads = []
    for draw in range(40):
        background = draw_scene(np.random.default_rng(draw), MAIN, 'train').background
        patches = background.mean(2).reshape(4, 16, 4, 16).swapaxes(1, 2).reshape(16, -1)
        spreads.append(patches.std(1))
    assert np.median(spreads) > 4
    assert np.quantile(spreads, 0.99) < 25


def test_lists_tell_apart_what_shows_other_clips():
    specs = [*toy.SETS.values(), replace(MAIN, level='hard'), replace(MAIN, seed=1), ToySpec('shift', form='speeds')]
    lists = [frozenset(path for path, _ in toy.entries(spec)['test']) for spec in specs]
    assert not any(a & b for n, a in enumerate(lists) for b in lists[:n])
    assert toy.entries(replace(MAIN, size=112)) == toy.entries(MAIN)
    assert len({toy.card(spec)['name'] for spec in specs}) == len(specs) - 1  # a seed is no part of the name


# Taken when the only form was the first one, except for the last four: a change means a new RENDERER_VERSION.
CLIPS = [
    ({}, 'train', 'turn1_cw', 0, 'b0fd6f2846234afd'),
    ({}, 'test', 'back_ccw', 3, 'e34d495dc3bec074'),
    ({'domain': 'shift'}, 'test', 'back_ccw', 3, '85e2312f55e4a1b8'),
    ({'level': 'hard'}, 'train', 'swing_cw', 159, '366ac675fd0d7920'),
    ({'size': 112}, 'train', 'turn1_cw', 0, '7bd3d6f2e22ddc33'),
    ({'domain': 'shift', 'level': 'hard', 'seed': 1}, 'test', 'back_ccw', 3, '8401a9d1cc1664d4'),
    ({'form': 'rhythms'}, 'train', 'hurry_at_04', 0, 'ea7a1afb930b0502'),
    ({'form': 'speeds'}, 'test', 'turns_1.6', 1, '21dfa2f29f78daa1'),
    ({'form': 'repetition'}, 'train', 5, 3, '658521d90278be39'),
    ({'form': 'two_movers'}, 'test', ('circle_cw', 'spin'), 9, '19b336dd3f76528a'),
]


@pytest.mark.skipif(
    (av.__version__, cv2.__version__, PIL.__version__) != ('18.1.0', '4.13.0', '13.0.0'),
    reason='other versions of PyAV, OpenCV or Pillow than those that the bytes were taken with',
)
@pytest.mark.parametrize('changes, split, label, number, sha256', CLIPS)
def test_the_bytes_of_clips_have_not_moved(changes, split, label, number, sha256):
    spec = ToySpec(**changes)
    domain = DOMAINS[spec.domain]
    clip = encode(clip_frames(spec, split, label, number), domain.fps, domain.stride_frames)
    assert hashlib.sha256(clip).hexdigest()[:16] == sha256


SMALL = ToySpec(clips_per_class=(2, 1))


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob('*') if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_same_bytes_whatever_the_number_of_processes(tmp_path):
    for workers in (1, 3):
        splits = render(SMALL, tmp_path / str(workers), workers=workers, progress=False)
    one, three = hashes(tmp_path / '1'), hashes(tmp_path / '3')
    assert one == three
    assert sorted(one) == sorted(['toy.json', *(f'videos/{path}' for pairs in splits.values() for path, _ in pairs)])
    assert len(set(one.values())) == len(one)


def test_a_second_run_goes_on_where_the_first_was_killed(tmp_path):
    render(SMALL, tmp_path, workers=1, progress=False)
    whole = hashes(tmp_path)
    lost, kept = (tmp_path / 'videos' / path for path, _ in toy.entries(SMALL)['train'][:2])
    lost.unlink()
    before = kept.stat().st_mtime_ns
    render(SMALL, tmp_path, workers=1, progress=False)
    assert hashes(tmp_path) == whole
    assert kept.stat().st_mtime_ns == before


def test_other_parameters_into_the_same_folder_are_refused(tmp_path):
    (tmp_path / 'toy.json').write_text(json.dumps({'domain': 'main', 'level': 'easy', 'size': 64, 'seed': 3}))
    with pytest.raises(DataError, match='seed 3, not 0'):
        render(SMALL, tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ['toy.json']
    (tmp_path / 'toy.json').rename(tmp_path / 'notes.txt')
    with pytest.raises(DataError, match='not a toy dataset'):
        render(SMALL, tmp_path, progress=False)


@pytest.mark.parametrize('changes', [{'size': 65}, {'size': 16}, {'seed': -1}])
def test_impossible_parameters_are_refused(changes):
    with pytest.raises(DataError):
        ToySpec(**changes)


@pytest.mark.parametrize('kind, known', [('domain', 'main, shift'), ('level', 'easy, hard'), ('form', 'rhythms')])
def test_unknown_names_are_refused_with_the_known_ones(kind, known):
    with pytest.raises(DataError, match=f"Unknown toy {kind} 'other'.*{known}"):
        ToySpec(**{kind: 'other'})


@pytest.mark.parametrize('name', toy.SETS)
def test_the_card_in_the_tree_describes_the_default_dataset(name, tmp_path):
    """Its list hashes are those of the default preset; sizes share the lists."""
    from mmengine.config import Config

    from sigma.datasets.prepared import write_dataset

    spec = toy.SETS[name]
    config = Config.fromfile(Path(__file__).resolve().parents[3] / 'mmaction_configs' / 'datasets' / f'{name}.py')
    assert config.data_root.endswith(f'/{name}')
    assert config.dataset_info.name == name
    assert write_dataset(tmp_path, toy.card(spec), toy.entries(spec), NO_VIDEO, False, toy.annotations(spec))
    assert config.dataset_info == Config.fromfile(tmp_path / 'dataset.py').dataset_info
    assert config.dataset_info.get('classes', []) == list(spec.classes)


class NoVideo(dict):
    """Stands for the index of a dataset that was not rendered."""

    unreadable = ()

    def __missing__(self, path):
        return VideoInfo(path)


NO_VIDEO = NoVideo()
