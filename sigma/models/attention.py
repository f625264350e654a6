"""Attention by the fastest way that this device, precision and length have: the one place where it is chosen.

B clips, A heads, N tokens, d width of a head.
"""

import torch
import torch.nn.functional as F
from timm.layers import Attention
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Attention matrices are formed for as many heads at a time as stay below this, 8 MB of bf16: a CPU's cache holds them.
MATRIX_VALUES = 2**22
# Processors with instructions for bf16; not those with Intel's tiles too, where it was not measured.
_HAS = torch.cpu.get_capabilities()
MATRIX_IN_BF16 = bool(_HAS.get('avx512_bf16') and not _HAS.get('amx_tile'))


def is_fused(device: str, dtype: torch.dtype, num_tokens: int) -> bool:
    """Whether torch's fused attention is the faster one: everywhere, but in bf16 on some CPUs for up to 2,048 tokens.

    There (`MATRIX_IN_BF16`) its kernels multiply small blocks, far below the rate of oneDNN's products. Processor time
    of forward and backward of two clips on one core of an EPYC with avx512_bf16, torch 2.13, fused and by
    `MatrixAttention`: 6 heads of 160 tokens 8.5 and 3.5 ms, 3 heads of 1,568 tokens 178 and 113 ms, 6 heads 376 and
    223 ms. In fp32 the fused one is faster: of 1,568 tokens 183 and 215 ms, 366 and 412 ms.
    """
    is_by_matrix = device == 'cpu' and dtype == torch.bfloat16 and MATRIX_IN_BF16
    return not is_by_matrix or num_tokens**2 > MATRIX_VALUES


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query key^T / sqrt(d)) value: (B, A, N, d) each -> (B, A, N, d), with no mask and no dropout."""
    if is_fused(query.device.type, query.dtype, query.shape[2]):
        return F.scaled_dot_product_attention(query, key, value)
    return _by_matrix(query, key, value)


@torch.compiler.disable  # products into given memory; around it a block compiles as before
def _by_matrix(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return MatrixAttention.apply(query, key, value)


class MatrixAttention(torch.autograd.Function):
    """Attention through its matrix (N, N), formed for a few heads at a time in memory that is used again.

    Nothing of that size is kept: the backward pass forms the matrices anew, as the fused one does.
    """

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (x.flatten(0, 1).contiguous() for x in (query, key, value))  # (B*A, N, d)
        q = q * q.shape[-1] ** -0.5
        out, chunks, (scores, weights) = torch.empty_like(q), *_chunks(q, 2)
        for heads in chunks:
            torch.bmm(_weights(q, k, heads, scores, weights), v[heads], out=out[heads])
        ctx.save_for_backward(q, k, v)
        return out.view_as(query)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        q, k, v = ctx.saved_tensors
        shape, grad = grad.shape, grad.flatten(0, 1).contiguous()
        by_query, by_key, by_value = (torch.empty_like(x) for x in (q, k, v))
        chunks, (scores, weights, by_weights) = _chunks(q, 3)
        for heads in chunks:
            chosen = _weights(q, k, heads, scores, weights)
            torch.bmm(chosen.mT, grad[heads], out=by_value[heads])
            moved = torch.bmm(grad[heads], v[heads].mT, out=by_weights[: len(chosen)])
            by_scores = torch._softmax_backward_data(moved, chosen, -1, chosen.dtype, grad_input=scores[: len(chosen)])
            torch.bmm(by_scores, k[heads], out=by_query[heads])
            torch.bmm(by_scores.mT, q[heads], out=by_key[heads])
        by_query *= shape[-1] ** -0.5
        return by_query.view(shape), by_key.view(shape), by_value.view(shape)


def _chunks(q: Tensor, num_matrices: int) -> tuple[list[slice], list[Tensor]]:
    """Slices of the heads (B*A, N, d), and memory for matrices of the largest of them."""
    num_heads, num_tokens = q.shape[:2]
    step = max(1, min(num_heads, MATRIX_VALUES // num_tokens**2))
    memory = [q.new_empty(step, num_tokens, num_tokens) for _ in range(num_matrices)]
    return [slice(i, min(i + step, num_heads)) for i in range(0, num_heads, step)], memory


def _weights(q: Tensor, k: Tensor, heads: slice, scores: Tensor, weights: Tensor) -> Tensor:
    count = heads.stop - heads.start
    torch.bmm(q[heads], k[heads].mT, out=scores[:count])
    return torch.softmax(scores[:count], dim=-1, out=weights[:count])


class VideoAttention(Attention):
    """timm's attention, its middle by `attend`."""

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Tokens (B, N, D) -> (B, N, D). With a mask it is timm's own."""
        if attn_mask is not None or is_causal:
            return super().forward(x, attn_mask, is_causal)
        batch, num_tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, num_tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        out = attend(*qkv.unbind(0)).transpose(1, 2).reshape(batch, num_tokens, self.attn_dim)
        return self.proj(out)


def choose_attention(encoder: nn.Module, device: str, dtype: torch.dtype, num_tokens: int) -> None:
    """Set timm's own switch in every attention of an encoder that is not ours."""
    for module in encoder.modules():
        if hasattr(module, 'fused_attn'):
            module.fused_attn = is_fused(device, dtype, num_tokens)
