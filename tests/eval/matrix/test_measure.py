"""`eval.measure`: the same cells and records as the command, for cards and for torch modules."""

import logging
import multiprocessing
import os
import random
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from eval import Clip, measure, run_cell, run_severe
from eval.matrix import measure as measure_module
from eval.models.given import LAYOUTS, architecture_sha256, examine, weights_sha256
from eval.records import read_records
from sigma.errors import DataError, SigmaError
from tests.conftest import ROOT
from tests.eval import tiny_matrix as tiny

CLIP = Clip(frames=16, stride=2, size=64)


class Conv(nn.Module):
    """A feature map (B, 8, 8, 4, 4)."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.conv, self.scale = nn.Conv3d(3, 8, (2, 16, 16), (2, 16, 16)), scale

    def forward(self, clips):
        return self.scale * self.conv(clips)


class Blocks(nn.Module):
    """Tokens (B, 8, 4, 4, 8), with blocks for layer decay; counts its passes and draws from torch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 8, (2, 16, 16), (2, 16, 16))
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.drop = nn.Dropout(0.1)

    def forward(self, clips):
        tokens = self.conv(clips).permute(0, 2, 3, 4, 1)
        for block in self.blocks:
            tokens = tokens + self.drop(block(tokens))
        return tokens


class Gives(nn.Module):
    """Whatever it is told to."""

    def __init__(self, what) -> None:
        super().__init__()
        self.what = what

    def forward(self, clips):
        if isinstance(self.what, Exception):
            raise self.what
        return self.what() if callable(self.what) else torch.zeros(self.what)


def seeded(kind=Conv, seed: int = 0, **settings) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind(**settings)


@pytest.fixture
def counted(monkeypatch):
    """Names of the cells that run in this process."""
    ran, run = [], run_cell.measure

    def counting(resolved, *rest):
        ran.append(resolved.name)
        return run(resolved, *rest)

    monkeypatch.setattr(run_cell, 'measure', counting)
    return ran


def frozen(module, toy, work, **settings):
    return measure(module, 'frozen_toy', clip=CLIP, datasets=toy, work_dir=work, progress=False, **settings)


# --- cards ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_card_gives_the_records_of_the_command(toy, tmp_path, capsys):
    table = measure('random', 'frozen_toy', datasets=[toy], work_dir=tmp_path / 'library', progress=False)
    words = ['--suite', 'frozen_toy', '--datasets', str(toy), '--encoders', 'random']
    assert run_severe.main([*words, '--work-dir', str(tmp_path / 'command')]) == 0
    (mine,), (theirs,) = table.records, read_records(tmp_path / 'command')
    assert mine.cell == theirs.cell
    assert mine.identity == theirs.identity
    assert mine.score == theirs.score
    assert mine.dataset['num_scored'] == 20
    assert str(table) in capsys.readouterr().out


def test_cells_of_a_card_run_side_by_side_once_and_failures_are_named(tmp_path, monkeypatch, capsys):
    home = tiny.make(tmp_path / 'home')
    for name, value in tiny.environment(home).items():
        monkeypatch.setenv(name, value)
    suite = home / 'suite.py'
    rows = ', '.join(
        f'dict(protocol="tiny", dataset={str(home)!r}, recipe={str(home / recipe)!r})'
        for recipe in ('low.py', 'high.py')
    )
    suite.write_text(f'"""Two columns."""\nentries = [{rows}]\nsummary = dict(name="mean of 2")\n')
    tiny.order(home, a_tiny_tiny_low_s1=('raise', 'no luck'))

    def call():
        imports = ['tests.eval.tiny_matrix']
        return measure(home / 'a.py', suite, seeds=[0, 1], jobs=2, work_dir=home / 'work', imports=imports)

    with pytest.raises(SigmaError, match='1 of 4 cells have no record: a_tiny_tiny_low_s1 failed: .*no luck') as raised:
        call()
    assert '\n' not in str(raised.value)
    assert 'cell.log' in str(raised.value)
    assert len(tiny.ran(home)) == 4
    tiny.order(home)
    table = call()
    assert tiny.ran(home).count('a_tiny_tiny_low_s1') == 2
    assert len(tiny.ran(home)) == 5
    names = [record.name for record in table.records]
    assert names == [f'a_tiny_tiny_{recipe}_s{seed}' for recipe in ('low', 'high') for seed in (0, 1)]
    assert table.columns[-1].is_summary
    assert table.columns[-1].protocol == 'mean of 2'
    call()
    words = ['--suite', str(suite), '--encoders', str(home / 'a.py'), '--seeds', '0', '1']
    assert run_severe.main([*words, '--work-dir', str(home / 'work'), '--import', 'tests.eval.tiny_matrix']) == 0
    assert '4 cells, 4 done' in capsys.readouterr().out
    assert len(tiny.ran(home)) == 5


