"""A cell of the matrix: what it is, and what its number depends on."""

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from eval.cells.encoders import EncoderCard, load_encoder_card
from eval.records import identity_hash, record_path
from sigma.data.cards import DatasetCard, find_card, load_dataset_card, read_card
from sigma.errors import DataError


@dataclass(frozen=True)
class Cell:
    """Protocol x dataset x recipe x encoder x seed, by the names that a user gives."""

    protocol: str
    dataset: str
    recipe: str
    encoder: str
    seed: int
    shots: int | None = None
    examples: int | None = None

    @property
    def subset_name(self) -> list[str]:
        """As in the cell's name; empty where it takes all training clips."""
        shots = [f'{self.shots}-a-class'] if self.shots else []
        return shots + ([f'{self.examples}-examples'] if self.examples else [])

    def to_json(self) -> str:
        """For another process."""
        return json.dumps(asdict(self))


class Cards:
    """What cells of a plan share, read and hashed once: cards, weights, lists.

    Its methods raise DataError if a card is unknown or what it points to is absent.
    """

    def __init__(self) -> None:
        self._known: dict[tuple, object] = {}

    def encoder(self, reference: str) -> EncoderCard:
        return self._once(('encoder', reference), lambda: load_encoder_card(reference))

    def weights_sha256(self, reference: str) -> str | None:
        return self._once(('weights', reference), self.encoder(reference).sha256)

    def dataset(self, name: str) -> DatasetCard:
        return self._once(('dataset', name), lambda: load_dataset_card(name))

    def lists(self, name: str) -> dict:
        """Hashes of a dataset's lists, and of the videos that they name."""
        return self._once(('lists', name), lambda: self._hash_lists(self.dataset(name)))

    def recipe(self, name: str) -> dict:
        found = self._once(('recipe', name), lambda: read_card(find_card('recipes', name), 'recipe'))
        return copy.deepcopy(found)

    @staticmethod
    def _hash_lists(dataset: DatasetCard) -> dict:
        return {
            'lists': {split: dataset.list_sha256(split) for split in ('train', 'test')},
            'videos': {split: dataset.content_sha256(split) for split in ('train', 'test')},
        }

    def _once(self, key: tuple, make: Callable):
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]


class ResolvedCell:
    """A cell with its cards read and its config joined; cells of one plan share their `cards`.

    Raises:
        DataError: if a card is unknown, its data is absent, or the recipe is of another protocol.
    """

    def __init__(self, cell: Cell, protocol, cards: Cards | None = None) -> None:
        cards = cards or Cards()
        self.cell, self.protocol, self.cards = cell, protocol, cards
        self.encoder, self.dataset = cards.encoder(cell.encoder), cards.dataset(cell.dataset)
        self.recipe = cards.recipe(cell.recipe)
        if self.recipe['protocol'] != protocol.name:
            raise DataError(
                f'Recipe {cell.recipe} is for the protocol {self.recipe["protocol"]}, asked for {protocol.name}.'
            )
        self.weights_sha256 = cards.weights_sha256(cell.encoder)
        self.config = protocol.config(self)
        self.identity = self._identity(cards.lists(cell.dataset))
        self.id = identity_hash(self.identity)

    @property
    def name(self) -> str:
        """`<encoder>_<protocol>_<dataset>[_<shots>]_<recipe>_s<seed>`."""
        recipe = Path(self.cell.recipe).stem
        parts = [
            self.encoder.name,
            self.protocol.name,
            self.dataset.name,
            *self.cell.subset_name,
            recipe,
            f's{self.cell.seed}',
        ]
        return '_'.join(parts)

    def record_path(self, work_dir: str | Path) -> Path:
        return record_path(work_dir, self.encoder.name, self.protocol.name, self.protocol.version, self.name)

    def folder(self, work_dir: str | Path) -> Path:
        """Where the run of this cell keeps its logs and checkpoints."""
        return Path(work_dir) / 'cells' / f'{self.name}-{self.id[:8]}'

    def _identity(self, lists: dict) -> dict:
        """All that the number depends on. Places on a disk are not among it: cards and weights stand by content."""
        places = {str(self.cell.dataset): f'dataset:{self.dataset.name}', self.encoder.checkpoint: 'weights'}
        return {
            'protocol': {'name': self.protocol.name, 'version': self.protocol.version},
            'dataset': {'name': self.dataset.name, **lists},
            'encoder': {'name': self.encoder.name, 'weights': self.weights_sha256 or 'random'},
            'recipe': Path(self.cell.recipe).stem,
            'shots': self.cell.shots,
            'examples': self.cell.examples,
            'seed': self.cell.seed,
            'config': _without_places(self.config, places),
        }


def _without_places(value, places: dict):
    if isinstance(value, dict):
        return {key: _without_places(item, places) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_places(item, places) for item in value]
    return places.get(value, value) if isinstance(value, str) else value
