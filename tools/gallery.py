"""Draw docs/gallery.md: every figure of results at both widths, for eight and for twenty encoders.

    python tools/gallery.py
    python tools/gallery.py --figures bars radar     only these pictures, and the page

The records are invented (tests/data/gallery/build_gallery.py), so the pictures show what figures look like and say
nothing about encoders. Needs a checkout; takes a few minutes on one core.
"""

from __future__ import annotations

import io
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eval.report.figures import WIDTHS, caption_of, draw_figure, figure_names, load_figure, style
from eval.report.summaries import get_summary
from eval.report.table import Table, select
from sigma.commands import Parser
from sigma.configs import walk_sentences
from sigma.errors import did_you_mean
from sigma.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURES = ROOT / 'docs' / 'gallery.md', ROOT / 'docs' / 'gallery'
BUILDER = ROOT / 'tests' / 'data' / 'gallery'
FIGURES = ROOT / 'eval' / 'report' / 'figures'
COUNTS = (8, 20)
DPI = 150
MOST_COLOURS = 128  # of a picture of a plot; photographs have 256
# Drawn from a file; all others from a table.
FROM_FILE = {
    'corruption_sheet': '--video clip.mp4',
    'overlays': '--masks masks.npz',
}
# Drawn from all columns of the records; the others from the eight of SEVERE and their mean.
WHOLE = ('frozen_vs_finetuned', 'map_over_iou', 'robustness_heatmap', 'severity_curves', 'shots_ladder')
SHEET = ('gaussian_noise', 'motion_blur', 'fog', 'jpeg_compression', 'h264_crf', 'contrast', 'jumble', 'freeze')
INTRO = """\
# Gallery of figures

Every figure of results, at the width of a page (7 inches) and of a column (3.4 inches), for eight and twenty encoders.
**All numbers are invented**; they show what figures look like. `python tools/gallery.py` draws this page.

An encoder has one colour and marker in all figures of a report. Random weights are grey, published numbers pale and
hatched. The colours stay apart for people with any colour vision. Captions are written beside each figure.
"""


def tables() -> dict[int, Table]:
    """The table of the first eight and of all twenty encoders, with the mean over SEVERE's columns."""
    sys.path.insert(0, str(BUILDER))
    from build_gallery import encoders, unpack

    from eval.records import read_records

    with tempfile.TemporaryDirectory() as folder:
        records = read_records(unpack(Path(folder)))
        names = list(encoders())
        return {n: Table(select(records, names[:n]), summary=get_summary('severe')) for n in COUNTS}


def part_for(name: str, table: Table) -> Table:
    """The part of the table that a figure is drawn from here."""
    if name in WHOLE:
        return table
    inside = set(get_summary('severe').columns)
    return table.only(lambda column: column.key in inside)


def toy_frames() -> tuple[np.ndarray, np.ndarray]:
    """A rendered clip with two objects: frames (T, H, W, 3) uint8, and their exact label maps (T, H, W) uint8."""
    from sigma.datasets.toy.render import ToySpec, _generators, clip_motion, scene_frames
    from sigma.datasets.toy.scenes import Pair

    spec, where = ToySpec(form='two_movers', size=112), ('test', ('circle_ccw',), 0)
    scene = spec.the_form.draw(_generators(spec, *where)[0], spec, where[0])
    assert isinstance(scene, Pair)
    motion = clip_motion(spec, *where)
    labels = np.zeros((len(motion.places), spec.size, spec.size), np.uint8)
    for number in range(len(scene.movers)):
        # This mover in white and the others in black, over black: what is bright is the part of it that is seen.
        movers = [mover.copy() for mover in scene.movers]
        for i, mover in enumerate(movers):
            mover[..., :3] = 255.0 * mover[..., 3:] if i == number else 0.0
        bare = replace(scene, background=np.zeros_like(scene.background), movers=tuple(movers))
        labels[scene_frames(bare, motion)[..., 0] > 127] = number + 1
    return scene_frames(scene, motion), labels


def write_masks(path: Path) -> Path:
    """The clip with its true masks, and with two that are wrong on purpose: late by four frames, and in blocks."""
    frames, truth = toy_frames()
    late = truth[np.maximum(np.arange(len(truth)) - 4, 0)]
    blocks = truth[:, 3::7, 3::7].repeat(7, axis=1).repeat(7, axis=2)
    np.savez_compressed(path, frames=frames, masks=np.stack([truth, late, blocks]), names=['truth', 'late', 'blocks'])
    return path


