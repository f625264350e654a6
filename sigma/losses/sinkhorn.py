"""Balanced assignment of samples to prototypes, and the loss in which each branch predicts the other's assignment.

S samples on this process, K prototypes, B clips, M masked tokens, D feature width.

Sinkhorn runs in its scaling form. With the kernel E = exp((scores - row maximum) / epsilon), the plan is
diag(v) E diag(u). Only the two vectors are iterated, so the plan is never formed. Ten rounds read scores and kernel
22 times (tests/sigma/losses/test_sinkhorn_reads.py). On a CPU, both reads of a round touch the same rows while they
are in its cache. Everything is fp32, whatever the precision of the model: at the published epsilon, fp16 overflows,
and bf16 scores change up to 10 % of the assignments.

This module needs only torch and registers nothing; sigma.models registers the losses for configs.
"""

import math
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def sinkhorn(scores: Tensor, epsilon: float, num_iterations: int) -> Tensor:
    """Balanced soft assignment of samples to prototypes.

    Args:
        scores: (S, K) cosine similarities in [-1, 1]; S samples on this process, K prototypes.
        epsilon: Entropic smoothing > 0; smaller is closer to a hard assignment.
        num_iterations: Row/column rounds >= 1; 3 to 10 is usual.

    Returns:
        (S, K) fp32 codes, no gradient. Each row sums to 1; over all processes each column sums to about
        S_total / K.

    Raises:
        ValueError: if epsilon is not positive or num_iterations is below 1.

    Source: SwAV (arXiv:2006.09882), section 3.1. Row sums are reduced over processes in every round. The result equals
    the published form, which exponentiates scores / epsilon directly and overflows below epsilon 0.0113.
    """
    with torch.no_grad():
        (kernel,), (u,), _ = _scale([scores], epsilon, num_iterations)
        codes = kernel.mul_(u)
        return codes.div_(codes.sum(dim=1, keepdim=True))


def hard_codes(
    scores: list[Tensor], epsilon: float, num_iterations: int, workspace: list[Tensor] | None = None
) -> list[Tensor]:
    """The prototype with the highest code for every sample, for several score matrices, each balanced on its own.

    Args:
        scores: (S, K) matrices with the same K; they share one collective per round.
        epsilon, num_iterations: As in `sinkhorn`.
        workspace: (S, K) fp32 scratch memory for the kernel of each matrix; allocated by default.

    Returns:
        (S,) int64 per matrix: argmax of scores / epsilon + log u, without forming the soft codes.
    """
    return hard_codes_and_error(scores, epsilon, num_iterations, workspace)[0]


def hard_codes_and_error(
    scores: list[Tensor], epsilon: float, num_iterations: int, workspace: list[Tensor] | None = None
) -> tuple[list[Tensor], Tensor]:
    """Like `hard_codes`, plus the row-mass error of each plan, (matrices,): how far it was from balanced.

    The error is the mean over prototypes of |K * mass - 1| for the plan before the last round; this needs no further
    read of the scores. It is NaN if there is only one round.
    """
    with torch.no_grad():
        _, u, row_error = _scale(scores, epsilon, num_iterations, workspace)
        return [_row_argmax(s.float(), u_k.log(), epsilon) for s, u_k in zip(scores, u)], row_error


def _row_argmax(scores: Tensor, log_u: Tensor, epsilon: float) -> Tensor:
    """(S,) argmax of scores / epsilon + log u; the sum is formed for a few rows at a time."""
    rows = _row_chunks(scores)
    # Reused for each chunk: fresh memory is expensive on a CPU.
    memory = torch.empty(min(rows[0].stop, len(scores)), scores.shape[1], device=scores.device)
    sums = (torch.add(log_u, scores[r], alpha=1 / epsilon, out=memory[: len(scores[r])]) for r in rows)
    return torch.cat([_first_largest(values) for values in sums])


def _first_largest(values: Tensor) -> Tensor:
    """(S,) index of the first largest value in each row of (S, K); overwrites the values on a CPU.

    torch's argmax is not vectorised there: 1.15 ms for 349 x 3,000 on one core, against 0.26 ms.
    """
    num_columns = values.shape[1]
    if values.device.type != 'cpu' or num_columns > 2**24:  # fp32 holds integers exactly up to that
        return values.argmax(dim=1)
    falling = torch.arange(num_columns, 0, -1, dtype=values.dtype)
    is_largest = values.ge_(values.amax(dim=1, keepdim=True))  # 1 or 0; all 0 in a row with NaN
    return num_columns - is_largest.mul_(falling).amax(dim=1).long().clamp_min_(1)


