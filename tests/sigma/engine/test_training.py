"""Training as a user runs it: resume after a real kill, two processes equal to one, bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from sigma.checkpoints.files import read_training_state, read_weights
from sigma.compat import recompute_activations
from sigma.data.cards import read_config
from sigma.engine import resume
from tests.conftest import DEMO, PATIENCE, ROOT, assert_one_sentence, call_main, demo_options, run_tool
from tests.sigma.models.test_models import tiny_batch, tiny_sigma
from tools import train as train_tool


def train(toy, work, *arguments, **options):
    return run_tool('tools/train.py', DEMO, '--work-dir', work, *arguments, *demo_options(toy, **options))


@pytest.fixture(scope='module')
def whole(toy, tmp_path_factory):
    """Work directory of an uninterrupted run with a checkpoint at every third step."""
    work = tmp_path_factory.mktemp('runs') / 'whole'
    done = train(toy, work, default_hooks__checkpoint__interval_iters=3)
    assert done.returncode == 0, done.stderr
    return work


def scalars(work) -> list[dict]:
    """Logged steps of all runs in a work directory, in order."""
    files = sorted(work.glob('2*/vis_data/scalars.json'))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_every_step_logs_losses_and_health(whole):
    steps = scalars(whole)
    assert [step['step'] for step in steps] == list(range(1, 11))
    for step in steps:
        assert step['loss'] == pytest.approx(step['loss_target'] + step['loss_pred'], abs=1e-5)
        for name in ('lr', 'clips_per_second', 'prototypes_used', 'code_entropy', 'agreement', 'feature_std'):
            assert step[name] >= 0, name
    assert 4 < steps[0]['loss_pred'] < 6.5  # ln 64 + 1 / (2 0.1^2 64) = 4.9


def test_checkpoints_hold_the_whole_state_and_old_ones_go(whole):
    assert sorted(p.name for p in whole.glob('iter_*')) == ['iter_10.safetensors', 'iter_9.safetensors']
    state = read_training_state(whole / 'iter_10.safetensors')
    assert state['meta']['epoch'] == 2
    assert state['meta']['iter'] == 10
    assert {'state_dict', 'optimizer', 'param_schedulers', 'random'} <= set(state)
    assert 'sinkhorn_loss.prototypes' in state['state_dict']
    encoder = read_weights(whole / 'encoder.safetensors')
    assert encoder.header['kind'] == 'encoder'
    trained = state['state_dict']['encoder.blocks.0.mlp.fc1.weight']
    assert torch.equal(encoder.tensors['blocks.0.mlp.fc1.weight'], trained)


@pytest.mark.integration
def test_a_killed_run_resumes_bit_for_bit(toy, whole, tmp_path):
    work = tmp_path / 'killed'
    command = [sys.executable, 'tools/train.py', str(DEMO), '--work-dir', str(work), '--resume']
    command += demo_options(toy, default_hooks__checkpoint__interval_iters=3)
    env = os.environ | {'OMP_NUM_THREADS': '1'}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        deadline = time.time() + 120 * PATIENCE
        while not (work / 'iter_3.safetensors').exists():
            assert process.poll() is None
            assert time.time() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (work / 'iter_10.safetensors').exists()
    (work / '.iter_6.safetensors.1.tmp').write_bytes(b'half')  # what a kill in a write leaves behind
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (work / 'iter_10.safetensors').read_bytes() == (whole / 'iter_10.safetensors').read_bytes()
    assert not list(work.glob('.*.tmp'))


@pytest.mark.slow
def test_a_run_resumed_from_the_end_of_an_epoch_is_bit_for_bit_too(toy, whole, tmp_path):
    work = tmp_path / 'epoch'
    work.mkdir()
    state = read_training_state(whole / 'iter_10.safetensors')
    assert state['meta']['steps_per_epoch'] == 5
    assert state['meta']['global_batch'] == 8
    done = train(toy, work, default_hooks__checkpoint__keep=9)
    assert done.returncode == 0, done.stderr
    (work / 'iter_10.safetensors').unlink()
    done = train(toy, work, '--resume', work / 'iter_5.safetensors')
    assert done.returncode == 0, done.stderr
    assert (work / 'iter_10.safetensors').read_bytes() == (whole / 'iter_10.safetensors').read_bytes()


def test_a_checkpoint_of_other_batches_or_amid_later_ones_is_refused(toy, whole, capsys):
    def resume(*arguments, **options):
        options = demo_options(toy, **options)
        return call_main(train_tool.main, capsys, DEMO, '--work-dir', whole, '--resume', *arguments, *options)

    assert_one_sentence(resume(train_dataloader__batch_size=4), 'steps per epoch 5, this run has 10')
    assert_one_sentence(resume(whole / 'iter_9.safetensors'), 'holds later checkpoints than', 'iter_10.safetensors')


def test_a_checkpoint_of_another_config_is_refused_or_the_change_is_said(toy, whole, tmp_path, capsys):
    def resume(*arguments, **options):
        options = demo_options(toy, **options)
        return call_main(train_tool.main, capsys, DEMO, '--work-dir', work, '--resume', *arguments, *options)

    work = tmp_path / 'run'
    shutil.copytree(whole, work)
    # MMEngine would train new prototypes beside the optimizer's state of the old ones, which reads past its memory.
    assert_refused(
        resume(model__loss__num_prototypes=24), 'iter_10', 'sinkhorn_loss.prototypes', '(64, 64)', '(24, 64)'
    )
    assert_refused(resume(model__decoder__depth=1), '12 keys have no place', 'first decoder.blocks.1.')
    # A learning rate and a schedule come from the checkpoint, whatever the config says.
    done = resume(optim_wrapper__optimizer__lr=1e-4, param_scheduler__1__end=9, train_cfg__max_epochs=9)
    assert_refused(
        done, 'optimizer.lr 0.001 -> 0.0001; param_scheduler.1.end 2 -> 9', 'would have no effect', 'load_from'
    )
    # Others do take effect, and the log says so.
    done = resume(model__loss__epsilon=0.1, train_cfg__max_epochs=3)
    assert done.returncode == 0, done.stderr
    assert 'other settings than its checkpoint was written with: model.loss.epsilon 0.05 -> 0.1.' in done.stdout
    (work / 'weights').mkdir()
    (work / 'encoder.safetensors').rename(work / 'weights' / 'encoder.safetensors')
    work = work / 'weights'
    assert_refused(resume(work / 'encoder.safetensors'), 'no training state', 'iter_N.safetensors')


def assert_refused(done, *words):
    assert_one_sentence(done, *words)
    assert 'do not match exactly' not in done.stdout  # MMEngine's message when it continues anyway


def test_training_can_start_from_weights_of_another_schedule(toy, whole, tmp_path, capsys):
    def start(file, **options):
        settings = demo_options(toy, load_from=file, optim_wrapper__optimizer__lr=1e-4, train_cfg__max_epochs=1)
        return call_main(train_tool.main, capsys, DEMO, '--work-dir', tmp_path / file.stem, *settings)

    assert start(whole / 'iter_10.safetensors').returncode == 0
    before, after = (
        read_training_state(f) for f in (whole / 'iter_10.safetensors', tmp_path / 'iter_10' / 'iter_5.safetensors')
    )
    assert {group['initial_lr'] for group in after['optimizer']['param_groups']} == {1e-4}
    name = 'encoder.blocks.0.mlp.fc1.weight'
    moved = (after['state_dict'][name] - before['state_dict'][name]).abs().max()
    assert 0 < moved < 5.5e-4  # five steps at the lower rate, and no new random weights
    assert_refused(start(whole / 'encoder.safetensors'), 'encoder.safetensors', 'SIGMA', 'blocks.0.')


def test_the_learning_rate_follows_the_batch_and_the_passes_that_make_one(toy, tmp_path, capsys):
    options = {'auto_scale_lr__enable': True, 'auto_scale_lr__base_batch_size': 4, 'train_cfg__max_epochs': 1}
    options = demo_options(toy, **options, optim_wrapper__accumulative_counts=3)
    done = call_main(train_tool.main, capsys, DEMO, '--work-dir', tmp_path, *options)
    assert done.returncode == 0, done.stderr
    groups = read_training_state(tmp_path / 'iter_5.safetensors')['optimizer']['param_groups']
    assert [group['initial_lr'] for group in groups] == [pytest.approx(1e-3 * 8 / 4 * 3)] * 2


@pytest.mark.integration
def test_two_processes_equal_one(toy, whole, tmp_path):
    options = demo_options(toy, train_dataloader__batch_size=4)
    done = run_tool('tools/dist_train.sh', DEMO, 2, '--work-dir', tmp_path / 'two', *options)
    assert done.returncode == 0, done.stderr
    one, two = scalars(whole), scalars(tmp_path / 'two')
    # Rank 0 logs its own half; the prototypes and weights of both must be those of one process.
    assert len(one) == len(two) == 10
    a = read_training_state(whole / 'iter_10.safetensors')['state_dict']
    b = read_training_state(tmp_path / 'two' / 'iter_10.safetensors')['state_dict']
    assert set(a) == set(b)
    for name in a:
        torch.testing.assert_close(b[name], a[name], atol=2e-4, rtol=2e-3, msg=name)


@pytest.mark.slow
def test_bf16_runs_on_a_cpu(toy, whole, tmp_path):
    done = train(toy, tmp_path / 'bf16', '--amp', train_cfg__max_epochs=1)
    assert done.returncode == 0, done.stderr
    full, half = scalars(whole), scalars(tmp_path / 'bf16')
    assert half[0]['loss'] == pytest.approx(full[0]['loss'], rel=0.05)
    assert half[0]['loss'] != full[0]['loss']


@pytest.mark.slow
def test_going_on_in_another_precision_is_said(toy, whole, tmp_path):
    shutil.copytree(whole, tmp_path / 'run')
    done = train(toy, tmp_path / 'run', '--resume', '--amp', train_cfg__max_epochs=3)
    assert done.returncode == 0, done.stderr
    assert 'written by a run in fp32, this run is in bf16' in done.stderr + done.stdout
    assert read_training_state(tmp_path / 'run' / 'iter_15.safetensors')['meta']['precision'] == 'bf16'


@pytest.mark.parametrize(
    ('written', 'now', 'is_said'),
    [
        ('fp32', 'fp32', False),
        ('bf16', 'bf16', False),
        ('bf16', 'fp32', True),
        (None, 'fp32', False),
        (None, 'bf16', True),
    ],
)
def test_only_a_change_of_precision_is_said(written, now, is_said, monkeypatch):
    said = []
    monkeypatch.setattr(resume, 'print_log', lambda text, *_: said.append(text))
    resume._say_change_of_precision(written, now)
    assert bool(said) == is_said


@pytest.mark.integration
def test_a_folder_that_holds_a_run_is_not_overwritten(toy, whole):
    before = (whole / 'iter_10.safetensors').stat().st_mtime_ns
    assert_one_sentence(train(toy, whole), 'already holds a run', '--resume')
    assert (whole / 'iter_10.safetensors').stat().st_mtime_ns == before


def test_a_complete_run_says_that_nothing_is_left_to_train(toy, whole, tmp_path, capsys):
    work = tmp_path / 'run'
    shutil.copytree(whole, work)
    done = call_main(train_tool.main, capsys, DEMO, '--work-dir', work, '--resume', *demo_options(toy))
    assert_one_sentence(done, 'run: already complete', 'epoch 2 of 2', 'step 10', status=0)
    assert (work / 'iter_10.safetensors').read_bytes() == (whole / 'iter_10.safetensors').read_bytes()
    encoders = [read_weights(folder / 'encoder.safetensors').header['sha256'] for folder in (work, whole)]
    assert encoders[0] == encoders[1]


def test_checkpoints_without_a_pointer_are_neither_overwritten_nor_lost(toy, whole, tmp_path, capsys):
    work = tmp_path / 'run'
    shutil.copytree(whole, work)
    (work / 'last_checkpoint').unlink()
    done = call_main(train_tool.main, capsys, DEMO, '--work-dir', work, *demo_options(toy))
    assert_one_sentence(done, 'already holds a run', 'iter_10.safetensors', '--resume')
    (work / 'iter_10.safetensors').unlink()
    done = call_main(train_tool.main, capsys, DEMO, '--work-dir', work, '--resume', *demo_options(toy))
    assert done.returncode == 0, done.stderr
    assert 'iter_9.safetensors' in done.stdout
    assert (work / 'iter_10.safetensors').read_bytes() == (whole / 'iter_10.safetensors').read_bytes()


def test_a_damaged_newest_checkpoint_is_named_with_the_one_before_it(toy, whole, tmp_path, capsys):
    work = tmp_path / 'run'
    shutil.copytree(whole, work)
    newest = work / 'iter_10.safetensors'
    newest.write_bytes(newest.read_bytes()[:-100])
    arguments = [DEMO, '--work-dir', work, *demo_options(toy), '--resume']
    done = call_main(train_tool.main, capsys, *arguments)
    assert_one_sentence(done, 'iter_10.safetensors is damaged', 'remove it', f'--resume {work / "iter_9.safetensors"}')
    newest.unlink()
    done = call_main(train_tool.main, capsys, *arguments, work / 'iter_9.safetensors')  # as advised
    assert done.returncode == 0, done.stderr
    assert newest.read_bytes() == (whole / 'iter_10.safetensors').read_bytes()


def test_a_checkpoint_with_other_bytes_than_were_written_is_refused(toy, whole, tmp_path, capsys):
    work = tmp_path / 'run'
    shutil.copytree(whole, work)
    newest = work / 'iter_10.safetensors'
    contents = bytearray(newest.read_bytes())
    contents[-1000] ^= 1  # one bit of one number, which is a number still
    newest.write_bytes(contents)
    done = call_main(train_tool.main, capsys, DEMO, '--work-dir', work, *demo_options(toy), '--resume')
    assert_one_sentence(done, 'iter_10.safetensors is damaged', 'tensors differ', 'the checkpoint before')


@pytest.mark.slow
def test_activations_computed_anew_change_nothing(toy, whole, tmp_path, capsys):
    def asked(names):
        return demo_options(toy, default_hooks__checkpoint__interval_iters=3, activation_checkpointing=names)

    done = run_tool(
        'tools/train.py', DEMO, '--work-dir', tmp_path / 'run', *asked("['encoder.blocks','decoder.blocks.0']")
    )
    assert done.returncode == 0, done.stderr
    assert 'Warning' not in done.stderr
    wanted, found = (read_training_state(work / 'iter_10.safetensors') for work in (whole, tmp_path / 'run'))
    assert list(found['state_dict']) == list(wanted['state_dict'])
    assert all(torch.equal(tensor, wanted['state_dict'][name]) for name, tensor in found['state_dict'].items())
    no_such = call_main(train_tool.main, capsys, DEMO, '--work-dir', tmp_path / 'no', *asked('encoder.layers'))
    assert_one_sentence(no_such, 'encoder.layers', 'blocks: encoder.blocks, decoder.blocks')


def test_activations_of_the_named_blocks_are_computed_twice_and_not_kept():
    def step(names) -> tuple[int, list[int]]:
        """Values kept for the backward pass, and passes of each block of encoder and decoder."""
        model, kept, passes = tiny_sigma(), [], [0, 0, 0]
        for i, block in enumerate([*model.encoder.blocks, *model.decoder.blocks]):
            block.norm1.register_forward_hook(lambda *_, i=i: passes.__setitem__(i, passes[i] + 1))
        recompute_activations(model, names)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
            losses = model(**model.data_preprocessor(tiny_batch()), mode='loss')
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        return sum(kept), passes

    (all_kept, once), (fewer, some) = step([]), step(['encoder.blocks'])
    assert (once, some) == ([1, 1, 1], [2, 2, 1])
    assert fewer < all_kept


@pytest.mark.integration
def test_nearest_neighbours_and_the_alarm_are_asked_for_on_the_command_line(toy, tmp_path, capsys):
    wanted = ('--knn', toy, '--knn-every', '1', '--stop-at-collapse')
    done = train(toy, tmp_path / 'run', *wanted, train_dataloader__pin_memory=True)
    assert done.returncode == 0, done.stderr
    assert 'Warning' not in done.stderr  # published configs pin memory, and without a GPU torch warns of that
    assert [round(line['knn/clips_scored']) for line in scalars(tmp_path / 'run') if 'knn/top1' in line] == [20, 20]
    hooks = read_config(next((tmp_path / 'run').glob('2*/vis_data/config.py'))).custom_hooks
    assert [hook['stop'] for hook in hooks if hook['type'] == 'sigma.CollapseHook'] == [True]

    def call(*arguments, **options):
        arguments = [DEMO, '--work-dir', tmp_path / 'refused', *arguments, *demo_options(toy, **options)]
        return call_main(train_tool.main, capsys, *arguments)

    assert_one_sentence(call('--knn', tmp_path / 'absent'), 'absent')
    assert_one_sentence(call('--knn', toy, '--knn-every', '0'), 'every_epochs 0')
    assert_one_sentence(call('--stop-at-collapse', custom_hooks=[]), 'sigma.CollapseHook')
    no_pipeline = call('--knn', toy, train_dataloader__dataset__pipeline=[])
    assert_one_sentence(no_pipeline, 'no sigma.OpenVideo and no sigma.SampleDense', 'custom_hooks')


@pytest.mark.parametrize(
    ('contents', 'found'),
    [
        (b'', 'is empty'),
        (b'\xff\xfe\x00', 'which is not there'),
        (b'/x/iter_99.safetensors', 'iter_99.safetensors, which is'),
    ],
)
def test_a_damaged_pointer_is_told_with_the_newest_checkpoint(contents, found, toy, whole, tmp_path, capsys):
    work = tmp_path / 'run'
    shutil.copytree(whole, work)
    (work / 'last_checkpoint').write_bytes(contents)
    for arguments, words in (('--resume',), (found, f'give --resume {work / "iter_10.safetensors"}.')), ((), ['a run']):
        done = call_main(train_tool.main, capsys, DEMO, '--work-dir', work, *arguments, *demo_options(toy))
        assert_one_sentence(done, 'last_checkpoint' if arguments else 'iter_10.safetensors', *words)


def test_bad_input_ends_in_one_sentence(toy, tmp_path, capsys):
    def call(*arguments):
        return call_main(train_tool.main, capsys, *arguments)

    def demo(card, *arguments, **options):
        return call(DEMO, '--work-dir', tmp_path / 'work', *arguments, *demo_options(card, **options))

    assert_one_sentence(call('none.py', '--work-dir', tmp_path / 'work'), 'none.py', 'not there')
    (tmp_path / 'broken.py').write_text('model = dict(')
    assert_one_sentence(call(tmp_path / 'broken.py'), 'broken.py', 'cannot be read')
    assert_one_sentence(call(DEMO, '--work-dir', tmp_path / 'broken.py'), '--work-dir', 'broken.py is not a folder')
    assert_one_sentence(demo('no_such_card'), "Unknown dataset 'no_such_card'")
    assert_one_sentence(demo(toy, '--resume', tmp_path / 'x.safetensors'), 'x.safetensors', 'not there')
    torch.save({'model': _Hostile(tmp_path / 'written')}, tmp_path / 'hostile.pth')
    assert_one_sentence(demo(toy, '--resume', tmp_path / 'hostile.pth'), 'hostile.pth', 'refused without running it')
    assert not (tmp_path / 'written').exists()
    # Both would train, on a corner of the clip or with most cells never visible.
    larger = demo(toy, train_dataloader__dataset__pipeline__3__size=96)
    assert_one_sentence(larger, 'clips of 16 frames of 96x96', 'built for 16 frames of 64x64')
    coarser = demo(toy, train_dataloader__dataset__pipeline__4__grid='(2,2)')
    assert_one_sentence(coarser, 'TubeMask draws masks of 2x2 cells', '8x4x4 tokens')
    assert_one_sentence(demo(toy, train_dataloader__batch_size=500), 'global batch of 500', '40 videos')
    assert_one_sentence(demo(toy, train_cfg__max_epochs=0), 'max_epochs is 0', '1 or more')
    assert_one_sentence(demo(toy, train_cfg__max_epochs=1.5), 'max_epochs is 1.5', 'whole number')
    assert_one_sentence(demo(toy, train_cfg__max_epochs='many'), 'max_epochs is many', 'whole number')
    assert_one_sentence(demo(toy, optim_wrapper__accumulative_counts=0), 'accumulative_counts is 0', '1 pass or more')
    assert_one_sentence(demo(toy, default_hooks__checkpoint__interval_epochs=0), 'interval_epochs 0', 'at least 1')
    assert not list((tmp_path / 'work').glob('*.safetensors'))
    assert not list((tmp_path / 'work').glob('iter_*'))


class _Hostile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), 'w')


@pytest.mark.integration
def test_bad_input_to_several_processes_ends_in_one_sentence(toy, tmp_path):
    script = 'tools/dist_train.sh'
    assert_one_sentence(run_tool(script, 'none.py', 2), 'none.py', 'not there')
    assert_one_sentence(run_tool(script, DEMO, 'two'), "positive number, found 'two'")
    assert_one_sentence(run_tool(script, DEMO), 'usage')
    done = run_tool(script, DEMO, 2, '--work-dir', tmp_path / 'w', *demo_options('no_such_card'))
    assert_one_sentence(done, "Unknown dataset 'no_such_card'")
    code = 'import torch, sys; torch.cuda.device_count = lambda: 1; sys.argv[0] = "x"; '
    code += 'sys.path.insert(0, "tools"); import launch; sys.exit(launch.main(["tools/train.py", "4", "c.py"]))'
    assert_one_sentence(run_tool('-c', code), '4 processes', '1 GPUs')


@pytest.mark.integration
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(toy, tmp_path):
    work = tmp_path / 'nan'
    done = train(toy, work, train_cfg__max_epochs=1, default_hooks__checkpoint__interval_iters=1)
    assert done.returncode == 0, done.stderr
    options = {'train_cfg__max_epochs': 3, 'model__loss__temperature': 'nan'}
    done = train(toy, work, '--resume', **options)
    assert_one_sentence(done, 'The loss of step 6 is nan', 'last checkpoint stays', status=3)
    assert (work / 'iter_5.safetensors').exists()
