"""Suite cards: what they hold, what is refused, and that a new suite is one file."""

import hashlib
import json
import subprocess
import sys

import pytest

from eval.matrix.plan import plan
from eval.matrix.suites import SUITES, Entry, read_suite, suite_entries
from eval.records import RecordError
from eval.report.summaries import SUMMARIES, get_summary
from sigma.configs import CONFIG_ROOT, card_names, merged, read_plain, sentence_of
from sigma.data.cards import read_card, read_config
from sigma.errors import DataError
from tests.conftest import ROOT
from tests.eval import tiny_matrix as tiny

GOLDEN = json.loads((ROOT / 'tests' / 'data' / 'suites.json').read_text())
ONE = "entries = [dict(protocol='frozen_linear', dataset='toy', recipe='frozen_demo')]\n"


@pytest.fixture
def card(tmp_path):
    def write(text: str, name: str = 'mine'):
        path = tmp_path / f'{name}.py'
        path.write_text(f'"""A suite of a test."""\n{text}')
        return path

    return write


@pytest.mark.parametrize('name', GOLDEN)
def test_the_suites_of_before_keep_their_entries_order_and_mean(name):
    assert SUITES[name] == tuple(Entry(*fields) for fields in GOLDEN[name]['entries'])
    summary = SUMMARIES.get(name)
    found = summary and [summary.name, [list(column) for column in summary.columns]]
    assert found == GOLDEN[name].get('summary')


@pytest.mark.parametrize('name', card_names('suites'))
def test_a_card_has_a_sentence_and_reads_alike_with_mmengine(name):
    path = CONFIG_ROOT / 'suites' / f'{name}.py'
    assert 20 < len(sentence_of(path)) <= 120
    assert sentence_of(path).endswith('.')
    plain = read_plain(path)
    whole = read_config(path).to_dict()
    assert {key: whole[key] for key in plain} == plain


def test_recipes_keep_their_values():
    """A value that moves gives every cell of its recipe another identity: move it on purpose, here too."""
    golden = json.loads((ROOT / 'tests' / 'data' / 'recipes.json').read_text())
    found = {}
    for name in card_names('recipes'):
        recipe = read_card(CONFIG_ROOT / 'recipes' / f'{name}.py', 'recipe')
        recipe.pop('departures', None)  # words for the reader, which no cell holds
        found[name] = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    assert {name: found[name] for name in golden} == golden


def test_a_new_suite_is_one_file_and_plans(card, tmp_path):
    home = tiny.make(tmp_path / 'home')
    entry = f"dict(protocol='tiny', dataset={str(home)!r}, recipe={str(home / 'low.py')!r})"
    path = card(f"entries = [{entry}]\nsummary = dict(name='mean of 1')\n")
    entries = suite_entries(str(path))
    found = plan(entries, [str(home / 'a.py')], [0, 1], tmp_path / 'work')
    assert [item.name for item in found.cells] == ['a_tiny_tiny_low_s0', 'a_tiny_tiny_low_s1']
    assert found.problems == []
    assert SUMMARIES[str(path)] == ('mean of 1', (('tiny', 'tiny', None),))  # the name of the dataset, as in records


def test_a_file_in_the_folder_is_a_suite(card, tmp_path, monkeypatch):
    import sigma.configs

    card(ONE, 'mine').rename(tmp_path / 'moved.py')
    (tmp_path / 'suites').mkdir()
    (tmp_path / 'moved.py').rename(tmp_path / 'suites' / 'mine.py')
    monkeypatch.setattr(sigma.configs, 'CONFIG_ROOT', tmp_path)
    assert list(SUITES) == ['mine']
    assert suite_entries('mine') == [Entry('frozen_linear', 'toy', 'frozen_demo')]
    with pytest.raises(DataError, match="Unknown suite 'mime'. Did you mean 'mine'"):
        suite_entries('mime')


