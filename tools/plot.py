"""Draws a figure from result records alone, or prints their table.

    python tools/plot.py --records work_dirs/demo --figure bars --out work_dirs/demo/bars
    python tools/plot.py --records work_dirs/severe --published sigma_severe --summary severe --table text
    python tools/plot.py --figure pretraining --runs work_dirs/a work_dirs/b --out curves
    python tools/plot.py --figure masks --video clip.mp4 --configs CONFIG [CONFIG ...] --out masks
    python tools/plot.py --figure clusters --video clip.mp4 --configs CONFIG --checkpoint iter_N.safetensors --out maps

    python tools/plot.py --figure corruption_sheet --video clip.mp4 --out sheet.png

`--published` sets the numbers of papers beside ours (eval/report/papers), `--summary` adds a mean over columns
(eval/report/summaries.py). Needs no torch, no GPU and no data: what a figure shows is in the records and in the
predictions beside them. The same records give the same bytes. Bad input ends in one sentence on stderr and exit
status 2, with nothing written.

The figures of the trainer are drawn from the logs of runs (`pretraining`, without torch too), or from a video: the
masks of configs over it (`masks`), the prototypes of a checkpoint (`clusters`).
"""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from eval.records import Record, RecordError, read_records
from eval.report.figures import FigureError, figure_names, load_figure, save_figure
from eval.report.papers import paper_tables, read_paper
from eval.report.summaries import SUMMARIES, Summary
from eval.report.table import format_table, select, table_csv
from sigma.errors import did_you_mean

FROM_VIDEO = 'corruption_sheet'
# Figures of the trainer -> options that each needs.
TRAINER_FIGURES = {
    'pretraining': ('runs',),
    'masks': ('video', 'configs'),
    'clusters': ('video', 'configs', 'checkpoint'),
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'plot: {message}; see --help\n')


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Options of the command."""
    parser = Parser(prog='plot', description=__doc__.splitlines()[0])
    parser.add_argument('--records', nargs='+', default=[], metavar='DIR', help='work directories, or their records')
    parser.add_argument(
        '--published',
        nargs='+',
        default=[],
        metavar='TABLE',
        help=f'rows of papers beside them: {", ".join(paper_tables())}',
    )
    parser.add_argument('--figure', default='bars', help=f'one of: {", ".join([*figure_names(), *TRAINER_FIGURES])}')
    parser.add_argument('--runs', nargs='+', metavar='DIR', help='pretraining: work directories of trainings')
    parser.add_argument('--video', metavar='FILE', help=f'masks, clusters, {FROM_VIDEO}: what to draw')
    parser.add_argument('--configs', nargs='+', metavar='CONFIG', help='masks, clusters: pretraining configs')
    parser.add_argument('--checkpoint', metavar='FILE', help="clusters: a training state of the config's run")
    parser.add_argument('--out', help='file .png, .svg or .pdf; without an ending: PNG and SVG')
    parser.add_argument(
        '--table', choices=('text', 'markdown', 'csv'), help='print the table; --out is not needed then'
    )
    parser.add_argument('--summary', metavar='NAME', help=f'a mean over columns as well: {", ".join(SUMMARIES)}')
    parser.add_argument('--encoders', nargs='+', metavar='NAME', help='these alone, in this order')
    parser.add_argument('--protocols', nargs='+', metavar='NAME', help='these alone, in this order')
    parser.add_argument('--datasets', nargs='+', metavar='NAME', help='these alone, in this order')
    parser.add_argument('--suite', metavar='NAME', help=f'{FROM_VIDEO} of a published suite alone, such as kinetics-c')
    parser.add_argument(
        '--allow-partial', action='store_true', help='let records that scored under 99 %% of the videos count too'
    )
    args = parser.parse_args(argv)
    if args.figure in TRAINER_FIGURES:
        missing = [f'--{name}' for name in (*TRAINER_FIGURES[args.figure], 'out') if not getattr(args, name)]
        if missing:
            parser.error(f'--figure {args.figure} needs {", ".join(missing)}')
        return args
    if (args.figure == FROM_VIDEO) != bool(args.video):
        parser.error(f'--figure {FROM_VIDEO} and --video go together')
    if args.video and not args.out:
        parser.error('give --out for a figure')
    if not args.records and not args.published and not args.video:
        parser.error('give --records, --published, or both')
    if not args.out and not args.table:
        parser.error('give --out for a figure, --table for a table, or both')
    return args


def main(argv: list[str] | None = None) -> int:
    """Reads, selects, draws, writes; returns the exit status."""
    args = parse(argv)
    if args.figure in TRAINER_FIGURES:
        return draw_of_trainer(args)
    if args.video:
        return draw_video(args)
    try:
        draw, summary = load_figure(args.figure), load_summary(args.summary)
        records = select(read_all(args, summary), args.encoders, args.protocols, args.datasets)
        if args.table:
            print(table_of(records, args.table, args.allow_partial, summary), end='')
        figure = draw(records, allow_partial=args.allow_partial, summary=summary) if args.out else None
        paths = save_figure(figure, args.out) if figure else []
    except (RecordError, FigureError) as error:
        return complain(str(error))
    except OSError as error:
        return complain(f'{error.filename} cannot be read: {error.strerror}')
    for path in paths:
        print(f'{path}: {args.figure} from {len(records)} records')
    return 0


def draw_video(args: argparse.Namespace) -> int:
    """The figure that needs a video and no record; the exit status."""
    try:
        paths = save_figure(load_figure(args.figure)(args.video, args.suite), args.out)
    except ValueError as error:
        return complain(str(error))
    for path in paths:
        print(f'{path}: {args.figure} of {args.video}')
    return 0


def draw_of_trainer(args: argparse.Namespace) -> int:
    """A figure of what the trainer sees; its module, and torch where it needs that, are imported here alone."""
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
                return complain(f'--figure clusters takes one config, {len(args.configs)} were given')
            figure = draw_clusters(args.video, args.configs[0], args.checkpoint)
        paths = save_figure(figure, args.out)
    except (ValueError, RuntimeError) as error:  # DataError, CheckpointError, FigureError; DecodeError
        return complain(' '.join(str(error).split()))
    for path in paths:
        print(f'{path}: {args.figure}')
    return 0


def read_all(args: argparse.Namespace, summary: Summary | None) -> list[Record]:
    """Records of all work directories, then those of papers."""
    ours = [record for root in args.records for record in read_records(root)]
    wanted = summary.columns if summary else ()
    return ours + [record for table in args.published for record in read_paper(table, wanted)]


def load_summary(name: str | None) -> Summary | None:
    """The mean of that name.

    Raises:
        RecordError: if there is none, with the nearest name.
    """
    if name is not None and name not in SUMMARIES:
        raise RecordError(did_you_mean('summary', name, SUMMARIES))
    return SUMMARIES[name] if name else None


def table_of(records: list[Record], style: str, allow_partial: bool, summary: Summary | None) -> str:
    """The table as text, markdown or CSV."""
    if style == 'csv':
        return table_csv(records, allow_partial, summary)
    return format_table(records, style, allow_partial, summary)


def complain(sentence: str) -> int:
    """Prints what is wrong; returns the exit status for bad input."""
    print(f'plot: {sentence}', file=sys.stderr)
    return 2


if __name__ == '__main__':
    sys.exit(main())
