"""Published datasets: one card each, which says what the dataset is and where its lists come from.

A card (`mmaction_configs/datasets/NAME.py`, or the path of any file) has two parts: `dataset_info` describes the
dataset, `prepare_from` says how `tools/prepare.py` makes its lists. Records do not depend on `prepare_from`. It holds

    reader       A file in this folder, without `.py` (default: `table`). `table.py` explains `train` and `test`:
                 a shipped list, or how to read the rows of a CSV or JSON file.
    needs        What the user's annotations must hold, as text; leave it out if all lists are shipped.
    also_named   (pattern, replacement): a second file name under which a listed video may be stored.
    pictures     Instead of all these, for altered copies of test videos: see `sigma/datasets/scenes.py`.

Everything else goes to the reader. Lists keep the published order and names, whatever is on the disk, so a random draw
from a list is the published draw. This module imports neither MMEngine nor PyAV.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from sigma.data import cards
from sigma.data.cards import DatasetCard, read_card
from sigma.data.lists import Label, list_text
from sigma.errors import DataError, did_you_mean

SHIPPED = cards.CONFIG_ROOT / 'annotations'


@dataclass(frozen=True)
class Lists:
    """What a dataset's annotation files say.

    Attributes:
        splits: `train` and `test` -> (video, label) in published order.
        annotations: video -> `actions`, or `cycles` and `section` (see `DatasetCard`); None if lists say everything.
    """

    splits: dict[str, list[tuple[str, Label]]]
    annotations: dict[str, dict] | None = None


@dataclass(frozen=True)
class Source:
    """Where a dataset's lists come from: the `prepare_from` of its card.

    Attributes:
        reader: Name of the reader.
        needs: What the user's annotations must hold; empty if all lists are shipped.
        also_named: (pattern, replacement) for the second stem of a video, or None.
        arguments: Keyword arguments of the reader.
    """

    reader: str = 'table'
    needs: str = ''
    also_named: tuple[str, str] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def other_stem(self, stem: str) -> str:
        """The second stem under which a listed video may be stored; the same one if there is none."""
        return re.sub(*self.also_named, stem) if self.also_named else stem

    def read(self, annotations: Path, card: DatasetCard, videos: Sequence[str]) -> Lists:
        """Call the reader.

        Raises:
            DataError: if annotation files are missing or malformed, or the card's settings do not fit the reader.
        """
        read: Callable[..., Lists] = _module(self.reader).read
        known = list(inspect.signature(read).parameters)[3:]
        if unknown := [name for name in self.arguments if name not in known]:
            raise DataError(f'{card.path}: {did_you_mean("setting of prepare_from", unknown[0], known)}.')
        return read(annotations, card, videos, **self.arguments)


def _module(name: str) -> ModuleType:
    known = [path.stem for path in Path(__file__).parent.glob('*.py') if not path.stem.startswith('_')]
    if name not in known:
        raise DataError(f'{did_you_mean("reader", name, known)}.')
    return importlib.import_module(f'{__name__}.{name}')


def unpacked(card: DatasetCard, root: Path, out: Path) -> Path | None:
    """Folder of the files that a reader made of archives under `root`; None if it has no `unpack`."""
    unpack = getattr(_module(source_of(card).reader), 'unpack', None)
    return unpack(root, out, card) if unpack else None


def source_of(card: DatasetCard) -> Source:
    """Where a card's lists come from.

    Raises:
        DataError: if the card has no `prepare_from`.
    """
    given = prepare_from(card)
    fields = {name: given.pop(name) for name in ('reader', 'needs', 'also_named') if name in given}
    return Source(**fields, arguments=given)


def prepare_from(card: DatasetCard) -> dict:
    """The `prepare_from` of a card.

    Raises:
        DataError: if it has none.
    """
    given = read_card(card.path, 'prepare_from')
    given.pop('data_root', None)
    return given


def published_cards() -> dict[str, str]:
    """Name -> first line of the docstring of every card with a `prepare_from`, from the text alone."""
    found = {}
    for name in cards.card_names('datasets'):
        path = cards.CONFIG_ROOT / 'datasets' / f'{name}.py'
        if _has_prepare_from(path):
            found[name] = (ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or '').partition('\n')[0]
    return found


def _has_prepare_from(path: Path) -> bool:
    """Whether a card assigns `prepare_from`, itself or in a file that its `_base_` names."""
    assigned = {}
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assigned[node.targets[0].id] = node.value
    if 'prepare_from' in assigned:
        return True
    bases = ast.literal_eval(assigned['_base_']) if '_base_' in assigned else []
    return any(_has_prepare_from(path.parent / base) for base in ([bases] if isinstance(bases, str) else bases))


def read_lists(card: DatasetCard, annotations: Path | None, root: Path, videos: Sequence[str]) -> Lists:
    """The lists of a published dataset, checked against its card.

    Args:
        card: A card with `prepare_from`.
        annotations: Folder (or file) of the user's copy; None looks in `root`.
        root: Folder of the videos.
        videos: Videos found under it, relative to it.

    Raises:
        DataError: if annotation files are missing, malformed or different from the card's, or were given for a dataset
            whose lists are shipped.
    """
    source = source_of(card)
    if annotations is not None and not source.needs:
        raise DataError(f'The lists of {card.name} come with the project: leave out --annotations.')
    if annotations is not None and not annotations.exists():
        raise DataError(f"--annotations: '{annotations}' does not exist.")
    lists = source.read(annotations if annotations is not None else root, card, videos)
    check_lists(card, lists)
    return lists


def check_lists(card: DatasetCard, lists: Lists) -> None:
    """Raise a DataError if a list differs from the card's, or names a video twice or an unknown class."""
    for split, pairs in lists.splits.items():
        entry = card.split(split)
        sha256 = hashlib.sha256(list_text(pairs, card.info['delimiter']).encode()).hexdigest()
        wrong_length = entry['num_videos'] not in (None, len(pairs))
        if wrong_length or entry['sha256'] not in (None, sha256):
            raise DataError(
                f'{card.name} ({split}): these annotations list {len(pairs)} videos, sha256 {sha256}; the card '
                f'{card.path.name} says {entry["num_videos"]}, sha256 {entry["sha256"]}. '
                f'Get the published ones: {card.info["obtain"]}.'
            )
        if card.task == 'action_recognition':
            outside = [video for video, label in pairs if isinstance(label, int) and label >= card.num_classes]
            if outside:
                raise DataError(f'{card.name} ({split}): {outside[0]} has a class above {card.num_classes - 1}.')
    names = [video for pairs in lists.splits.values() for video, _ in pairs]
    if len(names) != len(set(names)):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise DataError(f'{card.name}: {twice} is listed twice.')


