"""Both attention kernels agree, each runs where it should, and neither keeps an N x N matrix."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from sigma.models import ImageProjector, cpu_kernels
from sigma.models.attention import Attention, VideoAttention, attend
from sigma.models.cpu_kernels import MatrixAttention, is_matrix_faster

HEADS, TOKENS, WIDTH = 3, 20, 8


@pytest.fixture(autouse=True)
def on_a_processor_for_bf16(monkeypatch):
    monkeypatch.setattr(cpu_kernels, 'HAS_MATRIX', True)


def query_key_value(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Three tensors (2, 3, 20, 8) with the strides that a qkv Linear produces."""
    torch.manual_seed(0)
    qkv = torch.randn(2, TOKENS, 3, HEADS, WIDTH).to(dtype)
    return [x.detach().requires_grad_() for x in qkv.permute(2, 0, 3, 1, 4).unbind(0)]


def with_gradients(function, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Output and the three gradients, in fp32."""
    out = function(*inputs)
    weights = torch.linspace(-1, 1, out.numel()).view(out.shape).to(out.dtype)
    return [x.float() for x in (out.detach(), *torch.autograd.grad(out, inputs, weights))]


def plainly(query, key, value):
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(query, key, value)


@pytest.mark.parametrize('heads_at_once', [1, 4, 6])  # of 6; with 4, the second chunk has 2
def test_the_matrix_gives_the_formulas_numbers_and_gradients(monkeypatch, heads_at_once):
    monkeypatch.setattr(cpu_kernels, 'MATRIX_VALUES', heads_at_once * TOKENS**2)
    inputs = query_key_value()
    for ours, known in zip(with_gradients(MatrixAttention.apply, inputs), with_gradients(plainly, inputs)):
        torch.testing.assert_close(ours, known, rtol=1e-5, atol=1e-6)


def test_in_bf16_the_matrix_is_as_near_to_fp32_as_fused_attention():
    exact = with_gradients(plainly, query_key_value())
    low = query_key_value(torch.bfloat16)
    ways = [with_gradients(way, low) for way in (MatrixAttention.apply, F.scaled_dot_product_attention)]
    for known, ours, fused in zip(exact, *ways):
        error, usual = ((found - known).norm() / known.norm() for found in (ours, fused))
        assert 0 < error < 0.02
        assert error < 1.5 * usual


@pytest.mark.parametrize(
    ('device', 'dtype', 'num_tokens', 'fused'),
    [
        ('cpu', torch.float32, 160, True),
        ('cpu', torch.bfloat16, 160, False),
        ('cpu', torch.bfloat16, 2048, False),
        ('cpu', torch.bfloat16, 2049, True),
        ('cuda', torch.bfloat16, 160, True),
        ('cuda', torch.float32, 1568, True),
    ],
)
def test_where_attention_is_fused(device, dtype, num_tokens, fused):
    assert is_matrix_faster(device, dtype, num_tokens) != fused


def test_without_instructions_for_bf16_attention_stays_fused(monkeypatch):
    monkeypatch.setattr(cpu_kernels, 'HAS_MATRIX', False)
    assert not is_matrix_faster('cpu', torch.bfloat16, 160)


def test_each_way_runs_where_it_is_meant(monkeypatch):
    ran = []
    monkeypatch.setattr(F, 'scaled_dot_product_attention', lambda q, k, v: ran.append('fused') or q)
    monkeypatch.setattr(MatrixAttention, 'apply', lambda q, k, v: ran.append('matrix') or q)
    attend(*query_key_value())
    attend(*query_key_value(torch.bfloat16))
    assert ran == ['fused', 'matrix']


def test_no_matrix_is_kept_for_the_backward_pass():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.shape) or x, lambda x: x):
        out = MatrixAttention.apply(*query_key_value())
    assert out.grad_fn is not None
    assert kept == [(2 * HEADS, TOKENS, WIDTH)] * 3


def test_the_module_is_timms_with_the_same_weights():
    torch.manual_seed(0)
    theirs, ours = (kind(24, num_heads=3, qkv_bias=True) for kind in (Attention, VideoAttention))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    tokens = torch.randn(2, 10, 24)
    torch.testing.assert_close(ours(tokens), theirs(tokens))
    mask = torch.rand(2, 3, 10, 10)
    assert not torch.allclose(theirs(tokens, mask), theirs(tokens), atol=1e-3)
    torch.testing.assert_close(ours(tokens, mask), theirs(tokens, mask))
    torch.testing.assert_close(ours(tokens, is_causal=True), theirs(tokens, is_causal=True))


def test_an_image_encoders_switch_follows_the_precision():
    projector = ImageProjector('vit_tiny_patch16_224', grid=(1, 4, 4), image_size=64, random_weights=True)
    clip = torch.randn(1, 3, 2, 64, 64)
    full = projector.features(clip)
    assert all(block.attn.fused_attn for block in projector.encoder.blocks)
    with torch.autocast('cpu', torch.bfloat16):
        half = projector.features(clip).float()
    assert not any(block.attn.fused_attn for block in projector.encoder.blocks)
    assert (half - full).norm() / full.norm() < 0.02
    projector.features(clip)
    assert all(block.attn.fused_attn for block in projector.encoder.blocks)


def test_a_compiled_module_gives_the_same():
    torch.manual_seed(0)
    module, tokens = VideoAttention(24, num_heads=3, qkv_bias=True), torch.randn(2, 10, 24)
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(torch.compile(module, backend='eager')(tokens), module(tokens))
