"""TensorBoard, Weights & Biases and MLflow: scalars in groups, and one run for a training that was continued."""

import importlib.util
import json
import shutil

import pytest

from sigma.engine.trackers import GROUPS, as_one_sentence, grouped, grouped_scalars, remember, remembered
from sigma.errors import DataError
from tests.conftest import assert_one_sentence, call_main, demo_options
from tests.forked import Run, tiny_config
from tools import train as train_tool

# What a training of SIGMA logs; the 23 that lay at the top level, and what other trainings add.
LOGGED = {
    'loss': 'loss/loss',
    'loss_pred': 'loss/loss_pred',
    'loss_target': 'loss/loss_target',
    'grad_norm': 'loss/grad_norm',
    'code_entropy': 'codes/code_entropy',
    'prototypes_used': 'codes/prototypes_used',
    'window_entropy': 'codes/window_entropy',
    'feature_std': 'features/feature_std',
    'effective_rank': 'features/effective_rank',
    'lr': 'schedule/lr',
    'epoch': 'schedule/epoch',
    'time': 'time/time',
    'data_wait_percent': 'time/data_wait_percent',
    'clips_per_second': 'time/clips_per_second',
    'undecodable_videos': 'data/undecodable_videos',
    'knn/top1': 'knn/top1',
    'my_own': 'other/my_own',
}


def needs(package: str):
    return pytest.mark.skipif(
        importlib.util.find_spec(package) is None, reason=f'{package} is not installed (requirements/trackers.txt)'
    )


def test_every_scalar_has_its_group():
    assert {name: grouped(name) for name in LOGGED} == LOGGED
    names = [name for group in GROUPS.values() for name in group]
    assert len(names) == len(set(names))
    assert grouped_scalars({'loss': 1.0, 'step': 3}) == {'loss/loss': 1.0}


def test_errors_of_trackers_become_one_sentence():
    expected = pytest.raises(DataError, match='--tracker wandb cannot begin a run: no key; log in.')
    with expected, as_one_sentence('wandb', 'log in'):
        raise RuntimeError('no\nkey')


def test_names_of_runs_are_kept_side_by_side(tmp_path):
    assert remembered(tmp_path, 'wandb') is None
    remember(tmp_path, 'wandb', 'abc')
    remember(tmp_path, 'mlflow', 'def')
    remember(tmp_path, 'wandb', 'abc')
    assert json.loads((tmp_path / 'tracker.json').read_text()) == {'wandb': 'abc', 'mlflow': 'def'}
    assert remembered(tmp_path, 'mlflow') == 'def'


@pytest.mark.parametrize('name', ['wandb', 'mlflow'])
def test_a_tracker_that_is_not_installed_is_named_with_its_extra(name, toy, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda _: None)
    done = call_main(
        train_tool.main, capsys, tiny_config(tmp_path), '--work-dir', tmp_path, '--tracker', name, *demo_options(toy)
    )
    assert_one_sentence(done, f'--tracker {name}', 'requirements/trackers.txt')


@pytest.fixture
def continued(toy, tmp_path):
    """Trains an epoch with these arguments, then continues to the second; gives the work directory."""

    def train(*arguments):
        config, work = tiny_config(tmp_path), tmp_path / 'work'
        hooks = {'param_scheduler__1__end': 2}
        for epochs in (1, 2):
            run = Run(config, work, toy, arguments=arguments, train_cfg__max_epochs=epochs, **hooks)
            assert run.wait() == 0, run.said
        return work

    return train


def test_tensorboard_tags_are_grouped(continued):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    work = continued('--tensorboard')
    found: dict[str, list[int]] = {}
    for file in sorted(work.glob('*/vis_data/events*')):
        events = EventAccumulator(str(file)).Reload()
        for tag in events.Tags()['scalars']:
            found.setdefault(tag, []).extend(event.step for event in events.Scalars(tag))
    assert all(tag.count('/') == 1 for tag in found)
    assert {tag.partition('/')[0] for tag in found} == {'loss', 'codes', 'features', 'schedule', 'time', 'data'}
    assert found['loss/loss'] == list(range(1, 11))
    first = sorted(work.glob('*/vis_data/scalars.json'))[0]  # runs that begin in one second share a folder
    assert 'loss' in json.loads(first.read_text().splitlines()[0])  # the log keeps the plain names


@pytest.mark.integration
@needs('wandb')
def test_wandb_offline_continues_its_run(continued, monkeypatch):
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.setenv('WANDB_SILENT', 'true')
    work = continued('--tracker', 'wandb')
    name = remembered(work, 'wandb')
    runs = sorted(path.name for path in (work / 'wandb').glob('offline-run-*'))
    assert len(runs) == 2  # one for each start, and `wandb sync` makes one of them
    assert all(run.endswith(name) for run in runs)
    shutil.rmtree(work / 'wandb')


@pytest.mark.integration
@needs('mlflow')
def test_mlflow_continues_its_run(continued, monkeypatch):
    work = continued('--tracker', 'mlflow')
    monkeypatch.setenv('MLFLOW_ALLOW_FILE_STORE', 'true')  # for the client below; the backend sets it itself
    from mlflow.tracking import MlflowClient

    client = MlflowClient((work / 'mlruns').as_uri())
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    (run,) = runs
    assert run.info.run_id == remembered(work, 'mlflow')
    assert run.info.run_name == 'work'
    steps = [metric.step for metric in client.get_metric_history(run.info.run_id, 'loss/loss')]
    assert sorted(steps) == list(range(1, 11))
    assert run.data.params['train_cfg.max_epochs'] == '1'  # of the first start; config.py has the last
