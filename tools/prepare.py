"""Prepare a dataset: render `toy`, take a published one or a folder of videos; write lists, the index and a card.

    python tools/prepare.py toy --out data/toy
    python tools/prepare.py toy --domain shift --out data/toy_shift
    python tools/prepare.py toy --form all --out data          # every set of the suite severe_toy
    python tools/prepare.py folder VIDEOS --out data/mine                          # VIDEOS/<class>/<video>
    python tools/prepare.py folder --csv clips.csv --test-where serial=16-22 --out data/gestures
    python tools/prepare.py folder --csv clips.csv --task repetition --test-every 4 --out data/reps
    python tools/prepare.py ucf101 --root UCF-101                                  # to $SIGMA_DATA/ucf101
    python tools/prepare.py ssv2 --root VIDEOS --annotations LABELS
    python tools/prepare.py hat_k400_human --root DIR --annotations LIST           # altered copies of test videos
    python tools/prepare.py reencode VIDEOS --out SMALL --short-side 256 --gop 12  # copies that are quick to read
    python tools/prepare.py join --csv clips.csv --background none --test-where serial=16-22 --out data/joined
    python tools/prepare.py holdout toy_localization --every 5 --out data/chosen_on

OUT then holds `train.txt` and `test.txt` (mmaction2's `path label` lines), `index.jsonl` (every video read strictly
once), `dataset.py` (the card that configs and the suite read) and, where lists cannot say all, `annotations.json`.
Videos stay where they are. Killed anywhere, the same command goes on; what was read or rendered is not done again.

`join` makes long videos with exact boundaries out of short clips, for temporal localization (sigma/datasets/join.py).
`holdout` makes a card whose test split is a part of another's train split: settings are chosen there, not on test.

Videos of a published dataset are found by their names, in whatever folders and with whatever endings. Those that are
missing are counted and stand in `missing.txt`.

Exit status: 0 prepared; 1 some videos are unreadable or missing (`--allow-unreadable` keeps them in the lists, where
training skips and evaluation counts them); 2 bad input, in one sentence.
"""

import argparse
import contextlib
import dataclasses
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from sigma.data.cards import load_dataset_card
from sigma.data.index import build_index
from sigma.datasets import published, scenes
from sigma.datasets.folders import Splits, check_splits, find_videos, named, splits_of_csv, splits_of_folder
from sigma.datasets.prepared import (
    card_text,
    may_write,
    refuse_another,
    warn_of_copies,
    warn_of_late_cycles,
    write_annotations,
    write_dataset,
    write_split,
)
from sigma.errors import DataError
from sigma.files import write_atomic

