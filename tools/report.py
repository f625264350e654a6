"""Write one self-contained HTML page: who wins where and how sure that is, and where every number comes from.

    python tools/report.py --records work_dirs/demo --out report.html
    python tools/report.py --records work_dirs/severe --published sigma_severe --summary severe --runs work_dirs/mine \\
        --out report.html
    python tools/report.py --leaderboard shared/alice bob=other/work --summary severe --out shared/leaderboard.html

Open the file in any browser; it needs no network. It holds a table to sort and filter, the details of each number, and
clips of videos that one encoder gets right and another wrong, if the videos are on this machine.

The tool needs records and their predictions; with `--runs`, also the logs of training runs. It needs no torch and no
GPU. The same records, videos and options give the same bytes.

Exit status: 0 when the page is written, 1 when it is written without files that are damaged or no records, 2 for bad
input, in one sentence, with nothing written.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from eval.report.papers import paper_tables
from eval.report.summaries import SUMMARIES, get_summary
from sigma.commands import Parser, add_version, end_with, told_faults
from sigma.errors import SigmaError
from sigma.files import write_atomic
from sigma.text import shell_join

if TYPE_CHECKING:
    from eval.report.page.parts import Section
    from eval.report.table import Table


def main(argv: list[str] | None = None) -> int:
    """Read, draw, write; returns the exit status."""
    args = parse_args(argv)
    from eval.report.page.footage import Footage

    try:
        footage = None if args.no_videos else Footage(args.videos, megabytes=args.video_megabytes)
        summary = get_summary(args.summary) if args.summary else None
        options = {'allow_partial': args.allow_partial, 'summary': summary, 'metric': args.metric}
        table, before, after = read_board(args, options) if args.leaderboard else (read_table(args, options), [], [])
        from eval.report.page import page  # after bad input was told, since it takes long
        from sigma.figures.pretraining import draw_pretraining, read_curves

        trainings = draw_pretraining(args.runs) if args.runs else None
        text = page(
            table,
            title=args.title or ('Leaderboard' if args.leaderboard else 'Results'),
            baseline=args.baseline,
            trainings=trainings,
            command=shell_join(['python', 'tools/report.py', *(sys.argv[1:] if argv is None else argv)]),
            curves=read_curves,
            footage=footage,
            before=before,
            after=after,
        )
        path = write_atomic(args.out, text)
    except SigmaError as error:
        return complain(' '.join(str(error).split()))
    except OSError as error:
        return complain(f'{args.out} cannot be written: {error.strerror}')
    print(f'{path}: {len(table.records)} records, {len(text.encode()) / 1e6:.1f} MB')
    return told_faults('report', table.faults)


def read_table(args: argparse.Namespace, options: dict[str, Any]) -> Table:
    """The table of some work directories."""
    from eval.report.table import Table

    return Table.read(args.records, args.published, **options)


def read_board(args: argparse.Namespace, options: dict[str, Any]) -> tuple[Table, list[Section], list[Section]]:
    """The table of several people, and the sections of a leaderboard above and below the results."""
    from eval.report.page import leaderboard

    board = leaderboard.read_board(args.leaderboard, args.published, **options)
    return board.table, *leaderboard.sections(board, args.out)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = Parser(prog='report', description=__doc__)
    add_version(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--records', nargs='+', metavar='DIR', help='work directories or record folders')
    source.add_argument(
        '--leaderboard',
        nargs='+',
        metavar='[NAME=]DIR',
        help='record folders of several people: a ranking, and for each number who measured it, its record, log and '
        'command',
    )
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
        '--videos',
        nargs='+',
        default=[],
        metavar='DIR',
        help='folders with the scored videos, to show those on which encoders disagree; the data folders that dataset '
        'cards name are searched too',
    )
    parser.add_argument('--no-videos', action='store_true', help='put no videos into the page')
    parser.add_argument(
        '--video-megabytes',
        type=megabytes,
        default=5.0,
        metavar='MB',
        help='limit on all clips together; each shows at most 3 s (default: %(default)g)',
    )
    parser.add_argument(
        '--metric', metavar='NAME', help='show this metric, such as mean_class, where records have the labels for it'
    )
    parser.add_argument('--summary', metavar='NAME', help=f'add a mean over columns, one of: {", ".join(SUMMARIES)}')
    parser.add_argument(
        '--baseline', metavar='ROW', help='row to compare the others with (default: random, if present)'
    )
    parser.add_argument('--title', help='title of the page (default: Results, or Leaderboard)')
    parser.add_argument(
        '--allow-partial', action='store_true', help='count records that scored fewer than 99 %% of their videos'
    )
    parser.add_argument('--out', required=True, metavar='FILE.html', help='file to write')
    return parser.parse_args(argv)


def megabytes(text: str) -> float:
    """A number of at least 0, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1000:
        raise argparse.ArgumentTypeError(f'{text} was given; a number from 0 to 1000 is needed')
    return number


def complain(sentence: str) -> int:
    """Print what is wrong; returns the exit status for bad input."""
    print(f'report: {sentence}', file=sys.stderr)
    return 2


def guarded() -> NoReturn:
    """`main` as a program, also as `sigma-report`."""
    end_with(main)


if __name__ == '__main__':
    guarded()
