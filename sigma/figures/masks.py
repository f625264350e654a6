"""Masks drawn over the frames of their clip, with the config and the share of each."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mmengine.config import Config
from mmengine.dataset import Compose

from sigma.data.cards import read_config
from sigma.data.clips import seeded
from sigma.data.masking import mask_overlay
from sigma.errors import DataError
from sigma.registry import MODELS, TRANSFORMS
from sigma.text import shown

PAPER_WIDTH_INCHES = 7.0
HEADING, MARGIN = 0.16, 0.03  # inches: above a row, at the sides
LEGEND_COLUMNS = 6


class Drawn(NamedTuple):
    """A clip and the masks that a config draws on it."""

    config: str  # its name; '' if it has no file
    mask: str  # what it is, in words
    frames: np.ndarray  # (T, H, W, 3) uint8
    masks: np.ndarray  # (R, T', H', W') bool, True where visible
    tubelet: int  # frames per tubelet


class Row(NamedTuple):
    """A line of images with a heading."""

    heading: str
    images: np.ndarray | Sequence[np.ndarray]  # one (H, W, 3) uint8 per time slot


def draw_masks(video_path: str | Path, config: str | Path | Config | Sequence, seed: int = 0) -> Figure:
    """Show which tokens of a video stay visible: a row of frames, one per time slot, then a row per mask.

    The heading of a row names the config, the kind of mask and the share of tokens that it hides.

    Args:
        video_path: Any video that the config's decoder can read.
        config: A pretraining config or its path, or several. Several configs share one row of frames if their pipelines
            agree up to the mask; otherwise each gets its own row of frames.
        seed: For clip, crop and masks.

    Returns:
        A figure of page width; masked tokens are darkened.

    Raises:
        DataError: if the video or a config is missing, or a config is not for pretraining.
        DecodeError: if the video cannot be decoded.
    """
    if not Path(video_path).is_file():
        raise DataError(f'{video_path} is not there; give a video to draw masks on.')
    configs = config if isinstance(config, Sequence) and not isinstance(config, str) else [config]
    rows: list[Row] = []
    before = None
    for one in configs:
        found = drawn(video_path, one, seed)
        if before is None or not _look_alike(found.frames, before):
            rows.append(frames_row(video_path, found))
            before = found.frames
        start = f'{found.config}: {found.mask}' if found.config else found.mask
        for number, mask in enumerate(found.masks, start=1):
            which = f', mask {number} of {len(found.masks)}' if len(found.masks) > 1 else ''
            rows.append(Row(start + which, mask_overlay(found.frames, mask)[:: found.tubelet]))
    return rows_of_frames(rows)


def frames_row(video_path: str | Path, found: Drawn) -> Row:
    """The clip itself: the first frame of each time slot."""
    each = f'the first of every {found.tubelet} frames' if found.tubelet > 1 else 'every frame'
    return Row(f'{shown_name(Path(video_path).name)}: {each}', found.frames[:: found.tubelet])


def shown_name(name: str, most: int = 60) -> str:
    """A file name as it fits in a heading."""
    name = shown(name)
    return name if len(name) <= most else f'{name[: most // 2]}…{name[-(most // 2 - 1) :]}'


def _look_alike(frames: np.ndarray, others: np.ndarray) -> bool:
    """Whether two clips are equal up to differences between decoders."""
    return frames.shape == others.shape and np.abs(frames.astype(np.int16) - others).mean() < 2


def drawn(video_path: str | Path, config, seed: int) -> Drawn:
    """The clip and the masks that training would draw from a video with this seed; raises as `draw_masks`."""
    if not isinstance(config, Config):
        if not Path(config).is_file():
            raise DataError(
                f'Config {config} is not there; mmaction_configs/pretrain holds the configs of this project.'
            )
        config = read_pretraining(config)
    try:
        steps = [step for step in config.train_dataloader.dataset.pipeline if step.type != 'sigma.PackPretraining']
        mask = next(step for step in steps if step.type in ('sigma.TubeMask', 'sigma.MotionMask'))
        with torch.device('meta'):
            encoder = MODELS.build(config.model.encoder)
    except (AttributeError, StopIteration):
        raise DataError(
            f'{config.filename} draws no masks; give a pretraining config with sigma.TubeMask or sigma.MotionMask.'
        ) from None
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    with seeded(seed) as rng:
        sample = pipeline({'filename': str(video_path), 'rng': rng})
    frames = np.asarray(sample['imgs'])
    if mask.type == 'sigma.TubeMask':
        name, chosen = 'tubes', np.atleast_2d(sample['visible_tubes'])
        seen = np.zeros((len(chosen), *encoder.grid[1:]), bool)
        np.put_along_axis(seen.reshape(len(chosen), -1), chosen, True, axis=1)
        masks = np.repeat(seen[:, None], encoder.grid[0], axis=1)
    else:
        name, chosen = f'motion ({mask.get("motion", "dis")})', np.atleast_2d(sample['visible_tokens'])
        masks = np.zeros((len(chosen), *encoder.grid), bool)
        np.put_along_axis(masks.reshape(len(chosen), -1), chosen, True, axis=1)
    stem = Path(config.filename).stem if config.filename else ''
    return Drawn(stem, f'{name}, {100 * (1 - masks.mean()):.0f} % masked', frames, masks, encoder.tubelet[0])


def read_pretraining(path: str | Path) -> Config:
    """Read a pretraining config.

    Raises:
        DataError: if the file cannot be read as a config, or has no model.
    """
    try:
        config = read_config(path)
    except Exception as error:  # a config is Python code and may raise anything
        raise DataError(f'Config {path} cannot be read: {error}') from None
    if 'model' not in config:
        raise DataError(f'Config {path} has no model; give a pretraining config.')
    return config


def rows_of_frames(rows: Sequence[Row], legend: Sequence[tuple[Any, str]] = (), note: str = '') -> Figure:
    """A figure of page width with a heading above each row of images.

    Args:
        rows: Images of one size within a row.
        legend: (colour, name) pairs to explain below the rows.
        note: A sentence below them.
    """
    slots = max(len(row.images) for row in rows)
    side = (PAPER_WIDTH_INCHES - 2 * MARGIN) / slots
    heights = [HEADING + side * row.images[0].shape[0] / row.images[0].shape[1] for row in rows]
    lines = textwrap.wrap(note, 135)
    legend_lines = math.ceil(len(legend) / LEGEND_COLUMNS)
    below = 0.13 * (legend_lines + len(lines)) + (0.08 if legend or lines else 0)
    height = sum(heights) + below + 0.02
    with matplotlib.rc_context({'font.size': 6.5, 'text.parse_math': False}):
        figure = Figure((PAPER_WIDTH_INCHES, height))
        top = height
        for row, tall in zip(rows, heights):
            top -= tall
            for slot in range(slots):
                place = (MARGIN + slot * side, top, 0.97 * side, tall - HEADING)
                axis = figure.add_axes(tuple(part / whole for part, whole in zip(place, (7.0, height, 7.0, height))))
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
                if slot < len(row.images):
                    axis.imshow(row.images[slot])
                if slot == 0:
                    axis.set_title(row.heading, loc='left', fontsize=6.5, pad=2)
        patches = [Patch(facecolor=colour) for colour, _ in legend]
        if patches:
            figure.legend(
                patches,
                [name for _, name in legend],
                loc='upper left',
                bbox_to_anchor=(0, (below - 0.02) / height),
                ncols=LEGEND_COLUMNS,
                frameon=False,
                fontsize=6.5,
                handlelength=1.0,
                borderaxespad=0.2,
                labelspacing=0.25,
            )
        if lines:
            figure.text(MARGIN / 7, 0.04 / height, '\n'.join(lines), fontsize=6.5, color='#444444', va='bottom')
    return figure
