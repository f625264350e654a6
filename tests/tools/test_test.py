"""tools/test.py: the weights of a cell, tested again, give the number of its record."""

import argparse
import json
import os
import signal
import time

import numpy as np
import pytest
import torch

from eval.cells import claims
from eval.metrics import read_predictions
from eval.records import predictions_path, read_records
from sigma.checkpoints.files import read_weights, save_tensors
from sigma.checkpoints.published import to_published
from tests.conftest import DEMO, PATIENCE, assert_one_sentence, call_main, run_tool
from tests.sigma.checkpoints.test_checkpoints import Hostile
from tools import test as test_tool
from tools import train as train_tool

RECIPE = """recipe = dict(
    protocol='finetune', base_lr=8e-3, layer_decay=0.75, betas=(0.9, 0.999), weight_decay=0.05, warmup_share=0.1,
    batch_size=4, test_batch_size=8, epochs=1, label_smoothing=0.1, drop_path=0.0, head_dropout=0.0,
    head_init_scale=1.0, crop_area=None, views=dict(num_clips=1, crops=1, resize='square'), decoder='pyav',
    checkpoint_epochs=1000, cache_megabytes=10)
"""


@pytest.fixture(scope='module')
def cell(toy, tmp_path_factory):
    """Record, config and weights of a cell that was fine-tuned for a few steps."""
    work = tmp_path_factory.mktemp('cell')
    (work / 'finetune_tiny.py').write_text(RECIPE)
    fields = {'protocol': 'finetune', 'dataset': str(toy), 'recipe': str(work / 'finetune_tiny.py')}
    pid = os.fork()  # the command ties its life to its parent's
    if pid == 0:
        status = 99
        try:
            from eval import run_cell

            status = run_cell.main([json.dumps(fields | {'encoder': 'random', 'seed': 0}), '--work-dir', str(work)])
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    (record,) = read_records(work)
    (weights,) = work.glob('cells/*/iter_*.safetensors')
    return record, record.path.with_name(record.path.name.replace('.json', '.config.py')), weights


def printed(record) -> str:
    return f'top1: {record.score["value"]:.4f} (20 of 20 videos)\n'


@pytest.mark.integration
def test_the_number_is_that_of_the_record(cell, capsys, monkeypatch):
    record, config, weights = cell
    kept, print_found = [], test_tool.print_found
    monkeypatch.setattr(
        test_tool, 'print_found', lambda found, runner: kept.append(runner) or print_found(found, runner)
    )
    done = call_main(test_tool.main, capsys, config, weights)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(printed(record))
    metric, stored = kept[0].test_evaluator.metrics[0], read_predictions(predictions_path(record.path))
    assert metric.videos == stored.video.tolist()
    np.testing.assert_allclose(metric.scores, stored.scores, atol=1e-6)  # of every video, not the number alone
    assert metric.scores.std(axis=0).min() > 0


def as_released(weights, path, classes: int = 10):
    """The weights of a cell as SIGMA and VideoMAE release a fine-tuned model."""
    tensors = read_weights(weights).tensors
    head = {
        name.replace('cls_head.fc.', 'head.').replace('cls_head.', ''): t
        for name, t in tensors.items()
        if 'cls' in name
    }
    encoder = {name.removeprefix('backbone.'): t for name, t in tensors.items() if name.startswith('backbone.')}
    content = to_published(encoder) | {n: t[:classes] if n.startswith('head.') else t for n, t in head.items()}
    torch.save({'model': content, 'epoch': 9, 'args': argparse.Namespace(input_size=64, num_frames=16)}, path)
    return path


@pytest.mark.integration
def test_a_released_fine_tuned_file_is_tested_with_its_own_head(cell, toy, tmp_path, capsys, monkeypatch):
    record, config, weights = cell
    kept, print_found = [], test_tool.print_found
    monkeypatch.setattr(
        test_tool, 'print_found', lambda found, runner: kept.append(runner) or print_found(found, runner)
    )
    line = ('--data', toy, '--recipe', weights.parents[2] / 'finetune_tiny.py')
    file = as_released(weights, tmp_path / 'released.pth')
    done = call_main(test_tool.main, capsys, f'random@{file}', *line)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(printed(record))
    metric, stored = kept[0].test_evaluator.metrics[0], read_predictions(predictions_path(record.path))
    np.testing.assert_allclose(metric.scores, stored.scores, atol=6e-7)
    few = as_released(weights, tmp_path / 'few.pth', classes=7)
    done = call_main(test_tool.main, capsys, f'random@{few}', *line)
    assert_one_sentence(done, 'few.pth', '(7', '(10')
    done = call_main(test_tool.main, capsys, f'random@{weights.parent / "none.pth"}', *line)
    assert_one_sentence(done, 'none.pth')
    assert_one_sentence(call_main(test_tool.main, capsys, f'random@{file}'), 'without a checkpoint')
    assert_one_sentence(call_main(test_tool.main, capsys, 'random', *line), 'CARD@FILE')


