#!/usr/bin/env python3
"""Draw the pictures of docs/protocols from the rendered dataset: what a protocol asks, in one strip of frames.

    python tools/pictures.py                      # all of them, into docs/protocols/pictures
    python tools/pictures.py repetition robustness --out some/folder

Clips are rendered in memory from seed 0; nothing has to be prepared. A picture has at most 60 KB.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))

from sigma.commands import Parser  # noqa: E402

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sigma.datasets.toy.forms import Label

FOLDER = ROOT / 'docs' / 'protocols' / 'pictures'
WIDTH, DPI, COLOURS = 7.2, 100, 48  # inches, pixels per inch, colours of the palette
LONG = 8  # number of the long clip
BLUE, ORANGE, GREEN, PURPLE, GREY = '#0072b2', '#e69f00', '#009e73', '#cc79a7', '#666666'  # Okabe and Ito


def clip(form: str, number: int = 0, label: Label | None = None) -> np.ndarray:
    """Frames (T, 64, 64, 3) of one test clip of a form of `toy`, and nothing on the disk."""
    from sigma.datasets.toy import ToySpec, clip_frames

    spec = ToySpec(form=form)
    return clip_frames(spec, 'test', _label(form, number, label), number)


def annotation(form: str, number: int = 0, label: Label | None = None) -> dict:
    """`cycles` or `actions` of the same clip."""
    from sigma.datasets.toy import ToySpec
    from sigma.datasets.toy.render import clip_motion

    spec = ToySpec(form=form)
    return clip_motion(spec, 'test', _label(form, number, label), number).annotation or {}


def _label(form: str, number: int, label: Label | None) -> Label:
    from sigma.datasets.toy import FORMS

    if label is not None:
        return label
    of = FORMS[form].label_of
    return of(number) if of is not None else FORMS[form].classes[0]


def row(axes: Axes, frames: Iterable[np.ndarray], name: str = '') -> None:
    """Frames side by side, with a name at the left."""
    frames = list(frames)
    width = 0.96 / len(frames)
    for n, frame in enumerate(frames):
        middle = (n + 0.5) / len(frames)
        axes.imshow(frame, extent=(middle - width / 2, middle + width / 2, 0, 1), aspect='auto')
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    axes.set_ylabel(name, rotation=0, ha='right', va='center', fontsize=8)
    for side in axes.spines.values():
        side.set_visible(False)


def square(number: int, left: float = 0.15) -> float:
    """Height in inches of a row of so many square frames."""
    return 0.96 * (0.99 - left) * WIDTH / number


def panels(*heights: float, left: float = 0.15) -> tuple[Figure, list[Axes]]:
    """A figure with panels below each other, of these heights in inches."""
    from matplotlib.figure import Figure

    gap, total = 0.1, sum(heights) + 0.1 * (len(heights) + 1)
    figure, found, top = Figure(figsize=(WIDTH, total), dpi=DPI), [], total
    for height in heights:
        top -= gap + height
        found.append(figure.add_axes((left, top / total, 0.99 - left, height / total)))
    return figure, found


def timeline(axes: Axes, xlim: tuple[float, float], name: str = '') -> None:
    """An axis of time without a frame."""
    axes.set(xlim=xlim, xticks=[], yticks=[])
    axes.set_ylabel(name, rotation=0, ha='right', va='center', fontsize=8)
    for side in ('top', 'left', 'right'):
        axes.spines[side].set_visible(False)


def bars(axes: Axes, actions: Sequence[tuple[float, float, str]]) -> None:
    """Named intervals, one colour per name; those that overlap lie on lines of their own."""
    colours = dict(zip(dict.fromkeys(name for *_, name in actions), (BLUE, ORANGE, GREEN, PURPLE)))
    last = [-1.0, -1.0]
    for start, end, name in sorted(actions):
        line = 0 if start >= last[0] else 1
        last[line] = end
        axes.barh(line, end - start, left=start, height=0.8, color=colours[name])
        axes.text((start + end) / 2, line, name, ha='center', va='center', fontsize=7, color='white')
    axes.set_ylim(-0.6, 0.6 if last[1] < 0 else 1.6)


# ------------------------------------------------------------------------------------------- one picture per page


def finetune() -> Figure:
    """The same motion in both directions: two classes of `toy`."""
    figure, axes = panels(square(8), square(8))
    for one, name in zip(axes, ('turn1_cw', 'turn1_ccw')):
        row(one, clip('action_recognition', label=name)[::4], name)
    return figure


def linear() -> Figure:
    """The parts of the network: which stay, and which learn."""
    figure, (frames, parts) = panels(square(8), 0.5)
    row(frames, clip('action_recognition', label='turn1_cw')[::4], 'clip')
    timeline(parts, (0, 10), 'network')
    for left, width, name, colour in (
        (0, 5.9, 'encoder: frozen', GREY),
        (6, 1.4, 'mean', GREY),
        (7.5, 1.2, 'norm', BLUE),
        (8.8, 1.2, 'layer', BLUE),
    ):
        parts.barh(0, width, left=left, height=0.7, color=colour)
        parts.text(left + width / 2, 0, name, ha='center', va='center', fontsize=8, color='white')
    parts.set_ylim(-0.6, 0.6)
    return figure


def frozen_linear() -> Figure:
    """A clip, its time steps, and the features that are joined."""
    figure, (frames, steps) = panels(square(16), 0.5)
    row(frames, clip('action_recognition', label='swing_cw')[::2], 'clip')
    timeline(steps, (0, 8), 'features')
    for n in range(8):
        steps.barh(0, 0.9, left=n + 0.05, height=0.6, color=BLUE)
        steps.text(n + 0.5, 0, f'step {n + 1}', ha='center', va='center', fontsize=8, color='white')
    steps.set_ylim(-0.6, 0.6)
    return figure


def frozen_knn() -> Figure:
    """Features of two classes, a query, and its nearest neighbours."""
    import numpy as np

    figure, (axes,) = panels(2.2)
    rng = np.random.default_rng(2)
    points = np.concatenate([rng.normal((-1.2, 0), (0.9, 0.5), (18, 2)), rng.normal((1.2, 0), (0.9, 0.5), (18, 2))])
    query = np.array([-0.3, 0.1])
    distance = np.linalg.norm(points - query, axis=1)
    for place in np.argsort(distance)[:5]:
        axes.plot(*zip(query, points[place]), color=GREY, linewidth=4 * np.exp(-distance[place]), zorder=1)
    for color, label, part in ((BLUE, 'training clips, one class', points[:18]), (ORANGE, 'another', points[18:])):
        axes.scatter(*part.T, color=color, s=28, label=label, zorder=2)
    axes.scatter(*query, marker='x', color='black', s=60, linewidths=2, label='test clip', zorder=3)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(loc='upper right', frameon=False, fontsize=8)
    return figure


def arrow_of_time() -> Figure:
    """A clip forwards and backwards."""
    figure, axes = panels(square(8), square(8))
    frames = clip('rhythms', label='hurry_at_04')[::4]
    row(axes[0], frames, 'forwards')
    row(axes[1], frames[::-1], 'backwards')
    return figure


def multi_label() -> Figure:
    """Two movers, each with one motion; the labels of the clip are both."""
    number, seconds = 32, 64 / 25
    actions = [tuple(action) for action in annotation('two_movers', number)['actions']]
    figure, (frames, below) = panels(square(8), 0.5)
    row(frames, clip('two_movers', number)[4::8], 'clip')
    timeline(below, (0, seconds), 'labels')
    bars(below, [(start, end, _class('two_movers', name)) for start, end, name in actions])
    return figure


def repetition() -> Figure:
    """Cycles of a clip, and the density whose sum is their number."""
    import torch

    from eval.models.repetition import cycle_density

    cycles, frames = annotation('repetition', 3, 4)['cycles'], clip('repetition', 3, 4)
    figure, (above, below) = panels(square(9), 0.6)
    row(above, frames[:: len(frames) // 9][:9], 'clip')
    timeline(below, (0, len(frames)), 'density')
    edges = torch.linspace(0, len(frames), 2 * len(frames) + 1)[None]
    density = cycle_density(torch.tensor(cycles, dtype=torch.float32)[None], edges)[0].numpy()
    below.fill_between((edges[0, 1:] + edges[0, :-1]).numpy() / 2, density, color=BLUE)
    for cycle in cycles:
        below.axvline(cycle, color=GREY, linewidth=1, linestyle=':')
    below.set_ylim(0, 1.15 * density.max())
    return figure


def repetition_cycles() -> Figure:
    """The two windows that the head compares, around one frame of a clip."""
    cycles, frames = annotation('repetition', 3, 4)['cycles'], clip('repetition', 3, 4)
    figure, (above, below) = panels(square(9), 0.5)
    row(above, frames[:: len(frames) // 9][:9], 'clip')
    timeline(below, (0, len(frames)), 'windows')
    now, length = cycles[2], cycles[2] - cycles[1]
    following = cycles[3] - cycles[2]
    for left, width, name, colour in (
        (now - length, length, 'previous cycle', BLUE),
        (now, following, 'next cycle', ORANGE),
    ):
        below.barh(0, width, left=left, height=0.7, color=colour)
        below.text(left + width / 2, 0, name, ha='center', va='center', fontsize=7, color='white')
    below.axvline(now, color='black', linewidth=1.5)
    below.set_ylim(-0.6, 0.6)
    return figure


def localization() -> Figure:
    """Actions of a long clip: what, from when to when."""
    frames, actions = clip('localization', LONG), annotation('localization', LONG)['actions']
    figure, (above, below) = panels(square(10), 0.34)
    row(above, frames[16::32], 'video')
    timeline(below, (0, len(frames) / 25), 'actions')
    bars(below, [(start, end, _class('localization', name)) for start, end, name in actions])
    return figure


def localization_bmn() -> Figure:
    """What BMN learns: for every start and length, the overlap with a true action."""
    import numpy as np

    actions = np.array([action[:2] for action in annotation('localization', LONG)['actions']])
    seconds, steps = len(clip('localization', LONG)) / 25, 128
    start = np.arange(steps)[None, :] * seconds / steps
    end = start + np.arange(1, steps // 4 + 1)[:, None] * seconds / steps
    inside = np.minimum(end[..., None], actions[:, 1]) - np.maximum(start[..., None], actions[:, 0])
    joined = np.maximum(end[..., None], actions[:, 1]) - np.minimum(start[..., None], actions[:, 0])
    overlap = (inside.clip(min=0) / joined).max(axis=-1)
    figure, (above, below) = panels(0.34, 1.3)
    timeline(above, (0, seconds), 'actions')
    bars(above, [(a, b, _class('localization', c)) for a, b, c in annotation('localization', LONG)['actions']])
    below.imshow(overlap, origin='lower', aspect='auto', cmap='viridis', vmin=0, vmax=1, extent=(0, seconds, 0, 3.2))
    below.set_ylabel('length\n(0 to 3.2 s)', rotation=0, ha='right', va='center', fontsize=8)
    below.set(xticks=[], yticks=[])
    return figure


def localization_robustness() -> Figure:
    """An action whose middle is damaged in five ways."""
    from eval.corruptions import get_corruption

    start, end, _ = annotation('localization', LONG)['actions'][0]
    first, last = round(start * 25), round(end * 25)
    frames = clip('localization', LONG)
    names = ('tal_black_frame', 'tal_motion_blur', 'tal_overexposure', 'tal_occlusion_procedural', 'tal_packet_loss')
    figure, axes = panels(*[square(11, 0.22)] * 5, left=0.22)
    for one, name in zip(axes, names):
        shown = get_corruption(name)(frames, 3, 'clip', actions=[(first, last)])
        row(one, shown[first : last : max(1, (last - first) // 11)][:11], name)
    return figure


def robustness() -> Figure:
    """One frame under corruptions of growing severity."""
    import cv2

    from eval.corruptions import get_corruption

    frames = [cv2.resize(frame, (128, 128)) for frame in clip('action_recognition', label='turn1_cw')[:8]]
    names = ('gaussian_noise', 'motion_blur', 'fog')
    figure, axes = panels(*[square(6, 0.19)] * len(names), left=0.19)
    for one, name in zip(axes, names):
        damaged = [get_corruption(name)(_stack(frames), severity, 'clip')[4] for severity in (1, 2, 3, 4, 5)]
        row(one, [frames[4], *damaged], name)
    return figure


def out_of_context() -> Figure:
    """A video, and one of its frames held throughout."""
    figure, axes = panels(square(8), square(8))
    frames = clip('action_recognition', label='turn1_cw')[::4]
    row(axes[0], frames, 'video')
    row(axes[1], [frames[5]] * len(frames), 'one frame')
    return figure


def _stack(frames: Sequence[np.ndarray]) -> np.ndarray:
    import numpy as np

    return np.stack(frames)


def _class(form: str, name: object) -> str:
    from sigma.datasets.toy import FORMS

    return FORMS[form].classes[name] if isinstance(name, int) else str(name)


PICTURES: dict[str, Callable[[], Figure]] = {
    one.__name__: one
    for one in (
        *(finetune, linear, frozen_linear, frozen_knn, arrow_of_time, multi_label, repetition),
        repetition_cycles,
        *(localization, localization_bmn, localization_robustness, robustness, out_of_context),
    )
}


def png(figure: Figure) -> bytes:
    """The picture with a palette, so that it stays small."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    FigureCanvasAgg(figure)
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format='png')
    Image.open(drawn).convert('RGB').quantize(COLOURS, dither=Image.Dither.NONE).save(small, 'PNG', optimize=True)
    return small.getvalue()


def main(argv: list[str] | None = None) -> int:
    """Draw."""
    parser = Parser(prog='pictures', description=__doc__)
    parser.add_argument(
        'names', nargs='*', metavar='NAME', help=f'pictures to draw (default: all): {", ".join(PICTURES)}'
    )
    parser.add_argument(
        '--out', type=Path, default=FOLDER, help='folder to write to (default: docs/protocols/pictures)'
    )
    args = parser.parse_args(argv)
    if unknown := [name for name in args.names if name not in PICTURES]:
        parser.error(f'there is no picture {unknown[0]}; known: {", ".join(PICTURES)}')
    from sigma.files import write_atomic

    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or PICTURES:
        written = png(PICTURES[name]())
        write_atomic(args.out / f'{name}.png', written)
        print(f'{args.out / name}.png: {len(written) / 1000:.0f} KB')
    return 0


if __name__ == '__main__':
    sys.exit(main())
