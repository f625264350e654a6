"""How far a cell has come: lines of progress, states that a cell goes on from, trainings that are not finished."""

import re

import pytest
import torch

from eval.cells.encoders import load_encoder_card
from eval.matrix.steps import Reached, Step, last_step, parse_step, reached
from sigma.checkpoints.files import save_training_state
from sigma.errors import DataError
from sigma.files import state_header

STATE = {
    'meta': {'epoch': 3, 'iter': 27, 'steps_per_epoch': 9},
    'state_dict': {'weight': torch.zeros(2)},
    'pair': (1, [2, {3: 'x'}]),
}


@pytest.mark.parametrize(
    ('line', 'step'),
    [
        ('a_b-12: step 47/700, 2128 s left, loss 2.1, 4 clips/s', Step('', 47, 700, 2128.0)),
        ('training the head: 3/30, about 20 s left', Step('training the head', 3, 30, 20.0)),
        ('training the head: 30/30, 61 s', Step('training the head', 30, 30)),
        ('2026-11-30 15:44:19,123 features: 64 of 400 videos', Step('features', 64, 400)),
        ('2026-11-30 15:44:19,123 200 of 400 videos, 61 of 61 columns new', Step('', 200, 400)),
        ('11/30 15:45:01 - mmengine - INFO - Epoch(test) [10/50]    eta: 0:00:12', Step('testing, batch', 10, 50)),
        ('Loaded 12/13 files, none left', None),
        ('', None),
    ],
)
def test_a_line_of_progress_is_read(line, step):
    found = parse_step(line)
    if step is None:
        assert found is None
    else:
        assert (found.done, found.total, found.seconds_left) == (step.done, step.total, step.seconds_left)
        assert found.what == step.what or step.what == ''


def test_only_what_this_attempt_wrote_counts(tmp_path):
    log = tmp_path / 'cell.log'
    log.write_text('x: step 40/50, 3 s left, no loss\n')
    begin = log.stat().st_size
    assert last_step(log).done == 40
    assert last_step(log, begin) is None
    with open(log, 'a') as file:
        file.write('x: step 7/50, 9 s left, no loss\nsomething else\n')
    assert last_step(log, begin).done == 7
    assert last_step(tmp_path / 'none.log') is None


def test_a_stopped_cell_says_where_it_goes_on(tmp_path):
    assert reached(tmp_path) is None
    (tmp_path / 'cell.log').write_text('x: step 49/700, 2128 s left, no loss\n')
    assert str(reached(tmp_path)).endswith('step 49 of 700; no state was saved, so it starts again')
    save_training_state(tmp_path / 'state.safetensors', {'epoch': 4, 'step': 36, 'memory': {}})
    assert (reached(tmp_path).saved, reached(tmp_path).unit) == (4, 'epoch')
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/iter_40.safetensors')
    assert reached(tmp_path).unit == 'epoch'  # the file that the pointer names is not here
    (tmp_path / 'iter_40.safetensors').write_bytes(b'')
    assert reached(tmp_path) == Reached(last_step(tmp_path / 'cell.log'), 40)
    assert str(reached(tmp_path)) == 'interrupted at step 49 of 700; goes on after step 40'


def test_the_header_of_a_state_is_read_without_its_tensors(tmp_path):
    path = save_training_state(tmp_path / 'iter_27.safetensors', STATE)
    found = state_header(path)
    assert found['kind'] == 'training_state'
    assert found['tree'] == STATE | {'state_dict': {'weight': None}, 'pair': [1, [2, {3: 'x'}]]}
    for content in (b'', b'PK', b'\xff' * 20, b'\x02' + bytes(7) + b'[]'):
        (tmp_path / 'odd').write_bytes(content)
        assert state_header(tmp_path / 'odd') == {}
    assert state_header(tmp_path / 'none') == {}


def test_a_missing_encoder_of_a_training_says_what_it_has_reached(tmp_path):
    work = tmp_path / 'my runs' / 'tiny'
    card = f'vit_b@{work}/encoder.safetensors'
    with pytest.raises(DataError) as error:
        load_encoder_card(card).sha256()
    assert 'tools/train.py' not in str(error.value)
    work.mkdir(parents=True)
    (work / 'tiny.py').write_text("train_cfg = dict(type='sigma.TrainLoop', max_epochs=20)\n")
    with pytest.raises(DataError, match='was started and has saved nothing yet'):
        load_encoder_card(card).sha256()
    save_training_state(work / 'iter_27.safetensors', STATE)
    go_on = f"python tools/train.py '{work}/tiny.py' --work-dir '{work}' --resume"
    with pytest.raises(DataError, match=re.escape(f'reached step 27 of 180 (epoch 3 of 20). Go on with: {go_on}')):
        load_encoder_card(card).sha256()
    alone = f'mine={work}/encoder.safetensors'  # as README.md names it
    with pytest.raises(DataError, match=re.escape(f'is not there. Its training in {work} has reached step 27 of 180')):
        load_encoder_card(alone)
    with pytest.raises(DataError, match=re.escape(f'is a folder. Its training in {work} has reached step 27')):
        load_encoder_card(str(work))
    with pytest.raises(DataError, match='is a folder. Give a card, or a .safetensors file'):
        load_encoder_card(str(tmp_path))
