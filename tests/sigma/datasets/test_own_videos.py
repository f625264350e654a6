"""Which videos, classes and splits come out of a user's folders, tables and lists. No video is opened here."""

import logging
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from sigma.datasets import imported, prepared
from sigma.datasets.folders import find_videos, read_splits
from sigma.datasets.prepared import class_order, clean_label, refuse_another, report_counts
from sigma.datasets.selection import METRICS, About, Selection
from sigma.datasets.splits import split_by_hash, split_name
from sigma.datasets.tables import read_table
from sigma.errors import DataError


@pytest.fixture
def lay(tmp_path):
    """A function that makes empty files under `videos`."""

    def lay(*paths: str) -> Path:
        for path in paths:
            file = tmp_path / 'videos' / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return tmp_path / 'videos'

    return lay


@pytest.fixture
def said(caplog):
    """What was logged, as (level, message) pairs."""
    caplog.set_level(logging.INFO, 'sigma.datasets')
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def read(root, **options) -> dict[str, list[tuple[str, object]]]:
    return {split: sorted(pairs) for split, pairs in read_splits(Selection(path=str(root), **options))[1].items()}


# --- folders: N1, V11 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('names', 'second'),
    [
        (('train', 'valid'), 'test'),
        (('training', 'validation'), 'test'),
        (('Train', 'Test'), 'test'),
        (('TRAINING', 'Testing'), 'test'),
        (('train_set', 'val set'), 'test'),
        (('train', 'val', 'test'), 'val'),
    ],
)
@pytest.mark.parametrize('pattern', ['{split}/{label}/1.mp4', '{label}/{split}/1.mp4'])
def test_split_folders_are_splits_in_any_case_and_spelling(lay, names, second, pattern):
    root = lay(*(pattern.format(split=name, label=label) for name in names for label in ('run', 'jump')))
    found = read(root)
    keys = ['train', second, 'test'] if len(names) == 3 else ['train', second]
    assert list(found) == keys
    for key, name in zip(keys, names):
        assert found[key] == [(pattern.format(split=name, label=label), label) for label in ('jump', 'run')]


@pytest.mark.parametrize(
    ('paths', 'words'),
    [
        (('train/x/1.mp4', 'valid/x/1.mp4', 'run/1.mp4'), r'split folders \(train, valid\) and others \(run\)'),
        (('Train/x/1.mp4', 'bus/1.mp4'), r'split folders \(Train\) and others \(bus\)'),
        (('run/1.mp4', 'run/test/2.mp4', 'hop/1.mp4'), r'split folders \(test\) and others below its classes'),
        (('run/train/1.mp4', 'run/test/2.mp4', 'hop/a/1.mp4'), r'split folders \(test, train\) and .* \(a\)'),
        (('train/x/1.mp4', 'Training/y/1.mp4'), 'Training, train alone: a training and a test split'),
        (('test/x/1.mp4', 'val/y/1.mp4'), 'test, val alone: a training and a test split'),
        (('train/1.mp4', 'test/x/1.mp4'), r'1 of 2 videos .* in no class folder, first train/1.mp4'),
    ],
)
def test_folders_that_may_be_splits_or_classes_are_refused(lay, paths, words):
    with pytest.raises(DataError, match=words):
        read(lay(*paths))


def test_names_that_say_a_split():
    assert [split_name(name) for name in ('Valid', 'test-set', ' TRAIN ', 'validation_split')] == [
        'val',
        'test',
        'train',
        'val',
    ]
    assert [split_name(name) for name in ('trains', 'testimony', 'set', '', 'trainset2', 'contest')] == [None] * 6


def test_split_folders_and_options_that_split_are_refused_together(lay):
    root = lay('train/x/1.mp4', 'train/y/1.mp4', 'test/x/1.mp4', 'test/y/1.mp4')
    for options in ({'test_fraction': 0.5}, {'test_every': 2}):
        with pytest.raises(DataError, match='has folders for its splits: leave out'):
            read(root, **options)
    for options in ({'group_column': 'person'}, {'test_where': 'person=3'}):
        with pytest.raises(DataError, match='names a column, so it needs --csv'):
            read(root, **options)


