"""Laid out weights give what the layers gave before, follow their parameters, and change no name."""

import copy
import pickle

import pytest
import torch
from torch import nn

from sigma.models import packed  # before timm: mends what is broken below us
from sigma.models.packed import PackedLinear, pack_linears

needs_packed = pytest.mark.skipif(not packed.HAS_PACKED, reason='this processor has no products in bf16')


def encoder(name: str = 'vit_tiny_patch16_224', **options) -> nn.Module:
    import timm

    torch.manual_seed(0)
    return timm.create_model(name, num_classes=0, img_size=64, **options).eval().requires_grad_(False)


@torch.no_grad()
def features(model: nn.Module, precision: str = 'bf16') -> torch.Tensor:
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.autocast('cpu', torch.bfloat16, enabled=precision == 'bf16'):
        return model.forward_features(images).float()


@pytest.fixture
def calls(monkeypatch) -> list[int]:
    """Rows of every layer that was laid out."""
    rows, pack = [], PackedLinear._pack
    monkeypatch.setattr(PackedLinear, '_pack', lambda self, count: rows.append(count) or pack(self, count))
    return rows


def test_names_and_numbers_in_fp32_stay(calls):
    model = encoder()
    names, before = list(model.state_dict()), features(model, 'fp32')
    pack_linears(model)
    assert list(model.state_dict()) == names
    assert sum(isinstance(module, PackedLinear) for module in model.modules()) == 4 * 12
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(features(model, 'fp32'), before)
    assert calls == []


@needs_packed
def test_in_bf16_it_is_as_near_to_fp32_as_before(calls):
    model = encoder()
    exact, before = features(model, 'fp32'), features(model)
    pack_linears(model)
    found = features(model)
    assert calls == [4 * 17] * 48
    error, error_before = ((x - exact).norm() / exact.norm() for x in (found, before))
    assert 0 < error < 1.1 * error_before
    assert torch.equal(features(model), found)


@needs_packed
def test_a_layer_without_bias_and_the_gelu():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 16)
    for has_bias in (True, False):
        linear = nn.Linear(16, 32, bias=has_bias).requires_grad_(False)
        for has_gelu in (True, False):
            layer = PackedLinear(linear, has_gelu)
            with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
                found = layer(x)
            assert found.dtype == torch.bfloat16
            torch.testing.assert_close(found.float(), layer(x), atol=0.02, rtol=0.02)


@needs_packed
def test_other_weights_are_laid_out_anew_and_copies_have_their_own():
    model, other = encoder(), encoder()
    for parameter in other.parameters():
        parameter.mul_(1.5)
    pack_linears(model)
    pack_linears(other)
    first, wanted = features(model), features(other)
    twin, read = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    model.load_state_dict(other.state_dict())
    assert torch.equal(features(model), wanted)
    assert not torch.equal(first, wanted)
    assert torch.equal(features(twin), first)
    assert torch.equal(features(read), first)


def test_gelu_joins_where_it_is_the_exact_one_behind_the_layer():
    for name in ('vit_tiny_patch16_224', 'eva02_tiny_patch14_224'):  # the latter has SwiGLU
        model = encoder(name)
        before = features(model, 'fp32')
        pack_linears(model)
        assert torch.equal(features(model, 'fp32'), before)
    tanh = encoder(act_layer='gelu_tanh')
    before = features(tanh, 'fp32')
    pack_linears(tanh)
    assert not tanh.blocks[0].mlp.fc1.has_gelu
    assert torch.equal(features(tanh, 'fp32'), before)


def test_where_a_gradient_is_wanted_or_blocks_are_compiled_it_is_torchs_own(calls, monkeypatch):
    layer = PackedLinear(nn.Linear(16, 32), has_gelu=True)
    with torch.autocast('cpu', torch.bfloat16):
        layer(torch.randn(3, 16)).sum().backward()
    assert layer.weight.grad is not None
    monkeypatch.setattr(torch.compiler, 'is_compiling', lambda: True)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        layer(torch.randn(3, 16))
    assert calls == []
