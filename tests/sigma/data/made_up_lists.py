"""Lists and tables as bad as they come: seeded, for `prepare list` and `prepare folder --csv`."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Row = list[str]
ODD_WORDS = (
    '', ' ', '\0', 'a\0b', '"', '""', "'", '\\', '\t', ',', ';', '-', '-1', '+1', '1.0', '1e3', '0x10', '٣', '²', '½',
    '00', '007', 'nan', 'None', 'é', 'e\u0301', '视频', '😀', '\u202e', '\u2028', '\x85', '\x1b[31m', '\ufeff',
    '\ufffd', '../0.mp4', '/etc/passwd', '.', '..', '~', '$HOME', '{{ fileDirname }}', "'''", '{0}', '%s', '#', '//',
    'a' * 300, 'b/' * 3000, '9' * 12, '9' * 30, '9' * 5000, str(2**31), str(2**63), str(2**64), '1000000000',
)  # fmt: skip
ENCODINGS = ('utf-8', 'utf-8-sig', 'latin-1', 'utf-16', 'utf-16-le', 'utf-32', 'cp1252', 'gb18030', 'utf-7')


def made_up(number: int, videos: list[str]) -> tuple[str, bytes, list[str]]:
    """(name of the file, its bytes, options of prepare) of one list or table.

    Args:
        number: Decides all of it.
        videos: Paths that exist.
    """
    draw = Random(f'list {number}')
    task = draw.choice(('action_recognition', 'action_recognition', 'multi_label', 'repetition'))
    rows = [[video, *_labels(task, draw)] for video in videos]
    if number % 2:
        return 'train.txt', _spoiled(_list(rows, draw), number, draw), [*_list_options(draw), '--task', task]
    header, rows = _columns(rows, task, draw)
    options = ['--task', task, *_table_options(draw)]
    return 'table.csv', _spoiled(_table([header, *rows], draw), number, draw), options


def _labels(task: str, draw: Random) -> Row:
    return [str(draw.randrange(1, 4)) for _ in range(draw.randrange(3) if task == 'multi_label' else 1)]


def _list(rows: list[Row], draw: Random) -> str:
    delimiter = draw.choice((' ', ' ', ' ', '\t', '\t', ','))
    rows = _odd(rows, draw)
    return draw.choice(('\n', '\n', '\r\n', '\r')).join(delimiter.join(row) for row in rows) + draw.choice(('', '\n'))


def _columns(rows: list[Row], task: str, draw: Random) -> tuple[Row, list[Row]]:
    label = 'count' if task == 'repetition' else 'label'
    header = ['path', label, 'split']
    split = draw.choice((*[('train', 'test')] * 5, ('Training', 'VALID'), ('train', 'oops'), ('train', '')))
    rows = [[row[0], ';'.join(row[1:]), split[number % 2]] for number, row in enumerate(rows)]
    change = draw.randrange(16)
    if change == 0:
        header = [*header, draw.choice(('label', 'path', 'split', '', ' label '))]
        rows = [[*row, 'x'] for row in rows]
    elif change == 1:
        header = draw.choice(
            (['path'], [], ['path', 'path', 'path'], [' path', 'label ', 'split'], ['Path', 'Label', 'Split'])
        )
    return header, rows


def _table(rows: list[Row], draw: Random) -> str:
    rows = [rows[0], *_odd(rows[1:], draw)]
    quote = draw.choice((str, str, '"{}"'.format))
    return draw.choice(('\n', '\r\n')).join(draw.choice((*',,,,,,,', ';')).join(map(quote, row)) for row in rows)


def _odd(rows: list[Row], draw: Random) -> list[Row]:
    """Some cells odd; rows twice, missing, short, long or empty."""
    rows = [list(row) for row in rows]
    for _ in range(draw.choice((0, 0, 0, 1, 1, 3))):
        row = draw.choice(rows)
        if row:
            row[draw.randrange(len(row))] = draw.choice((ODD_WORDS[draw.randrange(len(ODD_WORDS))],) * 3 + (row[0], ''))
    change = draw.randrange(24)
    if change == 0:
        rows.append(list(rows[0]))
    elif change == 1:
        rows[0] = rows[0][:-1]
    elif change == 2:
        rows[-1] = [*rows[-1], 'more', 'and more']
    elif change == 3:
        rows.insert(1, [])
    elif change == 4:
        rows = rows[:1]
    return rows


def _spoiled(text: str, number: int, draw: Random) -> bytes:
    """The text in some encoding, cut, spoiled or enlarged."""
    encoding = ENCODINGS[number // 2 % len(ENCODINGS)] if draw.random() < 0.3 else 'utf-8'
    data = text.encode(encoding, 'replace')
    ways: tuple[Callable[[], bytes], ...] = (
        *[lambda: data] * 20,
        lambda: data[: draw.randrange(len(data) + 1)],
        lambda: data + b'\x00' * draw.choice((1, 1000)),
        lambda: data + b'\n' + b'x' * 200_000 + b' 1\n',
        lambda: data + b'"' + b'y' * 200_000,
        lambda: data + b'\n' * 10_000,
        lambda: data + b'\n0.mp4' + b' 1' * 50_000,
        lambda: bytes(byte ^ (1 << draw.randrange(8)) if draw.random() < 0.02 else byte for byte in data),
        lambda: draw.choice((b'', b'\xff\xfe', b'\xef\xbb\xbf', b'\n', b'\0', b'PK\x03\x04', draw.randbytes(500))),
    )  # fmt: skip
    return draw.choice(ways)()


def _list_options(draw: Random) -> list[str]:
    options = draw.choice((*[['--test-fraction', '0.5']] * 8, ['--test-fraction', 'nan'], []))
    if draw.random() < 0.1:
        options = [*options, '--delimiter', draw.choice((',', '\t', '', '  ', 'x'))]
    if draw.random() < 0.1:
        options = [*options, '--group-regex', draw.choice(('(.)', '(', '^', r'(x)?\d', '.*'))]
    return options


def _table_options(draw: Random) -> list[str]:
    options: list[str] = []
    if draw.random() < 0.3:
        options = draw.choice(
            (['--test-fraction', '0.5'], ['--test-every', '2'], ['--test-where', 'label=1-2'],
             ['--test-where', 'label'], ['--label-columns', 'label,split'], ['--label-columns', ''],
             ['--group-column', 'split'],
             ['--drop-label', '1'], ['--test-where', f'label=1-{"9" * 5000}'], ['--split-column', 'label'],
             ['--cycles-column', 'count'])
        )  # fmt: skip
    return options


def made_up_classes(number: int) -> bytes | None:
    """The bytes of a file of class names; None for most numbers, which give none."""
    draw = Random(f'classes {number}')
    if draw.random() < 0.75:
        return None
    words = draw.sample(ODD_WORDS[:40], 6)
    return draw.choice(
        (b'a\nb\nc\nd\n', b'a\na\nb\n', b'', b'a\r\nb\r\nc\r\nd', b'\xff\xfea\x00', 'é\nü\nñ\nø'.encode('latin-1'),
         b'a\nb\0\nc\nd', '\n'.join(words).encode('utf-8', 'replace'), b'x' * 300_000 + b'\nb\nc\nd')
    )  # fmt: skip
