"""Draw a figure from result records, or print their table.

    python tools/plot.py --list
    python tools/plot.py --records work_dirs/demo --figure bars --out work_dirs/demo/bars
    python tools/plot.py --records work_dirs/demo --figure heatmap --width column --out heatmap.pdf
    python tools/plot.py --records work_dirs/severe --published sigma_severe --summary severe --table text
    python tools/plot.py --figure pretraining --runs work_dirs/a work_dirs/b --out curves
    python tools/plot.py --figure masks --video clip.mp4 --configs CONFIG [CONFIG ...] --out masks
    python tools/plot.py --figure clusters --video clip.mp4 --configs CONFIG --checkpoint iter_N.safetensors --out maps
    python tools/plot.py --figure corruption_sheet --video clip.mp4 --out sheet.png
    python tools/plot.py --figure overlays --masks masks.npz --out overlays

`--published` shows numbers from papers next to ours (eval/report/papers), `--summary` adds a mean over columns
(eval/report/summaries.py), `--metric mean_class` shows another metric of the same predictions. Figures of results need
records and their predictions, but no torch, no GPU and no data. `--width` fits a figure to one column of a paper (3.4
inches) or to the page (7 inches). The caption is written beside the figure (NAME.caption.txt) and into it, and printed.
The same records give the same bytes. Bad input ends with one sentence and exit status 2, and writes nothing. Files that
are damaged or no records are left out and named; the figure or table is made, and the exit status is 1.

Figures of the trainer come from the logs of runs (`pretraining`, also without torch) or from a video: `masks` draws the
masks of configs over it, `clusters` the prototypes of a checkpoint (for `encoder.safetensors`: clusters of its tokens).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from eval.report.figures import (
    PAPER_HEIGHT_INCHES,
    WIDTHS,
    all_figures,
    caption_of,
    draw_figure,
    load_figure,
    save_figure,
)
from eval.report.papers import paper_tables
from eval.report.summaries import SUMMARIES, get_summary
from sigma.commands import Parser, add_version, end_with, told_faults
from sigma.errors import SigmaError
from sigma.text import align

FROM_VIDEO = 'corruption_sheet'
FROM_MASKS = 'overlays'
# Figure of the trainer -> options that it needs.
TRAINER_FIGURES = {
    'pretraining': ('runs',),
    'masks': ('video', 'configs'),
    'clusters': ('video', 'configs', 'checkpoint'),
}


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = Parser(prog='plot', description=__doc__)
    add_version(parser)
    parser.add_argument('--list', action='store_true', help='print every figure with a sentence, and exit')
    parser.add_argument('--records', nargs='+', default=[], metavar='DIR', help='work directories or record folders')
    parser.add_argument(
        '--published',
        nargs='+',
        default=[],
        metavar='TABLE',
        help=f'numbers from papers to show next to them: {", ".join(paper_tables())}',
    )
    parser.add_argument(
        '--figure',
        default='bars',
        help=f'one of: {", ".join(all_figures())}; or the path of a figure of your own (.py) (default: bars)',
    )
    parser.add_argument('--runs', nargs='+', metavar='DIR', help='for pretraining: work directories of trainings')
    parser.add_argument('--video', metavar='FILE', help=f'for masks, clusters and {FROM_VIDEO}: video to draw')
    parser.add_argument('--configs', nargs='+', metavar='CONFIG', help='for masks and clusters: pretraining configs')
    parser.add_argument(
        '--more-videos', nargs='+', default=[], metavar='FILE', help='for clusters: more clips, coloured alike'
    )
    parser.add_argument(
        '--checkpoint', metavar='FILE', help='for clusters: iter_N.safetensors of that config, or encoder.safetensors'
    )
    parser.add_argument('--out', help='file to write, .png, .svg or .pdf; without an extension, PNG and SVG')
    parser.add_argument(
        '--width', choices=list(WIDTHS), default='page', help='width of the figure: a page of a paper, or a column'
    )
    parser.add_argument(
        '--every-column', action='store_true', help='draw columns that only published rows have, too (default: not)'
    )
    parser.add_argument(
        '--table',
        choices=('text', 'markdown', 'latex', 'csv'),
        help='print the table (then --out is optional); tools/table.py has more options for it',
    )
    parser.add_argument(
        '--metric', metavar='NAME', help='show this metric, such as mean_class, where records have the labels for it'
    )
    parser.add_argument('--summary', metavar='NAME', help=f'add a mean over columns, one of: {", ".join(SUMMARIES)}')
    for kind in ('encoders', 'protocols', 'datasets'):
        parser.add_argument(f'--{kind}', nargs='+', metavar='NAME', help=f'only these {kind}, in this order')
    parser.add_argument('--corruptions', nargs='+', metavar='NAME', help=f'for {FROM_VIDEO}: only these, in this order')
    parser.add_argument(
        '--masks', metavar='FILE', help=f'for {FROM_MASKS}: .npz with frames (T, H, W, 3), masks (N, T, H, W) and names'
    )
    parser.add_argument(
        '--suite', metavar='NAME', help=f'for {FROM_VIDEO}: only this published suite, such as kinetics-c'
    )
    parser.add_argument(
        '--allow-partial', action='store_true', help='count records that scored fewer than 99 %% of their videos'
    )
    args = parser.parse_args(argv)
    if args.list:
        return args
    if args.figure in TRAINER_FIGURES:
        missing = [f'--{name}' for name in (*TRAINER_FIGURES[args.figure], 'out') if not getattr(args, name)]
        if missing:
            parser.error(f'--figure {args.figure} needs {", ".join(missing)}')
        return args
    if (args.figure == FROM_VIDEO) != bool(args.video):
        parser.error(f'--figure {FROM_VIDEO} and --video go together')
    if (args.figure == FROM_MASKS) != bool(args.masks):
        parser.error(f'--figure {FROM_MASKS} and --masks go together')
    if (args.video or args.masks) and not args.out:
        parser.error('give --out for a figure')
    if not args.records and not args.published and not args.video and not args.masks:
        parser.error('give --records, --published, or both')
    if not args.out and not args.table:
        parser.error('give --out for a figure, --table for a table, or both')
    return args


def main(argv: list[str] | None = None) -> int:
    """Read, draw, write; returns the exit status."""
    args = parse(argv)
    if args.list:
        print(align(list(all_figures().items())))
        return 0
    if args.figure in TRAINER_FIGURES:
        return draw_of_trainer(args)
    if args.video or args.masks:
        return draw_file(args)
    from eval.report.formats import FORMATS
    from eval.report.table import Table

    try:
        load_figure(args.figure)  # an unknown figure is refused before the records are read
        table = Table.read(
            args.records,
            args.published,
            encoders=args.encoders,
            protocols=args.protocols,
            datasets=args.datasets,
            allow_partial=args.allow_partial,
            summary=get_summary(args.summary) if args.summary else None,
            metric=args.metric,
        )
        if args.table:
            print(FORMATS[args.table](table), end='')
        if args.out:
            figure = draw_figure(args.figure, table, args.width, every_column=args.every_column)
            paths = save_figure(figure, args.out)
    except SigmaError as error:
        return complain(str(error))
    except OSError as error:
        return complain(f'{error.filename} cannot be read: {error.strerror}')
    if args.out:
        tell(paths, f'{args.figure} from {len(table.records)} records', caption_of(figure))
        if (height := figure.get_figheight()) > PAPER_HEIGHT_INCHES:
            print(
                f'plot: the figure is {height:.1f} inches high, more than a page of a paper ({PAPER_HEIGHT_INCHES}); '
                'choose rows or columns with --encoders, --protocols or --datasets',
                file=sys.stderr,
            )
    return told_faults('plot', table.faults)


def tell(paths: list[Path], what: str, caption: str) -> None:
    """Print what was written, and the caption."""
    for path in paths:
        print(f'{path}: {"its caption" if path.suffix == ".txt" else what}')
    if caption:
        print(caption)


def draw_file(args: argparse.Namespace) -> int:
    """Draw a figure that needs a file and no records; returns the exit status."""
    try:
        draw = load_figure(args.figure)
        if args.masks:
            figure = draw(args.masks, width=args.width)
        else:
            figure = draw(args.video, args.suite, width=args.width, only=args.corruptions)
        paths = save_figure(figure, args.out)
    except ValueError as error:
        return complain(str(error))
    tell(paths, f'{args.figure} of {args.masks or args.video}', caption_of(figure))
    return 0


def draw_of_trainer(args: argparse.Namespace) -> int:
    """Draw a figure of the trainer. Its module, and torch if the figure needs it, are imported only here."""
    try:
        if args.figure == 'pretraining':
            from sigma.figures.pretraining import draw_pretraining

            figure = draw_pretraining(args.runs)
        elif args.figure == 'masks':
            from sigma.figures.masks import draw_masks

            figure = draw_masks(args.video, args.configs)
        else:
            from sigma.figures.clusters import draw_clusters

            if len(args.configs) > 1:
                return complain(f'--figure clusters takes one config, but {len(args.configs)} were given')
            figure = draw_clusters([args.video, *args.more_videos], args.configs[0], args.checkpoint)
        paths = save_figure(figure, args.out)
    except (ValueError, RuntimeError) as error:  # DataError, CheckpointError, FigureError; DecodeError
        return complain(' '.join(str(error).split()))
    for path in paths:
        print(f'{path}: {args.figure}')
    return 0


def complain(sentence: str) -> int:
    """Print what is wrong; returns the exit status for bad input."""
    print(f'plot: {sentence}', file=sys.stderr)
    return 2


def guarded() -> NoReturn:
    """`main` as a program, also as `sigma-plot`."""
    end_with(main)


if __name__ == '__main__':
    guarded()
