"""Cells, their identity, and the command that runs them, on a tiny rendered dataset."""

import json
import shutil

import numpy as np
import pytest
import torch

from eval import run_severe
from eval.cells.cell import Cell, ResolvedCell
from eval.cells.encoders import load_encoder_card
from eval.matrix.plan import plan
from eval.matrix.suites import SUITES, Entry, suite_entries
from eval.metrics import read_predictions, score_predictions
from eval.models.evaluator import KeepPredictions
from eval.protocols import get_protocol, load_protocols
from eval.protocols.subsets import few_a_class
from eval.records import predictions_path, read_record, read_records, what_differs
from eval.report.summaries import SUMMARIES
from sigma.checkpoints.files import save_tensors
from sigma.data.cards import load_dataset_card
from sigma.data.index import build_index, load_index
from sigma.errors import DataError
from sigma.models import VideoViT
from tests.conftest import assert_one_sentence, run_tool

FINETUNE_TINY = """recipe = dict(
    protocol='finetune', base_lr=8e-3, layer_decay=0.75, betas=(0.9, 0.999), weight_decay=0.05, warmup_share=0.1,
    batch_size=4, test_batch_size=8, num_steps=3, label_smoothing=0.1, drop_path=0.0, head_dropout=0.0,
    head_init_scale=1.0, crop_area=None, views=dict(num_clips=1, crops=1, resize='square'), decoder='pyav',
    checkpoint_epochs=1000, cache_megabytes=10)
"""


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """An encoder file as pretraining leaves it."""
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp('weights') / 'mine' / 'encoder.safetensors'
    return save_tensors(path, VideoViT('tiny', image_size=64).state_dict(), {'kind': 'encoder'})


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / 'finetune_tiny.py'
    path.write_text(FINETUNE_TINY)
    return str(path)


def resolve(toy, encoder, seed=0, shots=None, protocol='frozen_linear', recipe='frozen_demo') -> ResolvedCell:
    return ResolvedCell(Cell(protocol, str(toy), recipe, encoder, seed, shots), get_protocol(protocol))


# --- what a cell is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('family', ['vit', 'r2plus1d'])
def test_every_suite_names_protocols_recipes_and_datasets_that_exist(family):
    from sigma.data.cards import find_card, read_card

    for name in SUITES:
        for entry in suite_entries(name):
            assert entry.protocol in load_protocols()
            recipe = entry.recipe.replace('{family}', family)
            assert read_card(find_card('recipes', recipe), 'recipe')['protocol'] == entry.protocol
            assert find_card('datasets', entry.dataset).is_file()


@pytest.mark.parametrize('suite', sorted(SUMMARIES))
def test_the_mean_of_a_suite_is_of_its_columns(suite):
    def subset(entry):
        return f'{entry.examples}-examples' if entry.examples else entry.shots and f'{entry.shots}-a-class'

    columns = {(entry.protocol, entry.dataset, subset(entry)) for entry in suite_entries(suite)}
    assert set(SUMMARIES[suite].columns) == columns
    assert len(columns) == 8


def test_an_encoder_takes_the_recipes_of_its_family(tmp_path):
    entries = [Entry('finetune', 'toy', 'finetune_{family}_ucf101')]
    found = plan(entries, ['random', 'r2plus1d_18'], [0], tmp_path)
    recipes = [item.cell.recipe for item in found.cells]
    assert recipes == ['finetune_vit_ucf101', 'finetune_r2plus1d_ucf101']


def test_datasets_and_shots_take_the_place_of_a_suites_own():
    entries = suite_entries('demo', ['a', 'b'], [1, 5])
    shapes = [(e.protocol, e.dataset, e.shots) for e in entries]
    assert shapes == [
        ('finetune', 'a', 1),
        ('finetune', 'a', 5),
        ('frozen_linear', 'a', None),
        ('finetune', 'b', 1),
        ('finetune', 'b', 5),
        ('frozen_linear', 'b', None),
    ]


