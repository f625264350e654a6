"""Recipes of fine-tuning and of several labels against the published configs and launch scripts (P1 to P8)."""

import json

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from eval.protocols import get_protocol
from eval.protocols.base import Departure
from eval.protocols.finetune import Length, mixing, optimisation, schedule
from sigma.configs import card_names
from sigma.data.cards import find_card, read_card
from sigma.engine.optim import ParamGroups
from sigma.models import R2Plus1D18
from tests.conftest import ROOT

PEERS = json.loads((ROOT / 'tests' / 'data' / 'peers' / 'recipes.json').read_text())
SEVERE = {  # SEVERE's config -> our recipe
    'ucf/112x112x32-fold1': 'finetune_r2plus1d_ucf101',
    'ucf/112x112x32-fold1_scratch': 'finetune_r2plus1d_scratch',
    'ucf/112x112x32-fold1_1000_examples': 'finetune_r2plus1d_ucf101',
    'ucf/112x112x32-fold1_1000_examples_tubelet': 'finetune_r2plus1d_few_tubelet',
    'hmdb51/112x112x32-fold1': 'finetune_r2plus1d_ucf101',
    'hmdb51/112x112x32-fold1_scratch': 'finetune_r2plus1d_scratch',
    'diving48/112x112x32': 'finetune_r2plus1d_ucf101',
    'gym99/112x112x32': 'finetune_r2plus1d_ucf101',
    'gym99/112x112x32_scratch': 'finetune_r2plus1d_scratch',
    'gym99/112x112x32_1000_examples': 'finetune_r2plus1d_ucf101',
    'gym99/112x112x32_1000_examples_tubelet': 'finetune_r2plus1d_few_tubelet',
    'gym288/112x112x32': 'finetune_r2plus1d_ucf101',
    'gym288/112x112x32_scratch': 'finetune_r2plus1d_scratch',
    'gym_set_FX_S1/112x112x32': 'finetune_r2plus1d_gym_parts',
    'gym_set_FX_S1/112x112x32_scratch': 'finetune_r2plus1d_gym_parts_scratch',
    'gym_set_UB_S1/112x112x32': 'finetune_r2plus1d_gym_parts',
    'gym_set_UB_S1/112x112x32_scratch': 'finetune_r2plus1d_gym_parts_scratch',
    'gym_event_vault/112x112x32': 'finetune_r2plus1d_gym_parts',
    'gym_event_vault/112x112x32_scratch': 'finetune_r2plus1d_gym_parts',
    'gym_event_floor_exercise/112x112x32': 'finetune_r2plus1d_gym_parts',
    'gym_event_floor_exercise/112x112x32_scratch': 'finetune_r2plus1d_gym_parts',
    'something/112x112x32': 'finetune_r2plus1d_ssv2_flip',
    'something/112x112x32_scratch': 'finetune_r2plus1d_ssv2_scratch',
    'ntu60/112x112x16-fold1': 'finetune_r2plus1d_ntu60',
}
TRANSFORMERS = {  # launch script -> our recipe
    ('sigma', 'kinetics'): 'finetune_vit_k400',
    ('sigma', 'ssv2'): 'finetune_vit_ssv2',
    ('videomae', 'kinetics/base_0.9_epoch_800'): 'finetune_vit_k400_videomae',
    ('videomae', 'kinetics/base_0.9_epoch_1600'): 'finetune_vit_k400_videomae1600',
    ('videomae', 'kinetics/small_0.9_epoch_1600'): 'finetune_vit_k400_videomae_small',
    ('videomae', 'ssv2/base_0.9_epoch_800'): 'finetune_vit_ssv2_videomae',
    ('videomae', 'ssv2/base_0.9_epoch_2400'): 'finetune_vit_ssv2_videomae2400',
    ('videomae', 'ssv2/small_0.9_epoch_2400'): 'finetune_vit_ssv2_videomae_small',
    ('videomae', 'ucf101/base_0.75_epoch_3200'): 'finetune_vit_ucf101',
    ('mgmae', 'k400'): 'finetune_vit_k400_mgmae',
    ('mgmae', 'ssv2'): 'finetune_vit_ssv2_mgmae',
}
TUNED = [name for name in card_names('recipes') if name.startswith(('finetune', 'multi_label', 'arrow_of_time'))]


def recipe_of(name: str) -> dict:
    return read_card(find_card('recipes', name), 'recipe')


def rates(recipe: dict, length: Length) -> list[float]:
    """The learning rate of every step, from MMEngine's own schedulers."""
    optimizer = torch.optim.SGD(
        [torch.nn.Parameter(torch.zeros(1))], lr=optimisation(recipe, length)['optimizer']['lr']
    )
    parts = [PARAM_SCHEDULERS.build(part | {'optimizer': optimizer}) for part in schedule(recipe, length)]
    found = []
    for _ in range(length.steps * length.epochs):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for part in parts:
            part.step()
    return found


