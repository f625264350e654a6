"""Sinkhorn against the published form, against POT, and over processes."""

import numpy as np
import ot
import pytest
import torch
import torch.nn.functional as F

from sigma.losses.sinkhorn import SinkhornLoss, code_statistics, hard_codes, sinkhorn
from tests.processes import run_processes


def cosine_scores(num_samples: int, num_prototypes: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = F.normalize(torch.randn(num_prototypes // 2, 16, generator=generator), dim=1)
    samples = centres[torch.randint(len(centres), (num_samples,), generator=generator)]
    samples = F.normalize(samples + 0.3 * torch.randn(num_samples, 16, generator=generator), dim=1)
    return samples @ F.normalize(torch.randn(num_prototypes, 16, generator=generator), dim=1).T


def published_form(scores: torch.Tensor, epsilon: float, num_iterations: int) -> torch.Tensor:
    """The released code: exponentiate directly, then normalise rows and columns; in double precision."""
    plan = torch.exp(scores.double() / epsilon).T
    plan /= plan.sum()
    for _ in range(num_iterations):
        plan /= plan.sum(dim=1, keepdim=True) * plan.shape[0]
        plan /= plan.sum(dim=0, keepdim=True) * plan.shape[1]
    return (plan / plan.sum(dim=0, keepdim=True)).T


@pytest.mark.parametrize('epsilon', [0.1, 0.05, 0.03, 0.02])
@pytest.mark.parametrize('rounds', [1, 3, 10])
def test_equals_the_published_form_after_any_number_of_rounds(epsilon, rounds):
    scores = cosine_scores(300, 24)
    ours = sinkhorn(scores, epsilon, rounds)
    # fp32 against fp64: exp(score / epsilon) carries a relative error of about 1e-7 / epsilon
    torch.testing.assert_close(ours.double(), published_form(scores, epsilon, rounds), atol=1e-5, rtol=0)


def test_converges_to_the_optimal_transport_plan_of_pot():
    scores = cosine_scores(60, 12).double()
    plan = ot.sinkhorn(
        np.full(60, 1 / 60), np.full(12, 1 / 12), -scores.numpy(), reg=0.05, numItermax=20000, stopThr=1e-12
    )
    ours = sinkhorn(scores.float(), 0.05, 3000)
    np.testing.assert_allclose(ours.numpy() / 60, plan, atol=1e-6)


def test_rows_sum_to_one_and_columns_to_equal_shares():
    codes = sinkhorn(cosine_scores(512, 32), 0.05, 50)
    torch.testing.assert_close(codes.sum(1), torch.ones(512))
    torch.testing.assert_close(codes.sum(0), torch.full((32,), 16.0), rtol=1e-3, atol=0)


def test_ten_rounds_on_a_batch_of_published_size_stay_finite():
    scores = cosine_scores(60_000, 16)
    codes = sinkhorn(scores, 0.05, 10)
    torch.testing.assert_close(codes.sum(0), torch.full((16,), 3750.0), rtol=0.02, atol=0)


def test_hard_codes_are_the_argmax_of_soft_codes():
    first, second = cosine_scores(200, 20, seed=1), cosine_scores(200, 20, seed=2)
    hard = hard_codes([first, second], 0.05, 10)
    assert torch.equal(hard[0], sinkhorn(first, 0.05, 10).argmax(1))
    assert torch.equal(hard[1], sinkhorn(second, 0.05, 10).argmax(1))


@pytest.mark.parametrize('epsilon', [0.01, 0.005])
def test_is_finite_where_the_published_form_overflows(epsilon):
    scores = torch.cat([cosine_scores(100, 16), torch.ones(1, 16), -torch.ones(1, 16)])
    assert torch.exp(scores / epsilon).isinf().any() == (epsilon < 1 / 88.8)
    codes = sinkhorn(scores, epsilon, 10)
    assert codes.isfinite().all()
    torch.testing.assert_close(codes.sum(1), torch.ones(102))


def test_a_prototype_that_no_sample_reaches_gives_no_nan():
    scores = cosine_scores(50, 8)
    scores[:, 3] = -1
    assert sinkhorn(scores, 0.005, 10).isfinite().all()
    assert hard_codes([scores], 0.005, 10)[0].max() < 8


@pytest.mark.parametrize(
    ('epsilon', 'rounds', 'word'), [(0, 10, 'positive'), (-0.1, 10, 'positive'), (0.05, 0, 'rounds')]
)
def test_refuses_settings_without_meaning(epsilon, rounds, word):
    with pytest.raises(ValueError, match=word):
        sinkhorn(torch.zeros(4, 3), epsilon, rounds)


def test_low_precision_scores_are_assigned_in_fp32():
    scores = cosine_scores(100, 16).bfloat16()
    assert sinkhorn(scores, 0.03, 10).dtype == torch.float32
    assert torch.equal(sinkhorn(scores, 0.03, 10), sinkhorn(scores.float(), 0.03, 10))


# --- over processes ------------------------------------------------------------------------------------------------


def assign_on_rank(rank: int, world_size: int) -> tuple[torch.Tensor, torch.Tensor, int]:
    import torch.distributed as dist

    calls = []
    reduce = dist.all_reduce
    dist.all_reduce = lambda *args, **kwargs: (calls.append(1), reduce(*args, **kwargs))
    scores = cosine_scores(2000, 40).chunk(world_size)[rank]
    (hard,) = hard_codes([scores], 0.05, 10)
    num_calls = len(calls)
    return hard, sinkhorn(scores, 0.05, 10), num_calls


@pytest.mark.parametrize('world_size', [2, 4])
def test_processes_assign_as_one_would(world_size):
    alone = cosine_scores(2000, 40)
    (hard_alone,) = hard_codes([alone], 0.05, 10)
    results = run_processes(assign_on_rank, world_size)
    hard = torch.cat([result[0] for result in results])
    soft = torch.cat([result[1] for result in results])
    assert (hard == hard_alone).float().mean() >= 0.9999
    torch.testing.assert_close(soft, sinkhorn(alone, 0.05, 10), atol=1e-5, rtol=0)
    assert {result[2] for result in results} == {11}  # one for the maximum, one per round


def loss_on_rank(rank: int, world_size: int) -> tuple[float, torch.Tensor, torch.Tensor, int]:
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    calls = []
    reduce = dist.all_reduce
    dist.all_reduce = lambda *args, **kwargs: (calls.append(1), reduce(*args, **kwargs))
    loss, predictions, targets = loss_inputs()
    if world_size > 1:
        loss = DistributedDataParallel(loss)
        predictions, targets = predictions.chunk(world_size)[rank], targets.chunk(world_size)[rank]
    predictions = predictions.clone().requires_grad_()
    losses = loss(predictions, targets)
    total = losses['loss_target'] + losses['loss_pred']
    total.backward()
    module = loss.module if world_size > 1 else loss
    return float(total.detach()), module.prototypes.grad, predictions.grad / world_size, len(calls)


def loss_inputs() -> tuple[SinkhornLoss, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    loss = SinkhornLoss(30, 12, epsilon=0.05)
    return loss, torch.randn(8, 20, 12), torch.randn(8, 20, 12)


def test_loss_and_gradients_of_two_processes_equal_one():
    total, prototypes, predictions, _ = loss_on_rank(0, 1)
    results = run_processes(loss_on_rank, 2)
    assert np.mean([result[0] for result in results]) == pytest.approx(total, abs=1e-6)
    for result in results:
        torch.testing.assert_close(result[1], prototypes, atol=1e-6, rtol=1e-5)
        assert result[3] == 11  # both branches share each collective
    torch.testing.assert_close(torch.cat([r[2] for r in results]), predictions, atol=1e-7, rtol=1e-5)


# --- the loss ------------------------------------------------------------------------------------------------------


def test_loss_recomputed_from_its_parts():
    loss, predictions, targets = loss_inputs()
    found = loss(predictions, targets)
    prototypes = F.normalize(loss.prototypes.detach(), dim=1)
    scores_pred = F.normalize(predictions.flatten(0, 1), dim=1) @ prototypes.T
    scores_target = F.normalize(targets.flatten(0, 1), dim=1) @ prototypes.T
    labels_pred = published_form(scores_pred, 0.05, 10).argmax(1)
    labels_target = published_form(scores_target, 0.05, 10).argmax(1)
    rows = torch.arange(160)
    by_hand_target = -torch.log_softmax(scores_target / 0.1, 1)[rows, labels_pred].mean()
    by_hand_pred = -torch.log_softmax(scores_pred / 0.1, 1)[rows, labels_target].mean()
    torch.testing.assert_close(found['loss_target'], by_hand_target)
    torch.testing.assert_close(found['loss_pred'], by_hand_pred)
    assert float(found['agreement']) == pytest.approx(float((labels_pred == labels_target).float().mean()))


def test_prototypes_get_no_gradient_from_the_video_branch():
    loss, predictions, targets = loss_inputs()
    predictions.requires_grad_()
    loss(predictions, targets)['loss_pred'].backward()
    assert loss.prototypes.grad is None
    assert predictions.grad.abs().sum() > 0


def test_prototypes_become_unit_rows_in_place():
    loss, predictions, targets = loss_inputs()
    loss.prototypes.data.mul_(7)
    loss(predictions, targets)
    torch.testing.assert_close(loss.prototypes.norm(dim=1), torch.ones(30))


def test_soft_codes_are_a_switch():
    loss, predictions, targets = loss_inputs()
    hard = loss(predictions, targets)['loss_pred']
    loss.soft_codes = True
    soft = loss(predictions, targets)['loss_pred']
    scores_pred, scores_target = loss.scores(predictions, targets)
    codes = sinkhorn(scores_target, 0.05, 10)
    torch.testing.assert_close(soft, -(codes * torch.log_softmax(scores_pred / 0.1, 1)).sum(1).mean())
    assert abs(float(soft - hard)) > 1e-4


def test_initial_loss_is_what_the_paper_implies():
    torch.manual_seed(0)
    loss = SinkhornLoss(400, 64)
    found = loss(torch.randn(16, 50, 64), torch.randn(16, 50, 64))
    expected = np.log(400) + 1 / (2 * 0.1**2 * 64)  # ln K + 1 / (2 temperature^2 D), less the gain of the argmax
    assert abs(float(found['loss_pred']) - expected) < 0.15


def test_code_statistics_on_codes_drawn_by_hand():
    found = code_statistics(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 0, 1, 1]), 4)
    assert float(found['prototypes_used']) == 0.5
    assert float(found['agreement']) == 0.75
    assert float(found['code_entropy']) == pytest.approx(0.5)  # one bit of two


def test_collapsed_predictions_have_no_spread():
    loss, _, targets = loss_inputs()
    assert float(loss(torch.ones(8, 20, 12), targets)['feature_std']) < 1e-6
    assert float(loss(torch.randn(8, 20, 12), targets)['feature_std']) == pytest.approx(1, abs=0.05)
