"""Keys of recipes, cards and suites: what is misspelt is refused in the plan; what is declared is read."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from eval import run_severe
from eval.cells.cell import Cell, ResolvedCell
from eval.cells.encoders import load_encoder_card
from eval.matrix.suites import SUITES, read_suite
from eval.protocols import get_protocol, load_protocols
from eval.protocols.declared import declared_protocols, settings_of
from eval.settings.common import MODES, RESAMPLINGS
from sigma.configs import CONFIG_ROOT, card_names, read_plain
from sigma.data.cards import load_dataset_card, read_card
from sigma.errors import DataError
from sigma.settings import Settings
from tests.conftest import ROOT, assert_one_sentence, call_main
from tools.settings import PAGE, page

RECIPES = CONFIG_ROOT / 'recipes'


# --- every shipped file passes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', card_names('recipes'))
def test_every_recipe_has_known_keys_alone(name):
    recipe = read_card(RECIPES / f'{name}.py', 'recipe')
    settings_of(recipe['protocol']).check(name, recipe)


def test_every_card_and_suite_has_known_keys_alone():
    for name in card_names('encoders'):
        load_encoder_card(name)
    for name in card_names('datasets'):
        load_dataset_card(name)
    assert all(SUITES[name] for name in card_names('suites'))


def test_files_declare_what_the_imported_protocols_are():
    imported = {name: one for name, one in load_protocols().items() if type(one).__module__.startswith('eval.')}
    declared = declared_protocols()
    assert sorted(imported) == list(declared)
    for name, one in declared.items():
        assert imported[name].name == name
        assert one.sentence == imported[name].sentence()
        assert one.settings is imported[name].settings


# --- every declared key is read --------------------------------------------------------------------------------------


class Reads(ast.NodeVisitor):
    """Keys that a file reads: of recipes (`recipe['x']`, `resolved.recipe.get('x')`), and of any dict."""

    def __init__(self) -> None:
        self.of_recipes: set[str] = set()
        self.all: set[str] = set()

    def _read(self, holder: ast.expr, key: ast.expr) -> None:
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            self.all.add(key.value)
            if ast.unparse(holder).endswith('recipe'):
                self.of_recipes.add(key.value)

    def visit_Subscript(self, node):
        self._read(node.value, node.slice)
        self.generic_visit(node)

    def visit_Call(self, node):
        if isinstance(node.func, ast.Attribute) and node.func.attr == 'get' and node.args:
            self._read(node.func.value, node.args[0])
        self.generic_visit(node)

    def visit_Assign(self, node):
        if any(isinstance(target, ast.Name) and target.id == 'from_recipe' for target in node.targets):
            self.of_recipes |= set(ast.literal_eval(node.value))
        self.generic_visit(node)

    def visit_AnnAssign(self, node):
        if isinstance(node.target, ast.Name) and node.target.id == 'from_recipe' and node.value is not None:
            self.of_recipes |= set(ast.literal_eval(node.value))
        self.generic_visit(node)

    def visit_DictComp(self, node):
        (one,) = node.generators
        if 'recipe[key]' in ast.unparse(node.value) and isinstance(one.iter, ast.Tuple):
            self.of_recipes |= set(ast.literal_eval(one.iter))
        self.generic_visit(node)


def reads_of(protocol) -> Reads:
    """What the files of a protocol's classes read, and the modules of ours that they import from."""
    files, found = set(), Reads()
    for cls in type(protocol).__mro__[:-1]:
        path = Path(inspect.getfile(cls))
        names = {n.module for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and n.module}
        near = [ROOT / f'{name.replace(".", "/")}.py' for name in names if name.startswith('eval.')]
        files |= {path, *(one for one in near if one.is_file())}
    for path in files:
        found.visit(ast.parse(path.read_text()))
    return found


