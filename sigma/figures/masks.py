"""Masks drawn over the frames of their clip."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import Compose

from sigma.data.cards import read_config
from sigma.data.clips import seeded
from sigma.data.masking import mask_overlay
from sigma.errors import DataError
from sigma.registry import MODELS, TRANSFORMS

PAPER_WIDTH_INCHES = 7.0


def draw_masks(video_path: str | Path, config: str | Path | Config | Sequence, seed: int = 0) -> Figure:
    """Show which tokens of a video stay visible: a row of frames, one per time slot, then a row per mask.

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
    rows: list[tuple[str, np.ndarray]] = []
    shown = None
    for one in configs:
        name, frames, masks, tubelet = drawn(video_path, one, seed)
        if shown is None or not _look_alike(frames, shown):
            rows.append(('frames', frames[::tubelet]))
            shown = frames
        rows += [
            (name if len(masks) == 1 else f'{name},\nmask {number + 1}', mask_overlay(frames, mask)[::tubelet])
            for number, mask in enumerate(masks)
        ]
    return rows_of_frames(rows)


def _look_alike(frames: np.ndarray, others: np.ndarray) -> bool:
    """Whether two clips are equal up to differences between decoders."""
    return frames.shape == others.shape and np.abs(frames.astype(np.int16) - others).mean() < 2


def drawn(video_path: str | Path, config, seed: int) -> tuple[str, np.ndarray, np.ndarray, int]:
    """Name of the mask, frames (T, H, W, 3) uint8, masks (R, T', H', W') bool, and frames per tubelet."""
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
        name, chosen = f'motion\n({mask.get("motion", "dis")})', np.atleast_2d(sample['visible_tokens'])
        masks = np.zeros((len(chosen), *encoder.grid), bool)
        np.put_along_axis(masks.reshape(len(chosen), -1), chosen, True, axis=1)
    return name, frames, masks, encoder.tubelet[0]


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


def rows_of_frames(rows: list[tuple[str, np.ndarray]]) -> Figure:
    """A figure of page width; each row has a name and one image (H, W, 3) uint8 per time slot."""
    slots = max(len(images) for _, images in rows)
    height, width = rows[0][1].shape[1:3]
    with matplotlib.rc_context({'font.size': 7}):
        figure = Figure((PAPER_WIDTH_INCHES, PAPER_WIDTH_INCHES / slots * height / width * len(rows)))
        axes = figure.subplots(len(rows), slots, squeeze=False, gridspec_kw={'wspace': 0.03, 'hspace': 0.03})
        figure.subplots_adjust(left=0.07, right=0.995, bottom=0.01, top=0.99)
        for (name, images), line in zip(rows, axes):
            for image, axis in zip(images, line):
                axis.imshow(image)
            for axis in line:
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
            line[0].set_ylabel(name)
    return figure
