"""List files: any name that the file system allows comes back, or is refused with the name that would do."""

import os

import pytest

from sigma.data.lists import check_listable, pick_delimiter, read_list, unlistable, write_list
from sigma.errors import DataError

ODD_NAMES = [
    'a\u2028b.mp4',  # Python's splitlines cuts at these
    'a\x85b.mp4',
    'a\x1cb.mp4',
    'a\x0bb.mp4',
    "it's.mp4",
    'say "hi".mp4',
    'back\\slash.mp4',
    '(1) [2] {3}.mp4',
    'видео/视频.mp4',
    '-dash/-o.mp4',
    ' leading/and trailing .mp4 ',
    '2024',
]


def test_any_name_comes_back(tmp_path):
    pairs = [(name, number) for number, name in enumerate(ODD_NAMES)]
    delimiter = write_list(tmp_path / 'list.txt', pairs)
    assert delimiter == '\t'
    assert read_list(tmp_path / 'list.txt', delimiter) == pairs
    assert read_list(tmp_path / 'list.txt') == pairs


def test_a_name_without_white_space_keeps_the_format_of_mmaction2(tmp_path):
    pairs = [("it's.mp4", (0, 2)), ('b/c(1).mp4', ())]
    assert write_list(tmp_path / 'list.txt', pairs) == ' '
    assert (tmp_path / 'list.txt').read_bytes() == b"it's.mp4 0 2\nb/c(1).mp4\n"
    assert read_list(tmp_path / 'list.txt', ' ', multi_label=True) == pairs


def test_lists_of_others_may_have_windows_ends_empty_lines_and_spaces(tmp_path):
    (tmp_path / 'list.txt').write_bytes(b'a.mp4 0 \r\n\r\n  b.mp4 1\n')
    assert read_list(tmp_path / 'list.txt') == [('a.mp4', 0), ('b.mp4', 1)]


@pytest.mark.parametrize(
    ('name', 'would_do'),
    [
        ('a\nb.mp4', 'a_b.mp4'),
        ('a\tb.mp4', 'a_b.mp4'),
        ('a\r\nb.mp4', 'a_b.mp4'),
        (os.fsdecode(b'caf\xe9/x.mp4'), 'café/x.mp4'),
    ],
)
def test_a_name_that_no_list_can_hold_is_refused_with_one_that_would_do(tmp_path, name, would_do):
    assert unlistable(would_do) is None
    with pytest.raises(DataError, match=f"rename it to '{would_do}'"):
        write_list(tmp_path / 'list.txt', [(name, 0)])
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match=f"rename it to '{would_do}'.*2 names in all") as caught:
        check_listable(['fine.mp4', name, f'2{name}'], 'videos')
    str(caught.value).encode()  # it can be printed
    assert '\n' not in str(caught.value)


def test_a_list_in_another_encoding_is_named(tmp_path):
    (tmp_path / 'list.txt').write_bytes(b'caf\xe9.mp4 0\n')
    with pytest.raises(DataError, match=r'list.txt.*not a list in UTF-8'):
        read_list(tmp_path / 'list.txt')


def test_the_delimiter_is_a_tab_only_if_it_must_be():
    assert pick_delimiter(['a.mp4', 'b']) == ' '
    assert pick_delimiter(['a.mp4', 'b c']) == '\t'