def write_clip(path: Path) -> Path:
    """The clip as a video."""
    from sigma.datasets.toy.render import encode

    path.write_bytes(encode(toy_frames()[0], fps=25, stride_frames=1))
    return path


def picture_names(name: str) -> list[str]:
    """Files of a figure's pictures in docs/gallery."""
    if name in FROM_FILE:
        return [f'{name}_{width}.png' for width in WIDTHS]
    return [f'{name}_{count}_{width}.png' for count in COUNTS for width in WIDTHS]


def pictures(name: str, of: dict[int, Table], folder: Path) -> Iterator[tuple[str, bytes, str]]:
    """(file name, PNG, caption) of each picture of a figure."""
    for file in picture_names(name):
        *_, count, width = file.removesuffix('.png').rsplit('_', 2)
        if name == 'corruption_sheet':
            figure = load_figure(name)(write_clip(folder / 'clip.mp4'), short_side=112, width=width, only=SHEET)
        elif name == 'overlays':
            figure = load_figure(name)(write_masks(folder / 'two_objects.npz'), width=width)
        else:
            figure = draw_figure(name, part_for(name, of[int(count)]), width)
        yield file, small_png(figure, 256 if name in FROM_FILE else MOST_COLOURS), caption_of(figure)


def small_png(figure: Figure, most_colours: int) -> bytes:
    """A figure as a small PNG with few colours; the same figure gives the same bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format='png', dpi=DPI, metadata={'Software': None})
    image = Image.open(buffer).convert('RGB')
    small = image.quantize(most_colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    out = io.BytesIO()
    small.save(out, 'PNG', optimize=True)
    return out.getvalue()


def page(captions: dict[str, str]) -> str:
    """The page; captions by figure."""
    lines = [INTRO]
    for name, sentence in sentences().items():
        command = FROM_FILE.get(name, '--records work_dirs/severe')
        lines += [f'## {name}', '', wrapped(sentence), '']
        lines += ['```bash', f'python tools/plot.py --figure {name} {command} --width page --out {name}', '```', '']
        for file in picture_names(name):
            lines += [f'![{described(file, name)}](gallery/{file})', '']
        if name in captions:
            lines += ['Its caption:', '', '```text', wrapped(captions[name]), '```', '']
    return '\n'.join(lines)


def described(file: str, name: str) -> str:
    """`bars, 8 encoders, column`: the text of a picture for those who do not see it."""
    words = file.removesuffix('.png').removeprefix(f'{name}_').split('_')
    return f'{name}, {words[0]} encoders, {words[1]}' if len(words) == 2 else f'{name}, {words[0]}'


def sentences() -> dict[str, str]:
    """Name and sentence of every figure of results."""
    return {name: text for name, text in walk_sentences(FIGURES) if name in figure_names()}


def wrapped(text: str) -> str:
    """A paragraph in lines of the page's width."""
    return textwrap.fill(text, 120, break_on_hyphens=False)


def main(argv: list[str] | None = None) -> int:
    """Draw the pictures and write the page; return the exit status."""
    parser = Parser(prog='gallery', description=__doc__)
    parser.add_argument('--figures', nargs='+', metavar='NAME', help='draw only these again (default: all)')
    args = parser.parse_args(argv)
    for name in args.figures or ():
        if name not in sentences():
            parser.error(did_you_mean('figure', name, sentences()))
    of = tables()
    captions: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in sentences():
            if args.figures and name not in args.figures:
                continue
            for file, data, caption in pictures(name, of, Path(folder)):
                write_atomic(PICTURES / file, data)
                captions.setdefault(name, caption)
            print(f'{name}: {len(picture_names(name))} pictures', flush=True)
    old = PAGE.read_text(encoding='utf-8') if PAGE.is_file() else ''
    captions = {name: captions.get(name) or _old_caption(old, name) for name in sentences()}
    write_atomic(PAGE, page({name: text for name, text in captions.items() if text}).encode())
    weight = sum(path.stat().st_size for path in PICTURES.glob('*.png'))
    print(f'{PAGE.relative_to(ROOT)}: pictures of {weight / 1e6:.2f} MB')
    return 0


def _old_caption(text: str, name: str) -> str:
    """The caption that the page already has for a figure."""
    section = text.partition(f'## {name}\n')[2].partition('\n## ')[0]
    return ' '.join(section.partition('```text\n')[2].partition('\n```')[0].split())


if __name__ == '__main__':
    sys.exit(main())
