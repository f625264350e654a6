"""Resizing and cropping as the published loaders do it, to the pixel (P3)."""

import json

import numpy as np
import pytest

from eval.features.views import spatial_views
from sigma.data.augment import RandomAreaCrop
from sigma.data.transforms import FixedCrops, MultiScaleCrop, ResizeShortSide, ResizeSquare, resize_frames
from sigma.registry import TRANSFORMS
from tests.conftest import ROOT

CASES = json.loads((ROOT / 'tests' / 'data' / 'peers' / 'resize.json').read_text())
TEST = [case for case in CASES if case['loader'].endswith('_test')]
TRAINING = [case for case in CASES if case['loader'].endswith('_training')]
VIEWS = {  # as in the recipes
    'severe_test': {'resampling': 'antialias', 'middle': 'even', 'crops': 1},
    'sigma_test': {'resampling': 'opencv', 'crops': 3},
    'slowfast_test': {'resampling': 'opencv', 'middle': 'up', 'crops': 3},
}
# PIL rounds after each direction; torch's interpolation is compared with its rounded values.
MOST = {'severe': 2, 'sigma': 1, 'slowfast': 1}


def frame(case) -> np.ndarray:
    return np.random.RandomState(case['seed']).randint(0, 256, (case['height'], case['width'], 3)).astype(np.uint8)


def clip(*frames: np.ndarray) -> dict:
    return {'imgs': list(frames), 'img_shape': frames[0].shape[:2], 'num_clips': 1, 'clip_len': len(frames)}


def close(ours, published, loader: str) -> None:
    apart = np.abs(np.stack(ours) - np.array(published))
    assert apart.max() <= MOST[loader.partition('_')[0]], loader
    assert apart.mean() < 0.3


@pytest.mark.parametrize('case', TEST, ids=lambda case: f'{case["loader"]}-{case["height"]}x{case["width"]}')
def test_P3_views_at_test_are_those_of_the_published_loaders(case):
    """mmaction2 rounds the long side up and ends its last crop a pixel early; OpenCV does not average."""
    views = VIEWS[case['loader']] | {'num_clips': 1, 'resize': 'short_side', 'short_side': case['side']}
    sample = clip(frame(case))
    for step in spatial_views(case['size'], views):
        sample = TRANSFORMS.build(step).transform(sample)
    assert len(sample['imgs']) == len(case['crops'])
    assert sample['img_shape'] == (case['size'], case['size'])
    close(sample['imgs'], case['crops'], case['loader'])


@pytest.mark.parametrize('case', TRAINING, ids=lambda case: f'{case["loader"]}-{case["seed"]}')
def test_P3_training_crops_are_resized_as_published(case, monkeypatch):
    resampling = 'antialias' if case['loader'] == 'severe_training' else 'opencv'
    crop = RandomAreaCrop(case['size'], (0.25, 1.0), resampling)
    monkeypatch.setattr(crop, 'place', lambda *_: tuple(case['box']))
    close(crop.transform(clip(frame(case)) | {'rng': None})['imgs'], case['crops'], case['loader'])


def test_P3_the_case_itself_320x240_to_112():
    """OpenCV's filter: mean difference 5.2 of 255 from PIL and 1.51 times the Laplacian, on this kind of picture."""
    from PIL import Image

    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    by_pil = np.asarray(Image.fromarray(picture).resize((112, 112), Image.Resampling.BILINEAR)).astype(int)
    averaged = np.abs(resize_frames([picture], 112, resampling='antialias')[0] - by_pil)
    assert averaged.max() <= 1
    assert averaged.mean() < 0.02
    assert np.abs(resize_frames([picture], 112)[0] - by_pil).mean() > 5


@pytest.mark.parametrize('shape', [(240, 320), (480, 640), (1080, 1920), (100, 130)])
def test_the_averaging_filter_is_pils_for_sources_of_any_size(shape):
    from PIL import Image

    rows, columns = np.mgrid[: shape[0], : shape[1]]
    wave = 127.5 + 127.5 * np.sin(rows * columns / 900)  # all frequencies
    picture = np.stack([wave, wave[::-1], wave[:, ::-1]], axis=-1).astype(np.uint8)
    by_pil = np.asarray(Image.fromarray(picture).resize((150, 112), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(resize_frames([picture], 112, 150, 'antialias')[0] - by_pil).max() <= (1 if shape[0] > 112 else 2)


def test_a_crop_that_fits_nowhere_is_the_largest_allowed_in_the_middle():
    crop, (fallback,) = RandomAreaCrop(8, (50.0, 60.0)), [case for case in CASES if case['loader'] == 'fallback']
    for found in fallback['places']:
        assert list(crop.place(np.random.default_rng(0), found['rows'], found['columns'])) == found['place']


def test_random_crops_keep_to_their_area_and_aspect():
    crop, rng = RandomAreaCrop(8, (0.08, 1.0)), np.random.default_rng(0)
    places = np.array([crop.place(rng, 240, 320) for _ in range(2000)])
    top, left, height, width = places.T
    assert min(top.min(), left.min()) >= 0
    assert ((top + height).max(), (left + width).max()) <= (240, 320)
    shares, aspects = height * width / (240 * 320), width / height
    assert 0.075 < shares.min() < 0.1
    assert shares.max() > 0.95
    assert aspects.min() == pytest.approx(3 / 4, abs=0.02)
    assert aspects.max() == pytest.approx(4 / 3, abs=0.02)


def test_pretraining_crops_average_if_asked_and_stay_as_they_were_otherwise():
    import cv2
    from PIL import Image

    picture = np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    made = {}
    for resampling in ('opencv', 'antialias'):
        crop = MultiScaleCrop(64, resampling=resampling)
        made[resampling] = crop.transform(clip(picture) | {'rng': np.random.default_rng(3)})
    top, left, height, width = (int(v) for v in made['opencv']['crop_box'])
    cut = picture[top : top + height, left : left + width]
    assert np.array_equal(made['opencv']['imgs'][0], cv2.resize(cut, (64, 64), interpolation=cv2.INTER_LINEAR))
    by_pil = np.asarray(Image.fromarray(cut).resize((64, 64), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(made['antialias']['imgs'][0] - by_pil).max() <= 1
    assert {*MultiScaleCrop.departures[0]} == {'what', 'published', 'ours', 'effect'}


@pytest.mark.parametrize(
    ('build', 'said'),
    [
        (lambda: ResizeShortSide(8, 'pil'), "Unknown resampling 'pil'; known: opencv, antialias"),
        (lambda: ResizeSquare(8, 'area'), "Unknown resampling 'area'"),
        (lambda: RandomAreaCrop(8, (0.1, 1.0), 'cubic'), "Unknown resampling 'cubic'"),
        (lambda: FixedCrops(8, 2), 'num_crops=2; it must be 1 or 3'),
        (lambda: FixedCrops(8, 1, 'left'), "middle='left'; it must be one of down, up, even"),
        (lambda: FixedCrops(8).transform(clip(np.zeros((6, 9, 3), np.uint8))), 'cannot take 8 pixels'),
    ],
)
def test_settings_that_make_no_sense_are_refused(build, said):
    with pytest.raises(ValueError, match=said):
        build()
