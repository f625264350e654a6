"""tools/prepare.py: what it writes from folders and tables, and the one sentence for each bad input."""

import csv
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import decord
import numpy as np
import pytest
from mmengine.config import Config

from sigma.data.cards import load_dataset_card
from sigma.data.index import build_index, load_index
from sigma.data.lists import list_sha256, read_list
from sigma.datasets import prepared
from sigma.datasets.splits import split_by_hash
from sigma.datasets.tables import value_matcher
from sigma.errors import DataError
from tests.conftest import PATIENCE
from tests.tools.videos import table

TREE = Path(__file__).resolve().parents[2]
REAL = TREE.parent / 'shared' / 'data' / 'real'
TOOL = TREE / 'tools' / 'prepare.py'

spec = importlib.util.spec_from_file_location('prepare', TOOL)
prepare = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prepare)


def command(*arguments, **options) -> subprocess.CompletedProcess:
    """The tool as a user runs it."""
    environment = {**os.environ, 'PYTHONPATH': str(TREE)}
    words = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120 * PATIENCE, **options)


def folder(root, out, *arguments) -> int:
    return prepare.main(['folder', *map(str, (root, '--out', out, '--workers', 1, *arguments))])


def test_a_folder_of_classes(lay, tmp_path):
    root = lay(*(f'{label}/{number}.mp4' for label in ('run', 'jump') for number in range(8)))
    (root / 'run' / 'notes.txt').write_text('no video')
    (root / 'run' / '.hidden.mp4').write_text('no video')
    out = tmp_path / 'out'
    assert folder(root, out) == 0
    assert sorted(path.name for path in out.iterdir()) == ['dataset.py', 'index.jsonl', 'test.txt', 'train.txt']
    config = Config.fromfile(out / 'dataset.py')
    info = config.dataset_info
    assert Path(config.data_root) == out
    assert Path(info.video_root) == root
    assert (info.name, info.classes, info.delimiter) == ('out', ['jump', 'run'], ' ')
    assert info.flips_change_label
    assert info.sampling == {'num_frames': 16}  # the stride is each encoder's own
    pairs = {split: read_list(out / entry.list, info.delimiter) for split, entry in info.splits.items()}
    assert {split: len(listed) for split, listed in pairs.items()} == {'train': 12, 'test': 4}
    for split, entry in info.splits.items():
        assert (entry.sha256, entry.num_videos) == (list_sha256(out / entry.list), len(pairs[split]))
    index = load_index(out / 'index.jsonl')
    assert set(index) == {path for listed in pairs.values() for path, _ in listed}
    assert all(info.classes[label] == path.split('/')[0] for listed in pairs.values() for path, label in listed)
    assert sum(label for _, label in pairs['test']) == 2  # a quarter of each class


def test_a_folder_that_holds_another_dataset_is_refused_and_left_as_it_was(lay, tmp_path, capsys):
    root, out = lay(*(f'{label}/{number}.mp4' for label in ('run', 'jump') for number in range(2))), tmp_path / 'mine'
    assert folder(root, out, '--name', 'first') == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    lay('run/7.mp4', 'ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi')
    capsys.readouterr()
    assert folder(root, out, '--name', 'second') == 2
    assert f"'{out}' holds the dataset first, not second: choose another --out." in capsys.readouterr().err
    assert prepare.main(['ucf101', '--root', str(root), '--out', str(out)]) == 2
    assert f"'{out}' holds the dataset first, not ucf101: choose another --out." in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert folder(root, out, '--name', 'first') == 0  # more videos of the same


def test_the_hash_split_is_that_of_the_paths_alone():
    pairs = [(f'run/{number}.mp4', 'run') for number in range(10)]
    splits = split_by_hash(pairs, 0.3)
    assert split_by_hash(pairs[::-1], 0.3) == splits
    assert [len(splits[split]) for split in ('train', 'test')] == [7, 3]
    # the smallest three of sha256('run/0.mp4'), sha256('run/1.mp4'), ...
    assert [path for path, _ in splits['test']] == ['run/2.mp4', 'run/7.mp4', 'run/9.mp4']


