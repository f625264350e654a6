"""Counts what a step costs: reads of the score matrix, collectives, waits for the device. No test measures time."""

import contextlib
import sys

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from torch.utils._python_dispatch import TorchDispatchMode

import tests.sigma.losses.test_sinkhorn as plain
from sigma.engine.optim import ParamGroups
from sigma.losses.sinkhorn import SinkhornLoss, _first_largest, _Scores, hard_codes
from tests.sigma.data.test_many_masks import batch, tiny

# These only look at the shape of a tensor.
NO_READS = {f'aten.{name}' for name in ('slice.Tensor', 'detach.default', 'permute.default', 'new_zeros.default')}


class Reads(TorchDispatchMode):
    """Counts the elements read from given tensors, in units of a whole matrix."""

    def __init__(self, matrices: list[torch.Tensor]) -> None:
        super().__init__()
        self.memory = {m.untyped_storage().data_ptr(): m.numel() for m in matrices}
        self.read = 0.0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if str(func) not in NO_READS:
            for value in args:  # `out` is in kwargs and only written
                if isinstance(value, torch.Tensor) and value.untyped_storage().data_ptr() in self.memory:
                    self.read += value.numel() / self.memory[value.untyped_storage().data_ptr()]
        return func(*args, **(kwargs or {}))


class Calls(TorchDispatchMode):
    """How often each operation was called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        by_mask = str(func).startswith(('aten.index.Tensor', 'aten.index_put')) and any(
            i is not None and i.dtype == torch.bool for i in args[1]
        )
        self.names.append(f'boolean {func}' if by_mask else str(func))
        return func(*args, **(kwargs or {}))

    def of(self, *names: str) -> list[str]:
        return [name for name in self.names if any(part in name for part in names)]


@pytest.mark.parametrize('chunk_values', [2**21, 200])  # one chunk; many
def test_ten_rounds_read_the_score_matrix_22_times(monkeypatch, chunk_values):
    monkeypatch.setattr(sys.modules['sigma.losses.sinkhorn'], 'CHUNK_VALUES', chunk_values)
    scores = plain.cosine_scores(120, 20)
    kernel = torch.empty_like(scores)
    with Reads([scores, kernel]) as reads:
        (codes,) = hard_codes([scores], 0.05, 10, [kernel])
    assert reads.read == pytest.approx(22)  # maximum, exponential, 10 + 9 products, argmax
    assert torch.equal(codes, plain.published_form(scores, 0.05, 10).argmax(1))


def test_the_counter_of_reads_counts():
    scores = plain.cosine_scores(120, 20)
    with Reads([scores]) as reads:
        scores.sum()
        scores[:60] @ torch.ones(20)
    assert reads.read == pytest.approx(1.5)


# Operations that make the host wait for a GPU: .item() and float(), boolean masks, unique, and copying a number with
# torch.tensor or new_tensor (lift_fresh).
WAITS = ('local_scalar_dense', 'nonzero', 'masked_select', 'unique', 'bincount', 'boolean', 'lift_fresh')


def wrapper(model: torch.nn.Module, precision: str = 'bf16', **options):
    """The trainer's optimizer and its wrapper."""
    kind = {'bf16': 'sigma.Bf16OptimWrapper', 'fp32': 'mmengine.OptimWrapper'}[precision]
    adamw = {'type': 'AdamW', 'lr': 1e-3, 'weight_decay': 0.05}
    return ParamGroups({'type': kind, 'optimizer': adamw, **options})(model)


@pytest.mark.parametrize('projector', ['mlp', 'image', 'pixels'])
@pytest.mark.parametrize(
    ('precision', 'num_masks', 'options'),
    [('fp32', None, {}), ('bf16', None, {'clip_grad': {'max_norm': 1.0}}), ('bf16', 2, {})],
)
def test_a_step_never_waits_for_the_device(projector, precision, num_masks, options):
    model = tiny(projector).train()
    optimizer = wrapper(model, precision, **options)
    data = batch(num_masks)
    if num_masks:
        data['decode_phase'] = [torch.zeros(num_masks, dtype=torch.int64)] * 3
    with Calls() as calls:
        for _ in range(2):  # the optimizer has its state from the second step on
            model.train_step(data, optimizer)
    assert calls.of('mm', 'linear')  # forward and backward were seen
    assert calls.of('_fused_adamw_')
    assert calls.of(*WAITS) == []
    assert set(getattr(optimizer, 'scalars', {})) == ({'grad_norm'} if options else set())


