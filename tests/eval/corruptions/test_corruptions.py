"""Corruptions: their constants, statistics, oracles, random keys and bad input. For orders see test_temporal.py."""

import dataclasses
import hashlib
import inspect
import io
import json
import re
import subprocess
import sys
from functools import lru_cache

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats

from eval.corruptions import (
    CORRUPTIONS,
    SUITES,
    block,
    blur,
    codec,
    digital,
    get_corruption,
    mixed,
    reencode,
    suite_corruptions,
    time_corruptions,
    to_working_size,
    weather,
)
from eval.corruptions.corruption import FAMILIES, Draws, to_bytes
from eval.corruptions.timing import sample_frames
from sigma.errors import DataError
from tests.conftest import PATIENCE, ROOT

PICTURES = [c for c in CORRUPTIONS.values() if c.acts_on != 'order']
by_name = pytest.mark.parametrize('corruption', PICTURES, ids=lambda c: c.name)

# The published constants, typed a second time.
IMAGENET_C = {
    'gaussian_noise': (0.08, 0.12, 0.18, 0.26, 0.38),
    'shot_noise': (60, 25, 12, 5, 3),
    'impulse_noise': (0.03, 0.06, 0.09, 0.17, 0.27),
    'speckle_noise': (0.15, 0.20, 0.35, 0.45, 0.60),
    'gaussian_blur': (1, 2, 3, 4, 6),
    'glass_blur': ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    'defocus_blur': ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    'motion_blur': ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    'fog': ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    'contrast': (0.4, 0.3, 0.2, 0.1, 0.05),
    'brightness': (0.1, 0.2, 0.3, 0.4, 0.5),
    'saturate': ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    'jpeg_compression': (25, 18, 15, 10, 7),
    'pixelate': (0.6, 0.5, 0.4, 0.3, 0.25),
}
ZOOM = (1.11, 1.16, 1.21, 1.26, 1.31)
KINETICS_C = {
    'shot_noise': (60, 25, 12, 5, 3),
    'frame_average': (3, 5, 7, 9, 11),
    'fog': IMAGENET_C['fog'],
    'brightness': IMAGENET_C['brightness'],
    'saturate': IMAGENET_C['saturate'],
    'contrast': (0.5, 0.4, 0.3, 0.2, 0.1),
    'rain': ((770, 10, 0.8), (770, 30, 0.8), (770, 60, 0.7), (500, 60, 0.6), (400, 80, 0.5)),
    'bit_error': (100000, 50000, 30000, 20000, 10000),
    'packet_loss': (1, 2, 3, 4, 6),
    'h265_crf': (27, 33, 39, 45, 51),
    'h264_crf': (23, 30, 37, 44, 51),
    'frame_rate': (20, 16, 12, 9, 6),
}
SSV2_C = KINETICS_C | {'frame_average': (1, 2, 3, 4, 6), 'frame_rate': (10, 8, 6, 4, 2)}
UCF_P = {name: IMAGENET_C[name] for name in ('gaussian_noise', 'impulse_noise', 'defocus_blur', 'motion_blur')} | {
    'jpeg_compression': (25, 18, 15, 10, 7),
    'shot_noise': (250, 100, 50, 30, 15),
    'speckle_noise': (0.15, 0.2, 0.25, 0.3, 0.35),
    'camera_rotation': (7.5, 15, 30, 45, 90),
    'random_rotation': (7, 13, 19, 25, 31),
    'translation': (8, 16, 24, 32, 40),
    'sampling': (2, 4, 8, 16, 32),
    'reverse_sampling': (2, 4, 8, 16, 32),
    'p-jumble': (32, 16, 8, 4, 2),
    'p-box_jumble': (4, 9, 16, 25, 36),
}


@lru_cache(maxsize=4)
def clip(num_frames: int = 4, height: int = 96, width: int = 128) -> np.ndarray:
    frames = sample_frames(num_frames, height, width)
    frames.flags.writeable = False  # a corruption that writes into what it was given fails
    return frames


def draws(name: str = 'x', severity: int = 1, video: str = 'v', num_frames: int = 4) -> Draws:
    return Draws(name, severity, video, np.arange(num_frames))


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


# --- the table -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'suite, expected', [('imagenet-c', IMAGENET_C), ('kinetics-c', KINETICS_C), ('ssv2-c', SSV2_C), ('ucf-p', UCF_P)]
)
def test_constants_are_the_published_ones(suite, expected):
    held = {c.name: tuple(c.suites[suite]) for c in suite_corruptions(suite)}
    assert {name: held[name] for name in expected} == expected
    extra = {
        'imagenet-c': {'zoom_blur', 'frost_procedural', 'snow', 'spatter', 'elastic_transform'},
        'ucf-p': {'zoom_blur', 'freeze'},
    }
    assert set(held) - set(expected) == extra.get(suite, set())
    assert [c.level(s, suite) for c in suite_corruptions(suite) for s in (1, 5)] == [
        held[c.name][i] for c in suite_corruptions(suite) for i in (0, 4)
    ]


