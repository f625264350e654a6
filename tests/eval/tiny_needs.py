"""Tiny protocols that need one another: `tiny_grand` measures `tiny_user`, which measures `tiny`.

This module is itself what `--import` names; see `tests.eval.tiny_matrix`, whose cards it takes.
"""

import os
from pathlib import Path

import numpy as np

from eval.cells.cell import Cell, ResolvedCell
from eval.cells.trained import load_trained
from eval.matrix.suites import SUITES, Entry
from eval.protocols import get_protocol
from eval.protocols.base import Outcome
from tests.eval import tiny_matrix as tiny


class User(tiny.Tiny):
    """Its score is computed from the record of the needed cell."""

    name = 'tiny_user'
    needed = 'tiny'

    def needs(self, resolved: ResolvedCell) -> list[ResolvedCell]:
        cell = resolved.cell
        recipe = resolved.recipe['trained']
        found = Cell(self.needed, cell.dataset, recipe, cell.encoder, cell.seed)
        return [resolved.cards.cell(found, get_protocol(self.needed))]

    def config(self, resolved: ResolvedCell) -> dict:
        return super().config(resolved) | {'trained': [needed.id for needed in self.needs(resolved)]}

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        trained = [load_trained(needed, work_dir) for needed in resolved.needs]
        outcome = super().run(resolved, work_dir)
        outcome.notes = [f'{t.resolved.name}: {t.record.score["value"]:.4f}' for t in trained]
        outcome.scores = np.zeros_like(outcome.scores) + [1.0, 0.0]
        return outcome


class Grand(User):
    name = 'tiny_grand'
    needed = 'tiny_user'


class Circle(User):
    name = 'tiny_circle'
    needed = 'tiny_circle'


class Silent(User):
    """Forgets to put the id of the needed cell into its config."""

    name = 'tiny_silent'

    def config(self, resolved: ResolvedCell) -> dict:
        return tiny.Tiny.config(self, resolved)


def make(home: Path) -> Path:
    """The cards of `tiny_matrix`, with recipes of the protocols above."""
    tiny.make(home)
    for name, trained in (('user', 'low'), ('grand', 'user'), ('circle', 'circle'), ('silent', 'low')):
        recipe = {'protocol': f'tiny_{name}', 'strength': 1, 'trained': str(home / f'{trained}.py')}
        (home / f'{name}.py').write_text(f'recipe = {recipe!r}\n')
    return home


def entries(home: Path, *names: str) -> tuple[Entry, ...]:
    """Columns of these recipes."""
    protocols = {'low': 'tiny', 'high': 'tiny'}
    return tuple(Entry(protocols.get(name, f'tiny_{name}'), str(home), str(home / f'{name}.py')) for name in names)


if 'TINY_MATRIX' in os.environ:
    SUITES['chain'] = entries(tiny.home_of_process(), 'grand')
    SUITES['users'] = entries(tiny.home_of_process(), 'user', 'high')
