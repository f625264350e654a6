"""Prototype maps: which prototype each tube of a clip is nearest to, coloured over its frames."""

from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from sigma.checkpoints.files import load_strictly, read_weights
from sigma.checkpoints.published import from_published
from sigma.errors import DataError
from sigma.figures.masks import drawn, read_pretraining, rows_of_frames
from sigma.models import SIGMA
from sigma.registry import MODELS

# Of matplotlib's tab20, without its two grays.
COLOURS = [colour for i, colour in enumerate(matplotlib.colormaps['tab20'].colors) if i not in (14, 15)]
OPACITY = 0.55


def draw_clusters(video_path: str | Path, config: str | Path, checkpoint: str | Path, seed: int = 0) -> Figure:
    """Show the prototypes of a clip: a row of frames, one a time slot, then a row of maps for each branch.

    Equal colours are equal prototypes, in both rows; the eighteen that the clip uses most have a colour, the others are
    gray. The video branch predicts every tube from others: two masks that share no visible tube are drawn, and each
    tube is taken from the one that hides it (a tube that both show keeps its pixels). The projection branch sees the
    tube itself; its row is there where the checkpoint holds the projector. No balancing: over a single clip, equal
    shares of all prototypes would have no meaning.

    Args:
        video_path: Any video that the config's decoder reads.
        config: Path of the pretraining config.
        checkpoint: `iter_N.safetensors` of its run, or a file in the published layout.
        seed: Of clip, crop and masks.

    Raises:
        DataError: if a file is absent, or the config's model has no prototypes.
        CheckpointError: if the weights do not fit the config.
    """
    if not Path(video_path).is_file():
        raise DataError(f'{video_path} is not there; give a video to draw the prototypes of.')
    _, frames, masks, tubelet = drawn(video_path, config, seed)
    model, has_projector = load_model(config, checkpoint)
    maps = prototype_maps(model, frames, masks[0], has_projector)
    colours = colours_of(np.concatenate([codes.ravel() for codes in maps.values()]))
    rows = [('frames', frames[::tubelet])]
    rows += [(name, paint(frames[::tubelet], codes, colours)) for name, codes in maps.items()]
    return rows_of_frames(rows)


def load_model(config_path: str | Path, checkpoint: str | Path) -> tuple[nn.Module, bool]:
    """The config's model with the checkpoint's weights, in eval mode, and whether its projector is among them."""
    settings = read_pretraining(config_path).model.to_dict()
    if (
        settings.get('projector', {}).get('type') == 'sigma.ImageProjector'
    ):  # its weights come with the checkpoint, or not at all
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
    """Name of the branch -> (T', H', W') number of the nearest prototype, -1 where a tube was visible in both passes.

    Args:
        frames: (T, H, W, 3) uint8.    mask: (T', H', W') bool, True where visible.
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
    """(n,) number of the prototype of highest cosine, of features (n, E)."""
    prototypes = F.normalize(model.sinkhorn_loss.prototypes, dim=1)
    return (F.normalize(features.float(), dim=1) @ prototypes.T).argmax(dim=1).numpy()


def other_mask(mask: np.ndarray) -> np.ndarray:
    """A mask of as many visible tubes in each slot, moved along the rows until it shares as few as it can."""
    cells = mask.reshape(len(mask), -1)
    moved = [np.roll(cells, shift, axis=1) for shift in range(1, cells.shape[1])]
    return min(moved, key=lambda other: int((other & cells).sum())).reshape(mask.shape)


def colours_of(codes: np.ndarray) -> dict[int, np.ndarray]:
    """Prototype -> RGB in [0, 255] of the most frequent ones, in falling order."""
    numbers, counts = np.unique(codes[codes >= 0], return_counts=True)
    order = numbers[np.argsort(-counts, kind='stable')]
    return {int(number): 255 * np.asarray(colour) for number, colour in zip(order, COLOURS)}


def paint(frames: np.ndarray, codes: np.ndarray, colours: dict[int, np.ndarray]) -> np.ndarray:
    """Frames (T', H, W, 3) uint8 under the colours of their tubes (T', H', W'); a tube of -1 keeps its pixels."""
    gray = np.full(3, 128.0)
    tints = np.array([colours.get(int(code), gray) for code in codes.ravel()]).reshape(*codes.shape, 3)
    rows, columns = (frames.shape[1] // codes.shape[1], frames.shape[2] // codes.shape[2])
    tints, known = (a.repeat(rows, axis=1).repeat(columns, axis=2) for a in (tints, codes >= 0))
    mixed = (1 - OPACITY) * frames + OPACITY * tints
    return np.where(known[..., None], mixed, frames).round().astype(np.uint8)