def test_one_byte_of_weights_or_one_setting_changes_the_identity(toy, checkpoint, recipe, tmp_path):
    encoder = f'random@{checkpoint}'
    base = resolve(toy, encoder)
    assert resolve(toy, encoder).id == base.id
    changed = tmp_path / 'mine' / 'encoder.safetensors'
    changed.parent.mkdir()
    content = bytearray(checkpoint.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    other = resolve(toy, f'random@{changed}')
    assert other.name == base.name
    assert other.id != base.id
    assert resolve(toy, encoder, seed=1).id != base.id
    tuned = resolve(toy, encoder, shots=2, protocol='finetune', recipe=recipe)
    with open(recipe, 'a') as file:
        file.write("recipe['base_lr'] = 7e-3\n")
    assert resolve(toy, encoder, shots=2, protocol='finetune', recipe=recipe).id != tuned.id


def test_other_videos_under_the_same_names_change_the_identity(toy, tmp_path):
    copy = tmp_path / 'toy'
    shutil.copytree(toy, copy)
    lines = (copy / 'index.jsonl').read_text().splitlines()
    entry = json.loads(lines[1])
    lines[1] = json.dumps(entry | {'sha256': '0' * 64})
    (copy / 'index.jsonl').write_text('\n'.join(lines) + '\n')
    assert resolve(copy, 'random').id != resolve(toy, 'random').id


def test_what_an_old_record_differs_in_is_said(toy, checkpoint, tmp_path):
    copy = tmp_path / 'toy'
    shutil.copytree(toy, copy)
    base = resolve(toy, 'random')
    assert what_differs(base.identity, resolve(copy, 'random').identity) == ''
    (video,) = load_dataset_card(str(copy)).entries('test')[:1]
    with open(video['filename'], 'ab') as file:
        file.write(b'\0\0\0\x08free')
    with pytest.raises(DataError, match=f'1 of 20 videos are no longer the files .* first {video["video"]}'):
        resolve(copy, 'random')
    build_index(copy / 'videos', load_index(copy / 'index.jsonl'), copy / 'index.jsonl', workers=1, progress=False)
    assert what_differs(base.identity, resolve(copy, 'random').identity) == 'the videos of test'
    assert 'the weights' in what_differs(base.identity, resolve(toy, f'random@{checkpoint}').identity)
    assert what_differs(base.identity, base.identity | {'seed': 3}) == 'seed'


def test_where_files_lie_is_no_part_of_the_identity(toy, checkpoint, recipe, tmp_path):
    moved = tmp_path / 'elsewhere' / 'toy'
    shutil.copytree(toy, moved)
    weights = tmp_path / 'elsewhere' / 'mine' / 'encoder.safetensors'
    weights.parent.mkdir()
    shutil.copy(checkpoint, weights)
    for settings in ({}, {'protocol': 'finetune', 'recipe': recipe, 'shots': 2}):
        assert resolve(toy, f'random@{checkpoint}', **settings).id == resolve(moved, f'random@{weights}', **settings).id


def test_a_checkpoint_on_the_command_line_that_cannot_be_is_told_in_words_that_work(tmp_path):
    for path, what in ((tmp_path / 'none.pth', 'not there'), (tmp_path, 'no file')):
        with pytest.raises(DataError, match=f'its checkpoint {path} is {what}. Or give other weights: vit_b@FILE.'):
            load_encoder_card(f'vit_b@{path}').sha256()
    with pytest.raises(DataError, match='vit_b@: no checkpoint .* vit_b alone'):
        load_encoder_card('vit_b@')


def test_few_shot_takes_as_many_of_every_class():
    labels = [0, 1, 2] * 10 + [3]
    drawn = few_a_class(labels, 4, seed=0)
    assert np.bincount(np.array(labels)[drawn]).tolist() == [4, 4, 4, 1]
    assert drawn == few_a_class(labels, 4, seed=0) != few_a_class(labels, 4, seed=1)


def test_predictions_are_kept_once_a_video_and_failures_apart():
    metric = KeepPredictions()
    sample = {'pred_score': torch.tensor([0.1, 0.9]), 'gt_label': torch.tensor([1]), 'decode_error': None}
    samples = [
        sample | {'position': 1, 'video': 'b'},
        sample | {'position': 0, 'video': 'a', 'gt_label': torch.tensor([0])},
        sample | {'position': 1, 'video': 'b'},  # a sampler's padding
        sample | {'position': 2, 'video': 'c', 'decode_error': 'c.mp4: ends early'},
    ]
    metric.process(None, samples)
    assert metric.compute_metrics(metric.results) == {'top1': 50.0}
    assert metric.videos == ['a', 'b']
    assert metric.unscored == [{'video': 'c', 'reason': 'c.mp4: ends early'}]


def test_cards_of_encoders_are_complete_and_build():
    from sigma.data.cards import CONFIG_ROOT
    from sigma.registry import MODELS

    for path in sorted((CONFIG_ROOT / 'encoders').glob('*.py')):
        card = load_encoder_card(path.stem)
        shape = (1, 3, card.info['clip']['num_frames'], *[card.info['clip']['size']] * 2)
        for finetune in (False, True):
            # Large ones give their shapes without the arithmetic.
            with torch.device('cpu' if shape[-1] <= 64 else 'meta'):
                tokens = MODELS.build(card.backbone(finetune=finetune)).eval()(torch.empty(shape))
            assert tokens.dim() == 5
            assert tokens.shape[-1] == card.info['embed_dims']


# --- the command ---------------------------------------------------------------------------------------------------


def severe(toy, work, *arguments, encoders=('random',)):
    arguments = ('--suite', 'demo', '--datasets', toy, '--work-dir', work, '--encoders', *encoders, *arguments)
    return run_tool('eval/run_severe.py', *arguments)


@pytest.fixture
def tiny_suite(monkeypatch, recipe):
    from eval.matrix import suites

    entries = (suites.Entry('finetune', 'toy', recipe, shots=2), suites.Entry('frozen_linear', 'toy', 'frozen_demo'))
    monkeypatch.setitem(suites.SUITES, 'tiny', entries)


@pytest.mark.integration
def test_the_whole_line_from_cells_to_table_and_again(toy, checkpoint, tiny_suite, tmp_path, capsys):
    work = tmp_path / 'work'
    arguments = ['--suite', 'tiny', '--datasets', str(toy), '--work-dir', str(work), '--jobs', '2']
    arguments += ['--encoders', 'random', f'sigma_mlp_toy@{checkpoint}']
    assert run_severe.main([*arguments, '--dry-run']) == 0
    assert '4 cells, 0 done, 4 to run' in capsys.readouterr().out
    assert not work.exists()

    assert run_severe.main(arguments) == 0
    out = capsys.readouterr().out
    assert 'chance' in out
    assert 'sigma_mlp_toy-mine' in out
    records = read_records(work)
    assert len(records) == 4
    for record in records:
        assert record.dataset['num_listed'] == record.dataset['num_scored'] == 20
        stored = read_predictions(predictions_path(record.path))
        assert score_predictions(stored, 'top1') == pytest.approx(record.score['value'])
        assert record.path.with_suffix('').with_suffix('').name.startswith(record.encoder['name'])
        # Embedding of 128 tokens of width 128, and four blocks: 24 N D^2 + 4 N^2 D each.
        assert record.encoder['flops'] == 2 * 128 * 1536 * 128 + 4 * (24 * 128 * 128**2 + 4 * 128**2 * 128)
    tuned = next(r for r in records if r.protocol['name'] == 'finetune' and r.encoder['name'] == 'random')
    assert tuned.subset['name'] == '2-a-class'
    assert tuned.dataset['num_train'] == 20
    assert tuned.selection == {'epoch': 1, 'steps': 3, 'how': 'last'}

    stamps = {r.path: r.path.stat().st_mtime_ns for r in records}
    tuned.path.unlink()  # as if that cell had been killed
    assert run_severe.main(arguments) == 0
    out = capsys.readouterr().out
    assert '4 cells, 3 done, 1 to run' in out
    again = read_record(tuned.path)
    assert again.score == tuned.score
    assert {p: p.stat().st_mtime_ns for p in stamps if p != tuned.path} == {
        p: t for p, t in stamps.items() if p != tuned.path
    }


def test_random_weights_differ_with_the_seed_and_pretrained_ones_do_not(toy, checkpoint):
    from eval.features.clips import build_encoder

    def first(encoder, seed):
        return build_encoder(resolve(toy, encoder, seed=seed)).blocks[0].mlp.fc1.weight

    assert not torch.equal(first('random', 0), first('random', 1))
    assert torch.equal(first(f'random@{checkpoint}', 0), first(f'random@{checkpoint}', 1))


def test_unreadable_test_videos_lower_coverage_and_are_named(toy, tmp_path):
    from eval.features.clips import extract

    copy = tmp_path / 'toy'
    shutil.copytree(toy, copy)
    lines = (copy / 'index.jsonl').read_text().splitlines()
    first_test = (copy / 'test.txt').read_text().split()[0]
    for number, line in enumerate(lines[1:], 1):
        entry = json.loads(line)
        if entry['path'] == first_test:
            lines[number] = json.dumps(entry | {'readable': False, 'reason': 'damaged on purpose'})
    (copy / 'index.jsonl').write_text('\n'.join(lines) + '\n')
    features = extract(resolve(copy, 'random'), 'test', tmp_path / 'work')
    assert len(features.videos) == 19
    assert features.unscored == [{'video': first_test, 'reason': 'damaged on purpose'}]
    again = extract(resolve(copy, 'random'), 'test', tmp_path / 'work')
    assert np.array_equal(again.values, features.values)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'--suite': 'demoo'}, ("Unknown suite 'demoo'", "'demo'")),
        ({'--encoders': 'randon'}, ("Unknown encoder 'randon'", "'random'")),
        ({'--encoders': 'random@/nowhere/x.safetensors'}, ('x.safetensors is not there',)),
        ({'--datasets': 'nowhere'}, ("Unknown dataset 'nowhere'",)),
    ],
)
def test_bad_input_ends_in_one_sentence(toy, tmp_path, capsys, monkeypatch, change, words):
    options = {
        '--suite': 'demo',
        '--encoders': 'random',
        '--datasets': str(toy),
        '--work-dir': str(tmp_path / 'w'),
    } | change
    monkeypatch.setattr('sys.argv', ['run_severe.py', *[part for pair in options.items() for part in pair]])
    import subprocess

    status = run_severe.guarded()
    done = subprocess.CompletedProcess([], status, *capsys.readouterr())
    assert_one_sentence(done, *words)
    assert not (tmp_path / 'w').exists()


