"""The parts of `python -m tools.benchmark localization` on small inputs; what it counts is exact, times are not
tested."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from eval.features.dense import DenseView
from sigma.data import cards
from tests.conftest import assert_one_sentence, call_main
from tools.benchmark import __main__ as benchmark
from tools.benchmark import localization

EXTRACTION = ('--seconds', 2, '--source', 64, 48, '--gop', 12, '--size', 32, '--encoded', 4)
METRIC = ('--metric-videos', 30, '--proposals', 10)


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    return str(localization.write_video(tmp_path_factory.mktemp('video') / 'v.mp4', 60, 64, 48, 12))


@pytest.mark.parametrize(
    ('view', 'limit', 'clips', 'decoded', 'needed'),
    [
        (DenseView(16, 1, 4, 32), None, 12, 60, 60),
        (DenseView(16, 1, 4, 32), 5, 5, 32, 32),
        (DenseView(8, 4, 8, 32), None, 4, 53, 53),  # spans of 29 from 0, 8, 16 and 24
        (DenseView(4, 1, 20, 32), None, 3, 44, 12),  # gaps between clips are decoded too: the codec needs them
    ],
)
def test_frames_are_decoded_once_and_both_ways_show_the_same(video, view, limit, clips, decoded, needed):
    found = localization.compare(video, view, 60, limit)
    assert (found['clips'], found['decoded'], found['needed']) == (clips, decoded, needed)
    if view.step_frames <= view.span:
        assert found['decoded'] / found['needed'] <= localization.DECODED_GOAL
    assert found['difference'] < 2
    assert min(found['ours'], found['again']) > 0


def test_each_window_again_is_the_same_clips(video):
    view = DenseView(8, 2, 4, 32)
    starts = view.starts(60)
    again = np.concatenate(list(localization.windows_again(video, view, starts, 5)))
    from eval.features.dense import clip_batches, frames_of

    ours = np.concatenate([clips for clips, _ in clip_batches(frames_of(video), view, 7)])
    assert ours.shape == again.shape == (12, 8, 32, 32, 3)
    assert np.abs(ours.astype(int) - again).mean() < 2


def test_the_drawn_predictions_are_hard_enough_to_tell():
    from eval.metrics.localization import mean_average_precision

    scores, labels = localization.draw(200, 20, num_classes=10)
    assert (scores.shape, labels.shape) == ((200, 20, 4), (200, 3, 3))
    assert len(np.unique(scores[..., 3])) == scores[..., 3].size
    assert 5 < mean_average_precision(scores, labels) < 95


def test_it_prints_each_ratio_beside_its_goal(capsys):
    done = call_main(benchmark.main, capsys, 'localization', '--parts', 'extraction', 'metric', *EXTRACTION, *METRIC)
    assert done.returncode == 0, done.stderr
    rows = re.findall(
        r'key frame every +12, (reading alone|with ViT tiny on cpu): +([\d.]+) clips/s, each window again +([\d.]+): '
        r'([\d.]+) times \(goal 3\), (\d+) clips, 1.00 decoded frames per needed frame \(goal 1.1\)',
        done.stdout,
    )
    assert [(row[0], row[4]) for row in rows] == [('reading alone', '12'), ('with ViT tiny on cpu', '4')]
    for row in rows:
        assert float(row[3]) == pytest.approx(float(row[1]) / float(row[2]), rel=0.1, abs=0.06)
    assert 'metric: 30 videos of 10 proposals' in done.stdout
    assert re.search(r'both +[\d.]+ s \(goal 30\)', done.stdout)
    assert 'interval of the mAP, 1000 resamples' in done.stdout


def test_the_head_reads_the_store_and_trains(tmp_path, capsys, monkeypatch):
    def narrow(*names):
        recipe = read_card(*names)
        return recipe | {'head': recipe['head'] | {'width': 16}}

    read_card = cards.read_card
    monkeypatch.setattr(cards, 'read_card', narrow)
    sizes = ('--videos', 3, '--length', 64, '--width', 16, '--head-steps', 1)
    args = benchmark.parse([*map(str, ('localization', *sizes))])
    localization.write_noise(args, tmp_path)
    assert len(list(tmp_path.glob('*.npz'))) == 3
    done = call_main(benchmark.main, capsys, 'localization', *sizes, '--memory-of', tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found['peak'] >= found['read'] >= found['before'] > 2**20
    assert found['batch'] == 2


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own(capsys):
    sizes = ('--videos', 40, '--length', 512, '--width', 768, '--head-steps', 1)
    done = call_main(benchmark.main, capsys, 'localization', '--parts', 'head', *sizes)
    assert done.returncode == 0, done.stderr
    words = r'([\d.]+) GB after imports, ([\d.]+) with the features listed, ([\d.]+) with the training features'
    before, listed, read = map(float, re.search(words, done.stdout).groups())
    assert listed - before < 0.02  # files are checked, not held
    assert read - listed == pytest.approx(40 * 512 * 768 * 2 / 1e9, abs=0.02)
    assert float(re.search(r'peak: ([\d.]+) GB \(goal 4\)', done.stdout)[1]) >= read


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (('--proposals', 0), ('--proposals 0', 'at least 1')),
        (('--parts', 'extraction', '--size', 33, '--seconds', 1), ('33 pixels',)),
        (('--parts', 'head', '--scratch', Path('nowhere') / 'at' / 'all'), ('nowhere',)),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(capsys, change, words):
    assert_one_sentence(call_main(benchmark.main, capsys, 'localization', *change), *words)