def test_every_config_and_script_has_a_recipe():
    assert set(SEVERE) == set(PEERS['severe'])
    assert set(TRANSFORMERS) == {(code, name) for code in ('sigma', 'videomae', 'mgmae') for name in PEERS[code]}


@pytest.mark.parametrize('config', SEVERE)
def test_P1_convolutional_recipes_hold_severes_numbers(config):
    recipe, theirs = recipe_of(SEVERE[config]), PEERS['severe'][config]
    length = Length(recipe, 10_000)
    optimizer = optimisation(recipe, length)['optimizer']
    assert optimizer == {
        'type': 'Adam',
        'lr': theirs['lr'],
        'betas': (0.9, 0.999),
        'weight_decay': theirs['weight_decay'],
    }
    assert recipe['decays'] == 'all'
    assert (length.epochs, length.repeats, length.batch) == (
        theirs['epochs'],
        theirs['clips_per_video'],
        theirs['batch'],
    )
    assert (list(recipe['milestones']), recipe['milestone_factor']) == (theirs['milestones'], theirs['gamma'])
    assert (recipe['num_frames'], recipe['clip_fps']) == (theirs['frames'], theirs['fps'])
    assert (recipe['crop_area'][0], list(recipe['colour_jitter'])) == (theirs['min_area'], theirs['colour'])
    views = recipe['views']
    assert (views['num_clips'], views['short_side']) == (theirs['test_clips'], theirs['size'] / 0.875)
    assert recipe['resampling'] == views['resampling'] == 'antialias'  # P3: PIL
    if config == 'something/112x112x32_scratch':
        assert 'flip' in recipe['departures'][0]['what']


def test_P1_adam_decays_all_parameters():
    model = torch.nn.Sequential(R2Plus1D18(), torch.nn.Linear(512, 5))
    groups = ParamGroups({}, {'decays': 'all'}).groups(model, 1e-4, 1e-4)
    assert [(group['lr'], group['weight_decay']) for group in groups] == [(1e-4, 1e-4)]
    assert len(groups[0]['params']) == len(list(model.parameters()))
    by_hand = ParamGroups({}, {}).groups(model, 1e-4, 1e-4)
    assert sorted(group['weight_decay'] for group in by_hand) == [0.0, 1e-4]
    with pytest.raises(ValueError, match="decays='none'; known: 'matrices', 'all', 'all_but_norms'"):
        ParamGroups({}, {'decays': 'none'})


@pytest.mark.parametrize('script', TRANSFORMERS, ids='-'.join)
def test_P5_P8_transformer_recipes_hold_the_numbers_of_the_launch_scripts(script):
    code, name = script
    recipe, theirs = recipe_of(TRANSFORMERS[script]), PEERS[code][name]
    length, total = Length(recipe, 200_000), theirs['per_device'] * theirs['devices']
    assert length.total_batch == total
    wrapper = optimisation(recipe, length)
    assert wrapper['optimizer']['lr'] == pytest.approx(theirs['lr'] * total / 256)
    assert wrapper['optimizer']['weight_decay'] == theirs['weight_decay']
    assert wrapper['paramwise_cfg'] == {'layer_decay': theirs['layer_decay']}
    assert (recipe.get('num_sample', 1), length.epochs) == (theirs['num_sample'], theirs['epochs'])
    assert (recipe['drop_path'], recipe['head_dropout']) == (theirs['drop_path'], theirs['fc_drop_rate'])
    assert (recipe['views']['num_clips'], recipe['views']['crops']) == (
        theirs['test_num_segment'],
        theirs['test_num_crop'],
    )
    lowest = schedule(recipe, length)[-1]['eta_min_ratio'] * wrapper['optimizer']['lr']
    assert lowest == pytest.approx(theirs['min_lr'] * total / 256)
    # P2: pairs and draws of one device
    assert mixing(recipe, 10, 0)['clips_together'] == theirs['per_device'] * theirs['num_sample']
    assert recipe['resampling'] == recipe['views']['resampling'] == 'opencv'  # P3: torch and OpenCV there
    assert recipe['flip'] == (0.0 if 'ssv2' in name else 0.5)
    assert recipe['crop_area'][0] == (0.25 if code == 'sigma' or name.startswith('ucf101') else 0.08)


