"""Balanced assignment of samples to prototypes, and the loss in which each branch predicts the other's.

S samples on this process, K prototypes, B clips, M masked tokens, D feature width.

Sinkhorn runs in its scaling form: with the kernel E = exp((scores - row maximum) / epsilon), the plan is
diag(v) E diag(u) and only the two vectors are iterated, so the plan is never formed. Ten rounds read scores and
kernel 22 times (tests/sigma/losses/test_sinkhorn_reads.py); on a CPU the two reads of a round fall on the same rows
while its cache holds them. Everything is fp32 whatever the model's precision: at the published epsilon, fp16
overflows and bf16 scores change up to 10 % of the assignments.
"""

import math

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sigma.registry import MODELS


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
        ValueError: if epsilon is not positive or there are no rounds.

    Source: SwAV (arXiv:2006.09882), section 3.1. Row sums are reduced over processes in every round. Equal to the
    published form, which exponentiates scores / epsilon outright and overflows below epsilon 0.0113.
    """
    with torch.no_grad():
        (kernel,), (u,), _ = _scale([scores], epsilon, num_iterations)
        codes = kernel.mul_(u)
        return codes.div_(codes.sum(dim=1, keepdim=True))


def hard_codes(
    scores: list[Tensor], epsilon: float, num_iterations: int, workspace: list[Tensor] | None = None
) -> list[Tensor]:
    """Prototype of highest code for every sample of several score matrices, balanced each for itself.

    Args:
        scores: (S, K) matrices with the same K; they share one collective a round.
        epsilon, num_iterations: as in `sinkhorn`.
        workspace: (S, K) fp32 memory for the kernel of each matrix, free for other use afterwards; None takes new.

    Returns:
        (S,) int64 for each matrix: argmax of scores / epsilon + log u, without forming the soft codes.
    """
    return hard_codes_and_error(scores, epsilon, num_iterations, workspace)[0]


def hard_codes_and_error(
    scores: list[Tensor], epsilon: float, num_iterations: int, workspace: list[Tensor] | None = None
) -> tuple[list[Tensor], Tensor]:
    """As `hard_codes`, and how far from balanced the plans were: the row-mass error of each, (matrices,).

    That is the mean over prototypes of |K * mass - 1|, of the plan that the last round began with: it falls out of
    the rounds without another reading of the scores. NaN with a single round, which has no plan before it.
    """
    with torch.no_grad():
        _, u, row_error = _scale(scores, epsilon, num_iterations, workspace)
        return [_row_argmax(s.float(), u_k.log(), epsilon) for s, u_k in zip(scores, u)], row_error


def _row_argmax(scores: Tensor, log_u: Tensor, epsilon: float) -> Tensor:
    """(S,) argmax of scores / epsilon + log u; the sum is only formed for some rows at a time."""
    rows = _row_chunks(scores)
    # Used again by each: fresh memory is dear on a CPU.
    memory = torch.empty(min(rows[0].stop, len(scores)), scores.shape[1], device=scores.device)
    sums = (torch.add(log_u, scores[r], alpha=1 / epsilon, out=memory[: len(scores[r])]) for r in rows)
    return torch.cat([_first_largest(values) for values in sums])


def _first_largest(values: Tensor) -> Tensor:
    """(S,) number of the first largest value of each row (S, K); overwrites them on a CPU.

    torch's argmax goes value by value there: 1.15 ms for 349 x 3,000 on one core, this 0.26.
    """
    num_columns = values.shape[1]
    if values.device.type != 'cpu' or num_columns > 2**24:  # fp32 counts to that exactly
        return values.argmax(dim=1)
    falling = torch.arange(num_columns, 0, -1, dtype=values.dtype)
    is_largest = values.ge_(values.amax(dim=1, keepdim=True))  # 1 or 0; all 0 in a row with NaN
    return num_columns - is_largest.mul_(falling).amax(dim=1).long().clamp_min_(1)


def _scale(
    scores: list[Tensor], epsilon: float, num_iterations: int, workspace: list[Tensor] | None = None
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Kernels (S, K) and prototype vectors u (K,) after the rounds, one for each score matrix; row-mass errors."""
    if epsilon <= 0:
        raise ValueError(f'Sinkhorn was asked for epsilon {epsilon}; it must be positive (published: 0.03, 0.05).')
    if num_iterations < 1:
        raise ValueError(f'Sinkhorn was asked for {num_iterations} rounds; at least 1 is needed (published: 10).')
    scores = [s.float() for s in scores]
    row_max = [s.amax(dim=1) for s in scores]
    # new_full, not new_tensor: that one would copy the number from the host and wait for it
    facts = torch.stack([m.max() for m in row_max] + [row_max[0].new_full((), len(row_max[0]))])
    facts = _all_reduce(facts, dist.ReduceOp.MAX)
    top, most_samples = facts[:-1], facts[-1]
    # Any constant would do for the result, were it not that v grows by this factor in every round without it.
    num_samples = most_samples * (dist.get_world_size() if dist.is_initialized() else 1)
    tiny = torch.finfo(torch.float32).tiny
    # Not ones: the row shift is absorbed only at convergence, and ten rounds are not enough for that.
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
            row_error = (num_prototypes * u * mass - 1).abs().mean(dim=1)  # u of the round before
        # A prototype that no sample can reach has mass 0; the clamp keeps its scale finite instead of NaN.
        u = 1 / (num_prototypes * mass.clamp_min(tiny))
        if number < num_iterations - 1:  # codes do not ask for the last v
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


CHUNK_VALUES = 2**20  # 4 MB of fp32: the second of two operations on the same rows finds them in a CPU's cache


