"""Write one self-contained HTML page: results, figures, comparisons, and where every number comes from.

    python tools/report.py --records work_dirs/demo --out report.html
    python tools/report.py --records work_dirs/severe --published sigma_severe --summary severe --runs work_dirs/mine \\
        --out report.html

It needs records and their predictions; with `--runs`, also the logs of training runs. It needs no torch, no GPU and no
data. The same records give the same bytes. Bad input ends with one sentence and exit status 2, and writes nothing.
"""

from __future__ import annotations

import argparse
import sys

from eval.report.papers import paper_tables
from eval.report.summaries import SUMMARIES, get_summary
from sigma.commands import Parser, end_with
from sigma.errors import SigmaError
from sigma.files import write_atomic


def main(argv: list[str] | None = None) -> int:
    """Read, draw, write; returns the exit status."""
    args = parse_args(argv)
    from eval.report.page import page
    from eval.report.table import Table

    try:
        summary = get_summary(args.summary) if args.summary else None
        table = Table.read(
            args.records, args.published, allow_partial=args.allow_partial, summary=summary, metric=args.metric
        )
        trainings = None
        if args.runs:
            from sigma.figures.pretraining import draw_pretraining

            trainings = draw_pretraining(args.runs)
        text = page(table, title=args.title, baseline=args.baseline, trainings=trainings)
        path = write_atomic(args.out, text)
    except SigmaError as error:
        return complain(' '.join(str(error).split()))
    except OSError as error:
        return complain(f'{args.out} cannot be written: {error.strerror}')
    print(f'{path}: {len(table.records)} records')
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = Parser(description=__doc__)
    parser.add_argument('--records', nargs='+', required=True, metavar='DIR', help='work directories or record folders')
    parser.add_argument(
        '--published',
        nargs='+',
        default=[],
        metavar='TABLE',
        help=f'numbers from papers to show next to them: {", ".join(paper_tables())}',
    )
    parser.add_argument(
        '--runs', nargs='+', default=[], metavar='DIR', help='work directories of training runs whose curves to show'
    )
    parser.add_argument(
        '--metric', metavar='NAME', help='show this metric, such as mean_class, where records have the labels for it'
    )
    parser.add_argument('--summary', metavar='NAME', help=f'add a mean over columns, one of: {", ".join(SUMMARIES)}')
    parser.add_argument(
        '--baseline', metavar='ROW', help='row to compare the others with (default: random, if present)'
    )
    parser.add_argument('--title', default='Results', help='title of the page (default: %(default)s)')
    parser.add_argument(
        '--allow-partial', action='store_true', help='count records that scored fewer than 99 %% of their videos'
    )
    parser.add_argument('--out', required=True, metavar='FILE.html', help='file to write')
    return parser.parse_args(argv)


def complain(sentence: str) -> int:
    """Print what is wrong; returns the exit status for bad input."""
    print(f'report: {sentence}', file=sys.stderr)
    return 2


if __name__ == '__main__':
    end_with(main)
