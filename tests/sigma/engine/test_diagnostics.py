"""Diagnostics: statistics on hand-made cases, collapses that are caught, healthy runs without an alarm."""

import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from sigma.engine.checkpoint import CheckpointHook
from sigma.engine.collapse import CollapseHook, churn, effective_rank, usage
from sigma.engine.diagnostics import DiagnosticsHook, TrainingStopped
from sigma.losses.sinkhorn import SinkhornLoss, hard_codes_and_error
from tests.sigma.data.test_many_masks import batch as small_batch
from tests.sigma.data.test_many_masks import tiny
from tests.sigma.losses.test_sinkhorn import cosine_scores
from tests.sigma.models.test_models import tiny_batch, tiny_sigma

# --- statistics ---


def test_effective_rank_counts_directions():
    line = torch.randn(100, 1) @ torch.randn(1, 8)
    assert float(effective_rank(line)) == pytest.approx(1, abs=1e-3)
    corners = torch.cat([torch.eye(8), -torch.eye(8)])  # eight directions, equally strong, mean zero
    assert float(effective_rank(corners)) == pytest.approx(8, rel=1e-5)
    shifted = corners[:4].repeat(2, 1)  # four points: three directions about their mean
    assert float(effective_rank(shifted)) == pytest.approx(3, rel=1e-3)


def test_usage_of_prototypes_on_counts_drawn_by_hand():
    used, entropy = usage(torch.tensor([2.0, 2.0, 0.0, 0.0]))
    assert float(used) == 0.5
    assert float(entropy) == pytest.approx(0.5)  # one bit of two
    used, entropy = usage(torch.tensor([1.0] * 4 + [0.0] * 96))
    assert float(used) == pytest.approx(0.04)
    assert float(entropy) == pytest.approx(1)  # four tokens cannot be spread wider


def test_churn_is_the_share_of_features_that_change_prototype():
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    before = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert float(churn(features, before, before)) == 0
    assert float(churn(features, before, torch.tensor([[-1.0, 0.0], [0.0, 1.0]]))) == 0.75


def test_row_mass_error_is_that_of_the_plan_before_the_last_round():
    scores = cosine_scores(300, 24)
    for rounds in (2, 5, 10):
        plan = torch.exp(scores.double() / 0.05).T
        plan /= plan.sum()
        for _ in range(rounds - 1):
            plan /= plan.sum(dim=1, keepdim=True) * 24
            plan /= plan.sum(dim=0, keepdim=True) * 300
        by_hand = (24 * plan.sum(dim=1) - 1).abs().mean()
        _, error = hard_codes_and_error([scores, scores], 0.05, rounds)
        torch.testing.assert_close(error.double(), by_hand.repeat(2), atol=1e-5, rtol=1e-3)
    assert hard_codes_and_error([scores], 0.05, 1)[1].isnan().all()
    loss = SinkhornLoss(24, 12)
    assert float(loss(torch.randn(4, 30, 12), torch.randn(4, 30, 12))['row_mass_error']) > 0


# --- the collapse alarm ----------------------------------------------------------------------------------------------

BATCH, TOKENS, WIDTH, PROTOTYPES = 4, 32, 16, 24


