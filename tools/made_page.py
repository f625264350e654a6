"""A page of docs/ that is made from the code: the command line that writes it, or checks that it is up to date."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sigma.commands import Parser


def write_or_check(page: Path, text: Callable[[], str], made_from: str, doc: str | None) -> int:
    """Write the page, or with `--check` compare it; return the exit status.

    Args:
        page: The file, at `docs/NAME` of the project.
        text: Makes its content.
        made_from: What it is made from, for the message of a page that is out of date.
        doc: Docstring of the command; its first line is the description. The command is `tools/<stem of page>.py`.
    """
    parser = Parser(description=(doc or '').partition('\n')[0])
    parser.add_argument('--check', action='store_true', help='compare the page with what would be written')
    check = parser.parse_args().check
    made, name = text(), f'docs/{page.name}'
    if check and (not page.is_file() or page.read_text(encoding='utf-8') != made):
        print(f'{name} is not what {made_from} declare: run python tools/{page.stem}.py')
        return 1
    if not check:
        page.write_text(made, encoding='utf-8')
        print(f'{name} written')
    return 0
