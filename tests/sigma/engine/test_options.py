"""Settings of the command line: a misspelt one is refused, and the schedule follows the length of the training."""

import json
import shutil

import pytest
from mmengine.config import Config

from sigma.data.cards import read_config
from sigma.engine.options import check_options
from sigma.engine.schedule import ends_apart, follow_length
from sigma.errors import DataError
from tests.conftest import DEMO, ROOT, assert_one_sentence, call_main, demo_options, run_tool
from tests.forked import tiny_config
from tools import test as test_tool
from tools import train as train_tool

PUBLISHED = ROOT / 'mmaction_configs' / 'pretrain' / 'sigma-mlp_vit-b_k400.py'


@pytest.fixture(scope='module')
def settings() -> dict:
    return read_config(PUBLISHED).to_dict()


@pytest.mark.parametrize(
    'path',
    [
        'train_dataloader.batch_size',
        'train_dataloader.prefetch_factor',
        'train_dataloader.dataset.pipeline.0.decoder',
        'train_dataloader.sampler.repeats',
        'model.loss.temperature',
        'model.encoder.drop_path_rate',
        'optim_wrapper.accumulative_counts',
        'optim_wrapper.clip_grad.max_norm',
        'optim_wrapper.optimizer.amsgrad',
        'default_hooks.checkpoint.interval_iters',
        'default_hooks.logger.log_metric_by_epoch',
        'custom_hooks.2.interval',
        'param_scheduler.1.end',
        'visualizer.vis_backends.0.config_save_file',
        'load_from',
        'compile',
        'activation_checkpointing',
    ],
)
def test_what_is_read_is_taken(settings, path):
    check_options(settings, {path: 1})


