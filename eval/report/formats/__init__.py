"""The table as text, Markdown, LaTeX and CSV; one file each, all drawn from `layout.py`."""

from eval.report.formats.frame import csv, frame
from eval.report.formats.latex import latex
from eval.report.formats.layout import CLEARLY, Entry, Look, best_note, grid
from eval.report.formats.markdown import markdown
from eval.report.formats.text import text

__all__ = ['CLEARLY', 'FORMATS', 'Entry', 'Look', 'best_note', 'csv', 'frame', 'grid', 'latex', 'markdown', 'text']

# Name of a format -> how the table is written in it: (table, look) -> text.
FORMATS = {'text': text, 'markdown': markdown, 'latex': latex, 'csv': csv}
