"""Suite x encoders x seeds -> cells, with the cells that they need, the state of each, and the cost of the rest."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from time import time

from eval.cells import claims
from eval.cells.cell import Cards, Cell, ResolvedCell
from eval.cells.overrides import Changes, known_keys, refuse_unknown
from eval.matrix.check import Facts, facts_of, problems_of_data
from eval.matrix.executors.job import Failure, Finished, Job, job_of, read_failure
from eval.matrix.steps import Reached, reached
from eval.matrix.suites import Entry
from eval.matrix.work import Work, own_factor, ruled_seconds, work_of
from eval.protocols import get_protocol
from eval.protocols.declared import declared_protocols, settings_of
from eval.records import RecordError, config_path, predictions_path, read_record, what_differs
from sigma.data.cards import sentences
from sigma.errors import DataError

OPEN = ('to run', 'elsewhere')  # states of cells whose record this run makes or waits for


class MissingData(DataError):
    """Data that cells of the plan need is missing.

    Attributes:
        problems: One sentence per missing thing, with the command that makes it.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__('; '.join(problems))
        self.problems = problems


@dataclass
class Planned:
    """A cell of the plan, and its state.

    Attributes:
        resolved: The cell; None if its data is missing.
        state: `done`; `failed`; `elsewhere` (a living process runs it); `to run`; `blocked` (a cell that it needs
            failed); `missing` (its data is missing, or it must fail).
        superseded: What differs in the record with the same name but another identity; empty without such a record.
        failure, claim: Why it failed; which other process runs it. None otherwise.
        reached: Where an interrupted cell stopped, and what it goes on from; None if it never started.
        work: Its steps, clips and operations; None if its data is missing or it is done.
        seconds, num_bytes: What a done cell took. For others the mean of their kind in this work directory, else an
            estimate from their work (`eval.matrix.work`). None only if the data is missing.
        how: Where these come from: `measured`, `machine` (by this machine's own speed) or `rule`.
        needs: Cells that must have their records first.
        needed_by: Names of the cells that need this one.
        listed: Whether the suite lists it; False for a cell that is here only because others need it.
    """

    cell: Cell
    resolved: ResolvedCell | None
    state: str
    superseded: str = ''
    failure: Failure | None = None
    claim: claims.Claim | None = None
    reached: Reached | None = None
    work: Work | None = None
    seconds: float | None = None
    num_bytes: int | None = None
    how: str = 'measured'
    needs: list['Planned'] = field(default_factory=list)
    needed_by: list[str] = field(default_factory=list)
    listed: bool = True

    @property
    def done(self) -> bool:
        return self.state == 'done'

    @property
    def name(self) -> str:
        """Name of the cell; made from the command line if its cards cannot be read."""
        cell = self.cell
        parts = [cell.encoder, cell.protocol, cell.dataset, *cell.subset_name, Path(cell.recipe).stem, f's{cell.seed}']
        return self.resolved.name if self.resolved else '_'.join(parts)

    def blocker(self) -> 'Planned | None':
        """The failed cell that keeps this one from running; None if it is not blocked."""
        if self.state != 'blocked':
            return None
        for needed in self.needs:
            if needed.state == 'failed':
                return needed
            if needed.state == 'blocked':
                return needed.blocker()
        return None


@dataclass
class Plan:
    """Every cell in the order it will run, and one sentence per missing thing, with the command that makes it.

    Attributes:
        notes: Sentences on what will run otherwise than one might expect.
    """

    cells: list[Planned] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def in_state(self, *states: str) -> list[Planned]:
        return [item for item in self.cells if item.state in states]

    def listed(self) -> list[Planned]:
        """The cells of the suite itself."""
        return [item for item in self.cells if item.listed]

    def jobs(self, work_dir: str | Path, imports: Sequence[str] = ()) -> list[Job]:
        """Jobs of the open cells, in order. This includes cells that run elsewhere, to take them over if they stop."""
        made: dict[str, Job] = {}

        def job(item: Planned) -> Job:
            assert item.resolved is not None  # nothing runs while data is missing
            if item.resolved.id not in made:
                needs = tuple(job(needed) for needed in item.needs)
                attempts = item.failure.attempts if item.failure and item.state in OPEN else 0
                made[item.resolved.id] = job_of(item.resolved, work_dir, imports, attempts, needs)
            return made[item.resolved.id]

        return [job(item) for item in self.in_state(*OPEN)]

    def measured(self, results: Sequence[Finished]) -> list[tuple[str, Work, float]]:
        """(protocol, work, seconds) of the cells that ran here from their beginning to their record."""
        items = {item.resolved.id: item for item in self.cells if item.resolved is not None and not item.reached}
        found = []
        for end in results:
            item = items.get(end.job.id)
            if end.state != 'done' or end.seconds is None or item is None or item.work is None:
                continue
            with contextlib.suppress(RecordError):
                seconds = read_record(Path(end.job.cwd, end.job.record)).get('run.seconds')
                found.append((item.cell.protocol, item.work, float(seconds)))
        return found

    def max_parallel(self) -> int:
        """How many open cells can usefully run at the same time: the largest number at one depth of needs."""
        counts: dict[int, int] = {}
        for item in self.in_state(*OPEN):
            depth = _depth(item)
            counts[depth] = counts.get(depth, 0) + 1
        return max(counts.values(), default=0)


