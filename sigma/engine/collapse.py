"""Early signs of a collapse: statistics of features and codes over a window of steps, and an alarm.

S tokens, n of them sampled, D feature width, K prototypes.
"""

import logging
from collections import deque

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor

from sigma.engine.checkpoint import CheckpointHook
from sigma.engine.diagnostics import TrainingStopped
from sigma.engine.optim import is_between_updates
from sigma.losses.sinkhorn import SinkhornLoss, feature_spread
from sigma.registry import HOOKS

# A statistic below its threshold is a sign of a collapse. Nearly equal predictions alone are not: before it has learned
# anything, the best prediction is the same for every token. Healthy runs of the demo's model
# (mmaction_configs/pretrain/{demo,small}_sigma-mlp_vit-t_toy.py, targets standardised by tubelet or by clip) stayed
# below a `feature_std` of 0.1 for 27 to 164 steps, with a minimum of 0.042, and recovered; their `target_spread` stayed
# above 0.2 and their `window_entropy` above 0.65. The first two thresholds are a quarter of the minima, since a
# collapse goes all the way to zero.
THRESHOLDS = {
    'feature_std': 0.01,
    'target_spread': 0.05,
    'target_scale': 0.1,
    'window_entropy': 0.5,
    'effective_rank': 2.0,
}
_MEANING = {
    'feature_std': 'predictions are nearly all equal',
    'target_spread': 'targets are nearly all equal',
    'target_scale': 'targets have shrunk to nearly one point',
    'window_entropy': 'few prototypes get nearly all tokens',
    'effective_rank': 'features lie on nearly one line',
}
RECOVERY = 1.2  # a statistic that has risen by this factor over the bad checks is recovering


def effective_rank(features: Tensor) -> Tensor:
    """exp of the entropy of the normalised singular values: 1 for rank one, up to D if all directions are equal.

    Args:
        features: (n, D).

    Source: RankMe (arXiv:2210.02885). We take unit features minus their mean (RankMe: the raw features), because a
    large common component hides the differences.
    """
    unit = F.normalize(features.float(), dim=1)
    unit = unit - unit.mean(dim=0)
    singular = torch.linalg.svdvals(unit)
    share = singular / singular.sum().clamp_min(1e-12)
    return torch.exp(-(share * share.clamp_min(1e-12).log()).sum())


def usage(counts: Tensor) -> tuple[Tensor, Tensor]:
    """From counts (K,): share of prototypes used, and the entropy of their use divided by its maximum."""
    total = counts.sum()
    share = counts / total.clamp_min(1)
    entropy = -(share * share.clamp_min(1e-12).log()).sum()
    most = torch.minimum(total, torch.as_tensor(float(len(counts)), device=counts.device)).clamp_min(2).log()
    return (counts > 0).float().mean(), entropy / most


def churn(features: Tensor, before: Tensor, now: Tensor) -> Tensor:
    """Share of features (n, D) that change their nearest prototype between two states (K, D) of the prototypes."""
    unit = F.normalize(features.float(), dim=1)
    nearest = [(unit @ F.normalize(p.float(), dim=1).T).argmax(dim=1) for p in (before, now)]
    return (nearest[0] != nearest[1]).float().mean()


