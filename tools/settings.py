#!/usr/bin/env python3
"""Write docs/settings.md from the keys that protocols and cards declare.

    python tools/settings.py            # writes the page
    python tools/settings.py --check    # exit 1 if the page is not what would be written

The keys of recipes are declared in eval/settings, those of cards in sigma/data/declared.py.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))

from eval.matrix.listing import KEYS  # noqa: E402
from sigma.settings import Settings  # noqa: E402
from sigma.text import align  # noqa: E402
from tools.made_page import write_or_check  # noqa: E402

PAGE = ROOT / 'docs' / 'settings.md'
HEAD = """# Keys of recipes and cards

A recipe or card with a key that is not on this page, a value of another type or one out of range is refused before
anything runs. A key without a default must be given (*required*); one that is *left out* has no default, and None takes
it out again where a base has it. `a.b` is the key `b` of the dict `a`.

Made by `python tools/settings.py` from `eval/settings` and `sigma/data/declared.py`; a test compares the page with
them. `python eval/run_severe.py --list recipes --verbose` prints the same.
"""


def page() -> str:
    """The whole page."""
    sections = [section(title, settings) for kind in KEYS for title, settings in KEYS[kind]()]
    return '\n\n'.join([HEAD.rstrip(), *sections]) + '\n'


def section(title: str, settings: Settings) -> str:
    """Heading and table of one kind of file."""
    head, _, names = title.partition(' of a recipe of ')
    lines = (
        [f'## {"Recipes" if names else "Cards"}', '', f'{title}.', ''] if not names else [f'## {heading(names)}', '']
    )
    rows = [tuple(f'`{row[0]}`' if n == 0 else cell(row[n]) for n in range(5)) for row in settings.rows()]
    return '\n'.join([*lines, align([('key', 'type', 'range', 'default', 'what it sets'), *rows], markdown=True)])


def heading(names: str) -> str:
    """Names of protocols that share their keys, short enough for a heading."""
    found = names.split(', ')
    return ', '.join(f'`{name}`' for name in found[:3]) + (f' and {len(found) - 3} more' if len(found) > 3 else '')


def cell(text: str) -> str:
    """Text as a cell of a Markdown table."""
    return text.replace('|', '\\|').replace('*', '\\*')


def main() -> int:
    """Write the page, or check it."""
    return write_or_check(PAGE, page, 'protocols and cards', __doc__)


if __name__ == '__main__':
    sys.exit(main())