def _depth(item: Planned) -> int:
    """Length of the longest chain of open cells that it needs."""
    return max((1 + _depth(needed) for needed in item.needs if needed.state in OPEN), default=0)


def plan(
    entries: Sequence[Entry],
    encoders: Sequence[str],
    seeds: Sequence[int],
    work_dir: str | Path,
    retry_failed: bool = False,
    cards: Cards | None = None,
    changes: Changes = (),
    shots_asked: bool = False,
) -> Plan:
    """Plan every cell, by column, then encoder, then seed, each after the cells that it needs. Writes nothing.

    Cards, weights and lists are read and hashed once each. The plan lists everything that is missing, not only the
    first thing.

    Args:
        entries: Entries of the suite.
        encoders: Names or paths of encoder cards, with `@FILE` for other weights.
        seeds: One cell per entry, encoder and seed.
        work_dir: Folder of the records; it may not exist yet.
        retry_failed: Run failed cells again.
        cards: Cards of encoders, datasets and recipes (default: read from files).
        changes: Of recipes, from the command line.
        shots_asked: Whether the user named the numbers of shots; more than any class has are then refused.

    Raises:
        MissingData: on names of encoders and datasets that do not exist; all of them.
        DataError: if there is no such protocol, or no cell takes a change.
    """
    cards, found = cards or Cards(), Plan()
    # Protocols are imported last, and only those of cells that can be resolved: the import of torch takes seconds.
    _refuse_unknown_names(cards, entries, encoders)
    errors: list[DataError] = []
    for entry in entries:
        settings_of(entry.protocol)  # refuses unknown names
    broken = _broken_cards(cards, entries, encoders, errors)
    known: dict[str, Planned] = {}

    def add(resolved: ResolvedCell, listed: bool) -> Planned:
        """Add a cell to the plan, after those that it needs."""
        item = known.get(resolved.id)
        if item is not None and not (listed and item.listed):  # two listed cells of one identity are refused later
            item.listed = item.listed or listed
            return item
        needs = [add(needed, listed=False) for needed in resolved.needs]
        item = known[resolved.id] = _look_up(resolved, work_dir, retry_failed)
        item.needs, item.listed = needs, listed
        for needed in needs:
            needed.needed_by.append(item.name)
        if item.state == 'to run' and any(needed.state in ('failed', 'blocked') for needed in needs):
            item.state = 'blocked'
        found.cells.append(item)
        return item

    for entry in entries:
        for encoder in encoders:
            for seed in seeds:
                recipe = _recipe(cards, entry, encoder, broken)
                cell = Cell(entry.protocol, entry.dataset, recipe, encoder, seed, entry.shots, entry.examples, changes)
                if broken & {('dataset', entry.dataset), ('encoder', encoder), ('recipe', recipe)}:
                    found.cells.append(Planned(cell, None, 'missing'))
                    continue
                try:
                    add(cards.cell(cell, get_protocol(entry.protocol)), listed=True)
                except DataError as error:
                    found.cells.append(Planned(cell, None, 'missing'))
                    errors.append(error)
    found.problems = sentences(errors)
    _drop_unused(found)
    _check_changes(found, changes)
    facts = _check(found, shots_asked)
    found.problems, found.notes = list(dict.fromkeys(found.problems)), list(dict.fromkeys(found.notes))
    _estimate(found, work_dir, facts)
    return found


