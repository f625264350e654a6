"""A user's corruption: one function in a file for --import, then a name in a recipe."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eval.cells.cell import Cell, ResolvedCell
from eval.corruptions import CORRUPTIONS, get_corruption, register
from eval.corruptions.shown import CorruptedClips, Variant
from eval.protocols import get_protocol, import_protocols
from sigma.data.cards import CONFIG_ROOT, load_dataset_card
from sigma.errors import DataError
from tests.conftest import ROOT, run_tool

# As in the docstring of eval/corruptions/corruption.py, with a body.
GRAIN = """
import numpy as np
from eval.corruptions import register

@register('noise', levels=(2, 4, 8, 16, 32), source='ours', shared=False)
def grain(frames, grey_levels, draws):
    'Adds whole numbers of up to that many grey levels to every value.'
    out = frames.astype(int)
    for t in range(len(frames)):
        out[t] += draws.frame(t).integers(-grey_levels, grey_levels, out[t].shape, endpoint=True)
    return np.clip(out, 0, 255).astype(np.uint8)
"""


@pytest.fixture
def grain(tmp_path, monkeypatch) -> Path:
    """File of a user's corruption; the table is as before afterwards."""
    for name in list(CORRUPTIONS):
        monkeypatch.setitem(CORRUPTIONS, name, CORRUPTIONS[name])
    path = tmp_path / f'grain_{tmp_path.name}.py'  # `--import` runs a file of one name once in a process
    path.write_text(GRAIN)
    yield path
    CORRUPTIONS.pop('grain', None)


def recipe(folder: Path, base: str, **changes) -> str:
    path = folder / f'{base}_grain.py'
    settings = {'corruptions': ('grain', 'contrast'), 'severities': (1, 3), 'diagnostics': ()} | changes
    path.write_text(f"_base_ = '{CONFIG_ROOT}/recipes/{base}.py'\nrecipe = dict(**{settings!r})\n")
    return str(path)


def test_a_recipe_names_it_and_its_levels_are_in_the_identity(grain, toy, tmp_path):
    cell = Cell('robustness', str(toy), recipe(tmp_path, 'robustness_toy'), 'random', 0)
    with pytest.raises(DataError, match="Unknown corruption 'grain'"):
        ResolvedCell(cell, get_protocol('robustness'))
    import_protocols([str(grain)])
    resolved = ResolvedCell(cell, get_protocol('robustness'))
    assert resolved.config['corruptions'] == {'grain': [2, 8], 'contrast': [0.4, 0.2]}
    assert resolved.config['columns'] == ['clean', 'grain-1', 'grain-3', 'contrast-1', 'contrast-3']


def test_it_is_shown_like_ours(grain, toy):
    import_protocols([str(grain)])
    corruption = get_corruption('grain')
    assert corruption.summary == 'Adds whole numbers of up to that many grey levels to every value.'
    entries = load_dataset_card(str(toy)).entries('test')
    pipeline = [
        {'type': 'sigma.OpenVideo', 'decoder': 'pyav'},
        {'type': 'sigma.SampleDense', 'num_frames': 4, 'stride_frames': 2, 'num_clips': 1, 'test_mode': True},
        {'type': 'sigma.DecodeFrames'},
        {'type': 'mmaction.FormatShape', 'input_format': 'NCTHW'},
        {'type': 'mmaction.PackActionInputs', 'meta_keys': ('video', 'position')},
    ]
    shown = {
        name: sample['inputs'].numpy().astype(int)
        for _, name, sample, _ in CorruptedClips(entries, [0], pipeline, [Variant('clean'), Variant('grain', 3)])
    }
    damage = shown['grain-3'] - shown['clean']
    assert np.abs(damage).max() == 8  # the level of severity 3
    assert 3 < np.abs(damage).mean() < 5  # 4.2 on average where nothing is clipped


def test_a_corruption_that_cannot_be_registered_is_refused_in_a_sentence(grain):
    def mine(frames, level, draws):
        """Does nothing."""
        return frames

    good = {'family': 'noise', 'levels': (1, 2), 'source': 'ours', 'shared': None}
    for changes, words in (
        ({'family': 'nois'}, "Unknown family of corruptions 'nois'. Did you mean 'noise'"),
        ({'suites': ('imagenet',)}, "Unknown suite of corruptions 'imagenet'. Did you mean 'imagenet-c'"),
        ({'name': 'fog'}, "a corruption named 'fog' already"),
        ({'name': 'clean'}, "a corruption named 'clean' already"),
        ({'levels': ()}, "'mine' has no levels"),
    ):
        with pytest.raises(DataError, match=words):
            register(**good | changes)(mine)
    assert 'mine' not in CORRUPTIONS


@pytest.mark.slow
def test_the_command_measures_with_it(grain, toy, tmp_path):
    """A matrix of one cell, whose process imports the file too."""
    card = recipe(tmp_path, 'robustness_toy_frozen')
    suite = f"SUITES['mine'] = (Entry('robustness_frozen', {str(toy)!r}, {card!r}),)\n"
    grain.write_text(f'{GRAIN}\nfrom eval.matrix.suites import SUITES, Entry\n{suite}')
    words = ['--suite', 'mine', '--import', grain, '--encoders', 'random', '--jobs', 1, '--work-dir', tmp_path / 'work']
    done = run_tool('eval/run_severe.py', *words)
    assert done.returncode == 0, done.stderr
    records = [path.read_text() for path in (tmp_path / 'work' / 'records').rglob('*robustness*.json')]
    assert any('"grain-3"' in text for text in records)


def test_figures_can_use_corruptions_without_torch():
    code = (
        'import sys, eval.corruptions; print([m for m in ("torch", "mmengine", "eval.protocols") if m in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_the_example_in_the_docstring_is_the_one_tested():
    from eval.corruptions import corruption

    lines = [line.strip() for line in GRAIN.splitlines() if line.startswith(('@register', 'def ', "    'Adds"))]
    assert len(lines) == 3
    assert all(line in inspect.getdoc(corruption) for line in lines)
