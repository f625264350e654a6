"""Merge, verify, export and describe result records. Needs no torch, no GPU and no data.

    python tools/records.py merge machine_a/work machine_b/work --out work_dirs/all
    python tools/records.py verify work_dirs/all
    python tools/records.py export work_dirs/all --to mteb --out results
    python tools/records.py export work_dirs/all --to parquet --out results.parquet
    python tools/records.py card work_dirs/all --encoder ours --weights encoder.safetensors --out README.md

Exit status: 0 if all went well; 1 if `verify` found faults, or damaged files were left out and named; 2 for bad input,
and then nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sigma.commands import Parser, add_version, end_with, told_faults
from sigma.errors import SigmaError

if TYPE_CHECKING:
    from eval.report.table import Table


def main(argv: list[str] | None = None) -> int:
    """Run one sub-command; returns the exit status."""
    args = parse(argv)
    try:
        return args.run(args)
    except SigmaError as error:
        print(f'records: {" ".join(str(error).split())}', file=sys.stderr)
    except OSError as error:
        print(f'records: {error.filename}: {error.strerror}; run the same command to go on', file=sys.stderr)
    return 2


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = Parser(prog='records', description=__doc__)
    add_version(parser)
    commands = parser.add_subparsers(dest='command', required=True, metavar='merge|verify|export|card')

    def command(name: str, run: Callable[[argparse.Namespace], int], sentence: str) -> Parser:
        added = commands.add_parser(name, help=sentence, description=sentence)
        added.add_argument('records', nargs='+', metavar='DIR', help='work directories or record folders')
        added.set_defaults(run=run)
        return added

    add = command('merge', run_merge, 'copy the records of several folders into one').add_argument
    add('--out', required=True, metavar='DIR', help='work directory to write to; a merge that was killed goes on')

    command('verify', run_verify, 'check hashes, predictions, scores, lists and configs; name every fault')

    export = command('export', run_export, 'write results in the format of another tool')
    add = export.add_argument
    add('--to', required=True, metavar='FORMAT', help='parquet, mteb or model-index')
    add('--out', required=True, type=Path, metavar='PATH', help='file for parquet, folder for the others')
    add_table_options(export)

    card = command('card', run_card, 'write the model card (README.md) of an encoder')
    add = card.add_argument
    add('--out', required=True, metavar='README.md', help='file to write')
    add('--encoder', metavar='ROW', help='row of the table (not needed if there is one encoder)')
    add('--weights', metavar='FILE', help='encoder.safetensors, whose own card says architecture, clips and training')
    add('--licence', metavar='NAME', help='licence of the weights as the Hugging Face hub names it, such as apache-2.0')
    add('--summary', metavar='SUITE', help='add the mean of this suite')
    add_table_options(card)
    return parser.parse_args(argv)


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Options of the commands that draw a table."""
    parser.add_argument('--metric', metavar='NAME', help='use this metric where records have the labels for it')
    parser.add_argument(
        '--allow-partial', action='store_true', help='count records that scored fewer than 99 %% of their videos'
    )


def run_merge(args: argparse.Namespace) -> int:
    """Merge and say what was copied."""
    from eval.report.sharing.merge import merge

    done = merge(args.records, args.out)
    total = len(done.copied) + len(done.known)
    print(f'{args.out}: {total} records, {len(done.copied)} of them new')
    if done.copies:
        print(f'{done.copies} further copies of the same cells agree and were not copied again')
    for note in done.notes:
        print(f'note: {note}')
    return told_faults('records', done.faults)


def run_verify(args: argparse.Namespace) -> int:
    """Print every fault and a count."""
    from eval.report.sharing.verify import verify

    records, faults = verify(args.records)
    for fault in faults:
        print(f'records: {" ".join(fault.split())}', file=sys.stderr)
    print(f'{len(records)} records: ' + (f'{len(faults)} faults' if faults else 'all hold'))
    return 1 if faults else 0


def run_export(args: argparse.Namespace) -> int:
    """Write the files of a format."""
    from eval.report.exports import load_export

    export = load_export(args.to)
    table = read_table(args)
    paths = export(table, args.out)
    print(f'{args.out}: {args.to} from {len(table.records)} records, {len(paths)} files')
    return told_faults('records', table.faults)


def run_card(args: argparse.Namespace) -> int:
    """Write a model card."""
    from eval.report.sharing.card import model_card
    from sigma.checkpoints.described import card_of_file, no_card
    from sigma.errors import CheckpointError
    from sigma.files import sha256_file, write_atomic

    described = None
    if args.weights:
        described = card_of_file(args.weights)
        if described is None:
            raise CheckpointError(no_card(args.weights))
    table = read_table(args)
    text = model_card(table, args.encoder, described=described, licence=args.licence)
    if args.weights and f'sha256: {sha256_file(args.weights)}' not in text:
        raise CheckpointError(f'--weights {args.weights} is not the file that the records were measured with')
    print(f'{write_atomic(args.out, text)}: card from {len(table.records)} records')
    return told_faults('records', table.faults)


def read_table(args: argparse.Namespace) -> Table:
    """The table of the records."""
    from eval.report.summaries import get_summary
    from eval.report.table import Table

    summary = get_summary(args.summary) if getattr(args, 'summary', None) else None
    return Table.read(args.records, summary=summary, metric=args.metric, allow_partial=args.allow_partial)


def guarded() -> NoReturn:
    """`main` as a program, also as `sigma-records`."""
    end_with(main)


if __name__ == '__main__':
    guarded()
