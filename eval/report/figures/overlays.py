"""Overlays: masks of segmentation or propagation over the frames of a video, one row per method; drawn from a file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from eval.report.figures import PALETTE, FigureError, captioned, style, width_inches
from eval.report.figures._layout import SMALL, fitting, shortened, text_width
from sigma.text import shown

MOST_FRAMES = {'page': 6, 'column': 4}
MOST_NAME = {'page': 1.0, 'column': 0.7}  # inches
ALPHA = 0.5
VOID = 255  # label of pixels that count nowhere, in DAVIS and VOC


class Masks(NamedTuple):
    """What a file of masks holds."""

    frames: np.ndarray  # (T, H, W, 3) uint8 RGB
    masks: np.ndarray  # (N, T, H, W) uint8 labels: 0 background, 255 not counted
    names: list[str]  # (N,)


def draw(masks: str | Path, *, width: str = 'page') -> Figure:
    """Where each method sees which object: label maps over evenly spaced frames of one video, one row per method.

    A label has one colour in all rows; matching labels to objects is up to whoever writes the file. Pixels of label 255
    are grey.

    Args:
        masks: An .npz file with `frames` (T, H, W, 3) uint8 RGB, `masks` (N, T, H, W) whole numbers from 0 to 255, and
            `names` (N,), such as the truth and two encoders. `masks` may be (T, H, W) for one.
        width: `page` or `column`.

    Raises:
        FigureError: if the file is missing, damaged or holds something else, or the width is unknown.
    """
    inches = width_inches(width)
    found = read_masks(masks)
    number, length, height, wide = found.masks.shape
    chosen = np.unique(np.linspace(0, length - 1, min(length, MOST_FRAMES[width])).round().astype(int))
    names = [fitting(shown(name), MOST_NAME[width], SMALL) for name in found.names]
    left = max(text_width(name, SMALL) for name in names) + 0.14
    panel = (inches - left) / len(chosen)
    with style():
        figure = Figure(figsize=(inches, number * (panel * height / wide + 0.03) + 0.2))
        panels = figure.subplots(number, len(chosen), squeeze=False)
        top = 1 - 0.19 / figure.get_figheight()
        figure.subplots_adjust(left=left / inches, right=0.998, top=top, bottom=0.01, wspace=0.03, hspace=0.03)
        for line, name, labels in zip(panels, names, found.masks):
            for axes, time in zip(line, chosen):
                _draw_frame(axes, found.frames[time], labels[time])
            line[0].set_ylabel(name, fontsize=SMALL, rotation=0, ha='right', va='center', labelpad=3)
        for axes, time in zip(panels[0], chosen):
            axes.set_title(f'frame {time}', fontsize=SMALL, pad=2)
    labels = [int(label) for label in np.unique(found.masks) if label not in (0, VOID)]
    void = ' Grey pixels count nowhere.' if (found.masks == VOID).any() else ''
    which = f'{len(labels)} object{"" if len(labels) == 1 else "s"}' if labels else 'no object'
    short = [f'{a} is {shortened(shown(b), 160)}' for a, b in zip(names, found.names) if a != shown(b)]
    said = f' Short names: {"; ".join(short)}.' if short else ''
    what = f'Masks over {len(chosen)} of {length} frames of {shortened(shown(Path(masks).stem), 60)}'
    return captioned(figure, f'{what}: {which}, a colour each.{void}{said}')


def read_masks(path: str | Path) -> Masks:
    """Frames and masks in a file, checked.

    Raises:
        FigureError: naming the file and what is wrong.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            frames, masks = arrays['frames'], arrays['masks']
            names = [str(name) for name in np.atleast_1d(arrays['names'])] if 'names' in arrays else ['masks']
    except FileNotFoundError:
        raise FigureError(f'{path} does not exist; give an .npz file of frames and masks') from None
    except KeyError as error:
        raise FigureError(f'{path} has no array {error.args[0].split()[0]}; it needs frames and masks') from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FigureError(f'{path} is no .npz file that can be read: {error}') from None
    masks = masks[None] if masks.ndim == 3 else masks
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise FigureError(f'{path}: frames are {frames.dtype} of shape {frames.shape}, wanted uint8 (T, H, W, 3)')
    if masks.ndim != 4 or masks.dtype.kind not in 'biu':
        raise FigureError(f'{path}: masks are {masks.dtype} of shape {masks.shape}, wanted whole numbers (N, T, H, W)')
    if masks.shape[1:] != frames.shape[:3]:
        raise FigureError(f'{path}: masks of shape {masks.shape[1:]} do not fit frames of shape {frames.shape[:3]}')
    if len(names) != len(masks):
        raise FigureError(f'{path}: {len(names)} names for {len(masks)} masks')
    if masks.min(initial=0) < 0 or masks.max(initial=0) > VOID:
        raise FigureError(f'{path}: masks hold {masks.min()} to {masks.max()}, wanted labels from 0 to {VOID}')
    return Masks(frames, masks.astype(np.uint8), names)


def overlay(frame: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the frame with each label in its colour over it, and a line around it."""
    picture = frame.astype(np.float32)
    for label in np.unique(labels):
        if label == 0:
            continue
        inside = labels == label
        colour = np.array(to_rgb('#808080' if label == VOID else PALETTE[(int(label) - 1) % len(PALETTE)])) * 255
        picture[inside] = (1 - ALPHA) * picture[inside] + ALPHA * colour
        picture[inside & ~_inner(inside)] = colour
    return np.round(picture).astype(np.uint8)


def _inner(inside: np.ndarray) -> np.ndarray:
    """Pixels whose four neighbours are inside, too."""
    padded = np.pad(inside, 1)
    return padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def _draw_frame(axes: Axes, frame: np.ndarray, labels: np.ndarray) -> None:
    axes.imshow(overlay(frame, labels), interpolation='nearest')
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
