"""What a cell has to do, and how long that takes here: steps, clips, operations, seconds and bytes.

Seconds come from a stated rule, times a factor that this machine has shown: the ratio of measured to ruled seconds of
the newest cells of the same protocol that ran on it (kept by `eval.matrix.kept`, for the CPU and for GPUs apart).
Before the first cell the factor is 1.
"""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from eval.cells.cell import ResolvedCell
from eval.matrix.check import Facts
from eval.matrix.kept import recall, remember
from sigma.processes import num_cpus

# The rule. Its numbers are round: a machine's own factor corrects them.
START_SECONDS = 5.0  # imports, and building of the model
DECODE_SECONDS = 0.002  # per frame and core
CPU_FLOPS = 20e9  # per second and core
GPU_FLOPS = 20e12  # per second
RULE = (
    f'{START_SECONDS:g} s per cell, {1000 * DECODE_SECONDS:g} ms per decoded frame and core, '
    f'{CPU_FLOPS / 1e9:g} GFLOP/s per core or {GPU_FLOPS / 1e12:g} TFLOP/s per GPU'
)
NUM_KEPT = 10  # newest cells of a protocol that the factor is the median of


@dataclass(frozen=True)
class Work:
    """What one cell has to do.

    Attributes:
        steps: Forward passes of training; 0 where only features are computed.
        trained_clips: Clips that pass forward and backward.
        seen_clips: Clips that pass forward only.
        views: Clips of a test video.
        num_frames: Frames of a clip.
        flops: Operations of all these passes; None if the encoder's are not known.
        num_bytes: What the cell leaves on the disk.
    """

    steps: int
    trained_clips: int
    seen_clips: int
    views: int
    num_frames: int
    flops: int | None
    num_bytes: int


def work_of(resolved: ResolvedCell, facts: Facts | None) -> Work:
    """The work of a cell, from its config, its recipe and the numbers of readable videos."""
    recipe, config = resolved.recipe, resolved.config
    views = recipe.get('views') or {}
    num_views = views.get('num_clips', 1) * (1 if views.get('resize') == 'square' else views.get('crops', 1))
    num_train, num_test = (sum(resolved.dataset.readable(split)) for split in ('train', 'test'))
    if isinstance(config.get('columns'), (list, tuple)):  # shown again under every corruption, by a trained cell
        steps, trained, seen = 0, 0, num_test * num_views * len(config['columns'])
    elif 'train_dataloader' in config:
        steps, trained = _training(config, num_train)
        seen = num_test * num_views
    else:
        steps, trained, seen = 0, 0, (num_train + num_test) * num_views
    clip = resolved.encoder.info['clip']
    num_frames = recipe.get('num_frames') or clip.get('num_frames', 0)
    flops = None if facts is None else (3 * trained + seen) * facts.flops
    return Work(steps, trained, seen, num_views, num_frames, flops, _bytes(facts, steps, seen, num_test))


def _training(config: dict, num_train: int) -> tuple[int, int]:
    """Forward passes, and clips that are trained on, of a config with MMEngine's training loop."""
    loader, sampler = config['train_dataloader'], config['train_dataloader'].get('sampler', {})
    subset = loader['dataset'].get('subset')
    num_clips = num_train if subset is None else min(len(subset), num_train)
    batch, together = loader['batch_size'], sampler.get('steps_together', 1)
    epoch = max(1, num_clips * sampler.get('repeats', 1) // (batch * together) * together)
    loop = config.get('train_cfg', {})
    steps = loop.get('max_steps') or loop.get('max_epochs', 1) * epoch
    augmented = [step.get('num_samples', 1) for step in loader['dataset'].get('pipeline', [])]
    return steps, steps * batch * max(augmented, default=1)


def _bytes(facts: Facts | None, steps: int, seen: int, num_test: int) -> int:
    """Weights with the two moments of AdamW for a trained encoder, float32 features for a frozen one, predictions."""
    predictions = 20_000 + 400 * num_test
    if facts is None:
        return predictions
    if steps:
        return predictions + 3 * 4 * facts.num_parameters
    steps_of_time, width = facts.tokens[0], facts.tokens[-1]
    return predictions + 4 * seen * steps_of_time * width


# --- seconds --------------------------------------------------------------------------------------------------------


def ruled_seconds(work: Work, kind: str | None = None, cores: int | None = None) -> float:
    """Seconds of a cell by the rule alone.

    Args:
        work: The work.
        kind: `cpu` or `cuda`; None for what cells of this process would use.
        cores: Cores of the cell; None for all.
    """
    cores = cores or num_cpus()
    clips = work.trained_clips + work.seen_clips
    speed = GPU_FLOPS if (kind or device_kind()) == 'cuda' else CPU_FLOPS * cores
    return START_SECONDS + clips * work.num_frames * DECODE_SECONDS / cores + (work.flops or 0) / speed


def own_factor(protocol: str) -> float | None:
    """Measured seconds over ruled ones, of this machine's newest cells of a protocol; None before the first."""
    ratios = recall('speed').get(_machine(), {}).get(protocol)
    good = [ratio for ratio in ratios if isinstance(ratio, float) and ratio > 0] if isinstance(ratios, list) else []
    return median(good) if good else None


def learn(measured: Iterable[tuple[str, Work, float]]) -> None:
    """Remember (protocol, work, seconds) of cells that ran on this machine."""
    speeds = recall('speed')
    own = speeds.setdefault(_machine(), {})
    changed = False
    for protocol, work, seconds in measured:
        if seconds > 0:
            own[protocol] = [*own.get(protocol, []), seconds / ruled_seconds(work)][-NUM_KEPT:]
            changed = True
    if changed:
        remember('speed', speeds)


def device_kind() -> str:
    """`cuda` where a GPU is visible to this process, else `cpu`; without importing torch."""
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    if visible is not None and not visible.strip(', '):
        return 'cpu'
    if sys.platform != 'linux':
        return 'cuda' if visible else 'cpu'
    drivers = [*Path('/dev').glob('nvidia[0-9]*'), Path('/dev/kfd'), Path('/dev/dxg')]  # CUDA, ROCm, Windows' Linux
    return 'cuda' if any(driver.exists() for driver in drivers) else 'cpu'


def _machine() -> str:
    return f'{platform.node()} {device_kind()}'


def told_minutes(seconds: float) -> str:
    """Minutes with one digit, never 0.0 for a cell that takes time."""
    return f'{max(math.ceil(seconds / 6) / 10, 0.1):.1f}'
