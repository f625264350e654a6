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
from eval.report.figures import PAPER_WIDTH_INCHES, FigureError, style
from sigma.errors import DecodeError

if TYPE_CHECKING:
    from sigma.video import FrameTimes

MOST_FRAMES = 32  # from the start of the video; some corruptions need neighbouring frames


def draw(video: str | Path, suite: str | None = None, short_side: int = WORKING_SHORT_SIDE) -> Figure:
    """What each corruption does to a video: one row per corruption, one column per severity, the clean frame first.

    It shows the middle one of the first 32 frames, at the working size. For corruptions of the frame order it plots
    where each frame comes from instead: frame of the source (up) against time (right). A shorter video ends earlier.

    Args:
        video: Any video that PyAV can read.
        suite: A published suite at its own severities; by default all corruptions at the severities of this project.
        short_side: Working size in pixels.

    Raises:
        FigureError: if the video is missing or cannot be read.
        ValueError: if the suite is unknown (with the nearest name).
    """
    shown = suite_corruptions(suite) if suite else [c for c in CORRUPTIONS.values() if c.acts_on != 'clip']
    frames, times = _read(Path(video))
    frames = to_working_size(frames, short_side)
    name, columns = Path(video).name, max(len(_levels(corruption, suite)) for corruption in shown)
    height, width = frames.shape[1:3]
    side = (PAPER_WIDTH_INCHES - 1.1) / (columns + 1)
    with style():
        figure = Figure(figsize=(PAPER_WIDTH_INCHES, len(shown) * (side * height / width + 0.03) + 0.3))
        panels = figure.subplots(len(shown), columns + 1, squeeze=False)
        figure.subplots_adjust(left=1.1 / PAPER_WIDTH_INCHES, right=1, top=1 - 0.3 / figure.get_figheight(), bottom=0)
        figure.subplots_adjust(wspace=0.02, hspace=0.02)
        for corruption, line in zip(shown, panels):
            _draw_line(corruption, line, frames, times, name, suite)
        for x, axes in enumerate(panels[0]):
            axes.set_title('clean' if x == 0 else f'severity {x}', fontsize=6.5, pad=2)
    return figure


def _levels(corruption: Corruption, suite: str | None) -> tuple:
    return corruption.suites[suite] if suite else corruption.levels


def _draw_line(
    corruption: Corruption, line: Sequence[Axes], frames: np.ndarray, times: FrameTimes, name: str, suite: str | None
) -> None:
    middle, reason = len(frames) // 2, corruption.unavailable()
    for axes in line:
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
    line[0].set_ylabel(corruption.name.replace('_', ' '), fontsize=6, rotation=0, ha='right', va='center')
    line[0].imshow(frames[middle])
    for severity, axes in enumerate(line[1:], start=1):
        if severity > len(_levels(corruption, suite)):
            continue
        if reason is not None:
            axes.text(0.5, 0.5, 'not here', ha='center', va='center', fontsize=5, transform=axes.transAxes)
        elif corruption.acts_on == 'order':
            order = corruption.order(len(frames), severity, name, suite=suite, fps=times.fps, times=times)
            dots = '.' if len(order) == 1 else ''  # a line through one point would be invisible
            axes.plot(order, color='#0072B2', linewidth=0.6, marker=dots, markersize=2)
            axes.set_xlim(-1, len(frames))
            axes.set_ylim(-1, len(frames))
        elif corruption.acts_on == 'video':
            axes.imshow(corruption(frames, severity, name, suite=suite)[middle])
        else:
            one = frames[middle : middle + 1]
            axes.imshow(corruption(one, severity, name, suite=suite, frame_numbers=[middle])[0])


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