# --- modules -------------------------------------------------------------------------------------------------------


def test_a_module_is_measured_once_and_other_weights_are_another_cell(toy, tmp_path, counted):
    first = frozen(seeded(), toy, tmp_path)
    (record,) = first.records
    assert record.encoder['name'] == record.identity['encoder']['name']
    assert record.encoder['name'].startswith('Conv-')
    assert record.encoder['sha256'] == record.identity['encoder']['weights'] == weights_sha256(seeded())
    assert record.identity['config']['backbone']['architecture'] == 'Conv'
    assert 'Conv-' in str(first)
    assert len(counted) == 1

    assert frozen(seeded(), toy, tmp_path).records[0].cell == record.cell  # another object, the same weights
    assert len(counted) == 1
    (other,) = frozen(seeded(seed=1), toy, tmp_path).records
    assert other.cell['id'] != record.cell['id']
    assert other.name != record.name
    assert len(counted) == 2
    named = frozen(seeded(), toy, tmp_path, name='mine')
    assert named.records[0].name == 'mine_frozen_linear_toy_frozen_demo_s0'
    assert named.records[0].score == record.score
    assert len(list(tmp_path.rglob('cell.log'))) == 3


@pytest.mark.slow
def test_a_module_is_fine_tuned_and_the_callers_process_stays_as_it_was(toy, tmp_path, monkeypatch, capsys):
    recipe = tmp_path / 'few_steps.py'
    recipe.write_text(f"_base_ = '{ROOT}/mmaction_configs/recipes/finetune_demo.py'\nrecipe = dict(num_steps=2)\n")
    suite = tmp_path / 'suite.py'
    suite.write_text(f"entries = [dict(protocol='finetune', dataset='toy', recipe={str(recipe)!r}, shots=2)]\n")
    module = seeded(Blocks).train().requires_grad_(False)
    weights = weights_sha256(module)
    monkeypatch.chdir(tmp_path)
    handler = logging.NullHandler()
    monkeypatch.setattr(logging.root, 'handlers', [handler])
    monkeypatch.setattr(logging.root, 'level', logging.ERROR)

    def state():
        return (
            *(os.getcwd(), dict(os.environ), random.getstate(), torch.get_num_threads(), sys.stdout, sys.stderr),
            *(torch.is_grad_enabled(), torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
            *(list(logging.root.handlers), logging.root.level, logging.root.manager.disable, list(warnings.filters)),
            *(multiprocessing.get_start_method(allow_none=True), torch.get_rng_state().tolist()),
            np.random.get_state()[1].tolist(),  # noqa: NPY002
        )

    measure(module, suite, clip=CLIP, datasets=toy, work_dir='first', progress=False)  # imports leave their filters
    before = state()
    table = measure(module, suite, clip=CLIP, datasets=toy, work_dir='second', progress=False, seeds=7)
    for mine, now in zip(before, state(), strict=True):
        assert mine == now
    assert module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert weights_sha256(module) == weights
    (record,) = table.records
    assert record.seed == 7
    assert record.identity['config']['model']['backbone']['layout'] == 'tokens'
    assert record.subset['name'] == '2-a-class'
    assert capsys.readouterr().out == ''
    (state_file,) = (tmp_path / 'second' / 'cells').rglob('iter_*.safetensors')
    from sigma.checkpoints.files import read_weights

    tuned = read_weights(state_file).tensors
    assert not torch.equal(tuned['backbone.module.conv.weight'], module.conv.weight)


def test_a_cell_that_fails_is_named_and_runs_again(toy, tmp_path, counted):
    suite = tmp_path / 'suite.py'
    suite.write_text("entries = [dict(protocol='finetune', dataset='toy', recipe='finetune_demo', shots=2)]\n")
    for _ in range(2):  # layer decay needs blocks
        with pytest.raises(SigmaError, match='1 of 1 cells have no record: .*Layer decay'):
            measure(seeded(), suite, clip=CLIP, datasets=toy, work_dir=tmp_path / 'work', progress=False)
    assert len(counted) == 2
    (log,) = (tmp_path / 'work').rglob('cell.log')
    assert log.read_text().count('Traceback') == 2


@pytest.mark.parametrize(
    ('shape', 'channels', 'layout', 'width'),
    [
        ((1, 8, 4, 4, 128), None, 'tokens', 128),
        ((1, 128, 8, 4, 4), None, 'map', 128),
        ((1, 512, 1, 1, 1), None, 'map', 512),
        ((1, 8, 1, 1, 512), None, 'tokens', 512),
        ((1, 4, 4, 4, 4), 'first', 'map', 4),
        ((1, 16, 8, 8, 8), 'last', 'tokens', 8),
        ((1, 196, 384), None, 'sequence', 384),
        ((1, 384), None, 'pooled', 384),
    ],
)
def test_the_shape_tells_the_layout(shape, channels, layout, width):
    assert examine(Gives(shape), 16, 64, channels) == (layout, width)
    tokens = LAYOUTS[layout](torch.zeros(shape))
    assert tokens.dim() == 5
    assert tokens.shape[-1] == width


def test_an_attribute_decides_between_tokens_and_a_map():
    module = Gives((1, 16, 8, 8, 8))
    module.embed_dims = 16
    assert examine(module, 16, 64) == ('map', 16)


@pytest.mark.parametrize(
    ('module', 'words'),
    [
        (Gives((1, 4, 4, 4, 4)), r"shape \(1, 4, 4, 4, 4\) .*channels='last' or channels='first'"),
        (Gives((1, 8, 3, 4, 5)), r'shape \(1, 8, 3, 4, 5\) .*is neither'),
        (Gives((1, 8, 4, 4)), r'shape \(1, 8, 4, 4\) for one clip; eval.measure takes tokens'),
        (Gives((2, 8)), r'shape \(2, 8\)'),
        (Gives(lambda: torch.zeros(1, 8, dtype=torch.long)), 'torch.int64'),
        (Gives(lambda: (torch.zeros(1, 8),)), 'gave a tuple'),
        (Gives(lambda: torch.full((1, 8), float('nan'))), 'NaN'),
        (Gives(RuntimeError('wants\n224 pixels')), r'cannot take a clip \(1, 3, 16, 64, 64\): RuntimeError: wants 224'),
    ],
)
def test_an_output_that_does_not_fit_is_one_sentence_and_nothing_runs(module, words, toy, tmp_path, counted):
    with pytest.raises(DataError, match=words) as raised:
        frozen(module, toy, tmp_path)
    assert '\n' not in str(raised.value)
    assert counted == []


@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        ({'clip': None}, 'Conv is a torch module, so say what clips it takes: clip=eval.Clip'),
        ({'clip': (16, 4, 224)}, 'clip is a tuple'),
        ({'jobs': 2}, 'one at a time'),
        ({'jobs': 0}, 'jobs is 0'),
        ({'seeds': [0, -1]}, 'seeds has -1'),
        ({'seeds': ()}, 'seeds is empty'),
        ({'seeds': '01'}, "seeds has '0'"),
        ({'channels': 'middle'}, "must be 'first' or 'last'"),
        ({'name': 'a/b'}, "name is 'a/b'"),
        ({'suite': 'frozen_toi'}, "Unknown suite 'frozen_toi'. Did you mean 'frozen_toy'"),
        ({'encoder': 'randon', 'clip': None}, "Unknown encoder 'randon'. Did you mean 'random'"),
        ({'encoder': 'random'}, 'describe a torch module'),
        ({'encoder': 3}, 'encoder is a int'),
        ({'datasets': 'nowhere'}, "Unknown dataset 'nowhere'"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_runs(settings, words, toy, tmp_path, counted):
    settings = {'encoder': seeded(), 'suite': 'frozen_toy', 'clip': CLIP, 'datasets': toy, **settings}
    with pytest.raises(SigmaError, match=words) as raised:
        measure(**settings, work_dir=tmp_path / 'work', progress=False)
    assert '\n' not in str(raised.value)
    assert counted == []
    assert not (tmp_path / 'work').exists()


def test_a_work_directory_that_cannot_be_is_one_sentence(toy, tmp_path, counted):
    (tmp_path / 'work').write_text('')
    with pytest.raises(SigmaError, match=r"work_dir '.*/work' cannot be used"):
        frozen(seeded(), toy, tmp_path / 'work')
    assert counted == []


@pytest.mark.slow
def test_progress_is_shown_on_stderr_and_not_in_the_log(toy, tmp_path, capsys):
    measure(seeded(), 'frozen_toy', clip=CLIP, datasets=toy, work_dir=tmp_path)
    assert re.search(r'\[1/1\] Conv-\w+_frozen_linear_toy_frozen_demo_s0: ok', capsys.readouterr().err)
    (log,) = tmp_path.rglob('cell.log')
    assert 'features: ' in log.read_text()
    assert '[1/1]' not in log.read_text()


@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        ({'frames': 0}, 'frames is 0'),
        ({'size': 64.5}, 'size is 64.5'),
        ({'mean': 0.5}, 'mean is 0.5; it must be three numbers'),
        ({'std': (0.229, 0.224, 0.225)}, 'scale 0 to 255'),
        ({'std': (58.0, 57.0, 0.0)}, 'std is'),
    ],
)
def test_a_clip_that_cannot_be_is_one_sentence(settings, words):
    with pytest.raises(DataError, match=words):
        Clip(**{'frames': 16, 'stride': 4, 'size': 224, **settings})


