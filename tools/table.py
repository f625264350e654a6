"""Print the table of result records: for a terminal, a README (Markdown), a paper (LaTeX) or a spreadsheet (CSV).

    python tools/table.py --records work_dirs/demo
    python tools/table.py --records work_dirs/severe --suite severe --summary severe --published sigma_severe
    python tools/table.py --records work_dirs/severe --format latex --standalone --out table.tex && pdflatex table.tex
    python tools/table.py --records A B --encoders random ours --interval pm --baseline random --format markdown

Columns have the groups of the suite: of `--suite`, else of the one that holds most of the columns. `--suite` also keeps
its columns alone, in its order. `--published` shows numbers from papers below ours, with a letter for every note on
them; what is not comparable takes no part in "best". No torch, no GPU and no data are needed.

Exit status: 0; 1 if files were left out because they are damaged (they are named on stderr, and the table is written
without them); 2 for bad input, with one sentence, and nothing is written.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))

from eval.report.papers import paper_tables  # noqa: E402
from sigma.commands import Parser, add_version, end_with, told_faults  # noqa: E402
from sigma.errors import SigmaError  # noqa: E402
from sigma.text import one_line, terminal_width  # noqa: E402

FORMATS = ('text', 'markdown', 'latex', 'csv')


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = Parser(prog='table', description=__doc__)
    add_version(parser)
    parser.add_argument('--records', nargs='+', default=[], metavar='DIR', help='work directories or record folders')
    parser.add_argument(
        '--published',
        nargs='+',
        default=[],
        metavar='TABLE',
        help=f'numbers from papers to show below them: {", ".join(paper_tables())}',
    )
    parser.add_argument('--suite', metavar='NAME', help='only the columns of this suite, in its order and groups')
    parser.add_argument('--summary', metavar='NAME', help='add the mean over the columns of this suite, such as severe')
    parser.add_argument('--metric', metavar='NAME', help='show this metric, such as mean_class, where records allow it')
    for kind in ('encoders', 'protocols', 'datasets'):
        parser.add_argument(f'--{kind}', nargs='+', metavar='NAME', help=f'only these {kind}, in this order')
    parser.add_argument(
        '--allow-partial', action='store_true', help='count records that scored fewer than 99 %% of their videos'
    )
    parser.add_argument(
        '--baseline', metavar='ROW', help='mark rows that are clearly better (▲) or worse (▼) than this one'
    )
    parser.add_argument('--format', choices=FORMATS, default='text', help='how to write it (default: text)')
    parser.add_argument(
        '--interval',
        choices=('brackets', 'pm', 'none'),
        default='brackets',
        help='95 %% intervals as [low, high] (default), as ± their longer side, or not at all',
    )
    parser.add_argument(
        '--best',
        choices=('mean', 'clear'),
        help='what is bold: the best mean, with the second underlined (default in latex), or only what is clearly '
        'better than all others by the paired test (default in markdown)',
    )
    parser.add_argument(
        '--width', type=int, metavar='N', help='text: fold at N characters (default: width of the terminal)'
    )
    parser.add_argument('--split', type=int, metavar='N', help='latex: columns of a block (default: what fits a page)')
    parser.add_argument('--caption', default='', metavar='TEXT', help='latex: a sentence in front of the caption')
    parser.add_argument('--standalone', action='store_true', help='latex: a whole document, for pdflatex')
    parser.add_argument('--out', metavar='FILE', help='write to this file instead of printing')
    args = parser.parse_args(argv)
    if not args.records and not args.published:
        parser.error('give --records, --published, or both')
    for name, format_, least in (('width', 'text', 20), ('split', 'latex', 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            parser.error(f'--{name} {value} is too small; give {least} or more')
        if value is not None and args.format != format_:
            parser.error(f'--{name} is for --format {format_}, and the format is {args.format}')
    if args.format != 'latex' and (args.standalone or args.caption):
        parser.error(f'--standalone and --caption are for --format latex, and the format is {args.format}')
    return args


def main(argv: list[str] | None = None) -> int:
    """Read, write; returns the exit status."""
    args = parse(argv)
    try:
        text, faults = written(args)
        if args.out:
            save(args.out, text)
    except SigmaError as error:
        return complain(str(error))
    except OSError as error:
        return complain(f'{error.filename} cannot be read: {error.strerror}')
    if not args.out:
        show(text)
    return told_faults('table', faults)


def written(args: argparse.Namespace) -> tuple[str, list[str]]:
    """The table in its format, and sentences on files that were left out."""
    from eval.report.formats import FORMATS as writers
    from eval.report.formats import Look
    from eval.report.summaries import get_summary
    from eval.report.table import Table

    table = Table.read(
        args.records,
        args.published,
        encoders=args.encoders,
        protocols=args.protocols,
        datasets=args.datasets,
        allow_partial=args.allow_partial,
        summary=get_summary(args.summary) if args.summary else None,
        metric=args.metric,
        suite=args.suite,
    )
    width = args.width or (None if args.out else terminal_width())
    look = Look(args.interval, args.best, args.baseline, width, args.split, args.standalone, args.caption)
    return writers[args.format](table, look), table.faults


def show(text: str) -> None:
    """Print the table; a `?` stands for what the terminal cannot show."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='replace')
    print(text, end='')


def save(out: str, text: str) -> None:
    """Write the file, whole or not at all.

    Raises:
        SigmaError: if it cannot be written.
    """
    from sigma.files import write_atomic

    try:
        write_atomic(out, text)
    except OSError as error:
        raise SigmaError(f'{out} cannot be written: {error.strerror}') from None
    print(f'{out} written')


def complain(sentence: str) -> int:
    """Print what is wrong; returns the exit status for bad input."""
    print(f'table: {one_line(sentence)}', file=sys.stderr)
    return 2


def guarded() -> NoReturn:
    """`main` as a program, also as `sigma-table`."""
    end_with(main)


if __name__ == '__main__':
    guarded()
