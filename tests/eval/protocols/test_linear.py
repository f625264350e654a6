"""Linear layers on frozen encoders: what learns, what stays as it is, and whole runs on a tiny rendered dataset."""

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

import eval.registry  # noqa: F401 - opens the scopes that configs name
from eval.cells.cell import Cell, ResolvedCell
from eval.protocols import get_protocol
from eval.protocols.finetune import Length, optimisation, schedule
from sigma.checkpoints.files import read_training_state
from sigma.data.cards import CONFIG_ROOT, find_card, read_card
from sigma.engine.checkpoint import CheckpointHook
from sigma.engine.runner import Runner
from sigma.errors import DataError
from sigma.registry import DATASETS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS

TINY = {'num_steps': 2, 'batch_size': 4, 'cache_megabytes': 0, 'checkpoint_epochs': 1}


def recipe_of(name: str) -> dict:
    return read_card(find_card('recipes', name), 'recipe')


def written(folder, base: str, **changes) -> str:
    path = folder / f'{base}_tiny.py'
    path.write_text(f"_base_ = '{CONFIG_ROOT}/recipes/{base}.py'\nrecipe = dict(**{changes!r})\n")
    return str(path)


def resolve(toy, recipe, protocol='linear', encoder='random') -> ResolvedCell:
    return ResolvedCell(Cell(protocol, str(toy), str(recipe), encoder, 0), get_protocol(protocol))


def built(resolved: ResolvedCell):
    """Model, and one batch of training clips after its preprocessor."""
    torch.manual_seed(0)
    model = MODELS.build(resolved.config['model'])
    model.init_weights()
    clips = DATASETS.build(resolved.config['train_dataloader']['dataset'])
    batch = model.data_preprocessor(pseudo_collate([clips[0], clips[1]]), training=True)
    return model.train(), batch


# --- recipes -----


def test_the_recipe_of_ssv2_holds_the_published_numbers():
    recipe = recipe_of('linear_vit_ssv2')
    length = Length(recipe, 168913)
    assert (length.total_batch, length.epochs, recipe['num_sample'], recipe['warmup_epochs']) == (384, 30, 2, 5)
    optimizer = optimisation(recipe, length)
    assert optimizer['optimizer'] == {'type': 'AdamW', 'lr': 1.5e-3, 'betas': (0.9, 0.999), 'weight_decay': 0.05}
    assert optimizer['paramwise_cfg'] == {'layer_decay': 1.0}
    assert schedule(recipe, length)[0]['end'] == 5 * length.steps
    assert (recipe['drop_path'], recipe['trunk_mode'], recipe['mix_together']) == (0.1, 'train', 24)
    same = (
        'rand_augment',
        'crop_area',
        'erase',
        'mixup',
        'cutmix',
        'mix_switch',
        'label_smoothing',
        'sampling',
        'flip',
    )
    fine = recipe_of('finetune_vit_ssv2')
    assert {key: recipe[key] for key in same} == {key: fine[key] for key in same}
    assert (recipe['views']['num_clips'], recipe['views']['crops']) == (2, 3)


@pytest.mark.parametrize(
    ('name', 'epochs', 'batch', 'frames', 'milestones'),
    [('ucf101', 10, 128, 16, (4, 8)), ('k400', 40, 64, 32, (10, 20, 30))],
)
def test_the_convolutional_recipes_hold_the_published_numbers(name, epochs, batch, frames, milestones):
    recipe = recipe_of(f'linear_r2plus1d_{name}')
    length = Length(recipe, 9537)
    assert (length.epochs, length.batch, recipe['num_frames']) == (epochs, batch, frames)
    optimizer = optimisation(recipe, length)['optimizer']
    assert (optimizer['type'], optimizer['lr'], optimizer['weight_decay']) == ('Adam', 0.01, 0)
    assert (tuple(recipe['milestones']), recipe['milestone_factor'], recipe['head_norm']) == (milestones, 0.3, False)


# --- what learns -----


@pytest.mark.parametrize(
    ('protocol', 'names'),
    [
        ('linear', {'cls_head.fc_norm.weight', 'cls_head.fc_norm.bias', 'cls_head.fc.weight', 'cls_head.fc.bias'}),
        ('linear_fixed_norm', {'cls_head.fc.weight', 'cls_head.fc.bias'}),
    ],
)
def test_only_the_head_has_gradients_and_a_place_in_the_optimizer(toy, protocol, names):
    resolved = resolve(toy, f'{protocol}_demo', protocol)
    model, batch = built(resolved)
    config = resolved.config['optim_wrapper']
    make = {'type': config['constructor'], 'optim_wrapper_cfg': dict(config), 'paramwise_cfg': config['paramwise_cfg']}
    make['optim_wrapper_cfg'] = {k: v for k, v in config.items() if k not in ('constructor', 'paramwise_cfg')}
    wrapper = OPTIM_WRAPPER_CONSTRUCTORS.build(make)(model)
    optimised = {id(p) for group in wrapper.optimizer.param_groups for p in group['params']}
    assert {name for name, p in model.named_parameters() if id(p) in optimised} == names
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (saved.append(t.numel()), t)[1], lambda t: t):
        loss = model(**batch, mode='loss')['loss_cls']
    width, classes = model.cls_head.fc.in_features, 10
    assert max(saved) <= max(2 * width, classes * width)  # two pooled tokens or the layer itself, never the encoder's
    loss.backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == names