@pytest.mark.parametrize('name', list(declared_protocols()))
def test_every_declared_key_is_read(name):
    protocol = load_protocols()[name]
    reads = reads_of(protocol)
    read = reads.of_recipes | {'protocol', 'departures'}  # by the cell, and by tools/departures.py
    assert [one.name for one in protocol.settings if one.name not in read] == []
    for one in protocol.settings:
        # A class takes its own arguments as they are; `departures` are for people.
        if isinstance(one.kind, Settings) and 'arguments of' not in one.kind.told:
            assert [key for key in one.kind.names() if key not in reads.all] == [], one.name


def test_a_key_that_nothing_reads_would_be_found():
    reads = reads_of(load_protocols()['frozen_linear'])
    assert 'strengths' in reads.of_recipes
    assert 'strength' not in reads.of_recipes


def test_defaults_in_the_code_are_the_declared_ones():
    """`recipe.get(key, default)` serves recipes that no cell has completed; it must not have a default of its own."""
    found = 0
    for path in (ROOT / 'eval').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (
                isinstance(node, ast.Call) and ast.unparse(node.func).endswith('recipe.get') and len(node.args) == 2
            ):
                continue
            if not all(isinstance(argument, ast.Constant) for argument in node.args):
                continue
            key, default = (argument.value for argument in node.args)
            declared = {
                one.settings[key].default for one in declared_protocols().values() if key in one.settings.names()
            }
            assert declared == {default}, (path, key)
            found += 1
    assert found > 10


def test_names_in_declarations_are_those_of_the_code():
    from eval.corruptions.corruption import LEAST_SIDE
    from eval.settings.applied import ROBUSTNESS
    from sigma.data.transforms import FixedCrops, FrameOrder, known_resampling

    assert [known_resampling(name) for name in RESAMPLINGS] == list(RESAMPLINGS)
    assert [FrameOrder(mode).mode for mode in MODES] == list(MODES)
    assert set(settings_of('finetune')['views'].kind['middle'].known()) == set(FixedCrops.ROUNDING)
    assert ROBUSTNESS['working_short_side'].least == LEAST_SIDE


# --- the cases, through the command ----------------------------------------------------------------------------------


def dry_run(capsys, monkeypatch, tmp_path, entry: str, encoder: str = 'random'):
    suite = tmp_path / 'mine_suite.py'
    suite.write_text(f'entries = [{entry}]\n')
    words = ['--suite', suite, '--encoders', encoder, '--work-dir', tmp_path / 'work', '--dry-run']
    monkeypatch.setattr('sys.argv', ['run_severe.py', *map(str, words)])
    status = run_severe.guarded()
    captured = capsys.readouterr()
    return subprocess.CompletedProcess(words, status, captured.out, captured.err)


def test_U1_misspelt_keys_of_a_recipe_are_refused_in_the_plan(toy, tmp_path, monkeypatch, capsys):
    recipe = tmp_path / 'mine.py'
    base = f'_base_ = {str(RECIPES / "finetune_demo.py")!r}\n'
    recipe.write_text(base + 'recipe = dict(num_step=10, epoch=3, layer_decayy=0.5)\n')
    entry = f"dict(protocol='finetune', dataset={str(toy)!r}, recipe={str(recipe)!r})"
    done = dry_run(capsys, monkeypatch, tmp_path, entry)
    assert done.returncode == 2
    for wrong, right in (('num_step', 'num_steps'), ('epoch', 'epochs'), ('layer_decayy', 'layer_decay')):
        assert f'unknown key {wrong!r} (did you mean {right!r}?)' in done.stderr
    assert str(recipe) in done.stderr
    assert 'Traceback' not in done.stderr
    assert not (tmp_path / 'work').exists()


def test_U1_a_misspelt_key_of_an_encoder_card_is_refused_in_the_plan(toy, tmp_path, monkeypatch, capsys):
    card = tmp_path / 'mine.py'
    card.write_text(f'_base_ = {str(CONFIG_ROOT / "encoders" / "random.py")!r}\nencoder = dict(meanx=(0, 0, 0))\n')
    entry = f"dict(protocol='frozen_linear', dataset={str(toy)!r}, recipe='frozen_demo')"
    done = dry_run(capsys, monkeypatch, tmp_path, entry, str(card))
    assert done.returncode == 2
    assert "unknown key 'meanx' (did you mean 'mean'?)" in done.stderr
    assert 'Traceback' not in done.stderr