def test_two_cells_of_one_name_are_refused(toy, tmp_path, tiny_suite):
    copy = tmp_path / 'toy'
    shutil.copytree(toy, copy)
    arguments = ['--suite', 'tiny', '--encoders', 'random', '--work-dir', str(tmp_path / 'w'), '--dry-run']
    with pytest.raises(DataError, match='both give a record named'):
        run_severe.main([*arguments, '--datasets', str(toy), str(copy)])


def test_a_protocol_of_another_name_is_named():
    with pytest.raises(DataError, match="Unknown protocol 'finetun'.*'finetune'"):
        get_protocol('finetun')


@pytest.mark.integration
def test_a_failed_cell_is_named_with_its_log_and_the_others_go_on(toy, tiny_suite, tmp_path, capsys, monkeypatch):
    from eval.matrix import plan as planning

    monkeypatch.setattr(planning, '_check', lambda *_: {})  # else the plan refuses these weights
    bad = save_tensors(tmp_path / 'bad' / 'encoder.safetensors', {'blocks.0.strange': torch.ones(2)}, {})
    arguments = ['--suite', 'tiny', '--datasets', str(toy), '--work-dir', str(tmp_path / 'w'), '--jobs', '2']
    assert run_severe.main([*arguments, '--encoders', 'random', f'sigma_mlp_toy@{bad}']) == 1
    captured = capsys.readouterr()
    assert captured.err.count('failed: sigma_mlp_toy-bad') == 2
    assert 'first blocks.0.strange' in captured.err
    assert len(read_records(tmp_path / 'w')) == 2