class Shown(nn.Module):
    """A model whose loss gets the features that the test makes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.sinkhorn_loss = SinkhornLoss(PROTOTYPES, WIDTH)


class Recorder(CheckpointHook):
    """Records what would have been saved."""

    def save(self, runner, num_iters, num_epochs):
        self.saved = (num_iters, num_epochs)


def fake(model, *hooks):
    hub = MessageHub.get_instance('test_diagnostics')
    settings = {'iter': 0, 'epoch': 0, 'max_iters': 1000, 'message_hub': hub, 'optim_wrapper': None}
    return SimpleNamespace(model=model, hooks=list(hooks), **settings)


def steps_until_alarm(features, model=None, most: int = 60, **settings) -> int | None:
    """Steps until the hook reports a collapse, if the loss gets `features()` in every step."""
    model, hook = model or Shown(), CollapseHook(**settings)
    runner = fake(model, hook)
    hook.before_train(runner)
    for runner.iter in range(most):
        hook.before_train_iter(runner, 0)
        model.sinkhorn_loss(*features())
        hook.after_train_iter(runner, 0)
        if hook.alarm:
            return runner.iter + 1
    return None


def spread():
    return torch.randn(BATCH, TOKENS, WIDTH)


def all_equal():
    return torch.ones(BATCH, TOKENS, WIDTH) + 1e-3 * spread(), spread()


DIRECTION = torch.linspace(-1, 1, WIDTH)


def rank_one():
    return torch.randn(BATCH, TOKENS, 1) * DIRECTION + 1e-3 * spread(), spread()


def rank_one_targets():
    return spread(), torch.randn(BATCH, TOKENS, 1) * DIRECTION


def all_equal_targets():
    return all_equal()[::-1]


def few_prototypes():
    return spread(), spread()


def test_three_collapses_are_caught_within_fifty_steps():
    collapsed = Shown()
    with torch.no_grad():  # two prototypes that count, and copies of them
        collapsed.sinkhorn_loss.prototypes.copy_(collapsed.sinkhorn_loss.prototypes[:2].repeat(PROTOTYPES // 2, 1))
    by_features = [(show, None) for show in (all_equal, all_equal_targets, rank_one, rank_one_targets)]
    for features, model in [*by_features, (few_prototypes, collapsed)]:
        found = steps_until_alarm(features, model)
        assert found is not None, features.__name__
        assert found <= 50, features.__name__


def test_the_alarm_names_its_collapse():
    hook, model = CollapseHook(interval=1, patience=2), Shown()
    runner = fake(model, hook)
    hook.before_train(runner)
    for runner.iter in range(2):
        model.sinkhorn_loss(*all_equal())
        hook.after_train_iter(runner, 0)
    assert 'step 2' in hook.alarm
    assert 'predictions are nearly all equal (feature_std ' in hook.alarm
    assert runner.message_hub.get_scalar('train/feature_std').current() == pytest.approx(0.001, rel=0.2)
    hook.after_train(runner)
    assert model.sinkhorn_loss.watch is None


def test_spread_features_raise_no_alarm_and_neither_does_a_passing_fault():
    assert steps_until_alarm(lambda: (spread(), spread())) is None
    calls = iter(range(1000))

    def at_times():
        return all_equal() if next(calls) % 20 < 10 else (spread(), spread())

    assert steps_until_alarm(at_times) is None


# `feature_std` of a healthy run (small_sigma-mlp_vit-t_toy.py, targets standardised by clip) at steps 1, 10 ... 300.
HEALTHY = (
    *(0.530, 0.498, 0.425, 0.350, 0.268, 0.223, 0.196, 0.171, 0.146, 0.125, 0.106, 0.088, 0.085, 0.086, 0.078, 0.087),
    *(0.076, 0.081, 0.060, 0.059, 0.049, 0.051, 0.051, 0.086, 0.050, 0.046, 0.058, 0.194, 0.119, 0.180, 0.193),
)


def of_spread(series):
    """Predictions whose `feature_std` follows a series, ten steps per value; targets are spread out."""
    steps = iter([value for value in series for _ in range(10)])
    return lambda: (torch.ones(BATCH, TOKENS, WIDTH) + next(steps) * spread(), spread())


def test_a_healthy_run_whose_predictions_are_alike_at_first_raises_no_alarm():
    found = Shown().sinkhorn_loss(*of_spread([0.05])())
    assert float(found['feature_std']) == pytest.approx(0.05, rel=0.1)  # it follows
    assert steps_until_alarm(of_spread(HEALTHY), most=300) is None


def test_what_rises_again_raises_no_alarm_and_what_goes_on_falling_does():
    rising = [0.002 * 1.15**number for number in range(12)]  # 1.3 over three looks, below 0.01 to the end
    assert steps_until_alarm(of_spread(rising), most=120) is None
    assert steps_until_alarm(of_spread([0.009] * 12), most=120) == 30
    assert steps_until_alarm(of_spread(HEALTHY[:20] + (0.009, 0.005, 0.003, 0.002)), most=240) == 230


def test_a_figure_that_stays_at_exactly_nothing_has_not_risen():
    hook, model = CollapseHook(patience=3), Shown()
    for figures in [{'window_entropy': 0.0}] * 3:  # one prototype takes every token
        hook._judge(fake(model, hook), figures)
    assert 'few prototypes get nearly all tokens' in hook.alarm
    assert steps_until_alarm(lambda: (torch.zeros(BATCH, TOKENS, WIDTH), spread())) == 30


def test_a_collapse_that_happens_is_caught():
    """The ablation of the paper: with L2, learned targets shrink to a point but keep their directions."""
    model, hook = tiny('mlp', {'type': 'sigma.FeatureL2'}), CollapseHook(interval=5)
    runner = fake(model, hook)
    hook.before_train(runner)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for runner.iter in range(80):
        losses = model(**model.data_preprocessor(small_batch(None, 4, seed=runner.iter)), mode='loss')
        optimizer.zero_grad()
        losses['loss_l2'].backward()
        optimizer.step()
        hook.after_train_iter(runner, 0)
    assert 'targets have shrunk to nearly one point (target_scale 0.0' in hook.alarm
    hook.after_train(runner)
    assert not model.sinkhorn_loss._forward_pre_hooks


def test_a_healthy_tiny_run_raises_no_alarm():
    model = tiny_sigma()
    hook = CollapseHook(interval=5)
    runner = fake(model, hook)
    hook.before_train(runner)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    for runner.iter in range(60):
        batch = tiny_batch()
        batch['inputs'] = [
            torch.randint(0, 256, (3, 4, 64, 64), dtype=torch.uint8, generator=generator) for _ in range(3)
        ]
        losses = model(**model.data_preprocessor(batch), mode='loss')
        optimizer.zero_grad()
        (losses['loss_pred'] + losses['loss_target']).backward()
        optimizer.step()
        hook.after_train_iter(runner, 0)
    assert hook.alarm is None
    hub = runner.message_hub
    names = ('effective_rank', 'target_rank', 'window_used', 'window_entropy', 'assignment_churn')
    assert all(math.isfinite(hub.get_scalar(f'train/{name}').current()) for name in names)
    assert hub.get_scalar('train/window_used').current() > 0.5


def test_stopping_saves_the_state_after_the_last_step():
    recorder = Recorder()
    hook, model = CollapseHook(interval=1, patience=1, stop=True), Shown()
    runner = fake(model, recorder, hook)
    hook.before_train(runner)
    model.sinkhorn_loss(*all_equal())
    hook.after_train_iter(runner, 0)
    runner.iter, runner.epoch = 1, 0
    with pytest.raises(TrainingStopped, match='the state after step 1 is saved'):
        hook.before_train_iter(runner, 0)
    assert recorder.saved == (1, 0)


def test_settings_without_meaning_are_refused():
    with pytest.raises(ValueError, match='found 0, 3'):
        CollapseHook(interval=0)
    with pytest.raises(ValueError, match='found feature_sdt'):
        CollapseHook(thresholds={'feature_sdt': 1})
    with pytest.raises(ValueError, match='every 0 steps'):
        DiagnosticsHook(interval=0)


def test_nothing_waits_for_the_device_between_looks(monkeypatch):
    model, hook, diagnostics = Shown(), CollapseHook(interval=10), DiagnosticsHook(interval=10)
    runner = fake(model, hook)
    hook.before_train(runner)
    waits = []
    for name in ('item', '__float__', '__int__', '__bool__', 'tolist', 'cpu', 'numpy', '__index__'):
        original = getattr(torch.Tensor, name)

        def counted(self, *args, _original=original, _name=name, **kwargs):
            waits.append((runner.iter, _name))
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, counted)
    for runner.iter in range(20):
        losses = model.sinkhorn_loss(spread(), spread())
        hook.after_train_iter(runner, 0)
        diagnostics.after_train_iter(runner, 0, outputs={'loss': losses['loss_pred']})
    assert {step for step, _ in waits} == {9, 19}


# --- losses that are NaN or inf ---


def test_the_first_loss_that_is_no_number_is_named_at_the_next_look():
    hook, runner = DiagnosticsHook(interval=4), fake(None)
    for runner.iter, loss in enumerate([1.0, math.inf, math.nan]):
        hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(loss)})
    runner.iter = 3
    with pytest.raises(TrainingStopped, match='loss of step 2 is inf; training stops and the last checkpoint stays'):
        hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(1.0)})
    hook = DiagnosticsHook(interval=100)
    hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(math.nan)})
    with pytest.raises(TrainingStopped, match='loss of step 4 is nan'):
        hook.before_save_checkpoint(runner, {})


def nan_on_rank(rank: int, world_size: int) -> str:
    hook, runner = DiagnosticsHook(interval=2), fake(None)
    try:
        for runner.iter in range(2):
            loss = math.nan if rank == 1 and runner.iter == 0 else 1.0
            hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(loss)})
    except TrainingStopped as error:
        return torch.tensor([ord(letter) for letter in str(error)])
    return torch.zeros(0)


def test_a_loss_that_is_no_number_on_one_process_stops_all():
    from tests.processes import run_processes

    for told in run_processes(nan_on_rank, 2):
        assert 'loss of step 1 is nan' in ''.join(chr(int(code)) for code in told)


def test_each_failure_is_named_once():
    hook, runner = DiagnosticsHook(), fake(None)
    for _ in range(3):
        hook.before_train_iter(runner, 0, {'failures': ['', 'a.mp4: broken\nb.mp4: empty', 'a.mp4: ends before 7']})
    assert hook.failures == {'a.mp4': 'a.mp4: broken', 'b.mp4': 'b.mp4: empty'}
    assert runner.message_hub.get_scalar('train/undecodable_videos').current() == 2
