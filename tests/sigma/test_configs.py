"""Every pretraining config builds, states its cost, and has the published settings."""

import itertools
import re

import numpy as np
import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from sigma.data.cards import read_config
from sigma.flops import config_flops, device_hours
from sigma.registry import MODELS, TRANSFORMS
from tests.conftest import ROOT

PRETRAIN = ROOT / 'mmaction_configs' / 'pretrain'
PATHS = sorted(PRETRAIN.glob('*.py'))
DINO = 'vit_base_patch16_224.dino'  # the published image encoder
PUBLISHED = [path for path in PATHS if not path.stem.startswith(('demo_', 'own_', 'small_'))]
NUM_VIDEOS = {'k400': 240_436, 'ssv2': 168_913}

# Typed once more from the specification: (epochs, K, epsilon); None where it has none.
SETTINGS = {
    ('dino', 'b', 'k400'): (800, 3000, 0.05),
    ('dino', 'b', 'ssv2'): (800, 3000, 0.03),
    ('dino', 's', 'k400'): (800, 3000, 0.05),
    ('dino', 's', 'ssv2'): (2400, 3000, 0.05),
    ('mlp', 'b', 'k400'): (800, 4000, 0.05),
    ('mlp', 'b', 'ssv2'): (800, 4000, 0.05),
    ('mlp', 's', 'k400'): (800, 4000, 0.05),
    ('mlp', 's', 'ssv2'): (2400, 4000, 0.05),
}
VIDEOMAE_EPOCHS = {'b_k400': 800, 'b_ssv2': 800, 's_k400': 1600, 's_ssv2': 2400}
# top-1 of the paper's tables (and VideoMAE's model zoo), which the docstring has to state
EXPECTED = {
    'sigma-dino_vit-b_k400': 81.6,
    'sigma-dino_vit-b_ssv2': 70.9,
    'sigma-dino_vit-s_k400': 79.4,
    'sigma-dino_vit-s_ssv2': 68.6,
    'sigma-mlp_vit-b_k400': 80.2,
    'sigma-mlp_vit-b_ssv2': 70.4,
    'sigma-dino_vit-b_ssv2_motion': 71.2,
    'sigma-mlp_vit-b_ssv2_motion': 71.2,
    'videomae_vit-b_k400': 80.0,
    'videomae_vit-b_ssv2': 69.6,
    'videomae_vit-s_k400': 79.0,
    'videomae_vit-s_ssv2': 66.8,
    'sigma-mlp_vit-s_ssv2-mini': 60.3,
    'sigma-mlp_vit-s_ssv2-mini_k1000': 59.7,
    'sigma-mlp_vit-s_ssv2-mini_k6000': 60.1,
    'sigma-mlp_vit-s_ssv2-mini_l2': 36.4,
    'videomae_vit-s_ssv2-mini': 56.9,
}


@pytest.fixture(scope='module')
def configs():
    return {path.stem: read_config(path) for path in PATHS}


def built(config):
    settings = config.model.to_dict()
    if settings.get('projector', {}).get('type') == 'sigma.ImageProjector':
        name = settings['projector']['model']
        assert name == ('vit_small_patch14_dinov2' if settings['encoder'].get('arch') == 'tiny' else DINO)
        assert settings['projector']['checkpoint'].endswith(f'{name}.safetensors')
        settings['projector'] |= {'checkpoint': None, 'random_weights': True}
    with torch.device('meta'):
        return MODELS.build(settings)


def test_the_whole_matrix_of_the_paper_is_there(configs):
    wanted = {
        f'sigma-{target}_vit-{size}_{data}{mask}'
        for target, size, data, mask in itertools.product(('mlp', 'dino'), 'sb', ('k400', 'ssv2'), ('', '_motion'))
    }
    wanted |= {f'videomae_vit-{size}_{data}' for size in 'sb' for data in ('k400', 'ssv2')}
    assert len(wanted) == 20
    assert wanted <= set(configs)
    assert set(EXPECTED) <= set(configs)


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_model_pipeline_and_schedule_fit_together(path, configs):
    config = configs[path.stem]
    model = built(config)
    steps = config.train_dataloader.dataset.pipeline
    for step in steps:
        TRANSFORMS.build(step)
    by_type = {step.type: step for step in steps}
    mask = by_type.get('sigma.TubeMask') or by_type['sigma.MotionMask']
    assert tuple(mask.grid) == model.encoder.grid[-len(mask.grid) :]
    sampled = by_type.get('sigma.SampleDense') or by_type['sigma.SampleSegments']
    assert sampled.num_frames == model.encoder.grid[0] * model.encoder.tubelet[0]
    assert by_type.get('sigma.RunningCell', mask).get('num_masks', 1) == mask.get('num_masks', 1)
    warmup, cosine = config.param_scheduler
    assert warmup.end == cosine.begin
    assert cosine.end == config.train_cfg.get('max_epochs', config.train_cfg.get('max_steps'))
    if hasattr(model.projector, 'grid'):
        assert model.projector.grid == model.encoder.grid
    assert not [key for key in config if key.startswith('_')]