@pytest.mark.parametrize(
    ('path', 'nearest'),
    [
        ('train_dataloader.batch_sise', 'batch_size'),
        ('train_dataloder.batch_size', 'train_dataloader'),
        ('train_dataloader.dataset.pipeline.0.decodr', 'decoder'),
        ('model.loss.epsilom', 'epsilon'),
        ('model.encoder.drop_path', 'drop_path_rate'),
        ('optim_wrapper.optimizer.lrr', 'lr'),
        ('default_hooks.checkpont.interval_iters', 'checkpoint'),
        ('default_hooks.checkpoint.interval_iter', 'interval_iters'),
        ('train_cfg.max_epoch', 'max_epochs'),
        ('randomness.sed', 'seed'),
        ('auto_scale_lr.enabled', 'enable'),
        ('loadfrom', 'load_from'),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_nearest(settings, path, nearest):
    with pytest.raises(DataError) as caught:
        check_options(settings, {path: 1})
    assert f'--cfg-options {path}: ' in str(caught.value)
    assert f'Did you mean {nearest!r}?' in str(caught.value)


def test_places_that_are_not_there_are_refused(settings):
    with pytest.raises(DataError, match='custom_hooks is a list of 5 entries'):
        check_options(settings, {'custom_hooks.9.interval': 1})
    with pytest.raises(DataError, match="model.encoder.arch is 'base', which has no parts"):
        check_options(settings, {'model.encoder.arch.depth': 1})


def test_a_new_type_brings_its_own_arguments(settings):
    changed = {'optim_wrapper.optimizer.type': 'SGD', 'optim_wrapper.optimizer.momentum': 0.9}
    check_options(settings, changed)
    with pytest.raises(DataError, match="'momentum'"):
        check_options(settings, {'optim_wrapper.optimizer.momentum': 0.9})
    check_options(settings, {'default_hooks.mine.type': 'mmengine.EmptyCacheHook', 'default_hooks.mine.after_epoch': 1})


def test_tools_refuse_a_misspelt_setting_before_anything_runs(toy, tmp_path, capsys):
    options = demo_options(toy, train_dataloader__batch_sise=4)
    done = call_main(train_tool.main, capsys, DEMO, '--work-dir', tmp_path / 'work', *options)
    assert_one_sentence(done, 'train_dataloader.batch_sise', "Did you mean 'batch_size'")
    assert not (tmp_path / 'work').exists()
    config = tmp_path / 'cell.py'
    config.write_text("model = dict(type='x')\ntest_dataloader = dict(batch_size=1)\ntest_evaluator = dict(type='y')\n")
    weights = tmp_path / 'w.safetensors'
    from safetensors.torch import save_file
    from torch import zeros

    save_file({'a': zeros(1)}, weights)
    done = call_main(test_tool.main, capsys, config, weights, '--cfg-options', 'test_dataloader.batch_sise=4')
    assert_one_sentence(done, 'test_dataloader.batch_sise', "Did you mean 'batch_size'")


# --- the schedule ---


def schedule(end=5, begin=1, **more) -> Config:
    parts = [
        {'type': 'mmengine.LinearLR', 'by_epoch': True, 'begin': 0, 'end': begin},
        {'type': 'mmengine.CosineAnnealingLR', 'by_epoch': True, 'begin': begin, 'end': end} | more,
    ]
    return Config({'train_cfg': {'max_epochs': 5}, 'param_scheduler': parts})


def follow(cfg, **options) -> list[str]:
    options = {name.replace('__', '.'): value for name, value in options.items()}
    former = dict(cfg.train_cfg)
    cfg.merge_from_dict(options)
    return follow_length(cfg, options, former)


def test_the_schedule_follows_the_number_of_epochs():
    cfg = schedule(T_max=4)
    said = follow(cfg, train_cfg__max_epochs=20)
    assert said == ['The schedule follows train_cfg: param_scheduler.1.end 5 -> 20.']
    assert cfg.param_scheduler[1].end == 20
    assert cfg.param_scheduler[1].T_max == 19
    assert cfg.param_scheduler[0].end == 1  # the warm-up stays


def test_the_schedule_follows_the_number_of_steps():
    parts = [{'type': 'mmengine.CosineAnnealingLR', 'by_epoch': False, 'begin': 0, 'end': 500}]
    cfg = Config({'train_cfg': {'max_iters': 500, 'by_epoch': False}, 'param_scheduler': parts})
    assert follow(cfg, train_cfg__max_iters=2000) == [
        'The schedule follows train_cfg: param_scheduler.0.end 500 -> 2000.'
    ]
    assert cfg.param_scheduler[0].end == 2000


def test_a_schedule_that_was_set_by_hand_stays():
    cfg = schedule()
    assert follow(cfg, train_cfg__max_epochs=20, param_scheduler__1__end=10) == []
    assert cfg.param_scheduler[1].end == 10


def test_a_training_shorter_than_its_warm_up_is_refused_with_both_numbers():
    with pytest.raises(DataError, match='max_epochs is 3, but param_scheduler.1 .* begins at 3') as refused:
        follow(schedule(begin=3), train_cfg__max_epochs=3)
    assert str(refused.value).endswith(' param_scheduler.0.end=1 param_scheduler.1.begin=1 param_scheduler.1.end=3')


@pytest.mark.parametrize(
    ('end', 'by_epoch', 'words'),
    [
        (5, True, None),
        (50, False, None),
        (4, True, ('epoch 4', '5 epochs', 'stays at its last value')),
        (9, True, ('epoch 9', '5 epochs', 'does not reach its end')),
        (40, False, ('step 40', '50 steps', 'stays at its last value')),
    ],
)
def test_a_schedule_that_ends_apart_from_the_training_is_told_with_both_numbers(end, by_epoch, words):
    said = ends_apart([{'type': 'CosineAnnealingLR', 'begin': 0, 'end': end, 'by_epoch': by_epoch}], 5, 10)
    assert (said is None) == (words is None)
    for word in words or ():
        assert word in said


def test_steps_without_an_end_are_no_mistake():
    assert ends_apart([{'type': 'mmengine.MultiStepLR', 'milestones': [2], 'end': 3}], 5, 10) is None
    warm_up = {'type': 'mmengine.LinearLR', 'begin': 0, 'end': 1}
    assert ends_apart([warm_up, {'type': 'mmengine.CosineAnnealingLR', 'T_max': 4, 'begin': 1}], 5, 10) is None
    assert ends_apart(None, 5, 10) is None


def test_max_epochs_alone_moves_the_end_of_the_cosine(toy, tmp_path):
    """The case as a user met it: the learning rate of the last step belongs to the last epoch."""
    options = demo_options(toy, train_cfg__max_epochs=6)
    options = [option for option in options if 'param_scheduler' not in option]
    # In a process of its own: MMEngine keeps one visualizer for each process and second.
    done = run_tool('tools/train.py', tiny_config(tmp_path), '--work-dir', tmp_path / 'work', *options)
    assert done.returncode == 0, done.stderr
    assert 'param_scheduler.1.end 4 -> 6' in done.stderr
    (log,) = (tmp_path / 'work').glob('*/vis_data/scalars.json')
    rates = [json.loads(line)['lr'] for line in log.read_text().splitlines()]
    assert len(rates) == 30
    assert all(later < earlier for earlier, later in zip(rates[5:], rates[6:]))  # falls until the end
    shutil.rmtree(tmp_path / 'work')
