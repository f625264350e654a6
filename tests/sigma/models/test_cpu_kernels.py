"""The optional kernels agree with torch's own, follow their parameters, change no name, and can be switched off."""

import copy
import importlib.util
import pickle
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from sigma.models import cpu_kernels  # before timm: it fixes what torchvision lacks
from sigma.models.cpu_kernels import PackedLinear, pack_linears

needs_packed = pytest.mark.skipif(not cpu_kernels.HAS_PACKED, reason='this processor has no products in bf16')


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
    """Number of rows passed to every layer that used its packed weights."""
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


# --- the switch ---


@pytest.fixture
def switched_on_again():
    yield
    cpu_kernels.use_cpu_kernels(True)


@needs_packed
def test_switched_off_it_is_torchs_own_and_the_numbers_agree(calls, switched_on_again):
    from sigma.models import ImageProjector

    torch.manual_seed(0)
    projector = ImageProjector('vit_tiny_patch16_224', grid=(1, 4, 4), image_size=64, random_weights=True)
    clip = torch.randn(2, 3, 2, 64, 64)
    exact = projector.features(clip)
    with torch.autocast('cpu', torch.bfloat16):
        fast = projector.features(clip).float()
        num_calls = len(calls)
        cpu_kernels.use_cpu_kernels(False)
        own = projector.features(clip).float()
    assert num_calls == len(calls) == 48
    error, own_error = ((x - exact).norm() / exact.norm() for x in (fast, own))
    assert 0 < error < 1.2 * own_error < 0.02


def test_with_and_without_the_kernels_attention_agrees(monkeypatch, switched_on_again):
    from sigma.models.attention import attend

    monkeypatch.setattr(cpu_kernels, 'HAS_MATRIX', True)
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, 20, 8).bfloat16().requires_grad_() for _ in range(3)]
    found = []
    for enabled in (True, False):
        cpu_kernels.use_cpu_kernels(enabled)
        assert cpu_kernels.is_matrix_faster('cpu', torch.bfloat16, 20) == enabled
        out = attend(*inputs)
        found.append([x.float() for x in (out.detach(), *torch.autograd.grad(out.square().sum(), inputs))])
    for ours, own in zip(*found):
        assert (ours - own).norm() / own.norm() < 0.02


@pytest.mark.parametrize(('value', 'enabled'), [('0', False), ('1', True), (None, True)])
def test_the_environment_variable_switches_them_off(monkeypatch, value, enabled):
    monkeypatch.delenv('SIGMA_CPU_KERNELS', raising=False)
    if value is not None:
        monkeypatch.setenv('SIGMA_CPU_KERNELS', value)
    spec = importlib.util.spec_from_file_location('fresh_cpu_kernels', cpu_kernels.__file__)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    fresh.HAS_MATRIX = True
    assert fresh.is_matrix_faster('cpu', torch.bfloat16, 20) == enabled


def test_nothing_else_calls_private_operators_of_torch():
    private = re.compile(r'torch\._[a-z]|torch\.ops\.\w+\._|torch\._C')
    root = Path(__file__).resolve().parents[3] / 'sigma'
    found = [str(path.relative_to(root)) for path in root.rglob('*.py') if private.search(path.read_text())]
    assert found == ['models/cpu_kernels.py']
