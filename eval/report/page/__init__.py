"""One HTML page that stands alone: results, comparisons, videos, and where every number comes from. No torch.

parts.py        what a section is made of            matrix.py       the heat table
opening.py      the summary                          details.py      what the browser shows of a cell (JSON)
classes.py      scores by class, confusions          settings.py     config against recipe
clips.py        videos on which encoders disagree    footage.py      finds them, makes small clips
places.py       files and commands behind a record   gaps.py         what is missing
bookkeeping.py  coverage, cost, origins              glossary.py     the words of the page
page.html.j2    the template; page.css and *.js are put inside it
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from eval.records import RecordError
from eval.report.formats import best_note
from eval.report.notes import footnotes
from eval.report.page import bookkeeping, chapters
from eval.report.page.clips import disagreements
from eval.report.page.details import Curves, as_script, document
from eval.report.page.footage import Footage
from eval.report.page.gaps import fillings, find_gaps
from eval.report.page.glossary import GLOSSARY
from eval.report.page.matrix import matrix
from eval.report.page.opening import find_leads, lead_parts, opening
from eval.report.page.parts import Part, Section
from eval.report.page.places import newest
from eval.report.table import BASELINE, Table
from eval.report.verdicts import verdicts
from sigma import __version__
from sigma.errors import did_you_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ['Section', 'page', 'write_html']

TEMPLATE = 'page.html.j2'
SCRIPTS = ('elements.js', 'matrix.js', 'cell.js', 'videos.js', 'start.js')


def page(
    table: Table,
    *,
    title: str = 'Results',
    baseline: str | None = None,
    trainings: Figure | None = None,
    command: str = '',
    curves: Curves | None = None,
    footage: Footage | None = None,
    before: Sequence[Section] = (),
    after: Sequence[Section] = (),
    refresh_seconds: int | None = None,
) -> str:
    """The page as HTML; it loads nothing from elsewhere, and the same table gives the same bytes.

    Args:
        table: The results.
        title: Of the page.
        baseline: Row that the others are compared with; by default random weights, if they are there.
        trainings: A figure of training curves to show as well.
        command: The command that made the page, to show at its end.
        curves: Reads the learning curves in the folder of a cell (`sigma.figures.pretraining.read_curves`).
        footage: Where videos are found on which encoders disagree; None: no videos.
        before: Sections to show above the results, such as the progress of a run.
        after: Sections to show after the comparisons.
        refresh_seconds: Let a browser load the file again after so many seconds; None: never.

    Raises:
        RecordError: if no measured row is the baseline.
    """
    rows = list(dict.fromkeys(r for c in table.measured for r, cell in c.cells.items() if not cell.published))
    if baseline is not None and baseline not in rows:
        raise RecordError(did_you_mean('baseline', baseline, rows))
    shown, gaps = matrix(table), find_gaps(table)
    name = baseline or BASELINE
    found = verdicts(table, name) if name in table.rows else []
    data = document(table, shown.columns, curves)
    if footage is not None:
        data['videos'] = disagreements(table, shown.columns, footage)
    sections = [
        *before,
        Section('results', 'Scores by encoder and column', chapters.bars(table), 'Scores'),
        *chapters.compared(table, found, baseline),
        *chapters.section('statistics', 'Statistics', chapters.statistics(table)),
        *after,
        *chapters.section('videos', 'Where encoders disagree', chapters.videos(data, footage), 'Videos'),
        *chapters.robustness(table, name),
        *chapters.section('trainings', 'Trainings', chapters.trained(trainings)),
        *chapters.section('coverage', 'Coverage', bookkeeping.coverage_parts(table)),
        *chapters.section('cost', 'Cost', bookkeeping.cost_parts(table)),
        Section('missing', 'What is missing', bookkeeping.missing_parts(gaps, fillings(table, gaps), table.faults)),
        *chapters.section('records', 'Where the numbers come from', bookkeeping.origin_parts(table), 'Records'),
    ]
    return write_html(
        title=title,
        summary=opening(table),
        summary_parts=lead_parts(find_leads(table)),
        sections=sections,
        matrix=shown,
        notes=[*best_note(table), *footnotes(table)],
        data=data,
        date=newest(table.records),
        command=command,
        refresh_seconds=refresh_seconds,
    )


def write_html(
    *,
    title: str,
    sections: Sequence[Section],
    summary: Sequence[str] = (),
    summary_parts: Sequence[Part] = (),
    matrix: Any = None,
    notes: Sequence[str] = (),
    data: dict[str, Any] | None = None,
    date: str | None = None,
    command: str = '',
    refresh_seconds: int | None = None,
    glossary: bool = True,
) -> str:
    """A page of sections in the look of the report. `page` calls it; so may a page of another kind.

    Args:
        title: Of the page.
        sections: In order; the one with the id `results` is shown under the heat table, if there is one.
        summary: Sentences at the top.
        summary_parts: Shown below them.
        matrix: The heat table (`eval.report.page.matrix.matrix`); None: none.
        notes: Shown below the heat table.
        data: For the scripts (`eval.report.page.details.document`); None: the page has no cells to open.
        date: Of the newest record, to show.
        command: That made the page.
        refresh_seconds: As in `page`.
        glossary: Explain the words of results at the end.
    """
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE).render(
        title=title,
        summary=list(summary),
        summary_parts=list(summary_parts),
        sections=list(sections),
        matrix=matrix,
        notes=list(notes),
        glossary=GLOSSARY if glossary else {},
        style=Markup((here / 'page.css').read_text(encoding='utf-8')),
        scripts=Markup(''.join((here / name).read_text(encoding='utf-8') for name in SCRIPTS)),
        data=None if data is None else Markup(as_script(data)),
        date=date,
        version=__version__,
        command=command,
        refresh_seconds=refresh_seconds,
    )