BASE_ENCODER = str(CONFIG_ROOT / 'encoders' / 'random.py')


@pytest.mark.parametrize(
    ('text', 'facts'),
    [
        ('encoder = dict(clip=dict(num_frame=16))', ["'clip.num_frame'", "did you mean 'clip.num_frames'"]),  # U7
        (
            'encoder = dict(clip=dict(_delete_=True, num_frame=16))',
            ["did you mean 'clip.num_frames'", 'clip.num_frames is missing', 'clip.size is missing'],
        ),
        ("encoder = dict(clip=dict(size='64'))", ["clip.size is '64'", 'whole number']),
        ('encoder = dict(finetune=dict(final_nor=True))', ["did you mean 'finetune.final_norm'"]),
        ('encoder = dict(std=(0.229, 0.224, 0.225))', ['std is 0.229', 'at least 1']),  # not on the scale of pixels
        ("encoder = dict(backbone=dict(arc='base'))", ["did you mean 'backbone.arch'"]),
        ("encoder = dict(layout='sigm')", ["did you mean 'sigma'"]),
        ('encodr = dict(mean=(0, 0, 0))', ["'encodr'", "Did you mean 'encoder'"]),
        ('encoder = 3', ['encoder = dict']),
    ],
)
def test_U7_what_does_not_fit_in_an_encoder_card_is_one_sentence(tmp_path, text, facts):
    card = tmp_path / 'mine.py'
    card.write_text(f'_base_ = {BASE_ENCODER!r}\n{text}\n' if text != 'encoder = 3' else text)
    with pytest.raises(DataError) as caught:
        load_encoder_card(str(card))
    assert all(fact in str(caught.value) for fact in (*facts, str(card)))


def test_a_helper_of_ones_own_begins_with_an_underscore_and_a_base_may_be_deleted(tmp_path):
    card = tmp_path / 'mine.py'
    card.write_text(
        f'_base_ = {BASE_ENCODER!r}\n_size = 32\n'
        'encoder = dict(clip=dict(_delete_=True, num_frames=4, stride_frames=1, size=_size))\n'
    )
    assert load_encoder_card(str(card)).info['clip'] == {'num_frames': 4, 'stride_frames': 1, 'size': 32}


@pytest.mark.parametrize(
    ('text', 'facts'),
    [
        ("dataset_info = dict(clases=['a'])", ["'clases'", "did you mean 'classes'"]),
        ('dataset_info = dict(sampling=dict(stride_frame=2))', ["did you mean 'sampling.stride_frames'"]),
        ("dataset_info = dict(task='localisation')", ["did you mean 'localization'"]),
        ("dataset_info = dict(flips_change_label='no')", ["flips_change_label is 'no'", 'True or False']),
        ("recipe = dict(finetune='finetune_flat')", ["'recipe'", "Did you mean 'recipes'"]),
    ],
)
def test_what_does_not_fit_in_a_dataset_card_is_one_sentence(tmp_path, text, facts):
    card = tmp_path / 'mine.py'
    card.write_text(f'_base_ = {str(CONFIG_ROOT / "datasets" / "toy.py")!r}\n{text}\n')
    with pytest.raises(DataError) as caught:
        load_dataset_card(str(card))
    assert all(fact in str(caught.value) for fact in (*facts, str(card)))


@pytest.mark.parametrize('key', ['metric', 'classes', 'index'])
def test_a_field_that_a_card_lacks_is_named_where_it_is_needed(key, tmp_path, toy):
    card = tmp_path / 'mine.py'
    info = read_plain(toy / 'dataset.py')['dataset_info']
    info.pop(key)
    card.write_text(f'data_root = {str(toy)!r}\ndataset_info = {info!r}\n')
    cell = Cell('frozen_linear', str(card), 'frozen_demo', 'random', 0)

    def need_all() -> None:
        resolved = ResolvedCell(cell, get_protocol('frozen_linear'))
        resolved.protocol.metric_of(resolved)
        resolved.protocol.num_classes(resolved)

    with pytest.raises(DataError, match=f'mine.py lacks {key}'):
        need_all()


