"""Operations by formula, against torch's counter and against numbers computed by hand."""

import contextlib
import logging
import sys

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sigma import flops
from tests.conftest import ROOT
from tests.sigma.data.test_many_masks import batch, tiny

PRETRAIN = ROOT / 'mmaction_configs' / 'pretrain'


@pytest.mark.parametrize('projector', ['mlp', 'image', 'pixels'])
@pytest.mark.parametrize(('num_masks', 'half'), [(None, False), (3, False), (2, True)])
def test_formula_agrees_with_the_counter(projector, num_masks, half, monkeypatch):
    # The counter sees half of Sinkhorn's rounds (those that torch makes a product of matrices); the formula none.
    module = sys.modules['sigma.losses.sinkhorn']  # the package has a function of the same name
    codes = lambda scores, *_: ([s.argmax(dim=1) for s in scores], torch.zeros(len(scores)))  # noqa: E731
    monkeypatch.setattr(module, 'hard_codes_and_error', codes)
    # Many prototypes, so that each part of the formula weighs more than the margin.
    model = tiny(projector, {'type': 'sigma.SinkhornLoss', 'num_prototypes': 2000}).train()
    phases = torch.zeros(num_masks, dtype=torch.int64) if half else None
    data = model.data_preprocessor(batch(num_masks, **({'decode_phase': [phases] * 3} if half else {})))
    # Plain attention: the backward pass of fused attention recomputes its scores, which the formula does not count.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        losses = model(**data, mode='loss')
        sum(value for key, value in losses.items() if 'loss' in key).backward()
    parts = flops.pretraining_flops(model, data['visible'].shape[-1], data['masked'].shape[-1], num_masks or 1)
    assert counter.get_total_flops() == pytest.approx(3 * sum(parts.values()), rel=0.01)


@pytest.mark.parametrize(
    'name',
    [
        'sigma-mlp_vit-s_k400',
        'sigma-mlp_vit-b_ssv2_motion',
        'sigma-mlp_vit-s_ssv2-mini_l2',
        'sigma-dino_vit-s_ssv2',
        'sigma-dino_vit-b_ssv2_masks4-half',
        'videomae_vit-b_k400',
    ],
)
def test_published_sizes_agree_with_the_counter(name, monkeypatch):
    """Whole steps of shipped configs on the meta device, which multiplies nothing and is counted all the same."""
    from sigma.data.cards import read_config
    from sigma.registry import MODELS

    monkeypatch.setattr(torch, 'is_autocast_enabled', lambda device: False)  # knows no meta device
    monkeypatch.setattr(torch, 'autocast', lambda *_, **__: contextlib.nullcontext())
    codes = lambda scores, *_: ([s.argmax(dim=1) for s in scores], scores[0].new_zeros(2))  # noqa: E731
    monkeypatch.setattr(sys.modules['sigma.losses.sinkhorn'], 'hard_codes_and_error', codes)
    config = read_config(PRETRAIN / f'{name}.py')
    settings = config.model.to_dict()
    if 'dino' in name:
        settings['projector'] |= {'checkpoint': None, 'random_weights': True}
    with torch.device('meta'):
        model = MODELS.build(settings).train()
        clip = torch.zeros(2, 3, 16, 224, 224)
        masks, predicted = ((2, 4), 704) if 'masks4-half' in name else ((2,), 1408)
        visible, masked = (torch.zeros(*masks, count, dtype=torch.int64) for count in (160, predicted))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        losses = model(clip, clip, visible, masked, mode='loss')
        sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert counter.get_total_flops() == pytest.approx(2 * sum(flops.config_flops(config).values()), rel=0.01)


def test_parts_of_the_published_size():
    from sigma.data.cards import read_config
    from sigma.registry import MODELS  # noqa: F401

    parts = flops.config_flops(read_config(PRETRAIN / 'sigma-dino_vit-b_ssv2.py'))
    giga = {name: value / 1e9 for name, value in parts.items()}
    # Twelve blocks of 24 N D^2 + 4 N^2 D; 160 visible and 1408 masked tokens; the teacher sees 8 frames of 197 tokens.
    assert giga['encoder'] == pytest.approx(3 * 12 * (24 * 160 * 768**2 + 4 * 160**2 * 768) / 1e9)
    assert giga['projector'] == pytest.approx(
        8 * (12 * (24 * 197 * 768**2 + 4 * 197**2 * 768) + 2 * 768 * 768 * 196) / 1e9
    )
    assert giga['prototypes'] == pytest.approx(4 * 2 * 1408 * 768 * 3000 / 1e9)
    assert giga['embedding'] == pytest.approx(2 * 2 * 1536 * 768 * 160 / 1e9)


def test_hours_of_a_device():
    assert flops.device_hours(990e12 * 3600) == 4  # at a quarter of the peak
    assert flops.device_hours(1e15 * 3600, tflops=1000, share=1) == 1


def test_the_command_prints_each_config_and_refuses_what_it_cannot_count(capsys, tmp_path):
    assert flops.main([str(PRETRAIN / 'videomae_vit-b_ssv2.py')]) == 0
    out = capsys.readouterr().out
    assert 'videomae_vit-b_ssv2.py: 202.3 GFLOP' in out
    assert 'encoder 84.4' in out
    (tmp_path / 'none.py').write_text(
        "model = dict(type='sigma.VideoMAE', encoder=dict(type='sigma.VideoViT', arch='tiny'), "
        "decoder=dict(type='sigma.MaskedDecoder', embed_dims=96))\n"
        'train_dataloader = dict(dataset=dict(pipeline=[]))\n'
    )
    assert flops.main([str(tmp_path / 'none.py')]) == 2
    assert 'draws no mask' in capsys.readouterr().err
    assert flops.main([str(tmp_path / 'absent.py')]) == 2
    assert logging.root.manager.disable == 0  # logging is back on


def test_an_image_encoder_without_attention_is_refused():
    from sigma.models import ImageProjector

    model = tiny('mlp')
    model.projector = ImageProjector('resnet18', grid=(2, 4, 4), image_size=64, random_weights=True)
    with pytest.raises(ValueError, match='plain ViTs'):
        flops.pretraining_flops(model, 8, 24)
