"""Scalars reach the log without a wait in the step, and the logged times are right."""

import collections
import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import LogProcessor

from sigma.engine import scalars as scalars_module
from sigma.engine import throughput
from sigma.engine.runner import Runner
from sigma.engine.scalars import LoggerHook, ScalarsHook, is_check_step, steps_between_checks
from sigma.engine.throughput import ThroughputHook
from tests.conftest import DEMO
from tests.forked import Run, tiny_config
from tests.sigma.losses.test_sinkhorn_reads import WAITS as DEVICE_WAITS
from tests.sigma.losses.test_sinkhorn_reads import Calls
from tests.sigma.models.test_models import tiny_batch, tiny_sigma
from tools.train import is_lost_connection, load_config, parse_args

WAITS = ('item', '__float__', '__int__', '__bool__', 'tolist', 'cpu', 'numpy', '__index__', 'nonzero', 'masked_select')


def count_waits(said) -> None:
    """Let every method of a tensor that waits for a device call `said(name)` first."""
    for name in WAITS:
        original = getattr(torch.Tensor, name)

        def counted(self, *args, _original=original, _name=name, **kwargs):
            said(_name)
            return _original(self, *args, **kwargs)

        setattr(torch.Tensor, name, counted)


def fake(interval: int, steps: int = 7, **others) -> SimpleNamespace:
    hub = MessageHub.get_instance(f'test_scalars_{interval}_{steps}')
    loader = [None] * steps
    return SimpleNamespace(hooks=[LoggerHook(interval)], message_hub=hub, train_dataloader=loader, **others)


def test_scalars_come_over_together_and_stand_in_the_order_of_their_steps(monkeypatch):
    hook, runner, stacks = ScalarsHook(), fake(3), []
    stack = torch.stack
    monkeypatch.setattr(scalars_module.torch, 'stack', lambda tensors: stacks.append(len(tensors)) or stack(tensors))
    for step in range(7):
        outputs = {
            'loss': torch.tensor(float(step), requires_grad=True),
            'agreement': torch.tensor([0.5]),
            'plain': step,
        }
        hook.after_train_iter(runner, step, outputs=outputs)
        done = runner.message_hub.log_scalars
        assert ('train/loss' in done) == (step >= 2)
        if step == 4:
            assert done['train/loss'].current() == 2.0  # from the last look, never from a step that is still running
    history, _ = runner.message_hub.get_scalar('train/loss').data
    assert history.tolist() == [0, 1, 2, 3, 4, 5, 6]  # the epoch ends with the seventh
    assert runner.message_hub.get_scalar('train/plain').current() == 6
    assert stacks == [6, 6, 2]


def test_a_look_is_where_the_log_is_written_and_at_the_end_of_an_epoch():
    assert [step for step in range(7) if is_check_step(fake(3), step)] == [2, 5, 6]
    assert all(is_check_step(SimpleNamespace(hooks=[], train_dataloader=[None] * 7), step) for step in range(7))
    accelerator = torch.device('meta')
    assert (steps_between_checks(None, torch.device('cpu')), steps_between_checks(None, accelerator)) == (1, 10)
    assert (steps_between_checks(4, torch.device('cpu')), steps_between_checks(4, accelerator)) == (4, 4)
    hook = LoggerHook()
    processor = LogProcessor(window_size=1)
    hook.before_train(SimpleNamespace(model=torch.nn.Linear(1, 1, device='meta'), log_processor=processor))
    assert hook.interval == 10


def test_the_time_of_a_line_is_the_mean_of_its_steps():
    hub, processor = MessageHub.get_instance('test_scalars_time'), LogProcessor(window_size=1)
    runner = SimpleNamespace(model=torch.nn.Linear(1, 1), log_processor=processor, message_hub=hub)
    LoggerHook(4).before_train(runner)
    LoggerHook(4).before_train(runner)
    assert len(processor.custom_cfg) == 2
    for seconds in (9.0, 0.1, 0.1, 0.1, 3.7):  # only the fourth of the last four has waited for the device
        hub.update_scalar('train/time', seconds)
        hub.update_scalar('train/loss', seconds)
    logged = processor._collect_scalars(processor.custom_cfg, runner, 'train', reserve_prefix=True)
    assert logged['train/time'] == pytest.approx(1.0)
    assert logged['train/loss'] == 3.7


def test_scalars_of_several_devices_come_over_too():
    hook, runner = ScalarsHook(), fake(1, 1)
    on_device = torch.tensor(1.0)
    moved = []

    class Elsewhere(torch.Tensor):
        def to(self, device, *others):
            moved.append(device)
            return torch.tensor(2.0)

    hook._kept = [{'a': on_device, 'b': torch.tensor(0.0).as_subclass(Elsewhere)}]
    hook.hand_over(runner.message_hub)
    assert torch.device('cpu') in moved
    assert runner.message_hub.get_scalar('train/b').current() == 2.0