METRICS = {'action_recognition': 'top1', 'multi_label': 'mean_average_precision', 'repetition': 'count_error'}


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    options.command = shlex.join(['python', 'tools/prepare.py', *arguments])
    try:
        return options.run(options)
    except DataError as error:
        print(f'prepare: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('prepare: stopped; the same command goes on from here.', file=sys.stderr)
        return 130
    except OSError as error:  # a full disk, a folder without permission
        where = error.filename or getattr(options, 'out', None)
        print(f'prepare: {error.strerror}' + (f': {where}' if where else ''), file=sys.stderr)
        return 2


# -------------------------------------------------------------------------------------------------- sub-commands


def prepare_toy(options: argparse.Namespace) -> int:
    """Render a form of the toy dataset, or each of the suite `severe_toy`, then index it as any folder."""
    from sigma.datasets.toy import render as toy

    asked = {'size': options.size, 'seed': options.seed}
    if options.clips_per_class:
        asked['clips_per_class'] = tuple(options.clips_per_class)
    look = {key: value for key in ('domain', 'level') if (value := getattr(options, key)) is not None}
    if options.form != 'all':
        return _prepare_toy(toy.ToySpec(form=options.form, **look, **asked), Path(options.out), options)
    if look:
        raise DataError(f'--form all decides --{" and --".join(look)} by itself: leave out what it decides.')
    for name, spec in toy.SETS.items():  # what is there is only checked
        if status := _prepare_toy(dataclasses.replace(spec, **asked), Path(options.out) / name, options):
            return status
    return 0


def _prepare_toy(spec, out: Path, options: argparse.Namespace) -> int:
    from sigma.datasets.toy import render as toy

    splits = toy.render(spec, out, workers=options.workers)
    index = build_index(out / 'videos', _all_paths(splits), out / 'index.jsonl', workers=options.workers)
    info = {**toy.card(spec), 'prepare': options.command}
    return write_dataset(out, info, splits, index, options.allow_unreadable, toy.annotations(spec))


def prepare_folder(options: argparse.Namespace) -> int:
    """Take a folder of `<class>/<video>`, or the rows of a CSV file."""
    root, splits, annotations = _read_splits('folder', options)
    out = Path(options.out)
    name = options.name or out.resolve().name
    refuse_another(out, name)
    is_new = not out.exists()
    index = build_index(root, _all_paths(splits), out / 'index.jsonl', workers=options.workers)
    if len(index.unreadable) == len(index):
        first = index.unreadable[0]
        (out / 'index.jsonl').unlink()
        if is_new:
            out.rmdir()
        raise DataError(f"None of the {len(index)} videos under '{root}' is readable; {first.path}: {first.reason}.")
    sampling = {'num_frames': options.num_frames}
    if options.stride_frames:  # else each encoder's own
        sampling['stride_frames'] = options.stride_frames
    info = {
        'name': name,
        'task': options.task,
        'video_root': str(root.resolve()),
        'metric': METRICS[options.task],
        # A mirrored video has as many cycles.
        'flips_change_label': options.task != 'repetition' and not options.flips_are_harmless,
        'sampling': sampling,
        'size': options.size,
        'source': options.source,
        'licence': options.licence,
        'prepare': options.command,
    }
    return write_dataset(out, info, splits, index, options.allow_unreadable, annotations)


def _read_splits(command: str, options: argparse.Namespace) -> tuple[Path, Splits, dict[str, dict] | None]:
    """Folder of the videos, (path, label) pairs of each split, and annotations if a table has them."""
    if options.csv is None and options.path is None:
        raise DataError(f'{command} needs PATH (videos as <class>/<video>), or --csv FILE.')
    root = Path(options.path if options.path is not None else Path(options.csv).parent)
    if not root.is_dir():
        raise DataError(f"'{root}' is no folder.")
    if options.csv is None and options.task != 'action_recognition':
        raise DataError(f'--task {options.task} needs --csv FILE: folders can only say one class a video.')
    if options.csv is not None:
        splits, annotations = splits_of_csv(root, options)
    else:
        splits, annotations = splits_of_folder(root, options), None
    check_splits(splits, root)
    return root, splits, annotations


def prepare_join(options: argparse.Namespace) -> int:
    """Join clips to long videos, actions with a background between them."""
    from sigma.datasets import join

    root, splits, _ = _read_splits('join', options)
    join.check_background(splits, options.background)
    out = Path(options.out)
    join.check_folder(out)
    # Rate and size may follow from the clips; all that was asked is checked before minutes of reading.
    fps, size = 25 if options.fps is None else options.fps, options.frame_size or (16, 16)
    asked = join.Joining(options.background, fps, *size, tuple(options.actions), options.seed)
    with _as_it_was(out / 'clips.jsonl'):
        clips = build_index(root, _all_paths(splits), out / 'clips.jsonl', workers=options.workers)
        if not may_write(clips, options.allow_unreadable):
            return 1
        fps, width, height = join.common_look(clips, options.fps, options.frame_size)
        joining = dataclasses.replace(asked, fps=fps, width=width, height=height)
        videos = join.plan(splits, clips, joining)
        join.write_joined(videos, clips, out, joining, options.workers)
    index = build_index(out / 'videos', list(videos), out / 'index.jsonl', workers=options.workers)
    join.check_lengths(videos, index)
    sampling = {'num_frames': options.num_frames, 'stride_frames': options.stride_frames}
    info = {
        'name': options.name or out.resolve().name,
        'task': 'localization',
        'video_root': 'videos',
        'metric': 'map_30_70',
        'flips_change_label': not options.flips_are_harmless,
        'sampling': {key: value for key, value in sampling.items() if value},
        'note': join.note(splits, clips, videos, joining),
        'source': options.source,
        'licence': options.licence,
        'prepare': options.command,
    }
    print(info['note'])
    return write_dataset(out, info, join.labelled(videos), index, False, join.annotations(videos, joining))


@contextlib.contextmanager
def _as_it_was(file: Path) -> Iterator[None]:
    """Where what stands within is refused, a file that was there before has its former content again."""
    former = file.read_text(encoding='utf-8') if file.is_file() else None
    try:
        yield
    except DataError:
        if former is not None:
            write_atomic(file, former)
        raise


def prepare_holdout(options: argparse.Namespace) -> int:
    """Take every Nth training video of a prepared dataset as the test split of a new card."""
    from sigma.datasets.held_out import held_out

    card, out = load_dataset_card(options.dataset), Path(options.out)
    splits, info = held_out(card, options.every, out)
    out.mkdir(parents=True, exist_ok=True)
    entries = {split: write_split(out, split, pairs, info['delimiter']) for split, pairs in splits.items()}
    write_atomic(out / 'dataset.py', card_text({**info, 'splits': entries, 'prepare': options.command}))
    print(f'{info["note"]}\ncard: {out / "dataset.py"}')
    return 0


def prepare_published(options: argparse.Namespace) -> int:
    """Take a published dataset as it was downloaded: its lists, and which file is which listed video."""
    card = load_dataset_card(options.dataset)
    root = Path(options.root)
    if not root.is_dir():
        raise DataError(f"--root: '{root}' is no folder.")
    videos, _ = find_videos(root)
    annotations = Path(options.annotations) if options.annotations is not None else None
    lists = published.read_lists(card, annotations, root, videos)
    listed = [video for pairs in lists.splits.values() for video, _ in pairs]
    files = published.match_videos(listed, videos, published.SOURCES[card.name].other_stem)
    if not files:
        raise DataError(
            f'None of the {len(listed)} videos of {card.name} (such as {listed[0]}) is among the {len(videos)} videos '
            f"under '{root}'. Get them from: {card.info['obtain']}."
        )
    out = Path(options.out if options.out is not None else card.info['data_root'])
    refuse_another(out, card.name)
    index = build_index(root, listed, out / 'index.jsonl', workers=options.workers, files=files)
    _tell_missing([video for video in listed if video not in files], len(listed), out, card.info['obtain'])
    if not may_write(index, options.allow_unreadable):
        return 1
    warn_of_copies(lists.splits, index)
    warn_of_late_cycles(lists.annotations or {}, index)
    entries = {}
    for split, pairs in lists.splits.items():
        entries[split] = write_split(out, split, pairs, card.info['delimiter'])
        print(f'{split}: {len(pairs)} videos, {sum(index[video].readable for video, _ in pairs)} readable')
    if lists.annotations is not None:
        write_annotations(out / 'annotations.json', lists.annotations)
    write_atomic(out / 'dataset.py', card_text({**card.info, 'splits': entries, 'prepare': options.command}))
    print(f'card: {out / "dataset.py"}')
    return 0


def prepare_scenes(options: argparse.Namespace) -> int:
    """Take altered copies of a known dataset's test videos (`sigma/datasets/scenes.py`): make videos of them."""
    card, root = load_dataset_card(options.dataset), Path(options.root)
    if not root.is_dir():
        raise DataError(f"--root: '{root}' is no folder.")
    pairs = Path(options.pairs) if options.pairs is not None else None
    items = scenes.read_items(card.name, Path(options.annotations), pairs)
    name = card.name if pairs is None else f'{card.name}_{pairs.stem}'
    out = Path(options.out) if options.out is not None else Path(card.info['data_root']).with_name(name)
    bad = scenes.make_videos(card.name, items, root, out / 'videos', options.fps, options.workers)
    for video, reason in list(bad.items())[:5]:
        print(f'  not made: {video}: {reason}')
    videos = [item.video for item in items]
    files = {video: video for video in videos if video not in bad}
    index = build_index(out / 'videos', videos, out / 'index.jsonl', workers=options.workers, files=files)
    _tell_missing([video for video in videos if video in bad], len(videos), out, card.info['obtain'])
    if not may_write(index, options.allow_unreadable):
        return 1
    info = {**card.info, 'name': name, 'prepare': options.command}
    pairs_of = {'train': [], 'test': [(item.video, item.label) for item in items]}
    info['splits'] = {split: write_split(out, split, listed, info['delimiter']) for split, listed in pairs_of.items()}
    if pairs is not None:
        info['annotations'] = 'annotations.json'
        write_annotations(out / 'annotations.json', {item.video: {'background': item.other_label} for item in items})
    write_atomic(out / 'dataset.py', card_text(info))
    print(f'test: {len(items)} videos, {len(items) - len(index.unreadable)} readable')
    print(f'card: {out / "dataset.py"}')
    return 0


def prepare_reencode(options: argparse.Namespace) -> int:
    """Copy the videos of a folder to small ones that are quick to read, and index the copies."""
    from sigma.datasets.reencode import Encoding, copy_name, reencode

    root, out = Path(options.path), Path(options.out)
    if not root.is_dir():
        raise DataError(f"'{root}' is no folder.")
    videos, _ = find_videos(root)
    if not videos:
        raise DataError(f"No video lies under '{root}'.")
    encoding = Encoding.of(options.codec, options.short_side, options.gop, options.quality)
    bad = reencode(root, videos, out, encoding, options.workers)
    for video, reason in bad.items():
        print(f'  not re-encoded: {video}: {reason}')
    copies = [copy_name(video) for video in videos if video not in bad]
    index = build_index(out, copies, out / 'index.jsonl', workers=options.workers)
    for video in index.unreadable:  # not ours: what lay there before was left alone
        print(f'  unreadable: {video.path}: {video.reason}')
    print(f'{len(copies)} of {len(videos)} videos have a copy under {out}; index: {out / "index.jsonl"}')
    print(f'to train on them: tools/prepare.py folder {out} --out FOLDER, or k400, ssv2 ... with --root {out}')
    if bad:
        print(f'prepare: {len(bad)} of {len(videos)} videos could not be re-encoded.', file=sys.stderr)
    return 1 if (bad or index.unreadable) and not options.allow_unreadable else 0


def _tell_missing(missing: list[str], num_listed: int, out: Path, obtain: str) -> None:
    """Count and name listed videos that are not on the disk; all of them go to missing.txt."""
    file = out / 'missing.txt'
    file.unlink(missing_ok=True)
    if missing:
        write_atomic(file, '\n'.join(missing) + '\n')
        print(
            f'prepare: {named(missing)} missing of {num_listed} listed; all names are in {file}. '
            f'Get them from: {obtain}.',
            file=sys.stderr,
        )


def _all_paths(splits: Splits) -> list[str]:
    return [path for pairs in splits.values() for path, _ in pairs]


# ------------------------------------------------------------------------------------------------------- arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='prepare', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(
        required=True,
        metavar=f'{{toy,folder,join,holdout,reencode,{",".join([*sorted(published.SOURCES), *scenes.SCENES])}}}',
    )
    reading = argparse.ArgumentParser(add_help=False)
    reading.add_argument('--workers', type=positive_number, help='processes (default: one a CPU)')
    reading.add_argument('--allow-unreadable', action='store_true', help='keep unreadable videos in the lists')
    shared = argparse.ArgumentParser(add_help=False, parents=[reading])
    shared.add_argument('--out', required=True, help='folder to write to')
    _add_toy(commands.add_parser('toy', parents=[shared], help='render the toy dataset'))
    _add_folder(commands.add_parser('folder', parents=[shared], help='take a folder of videos'))
    _add_join(commands.add_parser('join', parents=[shared], help='long videos out of short clips'))
    _add_holdout(commands.add_parser('holdout', help='a card whose test split is a part of train'))
    _add_reencode(commands.add_parser('reencode', parents=[shared], help='copies that are quick to read'))
    for name, source in sorted(published.SOURCES.items()):
        _add_published(commands.add_parser(name, parents=[reading], help='take it as published'), name, source)
    for name in scenes.SCENES:
        _add_scenes(commands.add_parser(name, parents=[reading], help='altered copies of test videos'), name)
    return parser


