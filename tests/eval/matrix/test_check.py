"""What must fail in a cell is one sentence in the plan; what a cell costs is always told."""

import shutil

import pytest
import torch

from eval.cells.cell import Cell, ResolvedCell
from eval.matrix import check
from eval.matrix.check import Facts, facts_of, problems_of_data, told_flops
from eval.matrix.plan import plan
from eval.matrix.suites import suite_entries
from eval.matrix.work import Work, learn, own_factor, ruled_seconds, work_of
from eval.protocols import get_protocol
from sigma.checkpoints.files import save_tensors
from sigma.configs import CONFIG_ROOT, with_limit
from sigma.errors import DataError
from sigma.models import VideoViT
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('SIGMA_CACHE', str(tmp_path / 'cache'))


def card(folder, name: str, *changes: tuple[str, str]) -> str:
    """A copy of the card `random` with some text replaced."""
    text = (CONFIG_ROOT / 'encoders' / 'random.py').read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / f'{name}.py').write_text(text)
    return str(folder / f'{name}.py')


def problems(toy, tmp_path, encoder: str, shots=None) -> list[str]:
    entries = suite_entries('demo', [str(toy)], shots)
    return plan(entries, [encoder], [0], tmp_path / 'work', shots_asked=shots is not None).problems


def test_what_must_fail_is_told_before_anything_runs(toy, tmp_path):
    (said,) = problems(toy, tmp_path, f'random@{ROOT}/README.md')
    assert 'README.md is not a plain state dict' in said
    (said,) = problems(toy, tmp_path, card(tmp_path, 'tinny', ("arch='tiny'", "arch='tinny'")))
    assert "Unknown VideoViT architecture 'tinny'" in said
    assert 'sigma.VideoViT cannot be built' in said
    (said,) = problems(toy, tmp_path, card(tmp_path, 'clip', ('clip=dict(num_frames=16', 'clip=dict(num_frames=15')))
    assert 'does not take clips of 3x15x64x64' in said
    (said,) = problems(toy, tmp_path, card(tmp_path, 'width', ('embed_dims=128', 'embed_dims=192')))
    assert 'tokens (1, T, H, W, 192)' in said
    assert not (tmp_path / 'work').exists()


def test_weights_of_another_architecture_are_told_before_anything_runs(toy, tmp_path):
    small = VideoViT({'embed_dims': 64, 'depth': 1, 'num_heads': 2}, image_size=64)
    path = save_tensors(tmp_path / 'small' / 'encoder.safetensors', small.state_dict(), {'kind': 'encoder'})
    said = problems(toy, tmp_path, f'random@{path}')
    assert said
    assert all(str(path) in sentence and 'does not fit' in sentence for sentence in said)


def test_more_shots_than_clips_are_refused_or_told(toy, tmp_path):
    (said,) = problems(toy, tmp_path, 'random', [1000])
    assert said == (
        '--shots 1000: toy has at most 4 training clips per class; ask for fewer, or leave the few-shot entries out.'
    )
    assert problems(toy, tmp_path, 'random', [4]) == []
    cell = Cell('finetune', with_limit(str(toy), 20), 'finetune_demo', 'random', 0, shots=4)
    refusals, notes = problems_of_data(ResolvedCell(cell, get_protocol('finetune')))
    assert refusals == []
    assert notes == [
        'toy: 10 of 10 classes have fewer than 4 training clips (the smallest 2); they give all of theirs.'
    ]
    cell = Cell('finetune', str(toy), 'finetune_demo', 'random', 0, examples=41)
    refusals, _ = problems_of_data(ResolvedCell(cell, get_protocol('finetune')))
    assert refusals == ['toy: 41 training clips are asked for, and its list has 40.']


def test_an_empty_split_and_a_class_without_training_are_told(toy, tmp_path):
    copy = tmp_path / 'toy'
    shutil.copytree(toy, copy)
    lines = (copy / 'train.txt').read_text().splitlines()
    (copy / 'train.txt').write_text('\n'.join(line for line in lines if not line.endswith(' 9')) + '\n')
    text = (copy / 'dataset.py').read_text()
    import re

    (copy / 'dataset.py').write_text(re.sub(r"(sha256'?[=:] ?)'[0-9a-f]{64}'", r'\1None', text))
    cell = Cell('frozen_linear', str(copy), 'frozen_demo', 'random', 0)
    refusals, notes = problems_of_data(ResolvedCell(cell, get_protocol('frozen_linear')))
    assert refusals == []
    assert notes[0].startswith('toy: 1 of its test classes have no training clip, first ')
    (copy / 'train.txt').write_text('')
    refusals, _ = problems_of_data(ResolvedCell(cell, get_protocol('frozen_linear')))
    assert refusals == ['toy, split train: it lists no video; prepare the dataset again.']


