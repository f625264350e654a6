"""Suite x encoders x seeds -> cells; what became of each so far; what the rest will take."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from time import time

from eval.cells import claims
from eval.cells.cell import Cards, Cell, ResolvedCell
from eval.matrix.executors.job import Failure, read_failure
from eval.matrix.suites import Entry
from eval.protocols import get_protocol
from eval.records import RecordError, config_path, predictions_path, read_record
from sigma.errors import DataError


@dataclass
class Planned:
    """A cell of the plan, and what became of it.

    Attributes:
        resolved: None where its data is missing.
        state: `done`, `failed`, `elsewhere` (a living process runs it), `to run`, or `missing` (its data is).
        superseded: Whether a record of the same name and another identity lies there.
        failure, claim: Of a failed cell, of one that another process runs.
        seconds, num_bytes: What cells of its kind took on average in this work directory, None where none was
            measured; for one that is done, its own.
    """

    cell: Cell
    resolved: ResolvedCell | None
    state: str
    superseded: bool = False
    failure: Failure | None = None
    claim: claims.Claim | None = None
    seconds: float | None = None
    num_bytes: int | None = None

    @property
    def done(self) -> bool:
        return self.state == 'done'

    @property
    def name(self) -> str:
        """Of the cell; from the names that the user gave where its cards cannot be read."""
        cell = self.cell
        parts = [cell.encoder, cell.protocol, cell.dataset, *cell.subset_name, Path(cell.recipe).stem, f's{cell.seed}']
        return self.resolved.name if self.resolved else '_'.join(parts)


@dataclass
class Plan:
    """Every cell in the order it will run, and what is missing: a sentence each, with the command that makes it."""

    cells: list[Planned] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def in_state(self, *states: str) -> list[Planned]:
        return [item for item in self.cells if item.state in states]


def plan(
    entries: Sequence[Entry],
    encoders: Sequence[str],
    seeds: Sequence[int],
    work_dir: str | Path,
    retry_failed: bool = False,
    cards: Cards | None = None,
) -> Plan:
    """Every cell, by column, then encoder, then seed; nothing is written.

    Cards, weights and lists are read and hashed once each. What is missing is gathered, not raised at the first.

    Args:
        retry_failed: Count failed cells among those to run.
        cards: What knows the cards; by default they are read from files.

    Raises:
        DataError: if there is no such protocol.
    """
    cards, found = cards or Cards(), Plan()
    for entry in entries:
        get_protocol(entry.protocol)
    broken = _broken_cards(cards, entries, encoders, found)
    for entry in entries:
        protocol = get_protocol(entry.protocol)
        for encoder in encoders:
            for seed in seeds:
                recipe = _recipe(cards, entry, encoder, broken)
                cell = Cell(entry.protocol, entry.dataset, recipe, encoder, seed, entry.shots, entry.examples)
                if broken & {('dataset', entry.dataset), ('encoder', encoder), ('recipe', recipe)}:
                    found.cells.append(Planned(cell, None, 'missing'))
                    continue
                try:
                    found.cells.append(_look_up(ResolvedCell(cell, protocol, cards), work_dir, retry_failed))
                except DataError as error:
                    found.cells.append(Planned(cell, None, 'missing'))
                    found.problems.append(str(error))
    found.problems = list(dict.fromkeys(found.problems))
    _estimate(found, work_dir)
    return found


def _broken_cards(cards: Cards, entries: Sequence[Entry], encoders: Sequence[str], found: Plan) -> set[tuple]:
    """Datasets, encoders and recipes that cannot be read, each with its sentence among the plan's problems."""
    wanted = [('dataset', name, cards.lists) for name in dict.fromkeys(e.dataset for e in entries)]
    wanted += [('encoder', name, cards.weights_sha256) for name in encoders]
    broken = _unread(wanted, found)
    recipes = dict.fromkeys(_recipe(cards, entry, encoder, broken) for entry in entries for encoder in encoders)
    return broken | _unread([('recipe', name, cards.recipe) for name in recipes if '{' not in name], found)