def _refuse_unknown_names(cards: Cards, entries: Sequence[Entry], encoders: Sequence[str]) -> None:
    """Refuse names of cards that do not exist; a card that is there and cannot be read is told later, with the rest."""
    unknown: list[str] = []
    datasets = dict.fromkeys(entry.dataset for entry in entries)
    for read, names in ((cards.encoder, encoders), (cards.dataset, datasets)):
        for name in names:
            try:
                read(name)
            except DataError as error:
                unknown.append(str(error))
    if unknown:
        raise MissingData(unknown)


OPTIONS = {'epochs': '--epochs', 'batch_size': '--batch-size'}  # settings that have an option of their own


def _check_changes(found: Plan, changes: Changes) -> None:
    """Refuse changes that no protocol knows, and name the protocols that a change leaves alone."""
    if not changes:
        return
    resolved = [item.resolved for item in found.cells if item.resolved is not None]
    known = {key for cell in resolved for key in known_keys(cell.recipe, cell.protocol.settings)}
    for item in found.cells:  # also of cells that cannot be resolved, perhaps because a change has a wrong type
        known |= known_keys({}, settings_of(item.cell.protocol))
    for key in set(OPTIONS) & dict(changes).keys() - known:
        takers = [name for name, about in declared_protocols().items() if key in known_keys({}, about.settings)]
        raise DataError(
            f'{OPTIONS[key]}: no protocol of this plan has such a setting '
            f'({", ".join(sorted({item.cell.protocol for item in found.cells}))}). Leave it out, or measure one that '
            f'has: {", ".join(takers)}.'
        )
    refuse_unknown(dict(changes), known)
    for key, _ in changes:
        without = sorted({cell.protocol.name for cell in resolved if key not in cell.changes})
        if without:
            found.notes.append(f'{key}: {", ".join(without)} {"has" if len(without) == 1 else "have"} no such setting.')


def _check(found: Plan, shots_asked: bool) -> dict[str, Facts | None]:
    """Facts of the encoders of cells that would run, by identity of the cell; adds what must fail to the problems."""
    facts: dict[str, Facts | None] = {}
    for item in found.in_state(*OPEN):
        resolved = item.resolved
        if resolved is None:
            continue
        refusals, notes = problems_of_data(resolved, shots_asked)
        found.notes += notes
        try:
            facts[resolved.id] = found_facts = facts_of(resolved)
            resolved.encoder_flops = None if found_facts is None else found_facts.flops
        except DataError as error:
            refusals.append(str(error))
        if refusals:
            item.state = 'missing'
            found.problems += refusals
    return facts


def _drop_unused(found: Plan) -> None:
    """Drop cells that the suite does not list, that have no record, and that no cell to run needs."""
    while True:
        users = found.in_state(*OPEN, 'blocked')
        wanted = {id(needed) for item in users for needed in item.needs}
        kept = [item for item in found.cells if item.listed or item.done or id(item) in wanted]
        if len(kept) == len(found.cells):
            return
        found.cells = kept


def _broken_cards(cards: Cards, entries: Sequence[Entry], encoders: Sequence[str], errors: list) -> set[tuple]:
    """(kind, name) of datasets, encoders and recipes that cannot be read; adds the reasons to `errors`."""
    datasets = dict.fromkeys(entry.dataset for entry in entries)
    wanted: list[tuple[str, str, Callable]] = [('dataset', name, cards.lists) for name in datasets]
    wanted += [('encoder', name, cards.weights_sha256) for name in encoders]
    broken = _unread(wanted, errors)
    recipes = dict.fromkeys(_recipe(cards, entry, encoder, broken) for entry in entries for encoder in encoders)
    return broken | _unread([('recipe', name, cards.recipe) for name in recipes if '{' not in name], errors)


def _unread(wanted: list[tuple], errors: list[DataError]) -> set[tuple]:
    broken = set()
    for kind, name, read in wanted:
        try:
            read(name)
        except DataError as error:
            broken.add((kind, name))
            errors.append(error)
    return broken


def _recipe(cards: Cards, entry: Entry, encoder: str, broken: set[tuple]) -> str:
    """The entry's recipe, with `{family}` filled in by the encoder's card."""
    if '{family}' not in entry.recipe or ('encoder', encoder) in broken:
        return entry.recipe
    return entry.recipe.replace('{family}', cards.encoder(encoder).family)


