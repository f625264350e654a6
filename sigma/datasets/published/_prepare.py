"""Prepare a published dataset as downloaded: make its lists and find the file of each listed video."""

from __future__ import annotations

from pathlib import Path

from sigma.data.cards import DatasetCard
from sigma.data.index import build_index
from sigma.datasets.folders import VIDEO_SUFFIXES, find_videos
from sigma.datasets.prepared import (
    LOG,
    all_paths,
    card_text,
    check_root,
    may_write,
    named,
    refuse_another,
    warn_of_copies,
    warn_of_late_cycles,
    warn_of_missing,
    write_annotations,
    write_split,
)
from sigma.datasets.published import match_videos, read_lists, source_of, unpacked
from sigma.errors import DataError
from sigma.files import write_atomic
from sigma.text import in_utf8, is_utf8
from sigma.video import IMAGE_SUFFIXES


def prepare_published(
    card: DatasetCard,
    root: Path,
    command: str,
    annotations: Path | None = None,
    out: Path | None = None,
    workers: int | None = None,
    allow: bool = False,
) -> bool:
    """Write lists, index and card of a published dataset.

    Args:
        card: A card with `prepare_from`.
        root: Folder of the videos (or images), in any folders below it.
        command: The command that made it, for the card.
        annotations: The user's annotation files; None looks in `root`.
        out: Folder to write to; None takes the card's.
        workers: Processes; None uses one per CPU.
        allow: Write the lists even if some videos are missing or unreadable.

    Returns:
        Whether the lists were written; False if videos are missing or unreadable.

    Raises:
        DataError: as in `read_lists`; also if no listed video is found, or `out` holds another dataset.
    """
    check_root(root, '--root')
    out, stills = out or Path(card.info['data_root']), bool(card.info.get('stills'))
    refuse_another(out, card.name)
    if (files_root := unpacked(card, root, out)) is not None:
        root, annotations = files_root, annotations or root
    videos, _ = find_videos(root, IMAGE_SUFFIXES if stills else VIDEO_SUFFIXES)
    lists = read_lists(card, annotations, root, videos)
    listed = all_paths(lists.splits)
    files = match_videos(listed, videos, source_of(card).other_stem)
    if not files:
        raise DataError(
            f'None of the {len(listed)} videos of {card.name} (such as {listed[0]}) is among the {len(videos)} videos '
            f"under '{root}'. Get them from: {card.info['obtain']}."
        )
    if foreign := [file for file in files.values() if not is_utf8(file)]:
        name = in_utf8(foreign[0])
        raise DataError(f"{named(foreign)} not named in UTF-8, under '{root}': rename the first to '{name}'.")
    index = build_index(root, listed, out / 'index.jsonl', workers=workers, files=files, stills=stills)
    warn_of_missing([video for video in listed if video not in files], len(listed), out, card.info['obtain'])
    if not may_write(index, allow):
        return False
    warn_of_copies(lists.splits, index)
    warn_of_late_cycles(lists.annotations or {}, index)
    entries = {}
    for split, pairs in lists.splits.items():
        entries[split] = write_split(out, split, pairs, card.info['delimiter'])
        LOG.info(f'{split}: {len(pairs)} videos, {sum(index[video].readable for video, _ in pairs)} readable')
    if lists.annotations is not None:
        write_annotations(out / 'annotations.json', lists.annotations)
    write_atomic(out / 'dataset.py', card_text({**card.info, 'splits': entries, 'prepare': command}))
    LOG.info(f'card: {out / "dataset.py"}')
    return True
