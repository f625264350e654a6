#!/usr/bin/env python3
"""Write docs/departures.md from what protocols and recipes declare.

    python tools/departures.py            # writes the page
    python tools/departures.py --check    # exit 1 if the page is not what would be written

A protocol declares `departures` (`eval.protocols.base.Departure`); a recipe a list of dicts with the same keys, which
recipes with `_base_` on it take over. Neither enters a cell's config or identity.
"""

import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))

from eval.protocols import load_protocols  # noqa: E402
from eval.protocols.base import Departure, Protocol  # noqa: E402
from sigma.configs import card_names, find_card  # noqa: E402
from sigma.data.cards import read_card  # noqa: E402
from sigma.errors import DataError  # noqa: E402
from tools.made_page import write_or_check  # noqa: E402

PAGE = ROOT / 'docs' / 'departures.md'
CELL, LINE, NAMED = 120, 118, 4  # characters of a table cell and of a line; recipes named in a cell
UNMEASURED = Departure('', '', '').effect


def page() -> str:
    """The whole page."""
    protocols = load_protocols()
    of_recipes = recipe_departures(card_names('recipes'))
    sections = [section(names, protocols[names[0]], of_recipes) for names in grouped(protocols)]
    of_trainer = trainer_departures()
    sections = [text for text in [*sections, table('## Pretraining', dict.fromkeys(of_trainer, ()))] if text]
    declared = {one for protocol in protocols.values() for one in protocol.departures} | set(of_trainer)
    declared |= {one for found in of_recipes.values() for one in found}
    measured = sum(not one.effect.startswith(UNMEASURED) for one in declared)
    head = (
        f'{len(declared)} departures from published code are declared, in {len(sections)} groups; the '
        f'effect of {measured} is stated, that of the others was not measured. What is not on this page is equal to '
        'the published code; if it is not, that is a bug.'
    )
    how = (
        'Made by `python tools/departures.py` from the `departures` of protocols (`eval/protocols`) and recipes '
        '(`mmaction_configs/recipes`), and of transforms for pretraining (`sigma/data/transforms.py`); a test compares '
        'the page with them.'
    )
    return '\n\n'.join(['# Departures from published code', wrapped(head), wrapped(how), *sections]) + '\n'


def grouped(protocols: dict[str, Protocol]) -> list[list[str]]:
    """Names of protocols of one file with the same departures, together; in the order of the names."""
    groups: dict[tuple, list[str]] = {}
    for name, protocol in sorted(protocols.items()):
        groups.setdefault((type(protocol).__module__, protocol.departures), []).append(name)
    return list(groups.values())


def recipe_departures(names: Iterable[str]) -> dict[str, list[Departure]]:
    """Recipe -> its departures, for all recipes that declare some.

    Raises:
        DataError: if one is no Departure, with the recipe and the keys.
    """
    found = {}
    for name in names:
        recipe = read_card(find_card('recipes', name), 'recipe')
        try:
            found[name] = [Departure(**one) for one in recipe.get('departures', [])]
        except TypeError as error:
            what = 'departures are dicts of what, published, ours and effect'
            raise DataError(f'The recipe {name!r}: {what}; {error}.') from None
    return {name: declared for name, declared in found.items() if declared}


def trainer_departures() -> list[Departure]:
    """Those of the transforms that pretraining uses."""
    from sigma.data import transforms  # here: it imports torch

    found = [one for value in vars(transforms).values() for one in getattr(value, 'departures', ())]
    return [Departure(**one) for one in found]


def section(names: list[str], protocol: Protocol, of_recipes: dict[str, list[Departure]]) -> str:
    """The table of some protocols with the same departures, and of their recipes; empty if there is none."""
    rows: dict[Departure, list[str]] = {one: [] for one in protocol.departures}
    for recipe, declared in of_recipes.items():
        if read_card(find_card('recipes', recipe), 'recipe')['protocol'] in names:
            for one in declared:
                rows.setdefault(one, []).append(recipe)
    return table('## ' + listed([f'`{name}`' for name in names], len(names)), rows)


def table(title: str, rows: Mapping[Departure, Sequence[str]]) -> str:
    """A titled table of departures with the recipes that each is limited to; empty if there is none."""
    if not rows:
        return ''
    notes: list[str] = []
    lines = ['| what | published | ours | effect | recipes |', '|---|---|---|---|---|']
    for one, recipes in rows.items():
        cells = (one.what, one.published, one.ours, one.effect, listed(list(recipes)) if recipes else 'all')
        lines.append('| ' + ' | '.join(cell(text, notes) for text in cells) + ' |')
    return '\n'.join([title, '', *lines] + ([''] + [item(n, note) for n, note in enumerate(notes, 1)] if notes else []))


def cell(text: str, notes: list[str]) -> str:
    """A text as a table cell; one too long for a cell becomes a note below the table."""
    text = ' '.join(text.split()).replace('|', '\\|')
    if len(text) <= CELL:
        return text
    if text not in notes:
        notes.append(text)
    return f'note {notes.index(text) + 1}'


def listed(names: list[str], most: int = NAMED) -> str:
    """Names with commas, at most so many of them."""
    return ', '.join(names[:most]) + (f' and {len(names) - most} more' if len(names) > most else '')


def item(number: int, text: str) -> str:
    """A numbered paragraph."""
    return textwrap.fill(text, LINE, initial_indent=f'{number}. ', subsequent_indent='   ', break_on_hyphens=False)


def wrapped(text: str) -> str:
    """A paragraph in lines of the page's width."""
    return textwrap.fill(text, LINE, break_on_hyphens=False)


def main() -> int:
    """Write the page, or check it."""
    return write_or_check(PAGE, page, 'protocols and recipes', __doc__)


if __name__ == '__main__':
    sys.exit(main())