def test_code_and_settings_are_part_of_an_architecture():
    def defined(body: str) -> nn.Module:
        space = {'nn': nn}
        exec(f'class Same(nn.Module):\n    def forward(self, clips):\n        return {body}\n', space)
        return space['Same']()

    assert architecture_sha256(defined('clips')) == architecture_sha256(defined('clips'))
    assert architecture_sha256(defined('clips')) != architecture_sha256(defined('clips * 2'))
    assert architecture_sha256(seeded()) == architecture_sha256(seeded(seed=1))
    assert architecture_sha256(seeded()) != architecture_sha256(seeded(scale=3.0))


# --- the door ------------------------------------------------------------------------------------------------------


def test_the_package_stays_light_until_it_is_asked():
    code = (
        'import sys, eval, eval.records\n'
        'print([m for m in ("torch", "numpy", "mmengine", "eval.matrix") if m in sys.modules])\n'
        'assert not hasattr(eval, "mesure")\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def blocks_that_measure() -> list[str]:
    """Python blocks at the head of the module; tests/test_docs.py runs those of the README."""
    return re.findall(r'```python\n(.*?)```', measure_module.__doc__ or '', re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize('block', blocks_that_measure())
def test_what_the_pages_show_runs_as_written(block, toy, tmp_path, monkeypatch, capsys):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'toy').symlink_to(toy)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, 'README.md', 'exec'), {'__name__': 'shown'})
    records = read_records(tmp_path / 'work_dirs' / 'measure')
    assert {record.protocol['name'] for record in records} == {'frozen_linear'}
    assert len(records) == 3
    assert 'chance' in capsys.readouterr().out
