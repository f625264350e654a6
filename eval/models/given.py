"""A torch module from Python as an encoder: how its output becomes tokens, and what its identity is.

Shape letters: B clips, T frames, T' H' W' token grid, N tokens, D width.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
import re
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from eval.registry import MODELS
from sigma.errors import DataError

# What a module gives -> tokens (B, T', H', W', D).
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    'tokens': lambda output: output,  # (B, T', H', W', D)
    'map': lambda output: output.permute(0, 2, 3, 4, 1),  # (B, D, T', H', W')
    'sequence': lambda output: output[:, None, None],  # (B, N, D): one time step of 1 x N places
    'pooled': lambda output: output[:, None, None, None],  # (B, D): one token
}
WANTED = "tokens (B, T', H', W', D) or (B, N, D), a feature map (B, D, T', H', W'), or pooled features (B, D)"
_GIVEN: dict[tuple[str, str], nn.Module] = {}


@contextlib.contextmanager
def lent(module: nn.Module, weights: str, architecture: str) -> Iterator[None]:
    """Within, `eval.GivenModule` finds this module under its two hashes."""
    _GIVEN[weights, architecture] = module
    try:
        yield
    finally:
        _GIVEN.pop((weights, architecture), None)


@MODELS.register_module()
class GivenModule(nn.Module):
    """A copy of a module that `eval.measure` was given, with its weights; all parameters can be trained.

    Args:
        architecture: Class name, for the reader of a config.
        architecture_sha256, weights: See `architecture_sha256` and `weights_sha256` below.
        layout: Key of `LAYOUTS`.

    Raises:
        DataError: outside the call of `eval.measure` that was given the module.
    """

    def __init__(self, architecture: str, architecture_sha256: str, weights: str, layout: str) -> None:
        super().__init__()
        if (weights, architecture_sha256) not in _GIVEN:
            raise DataError(
                f'{architecture} was given to eval.measure as a torch module; its cells run only in that process. '
                'Write an encoder card to measure it by name.'
            )
        self.module = copy.deepcopy(_GIVEN[weights, architecture_sha256]).requires_grad_(True)
        self.layout = layout

    def forward(self, clip: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, T', H', W', D)."""
        return LAYOUTS[self.layout](self.module(clip))


# --- what it gives -------------------------------------------------------------------------------------------------


def examine(module: nn.Module, frames: int, size: int, channels: str | None = None) -> tuple[str, int]:
    """Layout and width D of what a module gives for one clip of zeros.

    A five-dimensional output is read as tokens if its third and fourth sizes agree (H' = W') and the grid is no
    larger than the clip, and as a feature map likewise for its last two. Where both fit, `channels` decides, or an
    attribute `embed_dims` of the module.

    Args:
        channels: `last` for tokens, `first` for a feature map; None if the shape tells.

    Raises:
        DataError: one sentence, if the module cannot take the clip, or its output does not fit.
    """
    name = type(module).__name__
    first = next(iter([*module.parameters(), *module.buffers()]), None)
    clip = torch.zeros(1, 3, frames, size, size, device=None if first is None else first.device)
    try:
        with torch.no_grad():
            output = module(clip)
    except Exception as error:  # whatever a user's module does
        words = ' '.join(str(error).split())[:200]
        raise DataError(
            f'{name} cannot take a clip (1, 3, {frames}, {size}, {size}): {type(error).__name__}: {words}.'
        ) from error
    if not isinstance(output, Tensor):
        raise DataError(f'{name} gave a {type(output).__name__} for a clip; wrap it to return one tensor: {WANTED}.')
    shape = tuple(output.shape)
    if output.dim() not in (2, 3, 5) or shape[0] != 1 or 0 in shape or not output.is_floating_point():
        raise DataError(f'{name} gave {output.dtype} of shape {shape} for one clip; eval.measure takes {WANTED}.')
    if not torch.isfinite(output).all():
        raise DataError(f'{name} gave NaN or infinity for a clip of zeros.')
    if output.dim() < 5:
        return ('pooled', 'sequence')[output.dim() - 2], shape[-1]
    layout = _layout_of_five(module, shape, frames, size, channels)
    return layout, shape[-1 if layout == 'tokens' else 1]


def _layout_of_five(module: nn.Module, shape: tuple[int, ...], frames: int, size: int, channels: str | None) -> str:
    name = type(module).__name__
    if channels is not None:
        return {'last': 'tokens', 'first': 'map'}[channels]
    grids = {'tokens': shape[1:4], 'map': shape[2:5]}
    fitting = [key for key, (t, h, w) in grids.items() if h == w and t <= frames and h <= size]
    if len(fitting) == 2:
        widths = {'tokens': shape[4], 'map': shape[1]}
        by_width = [key for key in fitting if widths[key] == getattr(module, 'embed_dims', None)]
        fitting = by_width or fitting
    if len(fitting) == 1:
        return fitting[0]
    found = "may be tokens (B, T', H', W', D) or a map (B, D, T', H', W')" if fitting else 'is neither by its sizes'
    raise DataError(f"{name} gave shape {shape} for one clip, which {found}; say channels='last' or channels='first'.")


# --- what it is ----------------------------------------------------------------------------------------------------


def weights_sha256(module: nn.Module) -> str:
    """Hash of the state dict, written as a safetensors file.

    Raises:
        DataError: if the state dict holds anything but tensors.
    """
    state = module.state_dict()
    if strange := [key for key, value in state.items() if not isinstance(value, Tensor)]:
        raise DataError(f'{type(module).__name__}: its state dict holds something other than a tensor: {strange[0]}.')
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
    return hashlib.sha256(safetensors.torch.save(tensors)).hexdigest()


def architecture_sha256(module: nn.Module) -> str:
    """Hash of what a module does besides its weights.

    It covers `repr(module)`, plain attributes (numbers, text) of every part, and the code of every class that is not
    torch's own. Functions that the classes call are not covered: change the module's name if you change only those.
    """
    digest = hashlib.sha256(_without_addresses(repr(module)).encode())
    for name, part in module.named_modules():
        plain = {key: value for key, value in vars(part).items() if key != 'training' and _is_plain(value)}
        digest.update(f'{name} {sorted(plain.items())!r}\n'.encode())
    for kind in sorted({type(part) for part in module.modules()}, key=lambda kind: kind.__qualname__):
        if not kind.__module__.startswith('torch.'):
            digest.update(_code_of(kind).encode())
    return digest.hexdigest()


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _code_of(kind: type) -> str:
    """Source of a class; its byte code where there is no source, as at a prompt."""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        functions = {name: getattr(value, '__code__', None) for name, value in sorted(vars(kind).items())}
        return repr([(name, _bytecode(code)) for name, code in functions.items() if code is not None])


def _bytecode(code: CodeType) -> tuple:
    constants = [_bytecode(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return code.co_code, code.co_names, constants


def _without_addresses(text: str) -> str:
    return re.sub(r' at 0x[0-9a-f]+', '', text)
