"""A cell of the matrix: its parts, what its score depends on, and which other cells it needs."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from eval.cells.encoders import EncoderCard, load_encoder_card
from eval.cells.overrides import Changes, apply_changes, in_name, in_words
from eval.records import identity_hash, record_path, subset_name
from sigma.configs import split_limit
from sigma.data.cards import DatasetCard, find_card, load_dataset_card, read_card
from sigma.errors import DataError
from sigma.settings import Settings

T = TypeVar('T')


@dataclass(frozen=True)
class Cell:
    """Protocol x dataset x recipe x encoder x seed, by the names that a user gives.

    Attributes:
        shots: Training clips per class; None for all.
        examples: Total training clips, spread evenly over the classes; None for all.
        changes: Of recipes, from the command line (`eval.cells.overrides`); the protocol takes those that it knows.
    """

    protocol: str
    dataset: str
    recipe: str
    encoder: str
    seed: int
    shots: int | None = None
    examples: int | None = None
    changes: Changes = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, 'changes', tuple(map(tuple, self.changes)))  # JSON has lists

    @property
    def limit(self) -> int | None:
        """Videos of each split that are used, for a trial (`sigma.configs.with_limit`); None for all."""
        return split_limit(self.dataset)[1]

    @property
    def subset_name(self) -> list[str]:
        """Parts of the cell's name that say how many clips it trains on; empty for all of them."""
        found = [name for counts in ((self.shots, None), (None, self.examples)) if (name := subset_name(*counts))]
        return found + ([f'limit-{self.limit}'] if self.limit else [])

    def to_json(self) -> str:
        """The cell as one line of JSON, which `eval/run_cell.py` takes as its argument."""
        return json.dumps(asdict(self))


class CellProtocol(Protocol):
    """The part of a protocol that a cell uses. `eval.protocols.base.Protocol` implements it."""

    name: str
    version: int
    evaluator_version: int
    source: str
    uses_torch: bool
    settings: Settings | None

    def config(self, resolved: ResolvedCell) -> dict: ...

    def needs(self, resolved: ResolvedCell) -> list[ResolvedCell]: ...

    def metric_of(self, resolved: ResolvedCell) -> str: ...

    def num_classes(self, resolved: ResolvedCell) -> int: ...

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Any: ...


class Cards:
    """What the cells of a plan share: cards, weights, lists, needed cells. Each is read and hashed once.

    Its methods raise DataError if a card is unknown or a file that it names is missing.
    """

    def __init__(self) -> None:
        self._known: dict[tuple, Any] = {}
        self._joining: list[Cell] = []

    def encoder(self, reference: str) -> EncoderCard:
        """The card of an encoder.

        Raises:
            DataError: also if another reference already has its name: their rows and records would be mixed up.
        """
        card = self._once(('encoder', reference), lambda: load_encoder_card(reference))
        other = self._once(('called', card.name), lambda: reference)
        if other != reference:
            raise DataError(
                f'The encoders {other} and {reference} would both be called {card.name}; give one a name of its own: '
                f'NAME={reference}.'
            )
        return card

    def weights_sha256(self, reference: str) -> str | None:
        return self._once(('weights', reference), self.encoder(reference).sha256)

    def dataset(self, name: str) -> DatasetCard:
        return self._once(('dataset', name), lambda: load_dataset_card(name))

    def lists(self, name: str) -> dict:
        """Hashes of a dataset's lists and of the videos in them, by split."""
        return self._once(('lists', name), lambda: self._hash_lists(self.dataset(name)))

    def recipe(self, name: str) -> dict:
        found = self._once(('recipe', name), lambda: read_card(find_card('recipes', name), 'recipe'))
        return copy.deepcopy(found)

    def cell(self, cell: Cell, protocol: CellProtocol) -> ResolvedCell:
        """A cell that another one needs, resolved once."""
        return self._once(('cell', cell), lambda: ResolvedCell(cell, protocol, self))

    @contextlib.contextmanager
    def joining(self, cell: Cell) -> Iterator[None]:
        """Context around the building of a cell's config, which detects cells that need each other.

        Raises:
            DataError: if the config needs a cell whose own config is still being built.
        """
        if cell in self._joining:
            circle = [*self._joining[self._joining.index(cell) :], cell]
            names = ' -> '.join(f'{c.protocol} on {c.dataset} by {c.recipe}' for c in circle)
            raise DataError(f'These cells need each other in a circle: {names}.')
        self._joining.append(cell)
        try:
            yield
        finally:
            self._joining.pop()

    @staticmethod
    def _hash_lists(dataset: DatasetCard) -> dict:
        return {
            'lists': {split: dataset.list_sha256(split) for split in ('train', 'test')},
            'videos': {split: dataset.content_sha256(split) for split in ('train', 'test')},
        }

    def _once(self, key: tuple, make: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]