def _look_up(resolved: ResolvedCell, work_dir: str | Path, retry_failed: bool) -> Planned:
    folder, path = resolved.folder(work_dir), resolved.record_path(work_dir)
    superseded = ''
    if path.is_file():
        try:
            record = read_record(path)
            if record.cell['id'] == resolved.id:
                return Planned(resolved.cell, resolved, 'done')
            superseded = what_differs(record.identity, resolved.identity) or 'its identity'
        except RecordError:
            superseded = 'it cannot be read'  # it will be moved aside, like a record with other settings
    failure = read_failure(folder)
    claim = claims.holder(folder, now=time())  # by our own clock: asking the file system for its time writes a file
    state = 'elsewhere' if claim else 'failed' if failure and not retry_failed else 'to run'
    stopped = reached(folder) if state == 'to run' else None
    return Planned(resolved.cell, resolved, state, superseded, failure, claim, stopped)


# -------------------------------------------------------------------------------------- what cells took, and will


def _estimate(found: Plan, work_dir: str | Path, facts: dict[str, Facts | None]) -> None:
    """Fill in work, seconds and bytes.

    Seconds are measured if the cell is done, else the mean of its kind with this encoder, else with any, else by
    the machine's speed or the rule. A cell that goes on from a saved step takes only the rest.
    """
    measured = _measured(Path(work_dir))
    for item in found.cells:
        if item.resolved is None:
            continue
        kind = _kind(item.resolved.identity)
        same = measured.get((item.resolved.id,)) or measured.get(kind) or measured.get(kind[:-1])
        if item.resolved.id in facts:
            item.work = work_of(item.resolved, facts[item.resolved.id])
        if same:
            item.seconds, item.num_bytes = mean(s for s, _ in same), round(mean(b for _, b in same))
        elif item.work is not None:
            factor = own_factor(item.resolved.protocol.name)
            item.seconds, item.num_bytes = ruled_seconds(item.work) * (factor or 1.0), item.work.num_bytes
            item.how = 'rule' if factor is None else 'machine'
        if item.seconds is not None and item.reached and item.reached.saved and item.work and item.work.steps:
            item.seconds *= max(0.0, 1 - item.reached.saved / item.work.steps)


def _measured(work_dir: Path) -> dict[tuple, list[tuple[float, int]]]:
    """(seconds, bytes) of every cell with a record, by its id, by its kind, and by its kind with any encoder."""
    found: dict[tuple, list[tuple[float, int]]] = {}
    for path in sorted((work_dir / 'records').rglob('*.json')):
        try:
            record = read_record(path)
        except RecordError:
            continue
        seconds = record.get('run.seconds')
        if seconds is None or not {'protocol', 'dataset', 'encoder', 'recipe'} <= set(record.identity):
            continue  # a published number, or a record from elsewhere
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
    changes = tuple(sorted((key, str(value)) for key, value in identity.get('changes', {}).items()))
    sizes = identity.get('shots'), identity.get('examples'), identity.get('limit')
    return (*parts, *sizes, changes, identity['encoder']['name'])


@dataclass(frozen=True)
class Cost:
    """What the cells to run will take together.

    Attributes:
        how: Where the estimates come from: some of `measured`, `machine` and `rule` (`Planned.how`).
    """

    seconds: float
    num_bytes: int
    num_known: int
    num_unknown: int
    how: tuple[str, ...] = ()


def cost(found: Plan, jobs: int) -> Cost:
    """Cost of the cells to run, including those that others need.

    Args:
        found: The plan.
        jobs: Cells in parallel. The estimate is never below the longest chain of cells that need each other.
    """
    items = found.in_state('to run')
    known = [item for item in items if item.seconds is not None]
    how = tuple(sorted({item.how for item in known}))
    longest = max((_chain_seconds(item) for item in items), default=0.0)
    seconds = max(longest, sum(item.seconds or 0.0 for item in known) / jobs)
    return Cost(seconds, sum(item.num_bytes or 0 for item in known), len(known), len(items) - len(known), how)


def _chain_seconds(item: Planned) -> float:
    """Seconds of the longest chain of cells to run that ends with this one."""
    needs = [_chain_seconds(needed) for needed in item.needs if needed.state == 'to run']
    return (item.seconds or 0.0) + max(needs, default=0.0)
