"""Prototype maps: frames of a clip, coloured by the nearest prototype of each tubelet."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from sigma.checkpoints.files import load_strictly, read_weights
from sigma.checkpoints.published import from_published
from sigma.errors import DataError
from sigma.figures.masks import drawn, read_pretraining, rows_of_frames
from sigma.models import SIGMA
from sigma.registry import MODELS

# matplotlib's tab20 without its two grays.
_TAB20: Any = matplotlib.colormaps['tab20']
COLOURS = [colour for i, colour in enumerate(_TAB20.colors) if i not in (14, 15)]
OPACITY = 0.55


def draw_clusters(video_path: str | Path, config: str | Path, checkpoint: str | Path, seed: int = 0) -> Figure:
    """Show the prototypes of a clip: a row of frames, one per time slot, then a row of maps for each branch.

    The same colour is the same prototype in all rows. The eighteen prototypes used most have a colour; the others are
    gray. The video branch predicts every tubelet from others: we draw two masks that share no visible tubelet and take
    each tubelet from the pass that hides it. (One that is visible in both keeps its pixels.) The projection branch sees
    the tubelet itself; its row appears if the checkpoint holds the projector. Assignments are not balanced, which would
    be meaningless over a single clip.

    Args:
        video_path: Any video that the config's decoder can read.
        config: Path of the pretraining config.
        checkpoint: `iter_N.safetensors` of its run, or a file in the published layout.
        seed: For clip, crop and masks.

    Raises:
        DataError: if a file is missing, or the model of the config has no prototypes.
        CheckpointError: if the weights do not fit the config.
    """
    if not Path(video_path).is_file():
        raise DataError(f'{video_path} is not there; give a video to draw prototypes for.')
    _, frames, masks, tubelet = drawn(video_path, config, seed)
    model, has_projector = load_model(config, checkpoint)
    maps = prototype_maps(model, frames, masks[0], has_projector)
    colours = colours_of(np.concatenate([codes.ravel() for codes in maps.values()]))
    rows = [('frames', frames[::tubelet])]
    rows += [(name, paint(frames[::tubelet], codes, colours)) for name, codes in maps.items()]
    return rows_of_frames(rows)


def load_model(config_path: str | Path, checkpoint: str | Path) -> tuple[SIGMA, bool]:
    """The model with the weights of the checkpoint, in eval mode; and whether the checkpoint holds the projector."""
    settings = read_pretraining(config_path).model.to_dict()
    if settings.get('projector', {}).get('type') == 'sigma.ImageProjector':
        # Its weights come from the checkpoint, or not at all.
        settings['projector'] |= {'checkpoint': None, 'random_weights': True}
    model = MODELS.build(settings)
    if not (isinstance(model, SIGMA) and hasattr(model.sinkhorn_loss, 'prototypes')):
        raise DataError(f'The model of {config_path} has no prototypes; give the config of a SIGMA pretraining.')
    tensors = from_published(read_weights(checkpoint).tensors)
    has_projector = any(name.startswith('projector.') for name in tensors)
    load_strictly(model, tensors, str(checkpoint), may_lack=() if has_projector else ('projector.',))
    return model.eval(), has_projector


@torch.no_grad()
def prototype_maps(model: SIGMA, frames: np.ndarray, mask: np.ndarray, has_projector: bool) -> dict[str, np.ndarray]:
    """Branch -> (T', H', W') index of the nearest prototype, or -1 where a tubelet was visible in both passes.

    Args:
        frames: (T, H, W, 3) uint8.
        mask: (T', H', W') bool, True where visible.
    """
    clip = torch.from_numpy(np.ascontiguousarray(frames.transpose(3, 0, 1, 2)))
    codes = np.full(mask.size, -1)
    for visible in (other_mask(mask), mask):
        index = torch.from_numpy(np.flatnonzero(visible))
        batch = model.data_preprocessor({'inputs': [clip], 'visible_tokens': [index]})
        _, predictions = model.predictions(batch['clip'], batch['visible'], batch['masked'])
        codes[batch['masked'][0].numpy()] = nearest(model, predictions[0])
    maps = {'predicted': codes.reshape(mask.shape)}
    if has_projector:
        everything = torch.arange(mask.size)[None]
        targets = model.targets(batch['pixels'], batch['clip'], everything)[0]
        maps['projected'] = nearest(model, targets).reshape(mask.shape)
    return maps


def nearest(model: SIGMA, features: Tensor) -> np.ndarray:
    """Index (n,) of the prototype with the highest cosine similarity to each feature (n, E)."""
    prototypes = F.normalize(model.sinkhorn_loss.prototypes, dim=1)
    return (F.normalize(features.float(), dim=1) @ prototypes.T).argmax(dim=1).numpy()


def other_mask(mask: np.ndarray) -> np.ndarray:
    """The mask, shifted within its time slots so that it shares as few visible tubelets as possible with `mask`."""
    cells = mask.reshape(len(mask), -1)
    moved = [np.roll(cells, shift, axis=1) for shift in range(1, cells.shape[1])]
    return min(moved, key=lambda other: int((other & cells).sum())).reshape(mask.shape)


def colours_of(codes: np.ndarray) -> dict[int, np.ndarray]:
    """Prototype -> RGB in [0, 255], for the most frequent ones in descending order."""
    numbers, counts = np.unique(codes[codes >= 0], return_counts=True)
    order = numbers[np.argsort(-counts, kind='stable')]
    return {int(number): 255 * np.asarray(colour) for number, colour in zip(order, COLOURS)}


def paint(frames: np.ndarray, codes: np.ndarray, colours: dict[int, np.ndarray]) -> np.ndarray:
    """Frames (T', H, W, 3) uint8, tinted by the codes (T', H', W') of their tubelets; code -1 keeps the pixels."""
    gray = np.full(3, 128.0)
    tints = np.array([colours.get(int(code), gray) for code in codes.ravel()]).reshape(*codes.shape, 3)
    rows, columns = (frames.shape[1] // codes.shape[1], frames.shape[2] // codes.shape[2])
    tints, known = (a.repeat(rows, axis=1).repeat(columns, axis=2) for a in (tints, codes >= 0))
    mixed = (1 - OPACITY) * frames + OPACITY * tints
    return np.where(known[..., None], mixed, frames).round().astype(np.uint8)
