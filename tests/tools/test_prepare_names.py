"""Odd names of files and folders through tools/prepare.py to the card, the index, training and the plan of a matrix."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from sigma.configs import own_recipe, read_plain
from sigma.data.cards import load_dataset_card, read_config
from sigma.errors import DataError
from sigma.text import in_utf8, is_plain_name, one_line, plain_name, shell_join, shown
from tests.conftest import ROOT, call_main, run_tool
from tests.tools.test_prepare import prepare
from tests.tools.videos import table

# Python's splitlines cuts at U+2028, U+0085 and 0x1c; a shell, a config and a template have characters of their own.
PARENT = 'Anna\'s, "my" (videos)/$HOME {{ fileDirname }} \\n 視\u2028\x85\x1c'
VIDEOS = [
    "run's/a (1).mp4",
    "run's/-o \u2028.mp4",
    "run's/%03d \x1c.mp4",
    'ход, "прыжок"/1 = 2.mp4',
    'ход, "прыжок"/\\x.mp4',
    'ход, "прыжок"/[b] \x85.mp4',
]


def test_odd_names_reach_the_card_the_index_and_a_second_run(lay, tmp_path, capsys):
    root = lay(*(f'{PARENT}/{path}' for path in VIDEOS)) / PARENT
    out = tmp_path / "it's out" / '2024'
    words = ['folder', str(root), '--out', str(out), '--name', 'odd', '--workers', '1', '--metric', 'mean_class']
    words += ['--licence=-none-', '--test-every', '3']
    done = call_main(prepare.main, capsys, *words)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count('Traceback') == 0
    card = load_dataset_card(str(out))
    assert card.info['classes'] == ["run's", 'ход, "прыжок"']
    assert (card.info['metric'], card.info['licence']) == ('mean_class', '-none-')
    found = {entry['video']: entry for split in ('train', 'test') for entry in card.entries(split)}
    assert set(found) == set(VIDEOS)
    assert all(Path(entry['filename']) == root / video for video, entry in found.items())
    assert all(entry['reason'] is None for entry in found.values())
    # The light reader and MMEngine's agree, and no value is taken for a template.
    plain = read_plain(out / 'dataset.py')
    assert plain['data_root'] == read_config(out / 'dataset.py').data_root == str(out)
    assert plain['dataset_info'] == read_config(out / 'dataset.py').dataset_info.to_dict()
    assert own_recipe(str(out), 'finetune') is None
    # The command in the card works from any folder.
    again = shlex.split(card.info['prepare'])
    assert again[:3] == ['python', 'tools/prepare.py', 'folder']
    assert {str(root), str(out), '--licence=-none-'} <= set(again)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    os.chdir('/')
    try:
        assert prepare.main(again[2:]) == 0
    finally:
        os.chdir(ROOT)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_command_that_is_printed_is_one_that_bash_understands():
    words = ['--out', PARENT, os.fsdecode(b'caf\xe9'), "o'brien", '', 'a\nb']
    line = shell_join(words)
    assert line.isprintable()
    script = f'printf "%s\\0" {line}'
    assert subprocess.run(['bash', '-c', script], capture_output=True, check=True).stdout == b''.join(
        os.fsencode(word) + b'\0' for word in words
    )


def test_names_that_are_refused_write_nothing_and_leave_no_traceback(lay, tmp_path, clip):
    root = lay('run/1.mp4', 'run/2.mp4', 'hop/1.mp4', 'hop/2.mp4')
    done = run_tool('tools/prepare.py', 'folder', root, '--out', tmp_path / 'my videos')
    assert (done.returncode, done.stdout) == (2, '')
    assert '--name my_videos' in done.stderr
    latin = os.fsdecode(os.fsencode(root) + b'/caf\xe9')
    os.mkdir(latin)
    Path(latin, '1.mp4').write_bytes(clip)
    done = run_tool('tools/prepare.py', 'folder', root, '--out', tmp_path / 'out', PYTHONIOENCODING='ascii')
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
    assert "'caf\\udce9/1.mp4' under" in done.stderr
    assert "rename it to 'caf\\xe9/1.mp4'" in done.stderr  # as this terminal can show it
    assert f'convmv -r -f latin1 -t utf8 --notest {root} renames all' in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ['videos']


def test_the_same_file_in_two_classes_is_told(lay, tmp_path, capsys):
    root = lay('run/1.mp4', 'run/2.mp4')
    (root / 'walk').symlink_to('run')
    done = call_main(
        prepare.main, capsys, 'folder', root, '--out', tmp_path / 'out', '--workers', '1', '--test-every', 2
    )
    assert done.returncode == 0
    assert '2 files are in more than one class, first run/1.mp4 and walk/1.mp4.' in done.stderr
    assert load_dataset_card(str(tmp_path / 'out')).info['classes'] == ['run', 'walk']


def test_a_folder_is_told_by_class_and_split(lay, tmp_path, capsys):
    root = lay(*(f'{label}/p{n}.mp4' for label in ('10', '9') for n in range(4)), '2/p0.mp4', 'list.txt')
    arguments = ['--out', tmp_path / 'out', '--workers', '1', '--group-regex', r'p\d']
    done = call_main(prepare.main, capsys, 'folder', root, *arguments)
    assert done.returncode == 0
    assert done.stdout.splitlines()[:-3] == [
        'left aside: 1 that are no videos (1 .txt)',
        'split: 0.25 of each class is for testing, chosen by the hash of the path; groups stay together',
        '9 of 9 videos are readable',
        'train: 7 videos, 3 of 3 classes',
        'test: 2 videos, 2 of 3 classes',
        'class  train  test',
        '------------------',
        '2      1      0',
        '9      3      1',
        '10     3      1',
    ]
    assert done.stdout.splitlines()[-3:] == [
        f'card: {tmp_path / "out" / "dataset.py"}',
        'flips: off in training with labels, since a mirrored video may get another label; --flips-are-harmless: on',
        'metric: top1',
    ]
    assert '1 of 3 classes have no video in test: 2.' in done.stderr
    assert load_dataset_card(str(tmp_path / 'out')).info['classes'] == ['2', '9', '10']


def test_lists_of_mmaction2_become_a_dataset(lay, tmp_path, capsys):
    root = lay('a.mp4', 'b.mp4', 'c d.mp4')
    (tmp_path / 'train.txt').write_text('a.mp4 0\nb.mp4 2\n')
    (tmp_path / 'val.txt').write_text('c d.mp4 2\n')
    words = ['--train', tmp_path / 'train.txt', '--val', tmp_path / 'val.txt', '--root', root, '--workers', '1']
    done = call_main(prepare.main, capsys, 'list', *words, '--out', tmp_path / 'mine')
    assert done.returncode == 0, done.stderr
    card = load_dataset_card(str(tmp_path / 'mine'))
    assert (card.info['classes'], card.pairs('train')) == (['0', '1', '2'], [('a.mp4', 0), ('b.mp4', 2)])
    assert card.pairs('test') == [('c d.mp4', 2)]
    assert '1 of 3 classes have no video in train: 1.' in done.stderr
    assert [str(word) for word in words[:-2]] == shlex.split(card.info['prepare'])[5:]


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--metric', 'mean_clas'], "Unknown metric for action_recognition 'mean_clas'. Did you mean 'mean_class'?"),
        (['--csv', 'CSV', '--group-column', 'x', '--test-fraction', '0.5'], "Unknown column 'x'"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_read(lay, tmp_path, capsys, arguments, words):
    root = lay('a.mp4', 'b.mp4')
    file = table(tmp_path / 'clips.csv', [{'path': 'a.mp4', 'label': 'x'}, {'path': 'b.mp4', 'label': 'y'}])
    arguments = [str(file) if word == 'CSV' else word for word in arguments]
    done = call_main(prepare.main, capsys, 'folder', root, '--out', tmp_path / 'out', *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / 'out').exists()


def test_names_for_people_and_shells():
    assert [plain_name(name) for name in ('my videos', 'é (2)', '...', '2024', 'a\nb')] == [
        'my_videos',
        'e_2',
        'videos',
        '2024',
        'a_b',
    ]
    assert all(is_plain_name(plain_name(name)) for name in (PARENT, '-', '=', '+x', '_', '..a'))
    assert shown('a\n\u2028\udce9é視') == 'a\\n\\u2028\\udce9é視'
    assert in_utf8(os.fsdecode(b'b\xfccher')) == 'bücher'
    assert one_line('  a\n   b  c\u2028\r\nd ') == 'a b  c\u2028 d'


def test_training_takes_any_path_by_data(tmp_path):
    train = _tool('train')
    for name in ('my, data', '2024', "o'brien=3", '[1, 2]'):
        home = tmp_path / name
        home.mkdir()
        (home / 'dataset.py').write_text('')
        args = train.parse_args(['mmaction_configs/pretrain/small_videomae_vit-t_toy.py', '--data', str(home)])
        assert train.load_config(args).train_dataloader.dataset.card == str(home)
    os.chdir(tmp_path)
    try:
        words = [
            str(ROOT / 'mmaction_configs/pretrain/small_videomae_vit-t_toy.py'),
            '--data',
            '2024',
            '--data',
            'my, data',
        ]
        assert train.load_config(train.parse_args(words)).train_dataloader.dataset.card == ['2024', 'my, data']
    finally:
        os.chdir(ROOT)


def test_data_that_is_not_there_or_does_not_fit_is_named(tmp_path):
    train = _tool('train')

    def load(config, data):
        return train.load_config(train.parse_args([str(config), '--data', data, '--work-dir', str(tmp_path / 'w')]))

    with pytest.raises(DataError, match="The dataset '.*gone' does not exist"):
        load('mmaction_configs/pretrain/small_videomae_vit-t_toy.py', str(tmp_path / 'gone'))
    text = "model = dict()\ntrain_dataloader = dict(dataset=dict(type='mmaction.VideoDataset'))\n"
    (tmp_path / 'other.py').write_text(text)
    with pytest.raises(
        DataError, match='--data needs a config whose .* has a card; .*other.py has mmaction.VideoDataset'
    ):
        load(tmp_path / 'other.py', 'toy')


def _tool(name: str):
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, ROOT / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.integration
def test_two_processes_train_on_a_folder_with_an_odd_path(toy, tmp_path):
    """Through tools/dist_train.sh, where a comma, a space or a number would be read as something else."""
    home = tmp_path / "Anna's, (new) data" / '2024'
    home.parent.mkdir()
    home.symlink_to(toy)
    options = ['--cfg-options', 'train_dataloader.batch_size=4', 'train_dataloader.num_workers=0']
    options += ['train_dataloader.persistent_workers=False', 'train_cfg.max_epochs=2']
    options += ['param_scheduler.0.end=1', 'param_scheduler.1.begin=1', 'param_scheduler.1.end=2']
    config = 'mmaction_configs/pretrain/demo_sigma-mlp_vit-t_toy.py'
    work = tmp_path / 'work dir'
    done = run_tool('tools/dist_train.sh', config, 2, '--data', home, '--work-dir', work, *options)
    assert done.returncode == 0, done.stderr[-2000:]
    (dumped,) = work.glob('*/vis_data/config.py')
    assert read_config(dumped, import_custom_modules=False).train_dataloader.dataset.card == str(home)