def test_two_class_folders_linked_to_one_are_both_kept_and_circles_end(lay):
    root = lay('../shared/1.mp4', '../shared/2.mp4', 'hop/3.mp4')
    for label in ('run', 'walk'):
        (root / label).symlink_to(root.parent / 'shared')
    (root.parent / 'shared' / 'up').symlink_to(root)  # run/up/run/up/...
    (root / 'itself').symlink_to('itself')
    videos, others = find_videos(root)
    assert videos == ['hop/3.mp4', 'run/1.mp4', 'run/2.mp4', 'walk/1.mp4', 'walk/2.mp4']
    assert others == Counter({'links in a circle': 2, 'without a suffix': 1})


def test_what_is_left_aside_is_told_by_kind(lay, said):
    root = lay(
        'run/1.mp4', 'run/2.MOV', 'hop/1.mp4', 'hop/2.mp4', 'a.txt', 'b.TXT', 'c.jpg', 'run/README', '.git/x.mp4'
    )
    read(root)
    told = [text for _, text in said() if text.startswith('left aside')]
    assert told == ['left aside: 5 that are no videos (2 .txt, 1 .jpg, 1 hidden, 1 without a suffix)']


def test_a_folder_that_cannot_be_read_stops(lay):
    root = lay('run/1.mp4', 'hop/1.mp4')
    (root / 'run').chmod(0)
    if os.access(root / 'run', os.R_OK):
        pytest.skip('this user may read everything')
    with pytest.raises(PermissionError):
        find_videos(root)


# --- names: N4, N5, N6 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('path', 'would_do'),
    [(os.fsdecode(b'caf\xe9/1.mp4'), 'café/1.mp4'), ('a\nb/1.mp4', 'a_b/1.mp4'), ('a\tb/1.mp4', 'a_b/1.mp4')],
)
def test_names_that_no_list_can_hold_are_refused_before_anything_is_read(lay, path, would_do):
    with pytest.raises(DataError, match=f"rename it to '{would_do}'"):
        read(lay(path, 'run/1.mp4', 'run/2.mp4'))


def test_a_parent_folder_outside_utf8_is_refused_with_a_name_that_would_do(tmp_path):
    root = tmp_path / os.fsdecode(b'b\xfccher')
    root.mkdir()
    with pytest.raises(DataError, match=r"b\\udcfccher' is not in UTF-8: rename it to '.*/bücher'"):
        read(root)
    with pytest.raises(DataError, match="rename it to '.*/bücher/mine'"):
        refuse_another(root / 'mine', 'mine')


@pytest.mark.parametrize(
    ('name', 'would_do'),
    [
        ('my videos', 'my_videos'),
        ('clips (new)', 'clips_new'),
        ('Müller', 'Muller'),
        ('видео', 'videos'),
        ('.hidden', 'hidden'),
        ('-v', 'v'),
        ("o'brien", 'o_brien'),
    ],
)
def test_a_dataset_name_that_records_could_not_carry_is_refused_with_one_that_would_do(tmp_path, name, would_do):
    with pytest.raises(DataError, match=re.escape(f'{would_do} would do: --name {would_do}')):
        refuse_another(tmp_path / 'out', About('', None).name_for(tmp_path / name))
    refuse_another(tmp_path / 'out', would_do)


# --- labels: N7 ----------------------------------------------------------------------------------------------------


def test_labels_are_stripped_and_empty_rows_counted(lay, tmp_path, said):
    root = lay('a.mp4', 'b.mp4', 'c.mp4', ' d.mp4')
    rows = ['path, label ,split', 'a.mp4,a,train', 'b.mp4,a ,Test', ',,', 'c.mp4,"b\n",TRAINING']
    rows += ['" d.mp4",\tb,test', ' , ,', '']
    (tmp_path / 'clips.csv').write_bytes('\r\n'.join(rows).encode())
    assert read(root, csv=str(tmp_path / 'clips.csv')) == {
        'train': [('a.mp4', 'a'), ('c.mp4', 'b')],
        'test': [(' d.mp4', 'b'), ('b.mp4', 'a')],
    }
    assert ('INFO', '2 empty rows of clips.csv are passed over') in said()