def test_a_module_may_add_a_suite(monkeypatch):
    monkeypatch.setitem(SUITES, 'added', [Entry('frozen_linear', 'toy', 'frozen_demo', shots=5)])
    assert suite_entries('added') == [Entry('frozen_linear', 'toy', 'frozen_demo', shots=5)]
    assert 'added' in SUITES
    assert SUMMARIES.get('added') is None
    with pytest.raises(DataError, match="Did you mean 'added'"):
        suite_entries('aded')


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('import os\n' + ONE, r'mine.py, line 2: .*imports nothing'),
        ('def f(:\n', r'mine.py, line 2: not valid Python'),
        ('entries = [open("x")]\n', r"mine.py cannot be read as a card: NameError: name 'open'"),
        ('', r'mine.py has no `entries`'),
        ("entries = ['toy']\n", r"mine.py, entry 1 is 'toy'"),
        (ONE.replace('dataset=', 'data='), r"mine.py, entry 1: Unknown key 'data'. Did you mean 'dataset'"),
        (ONE.replace("protocol='frozen_linear', ", ''), r'mine.py, entry 1 lacks protocol'),
        (ONE.replace(')]', ', shots=0)]'), r'mine.py, entry 1: shots is 0'),
        ("_base_ = 'absent.py'\n" + ONE, r'absent.py cannot be read: No such file'),
        ("_base_ = 'mine.py'\n" + ONE, r'is its own _base_'),
        ("_base_ = 'a' + 'b'\n" + ONE, r'_base_ is a file name or a list'),
        ('entries = {{_base_.nothing}}\n', r'asks for \{\{_base_.nothing\}\}, which its _base_ does not set'),
    ],
)
def test_a_card_that_does_not_fit_is_one_sentence(card, text, words):
    with pytest.raises(DataError, match=words) as raised:
        read_suite(card(text))
    assert '\n' not in str(raised.value)


def test_a_summary_that_is_not_there_names_the_nearest():
    assert get_summary('severe').name == 'mean of 8'
    with pytest.raises(RecordError, match="Unknown summary 'sever'. Did you mean 'severe'"):
        get_summary('sever')


def test_a_summary_that_does_not_fit_is_one_sentence(card):
    with pytest.raises(DataError, match='`summary` needs a name'):
        SUMMARIES[str(card(ONE + "summary = 'mean'\n"))]
    with pytest.raises(DataError, match='columns of'):
        SUMMARIES[str(card(ONE + "summary = dict(name='m', columns=[('a', 'b')])\n"))]


def test_bases_and_templates_are_read_as_mmengine_reads_them(card, tmp_path, monkeypatch):
    monkeypatch.setenv('WHERE', '/there')
    card('a = dict(x=1, y=dict(p=1, q=2))\nb = [1, 2]\nc = dict(old=1)\n', 'base')
    text = (
        "_base_ = 'base.py'\n_hidden = 3\na = dict(y=dict(q=_hidden))\nb = [9]\nc = dict(_delete_=True, new=2)\n"
        "d = {{_base_.a.y}}\ne = '{{$WHERE:here}}/{{$ABSENT:else}}'\nf = '{{fileDirname}}/x'\n"
    )
    path = card(text, 'child')
    wanted = {
        'a': {'x': 1, 'y': {'p': 1, 'q': 3}},
        'b': [9],
        'c': {'new': 2},
        'd': {'p': 1, 'q': 2},
        'e': '/there/else',
        'f': f'{tmp_path}/x',
    }
    assert read_plain(path) == wanted
    assert {key: value for key, value in read_config(path).to_dict().items() if key in wanted} == wanted
    assert merged({'a': {'x': 1}}, {'a': 2}) == {'a': 2}