# ------------------------------------------------------------------------------------- from listed names to files


def match_videos(
    listed: Iterable[str], found: Iterable[str], other_stem: Callable[[str], str] | None = None
) -> dict[str, str]:
    """Find the file of each listed video: the one with its stem, in any folder and with any extension.

    Args:
        listed: Names in the lists.
        found: Videos on the disk, relative to the root.
        other_stem: Gives the stem to look for if no file has the listed one.

    Returns:
        listed -> found; missing videos are left out.

    Raises:
        DataError: if several files have the stem, and neither folder nor extension decides between them.
    """
    by_stem: dict[str, list[str]] = {}
    for path in found:
        by_stem.setdefault(stem_of(path), []).append(path)
    files = {}
    for video in listed:
        candidates = by_stem.get(stem_of(video)) or (by_stem.get(other_stem(stem_of(video))) if other_stem else None)
        if candidates:
            files[video] = candidates[0] if len(candidates) == 1 else _the_one(video, candidates)
    return files


def stem_of(path: str) -> str:
    """File name without folders and extension."""
    return PurePosixPath(path).stem


def _the_one(video: str, candidates: list[str]) -> str:
    """The candidate in the listed folder; of several, the one with the listed extension; else the exact path."""
    listed = PurePosixPath(video)
    tests = (
        lambda path: path.with_suffix('').parts[-len(listed.parts) :] == listed.with_suffix('').parts,
        lambda path: path.parts[-len(listed.parts) :] == listed.parts,
        lambda path: path == listed,
    )
    left = candidates
    for test in tests:
        kept = [path for path in left if test(PurePosixPath(path))]
        if len(kept) == 1:
            return kept[0]
        left = kept or left
    raise DataError(
        f'{len(left)} files may be {video}: {", ".join(sorted(left)[:3])}; keep one, or put the right one at {video} '
        'under the root.'
    )