def test_split_folders_and_names_with_spaces(lay, tmp_path):
    paths = [f'{split}/{label}/a {split}.mp4' for split in ('train', 'val') for label in ('high jump', 'run')]
    root = lay(*paths)
    assert folder(root, tmp_path / 'out', '--name', 'gym', '--flips-are-harmless', '--stride-frames', 4) == 0
    info = Config.fromfile(tmp_path / 'out' / 'dataset.py').dataset_info
    assert (info.name, info.delimiter, info.flips_change_label) == ('gym', '\t', False)
    assert info.sampling.stride_frames == 4
    assert list(info.splits) == ['train', 'test']
    assert read_list(tmp_path / 'out' / 'test.txt', '\t') == [('val/high jump/a val.mp4', 0), ('val/run/a val.mp4', 1)]


def test_a_table_with_splits(lay, tmp_path):
    root = lay('a.mp4', 'b.mp4', 'c.mp4', 'd.mp4')
    rows = [
        {'path': name, 'label': label, 'split': split}
        for name, label, split in [
            ('a.mp4', 'x', 'train'),
            ('./b.mp4', 'y', 'Training'),
            ('c.mp4', 'y', 'test'),
            ('d.mp4', 'x', 'val'),
        ]
    ]
    file = table(tmp_path / 'clips.csv', rows)
    assert folder(root, tmp_path / 'out', '--csv', file) == 0
    lists = {split: read_list(tmp_path / 'out' / f'{split}.txt') for split in ('train', 'val', 'test')}
    assert lists == {'train': [('a.mp4', 0), ('b.mp4', 1)], 'val': [('d.mp4', 0)], 'test': [('c.mp4', 1)]}


def test_a_table_with_label_columns_and_chosen_test_rows(lay, tmp_path):
    root = lay(*(f'{number}.mp4' for number in range(1, 7)))
    rows = [{'path': f'{n}.mp4', 'kind': 'word', 'id': f'{n % 2:02d}', 'serial': n} for n in range(1, 7)]
    file = table(root / 'clips.csv', rows)
    arguments = ['folder', '--csv', str(file), '--label-columns', 'kind,id', '--test-where', 'serial=4-5,1']
    assert prepare.main([*arguments, '--out', str(tmp_path / 'out'), '--workers', '1']) == 0
    assert [path for path, _ in read_list(tmp_path / 'out' / 'test.txt')] == ['1.mp4', '4.mp4', '5.mp4']
    assert Config.fromfile(tmp_path / 'out' / 'dataset.py').dataset_info.classes == ['word_00', 'word_01']


@pytest.mark.parametrize(
    'values, yes, no',
    [
        ('16-22', ['16', '22', '019'], ['15', '23', 'x', '']),
        ('F10,F11,M08', ['F10', 'M08'], ['F1', 'F12']),
        ('1,4-6', ['1', '5'], ['2', '7']),
        ('in-door', ['in-door'], ['in', 'door']),
    ],
)
def test_values_and_ranges(values, yes, no):
    matches = value_matcher(values)
    assert all(map(matches, yes))
    assert not any(map(matches, no))


def test_unreadable_videos_are_named_and_decide_the_exit_status(lay, tmp_path, capsys):
    root = lay(*(f'{label}/{number}.mp4' for label in ('run', 'jump') for number in range(2)))
    (root / 'run' / '0.mp4').write_bytes(b'<html>' * 100)
    out = tmp_path / 'out'
    assert folder(root, out) == 1
    shown = capsys.readouterr()
    assert '3 of 4 videos are readable' in shown.out
    assert 'run/0.mp4: Invalid data found' in shown.out
    assert '1 of 4 videos are unreadable' in shown.err
    assert [path.name for path in out.iterdir()] == ['index.jsonl']
    assert folder(root, out, '--allow-unreadable') == 0
    listed = [path for split in ('train', 'test') for path, _ in read_list(out / f'{split}.txt')]
    assert 'run/0.mp4' in listed
    assert [video.path for video in load_index(out / 'index.jsonl').unreadable] == ['run/0.mp4']


def test_a_test_video_that_is_a_training_video_too_is_named(lay, tmp_path, capsys):
    root = lay('train/x/a.mp4', 'train/y/b.mp4', 'test/x/c.mp4', 'test/y/d.mp4')
    shutil.copy(root / 'train/x/a.mp4', root / 'test/x/c.mp4')
    assert folder(root, tmp_path / 'out') == 0
    assert '1 video (test/x/c.mp4) is in test and, byte for byte, in train too' in capsys.readouterr().err