def test_a_table_with_empty_rows_alone_has_no_rows(tmp_path):
    (tmp_path / 'clips.csv').write_text('path,label\n,\n\n')
    assert read_table(tmp_path / 'clips.csv') == ([], ['path', 'label'])


@pytest.mark.parametrize('mark', [';', '\t'])
def test_a_table_as_a_spreadsheet_writes_it_may_have_other_separators(mark, tmp_path):
    rows = [['path', 'label', 'split'], ['"a, b.mp4"', 'x', 'train'], ['"c;d.mp4"', 'y, z', 'test']]
    text = ''.join(mark.join(row) + '\r\n' for row in rows)
    (tmp_path / 'clips.csv').write_bytes(b'\xef\xbb\xbf' + text.encode())
    assert read_table(tmp_path / 'clips.csv') == (
        [
            {'path': 'a, b.mp4', 'label': 'x', 'split': 'train'},
            {'path': 'c;d.mp4', 'label': 'y, z', 'split': 'test'},
        ],
        ['path', 'label', 'split'],
    )


def test_numbers_are_ordered_as_numbers_and_names_as_text():
    assert class_order(['10', '2', '1', '10']) == ['1', '2', '10']
    assert class_order(['10', '2', 'x']) == ['10', '2', 'x']
    assert class_order(['0', '-1', '01', '1']) == ['-1', '0', '01', '1']


def test_labels_that_look_alike_are_one():
    assert clean_label(' cafe\u0301\n') == clean_label('café') == 'café'
    assert clean_label('high \n jump') == 'high jump'


def test_a_video_with_two_labels_or_in_two_splits_is_named(lay, tmp_path):
    root = lay('a.mp4', 'b.mp4')
    rows = 'path,label,split\na.mp4,x,train\nb.mp4,y,train\na.mp4,{label},{split}\n'
    for label, split, words in (('y', 'train', r'a.mp4 \(x and y\)'), ('x', 'test', 'a.mp4 is in train and in test')):
        (tmp_path / 'clips.csv').write_text(rows.format(label=label, split=split) + 'b.mp4,y,test\n')
        with pytest.raises(DataError, match=words):
            read(root, csv=str(tmp_path / 'clips.csv'))


# --- groups and counts: U28 ----------------------------------------------------------------------------------------


def test_a_split_keeps_groups_together_and_every_class_in_train(lay):
    paths = [f'{label}/S{person}_{clip}.mp4' for label in ('hop', 'run') for person in range(8) for clip in range(3)]
    lonely = ['fly/S1_0.mp4', 'fly/S1_1.mp4']  # all of one person: they stay in train
    root = lay(*paths, *lonely)
    found = read(root, group_regex=r'(S\d+)_')
    people = {split: {path[4:6] for path, _ in pairs} for split, pairs in found.items()}
    assert not people['train'] & people['test']
    counts = {split: Counter(label for _, label in pairs) for split, pairs in found.items()}
    assert counts['test'] == Counter(hop=6, run=6)  # two of eight people, as 0.25 asks
    assert counts['train'] == Counter(hop=18, run=18, fly=2)
    every = read(root, group_regex=r'S\d+', test_every=4)
    assert len({path[4:6] for path, _ in every['test']}) == 2