class HostCopies(TorchDispatchMode):
    """Counts copies between host and device, and records those that block the host."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[str] = []
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if 'copy' in str(func):
            source = args[1] if 'copy_' in str(func).partition('.')[2] and len(args) > 1 else args[0]
            if source.device != result.device:
                self.count += 1
                is_asynchronous = (kwargs or {}).get('non_blocking', any(a is True for a in args[2:]))
                if not is_asynchronous or result.device.type == 'cpu':
                    self.waited.append(str(func))
        return result


@pytest.mark.parametrize('projector', ['mlp', 'image', 'pixels'])
def test_only_clips_and_masks_are_copied_to_the_device_and_none_is_waited_for(monkeypatch, projector):
    """The meta device stands in for a GPU: it holds no numbers, so reading one fails."""
    monkeypatch.setattr(torch, 'is_autocast_enabled', lambda device: False)  # knows no meta device
    monkeypatch.setattr(torch, 'autocast', lambda *_, **__: contextlib.nullcontext())
    model, data = tiny(projector).train().to('meta'), batch(None)
    optimizer = OptimWrapper(torch.optim.AdamW([p for p in model.parameters() if p.requires_grad]))
    with HostCopies() as copies:
        losses = model.train_step(data, optimizer)
    assert {value.device.type for value in losses.values()} == {'meta'}
    assert copies.count == 2 * 3  # clip and mask of three samples
    assert copies.waited == []


def test_a_copy_that_is_waited_for_is_seen():
    with HostCopies() as copies:
        torch.ones(2).to('meta')
        torch.ones(2).to('meta', non_blocking=True)
        torch.empty(2, device='meta').copy_(torch.ones(2))
        torch.empty(2, device='meta').copy_(torch.ones(2), non_blocking=True)
    assert (copies.count, len(copies.waited)) == (4, 2)


def test_waits_are_seen_where_there_are_some():
    values = torch.arange(4.0)
    with Calls() as calls:
        float(values.sum())
        values[values > 1]
        values.new_tensor(3.0)
    assert calls.of('local_scalar_dense')
    assert calls.of('boolean')
    assert calls.of('lift_fresh')


def test_the_first_largest_value_is_argmaxs():
    torch.manual_seed(0)
    values = torch.randint(-4, 5, (200, 30)).float()  # full of ties
    values[0], values[1] = -torch.inf, torch.tensor([*range(29), torch.inf])
    assert torch.equal(_first_largest(values.clone()), values.argmax(dim=1))
    values[0, 3] = torch.nan
    assert 0 <= int(_first_largest(values)[0]) < 30  # a valid index; the NaN in the loss stops the run


# --- the loss, which computes its gradient in the forward pass ---


@pytest.mark.parametrize('chunk_values', [2**21, 100])
def test_loss_and_gradients_equal_torchs_cross_entropy(monkeypatch, chunk_values):
    monkeypatch.setattr(sys.modules['sigma.losses.sinkhorn'], 'CHUNK_VALUES', chunk_values)
    torch.manual_seed(0)
    loss = SinkhornLoss(20, 12)
    scores = [plain.cosine_scores(50, 20, seed).requires_grad_() for seed in (1, 2)]
    found = loss.losses(*scores)
    (3 * found['loss_pred'] + 0.5 * found['loss_target']).backward()
    again = [s.detach().clone().requires_grad_() for s in scores]
    codes = hard_codes([s.detach() for s in again], loss.epsilon, loss.num_iterations)
    by_torch = [F.cross_entropy(s / loss.temperature, c) for s, c in zip(again, codes[::-1])]
    (3 * by_torch[0] + 0.5 * by_torch[1]).backward()
    torch.testing.assert_close(found['loss_pred'], by_torch[0])
    torch.testing.assert_close(found['loss_target'], by_torch[1])
    for ours, theirs in zip(scores, again):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_retained_graph_gives_the_same_gradients_again():
    scores = [plain.cosine_scores(50, 20, seed).requires_grad_() for seed in (1, 2)]
    losses = SinkhornLoss(20, 12).losses(*scores)
    total = losses['loss_pred'] + losses['loss_target']
    first = torch.autograd.grad(total, scores, retain_graph=True)
    twice = torch.autograd.grad(2 * total, scores, retain_graph=True)
    last = torch.autograd.grad(total, scores)
    for once, doubled, again in zip(first, twice, last):
        assert float(once.abs().sum()) > 0
        assert torch.equal(once, again)
        assert torch.equal(2 * once, doubled)


def test_a_second_backward_pass_without_a_retained_graph_says_what_would_help():
    scores = [plain.cosine_scores(50, 20, seed).requires_grad_() for seed in (1, 2)]
    total = SinkhornLoss(20, 12).losses(*scores)['loss_pred']
    total.backward()
    with pytest.raises(RuntimeError, match='retain_graph=True'):
        total.backward()


# --- gradients of the scores in the precision of the step ---


def gradients_of_the_loss(precision: str) -> tuple[dict, list[torch.Tensor]]:
    torch.manual_seed(0)
    loss, predictions, targets = SinkhornLoss(30, 16), torch.randn(2, 40, 16), torch.randn(2, 40, 16)
    given = [predictions.requires_grad_(), targets.requires_grad_(), loss.prototypes]
    with torch.autocast('cpu', torch.bfloat16, enabled=precision == 'bf16'):
        found = loss(predictions, targets)
    return found, list(torch.autograd.grad(found['loss_target'] + found['loss_pred'], given))


def test_autocast_leaves_scores_alone_and_rounds_their_gradients():
    (full, exact), (half, rounded) = gradients_of_the_loss('fp32'), gradients_of_the_loss('bf16')
    for name, value in full.items():
        assert torch.equal(half[name], value), name
    for ours, known in zip(rounded, exact):
        assert ours.dtype == torch.float32
        assert 1e-5 < (ours - known).norm() / known.norm() < 0.01


def test_gradients_of_scores_in_fp32_are_those_of_the_product():
    torch.manual_seed(0)
    features, prototypes = torch.randn(50, 12, requires_grad=True), torch.randn(20, 12, requires_grad=True)
    weights = torch.randn(50, 20)
    ours = torch.autograd.grad(_Scores.apply(features, prototypes, torch.float32), [features, prototypes], weights)
    known = torch.autograd.grad(features @ prototypes.T, [features, prototypes], weights)
    for found, expected in zip(ours, known):
        torch.testing.assert_close(found, expected)
