"""One frame of a video under every corruption and severity; drawn from a video, not from records. No torch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.corruptions import CORRUPTIONS, WORKING_SHORT_SIDE, Corruption, suite_corruptions, to_working_size
from eval.report.figures import FigureError, captioned, style, width_inches
from eval.report.figures._layout import GREY, SMALL, fitting, shortened, text_width
from sigma.errors import DecodeError, did_you_mean

if TYPE_CHECKING:
    from sigma.video import FrameTimes

MOST_FRAMES = 32  # from the start of the video; some corruptions need neighbouring frames


def draw(
    video: str | Path,
    suite: str | None = None,
    short_side: int = WORKING_SHORT_SIDE,
    *,
    width: str = 'page',
    only: Sequence[str] | None = None,
) -> Figure:
    """What each corruption does to a video: one row per corruption, one column per severity, the clean frame first.

    It shows the middle one of the first 32 frames, at the working size. For corruptions of the frame order it plots
    which frame of the source (up) is shown when (right) instead, clean first; a shorter video ends earlier.

    Args:
        video: Any video that PyAV can read.
        suite: A published suite at its own severities; by default all corruptions at the severities of this project.
        short_side: Working size in pixels.
        width: `page` or `column`.
        only: Names of the corruptions to show, in this order; None is all.

    Raises:
        FigureError: if the video is missing or cannot be read, or a corruption or the width is unknown.
        ValueError: if the suite is unknown (with the nearest name).
    """
    inches = width_inches(width)
    shown = suite_corruptions(suite) if suite else [c for c in CORRUPTIONS.values() if c.acts_on != 'clip']
    shown = _chosen(shown, only)
    frames, times = _read(Path(video))
    frames = to_working_size(frames, short_side)
    name, columns = Path(video).name, max(len(_levels(corruption, suite)) for corruption in shown)
    height, wide = frames.shape[1:3]
    labels = {c.name: fitting(c.name.replace('_', ' '), 1.1 if width == 'page' else 0.8, SMALL) for c in shown}
    left = max(text_width(label, SMALL) for label in labels.values()) + 0.1
    side = (inches - left) / (columns + 1)
    with style():
        figure = Figure(figsize=(inches, len(shown) * (side * height / wide + 0.03) + 0.2))
        panels = figure.subplots(len(shown), columns + 1, squeeze=False)
        top = 1 - 0.19 / figure.get_figheight()
        figure.subplots_adjust(left=left / inches, right=0.998, top=top, bottom=0.01, wspace=0.03, hspace=0.03)
        for corruption, line in zip(shown, panels):
            _draw_line(corruption, line, frames, times, name, suite)
            line[0].set_ylabel(labels[corruption.name], fontsize=SMALL, rotation=0, ha='right', va='center')
        for x, axes in enumerate(panels[0]):
            word = 'severity ' if width == 'page' else ''
            axes.set_title('clean' if x == 0 else f'{word}{x}', fontsize=6.5, pad=2)
    middle = len(frames) // 2
    says = f'Frame {middle} of {shortened(name, 60)}, clean and at each severity of each corruption'
    if any(corruption.acts_on == 'order' for corruption in shown):
        says += '. Of corruptions of the order: which frame of the source (up) is shown when (right), in frames'
    return captioned(figure, f'{says}.')


def _chosen(known: Sequence[Corruption], only: Sequence[str] | None) -> Sequence[Corruption]:
    """Those that are named, in the order of the names."""
    by_name = {corruption.name: corruption for corruption in known}
    for name in only or ():
        if name not in by_name:
            raise FigureError(did_you_mean('corruption', name, by_name))
    return [by_name[name] for name in only] if only else known


def _levels(corruption: Corruption, suite: str | None) -> tuple:
    return corruption.suites[suite] if suite else corruption.levels


def _draw_line(
    corruption: Corruption, line: Sequence[Axes], frames: np.ndarray, times: FrameTimes, name: str, suite: str | None
) -> None:
    middle, reason = len(frames) // 2, corruption.unavailable()
    for axes in line:
        axes.set_xticks([])
        axes.set_yticks([])
        for side, spine in axes.spines.items():
            spine.set_visible(corruption.acts_on == 'order' and side in ('left', 'bottom'))
    if corruption.acts_on == 'order':
        _draw_order(line[0], np.arange(len(frames)), len(frames))
        _name_axes(line[0], len(frames))
    else:
        line[0].imshow(frames[middle])
    for severity, axes in enumerate(line[1:], start=1):
        if severity > len(_levels(corruption, suite)):
            continue
        if reason is not None:
            axes.text(0.5, 0.5, 'not here', ha='center', va='center', fontsize=SMALL, transform=axes.transAxes)
        elif corruption.acts_on == 'order':
            order = corruption.order(len(frames), severity, name, suite=suite, fps=times.fps, times=times)
            _draw_order(axes, order, len(frames))
        elif corruption.acts_on == 'video':
            axes.imshow(corruption(frames, severity, name, suite=suite)[middle])
        else:
            one = frames[middle : middle + 1]
            axes.imshow(corruption(one, severity, name, suite=suite, frame_numbers=[middle])[0])


def _draw_order(axes: Axes, order: Sequence[int], length: int) -> None:
    """Which frame of the source is shown when."""
    dots = '.' if len(order) == 1 else ''  # a line through one point would be invisible
    axes.plot(order, color='#0072B2', linewidth=0.7, marker=dots, markersize=2)
    axes.set_xlim(-1, length)
    axes.set_ylim(-1, length)


def _name_axes(axes: Axes, length: int) -> None:
    """What the axes of an order are, inside its clean panel: the numbers of the last frame at their ends."""
    for x, y, text, align in (
        (0.04, 0.97, f'source ({length - 1})', ('left', 'top')),
        (0.99, 0.03, f'shown ({length - 1})', ('right', 'bottom')),
    ):
        room = axes.get_position().width * axes.figure.get_figwidth() - 0.03
        fitted = text if text_width(text, SMALL) < room else fitting(text.split(' ')[0], room, SMALL)
        axes.text(x, y, fitted, ha=align[0], va=align[1], fontsize=SMALL, color=GREY, transform=axes.transAxes)


def _read(video: Path) -> tuple[np.ndarray, FrameTimes]:
    """First frames (n, H, W, 3) uint8 RGB, and when they are shown.

    Raises:
        FigureError: naming the file and the reason.
    """
    from sigma.video import FrameClock, ToRGB, open_video

    if not video.is_file():
        raise FigureError(f'{video} does not exist; give a video with --video')
    to_rgb = ToRGB()
    frames: list[np.ndarray] = []
    try:
        with open_video(video, strict=False) as opened:
            clock = FrameClock(opened.fps)
            for frame in itertools.islice(opened.frames(), MOST_FRAMES):
                frames.append(to_rgb(frame))
                clock.add(frame)
    except DecodeError as error:
        raise FigureError(str(error)) from None
    if not frames:
        raise FigureError(f'{video} has no frames')
    return np.stack(frames), clock.times()