def _unread(wanted: list[tuple], found: Plan) -> set[tuple]:
    broken = set()
    for kind, name, read in wanted:
        try:
            read(name)
        except DataError as error:
            broken.add((kind, name))
            found.problems.append(str(error))
    return broken


def _recipe(cards: Cards, entry: Entry, encoder: str, broken: set[tuple]) -> str:
    """The entry's recipe, of the encoder's family where the entry leaves that open."""
    if '{family}' not in entry.recipe or ('encoder', encoder) in broken:
        return entry.recipe
    return entry.recipe.replace('{family}', cards.encoder(encoder).family)


def _look_up(resolved: ResolvedCell, work_dir: str | Path, retry_failed: bool) -> Planned:
    folder, path = resolved.folder(work_dir), resolved.record_path(work_dir)
    superseded = False
    if path.is_file():
        try:
            if read_record(path).cell['id'] == resolved.id:
                return Planned(resolved.cell, resolved, 'done')
        except RecordError:
            pass  # it will be moved aside like one of other settings
        superseded = True
    failure = read_failure(folder)
    claim = claims.holder(folder, now=time())  # by our clock: the file system's is asked when cells start
    state = 'elsewhere' if claim else 'failed' if failure and not retry_failed else 'to run'
    return Planned(resolved.cell, resolved, state, superseded, failure, claim)


# -------------------------------------------------------------------------------------- what cells took, and will


def _estimate(found: Plan, work_dir: str | Path) -> None:
    """Fill in seconds and bytes: a done cell's own, else the mean of its kind with this encoder, else with any."""
    measured = _measured(Path(work_dir))
    for item in found.cells:
        if item.resolved is None:
            continue
        kind = _kind(item.resolved.identity)
        same = measured.get((item.resolved.id,)) or measured.get(kind) or measured.get(kind[:-1])
        if same:
            item.seconds, item.num_bytes = mean(s for s, _ in same), round(mean(b for _, b in same))


def _measured(work_dir: Path) -> dict[tuple, list[tuple[float, int]]]:
    """(seconds, bytes) of every cell with a record, under its id, its kind, and its kind with any encoder."""
    found: dict[tuple, list[tuple[float, int]]] = {}
    for path in sorted((work_dir / 'records').rglob('*.json')):
        try:
            record = read_record(path)
        except RecordError:
            continue
        seconds = record.get('run.seconds')
        if seconds is None or not {'protocol', 'dataset', 'encoder', 'recipe'} <= set(record.identity):
            continue  # published, or written by other means
        folder = work_dir / 'cells' / f'{record.name}-{record.cell["id"][:8]}'
        files = [path, predictions_path(path), config_path(path), *folder.rglob('*')]
        taken = seconds, sum(file.stat().st_size for file in files if file.is_file())
        kind = _kind(record.identity)
        for key in ((record.cell['id'],), kind, kind[:-1]):
            found.setdefault(key, []).append(taken)
    return found


def _kind(identity: dict) -> tuple:
    """Column and encoder: cells of one kind take about as long."""
    parts = [identity['protocol']['name'], identity['dataset']['name'], identity['recipe']]
    return (*parts, identity.get('shots'), identity.get('examples'), identity['encoder']['name'])


@dataclass(frozen=True)
class Cost:
    """What the cells to run will take together, as far as cells of their kind were measured."""

    seconds: float
    num_bytes: int
    num_known: int
    num_unknown: int


def cost(found: Plan, jobs: int) -> Cost:
    """Of the cells to run, `jobs` at a time."""
    items = found.in_state('to run')
    known = [item for item in items if item.seconds is not None]
    seconds = sum(item.seconds for item in known) / jobs
    return Cost(seconds, sum(item.num_bytes for item in known), len(known), len(items) - len(known))