def rows(*paths: str, **more) -> list[dict]:
    return [
        {'path': path, 'label': 'xy'[n % 2], 'split': ('train', 'test')[n // 2 % 2], **more}
        for n, path in enumerate(paths)
    ]


FOUR = ('a.mp4', 'b.mp4', 'c.mp4', 'd.mp4')


@pytest.mark.parametrize(
    'table_rows, arguments, sentence',
    [
        (rows(*FOUR, 'gone1.mp4', 'gone2.mp4'), [], '2 videos (gone1.mp4, gone2.mp4) are missing under'),
        (rows(*FOUR, './a.mp4'), [], '1 video (a.mp4) is listed more than once'),
        (rows(*FOUR, ''), [], '1 video ((empty path)) is missing'),
        ([row | {'label': 'x'} for row in rows(*FOUR)], [], "All 4 videos have the same class, 'x'"),
        ([row | {'label': ''} for row in rows(*FOUR)], [], '4 videos (a.mp4, b.mp4, c.mp4, d.mp4) are without a label'),
        ([row | {'split': 'tset'} for row in rows(*FOUR)], [], "a.mp4 is in split 'tset'; known splits: train"),
        ([row | {'split': 'test'} for row in rows(*FOUR)], [], 'No video is in the train split (4 videos in all)'),
        ([{'path': name, 'lable': 'x'} for name in FOUR], [], "Unknown column 'label'. Did you mean 'lable'?"),
        ([{'file': name, 'label': 'x'} for name in FOUR], [], "Unknown column 'path'"),
        ([{'path': name, 'label': 'x'} for name in FOUR], [], "no column 'split'"),
        (rows(*FOUR), ['--test-where', 'serial'], 'expected COLUMN=VALUES'),
        (rows(*FOUR, speaker='F1'), ['--test-where', 'speker=F1'], "Unknown column 'speker'. Did you mean 'speaker'?"),
        (rows(*FOUR), ['--drop-label', 'z'], "--drop-label: Unknown label 'z'"),
    ],
)
def test_bad_tables_end_in_one_sentence(lay, tmp_path, capsys, table_rows, arguments, sentence):
    root = lay(*FOUR)
    file = table(tmp_path / 'clips.csv', table_rows)
    out = tmp_path / 'out'
    assert folder(root, out, '--csv', file, *arguments) == 2
    shown = capsys.readouterr().err
    assert shown.startswith('prepare: ')
    assert sentence in shown
    assert shown.count('\n') == 1
    assert not out.exists()


def test_bad_folders_end_in_one_sentence(lay, tmp_path, capsys):
    out = tmp_path / 'out'

    def sentence(*arguments) -> str:
        assert folder(*arguments) == 2
        assert not out.exists()
        return capsys.readouterr().err

    assert 'is not a folder' in sentence(tmp_path / 'absent', out)
    (tmp_path / 'empty').mkdir()
    assert 'No videos under' in sentence(tmp_path / 'empty', out)
    root = lay('run/a.mp4', 'run/b.mp4')
    assert "All 2 videos have the same class, 'run'" in sentence(root, out)
    assert 'must be between 0 and 1' in sentence(root, out, '--test-fraction', 0)
    assert 'No CSV file' in sentence(root, out, '--csv', tmp_path / 'absent.csv')
    lay('c.mp4')
    assert '1 of 3 videos' in sentence(root, out)
    (root / 'c.mp4').unlink()
    lay('train/x/a.mp4', 'test/x/a.mp4')
    assert 'holds split folders (test, train) and others (run)' in sentence(root, out)
    for path in root.rglob('*.mp4'):
        path.write_bytes(b'')
    for name in ('train', 'test'):
        shutil.move(root / name, root / f'{name}_class')
    assert 'None of the 4 videos' in sentence(root, out)


def test_the_command_line_reports_on_stderr_without_a_traceback(tmp_path):
    run = command('folder', tmp_path / 'absent', '--out', tmp_path / 'out')
    assert (run.returncode, run.stdout) == (2, '')
    assert run.stderr == f"prepare: '{tmp_path / 'absent'}' is not a folder.\n"
    assert command('folder').returncode == 2
    assert command('folder', '--out', tmp_path / 'out').stderr.startswith('prepare: Give PATH')


def test_toy_is_rendered_indexed_and_refused_with_other_parameters(tmp_path, capsys):
    out = tmp_path / 'toy_shift'
    arguments = ['toy', '--out', str(out), '--domain', 'shift', '--clips-per-class', '2', '1', '--workers', '2']
    assert prepare.main(arguments) == 0
    info = Config.fromfile(out / 'dataset.py').dataset_info
    assert (info.name, info.video_root, info.size) == ('toy_shift', 'videos', 64)
    assert info.sampling == {'num_frames': 16, 'stride_frames': 3}
    index = load_index(out / 'index.jsonl')
    assert {(video.frames, video.fps, video.width) for video in index.values()} == {(48, 30.0, 64)}
    assert [len(read_list(out / f'{split}.txt')) for split in ('train', 'test')] == [20, 10]
    before = {path: path.stat().st_mtime_ns for path in (out / 'videos').rglob('*.mp4')}
    assert prepare.main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in (out / 'videos').rglob('*.mp4')} == before
    capsys.readouterr()
    assert prepare.main([*arguments, '--seed', '1']) == 2
    assert 'seed 0, not 1' in capsys.readouterr().err


def test_a_killed_run_goes_on(tmp_path):
    """Killed while it renders, the same command ends with what an undisturbed run writes."""
    arguments = ['toy', '--clips-per-class', '3', '1', '--workers', '1', '--out']
    words = [sys.executable, str(TOOL), *arguments, str(tmp_path / 'killed' / 'toy')]
    process = subprocess.Popen(words, env={**os.environ, 'PYTHONPATH': str(TREE)}, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list((tmp_path / 'killed').rglob('*.mp4'))) < 5:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / 'killed' / 'toy' / 'dataset.py').exists()
    for name in ('killed', 'whole'):
        assert command(*arguments, tmp_path / name / 'toy').returncode == 0
    killed, whole = (
        {p.name: p.read_bytes() for p in (tmp_path / name).rglob('*.[mt][px][4t]')} for name in ('killed', 'whole')
    )
    assert killed == whole
    assert not list(tmp_path.rglob('*.partial'))