def _scale(
    scores: list[Tensor], epsilon: float, num_iterations: int, workspace: list[Tensor] | None = None
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Kernels (S, K) and prototype vectors u (K,) after the last round, per score matrix; and the row-mass errors."""
    if epsilon <= 0:
        raise ValueError(f'Sinkhorn was asked for epsilon {epsilon}; it must be positive (published: 0.03 and 0.05).')
    if num_iterations < 1:
        raise ValueError(f'Sinkhorn was asked for {num_iterations} rounds; at least 1 is needed (published: 10).')
    scores = [s.float() for s in scores]
    row_max = [s.amax(dim=1) for s in scores]
    # new_full, not new_tensor, which would copy the number from the host and wait for it
    facts = torch.stack([m.max() for m in row_max] + [row_max[0].new_full((), len(row_max[0]))])
    facts = _all_reduce(facts, dist.ReduceOp.MAX)
    top, most_samples = facts[:-1], facts[-1]
    # Any constant gives the same result, but without it v grows by this factor in every round.
    num_samples = most_samples * (dist.get_world_size() if dist.is_initialized() else 1)
    tiny = torch.finfo(torch.float32).tiny
    # Not ones: the rounds absorb the row shift only at convergence, and ten are not enough.
    v = [torch.exp((m - t) / epsilon) for m, t in zip(row_max, top)]
    workspace = workspace or [torch.empty_like(s) for s in scores]
    started = [_kernel_and_mass(s, m, v_s, epsilon, out) for s, m, v_s, out in zip(scores, row_max, v, workspace)]
    kernels, masses = ([pair[i] for pair in started] for i in (0, 1))
    num_prototypes = scores[0].shape[1]
    u = top.new_ones(len(scores), num_prototypes)
    row_error = top.new_full((len(scores),), float('nan'))
    for number in range(num_iterations):
        mass = _all_reduce(torch.stack(masses))  # (matrices, K)
        if number and number == num_iterations - 1:
            row_error = (num_prototypes * u * mass - 1).abs().mean(dim=1)  # u of the previous round
        # A prototype that no sample can reach has mass 0; the clamp keeps its scale finite instead of NaN.
        u = 1 / (num_prototypes * mass.clamp_min(tiny))
        if number < num_iterations - 1:  # codes do not need the last v
            masses = [_next_mass(e, u_k, num_samples, tiny) for e, u_k in zip(kernels, u)]
    return kernels, list(u), row_error


def _kernel_and_mass(scores: Tensor, row_max: Tensor, v: Tensor, epsilon: float, out: Tensor) -> tuple[Tensor, Tensor]:
    """Kernel exp((scores - row_max) / epsilon) in `out`, all (S, K), and its first column sums v @ kernel (K,)."""
    shift, mass = (row_max / -epsilon)[:, None], scores.new_zeros(scores.shape[1])
    for r in _row_chunks(scores):
        kernel = torch.exp(torch.add(shift[r], scores[r], alpha=1 / epsilon), out=out[r])
        mass.addmv_(kernel.T, v[r])
    return out, mass


def _next_mass(kernel: Tensor, u: Tensor, num_samples: Tensor, tiny: float) -> Tensor:
    """Column sums (K,) after the rows were scaled: v @ kernel with v = 1 / (num_samples * kernel @ u)."""
    mass = kernel.new_zeros(kernel.shape[1])
    for r in _row_chunks(kernel):
        v = 1 / (num_samples * (kernel[r] @ u)).clamp_min(tiny)
        mass.addmv_(kernel[r].T, v)
    return mass


CHUNK_VALUES = 2**20  # 4 MB of fp32: a second operation on the same rows finds them in a CPU's cache


def _row_chunks(matrix: Tensor) -> list[slice]:
    """Rows that are processed together: a few at a time on a CPU, where fresh memory is expensive; all on a GPU."""
    step = max(1, CHUNK_VALUES // matrix.shape[1]) if matrix.device.type == 'cpu' else max(1, len(matrix))
    return [slice(start, start + step) for start in range(0, max(1, len(matrix)), step)]


class _Scores(torch.autograd.Function):
    """Scores (S, K) of features (S, D) and prototypes (K, D) in fp32, with gradients in the precision of the step.

    The scores choose the codes, so a rounding error can change a code. A gradient decides nothing and may be rounded
    like all others of the step. The gradients are half of the S x K products, and the slowest where fp32 is slow.
    """

    @staticmethod
    def forward(ctx, features: Tensor, prototypes: Tensor, gradient_dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(features, prototypes)
        ctx.gradient_dtype = gradient_dtype
        return features @ prototypes.T

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        features, prototypes = (saved.to(ctx.gradient_dtype) for saved in ctx.saved_tensors)
        grad, (of_features, of_prototypes, _) = grad.to(ctx.gradient_dtype), ctx.needs_input_grad
        return (
            (grad @ prototypes).float() if of_features else None,
            (grad.T @ features).float() if of_prototypes else None,
            None,
        )


class _CrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of scores / temperature against hard codes; the forward pass also computes the gradient.

    Softmax and gradient overwrite the kernel in `workspace` (S, K). Such matrices dominate the memory of a step, and
    torch's own function would allocate five more. As usual, a second backward pass needs `retain_graph=True`.
    """

    @staticmethod
    def forward(ctx, scores: Tensor, codes: Tensor, temperature: float, workspace: Tensor) -> Tensor:
        # Summed in double: in fp32, rounding in the sum over a batch exceeds 1e-6, the most that processes may differ.
        loss, needs_gradient = scores.new_zeros((), dtype=torch.float64), ctx.needs_input_grad[0]
        scale = 1 / (temperature * len(scores))
        for r in _row_chunks(scores):
            chosen, shift = codes[r, None], scores[r].amax(dim=1, keepdim=True) / -temperature
            logits = torch.add(shift, scores[r], alpha=1 / temperature, out=workspace[r])  # <= 0
            at_codes = logits.gather(1, chosen)
            exponentials = logits.exp_()  # once, for the sum and for the gradient
            sums = exponentials.sum(dim=1, keepdim=True)
            loss += (sums.log() - at_codes).sum(dtype=torch.float64)
            if needs_gradient:  # (softmax - one_hot) / (temperature S)
                exponentials *= scale / sums
                exponentials.scatter_add_(1, chosen, sums.new_full((1, 1), -scale).expand(len(chosen), 1))
        if needs_gradient:
            ctx.save_for_backward(workspace)
        return (loss / len(scores)).to(scores.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        (gradient,) = ctx.saved_tensors
        return gradient * grad, None, None, None  # not in place: a retained graph may be run again


def _all_reduce(values: Tensor, op=dist.ReduceOp.SUM) -> Tensor:
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(values, op=op)
    return values


class SinkhornLoss(nn.Module):
    """Learnable prototypes, and the symmetric cross-entropy of two branches over them.

    Args:
        num_prototypes: K. Published: 3000 (DINO targets), 4000 (MLP).
        feature_dim: D, feature width of both branches.
        epsilon: Sinkhorn smoothing. Published: 0.03 (SSv2 ViT-B with DINO), 0.05 elsewhere.
        num_iterations: Sinkhorn rounds. Published: 10.
        temperature: Divides the scores in the cross-entropy. Published: 0.1.
        soft_codes: Predict the soft codes, as in the paper. The default predicts their argmax, as the released code
            does.

    Source: SIGMA (arXiv:2407.15447), section 3. Where its released code departs from the paper, we follow the code:
    codes are hardened, and prototypes get no gradient from the video branch.
    """

    def __init__(
        self,
        num_prototypes: int,
        feature_dim: int,
        epsilon: float = 0.05,
        num_iterations: int = 10,
        temperature: float = 0.1,
        soft_codes: bool = False,
    ) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.num_iterations = num_iterations
        self.temperature = temperature
        self.soft_codes = soft_codes
        # Called with the tensors of a step, by name, if set (sigma.CollapseHook).
        self.watch: Callable[..., None] | None = None
        self.prototypes = nn.Parameter(torch.randn(num_prototypes, feature_dim))

    def forward(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Losses and diagnostics of one step.

        Args:
            predictions: (B, M, D) of the video branch.
            targets: (B, M, D) of the projection branch.

        Returns:
            `loss_target`, `loss_pred`: scalars, cross-entropy of each branch against the codes of the other.

            Without gradient: `prototypes_used` (share of the K chosen by at least one token of this process),
            `code_entropy` (of the hard codes, divided by log K), `agreement` (share of tokens with equal codes in both
            branches), `feature_std` (of unit predictions, times sqrt(D): 1 if spread out, 0 if collapsed),
            `row_mass_error` (see `hard_codes_and_error`; the larger one of the two branches).
        """
        device = predictions.device.type
        is_mixed = torch.is_autocast_enabled(device)
        gradient_dtype = torch.get_autocast_dtype(device) if is_mixed else torch.float32
        with torch.autocast(device, enabled=False):
            scores_pred, scores_target = self.scores(predictions.float(), targets.float(), gradient_dtype)
            losses = self.losses(scores_pred, scores_target) | {'feature_std': feature_spread(predictions)}
            if self.watch is not None:
                self.watch(predictions=predictions, targets=targets, prototypes=self.prototypes)
            return losses

    def scores(
        self, predictions: Tensor, targets: Tensor, gradient_dtype: torch.dtype = torch.float32
    ) -> tuple[Tensor, Tensor]:
        """(B*M, K) cosine scores of the video branch and of the projection branch, both in fp32.

        `gradient_dtype` is the precision of the products in their backward pass: fp32, or that of autocast.
        """
        if self.training:
            with torch.no_grad():  # unit rows, in place, as published; a checkpoint may hold longer ones
                self.prototypes.copy_(F.normalize(self.prototypes, dim=1))

        prototypes = self.prototypes if self.training else F.normalize(self.prototypes, dim=1)
        predictions = F.normalize(predictions.flatten(0, 1), dim=1)
        targets = F.normalize(targets.flatten(0, 1), dim=1)
        return (
            _Scores.apply(predictions, prototypes.detach(), gradient_dtype),
            _Scores.apply(targets, prototypes, gradient_dtype),
        )

    def losses(self, scores_pred: Tensor, scores_target: Tensor) -> dict[str, Tensor]:
        """Cross-entropies and code statistics from (B*M, K) scores of both branches."""
        both = [scores_pred.detach(), scores_target.detach()]
        workspace = [torch.empty_like(s) for s in both]
        (hard_pred, hard_target), row_error = hard_codes_and_error(both, self.epsilon, self.num_iterations, workspace)
        if self.watch is not None:
            self.watch(codes=hard_target)
        if self.soft_codes:
            codes_pred, codes_target = (sinkhorn(s, self.epsilon, self.num_iterations) for s in both)
            losses = {
                'loss_target': F.cross_entropy(scores_target / self.temperature, codes_pred),
                'loss_pred': F.cross_entropy(scores_pred / self.temperature, codes_target),
            }
        else:
            losses = {
                'loss_target': _CrossEntropy.apply(scores_target, hard_pred, self.temperature, workspace[1]),
                'loss_pred': _CrossEntropy.apply(scores_pred, hard_target, self.temperature, workspace[0]),
            }
        statistics = code_statistics(hard_pred, hard_target, scores_pred.shape[1])
        return losses | statistics | {'row_mass_error': row_error.max()}


@torch.no_grad()
def code_statistics(codes_pred: Tensor, codes_target: Tensor, num_prototypes: int) -> dict[str, Tensor]:
    """`prototypes_used`, `code_entropy` and `agreement` (see `SinkhornLoss.forward`) from (S,) hard codes."""
    counts = torch.zeros(num_prototypes, device=codes_pred.device)
    ones = torch.ones(codes_target.numel(), device=codes_target.device)
    counts = counts.index_add(0, codes_target, ones)  # not bincount, which waits for the device
    share = counts / counts.sum()
    entropy = -(share * share.clamp_min(1e-12).log()).sum()
    return {
        'prototypes_used': (counts > 0).float().mean(),
        'code_entropy': entropy / math.log(max(num_prototypes, 2)),
        'agreement': (codes_pred == codes_target).float().mean(),
    }


@torch.no_grad()
def feature_spread(features: Tensor) -> Tensor:
    """Standard deviation of unit-length features (B, M, D), averaged over channels, times sqrt(D)."""
    unit = F.normalize(features.detach().float().flatten(0, -2), dim=1)
    return unit.std(dim=0).mean() * unit.shape[1] ** 0.5
