"""One HTML page that stands alone: results, figures, comparisons, and where every number comes from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from eval.records import Record, RecordError
from eval.report.figures import load_figure, render
from eval.report.formats import Entry, best_note, grid
from eval.report.notes import footnotes
from eval.report.sweeps import holds_sweep, report
from eval.report.table import BASELINE, Table
from eval.report.verdicts import comparison
from sigma.errors import did_you_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = 'page.html.j2'
ORIGIN = ('record', 'score', 'videos scored', 'list', 'weights', 'protocol', 'trained', 'commit', 'device', 'started')


def page(table: Table, *, title: str = 'Results', baseline: str | None = None, trainings: Figure | None = None) -> str:
    """The page as HTML; it loads nothing from elsewhere, and the same table gives the same bytes.

    Args:
        table: The results.
        title: Of the page.
        baseline: Row that the others are compared with; by default random weights, if they are there.
        trainings: A figure of training curves to show as well.

    Raises:
        RecordError: if no measured row is the baseline.
    """
    measured = [record for record in table.records if not record.published]
    rows = list(dict.fromkeys(r for c in table.measured for r, cell in c.cells.items() if not cell.published))
    if baseline is not None and baseline not in rows:
        raise RecordError(did_you_mean('baseline', baseline, rows))
    plain, swept = table.only(lambda column: not holds_sweep(column)), table.only(holds_sweep)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE).render(
        title=title,
        results=grid(plain) if plain.measured else [],
        notes=[*best_note(plain), *footnotes(plain)] if plain.measured else [],
        bars=_svg(load_figure('bars')(plain)) if plain.measured else '',
        baseline=baseline or BASELINE,
        comparison=comparison(table, baseline),
        heatmap=_svg(load_figure('robustness_heatmap')(swept)) if swept.measured else '',
        robustness=report(swept, baseline or BASELINE) if swept.measured else '',
        trainings=_svg(trainings) if trainings is not None else '',
        origins=[[Entry(text) for text in line] for line in (ORIGIN, *map(origin, measured))] if measured else [],
        remarks=remarks(measured),
    )


def origin(record: Record) -> tuple[str, ...]:
    """The entries of a record under `ORIGIN`; hashes by their first ten digits."""
    metric, value = record.score['metric'], record.score['value']
    commit = (record.get('run.commit') or 'unknown')[:10]
    return (
        record.name,
        f'{metric} {value:.4g}',
        f'{record.dataset["num_scored"]} of {record.dataset["num_listed"]}',
        record.dataset['list_sha256'][:10],
        (record.get('encoder.sha256') or 'random')[:10],
        f'{record.protocol["name"]} v{record.protocol["version"]}',
        _trained(record),
        commit + (' (changed)' if record.get('run.clean') is False else ''),
        record.get('run.device') or '-',
        record.get('run.started') or '-',
    )


def _trained(record: Record) -> str:
    """How long the scored weights were trained: epochs, and optimizer steps where the record has them."""
    epoch, steps = record.get('selection.epoch'), record.get('selection.steps')
    found = [
        f'{number} {word}{"" if number == 1 else "s"}' for number, word in ((epoch, 'epoch'), (steps, 'step')) if number
    ]
    return ', '.join(found) or '-'


def remarks(records: Sequence[Record]) -> list[str]:
    """The notes of all records, each once, with the number of records that have it."""
    said: dict[str, int] = {}
    for record in records:
        for note in record.notes:
            said[note] = said.get(note, 0) + 1
    return [f'{note} ({count} of {len(records)} records)' for note, count in said.items()]


def _svg(figure: Figure) -> Markup:
    """A figure as an SVG element."""
    text = render(figure, '.svg').decode()
    return Markup(text[text.index('<svg') :])