def test_reading_suites_and_summaries_needs_neither_torch_nor_mmengine():
    code = (
        'import sys\nfrom eval.matrix.suites import SUITES\nfrom eval.report.summaries import SUMMARIES\n'
        'assert len(list(SUITES.items())) > 20 and len(SUMMARIES) == 3\n'
        'print([m for m in ("torch", "mmengine", "numpy", "mmaction") if m in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


# --- a dataset's own recipe -----


def card_recipes(dataset: str) -> dict:
    return read_plain(CONFIG_ROOT / 'datasets' / f'{dataset}.py').get('recipes', {})


def test_P9_a_published_dataset_is_trained_by_its_own_recipe():
    """`--suite own --datasets ssv2` trained by K400's recipe: a number that looks like SSv2's and is not."""
    fine, frozen = suite_entries('own', ['ssv2'])
    assert fine == Entry('finetune', 'ssv2', 'finetune_{family}_ssv2')
    assert frozen == Entry('frozen_linear', 'ssv2', 'frozen_default')
    assert suite_entries('own', ['gym_vault'])[0].recipe == 'finetune_{family}_gym_parts'
    on_ssv2 = {(entry.recipe, entry.examples) for entry in suite_entries('severe', ['ssv2'])}
    assert ('finetune_{family}_ucf101', None) not in on_ssv2
    assert ('finetune_{family}_ssv2', 1000) in on_ssv2


def test_P9_your_own_data_and_recipes_without_a_family_stay_as_they_are(toy, tmp_path):
    assert [entry.recipe for entry in suite_entries('own', [str(toy)])] == ['finetune_{family}', 'frozen_default']
    assert {entry.recipe for entry in suite_entries('demo', ['ssv2'])} == {e.recipe for e in suite_entries('demo')}
    assert suite_entries('own', ['not_there'])[0].recipe == 'finetune_{family}'  # the plan says that it is not there
    found = plan(suite_entries('own', [str(toy)]), ['random'], [0], tmp_path / 'work')
    assert [item.name for item in found.cells][0] == 'random_finetune_toy_finetune_vit_s0'


def test_P9_your_card_may_name_recipes_too(tmp_path):
    (tmp_path / 'dataset.py').write_text("recipes = dict(finetune='finetune_small')\n")
    assert suite_entries('own', [str(tmp_path)])[0].recipe == 'finetune_small'
    (tmp_path / 'dataset.py').write_text("recipes = 'finetune_small'\n")
    with pytest.raises(DataError, match=r"`recipes` is 'finetune_small'; write dict\(PROTOCOL=RECIPE\)"):
        suite_entries('own', [str(tmp_path)])


def test_P9_weights_that_are_measured_are_trained_by_the_datasets_own_recipe():
    from types import SimpleNamespace

    from eval.cells.cell import Cell
    from eval.protocols.applied import trained_cell

    def trained(dataset, wanted):
        return trained_cell(
            SimpleNamespace(
                cell=Cell('robustness_imagenet-c', dataset, 'robustness_imagenet_c', 'random', 0),
                recipe={'trained': wanted},
                encoder=SimpleNamespace(family='r2plus1d'),
                cards=SimpleNamespace(cell=lambda found, protocol: found),
            ),
            'finetune',
        ).recipe

    assert trained('ssv2', 'finetune_{family}_ucf101') == 'finetune_r2plus1d_ssv2'
    assert trained('hmdb51', 'finetune_{family}_ucf101') == 'finetune_r2plus1d_ucf101'
    assert trained('toy', 'finetune_{family}_ucf101') == 'finetune_r2plus1d_ucf101'
    assert trained('k400', {'r2plus1d': 'finetune_demo'}) == 'finetune_demo'


def test_P9_suites_and_cards_name_the_same_recipe():
    for name in SUITES:
        for entry in suite_entries(name):
            if '{family}' in entry.recipe and entry.dataset in card_names('datasets'):
                assert card_recipes(entry.dataset).get(entry.protocol, entry.recipe) == entry.recipe, (name, entry)


@pytest.mark.parametrize('dataset', [name for name in card_names('datasets') if card_recipes(name)])
@pytest.mark.parametrize('family', ['vit', 'r2plus1d'])
def test_P9_recipes_that_cards_name_are_there(dataset, family):
    for protocol, recipe in card_recipes(dataset).items():
        path = CONFIG_ROOT / 'recipes' / f'{recipe.replace("{family}", family)}.py'
        assert read_card(path, 'recipe')['protocol'] == protocol


def test_P9_sigmas_full_fine_tuning_is_a_suite_whose_published_rows_join_its_columns():
    from eval.report.papers import read_paper

    entries = suite_entries('sigma_finetune')
    assert [(e.protocol, e.dataset, e.recipe) for e in entries] == [
        ('finetune', 'ssv2', 'finetune_{family}_ssv2'),
        ('finetune', 'k400', 'finetune_{family}_k400'),
    ]
    rows = read_paper('sigma_finetune')
    assert {(row.protocol['name'], row.dataset['name'], row.subset) for row in rows} == {
        (entry.protocol, entry.dataset, None) for entry in entries
    }