@pytest.mark.parametrize(
    ('text', 'fact'),
    [
        ('entris = []', "Did you mean 'entries'"),
        ("entries = [dict(protocol='a', dataset='b', recipe='c', shot=3)]", "Did you mean 'shots'"),
        ("entries = [dict(protocol='a', dataset='b', recipe='c')]\nsummary = dict(nam='x')", "did you mean 'name'"),
        ("entries = [dict(protocol='a', dataset='b', recipe='c')]\nsumary = dict(name='x')", "Did you mean 'summary'"),
    ],
)
def test_what_does_not_fit_in_a_suite_is_one_sentence(tmp_path, text, fact):
    card = tmp_path / 'mine.py'
    card.write_text(text + '\n')
    with pytest.raises(DataError) as caught:
        read_suite(card)
    assert fact in str(caught.value)


def test_the_names_under_recipes_of_a_dataset_are_protocols(tmp_path, toy):
    from eval.matrix.suites import suite_entries

    card = tmp_path / 'mine.py'
    card.write_text((toy / 'dataset.py').read_text() + "recipes = dict(finetun='finetune_flat')\n")
    with pytest.raises(DataError, match="Unknown protocol 'finetun'. Did you mean 'finetune'"):
        suite_entries('own', [str(card)])


# --- lists and the page ----------------------------------------------------------------------------------------------


def test_U25_lists_of_protocols_and_figures_need_no_torch_and_name_all():
    code = (
        'import sys\nfrom eval import run_severe\nfrom tools import plot\n'
        'run_severe.main(["--list", "protocols"])\nrun_severe.main(["--list", "recipes", "--verbose"])\n'
        'plot.main(["--list"])\n'
        'print([m for m in ("torch", "mmengine", "sklearn", "matplotlib") if m in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[-1] == '[]'
    assert [line.split()[0] for line in lines[: len(declared_protocols())]] == list(declared_protocols())
    figures = [
        'accuracy_vs_encoder_flops',
        'accuracy_vs_pretraining_flops',
        'bars',
        'clusters',
        'corruption_sheet',
        'critical_difference',
        'frozen_vs_finetuned',
        'heatmap',
        'map_over_iou',
        'masks',
        'overlays',
        'pretraining',
        'protocol_correlations',
        'radar',
        'rank_bump',
        'robustness_heatmap',
        'severity_curves',
        'shots_ladder',
    ]
    assert [line.split()[0] for line in lines[-1 - len(figures) : -1]] == figures


def test_U25_an_unknown_figure_is_answered_with_those_of_the_trainer_too(capsys):
    from tools import plot

    done = call_main(plot.main, capsys, '--records', 'nowhere', '--figure', 'maskes', '--out', 'x')
    assert_one_sentence(done, "'maskes'", "Did you mean 'masks'", 'clusters', 'pretraining')
    assert set(plot.TRAINER_FIGURES) == {path.stem for path in (ROOT / 'sigma' / 'figures').glob('[!_]*.py')}


def test_verbose_lists_types_ranges_and_defaults():
    from eval.matrix.listing import listing

    lines = [line.split() for line in listing('recipes', verbose=True).splitlines()]
    assert ['num_steps', 'whole', 'number', 'at', 'least', '1', 'left', 'out'] in [line[:8] for line in lines]
    assert ['clip.num_frames', 'whole', 'number', 'at', 'least', '1', 'required'] in [
        line.split()[:7] for line in listing('encoders', verbose=True).splitlines()
    ]
    with pytest.raises(DataError, match='--verbose lists the keys of recipes, datasets, encoders'):
        listing('suites', verbose=True)


def test_the_page_is_what_is_declared():
    assert PAGE.read_text() == page(), 'run python tools/settings.py'


def test_every_declared_key_has_a_sentence():
    from eval.matrix.listing import KEYS

    for kind in KEYS:
        for title, settings in KEYS[kind]():
            for key, *_, sentence in settings.rows():
                assert 4 < len(sentence) <= 120, (title, key)