@pytest.mark.skipif(not REAL.is_dir(), reason='the footage of ../shared/data/real is not here')
@pytest.mark.parametrize(
    'name, arguments, num_train, num_test, num_classes',
    [
        ('egogestar', ['--test-where', 'serial=16-22', '--drop-label', 'unclassified'], 150, 67, 10),
        ('weizmann4', ['--test-where', 'person=6-8'], 48, 24, 4),
    ],
)
@pytest.mark.integration
def test_real_tables(name, arguments, num_train, num_test, num_classes, tmp_path):
    file = REAL / name / 'clips.csv'
    assert prepare.main(['folder', '--csv', str(file), *arguments, '--out', str(tmp_path / name)]) == 0
    info = Config.fromfile(tmp_path / name / 'dataset.py').dataset_info
    assert [info.splits[split].num_videos for split in ('train', 'test')] == [num_train, num_test]
    assert len(info.classes) == num_classes
    for path, video in load_index(tmp_path / name / 'index.jsonl').items():
        assert video.frames == len(decord.VideoReader(str(REAL / name / path)))  # what training will see


# --- labels of other kinds -----------------------------------------------------------------------------------------


def write(root, out, info, splits, **more) -> bool:
    paths = [path for pairs in splits.values() for path, _ in pairs]
    index = build_index(root, paths, out / 'index.jsonl', workers=1, progress=False)
    info = {'name': 'mine', 'video_root': str(root), 'metric': 'top1', 'flips_change_label': True, **info}
    return prepared.write_dataset(out, info, splits, index, False, **more)


def test_several_labels_a_video_are_written_and_read_back(lay, tmp_path):
    root = lay('a.mp4', 'b.mp4', 'c.mp4')
    splits = {'train': [('b.mp4', ()), ('a.mp4', ('walk', 'sit'))], 'test': [('c.mp4', ('run',))]}
    actions = [[0.0, 1.5, 'walk'], [1.0, 2.0, 'sit']]
    info = {'task': 'multi_label', 'metric': 'mean_average_precision'}
    assert write(root, tmp_path / 'out', info, splits, annotations={'a.mp4': {'actions': actions}})
    card = load_dataset_card(str(tmp_path / 'out'))
    assert card.info['classes'] == ['run', 'sit', 'walk']
    assert (card.task, card.num_classes, card.info['metric']) == ('multi_label', 3, 'mean_average_precision')
    assert card.pairs('train') == [('a.mp4', (1, 2)), ('b.mp4', ())]
    assert card.pairs('test') == [('c.mp4', (0,))]
    found = {entry['video']: entry['annotation'] for entry in card.entries('train')}
    assert found == {'a.mp4': {'actions': [[0.0, 1.5, 2], [1.0, 2.0, 1]]}, 'b.mp4': None}