def test_constants_with_more_to_them():
    assert tuple(most for most, _ in CORRUPTIONS['zoom_blur'].levels) == ZOOM
    assert CORRUPTIONS['elastic_transform'].levels[1] == (488, 244 * 0.08, 244 * 0.2)
    assert CORRUPTIONS['frost_procedural'].levels == ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
    assert CORRUPTIONS['snow'].levels[4] == (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55)
    assert CORRUPTIONS['spatter'].levels[2] == (0.65, 0.3, 2, 0.68, 0.5, 0)
    assert {c.name: c.levels for c in suite_corruptions('tal-c')} == dict.fromkeys(
        (
            'tal_black_frame',
            'tal_motion_blur',
            'tal_overexposure',
            'tal_occlusion_procedural',
            'tal_packet_loss',
        ),
        (0.01, 0.05, 0.10),
    )


def test_draws_of_a_member_are_independent_of_the_choice_of_member():
    held, (_, names) = [], CORRUPTIONS['mixed_temporal'].level(5)
    for number in range(400):
        of_video = draws('mixed_temporal', 5, str(number))
        if mixed.member_of(names, of_video).name == 'freeze':
            held.append(int(CORRUPTIONS['mixed_temporal'].order(50, 5, str(number))[0]))  # one frame throughout
    assert len(held) > 50
    assert set(np.array(held) // 10) == set(range(5))


# Of mix_spatial and mix_temporal in the published code: the lists of its training (severities 1 to 3) and of its test.
MIXED = {
    ('mixed_spatial', 3): ('speckle_noise', 'gaussian_noise', 'random_rotation'),
    ('mixed_spatial', 4): ('shot_noise', 'camera_rotation', 'translation', 'impulse_noise'),
    ('mixed_temporal', 1): ('p-jumble', 'freeze', 'sampling'),
    ('mixed_temporal', 5): ('p-jumble', 'freeze', 'sampling', 'p-box_jumble', 'reverse_sampling'),
}


@pytest.mark.parametrize(('name', 'severity'), MIXED)
def test_mixed_corruptions_pick_one_member_per_video(name, severity):
    corruption, names = CORRUPTIONS[name], MIXED[name, severity]
    assert corruption.level(severity) == (severity, names)
    drawn = {mixed.member_of(names, draws(name, severity, str(i))).name for i in range(100)}
    assert drawn == set(names)  # each of them in 100 videos
    # What a video gets is its member at the suite's level, with the draws of the mixed one.
    member = mixed.member_of(names, draws(name, severity, 'v'))
    given = 40 if name == 'mixed_temporal' else clip()
    expected = member.function(given, member.level(severity, 'ucf-p'), draws(name, severity, 'v'))
    found = corruption.order(40, severity, 'v') if name == 'mixed_temporal' else corruption(clip(), severity, 'v')
    assert np.array_equal(found, expected)


def test_sizes_of_the_suites():
    assert {suite: len(suite_corruptions(suite)) for suite in SUITES} == {
        'imagenet-c': 19,
        'kinetics-c': 12,
        'ssv2-c': 12,
        'ucf-p': 16,
        'tal-c': 5,
    }
    assert {c.family for c in CORRUPTIONS.values()} == set(FAMILIES)
    assert all(c.summary.endswith('.') and c.source for c in CORRUPTIONS.values())


def test_which_draws_all_frames_share():
    shared = {c.name for c in PICTURES if c.shared and c.acts_on == 'frame'}
    assert shared == {'glass_blur', 'fog', 'frost_procedural', 'snow', 'spatter', 'elastic_transform', 'mixed_spatial'}
    still = np.repeat(clip(1), 3, axis=0)
    for c in PICTURES:
        if c.acts_on == 'frame' and c.family != 'mixed':  # there the member decides
            out = c(still, 3, 'v')
            assert np.array_equal(out[0], out[1]) == (c.shared is not False), c.name


def test_the_docs_say_which_draws_are_shared_and_which_scales_do_not_grow():
    text = (ROOT / 'docs' / 'robustness.md').read_text()
    anew = set(re.findall('`([^`]+)`', ' '.join(re.findall(r'^\| For every frame.*', text, re.M))))
    shared = set(re.findall('`([^`]+)`', re.search(r'^\| Once per video.*', text, re.M)[0]))
    uneven = set(re.findall('`([^`]+)`', re.search(r'Damage grows(.*)are the last two', text, re.S)[1]))
    assert anew == {c.name for c in PICTURES if c.shared is False}
    assert shared == {c.name for c in PICTURES if c.shared and c.acts_on != 'clip' and c.family != 'mixed'}
    expected = {c.name for c in CORRUPTIONS.values() if not c.monotone and c.acts_on != 'clip'}
    assert uneven - {'jumble', 'box_jumble'} == expected


def test_importing_corruptions_does_not_import_torch():
    code = 'import sys, eval.corruptions; print("torch" in sys.modules, "mmengine" in sys.modules)'
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['False', 'False']


# --- every one -----------------------------------------------------------------------------------------------------


@by_name
@pytest.mark.parametrize('shape', [(3, 96, 128), (1, 65, 47)], ids=['clip', 'one odd frame'])
def test_shape_and_dtype_are_kept(corruption, shape):
    frames = clip(*shape)
    for severity in range(1, len(corruption.levels) + 1):
        out = corruption(frames, severity, 'v')
        assert out.shape == frames.shape
        assert out.dtype == np.uint8
        assert not np.shares_memory(out, frames)


@by_name
def test_flipped_views_are_accepted(corruption):
    frames = clip(2)[:, :, ::-1]
    assert np.array_equal(corruption(frames, 1, 'v'), corruption(frames.copy(), 1, 'v'))


@pytest.mark.parametrize('corruption', [c for c in PICTURES if c.acts_on == 'frame'], ids=lambda c: c.name)
def test_a_frame_depends_on_its_number_and_not_on_other_frames(corruption):
    frames = clip()
    whole = corruption(frames, 2, 'v')
    some = corruption(frames[[3, 1]], 2, 'v', frame_numbers=[3, 1])
    assert np.array_equal(some, whole[[3, 1]])
    if corruption.shared is not None:
        assert not np.array_equal(corruption(frames, 2, 'w'), whole)


# Mean over draws of mean absolute difference. The same draws serve every severity, which takes their noise out.
MORE_FRAMES = {'frame_average': 30, 'bit_error': 30, 'packet_loss': 30}


@pytest.mark.parametrize(
    'corruption', [c for c in PICTURES if c.monotone and c.family != 'temporal'], ids=lambda c: c.name
)
def test_damage_grows_with_severity(corruption, monkeypatch):
    num_frames = 80 if 'tal-c' in corruption.suites else MORE_FRAMES.get(corruption.name, 2)
    frames = clip(num_frames)
    if corruption.name in MORE_FRAMES and corruption.family == 'codec':
        # Fine grain, so that a short clip makes a long stream.
        grain = np.random.default_rng(0).integers(-40, 40, (num_frames, 96, 128, 1))
        frames = np.clip(frames + grain, 0, 255).astype(np.uint8)
        stream = codec.encode(frames, crf='23', **{'slice-max-size': '1400'})
        monkeypatch.setattr(codec, 'encode', lambda *args, **options: dataclasses.replace(stream))  # coded once
    count = 8 if corruption.shared is not None else 1
    damage = [
        np.mean(
            [
                difference(corruption.function(frames, level, draws(video=str(i), num_frames=num_frames)), frames)
                for i in range(count)
            ]
        )
        for level in corruption.levels
    ]
    assert damage[0] > 0
    assert np.all(np.diff(damage) > 0), damage


def test_scales_that_do_not_grow_are_marked():
    frames, found = clip(1), {}
    for name in ('saturate', 'elastic_transform', 'glass_blur'):
        found[name] = [difference(CORRUPTIONS[name](frames, s, 'v'), frames) for s in (1, 2, 3, 4, 5)]
        assert not np.all(np.diff(found[name]) > 0), found
    marked = {c.name for c in PICTURES if not c.monotone and c.acts_on == 'frame'}
    assert marked == {*found, 'frost_procedural', 'snow', 'spatter', 'mixed_spatial'}
    for name in ('frost_procedural', 'snow', 'spatter', 'glass_blur'):
        assert difference(CORRUPTIONS[name](frames, 5, 'v'), frames) > difference(
            CORRUPTIONS[name](frames, 1, 'v'), frames
        )


def digest(name: str) -> str:
    corruption = CORRUPTIONS[name]
    if corruption.acts_on == 'order':
        out = corruption.order(100, 1, 'v', fps=30.0)
    else:
        out = corruption(sample_frames(6, 96, 128), len(corruption.levels), 'v')
    return hashlib.sha256(out.tobytes()).hexdigest()


# A process that imports only what it needs.
WORKER = f"""
import hashlib, json, sys
from eval.corruptions import CORRUPTIONS
from eval.corruptions.timing import sample_frames
{inspect.getsource(digest)}
print(json.dumps({{name: digest(name) for name in sys.argv[1:]}}))
"""


def test_same_key_same_bytes_in_one_and_four_processes():
    names = list(CORRUPTIONS)
    parts = [names[i::4][::-1] for i in range(4)]  # each in an order of its own
    workers = [
        subprocess.Popen([sys.executable, '-c', WORKER, *part], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for part in parts
    ]
    elsewhere = {}
    for worker in workers:
        elsewhere |= json.loads(worker.communicate(timeout=120 * PATIENCE)[0])
    assert elsewhere == {name: digest(name) for name in names}


def test_key_names_corruption_severity_video_and_frame():
    def value(name, severity, video, frame):
        return Draws(name, severity, video, np.array([frame])).frame(0).random()

    base = value('fog', 1, 'v', 0)
    assert value('fog', 1, 'v', 0) == base
    others = [value('rain', 1, 'v', 0), value('fog', 2, 'v', 0), value('fog', 1, 'w', 0), value('fog', 1, 'v', 1)]
    assert len({base, *others, draws('fog', 1, 'v').shared().random()}) == 6


# --- statistics of noise -------------------------------------------------------------------------------------------


def spread(name: str, suite: str | None, severity: int, level: int = 128) -> float:
    gray = np.full((6, 128, 128, 3), level, np.uint8)
    return CORRUPTIONS[name](gray, severity, 'v', suite=suite).astype(float).std()


def clipped_normal_spread(mean: float, sigma: float) -> float:
    x = np.clip(mean + sigma * stats.norm.ppf((np.arange(200000) + 0.5) / 200000), 0, 255)
    return x.std()


@pytest.mark.parametrize('severity', [1, 2, 3, 4, 5])
@pytest.mark.parametrize('suite', ['imagenet-c', 'ucf-p'])
def test_noise_has_the_published_spread_on_mid_gray(suite, severity):
    i = severity - 1
    sigma = (0.08, 0.12, 0.18, 0.26, 0.38)[i]
    if severity <= 2:  # hardly any value is cut: the plain constant
        assert spread('gaussian_noise', suite, severity) == pytest.approx(255 * sigma, rel=0.02)
    assert spread('gaussian_noise', suite, severity) == pytest.approx(clipped_normal_spread(128, 255 * sigma), rel=0.02)

    sigma = {'imagenet-c': (0.15, 0.20, 0.35, 0.45, 0.60), 'ucf-p': (0.15, 0.2, 0.25, 0.3, 0.35)}[suite][i]
    if severity <= 2:
        assert spread('speckle_noise', suite, severity) == pytest.approx(128 * sigma, rel=0.02)
    assert spread('speckle_noise', suite, severity) == pytest.approx(clipped_normal_spread(128, 128 * sigma), rel=0.02)

    photons = {'imagenet-c': (60, 25, 12, 5, 3), 'ucf-p': (250, 100, 50, 30, 15)}[suite][i]
    if photons >= 25:
        assert spread('shot_noise', suite, severity) == pytest.approx(255 * np.sqrt(128 / 255 / photons), rel=0.02)
    counts = np.arange(400)
    share, seen = stats.poisson.pmf(counts, 128 / 255 * photons), np.minimum(counts / photons, 1) * 255
    expected = np.sqrt(share @ seen**2 - (share @ seen) ** 2)
    assert spread('shot_noise', suite, severity) == pytest.approx(expected, rel=0.02)

    amount = (0.03, 0.06, 0.09, 0.17, 0.27)[i]
    out = CORRUPTIONS['impulse_noise'](np.full((6, 128, 128, 3), 128, np.uint8), severity, 'v', suite=suite)
    assert (out != 128).mean() == pytest.approx(amount, rel=0.02)
    assert (out == 255).mean() == pytest.approx(amount / 2, rel=0.05)


def test_shot_noise_keeps_black_and_the_mean():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 256, axis=0)[None].repeat(3, axis=3)
    out = CORRUPTIONS['shot_noise'](ramp, 1, 'v')[0].astype(float)
    assert not out[:, 0].any()
    assert out[:, :150].mean() == pytest.approx(ramp[0, :, :150].mean(), abs=0.5)


# --- oracles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('sigma', [1, 6])
def test_gaussian_blur_is_that_of_scipy(sigma):
    frame = clip()[0]
    expected = ndimage.gaussian_filter(frame.astype(float), (sigma, sigma, 0), mode='nearest', truncate=4)
    assert np.abs(blur.gaussian_blurred(frame, sigma) - expected).max() < 0.01


@pytest.mark.parametrize('reach', [1, 2, 4])
def test_glass_blur_is_the_published_loop(reach):
    height, width = 30, 41
    x = np.arange(height * width * 3).reshape(height, width, 3)
    shifts = np.random.default_rng(reach).integers(-reach, reach, (2, height, width))
    seen = x.reshape(-1, 3)[blur.glass_round(shifts, reach)].reshape(x.shape)
    for h in range(height - reach, reach, -1):
        for w in range(width - reach, reach, -1):
            dy, dx = shifts[:, h, w]
            x[h, w], x[h + dy, w + dx] = x[h + dy, w + dx], x[h, w]
    assert np.array_equal(seen, x)


@pytest.mark.parametrize('severity', [1, 2, 3, 4, 5])
def test_defocus_blur_is_the_published_kernel_to_two_grey_levels(severity):
    radius, sigma = CORRUPTIONS['defocus_blur'].levels[severity - 1]
    side, size = (8, 3) if radius <= 8 else (radius, 5)
    x, y = np.meshgrid(*[np.arange(-side, side + 1)] * 2)
    disk = (x**2 + y**2 <= radius**2).astype(np.float32)
    kernel = cv2.GaussianBlur(disk / disk.sum(), (size, size), sigmaX=sigma)
    expected = cv2.filter2D(clip()[0].astype(np.float32), -1, kernel)
    off = np.abs(CORRUPTIONS['defocus_blur'](clip(), severity, 'v')[0] - np.clip(expected, 0, 255))
    assert off.max() <= (1 if severity <= 3 else 2)
    assert off.mean() < 0.5


@pytest.mark.parametrize('radius', [3, 4, 6, 8, 10, 17])
def test_boxes_make_the_disk(radius):
    total, y = np.zeros((2 * radius + 1,) * 2, int), np.arange(-radius, radius + 1)
    for sign, width, height in blur.disk_boxes(radius):
        total += sign * ((abs(y)[:, None] <= height // 2) & (abs(y) <= width // 2))
    assert np.array_equal(total, y[:, None] ** 2 + y**2 <= radius**2)


@pytest.mark.parametrize('angle', [-45, 0, 30, -100])
def test_motion_blur_is_the_weighted_mean_over_a_line(angle):
    frame, radius, sigma = clip()[0].astype(float), 10, 3
    expected, weights = np.zeros_like(frame), np.exp(-(np.arange(21) ** 2) / (2 * sigma**2))
    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]]
    for i, weight in enumerate(weights / weights.sum()):
        y = rows + int(np.ceil(i * np.sin(np.radians(angle)) - 0.5))
        x = columns + int(np.ceil(i * np.cos(np.radians(angle)) - 0.5))
        expected += weight * frame[np.clip(y, 0, frame.shape[0] - 1), np.clip(x, 0, frame.shape[1] - 1)]
    assert np.abs(blur.motion_blurred(clip()[0], radius, sigma, angle) - expected).max() <= 0.51


@pytest.mark.parametrize('factor', [1.05, 1.3, 2.5, 4.5])
def test_zoom_is_that_of_scipy(factor):
    picture = clip(1, 96, 96)[0].astype(np.float32)
    crop = int(np.ceil(96 / factor))
    top = (96 - crop) // 2
    expected = ndimage.zoom(picture[top : top + crop, top : top + crop], (factor, factor, 1), order=1)
    trim = (len(expected) - 96) // 2
    expected = expected[trim : trim + 96, trim : trim + 96]
    # OpenCV places samples to 1/32 of a pixel.
    assert np.abs(blur.zoomed(picture, factor) - expected).mean() < 0.5


def test_zoom_blur_counts_the_frame_twice():
    # 1.0 is among the published factors, and the frame itself is added once more: 2 of 12 at severity 1.
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    frames[0, 0, 0] = 240  # the corner leaves the view with the first enlargement but one
    assert CORRUPTIONS['zoom_blur'](frames, 1, 'v')[0, 0, 0, 0] >= 40


def test_frame_average_is_the_mean_of_the_window():
    frames = clip(10)
    out = CORRUPTIONS['frame_average'](frames, 1, 'v', suite='ssv2-c')
    assert np.array_equal(out[5], frames[4:6].mean(0).astype(np.uint8))  # half a window of 1: frames 4 and 5
    out = CORRUPTIONS['frame_average'](frames, 1, 'v')
    assert np.array_equal(out[5], frames[2:8].mean(0).astype(np.uint8))
    assert np.array_equal(out[0], frames[:3].mean(0).astype(np.uint8))
    assert np.array_equal(out[9], frames[6:].mean(0).astype(np.uint8))


def test_fog_is_the_published_formula():
    field = weather.plasma(draws('fog', 3).shared(), 1.7, 96, 128)
    frame = clip()[0] / 255
    expected = 255 * np.clip((frame + 2.5 * field[..., None]) * frame.max() / (frame.max() + 2.5), 0, 1)
    assert np.abs(CORRUPTIONS['fog'](clip(), 3, 'v')[0] - expected).max() <= 0.51


def test_plasma_fills_its_range_and_wraps_round():
    field = weather.plasma(np.random.default_rng(0), 2, 300, 600)
    assert field[:256, :256].min() == 0
    assert field[:256, :256].max() == 1
    assert np.array_equal(field[256:, :256], field[:44, :256])
    # At the seam neighbours differ no more than elsewhere.
    steps = np.abs(np.diff(field[:256, :512], axis=1)).mean(axis=0)
    assert steps[255] < 2 * np.median(steps)
    rough = weather.plasma(np.random.default_rng(0), 1.4, 256, 256)
    assert np.abs(np.diff(rough)).mean() > 2 * np.abs(np.diff(field[:256, :256])).mean()


def test_light_and_colour_are_those_of_scikit_image():
    from skimage.color import hsv2rgb, rgb2hsv

    frame = clip()[0].copy()
    frame[:8] = np.arange(128)[:, None]  # grays
    frames = frame[None]
    for severity, shift in enumerate((0.1, 0.2, 0.3, 0.4, 0.5), 1):
        hsv = rgb2hsv(frame / 255)
        hsv[..., 2] = np.clip(hsv[..., 2] + shift, 0, 1)
        assert np.abs(CORRUPTIONS['brightness'](frames, severity, 'v')[0] - 255 * hsv2rgb(hsv)).max() < 1
    for severity, (factor, shift) in enumerate(CORRUPTIONS['saturate'].levels, 1):
        hsv = rgb2hsv(frame / 255)
        hsv[..., 1] = np.clip(hsv[..., 1] * factor + shift, 0, 1)
        assert np.abs(CORRUPTIONS['saturate'](frames, severity, 'v')[0] - 255 * hsv2rgb(hsv)).max() < 1
    mean = frame.mean(axis=(0, 1))
    expected = (frame - mean) * 0.05 + mean
    assert np.abs(CORRUPTIONS['contrast'](frames, 5, 'v')[0] - expected).max() <= 0.51


def test_jpeg_and_pixelate_are_those_of_pillow():
    frame = Image.fromarray(clip()[0])
    file = io.BytesIO()
    frame.save(file, 'JPEG', quality=7)
    assert np.array_equal(CORRUPTIONS['jpeg_compression'](clip(), 5, 'v')[0], np.asarray(Image.open(file)))
    out = CORRUPTIONS['pixelate'](clip(), 5, 'v')[0]  # a quarter: blocks of 4 x 4
    means = clip()[0].reshape(24, 4, 32, 4, 3).mean(axis=(1, 3))
    assert np.abs(out[::4, ::4] - means).max() <= 1
    assert np.array_equal(out, out[::4, ::4].repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize('sigma', [2.44, 19.52, 170.8])
def test_elastic_field_is_that_of_scipy(sigma):
    field = np.random.default_rng(0).uniform(-1, 1, (50, 61))
    expected = ndimage.gaussian_filter(field, sigma, mode='reflect', truncate=3)
    assert np.abs(digital._smooth(field, sigma) - expected).max() < 1e-6


def test_rain_brightens_streaks_of_the_published_number_and_length():
    dark = np.full((1, 256, 256, 3), 20, np.uint8)
    out = CORRUPTIONS['rain'](dark, 1, 'v')[0, ..., 0].astype(int)
    wet = out > 40
    # 85 drops of 11 pixels, of which some overlap.
    assert 0.7 * 85 * 11 < wet.sum() <= 85 * 11


def test_rotation_by_90_degrees_is_exact():
    frames = clip(2, 64, 64)
    out = CORRUPTIONS['camera_rotation'](frames, 5, 'v')
    assert np.array_equal(out, np.rot90(frames, axes=(1, 2)))
    corner = CORRUPTIONS['camera_rotation'](frames, 4, 'v')[:, 0, 0]
    assert not corner.any()  # black comes in


def test_random_rotation_and_translation_stay_in_bounds():
    angles = [draws('random_rotation', 1, str(i)).frame(0).integers(-7, 7, endpoint=True) for i in range(300)]
    assert {min(angles), max(angles)} == {-7, 7}
    frames = np.full((40, 64, 64, 3), 255, np.uint8)
    out = CORRUPTIONS['translation'](frames, 1, 'v')[..., 0] > 0
    moved = 64 - out.any(axis=1).sum(axis=1), 64 - out.any(axis=2).sum(axis=1)
    for offsets in moved:
        assert (offsets.min(), offsets.max()) == (0, 7)  # below 8
    assert len(set(zip(*moved))) > 20  # each frame its own


# --- codec ---------------------------------------------------------------------------------------------------------


def test_codecs_keep_odd_sizes_and_single_frames():
    frames = clip(3, 65, 47)
    for name in ('h264_crf', 'h265_crf'):
        assert difference(CORRUPTIONS[name](frames, 1, 'v'), frames) < 10
        assert difference(CORRUPTIONS[name](frames[:1], 1, 'v'), frames[:1]) < 10
    assert np.array_equal(reencode(frames), CORRUPTIONS['h264_crf'](frames, 1, 'v'))  # CRF 23 both


def test_the_bit_rate_is_divided_as_asked(monkeypatch):
    sizes, encode = [], codec.encode

    def spy(*args, **options):
        stream = encode(*args, **options)
        sizes.append(sum(len(data) for _, data in stream.packets))
        return stream

    monkeypatch.setattr(codec, 'encode', spy)
    for severity in (1, 2, 3):
        CORRUPTIONS['h264_bitrate'](clip(40), severity, 'v')
    assert sizes[0] == sizes[2] == sizes[4]  # the stream at CRF 23
    assert sizes[1] > sizes[3] > sizes[5]
    assert sizes[3] < 0.6 * sizes[0]  # a quarter is asked; a short clip has no time to settle


def test_a_lost_frame_repeats_the_last_good_one():
    frames = clip(6)
    stream = codec.encode(frames, crf='23', bf='0')  # no frame is coded from a later one
    whole = codec.decode(stream, frames.shape)
    assert difference(whole, frames) < 10
    stream.packets = [(pts, data) for pts, data in stream.packets if pts < 4]
    assert np.array_equal(codec.decode(stream, frames.shape), whole[[0, 1, 2, 3, 3, 3]])
    stream.packets = []
    assert not codec.decode(stream, frames.shape).any()  # black


def test_bytes_are_replaced_as_often_as_asked():
    data = bytes(2_000_000)
    hit = np.count_nonzero(np.frombuffer(codec._with_errors(data, 10_000, draws().shared()), np.uint8))
    assert hit == pytest.approx(200, abs=45)  # 3 standard deviations


def test_a_network_packet_is_a_slice_of_1400_bytes_at_most():
    noise = np.random.default_rng(0).integers(0, 256, (8, 96, 128, 3)).astype(np.uint8)
    stream = codec.encode(noise, crf='23', **{'slice-max-size': '1400'})
    units = [unit for _, data in stream.packets for unit in codec.slices_of(data)]
    assert b''.join(units) == b''.join(data for _, data in stream.packets)
    pictures = [unit for unit in units if unit.lstrip(b'\x00')[1] & 31 in (1, 5)]
    assert len(pictures) >= 40
    assert max(map(len, pictures)) <= 1400 + 8
    lost = 0
    for i in range(20):
        for pts, data in stream.packets:
            kept = codec._without_slices(data, 0.06, draws(video=str(i), num_frames=8).frame(pts))
            lost += len(codec.slices_of(data)) - len(codec.slices_of(kept))
    expected = 0.06 * 20 * len(pictures)
    assert lost == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_damage_keeps_what_was_not_hit():
    frames = clip(12)
    clean = reencode(frames)
    out = CORRUPTIONS['bit_error'].function(frames, 10**12, draws(num_frames=12))  # never
    assert np.array_equal(out, clean)
    assert not np.array_equal(CORRUPTIONS['bit_error'].function(frames, 300, draws(num_frames=12)), clean)


# --- blocks of tal-c -----------------------------------------------------------------------------------------------


def test_blocks_lie_in_the_middle_of_actions():
    frames = np.full((200, 32, 32, 3), 90, np.uint8)
    frames[:, 0] = 100  # nothing gets brighter than the brightest value

    def changed(severity, actions=None, name='tal_black_frame'):
        out = CORRUPTIONS[name](frames, severity, 'v', actions=actions)
        return np.flatnonzero((out != frames).any(axis=(1, 2, 3))).tolist()

    assert changed(3, [(0, 100)]) == list(range(45, 56))  # 10 %, both ends as published
    assert changed(2, [(0, 100), (150, 160)]) == [*range(48, 54), 155]
    assert changed(1) == [99, 100, 101]
    assert changed(1, [(7, 8)]) == [7]
    assert changed(3, [(0, 100)], name='tal_overexposure') == list(range(45, 56))
    assert changed(3, []) == []


def test_p10_overexposure_is_that_of_the_published_code():
    """P10: a frame is stretched to a maximum of 255 first, so one with the maximum 128 gains 50, not 100."""
    peer = np.load(ROOT / 'tests/data/peers/tal_overexposure.npz')
    for frame, published in zip(peer['frames'], peer['published'], strict=True):
        ours = block.DAMAGES['tal_overexposure'].function(frame[None], 0, draws())
        assert np.array_equal(ours, to_bytes(published))  # float there; bytes here
    frame = np.zeros((1, 32, 32, 3), np.uint8)
    assert not CORRUPTIONS['tal_overexposure'](frame, 1, 'v').any()  # black stays black; published: 0 / 0
    frame[0, 0, 0] = 128
    out = CORRUPTIONS['tal_overexposure'](frame, 1, 'v')
    assert (out[0, 0, 0].tolist(), out[0, 5, 5].tolist()) == ([128, 128, 128], [50, 50, 50])


def test_motion_blur_of_a_block_is_severity_5():
    frames = clip(4)
    out = CORRUPTIONS['tal_motion_blur'](frames, 1, 'v')
    angle = draws('tal_motion_blur', 1).frame(2).uniform(-45, 45)
    assert np.array_equal(out[2], blur.motion_blurred(frames[2], 20, 15, angle))


def test_imitated_packet_loss_shows_neighbours():
    frames = np.zeros((61, 64, 64, 3), np.uint8)
    frames[:30], frames[31:] = 50, 200  # the middle is black, before it dark, after it bright
    out = CORRUPTIONS['tal_packet_loss'](frames, 1, 'v', actions=[(30, 31)])
    assert set(np.unique(out[30])) <= {0, 50, 200}
    assert {50, 200} <= set(np.unique(out[30]))
    assert np.array_equal(np.delete(out, 30, 0), np.delete(frames, 30, 0))


# --- bad input -----------------------------------------------------------------------------------------------------


def test_unknown_names():
    with pytest.raises(DataError, match="Unknown corruption 'gausian_noise'. Did you mean 'gaussian_noise'"):
        get_corruption('gausian_noise')
    with pytest.raises(ValueError, match="Did you mean 'kinetics-c'"):
        suite_corruptions('kinetic-c')
    with pytest.raises(ValueError, match="Did you mean 'ucf-p'"):
        CORRUPTIONS['fog'](clip(), 1, 'v', suite='ucfp')
    with pytest.raises(ValueError, match='fog is not in ucf-p; it is in imagenet-c, kinetics-c, ssv2-c'):
        CORRUPTIONS['fog'](clip(), 1, 'v', suite='ucf-p')


@pytest.mark.parametrize('severity', [0, 6, -1, 2.0, '3', True, None])
def test_unknown_severities(severity):
    with pytest.raises(ValueError, match='fog has no severity .* from 1 to 5'):
        CORRUPTIONS['fog'](clip(), severity, 'v')


def test_severities_of_blocks_are_three():
    with pytest.raises(ValueError, match='from 1 to 3'):
        CORRUPTIONS['tal_black_frame'](clip(), 4, 'v')


@pytest.mark.parametrize(
    'frames, words',
    [
        (np.zeros((2, 64, 64, 3), np.float32), 'frames are float32; corruptions take uint8'),
        ([[1]], 'frames are list'),
        (np.zeros((2, 64, 64), np.uint8), 'repeat gray'),
        (np.zeros((64, 64, 3), np.uint8), 'put T first'),
        (np.zeros((2, 64, 64, 1), np.uint8), 'repeat gray'),
        (np.zeros((2, 64, 64, 4), np.uint8), r'expected \(T, H, W, 3\)'),
        (np.zeros((0, 64, 64, 3), np.uint8), 'T at least 1'),
        (np.zeros((2, 16, 64, 3), np.uint8), 'frames are 16x64'),
    ],
)
def test_refused_frames(frames, words):
    with pytest.raises(ValueError, match=words):
        CORRUPTIONS['contrast'](frames, 1, 'v')


def test_refused_arguments():
    with pytest.raises(ValueError, match='4 frames need 4 frame numbers'):
        CORRUPTIONS['fog'](clip(), 1, 'v', frame_numbers=[1, 2])
    with pytest.raises(ValueError, match=r'at least 0, found \[-1, 0, 1, 2\]'):
        CORRUPTIONS['fog'](clip(), 1, 'v', frame_numbers=[-1, 0, 1, 2])
    with pytest.raises(ValueError, match='only corruptions of tal-c take actions'):
        CORRUPTIONS['fog'](clip(), 1, 'v', actions=[(0, 1)])
    for action in [(0, 5), (2, 2), (-1, 2)]:
        with pytest.raises(ValueError, match='within 4 frames; give frames, not seconds'):
            CORRUPTIONS['tal_black_frame'](clip(), 1, 'v', actions=[action])


def test_a_missing_encoder_is_said_and_nothing_takes_its_place():
    reason = codec.missing_encoder('libx266')
    assert reason == 'this build of FFmpeg has no encoder libx266'
    without = dataclasses.replace(CORRUPTIONS['h265_crf'], needs=lambda: codec.missing_encoder('libx266'))
    assert without.unavailable() == reason
    with pytest.raises(RuntimeError, match='h265_crf is not available: this build of FFmpeg has no encoder libx266'):
        without(clip(), 1, 'v')
    assert CORRUPTIONS['fog'].unavailable() is None


def test_reencoding_without_an_encoder(monkeypatch):
    monkeypatch.setattr(codec, 'missing_x264', lambda: 'no encoder here')
    with pytest.raises(RuntimeError, match='cannot be re-encoded: no encoder here'):
        reencode(clip())
    with pytest.raises(ValueError, match='repeat gray'):
        reencode(np.zeros((2, 64, 64), np.uint8))


# --- working size and time -----------------------------------------------------------------------------------------


def test_working_size_is_the_short_side():
    assert to_working_size(np.zeros((1, 480, 640, 3), np.uint8)).shape == (1, 256, 341, 3)
    assert to_working_size(np.zeros((1, 120, 90, 3), np.uint8)).shape == (1, 341, 256, 3)
    frames = np.zeros((1, 256, 300, 3), np.uint8)
    assert to_working_size(frames) is frames


def test_times_are_given_for_each():
    found = time_corruptions(64, 2, names=['contrast', 'jumble', 'tal_black_frame'])
    assert list(found) == ['contrast', 'jumble', 'tal_black_frame']
    assert found['contrast']['family'] == 'digital'
    assert found['contrast']['worst_ms'] >= found['contrast']['ms'] >= 0
    assert found['tal_black_frame']['worst_severity'] in (1, 2, 3)
    with pytest.raises(ValueError, match='Did you mean'):
        time_corruptions(64, 2, names=['contrst'])
