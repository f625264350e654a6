"""What features tell of motion, on features whose answer is known."""

import json

import numpy as np
import pytest

from sigma.datasets.toy import render as toy
from tools import toy_motion

SPEC = toy.SETS['toy']


def videos_of(split: str, num: int) -> list[str]:
    return [path for path, _ in toy.entries(SPEC)[split]][:num]


def write(folder, split: str, values: np.ndarray, videos: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    key = {'dataset': 'toy', 'weights': 'random, seed 0'}
    np.savez(folder / f'{split}.npz', videos=np.array(videos), values=values[:, None], key=np.array(json.dumps(key)))


def test_places_are_where_the_mover_is_drawn():
    split, label, number = 'test', 'turn1_cw', 3
    path = toy.entries(SPEC)[split][SPEC.classes.index(label) * SPEC.clips_per_class[1] + number][0]
    places = toy.mover_places(SPEC, path)
    frames = toy.clip_frames(SPEC, split, label, number).astype(float).mean(-1)
    still = np.median(frames, axis=0)
    for frame, (x, y) in list(zip(frames, places))[::7]:
        weight = np.clip(np.abs(frame - still) - 40, 0, None)
        rows, columns = np.indices(weight.shape)
        found = (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()
        assert np.hypot(found[0] / 64 - x, found[1] / 64 - y) < 0.1


def test_features_that_hold_the_answer_explain_all_and_noise_explains_nothing(tmp_path):
    rng = np.random.default_rng(0)
    for split, num in (('train', 60), ('test', 30)):
        videos = videos_of(split, num)
        places = np.stack([toy.mover_places(SPEC, video)[::2] for video in videos]).reshape(num, 8, 2, 2)
        write(tmp_path / 'features' / 'knows', split, places.reshape(num, 8, 4), videos)
        write(tmp_path / 'features' / 'noise', split, rng.normal(size=(num, 8, 4)), videos)
    rows = {row.encoder: row.scores for row in toy_motion.motion_table(tmp_path)}
    assert rows['knows'][0] == pytest.approx(1, abs=1e-4)
    assert rows['knows'][1] == pytest.approx(1, abs=1e-4)
    assert all(abs(score) < 0.1 for score in rows['noise'])


def test_no_features_is_one_sentence(tmp_path, capsys):
    assert toy_motion.main([str(tmp_path)]) == 2
    assert 'no features of toy' in capsys.readouterr().err