def test_counts_and_their_cycles_are_written_and_read_back(lay, tmp_path):
    root = lay('a.mp4', 'b.mp4')
    splits = {'train': [('a.mp4', 3)], 'test': [('b.mp4', 12)]}
    info = {'task': 'repetition', 'metric': 'count_error'}
    assert write(root, tmp_path / 'out', info, splits, annotations={'a.mp4': {'cycles': [0, 4, 9, 12]}})
    card = load_dataset_card(str(tmp_path / 'out'))
    assert 'classes' not in card.info
    assert (card.num_classes, card.pairs('test')) == (1, [('b.mp4', 12)])
    assert card.entries('train')[0]['annotation'] == {'cycles': [0, 4, 9, 12]}


@pytest.mark.parametrize(
    'task, label, sentence',
    [
        ('action_recognition', ('x',), "a.mp4 has the label ('x',); the task action_recognition needs a class name"),
        ('multi_label', 'x', "a.mp4 has the label 'x'; the task multi_label needs a tuple of class names"),
        ('repetition', True, 'the task repetition needs a count'),
        ('counting', 3, "Unknown task 'counting'. Known: action_recognition, multi_label, localization, repetition"),
    ],
)
def test_labels_of_another_task_are_refused(lay, tmp_path, task, label, sentence):
    with pytest.raises(DataError, match=re.escape(sentence)):
        write(lay('a.mp4'), tmp_path / 'out', {'task': task}, {'train': [('a.mp4', label)], 'test': []})
    assert not (tmp_path / 'out' / 'train.txt').exists()


def counted(*paths: str) -> list[dict]:
    """Rows of 2, 3, 2, 3, ... cycles, each of two frames."""
    counts = [2 + n % 2 for n in range(len(paths))]
    ends = [' '.join(str(2 * k) for k in range(1, count + 1)) for count in counts]
    return [{'path': p, 'count': c, 'ends': e} for p, c, e in zip(paths, counts, ends)]


def test_a_table_of_counts_and_cycles(lay, tmp_path, capsys):
    names = [f'{n}.mp4' for n in range(8)]
    root = lay(*names)
    file = table(tmp_path / 'clips.csv', counted(*names))
    arguments = ['--csv', file, '--task', 'repetition', '--cycles-column', 'ends', '--test-every', 4]
    assert folder(root, tmp_path / 'out', *arguments) == 0
    # three cycles of two frames do not go into four frames
    assert '4 videos (1.mp4, 3.mp4, 5.mp4, 7.mp4) are shorter' in capsys.readouterr().err
    card = load_dataset_card(str(tmp_path / 'out'))
    assert (card.task, card.info['metric'], card.num_classes) == ('repetition', 'count_error', 1)
    assert not card.info['flips_change_label']
    assert card.pairs('test') == [('3.mp4', 3), ('7.mp4', 3)]
    assert card.pairs('train') == [('0.mp4', 2), ('1.mp4', 3), ('2.mp4', 2), ('4.mp4', 2), ('5.mp4', 3), ('6.mp4', 2)]
    assert [entry['annotation'] for entry in card.entries('test')] == [{'cycles': [0, 2, 4, 6]}] * 2


def test_a_table_of_several_labels(lay, tmp_path):
    root = lay(*FOUR)
    labels = ['sit; walk', 'walk;walk', '', 'run;']
    file = table(tmp_path / 'clips.csv', [{'path': p, 'label': label} for p, label in zip(FOUR, labels)])
    assert folder(root, tmp_path / 'out', '--csv', file, '--task', 'multi_label', '--test-fraction', 0.5) == 0
    card = load_dataset_card(str(tmp_path / 'out'))
    assert card.info['metric'] == 'mean_average_precision'
    assert card.info['classes'] == ['run', 'sit', 'walk']
    assert 'annotations' not in card.info
    found = card.pairs('train') + card.pairs('test')
    assert sorted(found) == [('a.mp4', (1, 2)), ('b.mp4', (2,)), ('c.mp4', ()), ('d.mp4', (0,))]
    assert len(card.pairs('test')) == 2  # half of all videos, whatever their labels


REPETITION = ['--task', 'repetition', '--test-every', '2']


