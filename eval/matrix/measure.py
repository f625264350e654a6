"""`eval.measure`: the command `run_severe.py` as a function, for cards and for torch modules.

```python
import torch
from eval import Clip, measure


class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv3d(3, 64, kernel_size=(2, 16, 16), stride=(2, 16, 16))

    def forward(self, clips):  # (B, 3, T, H, W), normalised
        return self.conv(clips)  # (B, D, T', H', W')


clip = Clip(frames=16, stride=2, size=64)
table = measure(Encoder(), suite='frozen_toy', datasets='data/toy', seeds=[0, 1], clip=clip)
print(table)
print([record.score['value'] for record in table.records])

# Or a card: a name from `--list encoders`, NAME@CHECKPOINT, or the path of a card. Or a file that describes itself,
# such as the encoder.safetensors of a training; `name` names its row.
print(measure('random', suite='frozen_toy', datasets='data/toy'))
```
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from eval.cells.cell import Cards
from eval.cells.encoders import IMAGENET_MEAN, IMAGENET_STD, EncoderCard, load_encoder_card
from eval.matrix.executors.job import Finished
from eval.matrix.executors.schedule import Backend, run
from eval.matrix.live import Progress
from eval.matrix.plan import OPEN, MissingData, Plan, Planned, plan
from eval.matrix.suites import suite_entries
from eval.protocols import import_protocols
from eval.records import read_record
from eval.report.summaries import SUMMARIES
from eval.report.table import Table
from sigma.errors import DataError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Clip:
    """The clips that a module takes: (B, 3, T, H, W) float, normalised.

    Args:
        frames: T.
        stride: Video frames from one sampled frame to the next. Some recipes and dataset cards set their own.
        size: H = W, pixels.
        mean, std: Per channel (RGB), on the scale 0 to 255. Default: ImageNet's.

    Raises:
        DataError: if a value is of the wrong type or out of range.
    """

    frames: int
    stride: int
    size: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @classmethod
    def of(cls, encoder: str | Path) -> Clip:
        """The clips of a card or of a file that describes itself, for a module with these weights.

            measure(sigma.load_encoder('encoder.safetensors'), suite='frozen_toy', clip=Clip.of('encoder.safetensors'))

        Raises:
            DataError: as `eval.cells.encoders.load_encoder_card`.
        """
        card = load_encoder_card(str(encoder))
        clip = card.info['clip']
        return cls(clip['num_frames'], clip['stride_frames'], clip['size'], card.mean, card.std)

    def __post_init__(self) -> None:
        for name in ('frames', 'stride', 'size'):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise DataError(f'Clip: {name} is {value!r}; it must be a whole number, 1 or more.')
        for name in ('mean', 'std'):
            try:
                numbers = tuple(float(number) for number in getattr(self, name))
            except (TypeError, ValueError):
                numbers = ()
            if len(numbers) != 3:
                raise DataError(f'Clip: {name} is {getattr(self, name)!r}; it must be three numbers, for R, G and B.')
            object.__setattr__(self, name, numbers)
        if min(self.std) <= 0 or max(self.std) < 1:
            raise DataError(f'Clip: std is {self.std!r}; it must be positive and on the scale 0 to 255, such as 58.4.')


def measure(
    encoder: str | Path | nn.Module,
    suite: str | Path,
    *,
    clip: Clip | None = None,
    datasets: Sequence[str | Path] | str | Path | None = None,
    shots: Sequence[int] | None = None,
    seeds: Iterable[int] | int = (0,),
    work_dir: str | Path = 'work_dirs/measure',
    jobs: int = 1,
    name: str | None = None,
    channels: str | None = None,
    family: str = 'vit',
    imports: Sequence[str] = (),
    allow_partial: bool = False,
    progress: bool = True,
) -> Table:
    """Measure an encoder on a suite: the cells that `eval/run_severe.py` runs, and the same records.

    Cells that have a record in `work_dir` are not run again. Cells that failed before are.

    Args:
        encoder: Name of a card, NAME@FILE, path of a card, a .safetensors file that describes itself, or a torch
            module that takes (B, 3, T, H, W) normalised clips and gives tokens (B, T', H', W', D) or (B, N, D), a
            feature map (B, D, T', H', W'), or pooled features (B, D). (B, N, D) counts as one time step. A clip of
            zeros is used to find out which of these it returns. A copy is measured, so the module itself does not
            change. Fine-tuning trains all parameters, and ignores a recipe's drop path, since the module sets its own.
            Cells of a module run in this process, one after another.
        suite: Name of a suite (`run_severe.py --list suites`), or path of a suite card.
        clip: The clips that the module takes; only for a module.
        datasets: Dataset cards or prepared folders to use instead of the suite's.
        shots: Clips per class to use instead of those of the suite's few-shot entries.
        seeds: Seeds; one cell per seed.
        work_dir: Records, features and logs go here; relative to the working directory.
        jobs: Cells that run in parallel, each in a process of its own; only for a card.
        name: The encoder's name in records (default: that of the card or file; for a module, its class and the start
            of a hash of weights and architecture).
        channels: Where D is in the output, `last` or `first`; needed if the shape alone does not show this.
        family: Which recipes to use for a module if a suite has several: `vit` or `r2plus1d`.
        imports: Modules or .py files with further protocols and suites, as for `--import`.
        allow_partial: Include records that scored less than 99 % of the videos in means.
        progress: Show cells as they run, on stderr.

    Returns:
        The table of these cells' records; `.records` has them in the order of the suite.

    Raises:
        SigmaError: before anything runs, if something is missing or does not fit; or after all other cells have run,
            if some failed, with their names and logs.
    """
    if isinstance(datasets, (str, Path)):
        datasets = [datasets]
    folders = None if datasets is None else [str(dataset) for dataset in datasets]
    modules = [str(Path(module).resolve()) if module.endswith('.py') else module for module in imports]
    import_protocols(modules)
    entries = suite_entries(str(suite), folders, shots)
    numbers = _checked_seeds(seeds)
    if not isinstance(jobs, int) or jobs < 1:
        raise DataError(f'jobs is {jobs!r}; it must be a number of cells, at least 1.')
    _check_folder(work_dir)
    with _known(encoder, clip, name, channels, family, jobs) as (reference, cards, is_module):
        found = plan(entries, [reference], numbers, work_dir, retry_failed=True, cards=cards)
        _refuse(found)
        work_dir = _made(work_dir)
        _run(found, work_dir, modules, jobs, is_module, progress)
        records = [read_record(_resolved(item).record_path(work_dir)) for item in found.listed()]
    # The mean of a suite is over its own columns.
    summary = None if folders or shots else SUMMARIES.get(str(suite))
    return Table(records, allow_partial=allow_partial, summary=summary)


def _run(found: Plan, work_dir: Path, imports: list[str], jobs: int, is_module: bool, progress: bool) -> None:
    """Run what has no record.

    Raises:
        DataError: naming the cells that did not end well, with reason and log.
    """
    tasks = found.jobs(work_dir, imports)
    if not tasks:
        return
    jobs = min(jobs, found.max_parallel())
    backend = _backend([_resolved(item) for item in found.in_state(*OPEN)], jobs, is_module)
    if progress:
        # This very stream: while a cell runs in this process, `sys.stderr` is its log.
        with Progress(found, jobs, Console(file=sys.stderr)) as watcher:
            results = run(tasks, backend, watcher)
    else:
        results = run(tasks, backend)
    if lost := [end for end in results if end.state != 'done']:
        raise DataError(f'{len(lost)} of {len(found.cells)} cells have no record: {"; ".join(map(_said, lost))}')


def _said(end: Finished) -> str:
    return f'{end.job.name} {end.state}: {end.reason} (log: {end.job.log})'


def _backend(cells: list, jobs: int, is_module: bool) -> Backend:
    if is_module:
        from eval.matrix.executors.in_process import InProcess

        return InProcess({resolved.id: resolved for resolved in cells})
    from eval.matrix.executors.forks import modules_of
    from eval.matrix.executors.local import Local

    return Local(jobs, modules_of([resolved.protocol for resolved in cells]))


# --- what was asked ------------------------------------------------------------------------------------------------


def _checked_seeds(seeds: Iterable[int] | int) -> list[int]:
    numbers = [seeds] if isinstance(seeds, int) else list(dict.fromkeys(seeds))
    wrong = [seed for seed in numbers if type(seed) is not int or not 0 <= seed < 2**32]
    if wrong or not numbers:
        raise DataError(f'seeds has {wrong[0]!r}; seeds are whole numbers, 0 or more.' if wrong else 'seeds is empty.')
    return numbers


def _check_folder(work_dir: str | Path) -> None:
    path = Path(work_dir).absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists() or folder.is_symlink())
    if not there.is_dir():
        raise DataError(f"work_dir '{work_dir}' cannot be used: '{there}' is not a folder; give another.")


def _made(work_dir: str | Path) -> Path:
    path = Path(work_dir)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"work_dir '{path}' cannot be used: {error.strerror}; give another.") from None
    return path


def _refuse(found: Plan) -> None:
    """Refuse a plan if something is missing, or if two cells would write the same record."""
    if found.problems:
        raise MissingData(found.problems)
    names: dict[str, Planned] = {}
    for item in found.cells:
        other = names.setdefault(item.name, item)
        if other.cell != item.cell:
            raise DataError(f'{other.cell} and {item.cell} both give a record named {item.name}; rename one part.')


def _resolved(item: Planned):
    """The resolved cell; after `_refuse` every cell has one."""
    assert item.resolved is not None
    return item.resolved


# --- a module as an encoder ----------------------------------------------------------------------------------------


@dataclass
class GivenEncoder(EncoderCard):
    """The card of a torch module. Its weights exist only in this process, not in a file."""

    weights: str = ''

    def sha256(self) -> str | None:
        return self.weights

    def backbone(self, finetune: bool = False, **settings) -> dict:
        """Config of the adapter. The module is already built, so further settings have no effect on it."""
        return copy.deepcopy(self.info['backbone'])


class GivenCards(Cards):
    """Cards, including one encoder that no file describes."""

    def __init__(self, given: GivenEncoder) -> None:
        super().__init__()
        self._given = given

    def encoder(self, reference: str) -> EncoderCard:
        return self._given if reference == self._given.reference else super().encoder(reference)


@contextlib.contextmanager
def _known(
    encoder: str | Path | nn.Module, clip: Clip | None, name: str | None, channels: str | None, family: str, jobs: int
) -> Iterator[tuple[str, Cards, bool]]:
    """Inside the block: the encoder's reference for cells, the cards that know it, and whether it is a module."""
    if isinstance(encoder, (str, Path)):
        if clip is not None or channels is not None:
            raise DataError(f'clip and channels describe a torch module; the card of {encoder} sets its own.')
        yield str(encoder) if name is None else f'{name}={encoder}', Cards(), False
        return
    from torch import nn

    if not isinstance(encoder, nn.Module):
        raise DataError(
            f'encoder is a {type(encoder).__name__}; give the name or path of an encoder card, or a torch module.'
        )
    if jobs != 1:
        raise DataError(f'jobs is {jobs}; the cells of a torch module run in this process, one at a time.')
    from eval.models.given import lent

    module, card = _card_of(encoder, clip, name, channels, family)
    with lent(module, card.weights, card.info['backbone']['architecture_sha256']):
        yield card.reference, GivenCards(card), True


def _card_of(
    encoder: nn.Module, clip: Clip | None, name: str | None, channels: str | None, family: str
) -> tuple[nn.Module, GivenEncoder]:
    """A copy of a module in evaluation mode on the CPU, and its card."""
    from eval.matrix.executors.in_process import unchanged_process
    from eval.models.given import architecture_sha256, examine, weights_sha256

    kind = type(encoder).__name__
    if clip is None:
        raise DataError(
            f'{kind} is a torch module, so say what clips it takes: clip=eval.Clip(frames=16, stride=4, size=224).'
        )
    if not isinstance(clip, Clip):
        raise DataError(f'clip is a {type(clip).__name__}; give eval.Clip(frames, stride, size, mean, std).')
    if channels not in (None, 'first', 'last'):
        raise DataError(f"channels is {channels!r}; it must be 'first' or 'last'.")
    if name is not None and not re.fullmatch(r'\w[\w.+-]*', name):
        raise DataError(f'name is {name!r}; it becomes part of file names, so use letters, digits and . _ + - only.')
    try:
        module = copy.deepcopy(encoder).eval()
    except Exception as error:  # parts that torch cannot copy
        raise DataError(f'{kind} cannot be copied: {type(error).__name__}: {error}.') from error
    weights, architecture = weights_sha256(module), architecture_sha256(module)
    with unchanged_process():
        layout, width = examine(module, clip.frames, clip.size, channels)
    label = name or f'{kind}-{_joined(weights, architecture)}'
    info = {
        'backbone': {
            'type': 'eval.GivenModule',
            'architecture': kind,
            'architecture_sha256': architecture,
            'weights': weights,
            'layout': layout,
        },
        'embed_dims': width,
        'family': family,
        'checkpoint': None,
        'clip': {'num_frames': clip.frames, 'stride_frames': clip.stride, 'size': clip.size},
        'mean': clip.mean,
        'std': clip.std,
        'pretraining_data': 'not stated: a torch module given to eval.measure',
        'source': f'torch module {type(encoder).__module__}.{type(encoder).__qualname__}',
    }
    return module.cpu(), GivenEncoder(label, label, info, weights)


def _joined(weights: str, architecture: str) -> str:
    """Eight hex digits over both hashes."""
    return hashlib.sha256(f'{weights} {architecture}'.encode()).hexdigest()[:8]