def test_a_column_may_be_the_group(lay, tmp_path, said):
    names = [f'{n}.mp4' for n in range(8)]
    root = lay(*names)
    rows = [f'{name},{"xy"[n % 2]},{n // 2},{("train", "test")[n % 4 > 2]}' for n, name in enumerate(names)]
    (tmp_path / 'clips.csv').write_text('path,label,who,split\n' + '\n'.join(rows))
    found = read(root, csv=str(tmp_path / 'clips.csv'), group_column='who', test_fraction=0.25)
    assert ('INFO', 'the column split is not used, because of --test-fraction') in said()
    assert not [text for level, text in said() if level == 'WARNING']
    who = {split: {int(path[0]) // 2 for path, _ in pairs} for split, pairs in found.items()}
    assert sorted([*who['train'], *who['test']]) == [0, 1, 2, 3]
    with pytest.raises(DataError, match='give only one'):
        read(root, csv=str(tmp_path / 'clips.csv'), group_column='who', group_regex='.')
    with pytest.raises(DataError, match="Unknown column 'hwo'. Did you mean 'who'"):
        read(root, csv=str(tmp_path / 'clips.csv'), group_column='hwo')


def test_groups_on_both_sides_of_a_given_split_are_named(lay, said):
    root = lay(*(f'{split}/{label}/S{n}.mp4' for split in ('train', 'test') for label in 'xy' for n in range(2)))
    read(root, group_regex=r'S\d')
    assert [text for level, text in said() if level == 'WARNING'] == [
        '2 groups are in train and in test: S0, S1. --test-fraction or --test-every would keep groups together.'
    ]


@pytest.mark.parametrize(
    ('regex', 'words'), [('(', 'is not a regular expression'), ('z', r'finds no group in x/1.mp4')]
)
def test_a_group_regex_that_finds_nothing_is_refused(lay, regex, words):
    with pytest.raises(DataError, match=words):
        read(lay('x/1.mp4', 'y/1.mp4'), group_regex=regex)


def test_without_groups_the_split_is_that_of_each_path():
    pairs = [(f'{label}/{n}.mp4', label) for label in 'xy' for n in range(6)]
    alone = split_by_hash(pairs, 0.25, {path: path for path, _ in pairs})
    assert split_by_hash(pairs, 0.25) == alone
    assert Counter(label for _, label in alone['test']) == Counter(x=2, y=2)


def test_counts_by_class_and_split_and_the_classes_that_a_split_lacks(said):
    splits = {'train': [('1', 'run'), ('2', 'run'), ('3', 'Hop'), ('4', 'hop')], 'test': [('5', 'run')]}
    report_counts(splits, ['Hop', 'hop', 'run'])
    assert said() == [
        ('INFO', 'train: 4 videos, 3 of 3 classes'),
        ('INFO', 'test: 1 videos, 1 of 3 classes'),
        ('INFO', 'class  train  test\n------------------\nHop    1      0\nhop    1      0\nrun    2      1'),
        ('WARNING', '2 of 3 classes have no video in test: Hop, hop.'),
        ('WARNING', 'Some classes differ in case alone: Hop, hop.'),
    ]


def test_the_metrics_that_can_be_chosen_are_those_that_records_have():
    from eval.metrics.metric import METRICS as KNOWN

    for task, names in METRICS.items():
        assert {KNOWN[name].task for name in names} == {task}
    assert About('', metric='mean_class').metric_for('action_recognition') == 'mean_class'
    assert About('').metric_for('repetition') == 'count_error'
    with pytest.raises(DataError, match="'mean_clas'. Did you mean 'mean_class'"):
        About('', metric='mean_clas').metric_for('action_recognition')


# --- lists of mmaction2: N7 ----------------------------------------------------------------------------------------


@pytest.fixture
def take(monkeypatch, tmp_path):
    """A function that imports lists; returns what would be indexed and written."""
    kept = {}

    def index_and_write(root, splits, out, about, task, *more, classes=None) -> bool:
        kept.update(root=root, splits=splits, classes=classes)
        return True

    monkeypatch.setattr(imported, 'index_and_write', index_and_write)

    def take(train: str, test: str | None = None, **options) -> dict:
        files = {}
        for split, text in (('train', train), ('test', test)):
            if text is not None:
                files[split] = tmp_path / f'{split}.txt'
                files[split].write_text(text)
        assert imported.prepare_list(files, tmp_path / 'out', About('', 'mine'), root=tmp_path / 'videos', **options)
        return kept

    return take


def test_lists_of_mmaction2_keep_their_numbers(lay, take, tmp_path, said):
    lay('a.mp4', 'my clips/b 1.mp4', 'c.mp4')
    found = take('a.mp4 0\n\nmy clips/b 1.mp4 3\n', f'{tmp_path}/videos/c.mp4\t0\n')
    assert found['splits'] == {'train': [('a.mp4', '0'), ('my clips/b 1.mp4', '3')], 'test': [('c.mp4', '0')]}
    assert found['classes'] == ['0', '1', '2', '3']  # a label that no video has keeps its number
    assert ('INFO', '1 empty line of train.txt passed over') in said()


def test_a_file_may_name_the_classes(lay, take, tmp_path):
    lay('a.mp4', 'b.mp4', 'c.mp4')
    (tmp_path / 'names.txt').write_text('zebra\nhigh jump \n\nape\n')
    found = take('a.mp4,0\nb.mp4, 2\n', 'c.mp4,0', class_file=tmp_path / 'names.txt', delimiter=',')
    assert found['classes'] == ['zebra', 'high jump', 'ape']
    assert found['splits'] == {'train': [('a.mp4', 'zebra'), ('b.mp4', 'ape')], 'test': [('c.mp4', 'zebra')]}


def test_several_labels_counts_and_a_lone_training_list(lay, take):
    lay('a.mp4', 'b.mp4', 'c.mp4', 'd.mp4')
    found = take('a.mp4 0 2\nb.mp4\n', 'c.mp4 1', task='multi_label')
    assert found['splits'] == {'train': [('a.mp4', ('0', '2')), ('b.mp4', ())], 'test': [('c.mp4', ('1',))]}
    assert take('a.mp4 3\nb.mp4 4\n', 'c.mp4 5', task='repetition')['classes'] is None
    (Path(found['root']).parent / 'test.txt').unlink()
    alone = take('a.mp4 0\nb.mp4 0\nc.mp4 1\nd.mp4 1\n', test_fraction=0.5)['splits']
    assert {split: sorted(label for _, label in pairs) for split, pairs in alone.items()} == {
        'train': ['0', '1'],
        'test': ['0', '1'],
    }


@pytest.mark.parametrize(
    ('train', 'test', 'words'),
    [
        (
            'a.mp4 0\nb.mp4 1\na.mp4 1\n',
            'c.mp4 0',
            r'listed more than once: 1 with different labels, first a.mp4 \(0 and 1\)',
        ),
        ('a.mp4 0\nb.mp4 1\na.mp4 0\n', 'c.mp4 0', r'1 video \(a.mp4\) is listed more than once\.'),
        ('a.mp4 0\nb.mp4 1\n', 'a.mp4 0', 'a.mp4 is in train and in test'),
        ('a.mp4 0\nb.mp4 1\n', None, 'Give --test LIST'),
        ('a.mp4 0\nb.mp4 one\n', 'c.mp4 0', "train.txt' line 2: expected `path label`"),
        ('a.mp4 0\nb.mp4\n', 'c.mp4 0', "train.txt' line 2: expected `path label`"),
        ('\n', 'c.mp4 0', 'lists no video'),
        ('a.mp4 0\ngone.mp4 1\n', 'c.mp4 0', r'1 video \(gone.mp4\) is missing under'),
        ('frames 120 0\nb.mp4 1\n', 'c.mp4 0', 'lists of frames cannot be used'),
        ('a.mp4 0\nb.mp4 0\n', 'c.mp4 0', "have the same class, '0'"),
    ],
)
def test_lists_that_cannot_be_used_are_refused(lay, take, train, test, words):
    lay('a.mp4', 'b.mp4', 'c.mp4', 'frames/1.jpg')
    with pytest.raises(DataError, match=words):
        take(train, test)


@pytest.mark.parametrize(
    ('names', 'words'),
    [('x\ny\nx\n', "names the class 'x' twice"), ('x\n', 'has 1 class names.*label 1'), (None, 'no file')],
)
def test_class_files_that_do_not_fit_are_refused(lay, take, tmp_path, names, words):
    lay('a.mp4', 'b.mp4', 'c.mp4')
    if names is not None:
        (tmp_path / 'names.txt').write_text(names)
    with pytest.raises(DataError, match=words):
        take('a.mp4 0\nb.mp4 1\n', 'c.mp4 0', class_file=tmp_path / 'names.txt')


def test_a_class_name_is_never_a_template_of_the_card():
    assert (
        '{{' not in prepared.card_text({'name': 'x', 'classes': ['{{ fileDirname }}', '{{$HOME:}}']}).split('\n', 3)[3]
    )