@pytest.mark.parametrize(
    'table_rows, arguments, sentence',
    [
        (counted(*FOUR), [*REPETITION, '--count-column', 'cuont'], "Unknown column 'cuont'. Did you mean 'count'?"),
        (counted(*FOUR), [*REPETITION, '--cycles-column', 'end'], "Unknown column 'end'. Did you mean 'ends'?"),
        ([row | {'count': 0} for row in counted(*FOUR)], REPETITION, "the count of a.mp4 is '0', expected a whole"),
        ([row | {'count': '2.5'} for row in counted(*FOUR)], REPETITION, "the count of a.mp4 is '2.5'"),
        (
            [row | {'ends': '2'} for row in counted(*FOUR)],
            [*REPETITION, '--cycles-column', 'ends'],
            "a.mp4 has 2 cycles, but ends is '2'; expected 2 frame numbers",
        ),
        (
            [row | {'count': 2, 'ends': '4 3'} for row in counted(*FOUR)],
            [*REPETITION, '--cycles-column', 'ends'],
            'the frames in ends of a.mp4 are not in rising order: 4 3',
        ),
        (counted(*FOUR), [*REPETITION, '--test-where', 'count=2'], '--test-every and --test-where both choose'),
        (counted(*FOUR), [*REPETITION, '--drop-label', '2'], '--drop-label leaves out one class'),
        (counted(*FOUR), ['--task', 'repetition'], "no column 'split'"),
        (counted(*FOUR), ['--task', 'repetition', '--test-every', '5'], 'No video is in the test split'),
        (rows(*FOUR, ends='1'), ['--cycles-column', 'ends'], '--cycles-column is for --task repetition'),
        (
            [row | {'label': 'x; '} for row in rows(*FOUR)],
            ['--task', 'multi_label'],
            "All 4 videos have the same class, 'x'",
        ),
        ([row | {'label': ';'} for row in rows(*FOUR)], ['--task', 'multi_label'], 'the same class, none'),
    ],
)
def test_bad_tables_of_other_labels_end_in_one_sentence(lay, tmp_path, capsys, table_rows, arguments, sentence):
    file = table(tmp_path / 'clips.csv', table_rows)
    out = tmp_path / 'out'
    assert folder(lay(*FOUR), out, '--csv', file, *arguments) == 2
    shown = capsys.readouterr().err
    assert shown.startswith('prepare: ')
    assert sentence in shown
    assert shown.count('\n') == 1
    assert not out.exists()


def test_folders_say_one_class_a_video(lay, tmp_path, capsys):
    assert folder(lay('run/a.mp4', 'walk/b.mp4'), tmp_path / 'out', '--task', 'repetition') == 2
    assert '--task repetition needs --csv FILE' in capsys.readouterr().err


def test_an_action_of_an_unknown_class_is_named(tmp_path):
    with pytest.raises(DataError, match="An action in a.mp4 has the class 'swim', which no label names"):
        prepared.write_annotations(tmp_path / 'a.json', {'a.mp4': {'actions': [[0, 1, 'swim']]}}, {'run': 0})
    assert not (tmp_path / 'a.json').exists()


@pytest.mark.skipif(not REAL.is_dir(), reason='the footage of ../shared/data/real is not here')
@pytest.mark.integration
def test_real_counts(tmp_path, capsys):
    """QUVA Repetition: 52 videos, every fourth row test; a cycle ends at each of `cycle_end_frames`."""
    file = REAL / 'quva_repetition' / 'clips.csv'
    arguments = ['folder', '--csv', str(file), '--task', 'repetition', '--count-column', 'count', '--test-every', '4']
    out = tmp_path / 'quva'
    assert prepare.main([*arguments, '--cycles-column', 'cycle_end_frames', '--out', str(out)]) == 0
    assert capsys.readouterr().out.startswith('52 of 52 videos are readable')
    with file.open() as lines:
        table_rows = list(csv.DictReader(lines))
    card = load_dataset_card(str(out))
    assert card.pairs('test') == [(row['path'], int(row['count'])) for row in table_rows[3::4]]
    assert len(card.pairs('train')) == 39
    for split in ('train', 'test'):
        for entry in card.entries(split):
            cycles = np.load(REAL / 'quva_repetition' / 'annotations' / f'{Path(entry["video"]).stem}.npy')
            assert entry['annotation']['cycles'] == [0, *cycles.tolist()]
            assert entry['label'] == len(cycles)
            assert cycles[-1] <= entry['total_frames']
