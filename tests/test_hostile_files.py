"""A pickle that would run code, given to every command that takes a file: it is never executed.

Configs and cards are Python by design and are the user's own; what comes from elsewhere is weights, arrays and videos.
"""

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from tests.conftest import DEMO, assert_one_sentence, call_main, demo_options
from tests.sigma.checkpoints.test_checkpoints import Hostile
from tools import convert, parity, plot, prepare, report
from tools import train as train_tool


@pytest.fixture
def mark(tmp_path):
    """The file that the pickle would write; it must not be there after the test."""
    path = tmp_path / 'executed'
    yield path
    assert not path.exists(), 'the pickle was executed'


def test_the_pickle_would_do_harm_where_it_is_trusted(tmp_path):
    pickle.loads(pickle.dumps(Hostile(tmp_path / 'executed')))
    assert (tmp_path / 'executed').exists()


def hostile_file(path, mark):
    """A PyTorch file, or for other endings the bare pickle."""
    if path.suffix in ('.pth', '.pt', '.bin'):
        torch.save({'model': {'w': torch.ones(1)}, 'args': Hostile(mark)}, path)
    elif path.suffix == '.npz':
        array = io.BytesIO()
        np.lib.format.write_array(array, np.array([Hostile(mark)], dtype=object), allow_pickle=True)
        with zipfile.ZipFile(path, 'w') as file:
            for name in ('video', 'videos', 'label', 'scores', 'unscored', 'case0_scores'):
                file.writestr(f'{name}.npy', array.getvalue())
    else:
        path.write_bytes(pickle.dumps(Hostile(mark)))
    return path


WEIGHTS = ('x.pth', 'x.pt', 'x.bin', 'x.safetensors', 'x.pkl')


@pytest.mark.parametrize('name', WEIGHTS)
def test_train_does_not_resume_it(name, toy, mark, tmp_path, capsys):
    file = hostile_file(tmp_path / name, mark)
    arguments = (DEMO, '--work-dir', tmp_path / 'work')
    done = call_main(train_tool.main, capsys, *arguments, '--resume', file, *demo_options(toy))
    assert_one_sentence(done, name)


def test_train_does_not_start_from_it_nor_from_a_pointer_to_it(toy, mark, tmp_path, capsys):
    file = hostile_file(tmp_path / 'x.pth', mark)
    done = call_main(train_tool.main, capsys, DEMO, '--work-dir', tmp_path / 'work', *demo_options(toy, load_from=file))
    assert_one_sentence(done, 'refused without running it')
    (tmp_path / 'run').mkdir()
    hostile_file(tmp_path / 'run' / 'x.pth', mark)
    (tmp_path / 'run' / 'last_checkpoint').write_text('x.pth')
    done = call_main(train_tool.main, capsys, DEMO, '--work-dir', tmp_path / 'run', '--resume', *demo_options(toy))
    assert_one_sentence(done, 'refused without running it')


def test_a_teacher_is_not_loaded_from_it(mark, tmp_path):
    from sigma.models import ImageProjector

    file = hostile_file(tmp_path / 'teacher.pth', mark)
    with pytest.raises(ValueError, match='refused without running it'):
        ImageProjector('vit_tiny_patch16_224', checkpoint=str(file))


@pytest.mark.parametrize('name', WEIGHTS)
@pytest.mark.parametrize('layout', ['sigma', 'timm'])
def test_convert_refuses_it(name, layout, mark, tmp_path, capsys):
    file = hostile_file(tmp_path / name, mark)
    done = call_main(convert.main, capsys, file, tmp_path / 'out.safetensors', '--to', layout)
    assert_one_sentence(done, name)
    assert not (tmp_path / 'out.safetensors').exists()


@pytest.mark.parametrize('name', ['x.npz', 'x.pkl'])
def test_parity_refuses_it(name, mark, tmp_path, capsys):
    assert_one_sentence(call_main(parity.main, capsys, hostile_file(tmp_path / name, mark)), name)


@pytest.mark.parametrize('name', WEIGHTS)
def test_prototypes_are_not_drawn_from_it(name, toy, mark, tmp_path, capsys):
    file = hostile_file(tmp_path / name, mark)
    video = sorted((toy / 'videos').rglob('*.mp4'))[0]
    line = ('--figure', 'clusters', '--video', video, '--configs', DEMO, '--checkpoint', file, '--out', tmp_path / 'x')
    assert_one_sentence(call_main(plot.main, capsys, *line), name)


def test_it_is_no_video_record_or_log_to_draw(mark, tmp_path, capsys):
    video = hostile_file(tmp_path / 'x.mp4', mark)
    line = ('--figure', 'masks', '--video', video, '--configs', DEMO, '--out', tmp_path / 'x')
    assert_one_sentence(call_main(plot.main, capsys, *line), 'x.mp4')
    log = tmp_path / 'run' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    hostile_file(log, mark)
    line = ('--figure', 'pretraining', '--runs', tmp_path / 'run', '--out', tmp_path / 'x')
    assert_one_sentence(call_main(plot.main, capsys, *line), 'run')
    record = tmp_path / 'records' / 'random' / 'finetune-v1' / 'x.json'
    record.parent.mkdir(parents=True)
    hostile_file(record, mark)
    assert_one_sentence(call_main(report.main, capsys, '--records', tmp_path, '--out', tmp_path / 'x.html'), 'x.json')


def test_stored_predictions_and_features_are_not_unpickled(mark, tmp_path):
    from eval.features.clips import read_features
    from eval.metrics import read_predictions

    file = hostile_file(tmp_path / 'x.npz', mark)
    for read in (read_predictions, read_features):
        with pytest.raises(ValueError, match='allow_pickle=False'):
            read(file)


def test_prepare_calls_it_unreadable(mark, tmp_path, capsys):
    for number, kind in enumerate('aab'):
        (tmp_path / 'videos' / kind).mkdir(parents=True, exist_ok=True)
        (tmp_path / 'videos' / kind / f'{number}.mp4').write_bytes(pickle.dumps(Hostile(mark)))
    done = call_main(prepare.main, capsys, 'folder', tmp_path / 'videos', '--out', tmp_path / 'out')
    assert done.returncode == 2
    assert 'Traceback' not in done.stderr


def test_a_cell_is_not_measured_with_it(toy, mark, tmp_path):
    file = hostile_file(tmp_path / 'x.pth', mark)
    cell = {
        'protocol': 'frozen_linear',
        'dataset': str(toy),
        'recipe': 'frozen_demo',
        'encoder': f'random@{file}',
        'seed': 0,
    }
    said = tmp_path / 'said'
    pid = os.fork()  # the command ties its life to its parent's
    if pid == 0:
        try:
            from eval import run_cell

            run_cell.main([json.dumps(cell), '--work-dir', str(tmp_path / 'work')])
        except BaseException as error:
            said.write_text(f'{type(error).__name__}: {error}')
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert 'refused without running it' in said.read_text()