def _add_scenes(parser: argparse.ArgumentParser, name: str) -> None:
    add = parser.add_argument
    layout = ', '.join(scenes.SCENES[name].needs)
    add('--root', required=True, metavar='DIR', help=f'holds {layout or "a folder of pictures a video"}')
    add('--annotations', required=True, metavar='LIST', help='lines of `name frames class`')
    add('--pairs', metavar='FILE', help="action swap: HAT's pickle of which video gives the background")
    add('--fps', type=float, default=25.0, help='of the videos written, which the pictures do not say (default: 25)')
    add('--out', metavar='DIR', help=f'folder to write to (default: $SIGMA_DATA/{name}, where its card looks)')
    parser.set_defaults(run=prepare_scenes, dataset=name)


def _add_published(parser: argparse.ArgumentParser, name: str, source: published.Source) -> None:
    add = parser.add_argument
    add('--root', required=True, metavar='DIR', help='folder of the videos, in whatever folders below it')
    needs = f'holds {source.needs} (default: the root)' if source.needs else 'not needed, the lists are shipped'
    add('--annotations', metavar='DIR', help=needs)
    add('--out', metavar='DIR', help=f'folder to write to (default: $SIGMA_DATA/{name}, where its card looks)')
    parser.set_defaults(run=prepare_published, dataset=name)


