"""Mixup and cutmix: pairs, shares and draws of the published code, however a step is spread (P2)."""

import json

import numpy as np
import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.logging import MessageHub

from eval.models import MixClips, mixing
from tests.conftest import ROOT

CASES = json.loads((ROOT / 'tests' / 'data' / 'peers' / 'mixup.json').read_text())


def labelled(labels) -> list[ActionDataSample]:
    samples = [ActionDataSample() for _ in labels]
    for sample, label in zip(samples, labels):
        sample.set_gt_label(int(label))
    return samples


def at_pass(number: int, monkeypatch, rank: int = 0, processes: int = 1) -> None:
    """Let the next forward pass be this one of this process."""
    MessageHub.get_current_instance().update_info('iter', number)
    monkeypatch.setattr(mixing, 'get_rank', lambda: rank)
    monkeypatch.setattr(mixing, 'get_world_size', lambda: processes)


@pytest.mark.parametrize('case', CASES, ids=lambda case: f'seed{case["seed"]}')
def test_P2_pairs_shares_and_rectangles_are_those_of_the_published_code(case):
    drawn = np.random.RandomState(1000 + case['seed'])
    clips = torch.from_numpy(drawn.randint(0, 256, (case['clips'], 1, 3, 6, 7)) / 255)
    labels = torch.from_numpy(drawn.randint(0, 10, case['clips']))
    weights = drawn.rand(1, 3, 6, 7)
    mix = MixClips(10, *case['alphas'])
    mixed, shares = mix.mixed(clips, labels, np.random.RandomState(case['seed']))
    assert mixed.mean((1, 2, 3, 4)).tolist() == pytest.approx(case['means'], abs=1e-6)
    assert (mixed.numpy() * weights).sum((1, 2, 3, 4)).tolist() == pytest.approx(case['weighted'], abs=1e-6)
    smoothed = (shares * 0.9 + 0.1 / 10).double()  # as the head does
    torch.testing.assert_close(smoothed, torch.tensor(case['targets'], dtype=torch.float64), atol=1e-6, rtol=0)
    if not case['cutmix']:
        pairs = clips[case['pair']]
        share = case['lambda_drawn']
        torch.testing.assert_close(mixed, clips * share + pairs * (1 - share))


def test_P2_every_clip_of_a_group_meets_another(monkeypatch):
    """A random permutation left 27.6 % of the clips unmixed at batch 4."""
    mix, met = MixClips(4, mixup=1e3, clips_together=4), 0  # shares close to 1/2
    for number in range(50):
        at_pass(number, monkeypatch)
        clips = torch.eye(4).view(4, 1, 1, 1, 2, 2).repeat(1, 1, 3, 2, 1, 1)
        mixed, samples = mix(clips, labelled(range(4)))
        met += sum(int((sample.gt_label > 0.1).sum() == 2) for sample in samples)
        torch.testing.assert_close(mixed[:, 0, 0, 0].flatten(1), torch.stack([s.gt_label for s in samples]))
        assert [s.gt_label[3 - i] > 0.1 for i, s in enumerate(samples)] == [True] * 4
    assert met == 200


def test_P2_a_rectangle_of_cutmix_is_the_same_in_all_frames_and_channels(monkeypatch):
    at_pass(3, monkeypatch)
    clips = torch.arange(8.0).view(8, 1, 1, 1, 1, 1).expand(8, 1, 3, 5, 12, 12)
    mixed, samples = MixClips(8, cutmix=1.0, clips_together=8, seed=5)(clips, labelled(range(8)))
    assert torch.equal(mixed, mixed[:, :, :1, :1].expand_as(mixed))
    for number, (clip, sample) in enumerate(zip(mixed[:, 0, 0, 0], samples)):
        assert float((clip == number).float().mean()) == pytest.approx(float(sample.gt_label[number]))
        assert set(clip.unique().tolist()) <= {float(number), 7.0 - number}


@pytest.mark.parametrize(('processes', 'passes'), [(1, 1), (4, 1), (2, 2), (1, 4), (8, 1), (1, 8)])
def test_P2_processes_and_accumulated_passes_do_not_change_a_step(processes, passes, monkeypatch):
    """32 clips of an optimizer step in eight draws, as on 8 devices of 4 clips, however they are spread."""
    settings = {'num_classes': 40, 'mixup': 0.8, 'cutmix': 1.0, 'clips_together': 4, 'seed': 7}
    clips, labels = torch.rand(64, 1, 3, 2, 6, 6), list(range(32)) * 2
    wanted, shares = [], []
    for step in range(2):
        at_pass(step, monkeypatch)
        part = slice(32 * step, 32 * step + 32)
        done, samples = MixClips(**settings)(clips[part], labelled(labels[part]))
        wanted.append(done)
        shares += [sample.gt_label for sample in samples]
    drawn = {round(float(share.max()), 4) for share in shares}
    assert len(drawn) > 10  # 16 groups, each with a share of its own
    size = 32 // (processes * passes)
    got = []
    for number in range(2 * passes):
        for rank in range(processes):  # process r takes the r-th part of a global batch
            at_pass(number, monkeypatch, rank, processes)
            begin = (number * processes + rank) * size
            got.append(MixClips(**settings)(clips[begin : begin + size], labelled(labels[begin : begin + size]))[0])
    assert torch.equal(torch.cat(got), torch.cat(wanted))


def test_the_process_draws_its_own_numbers_as_if_nothing_were_mixed(monkeypatch):
    at_pass(0, monkeypatch)
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    MixClips(4, mixup=0.8)(torch.rand(4, 1, 3, 2, 4, 4), labelled(range(4)))
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize(('clips', 'sizes'), [(1, [1]), (3, [3]), (4, [4]), (9, [4, 5]), (10, [4, 4, 2])])
def test_few_clips_make_a_smaller_or_an_odd_group(clips, sizes, monkeypatch):
    at_pass(0, monkeypatch)
    mix = MixClips(10, mixup=1e3, clips_together=4)
    assert mix._sizes(clips) == sizes
    given = torch.rand(clips, 1, 3, 2, 4, 4)
    mixed, samples = mix(given, labelled(range(clips)))
    alone = [i for i, sample in enumerate(samples) if sample.gt_label[i] > 0.9999]
    assert len(alone) == sum(size % 2 for size in sizes)  # the middle of an odd group
    assert all(torch.allclose(mixed[i], given[i]) for i in alone)
    assert torch.stack([sample.gt_label for sample in samples]).sum(dim=1).tolist() == pytest.approx([1] * clips)


@pytest.mark.parametrize('settings', [{}, {'mixup': 0.8, 'clips_together': 1}, {'mixup': -1.0}])
def test_settings_that_mix_nothing_are_refused(settings):
    with pytest.raises(ValueError, match='MixClips has'):
        MixClips(4, **settings)
