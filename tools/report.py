"""One page that stands alone: results, figures, who beat whom, and where every number comes from.

    python tools/report.py --records work_dirs/demo --out report.html
    python tools/report.py --records work_dirs/severe --published sigma_severe --summary severe --runs work_dirs/mine \\
        --out report.html

Drawn from records, the predictions beside them and, with `--runs`, the logs of trainings; needs no torch, no GPU and no
data. The same records give the same bytes. Bad input ends in one sentence and exit status 2, with nothing written.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from collections.abc import Sequence

from eval.records import Record, RecordError, read_records
from eval.report.figures import FigureError, load_figure, render
from eval.report.papers import read_paper
from eval.report.summaries import SUMMARIES, Summary
from eval.report.sweeps import is_sweep
from eval.report.sweeps import report as robustness_text
from eval.report.table import BASELINE, columns, format_table, rows, select
from eval.report.verdicts import verdict
from sigma.errors import did_you_mean
from sigma.files import write_atomic

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums }}
th, td {{ text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; white-space: nowrap }}
pre {{ overflow-x: auto; font-size: 12px }} svg {{ max-width: 100%; height: auto }}
.note {{ color: #666; font-size: 13px }}
</style></head><body>
<h1>{title}</h1>
{body}
</body></html>
"""
ORIGIN = ('record', 'score', 'videos scored', 'list', 'weights', 'protocol', 'epoch', 'commit', 'device', 'started')


def main(argv: list[str] | None = None) -> int:
    """Read, draw, write; returns the exit status."""
    args = parse_args(argv)
    try:
        if args.summary is not None and args.summary not in SUMMARIES:
            raise RecordError(did_you_mean('summary', args.summary, SUMMARIES))
        summary = SUMMARIES[args.summary] if args.summary else None
        wanted = summary.columns if summary else ()
        ours = [record for root in args.records for record in read_records(root)]
        records = select(ours + [record for table in args.published for record in read_paper(table, wanted)])
        body = ''.join(sections(records, args.runs, args.baseline, args.allow_partial, summary))
        path = write_atomic(args.out, PAGE.format(title=html.escape(args.title), body=body).encode())
    except (RecordError, FigureError, ValueError) as error:
        return complain(' '.join(str(error).split()))
    except OSError as error:
        return complain(f'{args.out} cannot be written: {error.strerror}')
    print(f'{path}: {len(records)} records')
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--records', nargs='+', required=True, metavar='DIR', help='work directories, or their records')
    parser.add_argument('--published', nargs='+', default=[], metavar='TABLE', help='rows of papers beside them')
    parser.add_argument(
        '--runs', nargs='+', default=[], metavar='DIR', help='work directories of trainings, for curves'
    )
    parser.add_argument('--summary', metavar='NAME', help=f'a mean over columns as well: {", ".join(SUMMARIES)}')
    parser.add_argument('--baseline', help='encoder that the others are compared with; random, if there is one')
    parser.add_argument('--title', default='Results', help='of the page')
    parser.add_argument('--allow-partial', action='store_true', help='let records under 99 %% of the videos count too')
    parser.add_argument('--out', required=True, metavar='FILE.html')
    return parser.parse_args(argv)


