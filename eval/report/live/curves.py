"""Curves and alarms from the logs of a training that still grow: only what is new is read. Standard library alone."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

from eval.report.page.parts import Picture

MOST_POINTS = 400  # of a curve; above that, every other point is dropped
WIDTH, HEIGHT = 260, 90
# Clocks and counters, not worth a curve.
NOT_SHOWN = {'base_lr', 'data_time', 'time', 'epoch', 'iter', 'step', 'memory', 'eta'}
FIRST = ('loss', 'loss_pred', 'loss_target', 'acc/top1', 'knn/top1')
_ALARM = re.compile(r' - (WARNING|ERROR|CRITICAL) - ')


class GrowingFile:
    """Lines of a text file, each read once; a line counts when it has its newline.

    Args:
        path: The file; it may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.offset = path, 0

    def new_lines(self) -> list[str]:
        """Lines that were written since the last call; none if the file cannot be read."""
        try:
            with open(self.path, 'rb') as file:
                file.seek(self.offset)
                data = file.read()
        except OSError:
            return []
        whole, newline, _ = data.rpartition(b'\n')
        self.offset += len(whole) + len(newline)
        return whole.decode('utf-8', errors='replace').splitlines() if newline else []


class Curves:
    """Quantities of a run over its steps, from all its `vis_data/scalars.json`.

    Args:
        folder: Work directory of a training, or folder of a cell.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[Path, GrowingFile] = {}
        self.points: dict[str, list[tuple[int, float]]] = {}
        self.every: dict[str, int] = {}  # quantity -> of how many points one is kept
        self.seen: dict[str, int] = {}
        self.step = 0
        self.latest: dict[str, float] = {}

    def read(self) -> bool:
        """Read what is new; returns whether there was anything."""
        paths = sorted([*self.folder.glob('vis_data/scalars.json'), *self.folder.glob('*/vis_data/scalars.json')])
        found = False
        for path in paths:
            for line in self.files.setdefault(path, GrowingFile(path)).new_lines():
                found |= self._take(line)
        return found

    def _take(self, line: str) -> bool:
        try:
            entry = json.loads(line)
            step = int(entry.get('iter', entry.get('step', self.step)))
        except (ValueError, TypeError, AttributeError):
            return False
        self.step = step
        for name, value in entry.items():
            if name in NOT_SHOWN or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if math.isfinite(value):
                self.latest[name] = float(value)
                self._keep(name, step, float(value))
        return True

    def _keep(self, name: str, step: int, value: float) -> None:
        points = self.points.setdefault(name, [])
        while points and points[-1][0] >= step:  # steps that a resumed run takes again
            points.pop()
        number = self.seen[name] = self.seen.get(name, 0) + 1
        if number % self.every.setdefault(name, 1) and points:
            return
        points.append((step, value))
        if len(points) > MOST_POINTS:
            self.points[name] = points[::2]
            self.every[name] *= 2

    def pictures(self, names: list[str] | None = None) -> list[Picture]:
        """A small curve of each quantity with two points or more, the losses first."""
        known = [name for name in FIRST if name in self.points]
        known += sorted(name for name in self.points if name not in FIRST)
        shown = [name for name in known if (names is None or name in names) and len(self.points[name]) > 1]
        return [draw(name, self.points[name], self.latest.get(name)) for name in shown]


class Alarms:
    """Warnings and errors in the logs of a training, the latest last.

    Args:
        folder: Work directory of the training.
    """

    MOST = 20

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[Path, GrowingFile] = {}
        self.found: list[str] = []

    def read(self) -> None:
        """Read what is new."""
        for path in sorted(self.folder.glob('*/*.log')):
            for line in self.files.setdefault(path, GrowingFile(path)).new_lines():
                if _ALARM.search(line):
                    when, _, text = _ALARM.sub('\0', line, count=1).partition('\0')
                    self.found.append(f'{when.partition(" - ")[0]}: {text.strip()}')
        self.found = self.found[-self.MOST :]


def draw(name: str, points: list[tuple[int, float]], last: float | None) -> Picture:
    """A curve as a small SVG, with its ends and its latest value as text."""
    steps, values = zip(*points)
    low, high = min(values), max(values)
    across = (WIDTH - 20) / max(steps[-1] - steps[0], 1)
    up = (HEIGHT - 40) / (high - low) if high > low else 0.0
    line = ' '.join(
        f'{10 + (step - steps[0]) * across:.1f},{HEIGHT - 16 - (value - low) * up:.1f}' for step, value in points
    )
    told = '' if last is None else f'{last:.4g}'
    words = [
        (10, 11, 'start', f'{_plain(name)}', 'bold'),
        (WIDTH - 10, 11, 'end', told, 'bold'),
        (10, HEIGHT - 3, 'start', f'step {steps[0]}', 'normal'),
        (WIDTH - 10, HEIGHT - 3, 'end', str(steps[-1]), 'normal'),
    ]
    texts = ''.join(
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}">{text}</text>'
        for x, y, anchor, text, weight in words
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="10" fill="#555"><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'{texts}<polyline points="{line}" fill="none" stroke="#0072B2" stroke-width="1.5"/></svg>'
    )
    return Picture(svg.encode(), f'{name} over {steps[0]} to {steps[-1]} steps, {low:.4g} to {high:.4g}, now {told}')


def _plain(text: str) -> str:
    return text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')