def test_facts_are_found_once_and_kept(toy, monkeypatch):
    resolved = ResolvedCell(Cell('frozen_linear', str(toy), 'frozen_demo', 'random', 0), get_protocol('frozen_linear'))
    facts = facts_of(resolved)
    assert facts.tokens == (8, 4, 4, 128)
    with torch.device('meta'):
        module = VideoViT('tiny', image_size=64)
    assert facts.num_parameters == sum(parameter.numel() for parameter in module.parameters())
    assert told_flops(facts.flops) == '285 MFLOP'
    monkeypatch.setattr(check, '_examine', lambda *_: pytest.fail('it is known'))
    assert facts_of(resolved) == facts
    monkeypatch.setattr(check, '_code', lambda: [('sigma/models/encoder.py', 1, 1)])  # other code, other facts
    with pytest.raises(pytest.fail.Exception):
        facts_of(resolved)


# --- work ----------------------------------------------------------------------------------------------------------


def test_the_work_of_a_cell_is_counted(toy):
    facts = Facts(flops=100, num_parameters=1000, tokens=(8, 4, 4, 128))
    tuned = ResolvedCell(Cell('finetune', str(toy), 'finetune_demo', 'random', 0, shots=2), get_protocol('finetune'))
    work = work_of(tuned, facts)
    # 20 clips of 2 a class, batches of 20; 20 test videos, one view
    loader = tuned.config['train_dataloader']
    assert loader['batch_size'] == 20
    assert work.trained_clips == work.steps * 20
    assert (work.seen_clips, work.views, work.num_frames) == (20, 1, 16)
    assert work.flops == 3 * work.trained_clips * 100 + 20 * 100
    assert work.num_bytes > 3 * 4 * 1000
    frozen = ResolvedCell(Cell('frozen_linear', str(toy), 'frozen_default', 'random', 0), get_protocol('frozen_linear'))
    work = work_of(frozen, facts)
    assert (work.steps, work.trained_clips, work.seen_clips, work.views) == (0, 0, 2 * (40 + 20), 2)
    assert work.num_bytes > 4 * 120 * 8 * 128


def test_a_machine_learns_its_own_speed():
    work = Work(10, 100, 20, 1, 16, 10**9, 0)
    assert own_factor('finetune') is None
    ruled = ruled_seconds(work)
    assert ruled_seconds(work, 'cpu', 2) == pytest.approx(5 + 120 * 16 * 0.002 / 2 + 1e9 / 40e9)
    learn([('finetune', work, 2 * ruled), ('finetune', work, 4 * ruled), ('finetune', work, 40 * ruled)])
    assert own_factor('finetune') == pytest.approx(4)
    assert own_factor('frozen_linear') is None
    learn([('finetune', work, ruled)] * 20)
    assert own_factor('finetune') == pytest.approx(1)


def test_a_cache_that_cannot_be_used_is_no_error(tmp_path, monkeypatch):
    from eval.matrix.kept import recall, remember

    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('SIGMA_CACHE', str(tmp_path / 'file' / 'below'))
    remember('speed', {'a': 1})
    assert recall('speed') == {}
    monkeypatch.setenv('SIGMA_CACHE', str(tmp_path))
    (tmp_path / 'speed.json').write_text('[1')
    assert recall('speed') == {}


def test_names_that_do_not_exist_are_told_before_protocols_are_imported(tmp_path, monkeypatch):
    from eval.matrix import plan as planning

    monkeypatch.setattr(planning, 'get_protocol', lambda name: pytest.fail('imported'))
    with pytest.raises(DataError, match="'randon'.*Did you mean 'random'.*; Unknown encoder 'vit_c'"):
        plan(suite_entries('demo'), ['randon', 'random', 'vit_c'], [0], tmp_path)
