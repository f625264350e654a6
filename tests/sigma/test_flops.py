"""Operations by formula against torch's counter, and against figures computed by hand."""

import logging
import sys

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sigma import flops
from tests.conftest import ROOT
from tests.sigma.test_many_masks import batch, tiny

PRETRAIN = ROOT / 'mmaction_configs' / 'pretrain'


@pytest.mark.parametrize('projector', ['mlp', 'image', 'pixels'])
@pytest.mark.parametrize(('num_masks', 'half'), [(None, False), (3, False), (2, True)])
def test_formula_agrees_with_the_counter(projector, num_masks, half, monkeypatch):
    # The counter sees half of Sinkhorn's rounds (those that torch makes a product of matrices); the formula none.
    module = sys.modules['sigma.losses.sinkhorn']  # its function of the same name hides it
    codes = lambda scores, *_: ([s.argmax(dim=1) for s in scores], torch.zeros(len(scores)))  # noqa: E731
    monkeypatch.setattr(module, 'hard_codes_and_error', codes)
    # Many prototypes, so that each part of the formula weighs more than the margin.
    model = tiny(projector, {'type': 'sigma.SinkhornLoss', 'num_prototypes': 2000}).train()
    phases = torch.zeros(num_masks, dtype=torch.int64) if half else None
    data = model.data_preprocessor(batch(num_masks, **({'decode_phase': [phases] * 3} if half else {})))
    # Plain attention: the fused backward computes its scores anew, which a formula of the method does not count.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        losses = model(**data, mode='loss')
        sum(value for key, value in losses.items() if 'loss' in key).backward()
    parts = flops.pretraining_flops(model, data['visible'].shape[-1], data['masked'].shape[-1], num_masks or 1)
    assert counter.get_total_flops() == pytest.approx(3 * sum(parts.values()), rel=0.01)


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
    assert logging.root.manager.disable == 0  # what it silences it lets speak again


def test_an_image_encoder_without_attention_is_refused():
    from sigma.models import ImageProjector

    model = tiny('mlp')
    model.projector = ImageProjector('resnet18', grid=(2, 4, 4), image_size=64, random_weights=True)
    with pytest.raises(ValueError, match='plain ViTs'):
        flops.pretraining_flops(model, 8, 24)
