"""Draws a figure from result records alone.

    python tools/plot.py --records work_dirs/demo --figure bars --out work_dirs/demo/bars

Needs no torch, no GPU and no data: what a figure shows is in the records and in the predictions beside them.
The same records give the same bytes. Bad input ends in one sentence on stderr and exit status 2, with nothing
written.
"""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from eval.figures import FigureError, figure_names, load_figure, save_figure
from eval.records import Record, RecordError, read_records
from eval.tables import select


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'plot: {message}; see --help\n')


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Options of the command."""
    parser = Parser(prog='plot', description=__doc__.splitlines()[0])
    parser.add_argument('--records', nargs='+', required=True, metavar='DIR', help='work directories, or their records')
    parser.add_argument('--figure', default='bars', help=f'one of: {", ".join(figure_names())}')
    parser.add_argument('--out', required=True, help='file .png, .svg or .pdf; without an ending: PNG and SVG')
    parser.add_argument('--encoders', nargs='+', metavar='NAME', help='these alone, in this order')
    parser.add_argument('--protocols', nargs='+', metavar='NAME', help='these alone, in this order')
    parser.add_argument('--datasets', nargs='+', metavar='NAME', help='these alone, in this order')
    parser.add_argument(
        '--allow-partial', action='store_true', help='draw records that scored under 99 %% of the videos'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Reads, selects, draws, writes; returns the exit status."""
    args = parse(argv)
    try:
        draw = load_figure(args.figure)
        found: list[Record] = [record for root in args.records for record in read_records(root)]
        records = select(found, args.encoders, args.protocols, args.datasets)
        paths = save_figure(draw(records, allow_partial=args.allow_partial), args.out)
    except (RecordError, FigureError) as error:
        return complain(str(error))
    except OSError as error:
        return complain(f'{error.filename} cannot be read: {error.strerror}')
    for path in paths:
        print(f'{path}: {args.figure} from {len(records)} records')
    return 0


def complain(sentence: str) -> int:
    """Prints what is wrong; returns the exit status for bad input."""
    print(f'plot: {sentence}', file=sys.stderr)
    return 2


if __name__ == '__main__':
    sys.exit(main())