@pytest.mark.parametrize('name', PEERS['schedules'])
def test_P5_the_schedule_is_the_published_one_at_every_step(name):
    """From 0 to the peak in 5 epochs, then half a cosine to the floor, which follows the batch."""
    recipe, theirs = recipe_of(name), PEERS['schedules'][name]
    recipe['accumulate'], recipe['batch_size'] = 1, recipe['batch_size'] * recipe['accumulate']
    ours = rates(recipe, Length(recipe, 4 * recipe['batch_size']))
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-8)
    assert ours[:2] == pytest.approx(theirs[:2], abs=1e-8)


def test_P5_the_floor_of_ucf101_is_half_of_1e5():
    recipe = recipe_of('finetune_vit_ucf101')
    cosine = schedule(recipe, Length(recipe, 10_000))[-1]
    assert cosine['eta_min_ratio'] * 2.5e-4 == pytest.approx(1e-5 * 128 / 256)
    assert recipe['warmup_lr'] == 1e-8


def test_P4_charades_with_r2plus1d_holds_slowfasts_numbers():
    recipe, theirs = recipe_of('multi_label_r2plus1d'), PEERS['charades']
    length = Length(recipe, 1000)
    wrapper = optimisation(recipe, length)
    assert wrapper['optimizer'] == {
        'type': 'SGD',
        'lr': theirs['lr'],
        'momentum': theirs['momentum'],
        'nesterov': theirs['nesterov'],
        'weight_decay': theirs['weight_decay'],
    }
    assert wrapper['paramwise_cfg']['decays'] == 'all_but_norms'
    assert (theirs['bn_weight_decay'], theirs['decay_on_1d']) == (0, True)
    assert [v / 255 for v in recipe['normalise']['mean']] == pytest.approx(theirs['mean'])
    assert [v / 255 for v in recipe['normalise']['std']] == pytest.approx(theirs['std'])
    assert (length.epochs, length.batch, recipe['num_frames'], recipe['stride_frames']) == (
        *(theirs['epochs'], theirs['batch']),
        *(theirs['frames'], theirs['stride']),
    )
    assert list(recipe['milestones']) == theirs['steps'][1:]
    assert [recipe['milestone_factor'] ** i for i in range(6)] == pytest.approx(theirs['lrs'])
    assert (recipe['warmup_epochs'], recipe['warmup_lr']) == (theirs['warmup_epochs'], theirs['warmup_lr'])
    assert (list(recipe['short_side_jitter']), recipe['head_dropout']) == (theirs['jitter'], theirs['dropout'])
    assert [recipe['views']['num_clips'], recipe['views']['crops']] == theirs['views']
    assert theirs['test_size'] == theirs['size'] == 112  # the short side at test is the crop: a plain head
    assert theirs['reverse_bgr']  # OpenCV's BGR reversed: RGB, as here


def test_P4_batch_norms_have_no_decay_and_biases_have():
    model = torch.nn.Sequential(torch.nn.Conv3d(3, 4, 1), torch.nn.BatchNorm3d(4), torch.nn.Linear(4, 2))
    groups = ParamGroups({}, {'decays': 'all_but_norms'}).groups(model, 0.1, 1e-4)
    assert {group['weight_decay']: len(group['params']) for group in groups} == {1e-4: 4, 0.0: 2}


def test_P4_the_model_of_a_cell_normalises_as_its_recipe_says(toy):
    from eval.cells.cell import Cell, ResolvedCell

    def preprocessor(recipe, encoder):
        cell = Cell('finetune', str(toy), recipe, encoder, 0)
        return ResolvedCell(cell, get_protocol('finetune')).config['model']['data_preprocessor']

    assert preprocessor('finetune_r2plus1d', 'r2plus1d_18')['mean'] == [123.675, 116.28, 103.53]
    resolved = ResolvedCell(Cell('finetune', str(toy), 'finetune_r2plus1d', 'r2plus1d_18', 0), get_protocol('finetune'))
    resolved.recipe = resolved.recipe | {'normalise': recipe_of('multi_label_r2plus1d')['normalise']}
    changed = get_protocol('finetune').config(resolved)['model']['data_preprocessor']
    assert (changed['mean'], changed['std']) == ([114.75] * 3, [57.375] * 3)


@pytest.mark.parametrize('name', TUNED)
def test_departures_are_sentences_and_leave_no_trace_in_a_cell(name):
    recipe = recipe_of(name)
    for entry in recipe.get('departures', []):
        departure = Departure(**entry)
        assert all(len(text) > 3 and '\n' not in text for text in vars(departure).values())
    assert 'departures' not in json.dumps(optimisation(recipe, Length(recipe, 1000)))


@pytest.mark.parametrize('name', ['finetune', 'multi_label', 'arrow_of_time'])
def test_protocols_declare_their_departures(name):
    departures = get_protocol(name).departures
    assert len({departure.what for departure in departures}) == len(departures) > 0