def _add_reencode(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('path', metavar='SRC', help='folder of the videos, which stay as they are')
    add('--short-side', type=positive_number, default=256, help='pixels; smaller videos keep their size (default: 256)')
    add('--codec', choices=['h264', 'jpeg'], default='h264', help='jpeg: a cache of JPEG frames, large and quickest')
    add('--gop', type=positive_number, help='frames from one key frame to the next (default: 12)')
    add(
        '--quality', type=int, help="x264's rate factor (default: 20), jpeg's quantiser (default: 2); smaller is better"
    )
    parser.set_defaults(run=prepare_reencode)


def _add_toy(toy: argparse.ArgumentParser) -> None:
    toy.add_argument(
        '--form',
        choices=['action_recognition', 'rhythms', 'speeds', 'repetition', 'two_movers', 'localization', 'all'],
        default='action_recognition',
        help='what is asked; all: every set of the suite severe_toy, each in a folder of its name under OUT',
    )
    toy.add_argument('--domain', choices=['main', 'shift'], help='shift: other photographs and frame rate')
    toy.add_argument('--level', choices=['easy', 'hard'], help='hard: full texture, smaller movers')
    toy.add_argument(
        '--size', type=positive_number, default=64, help='pixels a side, 64 or 112 (any even number from 32)'
    )
    toy.add_argument('--seed', type=int, default=0)
    toy.add_argument(
        '--clips-per-class',
        type=positive_number,
        nargs=2,
        metavar=('TRAIN', 'TEST'),
        help="of a whole split for repetition, two_movers and localization (default: each form's own)",
    )
    toy.set_defaults(run=prepare_toy)


def _add_folder(folder: argparse.ArgumentParser) -> None:
    add = folder.add_argument
    _add_table(folder)
    add('--task', choices=list(METRICS), default='action_recognition', help='what a label is (default: a class)')
    add('--count-column', default='count', metavar='COLUMN', help='repetition: number of cycles (default: count)')
    add('--cycles-column', metavar='COLUMN', help='repetition: frames at which a cycle ends, divided by spaces')
    add('--size', type=positive_number, default=112, help='pixels a side for training (default: 112)')
    folder.set_defaults(run=prepare_folder)


def _add_join(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _add_table(parser)
    add('--background', required=True, metavar='LABEL', help='label of the clips that stand between actions')
    add('--fps', type=float, help="frames a second (default: the clips', if they agree)")
    add('--frame-size', type=_frame_size, metavar='WxH', help="pixels (default: the clips', if they agree)")
    add('--actions', type=int, nargs=2, default=(4, 6), metavar=('LEAST', 'MOST'), help='of a video (default: 4 6)')
    add('--seed', type=int, default=0, help='of the order of the clips (default: 0)')
    parser.set_defaults(run=prepare_join, task='action_recognition', count_column='count', cycles_column=None)


def _add_holdout(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('dataset', metavar='CARD', help='name of a card, or a prepared folder')
    add('--every', type=int, default=5, metavar='N', help='training videos N, 2N, 3N, ... are held out (default: 5)')
    add('--out', required=True, help='folder to write to')
    parser.set_defaults(run=prepare_holdout)


def _add_table(parser: argparse.ArgumentParser) -> None:
    """Where videos, labels and splits come from, and what the card says of them."""
    add = parser.add_argument
    add('path', nargs='?', metavar='PATH', help='folder of <class>/<video>; with --csv, where its paths start')
    add('--csv', metavar='FILE', help='table with columns path and label, and split if there is one')
    add('--label-columns', default='label', metavar='A,B', help='columns of the label; multi_label: divided by ;')
    add('--split-column', default='split', metavar='COLUMN', help='holds train, val or test (default: split)')
    add('--test-where', metavar='COLUMN=VALUES', help='test rows, by values and ranges: serial=16-22, speaker=F10,M08')
    add('--test-every', type=positive_number, metavar='N', help='rows N, 2N, 3N, ... of the table are the test split')
    add('--test-fraction', type=float, metavar='SHARE', help='test share of each class, by hash (default: 0.25)')
    add('--drop-label', action='append', default=[], metavar='LABEL', help='leave a label out; may be repeated')
    add('--name', help='of the dataset (default: name of the OUT folder)')
    add('--num-frames', type=positive_number, default=16, help='frames of a clip (default: 16)')
    add('--stride-frames', type=positive_number, help="frames from one to the next (default: each encoder's own)")
    add('--flips-are-harmless', action='store_true', help='mirrored videos keep their label: training may flip')
    add('--source', default='', help='where the videos come from, for the card')
    add('--licence', default='', help='of the videos, for the card')


def _frame_size(text: str) -> tuple[int, int]:
    width, times, height = text.lower().partition('x')
    if not (times and width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f'{text!r} was given; WIDTHxHEIGHT is needed, such as 170x128')
    return int(width), int(height)


def positive_number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{text} is not positive')
    return number


if __name__ == '__main__':
    sys.exit(main())
