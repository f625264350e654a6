"""What the readers share: finding annotation files, and one sentence for a malformed one."""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sigma.data.cards import DatasetCard
from sigma.datasets.published import source_of
from sigma.errors import DataError

_SIGNS_OF_ANOTHER_FORMAT = (
    ValueError, KeyError, TypeError, IndexError, AttributeError, csv.Error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def find_file(annotations: Path, card: DatasetCard, *names: str) -> Path:
    """The first of these files that exists: the path itself, in the folder, or one folder below.

    Raises:
        DataError: if none exists, saying what the dataset needs and where to get it.
    """
    if annotations.is_file() and annotations.name in names:
        return annotations
    for name in names:
        for file in (annotations / name, *sorted(annotations.glob(f'*/{name}'))):
            if file.is_file():
                return file
    raise DataError(
        f"{card.name} needs {source_of(card).needs}, and '{annotations}' has no {names[0]}: give the folder with "
        f'--annotations. Get it from: {card.info["obtain"]}.'
    )


@contextmanager
def reading(file: Path, card: DatasetCard) -> Iterator[None]:
    """Turn any error in a malformed annotation file into a DataError that names the file."""
    try:
        yield
    except _SIGNS_OF_ANOTHER_FORMAT as error:
        what = f'no such field or class: {error}' if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"'{file}' is not as {card.name} was published ({what}). Get the published one: {card.info['obtain']}."
        ) from None


def csv_rows(file: Path) -> Iterator[Mapping[str, str]]:
    """The rows of a CSV file with a header, in UTF-8."""
    with file.open(encoding='utf-8-sig', newline='') as lines:
        yield from csv.DictReader(lines)


def class_numbers(card: DatasetCard) -> dict[str, int]:
    """Class name -> number."""
    return {name: number for number, name in enumerate(card.info['classes'])}
