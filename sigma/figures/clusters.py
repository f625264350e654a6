"""Prototype maps: frames of clips, coloured by the nearest prototype of each tubelet; k-means for an encoder alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from sigma.checkpoints.described import IMAGENET_MEAN, IMAGENET_STD, card_of_file
from sigma.checkpoints.files import load_strictly, read_weights
from sigma.checkpoints.published import from_published
from sigma.errors import DataError
from sigma.figures.masks import Drawn, Row, drawn, frames_row, read_pretraining, rows_of_frames
from sigma.models import SIGMA
from sigma.models.pretrained import load_encoder
from sigma.registry import MODELS

PROTOTYPES = 'sinkhorn_loss.prototypes'
# Eight colours that differ for every kind of colour vision, then those of matplotlib's tab20 that are still free.
_TAB20: Any = matplotlib.colormaps['tab20']
_FIRST = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#F0E442', '#882255')
COLOURS = [
    *map(matplotlib.colors.to_rgb, _FIRST),
    *(_TAB20.colors[i] for i in (4, 6, 8, 10, 5, 7, 9, 11, 16, 17)),
]
GRAY = np.full(3, 128.0)
OPACITY = 0.55
NUM_CLUSTERS = 8  # of k-means
TOKENS = 'encoder tokens, k-means'
# If one prototype takes more of a clip than this, another row shows what is left without it.
MOST_OF_ONE = 0.5
RELATIVE = 'most above the mean of the clip'
SHARES = f'Shares are of all tubelets in the maps above, without rows that show what is {RELATIVE}.'


def draw_clusters(
    video_path: str | Path | Sequence[str | Path], config: str | Path, checkpoint: str | Path, seed: int = 0
) -> Figure:
    """Show the prototypes of clips: for each a row of frames, one per time slot, then a row of maps for each branch.

    The same colour is the same prototype in all rows and clips. The eighteen prototypes used most have a colour, and
    the legend has their number and share; the others are gray. The video branch predicts every tubelet from others: we
    draw two masks that share no visible tubelet and take each tubelet from the pass that hides it. (One that is visible
    in both keeps its pixels.) The projection branch sees the tubelet itself; its row appears if the checkpoint holds
    the projector. Assignments are not balanced, which would be meaningless over a single clip. Where one prototype
    takes more than half of a clip, a further row shows the prototype whose similarity is most above its mean over the
    clip.

    A checkpoint without prototypes, such as `encoder.safetensors`, is shown by k-means on the tokens of its encoder
    (eight clusters over all clips, no mask), and the figure says so.

    Args:
        video_path: A video that the config's decoder can read, or several.
        config: Path of the pretraining config.
        checkpoint: `iter_N.safetensors` of its run, `encoder.safetensors`, or a file in the published layout.
        seed: For clip, crop, masks and k-means.

    Raises:
        DataError: if a file is missing, the config is not for pretraining, or an encoder has other clips than it.
        CheckpointError: if the weights do not fit the config.
    """
    videos = [video_path] if isinstance(video_path, str | Path) else list(video_path)
    for video in videos:
        if not Path(video).is_file():
            raise DataError(f'{video} is not there; give a video to draw prototypes for.')
    clips = [drawn(video, config, seed) for video in videos]
    tensors = from_published(read_weights(checkpoint).tensors)
    if PROTOTYPES in tensors:
        model, has_projector = load_model(config, checkpoint)
        maps = [_with_relative(similarities(model, clip.frames, clip.masks[0], has_projector)) for clip in clips]
        what, note = 'prototype', f'{Path(checkpoint).name}: {len(tensors[PROTOTYPES])} prototypes.'
    else:
        maps = token_clusters(checkpoint, clips, seed)
        what = 'cluster'
        note = f'{Path(checkpoint).name} holds no prototypes: colours are clusters of the tokens of its encoder. '
        note += 'For prototypes, give iter_N.safetensors of its training.'
    plain, relative = (
        np.concatenate([np.array([], int), *(of[branch].ravel() for of in maps for branch in of if test(branch))])
        for test in (lambda branch: RELATIVE not in branch, lambda branch: RELATIVE in branch)
    )
    colours = colours_of(plain)
    colours |= colours_of(relative[~np.isin(relative, list(colours))], COLOURS[len(colours) :])
    rows = []
    for video, clip, of_clip in zip(videos, clips, maps):
        rows.append(frames_row(video, clip))
        for branch, codes in of_clip.items():
            rows.append(Row(_heading(branch, codes, what), paint(clip.frames[:: clip.tubelet], codes, colours)))
    return rows_of_frames(rows, legend_of(plain, colours, what), f'{note} {SHARES}')


def _heading(branch: str, codes: np.ndarray, what: str) -> str:
    """Branch, how many prototypes its map has, and the share of the first."""
    numbers, counts = np.unique(codes[codes >= 0], return_counts=True)
    most = f'{what} {numbers[counts.argmax()]} takes {100 * counts.max() / counts.sum():.0f} %'
    return f'{branch}: {len(numbers)} {what}{"s" if len(numbers) > 1 else ""}, {most}'


def legend_of(codes: np.ndarray, colours: dict[int, np.ndarray], what: str) -> list[tuple[Any, str]]:
    """(colour, `prototype 12: 34 %`) of those that have a colour, then of the others together; -1 does not count."""
    known = codes[codes >= 0]
    found = []
    for number, colour in colours.items():
        share = 100 * (known == number).mean()
        said = f': {share:.0f} %' if share >= 0.5 else ': < 1 %' if share > 0 else ''
        found.append((colour / 255, f'{what} {number}{said}'))
    others = ~np.isin(known, list(colours))
    if others.any():
        count = len(np.unique(known[others]))
        found.append((GRAY / 255, f'{count} {"others" if count > 1 else "other"}: {100 * others.mean():.0f} %'))
    return found


def token_clusters(checkpoint: str | Path, clips: Sequence[Drawn], seed: int) -> list[dict[str, np.ndarray]]:
    """For each clip, (T', H', W') cluster of each token of the encoder in a file: k-means over the tokens of all clips.

    Raises:
        DataError: if the encoder takes other clips than these.
        CheckpointError: if the file holds no encoder.
    """
    from sklearn.cluster import KMeans  # here: its import takes a second

    card = card_of_file(checkpoint) or {}
    frames = clips[0].frames
    said = card.get('backbone', {})
    sizes = {'num_frames': len(frames), 'image_size': frames.shape[1]}
    if any(said.get(name, size) != size for name, size in sizes.items()):
        raise DataError(
            f'{checkpoint} takes {said["num_frames"]} frames of {said["image_size"]} pixels, but the config gives '
            f'{sizes["num_frames"]} of {sizes["image_size"]}; give the config of its own training.'
        )
    encoder: Any = load_encoder(checkpoint, **sizes)
    mean, std = (
        torch.tensor(card.get(key, default)) for key, default in (('mean', IMAGENET_MEAN), ('std', IMAGENET_STD))
    )
    tokens = []
    with torch.no_grad():
        for clip in clips:
            pixels = (torch.from_numpy(np.array(clip.frames)).float() - mean) / std  # (T, H, W, 3)
            tokens.append(encoder(pixels.permute(3, 0, 1, 2)[None])[0].numpy())  # (T', H', W', D)
    flat = np.concatenate([part.reshape(-1, part.shape[-1]) for part in tokens])
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True).clip(1e-12)
    labels = KMeans(min(NUM_CLUSTERS, len(unit)), n_init=4, random_state=seed).fit_predict(unit)
    parts = np.split(labels, np.cumsum([part[..., 0].size for part in tokens])[:-1])
    shapes = [part.shape[:3] for part in tokens]
    return [{TOKENS: codes.reshape(shape)} for codes, shape in zip(parts, shapes)]


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
def similarities(model: SIGMA, frames: np.ndarray, mask: np.ndarray, has_projector: bool) -> dict[str, np.ndarray]:
    """Branch -> (T', H', W', K) cosine to each prototype; NaN where a tubelet was visible in both passes.

    Args:
        model: With K prototypes.
        frames: (T, H, W, 3) uint8.
        mask: (T', H', W') bool, True where visible.
        has_projector: Whether to add the projection branch.
    """
    clip = torch.from_numpy(np.ascontiguousarray(frames.transpose(3, 0, 1, 2)))
    found = np.full((mask.size, len(model.sinkhorn_loss.prototypes)), np.nan, np.float32)
    for visible in (other_mask(mask), mask):
        index = torch.from_numpy(np.flatnonzero(visible))
        batch = model.data_preprocessor({'inputs': [clip], 'visible_tokens': [index]})
        _, predictions = model.predictions(batch['clip'], batch['visible'], batch['masked'])
        found[batch['masked'][0].numpy()] = cosines(model, predictions[0])
    maps = {'predicted': found.reshape(*mask.shape, -1)}
    if has_projector:
        everything = torch.arange(mask.size)[None]
        targets = model.targets(batch['pixels'], batch['clip'], everything)[0]
        maps['projected'] = cosines(model, targets).reshape(*mask.shape, -1)
    return maps


def prototype_maps(model: SIGMA, frames: np.ndarray, mask: np.ndarray, has_projector: bool) -> dict[str, np.ndarray]:
    """Branch -> (T', H', W') index of the nearest prototype, or -1 where there is none; arguments as `similarities`."""
    return {branch: nearest(found) for branch, found in similarities(model, frames, mask, has_projector).items()}


def _with_relative(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The map of each branch; where one prototype takes most of it, another map of what is above the mean."""
    maps = {}
    for branch, cosine in found.items():
        maps[branch] = codes = nearest(cosine)
        _, counts = np.unique(codes[codes >= 0], return_counts=True)
        if counts.max() > MOST_OF_ONE * counts.sum():
            around = np.nanmean(cosine, axis=(0, 1, 2))
            maps[f'{branch}, {RELATIVE}'] = nearest(cosine - around)
    return maps


def nearest(cosine: np.ndarray) -> np.ndarray:
    """Index (...) of the highest of (..., K) cosines; -1 where they are NaN."""
    known = ~np.isnan(cosine[..., 0])
    return np.where(known, np.where(known[..., None], cosine, 0).argmax(axis=-1), -1)


def cosines(model: SIGMA, features: Tensor) -> np.ndarray:
    """(n, K) cosine of each feature (n, E) to each prototype."""
    prototypes = F.normalize(model.sinkhorn_loss.prototypes, dim=1)
    return (F.normalize(features.float(), dim=1) @ prototypes.T).numpy()


def other_mask(mask: np.ndarray) -> np.ndarray:
    """The mask, shifted within its time slots so that it shares as few visible tubelets as possible with `mask`."""
    cells = mask.reshape(len(mask), -1)
    moved = [np.roll(cells, shift, axis=1) for shift in range(1, cells.shape[1])]
    return min(moved, key=lambda other: int((other & cells).sum())).reshape(mask.shape)


def colours_of(codes: np.ndarray, colours: Sequence = COLOURS) -> dict[int, np.ndarray]:
    """Prototype -> RGB in [0, 255], for the most frequent ones in descending order; -1 has none."""
    numbers, counts = np.unique(codes[codes >= 0], return_counts=True)
    order = numbers[np.argsort(-counts, kind='stable')]
    return {int(number): 255 * np.asarray(colour) for number, colour in zip(order, colours)}


def paint(frames: np.ndarray, codes: np.ndarray, colours: dict[int, np.ndarray]) -> np.ndarray:
    """Frames (T', H, W, 3) uint8, tinted by the codes (T', H', W') of their tubelets; code -1 keeps the pixels."""
    tints = np.array([colours.get(int(code), GRAY) for code in codes.ravel()]).reshape(*codes.shape, 3)
    rows, columns = (frames.shape[1] // codes.shape[1], frames.shape[2] // codes.shape[2])
    tints, known = (a.repeat(rows, axis=1).repeat(columns, axis=2) for a in (tints, codes >= 0))
    mixed = (1 - OPACITY) * frames + OPACITY * tints
    return np.where(known[..., None], mixed, frames).round().astype(np.uint8)
