"""UCFRep: one MATLAB struct per video in <train|val>/<video>.mat, in a zip file or a folder.

`temporal_bound` holds the frames, counted from 1, at which cycles begin and end; `start_frame` and `end_frame` hold the
ends of the section that is counted in.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from sigma.data.cards import DatasetCard
from sigma.data.lists import Label
from sigma.datasets.published import Lists, stem_of
from sigma.datasets.published._files import find_file, reading


def read(annotations: Path, card: DatasetCard, videos: Sequence[str]) -> Lists:
    """Both splits, labelled with the number of cycles, and the frames of cycles and section. `videos` is not used."""
    splits: dict[str, list[tuple[str, Label]]] = {'train': [], 'test': []}
    cycles: dict[str, dict] = {}
    for split, published in (('train', 'train'), ('test', 'val')):
        for name, file, content in _structs(annotations, card, published):
            with reading(file, card):
                bounds, section = _label(content)
                video = f'{name}.avi'
                splits[split].append((video, len(bounds) - 1))
                cycles[video] = {
                    'cycles': [bound - 1 for bound in bounds],
                    'section': [frame - 1 for frame in section],
                }
    return Lists(splits, cycles)


def _structs(annotations: Path, card: DatasetCard, published: str) -> list[tuple[str, Path, bytes]]:
    """(video, file, bytes of its struct), sorted by name as in the published code."""
    folders = [annotations / published, annotations / 'annotations' / published]
    for folder in folders:
        files = sorted(folder.glob('*.mat')) if folder.is_dir() else []
        if files:
            return [(file.stem, file, file.read_bytes()) for file in files]
    file = find_file(annotations, card, 'ucf526_annotations.zip')
    with reading(file, card), zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if PurePosixPath(name).match(f'{published}/*.mat')]
        return [(stem_of(name), file, archive.read(name)) for name in sorted(names)]


def _label(content: bytes) -> tuple[list[int], list[int]]:
    """Boundaries of the cycles; first and last frame of the section."""
    from scipy.io import loadmat

    try:
        label = loadmat(io.BytesIO(content))['label'][0, 0]
        bounds = [int(bound) for bound in label['temporal_bound'].ravel()]
        return bounds, [int(label[name].item()) for name in ('start_frame', 'end_frame')]
    except Exception as error:  # a damaged file raises one of many kinds
        raise ValueError(f'a struct cannot be read: {error}') from None