def sections(
    records: Sequence[Record], runs: Sequence[str], asked: str | None, allow_partial: bool, summary: Summary | None
) -> list[str]:
    """The parts of the page in their order, each with its heading; a part without content is left out.

    Raises:
        RecordError: if records do not compare, or no row is the baseline that was asked for.
        DataError: if a run has no log.
    """
    rules = {'allow_partial': allow_partial, 'summary': summary}
    plain = [record for record in records if not is_sweep(record)]
    swept = [record for record in records if is_sweep(record)]
    parts = []
    if plain:
        parts += [heading('Results'), table_of(format_table(plain, style='markdown', **rules))]
        parts.append(picture(load_figure('bars')(plain, **rules)))
    measured = [record for record in records if not record.published]
    known, baseline = rows(columns(measured, allow_partial)), asked or BASELINE
    if asked is not None and asked not in known:
        raise RecordError(did_you_mean('baseline', asked, known))
    if baseline in known:
        sentences = [found.sentence for found in verdict(measured, baseline, allow_partial)]
        parts += [heading(f'Against {baseline}'), lines(sentences)] if sentences else []
    elif several := [row for row in known if row.startswith(f'{baseline} [')]:  # one for each recipe
        sentence = f'No row is {baseline} alone; --baseline takes one of: {", ".join(several)}.'
        parts += [heading(f'Against {baseline}'), lines([sentence])]
    if swept:
        parts += [heading('Under corruptions'), picture(load_figure('robustness_heatmap')(swept, allow_partial))]
        parts.append(f'<pre>{html.escape(robustness_text(swept, baseline, allow_partial))}</pre>\n')
    if runs:
        from sigma.figures.pretraining import draw_pretraining

        parts += [heading('Trainings'), picture(draw_pretraining(runs))]
    if measured:
        grid = [ORIGIN, *(origin(record) for record in measured)]
        parts += [heading('Where the numbers come from'), html_table(grid), lines(remarks(measured))]
    return parts


def origin(record: Record) -> tuple[str, ...]:
    """What `ORIGIN` names, of one record; hashes by their beginning."""
    metric, value = record.score['metric'], record.score['value']
    commit = (record.get('run.commit') or 'unknown')[:10]
    return (
        record.name,
        f'{metric} {value:.4g}',
        f'{record.dataset["num_scored"]} of {record.dataset["num_listed"]}',
        record.dataset['list_sha256'][:10],
        (record.get('encoder.sha256') or 'random')[:10],
        f'{record.protocol["name"]} v{record.protocol["version"]}',
        f'{record.get("selection.epoch") or "-"}',
        commit + (' (changed)' if record.get('run.clean') is False else ''),
        record.get('run.device') or '-',
        record.get('run.started') or '-',
    )


def remarks(records: Sequence[Record]) -> list[str]:
    """What a record says of itself beside its number, each remark once with how many records make it."""
    said: dict[str, int] = {}
    for record in records:
        for note in record.notes:
            said[note] = said.get(note, 0) + 1
    return [f'{note} ({count} of {len(records)} records)' for note, count in said.items()]


# --- HTML ------------------------------------------------------------------------------------------------------------


def heading(text: str) -> str:
    """Of a section."""
    return f'<h2>{html.escape(text)}</h2>\n'


def lines(sentences: Sequence[str]) -> str:
    """A list, or nothing."""
    items = ''.join(f'<li>{html.escape(sentence)}</li>\n' for sentence in sentences)
    return f'<ul>\n{items}</ul>\n' if items else ''


def table_of(markdown: str) -> str:
    """A table of `format_table` and the notes below it."""
    rows = [line.strip('|').split(' | ') for line in markdown.splitlines() if line.startswith('| ')]
    grid = [[cell.strip() for cell in row] for row in rows]
    notes = [line for line in markdown.splitlines() if line and not line.startswith('|')]
    below = ''.join(f'<p class="note">{marked(note)}</p>\n' for note in notes)
    return html_table(grid) + below


def html_table(grid: Sequence[Sequence[str]]) -> str:
    """The first row is the heading."""
    rows = []
    for number, row in enumerate(grid):
        kind = 'td' if number else 'th'
        rows.append('<tr>' + ''.join(f'<{kind}>{marked(cell)}</{kind}>' for cell in row) + '</tr>\n')
    return f'<table>\n{"".join(rows)}</table>\n'


def marked(text: str) -> str:
    """Text of a cell, with markdown's bold and escaped stars."""
    bold = re.sub(r'\*\*(.+?)\*\*', r'<b>\1</b>', html.escape(text))
    return bold.replace('\\*', '*')


def picture(figure) -> str:
    """A figure inside the page, as SVG."""
    text = render(figure, '.svg').decode()
    return f'<p>{text[text.index("<svg") :]}</p>\n'


def complain(sentence: str) -> int:
    """Prints what is wrong; returns the exit status for bad input."""
    print(f'report: {sentence}', file=sys.stderr)
    return 2


if __name__ == '__main__':
    sys.exit(main())
