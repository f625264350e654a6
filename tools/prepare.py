"""Prepare a dataset: render `toy`, or take your own videos or a published set; write lists, index and card.

    python tools/prepare.py folder VIDEOS --out data/mine                  # VIDEOS/<class>/<video>, or with splits
    python tools/prepare.py folder --csv clips.csv --test-where serial=16-22 --out data/gestures
    python tools/prepare.py cut --csv words.csv --label-columns word --clip-frames 16 --out data/words   # sections
    python tools/prepare.py list --train train.txt --test val.txt --root VIDEOS --out data/mine   # mmaction2's lists
    python tools/prepare.py ucf101 --root UCF-101                          # a published set, to $SIGMA_DATA/ucf101
    python tools/prepare.py mine.py --root VIDEOS --annotations LABELS     # a dataset card of your own
    python tools/prepare.py toy --form all --out data                      # all sets of the suite severe_toy
    python tools/prepare.py COMMAND --help                                 # the options of a command

OUT then holds `train.txt` and `test.txt` (mmaction2's `path label` lines), `index.jsonl` (every video, read strictly
once), `dataset.py` (the card for configs and suites) and, if lists cannot express everything, `annotations.json`.
Videos stay where they are. If the command is killed, run it again: nothing is read or rendered twice.

Exit status: 0 prepared; 1 some videos are unreadable or missing (`--allow-unreadable` keeps them in the lists; training
skips them and evaluation counts them); 2 bad input, explained in one sentence.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import shlex
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from sigma.commands import Parser, add_version, end_with, outlive_readers, positive
from sigma.data.cards import DatasetCard, load_dataset_card
from sigma.datasets import published
from sigma.errors import DataError, did_you_mean
from sigma.text import sentence

TASKS = ('action_recognition', 'multi_label', 'repetition')


def main(arguments: list[str] | None = None) -> int:
    """Run a sub-command; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    outlive_readers()
    for stream in (sys.stdout, sys.stderr):  # a path may hold bytes that the terminal's encoding lacks
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')
    options = None
    try:
        options = _parser(arguments).parse_args(arguments)
        options.command = _command(arguments[0], options)
        with _printed():
            return 0 if options.run(options) or getattr(options, 'allow_unreadable', False) else 1
    except DataError as error:
        print(f'prepare: {sentence(str(error))}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('prepare: stopped. Run the same command again to continue.', file=sys.stderr)
        return 130
    except OSError as error:  # a full disk, a folder without permission
        where = error.filename or getattr(options, 'out', None)
        print(f'prepare: {sentence(error.strerror + (f": {where}" if where else ""))}', file=sys.stderr)
        return 2


class _Printer(logging.Handler):
    """Prints what the library logs: information to stdout, warnings to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            print(f'prepare: {sentence(record.getMessage())}', file=sys.stderr)
        else:
            print(record.getMessage())


@contextlib.contextmanager
def _printed() -> Iterator[None]:
    """Print the log of sigma.datasets inside the block."""
    log, printer = logging.getLogger('sigma.datasets'), _Printer()
    level, propagate = log.level, log.propagate
    log.addHandler(printer)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(printer)
        log.setLevel(level)
        log.propagate = propagate


# -------------------------------------------------------------------------------------------------- sub-commands
# Each returns whether everything was prepared. Imports are local: `--help` needs none of them.


def prepare_toy(options: argparse.Namespace) -> bool:
    """Render one form of the toy dataset, or all of the suite `severe_toy`."""
    from sigma.datasets.toy import ToySpec, prepare_sets, prepare_toy

    out, clips = Path(options.out), tuple(options.clips_per_class) if options.clips_per_class else None
    look = {key: value for key in ('domain', 'level') if (value := getattr(options, key)) is not None}
    if options.form == 'stills':
        from sigma.datasets.toy.stills import prepare_stills

        if look:
            raise DataError(f'--form stills has no --{" or --".join(look)}: leave it out.')
        return prepare_stills(out, options.size, options.seed, clips, options.command, options.allow_unreadable)
    shared = {'command': options.command, 'workers': options.workers, 'allow': options.allow_unreadable}
    if options.form == 'all':
        if look:
            raise DataError(f'--form all sets --{" and --".join(look)} itself: leave it out.')
        return prepare_sets(out, options.size, options.seed, clips, **shared)
    spec = ToySpec(form=options.form, size=options.size, seed=options.seed, clips_per_class=clips, **look)
    return prepare_toy(spec, out, **shared)


def prepare_folder(options: argparse.Namespace) -> bool:
    """Take a folder of `<class>/<video>`, or the rows of a CSV file."""
    from sigma.datasets.folders import prepare_folder
    from sigma.datasets.selection import About, Selection

    selection, about = _fields(Selection, options), _fields(About, options, prepare=options.command)
    shared = {'workers': options.workers, 'allow': options.allow_unreadable}
    return prepare_folder(selection, Path(options.out), about, options.size, **shared)


def prepare_list(options: argparse.Namespace) -> bool:
    """Take lists in mmaction2's format."""
    from sigma.datasets.imported import prepare_list
    from sigma.datasets.selection import About

    files = {split: Path(file) for split in ('train', 'val', 'test') if (file := getattr(options, split))}
    return prepare_list(
        files,
        Path(options.out),
        _fields(About, options, prepare=options.command),
        root=_path(options.root),
        class_file=_path(options.classes),
        task=options.task,
        delimiter=options.delimiter,
        test_fraction=options.test_fraction,
        group_regex=options.group_regex,
        size=options.size,
        workers=options.workers,
        allow=options.allow_unreadable,
    )


def prepare_join(options: argparse.Namespace) -> bool:
    """Join clips to long videos: actions with background between them."""
    from sigma.datasets.join import prepare_join
    from sigma.datasets.selection import About, Selection

    return prepare_join(
        _fields(Selection, options),
        Path(options.out),
        _fields(About, options, prepare=options.command),
        background=options.background,
        fps=options.fps,
        frame_size=options.frame_size,
        num_actions=tuple(options.actions),
        seed=options.seed,
        workers=options.workers,
        allow=options.allow_unreadable,
    )


def prepare_cut(options: argparse.Namespace) -> bool:
    """Cut labelled sections out of longer videos."""
    from sigma.datasets.cut import Cutting, prepare_cut
    from sigma.datasets.selection import About, Selection

    cutting = Cutting(options.start_column, options.end_column, options.clip_frames, options.where)
    return prepare_cut(
        _fields(Selection, options),
        Path(options.out),
        _fields(About, options, prepare=options.command),
        cutting,
        size=options.size,
        workers=options.workers,
        allow=options.allow_unreadable,
    )


def prepare_holdout(options: argparse.Namespace) -> bool:
    """Make every Nth training video of a prepared dataset the test split of a new card."""
    from sigma.datasets.held_out import prepare_held_out

    prepare_held_out(load_dataset_card(options.dataset), options.every, Path(options.out), options.command)
    return True


def prepare_reencode(options: argparse.Namespace) -> bool:
    """Copy the videos of a folder to small ones that are fast to read, and index the copies."""
    from sigma.datasets.reencode import Encoding, prepare_copies

    encoding = Encoding.of(options.codec, options.short_side, options.gop, options.quality)
    return prepare_copies(Path(options.path), Path(options.out), encoding, options.workers)


def prepare_published(options: argparse.Namespace) -> bool:
    """Take a published dataset as it was downloaded."""
    from sigma.datasets.published._prepare import prepare_published

    return prepare_published(
        load_dataset_card(options.dataset),
        Path(options.root),
        options.command,
        annotations=_path(options.annotations),
        out=_path(options.out),
        workers=options.workers,
        allow=options.allow_unreadable,
    )


def prepare_scenes(options: argparse.Namespace) -> bool:
    """Make videos from the altered test videos of a known dataset."""
    from sigma.datasets.scenes import prepare_scenes

    return prepare_scenes(
        load_dataset_card(options.dataset),
        Path(options.root),
        Path(options.annotations),
        options.command,
        pairs_file=_path(options.pairs),
        fps=options.fps,
        out=_path(options.out),
        workers=options.workers,
        allow=options.allow_unreadable,
    )


def _fields(kind, options: argparse.Namespace, **given):
    """A dataclass filled from the options with the same names as its fields."""
    names = [field.name for field in fields(kind) if hasattr(options, field.name) and field.name not in given]
    return kind(**{name: getattr(options, name) for name in names}, **given)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


# ------------------------------------------------------------------------------------------------------- arguments


_JOIN = 'Make long videos with exact boundaries from short clips, for temporal localization (sigma/datasets/join.py).'
_CUT = 'Make short clips from longer videos, one per row of a table: the labelled sections of recordings.'
_HOLDOUT = "Make a card whose test split is part of another card's train split: settings are then not chosen on test."
_PUBLISHED = (
    'Videos are found by name, in any folder and with any extension; missing.txt lists those that are not there.'
)


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    """The parser. It names all published datasets, but has a sub-command only for the one that is asked for."""
    cards = published.published_cards()
    names = textwrap.fill(', '.join(cards), 100, initial_indent='  ', subsequent_indent='  ', break_on_hyphens=False)
    parser = Parser(
        prog='prepare',
        description=__doc__,
        epilog=f'published datasets (`prepare.py NAME --help` describes one):\n{names}',
    )
    add_version(parser)
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    reading = argparse.ArgumentParser(add_help=False)
    reading.add_argument('--workers', type=positive, help='processes (default: one per core)')
    reading.add_argument('--allow-unreadable', action='store_true', help='keep unreadable videos in the lists')
    shared = argparse.ArgumentParser(add_help=False, parents=[reading])
    shared.add_argument('--out', required=True, type=_PathText, help='folder to write to')
    _add_toy(commands.add_parser('toy', parents=[shared], help='render the toy dataset'))
    _add_folder(commands.add_parser('folder', parents=[shared], help='take a folder of videos, or a table'))
    _add_list(commands.add_parser('list', parents=[shared], help="take lists in mmaction2's format"))
    _add_join(
        commands.add_parser('join', parents=[shared], help='make long videos from short clips', description=_JOIN)
    )
    _add_cut(commands.add_parser('cut', parents=[shared], help='cut labelled sections out of videos', description=_CUT))
    _add_holdout(
        commands.add_parser('holdout', help='make a card whose test split is part of train', description=_HOLDOUT)
    )
    _add_reencode(commands.add_parser('reencode', parents=[shared], help='make copies that are fast to read'))
    commands.add_parser('NAME', add_help=False, help='take a published dataset: a name from the list below, or a card')
    asked = next((word for word in arguments if not word.startswith('-')), None)
    if asked is not None and (asked in cards or asked.endswith('.py')):
        told = {'description': cards[asked]} if asked in cards else {}
        _add_card(commands.add_parser(asked, parents=[reading], **told), load_dataset_card(asked), asked)
    elif asked is not None and asked not in (own := ('toy', 'folder', 'list', 'join', 'cut', 'holdout', 'reencode')):
        raise DataError(f'{did_you_mean("command or dataset", asked, [*own, *cards])}; or give the path of a card.')
    return parser


def _command(name: str, options: argparse.Namespace) -> str:
    """The command for the card: what was given, with resolved paths, quoted for a shell; it works from any folder."""
    name = str(Path(name).absolute()) if name.endswith('.py') else name
    first: list[str] = []
    rest: list[str] = []
    for action in options.parser._actions:
        value = getattr(options, action.dest, None)
        if value is None or value == action.default or action.dest == 'workers':
            continue
        values = value if isinstance(value, list) else [value]
        texts = [str(Path(text).absolute()) if isinstance(text, _PathText) else str(text) for text in values]
        option = (action.option_strings or [''])[-1]
        if not option:
            first += texts
        elif value is True:
            rest.append(option)
        elif action.nargs:
            rest += [option, *texts]
        else:
            for text in texts:  # given several times, if there are several
                rest += [f'{option}={text}'] if text.startswith('-') else [option, text]
    return shlex.join(['python', 'tools/prepare.py', name, *first, *rest])


def _add_card(parser: argparse.ArgumentParser, card: DatasetCard, asked: str) -> None:
    given = published.prepare_from(card)
    if 'pictures' in given:
        _add_scenes(parser, card)
    else:
        _add_published(parser, card)
    where = f'$SIGMA_DATA/{card.name}, where its card looks' if asked == card.name else card.info['data_root']
    parser.add_argument('--out', type=_PathText, metavar='DIR', help=f'folder to write to (default: {where})')
    parser.set_defaults(dataset=asked)


def _add_scenes(parser: argparse.ArgumentParser, card: DatasetCard) -> None:
    from sigma.datasets.scenes import scenes_of

    add = parser.add_argument
    holds = ', '.join(scenes_of(card).needs) or 'one folder of pictures per video'
    add(
        '--root',
        type=_PathText,
        required=True,
        metavar='DIR',
        help=f'holds {holds}',
    )
    add('--annotations', type=_PathText, required=True, metavar='LIST', help='lines of `name frames class`')
    add('--pairs', type=_PathText, metavar='FILE', help="action swap: HAT's pickle of background pairs")
    add('--fps', type=float, default=25.0, help='frames per second of the videos to write (default: 25)')
    parser.set_defaults(run=prepare_scenes, parser=parser)


def _add_published(parser: argparse.ArgumentParser, card: DatasetCard) -> None:
    add, needs = parser.add_argument, published.source_of(card).needs
    add(
        '--root',
        type=_PathText,
        required=True,
        metavar='DIR',
        help='folder of the videos or images, in any folders below it',
    )
    holds = f'holds {needs} (default: the root)' if needs else 'not needed: the lists are shipped'
    add('--annotations', type=_PathText, metavar='DIR', help=holds)
    parser.epilog = _PUBLISHED
    parser.set_defaults(run=prepare_published, parser=parser)


def _add_reencode(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('path', type=_PathText, metavar='SRC', help='folder of the videos; they are not changed')
    add('--short-side', type=positive, default=256, help='pixels; smaller videos keep their size (default: 256)')
    add('--codec', choices=['h264', 'jpeg'], default='h264', help='jpeg: a cache of JPEG frames, large and fastest')
    add('--gop', type=positive, help='frames from one key frame to the next (default: 12)')
    add(
        '--quality',
        type=int,
        help="quality: x264's rate factor (default: 20) or jpeg's quantiser (default: 2); smaller is better",
    )
    parser.set_defaults(run=prepare_reencode, parser=parser)


def _add_toy(toy: argparse.ArgumentParser) -> None:
    toy.add_argument(
        '--form',
        choices=[
            'action_recognition',
            'rhythms',
            'speeds',
            'repetition',
            'two_movers',
            'localization',
            'stills',
            'all',
        ],
        default='action_recognition',
        help='the task; all: every set of the suite severe_toy, each in its own folder under OUT',
    )
    toy.add_argument('--domain', choices=['main', 'shift'], help='shift: different photographs and frame rate')
    toy.add_argument(
        '--level',
        choices=['easy', 'alike', 'hard'],
        help='alike: mover and background look alike; hard: full texture, smaller movers',
    )
    toy.add_argument('--size', type=positive, default=64, help='pixels per side, 64 or 112 (any even number from 32)')
    toy.add_argument('--seed', type=int, default=0, help='another seed draws other clips (default: 0)')
    toy.add_argument(
        '--clips-per-class',
        type=positive,
        nargs=2,
        metavar=('TRAIN', 'TEST'),
        help='clips per class, or clips in all for repetition, two_movers and localization (default: by --form)',
    )
    toy.set_defaults(run=prepare_toy, parser=toy)


def _add_folder(folder: argparse.ArgumentParser) -> None:
    add = folder.add_argument
    _add_table(folder)
    add('--task', choices=TASKS, default='action_recognition', help='what a label is (default: one class)')
    add('--count-column', default='count', metavar='COLUMN', help='repetition: number of cycles (default: count)')
    add('--cycles-column', metavar='COLUMN', help='repetition: frames at which cycles end, separated by spaces')
    add('--size', type=positive, default=112, help='pixels per side for training (default: 112)')
    add('--metric', help="what cells are ranked by, such as mean_class (default: the task's usual one)")
    folder.set_defaults(run=prepare_folder, parser=folder)


def _add_list(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('--train', type=_PathText, required=True, metavar='LIST', help='lines of `path label`, labels from 0')
    add('--val', type=_PathText, metavar='LIST', help='the test split, if there is no --test')
    add('--test', type=_PathText, metavar='LIST', help='list of the test split')
    add(
        '--root',
        type=_PathText,
        metavar='DIR',
        help='folder that paths start from (default: that of --train)',
    )
    add('--classes', type=_PathText, metavar='FILE', help='class names, one per line (default: the numbers)')
    add('--delimiter', help='between path and label (default: a tab if a line has one, else a space)')
    add('--task', choices=TASKS, default='action_recognition', help='what a label is (default: one class)')
    add('--test-fraction', type=float, metavar='SHARE', help='with --train alone: test share of each class, by hash')
    _add_group_regex(parser)
    add('--size', type=positive, default=112, help='pixels per side for training (default: 112)')
    add('--metric', help="what cells are ranked by, such as mean_class (default: the task's usual one)")
    _add_about(parser)
    parser.set_defaults(run=prepare_list, parser=parser)


def _add_join(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _add_table(parser)
    add('--background', required=True, metavar='LABEL', help='label of the background clips')
    add('--fps', type=float, help="frames per second (default: the clips', if they agree)")
    add('--frame-size', type=_frame_size, metavar='WxH', help="pixels (default: the clips', if they agree)")
    add(
        '--actions',
        type=int,
        nargs=2,
        default=(4, 6),
        metavar=('LEAST', 'MOST'),
        help='actions per video (default: 4 6)',
    )
    add('--seed', type=int, default=0, help='for the order of the clips (default: 0)')
    given = {'task': 'action_recognition', 'count_column': 'count', 'cycles_column': None}
    parser.set_defaults(run=prepare_join, parser=parser, **given)


def _add_cut(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _add_table(parser)
    add(
        '--start-column',
        default='start_frame',
        metavar='COLUMN',
        help='first frame of a section (default: start_frame)',
    )
    add('--end-column', default='end_frame', metavar='COLUMN', help='frame after its last one (default: end_frame)')
    add(
        '--clip-frames',
        type=positive,
        metavar='N',
        help='frames of every clip, around the middle of its section (default: those of the section)',
    )
    add('--where', metavar='COLUMN=VALUES', help='cut these rows only, by values and ranges: slot=4 (default: all)')
    add('--size', type=positive, default=112, help='pixels per side for training (default: 112)')
    add('--metric', help='what cells are ranked by, such as mean_class (default: top1)')
    given = {'task': 'action_recognition', 'count_column': 'count', 'cycles_column': None}
    parser.set_defaults(run=prepare_cut, parser=parser, **given)


def _add_holdout(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('dataset', type=_card_name, metavar='CARD', help='name of a card, or a prepared folder')
    add('--every', type=int, default=5, metavar='N', help='training videos N, 2N, 3N, ... are held out (default: 5)')
    add('--out', required=True, type=_PathText, help='folder to write to')
    parser.set_defaults(run=prepare_holdout, parser=parser)


def _add_table(parser: argparse.ArgumentParser) -> None:
    """Where videos, labels and splits come from, and what the card says about them."""
    add = parser.add_argument
    add(
        'path',
        nargs='?',
        type=_PathText,
        metavar='PATH',
        help='folder of <class>/<video>; with --csv, the base of its paths',
    )
    add('--csv', type=_PathText, metavar='FILE', help='table with columns path, label and, optionally, split')
    add(
        '--label-columns',
        default='label',
        metavar='A,B',
        help='columns that make up the label; for multi_label, cells separate classes by ;',
    )
    add('--split-column', default='split', metavar='COLUMN', help='holds train, val or test (default: split)')
    add('--test-where', metavar='COLUMN=VALUES', help='test rows, by values and ranges: serial=16-22, speaker=F10,M08')
    add(
        '--test-every',
        type=positive,
        metavar='N',
        help='videos (or groups) N, 2N, ... are the test split',
    )
    add('--test-fraction', type=float, metavar='SHARE', help='test share of each class, by hash (default: 0.25)')
    add('--group-column', metavar='COLUMN', help='what clips of one group share, such as a person; see --group-regex')
    _add_group_regex(parser)
    add('--drop-label', action='append', default=[], metavar='LABEL', help='leave out a label; may be repeated')
    _add_about(parser)


def _add_group_regex(parser: argparse.ArgumentParser) -> None:
    said = 'finds the group in a path, such as "(S[0-9]+)_": clips of one group stay in one split'
    parser.add_argument('--group-regex', metavar='REGEX', help=said)


def _add_about(parser: argparse.ArgumentParser) -> None:
    """What the card says."""
    add = parser.add_argument
    add('--name', help='name of the dataset (default: that of the OUT folder)')
    add('--num-frames', type=positive, default=16, help='frames per clip (default: 16)')
    add(
        '--stride-frames',
        type=positive,
        help="video frames between sampled frames (default: each encoder's own)",
    )
    add('--flips-are-harmless', action='store_true', help='mirrored videos keep their label, so training may flip')
    add('--source', default='', help='where the videos come from, for the card')
    add('--licence', default='', help='licence of the videos, for the card')


class _PathText(str):
    """A path as it was given; `_command` resolves it."""


class _FrameSize(tuple):
    """Width and height in pixels."""

    def __str__(self) -> str:
        return 'x'.join(map(str, self))


def _card_name(text: str) -> str:
    """Name of a card, or the path of one."""
    return _PathText(text) if Path(text).exists() else text


def _frame_size(text: str) -> _FrameSize:
    width, times, height = text.lower().partition('x')
    if not (times and width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f'{text!r} is not WIDTHxHEIGHT, such as 170x128')
    return _FrameSize((int(width), int(height)))


if __name__ == '__main__':
    end_with(main)
