"""`tools/features.py`: the store of the cells, filled and handed on."""

import json
import os

import pytest

from eval.features import dense as features_dense
from tests.conftest import assert_one_sentence, believe, call_main, run_tool
from tests.eval.tiny_localization import ENCODER, RECIPE, resolve, write_long
from tools import features


@pytest.fixture(scope='module')
def cards(tmp_path_factory):
    """Options that name a tiny dataset, recipe and encoder."""
    folder = tmp_path_factory.mktemp('cards')
    dataset = write_long(folder / 'data')
    (folder / 'long_recipe.py').write_text(RECIPE)
    (folder / 'small.py').write_text(ENCODER)
    return ['--dataset', dataset, '--recipe', folder / 'long_recipe.py', '--encoder', folder / 'small.py']


def test_what_it_makes_is_what_cells_read(cards, tmp_path, capsys, monkeypatch):
    done = call_main(features.main, capsys, *cards, '--work-dir', tmp_path, '--export', tmp_path / 'out', '--quiet')
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith('train: 4 videos, 0.00 GB in ')
    assert done.stdout.splitlines()[1].startswith('test: 3 videos')
    database = json.loads((tmp_path / 'out' / 'annotations.json').read_text())['database']
    assert [value['subset'] for value in database.values()] == ['training'] * 4 + ['validation'] * 3
    assert (tmp_path / 'out' / 'actionformer.yaml').is_file()
    monkeypatch.setattr(features_dense, 'encode_video', lambda *a: pytest.fail('made again'))
    resolved = resolve(cards[1], tmp_path)
    from eval.protocols.localization import view_of

    found, _ = features_dense.extract_dense(resolved, 'test', view_of(resolved), tmp_path, progress=False)
    assert len(found) == 3
    assert call_main(features.main, capsys, *cards, '--work-dir', tmp_path, '--quiet').returncode == 0


def test_a_video_that_cannot_be_read_is_named(cards, tmp_path, capsys):
    dataset = write_long(tmp_path / 'data')
    (dataset / 'test_1.mp4').write_bytes(b'no video')
    believe(dataset)
    options = ['--dataset', dataset, *cards[2:], '--work-dir', tmp_path, '--quiet', '--export', tmp_path / 'out']
    done = call_main(features.main, capsys, *options)
    assert 'test: 2 videos' in done.stdout
    assert '  not read: test_1.mp4: ' in done.stdout
    assert (tmp_path / 'out' / 'missing_files.txt').read_text() == 'test_1\n'


def test_where_nothing_can_be_read_there_is_no_export(cards, tmp_path, capsys):
    dataset = write_long(tmp_path / 'data')
    for video in dataset.glob('*.mp4'):
        video.write_bytes(b'no video')
    believe(dataset)
    options = ['--dataset', dataset, *cards[2:], '--work-dir', tmp_path, '--quiet', '--export', tmp_path / 'out']
    done = call_main(features.main, capsys, *options)
    assert done.returncode == 2
    assert 'nothing to export' in done.stderr.splitlines()[-1]
    assert not (tmp_path / 'out').exists()


def test_processes_of_devices_end_with_the_one_that_started_them(cards, monkeypatch):
    class Process:
        def __init__(self, command, env, stdout) -> None:
            assert env['SIGMA_CELL_OF'] == str(os.getpid())

        def wait(self) -> int:
            return -9

    monkeypatch.setattr(features.subprocess, 'Popen', Process)
    args = features.parse([*map(str, cards), '--work-dir', 'w', '--devices', '2'])
    assert features.on_devices(args, []) == 137


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (['--dataset', 'nowhere'], ('nowhere',)),
        (['--recipe', 'localisation_thumos14'], ('localization_thumos14',)),
        (['--recipe', 'frozen_demo'], ('frozen_demo is for the protocol frozen_linear, which uses no features',)),
        (['--recipe', 'localization_robustness'], ('choose one of localization',)),
    ],
)
def test_bad_input_is_one_sentence(cards, tmp_path, capsys, change, words):
    assert_one_sentence(call_main(features.main, capsys, *cards, '--work-dir', tmp_path, *change), *words)


@pytest.mark.parametrize(
    ('change', 'words'),
    [(['--devices', '0'], '--devices is 0'), (['--pooling', 'all', '--export', 'x'], 'leave out --pooling all')],
)
def test_options_that_make_no_sense(cards, capsys, change, words):
    with pytest.raises(SystemExit) as stopped:
        features.parse([*map(str, cards), '--work-dir', 'w', *change])
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_several_processes_share_the_videos(cards, tmp_path):
    tool = features.__file__
    done = run_tool(tool, *cards, '--work-dir', tmp_path, '--devices', 2, '--export', tmp_path / 'out', '--quiet')
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / 'features').rglob('*.npz'))) == 7
    assert done.stdout.count('train: 4 videos') == 1
    assert len(os.listdir(tmp_path / 'out' / 'features')) == 7
    failed = run_tool(tool, *cards, '--work-dir', tmp_path, '--devices', 2, '--seed', 'x')
    assert failed.returncode == 2