@pytest.mark.parametrize('path', PUBLISHED, ids=lambda path: path.stem)
def test_the_docstring_states_value_and_cost(path, configs):
    text, config = path.read_text().split('"""')[1], configs[path.stem]
    assert f'bash tools/dist_train.sh mmaction_configs/pretrain/{path.name} 8' in text
    assert 'Not run here.' in text
    if path.stem in EXPECTED:
        assert re.search(rf'Expected: {EXPECTED[path.stem]} top-1', text)
    else:
        assert 'Expected: not published' in text
    found = re.search(
        r'By FLOP count: (\d+) GFLOP per clip; (\d+) epochs of (?:every )?([\d,]+) videos take (\d+) H100-hours at '
        r'25 % of 990 TFLOP/s\.',
        text,
    )
    gflop, epochs, videos, hours = (int(group.replace(',', '')) for group in found.groups())
    total = sum(config_flops(config).values())
    assert gflop == round(total / 1e9)
    assert epochs == config.train_cfg.max_epochs
    assert videos == NUM_VIDEOS.get(config.train_dataloader.dataset.card, 100_000)
    assert hours == round(device_hours(total * epochs * videos))


@pytest.mark.parametrize('path', PUBLISHED, ids=lambda path: path.stem)
def test_the_docstring_says_how_to_have_the_published_batch(path, configs):
    text = path.read_text().split('"""')[1]
    published = re.search(r'clips? = (\d+)', text)
    here = re.search(r'Here 8 x (\d+), and the learning rate .* is\s+train_dataloader.batch_size=(\d+)', text)
    assert (here is not None) == (published is not None and 'videomae' not in path.stem)
    if here:
        assert int(here[1]) == configs[path.stem].train_dataloader.batch_size
        assert 8 * int(here[2]) == int(published[1])


@pytest.mark.parametrize(('target', 'size', 'data'), SETTINGS)
@pytest.mark.parametrize('mask', ['', '_motion'])
def test_settings_are_the_published_ones(target, size, data, mask, configs):
    config = configs[f'sigma-{target}_vit-{size}_{data}{mask}']
    epochs, num_prototypes, epsilon = SETTINGS[target, size, data]
    assert config.train_cfg.max_epochs == epochs
    assert (config.model.loss.num_prototypes, config.model.loss.epsilon) == (num_prototypes, epsilon)
    model = built(config)
    assert (model.encoder.embed_dims, model.decoder.bridge.out_features) == ((384, 192), (768, 384))[size == 'b']
    assert len(model.decoder.blocks) == 4
    assert model.decoder.blocks[0].attn.num_heads == (3, 6)[size == 'b']
    assert model.projector.feature_dim == (256 if target == 'mlp' else 768)
    steps = {step.type: step for step in config.train_dataloader.dataset.pipeline}
    assert steps['sigma.SampleDense'].stride_frames == (4 if data == 'k400' else 2)
    drawn = steps['sigma.MotionMask' if mask else 'sigma.TubeMask']
    assert drawn.mask_ratio == 0.9
    assert config.train_dataloader.dataset.card == data
    assert config.optim_wrapper.type == 'sigma.Bf16OptimWrapper'
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.lr, tuple(optimizer.betas), optimizer.weight_decay) == (1.5e-4, (0.9, 0.95), 0.05)
    assert (model.sinkhorn_loss.num_iterations, model.sinkhorn_loss.temperature) == (10, 0.1)
    assert not model.sinkhorn_loss.soft_codes
    assert 'clip_grad' not in config.optim_wrapper
    assert steps['sigma.MultiScaleCrop'].size == 224
    assert 'sigma.FlipClip' not in steps
    assert TRANSFORMS.build(steps['sigma.MultiScaleCrop']).scales == (1, 0.875, 0.75, 0.66)


@pytest.mark.parametrize(('name', 'epochs'), VIDEOMAE_EPOCHS.items())
def test_videomae_is_trained_as_long_as_its_score_asks(name, epochs, configs):
    assert configs[f'videomae_vit-{name}'].train_cfg.max_epochs == epochs


def test_ablations_depart_in_one_thing(configs):
    base = configs['sigma-mlp_vit-s_ssv2-mini'].to_dict()
    for name, loss in {
        'k1000': base['model']['loss'] | {'num_prototypes': 1000},
        'k6000': base['model']['loss'] | {'num_prototypes': 6000},
        'l2': {'type': 'sigma.FeatureL2'},
    }.items():
        other = configs[f'sigma-mlp_vit-s_ssv2-mini_{name}'].to_dict()
        assert other['model'].pop('loss') == loss
        assert other == base | {'model': {k: v for k, v in base['model'].items() if k != 'loss'}}
    assert base['model']['loss']['num_prototypes'] == 4000
    motion, tubes = (configs[f'sigma-dino_vit-b_ssv2{mask}'].to_dict() for mask in ('_motion', ''))
    for config in (motion, tubes):
        config['train_dataloader']['dataset']['pipeline'].pop(4)
    assert motion == tubes
    whole = configs['videomae_vit-s_ssv2-mini']
    assert whole.model.type == 'sigma.VideoMAE'
    assert built(whole).encoder.embed_dims == 384


