"""Checks of a plan before anything runs: what would fail in a cell, after minutes or hours, is one sentence here.

Each backbone is built on torch's meta device, where tensors have shapes but no content, its checkpoint is read and
fitted into it, and a clip of the recipe's shape passes through it. What was found is kept (`eval.matrix.kept`), so
torch is imported only for an encoder that this version of the code has not seen.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.cells.cell import ResolvedCell
from eval.matrix.kept import recall, remember
from sigma.errors import DataError, SigmaError

if TYPE_CHECKING:
    from eval.cells.encoders import EncoderCard

ROOT = Path(__file__).resolve().parents[2]
# What decides whether a backbone builds and its weights fit.
_SOURCES = ('sigma/models', 'sigma/checkpoints', 'sigma/compat.py', 'sigma/positions.py', 'eval/models')
_PACKAGES = ('torch', 'timm', 'mmengine', 'mmaction2', 'mmcv-lite', 'transformers')


@dataclass(frozen=True)
class Facts:
    """What the meta device says about an encoder.

    Attributes:
        flops: Operations of the forward pass for one clip; a multiplication and an addition count as two.
        num_parameters: Of the backbone.
        tokens: (T', H', W', D) of one clip.
    """

    flops: int
    num_parameters: int
    tokens: tuple[int, ...]


def backbone_of(resolved: ResolvedCell) -> tuple[dict, bool] | None:
    """The backbone's config in a cell, and whether it is fine-tuned; None if the cell's config has none."""
    config = resolved.config
    model = config.get('model')
    found = model.get('backbone') if isinstance(model, dict) else config.get('backbone')
    if not isinstance(found, dict) or 'type' not in found or found['type'] == 'eval.GivenModule':
        return None
    return found, isinstance(model, dict)


def facts_of(resolved: ResolvedCell) -> Facts | None:
    """Facts of a cell's encoder; None if its config names no backbone.

    Raises:
        DataError: if the backbone cannot be built, its weights do not fit, or it does not take the recipe's clips.
    """
    if (found := backbone_of(resolved)) is None:
        return None
    backbone, finetune = found
    encoder = resolved.encoder
    clip = encoder.info['clip'] | {key: n for key in ('num_frames',) if (n := resolved.recipe.get(key))}
    loading = encoder.loading(finetune)
    key = _key(backbone, loading | {'checkpoint': resolved.weights_sha256}, clip, encoder.info['embed_dims'])
    known = recall('encoders')
    if key not in known:
        facts = _examine(encoder, backbone, loading, clip)
        known = {**_newest(recall('encoders')), key: asdict(facts)}
        remember('encoders', known)
    try:
        one = known[key]
        return Facts(int(one['flops']), int(one['num_parameters']), tuple(one['tokens']))
    except (KeyError, TypeError, ValueError):  # a file that somebody edited
        return _examine(encoder, backbone, loading, clip)


def problems_of_data(resolved: ResolvedCell, shots_asked: bool = True) -> tuple[list[str], list[str]]:
    """Why a cell cannot run on its dataset, and what its user should know; a sentence each.

    Both splits must list readable videos. Few-shot cells must find as many clips as they ask for: in some class at
    least for `shots`, and in all for `examples`. A trial (`--limit`) may have fewer, and so may the shots of a suite
    on other data.

    Args:
        resolved: The cell.
        shots_asked: Whether the user named the number of shots.
    """
    refusals: list[str] = []
    notes: list[str] = []
    dataset, cell = resolved.dataset, resolved.cell
    untrained = bool(dataset.info.get('trained_on'))  # a set that is only tested on
    for split in ('test',) if untrained else ('train', 'test'):
        readable = dataset.readable(split)
        if not any(readable):
            what = f'none of its {len(readable)} videos can be read' if readable else 'it lists no video'
            refusals.append(f'{dataset.name}, split {split}: {what}; prepare the dataset again.')
    if dataset.task != 'action_recognition' or untrained:
        return refusals, notes
    labels = {split: Counter(label for _, label in dataset.pairs(split)) for split in ('train', 'test')}
    counts = labels['train']
    if cell.shots and counts:
        few = [label for label, count in counts.items() if count < cell.shots]
        if len(few) == len(counts) and shots_asked and not cell.limit:
            refusals.append(
                f'--shots {cell.shots}: {dataset.name} has at most {max(counts.values())} training clips per class; '
                'ask for fewer, or leave the few-shot entries out.'
            )
        elif few:
            notes.append(
                f'{dataset.name}: {len(few)} of {len(counts)} classes have fewer than {cell.shots} training clips '
                f'(the smallest {min(counts.values())}); they give all of theirs.'
            )
    if cell.examples and (total := sum(counts.values())) < cell.examples:
        said = f'{dataset.name}: {cell.examples} training clips are asked for, and its list has {total}'
        (notes if cell.limit else refusals).append(f'{said}.')
    if unseen := sorted(set(labels['test']) - set(counts)):
        names = dataset.info['classes']
        notes.append(
            f'{dataset.name}: {len(unseen)} of its test classes have no training clip, first {names[unseen[0]]!r}.'
        )
    return refusals, notes


# --- one encoder ----------------------------------------------------------------------------------------------------


def _examine(encoder: EncoderCard, backbone: dict, loading: dict, clip: dict) -> Facts:
    import copy

    import torch

    import eval.registry  # noqa: F401 - opens the scopes that cards name
    from sigma.registry import MODELS

    def build(device: str) -> Any:
        with torch.device(device), torch.random.fork_rng(devices=()):
            return MODELS.build(copy.deepcopy(backbone)).eval()

    def said(error: Exception) -> str:
        return ' '.join(str(error).split()).rstrip('.')

    kind, device = backbone['type'], 'meta'
    try:
        try:
            module = build(device)
        except (RuntimeError, NotImplementedError) as error:
            if 'meta' not in str(error):
                raise
            module, device = build('cpu'), 'cpu'  # it looks at values while it is built
    except Exception as error:  # classes of others raise anything
        raise DataError(f'Encoder {encoder.name}: its backbone {kind} cannot be built: {said(error)}.') from None
    if loading['checkpoint'] is not None:
        _fit(encoder, module, loading)
    shape = (1, 3, clip['num_frames'], clip['size'], clip['size'])
    try:
        tokens, flops = _pass(module, shape, device)
    except Exception as error:
        told = 'x'.join(map(str, shape[1:]))
        raise DataError(f'Encoder {encoder.name}: it does not take clips of {told}: {said(error)}.') from None
    width = encoder.info['embed_dims']
    if len(tokens) != 5 or tokens[-1] != width:
        raise DataError(
            f'Encoder {encoder.name}: it returns {tokens}; its card promises tokens (1, T, H, W, {width}), by '
            'embed_dims.'
        )
    return Facts(flops, sum(parameter.numel() for parameter in module.parameters()), tokens[1:])


def _fit(encoder: EncoderCard, module: Any, loading: dict) -> None:
    """Fit the checkpoint into a module, which may be on the meta device and then keeps its shapes alone."""
    from sigma.checkpoints.encoder import load_encoder_weights

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # about copies into the meta device, which do nothing
        try:
            load_encoder_weights(module, **loading)
        except SigmaError as error:
            raise DataError(f'Encoder {encoder.name}: {error}') from None


def _pass(module: Any, shape: tuple[int, ...], device: str) -> tuple[tuple[int, ...], int]:
    """Shape of the output, and operations, of one clip."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = module(torch.zeros(shape, device=device))
    return tuple(output.shape), int(counter.get_total_flops())


# --- what was found before ------------------------------------------------------------------------------------------


def _key(*parts: Any) -> str:
    """Hash over what decides the facts: the parts, the code that reads them, and the packages below it."""
    text = json.dumps([parts, list(_code()), [_version(name) for name in _PACKAGES]], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _code() -> Iterable[tuple[str, int, int]]:
    for source in _SOURCES:
        path = ROOT / source
        for file in sorted(path.rglob('*.py')) if path.is_dir() else [path]:
            state = file.stat()
            yield str(file.relative_to(ROOT)), state.st_size, state.st_mtime_ns


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _newest(known: dict, most: int = 500) -> dict:
    """The last entries; the file stays small."""
    return dict(list(known.items())[-most:])


def told_flops(flops: float) -> str:
    """`3.6 GFLOP`, with three digits."""
    if flops <= 0:
        return '0'
    units = ('', 'k', 'M', 'G', 'T', 'P', 'E')
    power = min(int(math.log10(flops) // 3), len(units) - 1)
    return f'{flops / 1000**power:.3g} {units[power]}FLOP'
