"""Faster kernels for CPUs with bf16 instructions. Optional: everything works without them, only slower.

Two of them, both under bf16 autocast only:

    MatrixAttention    attention through its explicit matrix; torch's fused kernel multiplies small blocks there
    PackedLinear       frozen Linear layers whose weights oneDNN has packed once

Results agree with torch's own kernels up to bf16 rounding. To switch them off, set the environment variable
`SIGMA_CPU_KERNELS=0` or call `use_cpu_kernels(False)`. This is the only module that calls private torch operators; a
torch without them, or a CPU without the instructions, gets torch's own kernels.

B clips, A heads, N tokens, d width of a head, D width before and E width after a linear layer.
"""

import os

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Attention matrices are formed for a few heads at a time, at most this many values: 8 MB of bf16 fit a CPU's cache.
MATRIX_VALUES = 2**22
_CPU = torch.cpu.get_capabilities()
# Not on CPUs that also have Intel's AMX tiles: there it was never measured.
HAS_MATRIX = bool(_CPU.get('avx512_bf16')) and not _CPU.get('amx_tile') and hasattr(torch, '_softmax_backward_data')
HAS_PACKED = bool(_CPU.get('avx512_bf16')) and hasattr(torch.ops.mkldnn, '_linear_pointwise')

_enabled = os.environ.get('SIGMA_CPU_KERNELS', '1') != '0'


def use_cpu_kernels(enabled: bool) -> None:
    """Switch the kernels of this module on or off in this process; models that are already built follow."""
    global _enabled
    _enabled = enabled


# --- attention ---


def is_matrix_faster(device: str, dtype: torch.dtype, num_tokens: int) -> bool:
    """Whether `attend_by_matrix` beats torch's fused attention: in bf16 on some CPUs, for up to 2,048 tokens.

    CPU time of forward and backward for two clips, one core of an EPYC with avx512_bf16, torch 2.13, in ms (fused /
    by matrix). bf16: 8.5 / 3.5 for 6 heads of 160 tokens, 178 / 113 for 3 heads of 1,568 tokens, 376 / 223 for 6.
    In fp32 the fused kernel wins: 183 / 215 and 366 / 412 for 3 and 6 heads of 1,568 tokens.
    """
    usable = _enabled and HAS_MATRIX and device == 'cpu' and dtype == torch.bfloat16
    return usable and num_tokens**2 <= MATRIX_VALUES


@torch.compiler.disable  # it writes into preallocated memory; the block around it still compiles
def attend_by_matrix(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query key^T / sqrt(d)) value: (B, A, N, d) each -> (B, A, N, d)."""
    return MatrixAttention.apply(query, key, value)


class MatrixAttention(torch.autograd.Function):
    """Attention through its (N, N) matrix, formed for a few heads at a time in memory that is reused.

    The matrices are not kept: the backward pass computes them again, as torch's fused kernel does.
    """

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (x.flatten(0, 1).contiguous() for x in (query, key, value))  # (B*A, N, d)
        q = q * q.shape[-1] ** -0.5
        out = torch.empty_like(q)
        chunks, (scores, weights) = _chunks(q, 2)
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
    """Slices over the heads of q (B*A, N, d), and `num_matrices` buffers of (N, N) matrices for the largest slice."""
    num_heads, num_tokens = q.shape[:2]
    step = max(1, min(num_heads, MATRIX_VALUES // num_tokens**2))
    memory = [q.new_empty(step, num_tokens, num_tokens) for _ in range(num_matrices)]
    return [slice(i, min(i + step, num_heads)) for i in range(0, num_heads, step)], memory


def _weights(q: Tensor, k: Tensor, heads: slice, scores: Tensor, weights: Tensor) -> Tensor:
    """Attention weights (heads, N, N) of some heads, written into `weights`; `scores` is scratch memory."""
    count = heads.stop - heads.start
    torch.bmm(q[heads], k[heads].mT, out=scores[:count])
    return torch.softmax(scores[:count], dim=-1, out=weights[:count])


# --- frozen linear layers ---


class PackedLinear(nn.Linear):
    """A frozen `Linear` that takes over the parameters of another, and the GELU after it, if there is one.

    Under bf16 autocast on a CPU, torch rounds and packs the weights at every call, copies the bias into every row, and
    reads the result once more for the GELU. Here oneDNN keeps the packed weights and does the rest in registers. CPU
    time of an image encoder ViT-B on 16 images, one core of an EPYC with avx512_bf16, torch 2.13: 3.2 s instead of
    3.8 s. On other devices and in other precisions it is torch's Linear. Cost: a second copy of the weights, in bf16.
    """

    def __init__(self, linear: nn.Linear, has_gelu: bool = False) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device='meta')
        self.weight, self.bias, self.has_gelu = linear.weight, linear.bias, has_gelu
        self._packed: tuple[Tensor, Tensor | None] | None = None
        self._packed_from: tuple = ()

    def __getstate__(self) -> dict:
        """State without the packed weights, which are neither copied nor saved."""
        return self.__dict__ | {'_packed': None, '_packed_from': ()}

    def forward(self, x: Tensor) -> Tensor:
        """(..., N, D) -> (..., N, E), GELU included."""
        if not self._is_packed_faster(x):
            return F.gelu(super().forward(x)) if self.has_gelu else super().forward(x)
        weight, bias = self._pack(x.numel() // self.in_features)
        after: tuple[str, list, str] = ('gelu', [], 'none') if self.has_gelu else ('none', [], '')
        return torch.ops.mkldnn._linear_pointwise(x.to(torch.bfloat16), weight, bias, *after)

    def _is_packed_faster(self, x: Tensor) -> bool:
        if torch.compiler.is_compiling() or torch.is_grad_enabled():
            return False
        if not (_enabled and HAS_PACKED and x.device.type == 'cpu'):
            return False
        return torch.is_autocast_enabled('cpu') and torch.get_autocast_dtype('cpu') == torch.bfloat16

    def _pack(self, num_tokens: int) -> tuple[Tensor, Tensor | None]:
        """Packed weights and bias; packed again if the parameters have changed."""
        given = [p for p in (self.weight, self.bias) if p is not None]
        packed_from = tuple((p.data_ptr(), p._version) for p in given)
        if self._packed is None or self._packed_from != packed_from:
            rounded = [p.detach().to(torch.bfloat16) for p in given]
            weight = torch.ops.mkldnn._reorder_linear_weight(rounded[0], num_tokens)
            self._packed, self._packed_from = (weight, rounded[1] if self.bias is not None else None), packed_from
        return self._packed


def pack_linears(encoder: nn.Module) -> None:
    """Replace every `Linear` of a frozen encoder by a `PackedLinear`; the names of its weights stay.

    In timm's MLPs, the exact GELU becomes part of the layer before it.
    """
    for parent in list(encoder.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                act = parent.act if type(parent) is Mlp and name == 'fc1' else None
                has_gelu = type(act) is nn.GELU and act.approximate == 'none'
                setattr(parent, name, PackedLinear(child, has_gelu))
                if has_gelu:
                    parent.act = nn.Identity()