@pytest.mark.parametrize('path', PUBLISHED, ids=lambda path: path.stem)
@pytest.mark.parametrize('global_batch', [256, 480])
def test_the_learning_rate_of_every_step_is_the_published_one(path, global_batch, configs):
    config, steps_an_epoch = configs[path.stem], 3
    assert config.auto_scale_lr == {'enable': True, 'base_batch_size': 256}
    num_masks = 4 if 'masks4' in path.stem else 1
    warm_up, total = (steps_an_epoch * epochs // num_masks for epochs in (40, config.train_cfg.max_epochs * num_masks))
    peak, least = (rate * num_masks * global_batch / 256 for rate in (1.5e-4, 1e-5))
    steps = np.arange(total)
    falling = least + (peak - least) / 2 * (1 + np.cos(np.pi * (steps - warm_up) / (total - warm_up)))
    wanted = np.where(steps < warm_up, peak * steps / (warm_up - 1), falling)
    optimizer = torch.optim.SGD(
        [torch.nn.Parameter(torch.zeros(1))], config.optim_wrapper.optimizer.lr * global_batch / 256
    )
    schedulers = [
        PARAM_SCHEDULERS.get(settings.type).build_iter_from_epoch(
            optimizer=optimizer,
            epoch_length=steps_an_epoch,
            **{k: v for k, v in settings.items() if k not in ('type', 'convert_to_iter_based')},
        )
        for settings in config.param_scheduler
    ]
    found = []
    for _ in steps:
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=2e-6 * peak)


def test_four_masks_are_four_clips_to_epochs_warm_up_and_learning_rate(configs):
    masks, one = configs['sigma-dino_vit-b_ssv2_masks4-half'], configs['sigma-dino_vit-b_ssv2']
    steps = {step.type: step for step in masks.train_dataloader.dataset.pipeline}
    assert steps['sigma.TubeMask'].num_masks == steps['sigma.RunningCell'].num_masks == 4
    assert masks.model == one.model
    assert masks.auto_scale_lr == one.auto_scale_lr
    assert masks.optim_wrapper.optimizer.lr == pytest.approx(4 * one.optim_wrapper.optimizer.lr)
    assert 4 * masks.train_cfg.max_epochs == one.train_cfg.max_epochs
    for scheduler, other in zip(masks.param_scheduler, one.param_scheduler):
        assert (4 * scheduler.begin, 4 * scheduler.end) == (other.begin, other.end)
        assert scheduler.get('eta_min_ratio') == other.get('eta_min_ratio')


def test_the_pipeline_along_the_vectors_of_the_stream_builds(configs):
    for data in ('k400', 'ssv2'):
        steps = configs[f'sigma-mlp_vit-b_{data}'].codec_pipeline
        names = [step.type for step in steps]
        assert 'sigma.DecodeFramesAndVectors' in names
        assert 'sigma.DecodeFrames' not in names
        assert [TRANSFORMS.build(step) for step in steps][4].motion == 'codec'


@pytest.mark.parametrize('value', ["o'brien", 'say "hi"', 'back\\slash', 'a\nb', '視\u2028', '{{$HOME:x}}'])
def test_a_variable_of_a_config_may_hold_any_character(tmp_path, monkeypatch, value):
    from sigma.configs import read_plain
    from sigma.data.cards import read_config

    monkeypatch.setenv('SIGMA_PLACE', value)
    monkeypatch.setenv('SIGMA_NUMBER', '7')
    text = "a = '{{$SIGMA_PLACE:x}}/1'\nb = \"{{$SIGMA_PLACE:x}}\"\nc = '{{$SIGMA_UNSET:y}}'\n"
    wanted = {'a': f'{value}/1', 'b': value, 'c': 'y'}
    (tmp_path / 'mine.py').write_text(text)
    assert read_plain(tmp_path / 'mine.py') == wanted
    assert read_config(tmp_path / 'mine.py').to_dict() == wanted
    (tmp_path / 'mine.py').write_text(text + "d = {{'$SIGMA_NUMBER:3'}}\n")  # code, as MMEngine writes it
    assert read_config(tmp_path / 'mine.py').to_dict() == wanted | {'d': 7}


def test_an_empty_variable_is_one_that_is_not_set(tmp_path, monkeypatch):
    """Otherwise `$SIGMA_DATA/toy` would be `/toy`."""
    from sigma.data.cards import load_dataset_card

    monkeypatch.setenv('SIGMA_DATA', '')
    assert load_dataset_card('toy').info['data_root'] == 'data/toy'