@HOOKS.register_module()
class CollapseHook(Hook):
    """Checks features and codes at regular intervals, logs statistics, and warns of a collapse.

    Args:
        interval: Steps between checks, and the window over which prototypes are counted. Between checks, nothing waits
            for the device.
        patience: Bad checks in a row before it warns, unless the statistic rose by the factor `RECOVERY` meanwhile. So
            a collapse is reported after `interval * patience` steps.
        stop: Save the state and stop the training at an alarm, instead of warning once.
        thresholds: Changes to `THRESHOLDS`, by name.
        num_samples: n, tokens of this process from which statistics of features are computed.

    Logs `effective_rank` (of the predictions), `target_rank`, `target_spread` (the `feature_std` of the targets),
    `window_used` and `window_entropy` (of the codes of the projection branch, over the window and all processes), and
    `assignment_churn` (share of sampled targets whose nearest prototype changed since the last check).
    `row_mass_error`, `agreement` and `feature_std` come from the loss in every step.

    Another loss on the same two branches (`sigma.FeatureL2`) can shrink both without changing their directions. For it,
    `target_scale` is the standard deviation of the targets divided by its highest value so far. Without a
    `sinkhorn_loss` (VideoMAE), only the visible tokens of the encoder are checked; without a `decoder` too, nothing is.

    Raises:
        TrainingStopped: with `stop`, after the alarm, before the next step that starts a new gradient accumulation; the
            state after the last step is saved.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        interval: int = 10,
        patience: int = 3,
        stop: bool = False,
        thresholds: dict | None = None,
        num_samples: int = 1024,
    ) -> None:
        unknown = set(thresholds or {}) - set(THRESHOLDS)
        if unknown or interval < 1 or patience < 1:
            raise ValueError(
                f'CollapseHook needs interval and patience of at least 1 (found {interval}, {patience}) and takes '
                f'thresholds for {", ".join(THRESHOLDS)} (found {", ".join(unknown) or "no other"}).'
            )
        self.interval, self.patience, self.stop, self.num_samples = interval, patience, stop, num_samples
        self.thresholds = THRESHOLDS | (thresholds or {})
        self.alarm: str | None = None
        self._seen: dict[str, Tensor] = {}
        self._counts: Tensor | None = None
        self._prototypes: Tensor | None = None
        self._checks: deque = deque(maxlen=patience)
        self._handle = None
        self._compares_lengths = False
        self._widest: Tensor | None = None

    def before_train(self, runner) -> None:
        """Watch the tensors of the model's loss or decoder."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._checks.clear()
        self._counts = self._prototypes = self._widest = None
        loss = getattr(model, 'sinkhorn_loss', None)
        if isinstance(loss, SinkhornLoss):
            loss.watch = self.see
        elif loss is not None:  # an ablation: the same two branches without prototypes
            self._compares_lengths = True
            self._handle = loss.register_forward_pre_hook(
                lambda _, inputs: self.see(predictions=inputs[0], targets=inputs[1])
            )
        elif hasattr(model, 'decoder'):
            self._handle = model.decoder.register_forward_pre_hook(lambda _, inputs: self.see(predictions=inputs[0]))

    def after_train(self, runner) -> None:
        """Stop watching the model."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if isinstance(getattr(model, 'sinkhorn_loss', None), SinkhornLoss):
            model.sinkhorn_loss.watch = None
        if self._handle is not None:
            self._handle.remove()

    @torch.no_grad()
    def see(self, codes: Tensor | None = None, **seen: Tensor) -> None:
        """Keep a sample of the tensors of a step; nothing here waits for the device.

        Args:
            codes: (S,) codes of the projection branch.
            seen: `predictions` and `targets` (B, M, D), `prototypes` (K, D), the parameter itself.
        """
        for name, tensor in seen.items():
            rows = tensor.detach().flatten(0, -2)
            # Evenly spaced rows: all clips and positions are represented, and the number of rows is known in advance.
            self._seen[name] = rows if name == 'prototypes' else rows[:: -(-len(rows) // self.num_samples)].clone()
        if codes is not None:
            self._seen['codes'] = codes

    @torch.no_grad()
    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Count the use of prototypes; at the end of a window, compute statistics and judge them."""
        if not self._seen:
            return
        if 'prototypes' in self._seen and 'codes' in self._seen:
            if self._counts is None:
                self._counts = torch.zeros(len(self._seen['prototypes']), device=self._seen['codes'].device)
            ones = torch.ones_like(self._seen['codes'], dtype=self._counts.dtype)
            self._counts.index_add_(0, self._seen['codes'], ones)
        if (runner.iter + 1) % self.interval == 0:
            figures = {name: float(value) for name, value in self._look().items()}
            for name, value in figures.items():
                runner.message_hub.update_scalar(f'train/{name}', value)
            self._judge(runner, figures)

    def _look(self) -> dict[str, Tensor]:
        figures = {'effective_rank': effective_rank(self._seen['predictions'])}
        figures['feature_std'] = feature_spread(self._seen['predictions'][None])
        if 'targets' in self._seen:
            figures['target_rank'] = effective_rank(self._seen['targets'])
            figures['target_spread'] = feature_spread(self._seen['targets'][None])
        if self._compares_lengths:
            width = self._seen['targets'].float().std(dim=0).mean()
            self._widest = width if self._widest is None else torch.maximum(self._widest, width)
            figures['target_scale'] = width / self._widest.clamp_min(1e-12)
        if self._counts is not None:
            all_reduce(self._counts)
            figures['window_used'], figures['window_entropy'] = usage(self._counts)
            self._counts = None
            now = self._seen['prototypes'].clone()
            if self._prototypes is not None:
                figures['assignment_churn'] = churn(self._seen['targets'], self._prototypes, now)
            self._prototypes = now
        for name in ('effective_rank', 'feature_std', 'target_rank', 'target_spread', 'target_scale'):
            if name in figures:
                all_reduce(figures[name], 'mean')  # all processes must reach the same verdict
        return figures

    def _judge(self, runner, figures: dict[str, float]) -> None:
        if 'target_rank' in figures:
            lower = min(figures['effective_rank'], figures['target_rank'])
            figures = figures | {'effective_rank': lower}
        # NaN counts as bad, and as not risen
        self._checks.append(
            {n: figures[n] for n, least in self.thresholds.items() if n in figures and not figures[n] >= least}
        )
        if len(self._checks) < self.patience or self.alarm is not None:
            return
        lasting = set.intersection(*(set(check) for check in self._checks))
        first = self._checks[0]  # may be 0; then any rise counts
        lasting = {name for name in lasting if self.patience == 1 or not figures[name] > RECOVERY * first[name]}
        if not lasting:
            return
        found = '; '.join(
            f'{_MEANING[name]} ({name} {figures[name]:.3g}, threshold {self.thresholds[name]:g})'
            for name in sorted(lasting)
        )
        self.alarm = (
            f'A collapse at step {runner.iter + 1}, at {self.patience} checks {self.interval} steps apart: {found}. '
            'Lower the learning rate, raise model.loss.epsilon or the batch size, or choose another K '
            '(docs/small-scale.md).'
        )
        print_log(self.alarm, 'current', logging.WARNING)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """With `stop`, save the state and end the training after an alarm."""
        if not self.stop or self.alarm is None:
            return
        if not is_between_updates(runner.optim_wrapper, runner.iter, runner.max_iters):
            for hook in runner.hooks:
                if isinstance(hook, CheckpointHook):
                    hook.save(runner, runner.iter, runner.epoch)
            raise TrainingStopped(f'{self.alarm} Training stops; the state after step {runner.iter} is saved.')