def _row_chunks(matrix: Tensor) -> list[slice]:
    """Rows that are worked on together: some at a time on a CPU, where fresh memory is dear; all of them on a GPU."""
    step = max(1, CHUNK_VALUES // matrix.shape[1]) if matrix.device.type == 'cpu' else max(1, len(matrix))
    return [slice(start, start + step) for start in range(0, max(1, len(matrix)), step)]


class _Scores(torch.autograd.Function):
    """Scores (S, K) of features (S, D) and prototypes (K, D) in fp32; their gradients in the precision of the step.

    Codes are chosen by the scores, and few bits would change them; a gradient decides nothing, and is rounded like
    every other of the step. These are half of the products with S x K values, and the dearest where fp32 is slow.
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
    """Mean cross-entropy of scores / temperature against hard codes, whose gradient is formed along with it.

    Softmax and gradient take the place of the kernel in `workspace`: (S, K) matrices are what a step's memory is made
    of, and torch's own function would make five more of them.
    """

    @staticmethod
    def forward(ctx, scores: Tensor, codes: Tensor, temperature: float, workspace: Tensor) -> Tensor:
        # Summed in double: in fp32 the sum over a batch rounds by more than processes may differ, 1e-6.
        loss, needs_gradient = scores.new_zeros((), dtype=torch.float64), ctx.needs_input_grad[0]
        scale = 1 / (temperature * len(scores))
        for r in _row_chunks(scores):
            chosen, shift = codes[r, None], scores[r].amax(dim=1, keepdim=True) / -temperature
            logits = torch.add(shift, scores[r], alpha=1 / temperature, out=workspace[r])  # 0 at most
            at_codes = logits.gather(1, chosen)
            exponentials = logits.exp_()  # once, for the sum and for the gradient
            sums = exponentials.sum(dim=1, keepdim=True)
            loss += (sums.log() - at_codes).sum(dtype=torch.float64)
            if needs_gradient:  # (softmax - one_hot) / (temperature S)
                exponentials *= scale / sums
                exponentials.scatter_add_(1, chosen, sums.new_full((1, 1), -scale).expand(len(chosen), 1))
        ctx.gradient = workspace if needs_gradient else None
        return (loss / len(scores)).to(scores.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        if ctx.gradient is None:
            raise RuntimeError("The Sinkhorn loss's gradient is formed once, and was used: call loss() again.")
        gradient, ctx.gradient = ctx.gradient.mul_(grad), None
        return gradient, None, None, None


def _all_reduce(values: Tensor, op=dist.ReduceOp.SUM) -> Tensor:
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(values, op=op)
    return values


@MODELS.register_module()
class SinkhornLoss(nn.Module):
    """Learnable prototypes and the symmetric cross-entropy of two branches over them.

    Args:
        num_prototypes: K. Published: 3000 (DINO targets), 4000 (MLP).
        feature_dim: D, width of both branches' features.
        epsilon: Sinkhorn smoothing. Published: 0.03 (SSv2 ViT-B with DINO), 0.05 elsewhere.
        num_iterations: Sinkhorn rounds. Published: 10.
        temperature: Divides the scores in the cross-entropy. Published: 0.1.
        soft_codes: Predict the soft codes, as the paper writes, instead of their argmax, as the released code
            does (our default).

    Source: SIGMA (arXiv:2407.15447), section 3, and its released code. Departures of that code from the paper,
    which we follow: codes are hardened; prototypes get no gradient from the video branch.
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
        self.watch = None  # a function that is shown what passes, by name (sigma.CollapseHook)
        self.prototypes = nn.Parameter(torch.randn(num_prototypes, feature_dim))

    def forward(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Losses and health of one step.

        Args:
            predictions: (B, M, D) of the video branch.
            targets: (B, M, D) of the projection branch.

        Returns:
            `loss_target`, `loss_pred` (scalars; cross-entropy of each branch against the other's codes), and
            without gradient `prototypes_used` (share of K chosen by at least one token of this process),
            `code_entropy` (of the hard codes over log K), `agreement` (share of tokens with equal codes),
            `feature_std` (of unit predictions, times sqrt(D): 1 when spread, 0 when collapsed),
            `row_mass_error` (of Sinkhorn's plans, see `hard_codes_and_error`; the larger of the two branches').
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

        `gradient_dtype` is what their backward pass multiplies in: fp32, or that of the step's autocast.
        """
        if self.training:
            with torch.no_grad():  # unit rows, in place, as published; a saved file may hold longer ones
                self.prototypes.copy_(F.normalize(self.prototypes, dim=1))
            prototypes = self.prototypes
        else:
            prototypes = F.normalize(self.prototypes, dim=1)
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
    """Share of prototypes used, entropy of the use over log K, agreement of the branches, from (S,) hard codes."""
    counts = torch.zeros(num_prototypes, device=codes_pred.device)
    ones = torch.ones(codes_target.numel(), device=codes_target.device)
    counts = counts.index_add(0, codes_target, ones)  # not bincount: that one waits for the device
    share = counts / counts.sum()
    entropy = -(share * share.clamp_min(1e-12).log()).sum()
    return {
        'prototypes_used': (counts > 0).float().mean(),
        'code_entropy': entropy / math.log(max(num_prototypes, 2)),
        'agreement': (codes_pred == codes_target).float().mean(),
    }


@torch.no_grad()
def feature_spread(features: Tensor) -> Tensor:
    """Standard deviation of unit features (B, M, D), mean over channels, times sqrt(D)."""
    unit = F.normalize(features.detach().float().flatten(0, -2), dim=1)
    return unit.std(dim=0).mean() * unit.shape[1] ** 0.5