def test_names_of_weights_are_those_of_fine_tuning(toy):
    linear, _ = built(resolve(toy, 'linear_demo'))
    tuned = MODELS.build(resolve(toy, 'finetune_demo', 'finetune').config['model'])
    assert list(linear.state_dict()) == list(tuned.state_dict())


def test_drop_path_stays_on_unless_the_recipe_says_eval(toy, tmp_path):
    def repeats(mode: str) -> bool:
        model, batch = built(resolve(toy, written(tmp_path, 'linear_demo', drop_path=0.9, trunk_mode=mode)))
        assert model.training
        assert model.cls_head.training
        assert model.backbone.training == (mode == 'train')
        first, second = (model.extract_feat(batch['inputs'])[0] for _ in range(2))
        assert not first.requires_grad
        assert not model.eval().backbone.training
        return torch.equal(first, second)

    assert not repeats('train')
    assert repeats('eval')


@pytest.mark.parametrize('mode', ['train', 'eval'])
def test_statistics_of_batch_norm_never_move(toy, tmp_path, mode):
    recipe = written(tmp_path, 'linear_r2plus1d_ucf101', num_frames=2, trunk_mode=mode, decoder='pyav')
    card = tmp_path / 'r2plus1d_tiny.py'
    card.write_text(
        f"_base_ = '{CONFIG_ROOT}/encoders/r2plus1d_18.py'\nencoder = dict(clip=dict(num_frames=2, size=16))\n"
    )
    model, batch = built(resolve(toy, recipe, 'linear_fixed_norm', str(card)))
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    model(**batch, mode='loss')['loss_cls'].backward()
    assert all(torch.equal(before[name], value) for name, value in model.backbone.state_dict().items())
    assert isinstance(model.cls_head.fc_norm, torch.nn.Identity)


# --- whole runs -----


def test_a_run_changes_the_head_alone_and_goes_on_from_its_checkpoint(toy, tmp_path, monkeypatch):
    started = {}

    def train(self):
        started.update({name: value.clone() for name, value in self.model.state_dict().items()})
        return trained(self)

    trained = Runner.train
    monkeypatch.setattr(Runner, 'train', train)
    resolved = resolve(toy, written(tmp_path, 'linear_demo', **TINY | {'drop_path': 0.2}))
    outcome = resolved.protocol.run(resolved, tmp_path / 'work')
    assert outcome.scores.shape == (20, 10)
    assert 'only fc_norm and fc learn; the frozen encoder is in train mode while they do' in outcome.notes
    kept = read_training_state(CheckpointHook._files(resolved.folder(tmp_path / 'work'))[-1])
    moved = {name for name, value in kept['state_dict'].items() if not torch.equal(value, started[name])}
    assert moved == {f'cls_head.{name}' for name in ('fc_norm.weight', 'fc_norm.bias', 'fc.weight', 'fc.bias')}
    assert len(kept['optimizer']['state']) == 4
    again = resolved.protocol.run(resolved, tmp_path / 'work')
    assert np.array_equal(again.scores, outcome.scores)


@pytest.mark.integration
def test_the_whole_published_recipe_runs(toy, tmp_path):
    recipe = written(tmp_path, 'linear_vit_ssv2', batch_size=4, accumulate=2, epochs=1, warmup_epochs=0, decoder='pyav')
    resolved = resolve(toy, recipe)
    outcome = resolved.protocol.run(resolved, tmp_path / 'work')
    assert np.isfinite(outcome.scores).all()
    assert outcome.sampling['views'] == '2x3'


# --- bad input -----


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'layer_decay': 0.75}, 'layer_decay is 0.75, but the encoder is frozen in the protocol linear; leave it out'),
        ({'head_norm': False}, 'head_norm is False, but .* use linear_fixed_norm'),
        ({'trunk_mode': 'evl'}, "trunk_mode.*'evl'"),
    ],
)
def test_settings_that_contradict_the_protocol_are_refused(toy, tmp_path, changes, said):
    with pytest.raises(DataError, match=said):
        _ = resolve(toy, written(tmp_path, 'linear_demo', **changes)).config