class ResolvedCell:
    """A cell with its cards read and its config built. The cells of one plan share `cards`.

    Raises:
        DataError: if a card is unknown, its data is missing, or the recipe belongs to another protocol.
    """

    def __init__(self, cell: Cell, protocol: CellProtocol, cards: Cards | None = None) -> None:
        cards = cards or Cards()
        self.cell, self.protocol, self.cards = cell, protocol, cards
        self.encoder_flops: int | None = None  # of a forward pass for one clip, where the plan counted them
        self.encoder, self.dataset = cards.encoder(cell.encoder), cards.dataset(cell.dataset)
        # Of the changes from the command line, those that this protocol knows; they are in `recipe` too.
        self.recipe, self.changes = _fitting(cards.recipe(cell.recipe), cell, protocol)
        self.weights_sha256 = cards.weights_sha256(cell.encoder)
        with cards.joining(cell):
            self.config = protocol.config(self)
        self.identity = self._identity(cards.lists(cell.dataset))
        self.id = identity_hash(self.identity)

    @cached_property
    def needs(self) -> list[ResolvedCell]:
        """Cells whose records must exist before this one can run.

        Raises:
            DataError: if the config lacks their identities, because this cell's identity would then not depend on them.
        """
        found = self.protocol.needs(self)
        text = json.dumps(self.config, default=str)
        for needed in found:
            if needed.id not in text:
                raise DataError(
                    f'The protocol {self.protocol.name} needs the cell {needed.name}, but its config does not hold '
                    'the id of that cell. Add it, so that the record shows which weights it measured.'
                )
        return found

    @property
    def recipe_name(self) -> str:
        """Name of the recipe, with what the command line changed: `finetune_demo+epochs=5`."""
        return Path(self.cell.recipe).stem + in_name(self.changes)

    @property
    def name(self) -> str:
        """`<encoder>_<protocol>_<dataset>[_<shots>]_<recipe>_s<seed>`."""
        parts = [
            self.encoder.name,
            self.protocol.name,
            self.dataset.name,
            *self.cell.subset_name,
            self.recipe_name,
            f's{self.cell.seed}',
        ]
        return '_'.join(parts)

    def record_path(self, work_dir: str | Path) -> Path:
        return record_path(work_dir, self.encoder.name, self.protocol.name, self.protocol.version, self.name)

    def folder(self, work_dir: str | Path) -> Path:
        """Folder of the cell's logs and checkpoints."""
        return Path(work_dir) / 'cells' / f'{self.name}-{self.id[:8]}'

    def _identity(self, lists: dict) -> dict:
        """Everything that the score depends on. Cards and weights count by content, not by path."""
        places = {str(self.cell.dataset): f'dataset:{self.dataset.name}', self.encoder.checkpoint: 'weights'}
        asked: dict[str, Any] = {'changes': self.changes} if self.changes else {}
        if self.cell.limit:
            asked['limit'] = self.cell.limit
        return asked | {
            'protocol': {'name': self.protocol.name, 'version': self.protocol.version},
            'dataset': {'name': self.dataset.name, **lists},
            'encoder': {'name': self.encoder.name, 'weights': self.weights_sha256 or 'random'},
            'recipe': Path(self.cell.recipe).stem,
            'shots': self.cell.shots,
            'examples': self.cell.examples,
            'seed': self.cell.seed,
            'config': _without_places(self.config, places),
        }


def _fitting(recipe: dict, cell: Cell, protocol: CellProtocol) -> tuple[dict, dict[str, Any]]:
    """The recipe with the cell's changes and with defaults, its keys, types and ranges checked; and the changes."""
    if 'protocol' in recipe and recipe['protocol'] != protocol.name:
        raise DataError(f'Recipe {cell.recipe} is for the protocol {recipe["protocol"]}, asked for {protocol.name}.')
    recipe, applied = apply_changes(recipe, cell.changes, protocol.settings)
    where = f'Recipe {cell.recipe}' + (f' with {in_words(applied)}' if applied else '')
    return recipe if protocol.settings is None else check_recipe(where, recipe, protocol.settings), applied


def check_recipe(where: str, recipe: dict, settings: Settings) -> dict:
    """A recipe with defaults filled in.

    Args:
        where: Whose recipe it is, for the error.
        recipe: As its file or a command line gives it.
        settings: Of its protocol.

    Raises:
        DataError: one sentence that names every key that is unknown (with the nearest), missing, of a wrong type or out
            of range.
    """
    settings.check(where, recipe)
    return settings.completed(recipe)


def _without_places(value: Any, places: dict) -> Any:
    if isinstance(value, dict):
        return {key: _without_places(item, places) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_places(item, places) for item in value]
    return places.get(value, value) if isinstance(value, str) else value
