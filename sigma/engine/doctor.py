"""Looks at a pretraining before it runs: a few batches, one step, and what in them tends to go wrong.

Findings are rules of thumb from small trainings (docs/pretraining.md), no promise. Nothing is written.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sigma.errors import DataError
from sigma.losses.sinkhorn import sinkhorn
from sigma.models.encoder import gather_tokens, tubelets

FLAT_DEVIATION = 0.02  # of pixels in [0, 1]: 5 of 255 levels, about the noise of a video codec
MOST_FLAT = 0.3
LEAST_TOKENS = 8  # per prototype and step
LEAST_STEPS = 1000
ENTROPIES = (0.5, 0.99)  # of the soft codes of the first batch, relative to the logarithm of K
MOST_WAIT = 0.2


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: In a few words.
        found: The value, in words.
        remedy: What to change, if it needs a change; else empty.
    """

    name: str
    found: str
    remedy: str = ''


def examine(cfg: Any, num_batches: int = 4) -> list[Finding]:
    """Read a few batches of a pretraining config, make one step, and say what they show.

    Args:
        cfg: MMEngine config with `model` and `train_dataloader`.
        num_batches: At most this many are read.

    Raises:
        DataError: if the model is no masked video model, or there is no whole batch.
    """
    from sigma.engine.runner import Runner
    from sigma.models.sigma import MaskedVideoModel
    from sigma.registry import MODELS

    seed = (cfg.get('randomness') or {}).get('seed', 0)
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    if not isinstance(model, MaskedVideoModel):
        raise DataError(f'--doctor looks at masked video models, and {cfg.model.type} is none.')
    loader = Runner.build_dataloader(dict(cfg.train_dataloader), seed=seed)
    batches, seconds = [], []
    waiting, begun = iter(loader), time.perf_counter()
    for _ in range(min(num_batches, len(loader))):
        batches.append(next(waiting))
        seconds.append(time.perf_counter() - begun)
        begun = time.perf_counter()
    if not batches:
        raise DataError(f'The {len(loader.dataset)} videos make no whole batch; make the batch smaller or add videos.')
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    model = model.to(device).train()
    inputs = [model.data_preprocessor(batch, True) for batch in batches]
    begun = time.perf_counter()
    losses = model(**inputs[0], mode='loss')
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    step = time.perf_counter() - begun
    findings = [flat_tubelets(inputs, model.encoder.tubelet), steps(cfg, len(loader))]
    if hasattr(model, 'sinkhorn_loss') and hasattr(model.sinkhorn_loss, 'prototypes'):
        findings[1:1] = prototypes(model, inputs[0])
    # The first batch pays for the start of the workers.
    return [*findings, wait(min(seconds[1:] or seconds), step, cfg)]


def flat_tubelets(inputs: list[dict[str, Tensor]], tubelet: tuple[int, int, int]) -> Finding:
    """Share of the masked tubelets whose pixels hardly differ: standardised one by one, they are coding noise."""
    flat, total = 0, 0
    for one in inputs:
        masked = one['masked'].flatten(1)
        gray = one['pixels'].mean(dim=1, keepdim=True)
        values = gather_tokens(tubelets(gray, tubelet), masked)  # (B, M, P)
        flat += int((values.std(dim=-1) < FLAT_DEVIATION).sum())
        total += masked.numel()
    share = flat / total
    remedy = (
        'targets standardised by tubelet blow this noise up; set model.projector.floor=0.05, or take larger patches or '
        'frames with more texture'
    )
    found = f'{100 * share:.0f} % of {total} masked tubelets deviate by less than {255 * FLAT_DEVIATION:.0f} levels'
    return Finding('nearly flat tubelets', found, remedy if share > MOST_FLAT else '')


@torch.no_grad()
def prototypes(model: Any, one: dict[str, Tensor]) -> list[Finding]:
    """Tokens per prototype, and how decided the codes of the first batch are at this epsilon."""
    loss, tokens = model.sinkhorn_loss, one['masked'].numel()
    number = len(loss.prototypes)
    per = tokens / number
    fewer = max(2, 2 ** int(math.log2(max(2, tokens / LEAST_TOKENS))))
    few = Finding(
        'tokens per prototype',
        f'{tokens} masked tokens of a batch of {len(one["masked"])} clips for {number} prototypes: {per:.1f} each',
        f'a balanced assignment needs about {LEAST_TOKENS}; set model.loss.num_prototypes={fewer} or a larger batch'
        if per < LEAST_TOKENS
        else '',
    )
    features = model.targets(one['pixels'], one['clip'], one['masked']).flatten(0, 1).float()
    unit = torch.nn.functional.normalize(features, dim=1)
    scores = unit @ torch.nn.functional.normalize(loss.prototypes.float(), dim=1).T
    codes = sinkhorn(scores, loss.epsilon, loss.num_iterations).double()
    entropy = float(-(codes * codes.clamp_min(1e-12).log()).sum(dim=1).mean() / math.log(number))
    low, high = ENTROPIES
    remedy = ''
    if entropy > high:
        remedy = f'the codes hardly choose: set a smaller model.loss.epsilon, such as {loss.epsilon / 2:g}'
    elif entropy < low:
        remedy = f'the codes are nearly decided before training: set a larger model.loss.epsilon, {2 * loss.epsilon:g}'
    found = f'soft codes of the first batch have {entropy:.2f} of the largest entropy (epsilon {loss.epsilon:g})'
    return [few, Finding('epsilon against K', found, remedy)]


def steps(cfg: Any, per_epoch: int) -> Finding:
    """How many steps the schedule has."""
    epochs = (cfg.get('train_cfg') or {}).get('max_epochs')
    if epochs is None:
        return Finding('steps', f'{per_epoch} per epoch; the schedule does not count epochs')
    total = epochs * per_epoch
    enough = -(-LEAST_STEPS // per_epoch)
    remedy = f'features rarely pass random weights before {LEAST_STEPS}; set train_cfg.max_epochs={enough}'
    found = f'{total} ({epochs} epochs of {per_epoch})'
    return Finding('steps', found, remedy if total < LEAST_STEPS else '')


def wait(batch_seconds: float, step_seconds: float, cfg: Any) -> Finding:
    """How long a step would wait for its batch, once the workers run."""
    workers = cfg.train_dataloader.get('num_workers', 0)
    waited = batch_seconds if not workers else max(0.0, batch_seconds - step_seconds)
    share = waited / (waited + step_seconds)
    remedy = (
        'set train_dataloader.num_workers to the number of free cores, and make small copies that are fast to read '
        '(tools/prepare.py reencode)'
    )
    found = f'a batch takes {batch_seconds:.2f} s with {workers} workers, a step {step_seconds:.2f} s'
    return Finding('data wait', found, remedy if share > MOST_WAIT else '')


def in_words(findings: list[Finding]) -> str:
    """One line per finding, and what to change below those that need it."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f'{"change" if finding.remedy else "fine":6}  {finding.name:{width}}  {finding.found}')
        if finding.remedy:
            lines.append(f'{"":6}  {"":{width}}  -> {finding.remedy}')
    return '\n'.join(lines)