@pytest.mark.slow
def test_two_processes_share_the_videos_and_give_the_same_number(cell):
    record, config, weights = cell
    done = run_tool('tools/dist_test.sh', config, weights, 2)
    assert done.returncode == 0, done.stderr
    assert printed(record) in done.stdout


def test_a_process_ends_with_its_torchrun(cell, tmp_path, monkeypatch):
    _, config, weights = cell
    mark = tmp_path / 'at_work'

    def at_work(found, runner) -> None:
        mark.write_text(str(os.getpid()))
        time.sleep(60)

    monkeypatch.setattr(test_tool, 'print_found', at_work)
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'one')
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))  # what it cannot tidy up
    torchrun = os.fork()
    if torchrun == 0:
        if os.fork() == 0:
            test_tool.main([str(config), str(weights)])
        else:
            time.sleep(60)
        os._exit(0)
    end = time.monotonic() + 60 * PATIENCE
    while not (mark.is_file() and mark.read_text()):
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(torchrun, signal.SIGKILL)
    os.waitpid(torchrun, 0)
    end = time.monotonic() + 10 * PATIENCE
    while claims.runs(int(mark.read_text())):
        assert time.monotonic() < end, 'it lives on'
        time.sleep(0.02)


def test_weights_that_do_not_fit_are_not_tested(cell, tmp_path, capsys):
    _, config, weights = cell
    tensors = read_weights(weights).tensors
    (bias,) = [name for name in tensors if name.startswith('cls_head.') and tensors[name].shape == (10,)]
    lacking = {name: tensor for name, tensor in tensors.items() if name != bias}
    save_tensors(tmp_path / 'lacking.safetensors', lacking, {})
    done = call_main(test_tool.main, capsys, config, tmp_path / 'lacking.safetensors')
    assert_one_sentence(done, '1 of the keys', f'missing, first {bias}')
    torch.save({'model': {'w': torch.ones(1)}, 'args': Hostile(tmp_path / 'executed')}, tmp_path / 'x.pth')
    assert_one_sentence(call_main(test_tool.main, capsys, config, tmp_path / 'x.pth'), 'refused without running it')
    assert not (tmp_path / 'executed').exists()


def test_bad_input_is_one_sentence(cell, tmp_path, capsys):
    _, config, weights = cell
    assert_one_sentence(call_main(test_tool.main, capsys, 'none.py', weights), 'none.py', 'not there')
    assert_one_sentence(call_main(test_tool.main, capsys, config, tmp_path / 'x.safetensors'), 'not there')
    done = call_main(test_tool.main, capsys, DEMO, weights)
    assert_one_sentence(done, 'no test_dataloader and no test_evaluator', 'nothing to test')
    (tmp_path / 'broken.py').write_text('model = dict(')
    assert_one_sentence(call_main(test_tool.main, capsys, tmp_path / 'broken.py', weights), 'cannot be read')
    assert_one_sentence(run_tool('tools/dist_test.sh', config), 'usage')
    assert_one_sentence(run_tool('tools/dist_test.sh', 'none.py', weights, 2), 'none.py', 'not there')


@pytest.mark.parametrize(('tool', 'files'), [(test_tool, ['c.py', 'x.safetensors']), (train_tool, ['c.py'])])
def test_a_setting_without_a_value_is_one_sentence(tool, files, capsys):
    assert tool.parse_args([*files, '--cfg-options', 'a.b=3', 'c=x']).cfg_options == {'a.b': 3, 'c': 'x'}
    with pytest.raises(SystemExit) as left:
        tool.parse_args([*files, '--cfg-options', 'a.b'])
    assert left.value.code == 2
    assert "--cfg-options takes key=value, found 'a.b'." in capsys.readouterr().err