def test_no_step_of_a_training_waits_between_looks(toy, tmp_path):
    waits = tmp_path / 'waits'

    def prepare() -> None:
        from sigma.engine.loop import TrainLoop

        active, run_iter = [], TrainLoop.run_iter

        def watched(loop, step, data_batch):
            active.append(loop.iter)
            with Calls() as calls:
                run_iter(loop, step, data_batch)
            for name in calls.of(*DEVICE_WAITS):
                said(name)
            active.clear()

        def said(name: str) -> None:
            if active:
                with open(waits, 'a') as file:
                    file.write(f'{active[0] + 1} {name}\n')

        TrainLoop.run_iter = watched
        count_waits(said)

    intervals = {'default_hooks__logger__interval': 5, 'custom_hooks__2__interval': 5, 'custom_hooks__3__interval': 5}
    checkpoint = {'default_hooks__checkpoint__interval_iters': 'None'}
    clip = {'optim_wrapper__clip_grad__max_norm': 1.0}
    run = Run(tiny_config(tmp_path), tmp_path / 'run', toy, prepare, ['--amp'], **intervals, **checkpoint, **clip)
    assert run.wait() == 0, run.said
    found = collections.Counter(int(line.split()[0]) for line in waits.read_text().splitlines())
    assert set(found) == {5, 10}  # five steps an epoch
    assert max(found.values()) < 30
    (scalars,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    assert [json.loads(line)['grad_norm'] > 0 for line in scalars.read_text().splitlines()] == [True] * 2


def test_time_of_all_steps_since_the_last_look_counts(monkeypatch):
    now = [0.0]
    monkeypatch.setattr('sigma.engine.throughput.time.perf_counter', lambda: now[0])
    runner = fake(2, 5, train_loop=SimpleNamespace(seconds_waited=0.0))
    hook, batch = ThroughputHook(), {'inputs': [None] * 6}
    hook.before_train_epoch(runner)
    for step, (waited, worked) in enumerate([(1.0, 1.0), (0.0, 2.0), (3.0, 3.0), (0.0, 0.0), (0.5, 1.5)]):
        runner.train_loop.seconds_waited += waited
        now[0] += waited + worked
        hook.after_train_iter(runner, step, batch)
    rates, _ = runner.message_hub.get_scalar('train/clips_per_second').data
    percents, _ = runner.message_hub.get_scalar('train/data_wait_percent').data
    assert rates.tolist() == [12 / 4, 12 / 6, 6 / 2]
    assert percents.tolist() == [25, 50, 25]


def test_waiting_for_data_is_said_with_the_remedy_once_in_a_while(monkeypatch):
    now, said = [0.0], []
    monkeypatch.setattr('sigma.engine.throughput.time.perf_counter', lambda: now[0])
    monkeypatch.setattr('sigma.engine.throughput.num_cpus', lambda: 8)
    monkeypatch.setattr('sigma.engine.throughput.print_log', lambda text, *_: said.append((now[0], text)))
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    runner = fake(1, 1000, train_loop=SimpleNamespace(seconds_waited=0.0))
    runner.train_dataloader = collections.UserList([None] * 1000)
    runner.train_dataloader.num_workers = 1
    hook, batch = ThroughputHook(), {'inputs': [None]}
    hook.before_train_epoch(runner)
    for step in range(800):
        waited = 0.4 if step < 100 else 0.9
        runner.train_loop.seconds_waited += waited
        now[0] += 1.0
        hook.after_train_iter(runner, step, batch)
    assert [seconds for seconds, _ in said] == [121.0, 721.0]  # not at 40 %; then once in ten minutes
    assert '75 % of the last 30 s' in said[0][1]  # the window in which it changed
    assert '90 % of the last 30 s' in said[1][1]
    assert 'train_dataloader.num_workers=3' in said[1][1]
    assert 'tools.benchmark input' in said[1][1]
    assert 'uses all 4 cores' in throughput.remedy(4, 4)


def test_a_loop_that_keeps_no_waiting_time_has_no_share_of_it():
    hook, runner = ThroughputHook(), fake(1, 3, train_loop=SimpleNamespace())  # as mmengine's own
    hook.before_train_epoch(runner)
    hook.after_train_iter(runner, 0, {'inputs': [None] * 6})
    assert runner.message_hub.get_scalar('train/clips_per_second').current() > 0
    assert 'train/data_wait_percent' not in runner.message_hub.log_scalars


# --- compiled blocks, and processes that died ---


def test_compile_takes_the_blocks_and_changes_no_number(monkeypatch):
    model, said = tiny_sigma(), []
    names = list(model.state_dict())
    data = model.data_preprocessor(tiny_batch())
    plain = model(**data, mode='loss')
    compiled, compile_module = [], torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, 'compile', lambda module, **how: compiled.append(module) or compile_module(module, **how)
    )
    runner = SimpleNamespace(
        cfg={'compile': {'backend': 'eager'}}, model=model, logger=SimpleNamespace(info=said.append)
    )
    Runner._maybe_compile(runner, 'train_step')
    assert compiled == [*model.encoder.blocks, *model.decoder.blocks]
    assert list(model.state_dict()) == names
    assert '3 blocks' in said[0]
    for name, value in model(**data, mode='loss').items():
        torch.testing.assert_close(value, plain[name], atol=1e-6, rtol=1e-5)
    compiled.clear()
    runner.cfg = {}
    Runner._maybe_compile(runner, 'train_step')
    assert not compiled
    runner.cfg, runner.model = {'compile': True}, torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match='Linear has no blocks'):
        Runner._maybe_compile(runner, 'train_step')


def test_the_command_line_asks_for_it(tmp_path):
    assert load_config(parse_args([str(DEMO), '--work-dir', str(tmp_path), '--compile'])).compile is True
    assert 'compile' not in load_config(parse_args([str(DEMO), '--work-dir', str(tmp_path)]))


def test_a_lost_connection_is_told_from_a_fault():
    lost = '[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4711'
    assert is_lost_connection(RuntimeError(lost))
    assert is_lost_connection(torch.distributed.DistNetworkError('The client socket has failed to connect'))
    assert not is_lost_connection(RuntimeError('mat1 and mat2 shapes cannot be multiplied (4x3 and 2x1)'))
