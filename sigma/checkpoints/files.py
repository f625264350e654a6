"""Checkpoint files: written whole or not at all, and read without running anything.

A training state is one safetensors file: tensors under `state_dict/`, `optimizer/`, `random/`, and everything else as
JSON in its header, so no two files can disagree. Weights for others (`encoder.safetensors`) hold plain tensor names.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sigma.checkpoints.kinds import is_pytorch, is_safetensors, what_it_is
from sigma.checkpoints.pickles import read_pytorch
from sigma.errors import CheckpointError
from sigma.files import atomic_path

HEADER_KEY = 'sigma'
# Keys under which PyTorch files keep their weights; the first one found counts, averages (EMA) last.
# Trained teachers and averages of V-JEPA and DINO come before what they were averaged from.
_FOLDERS = (
    *('model', 'module', 'state_dict', 'model_state', 'target_encoder', 'teacher', 'encoder', 'student'),
    *('model_ema', 'state_dict_ema', 'ema'),
)


@dataclass
class Weights:
    """The tensors of a file and its JSON header."""

    tensors: dict[str, Tensor]
    header: dict = field(default_factory=dict)


# --- writing ---


def write_atomically(path: str | os.PathLike, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file in the same folder, then rename it (`sigma.files.atomic_path`).

    Raises:
        CheckpointError: if the disk refuses (full, read-only); the old file at `path` stays.
    """
    try:
        with atomic_path(path) as temporary:
            write(temporary)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise CheckpointError(f'{path} could not be written ({reason}); any earlier file is untouched.') from error
    return Path(path)


def save_tensors(path: str | os.PathLike, tensors: dict[str, Tensor], header: dict, **metadata: str) -> Path:
    """Write tensors and a JSON header as one safetensors file, atomically.

    With more than one entry of `metadata`, the bytes differ from run to run: safetensors writes them in any order.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata[HEADER_KEY] = json.dumps(header, sort_keys=True)
    return write_atomically(path, lambda temporary: save_file(plain, temporary, metadata))


def save_training_state(path: str | os.PathLike, state: dict) -> Path:
    """Write the nested state of MMEngine's runner: dicts, lists, tuples, numbers, strings and tensors.

    Raises:
        TypeError: if it holds anything else; nothing is pickled.
    """
    tensors: dict[str, Tensor] = {}
    tree = _pack(state, '', tensors)
    header = {'kind': 'training_state', 'sha256': sha256_of_tensors(tensors), 'tree': tree}
    return save_tensors(path, tensors, header)


def _pack(value, name: str, tensors: dict[str, Tensor]):
    """Move tensors out of the state; the rest becomes JSON, with marks for tuples and non-string keys."""
    if isinstance(value, Tensor):
        tensors[name] = value
        return {'@tensor': name}
    if isinstance(value, dict):
        return {
            '@dict': [[key, _pack(item, f'{name}/{key}' if name else str(key), tensors)] for key, item in value.items()]
        }
    if isinstance(value, tuple):
        return {'@tuple': [_pack(item, f'{name}/{i}', tensors) for i, item in enumerate(value)]}
    if isinstance(value, list):
        return [_pack(item, f'{name}/{i}', tensors) for i, item in enumerate(value)]
    if hasattr(value, 'item') and not isinstance(value, (int, float)):
        value = value.item()  # a numpy scalar
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f'{name} is a {type(value).__name__}; a checkpoint holds tensors, numbers, strings, lists and dicts.'
    )


def _training_state(weights: Weights, path: str | os.PathLike) -> dict:
    written = weights.header.get('sha256')  # older files have none
    if written is not None and written != sha256_of_tensors(weights.tensors):
        raise CheckpointError(
            f'{path} is damaged: its tensors differ from those that were written; use another copy, or remove it and '
            'resume from the checkpoint before it.'
        )
    try:
        state = _unpack(weights.header['tree'], weights.tensors)
        if isinstance(state['state_dict'], dict):
            return state
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise CheckpointError(f'{path} is damaged: its header does not describe a training state; use another file.')


def _unpack(tree, tensors: dict[str, Tensor]):
    if isinstance(tree, list):
        return [_unpack(item, tensors) for item in tree]
    if isinstance(tree, dict):
        ((mark, content),) = tree.items()
        if mark == '@tensor':
            return tensors[content]
        if mark == '@tuple':
            return tuple(_unpack(item, tensors) for item in content)
        return {key: _unpack(item, tensors) for key, item in content}
    return tree


# --- reading ---


def read_training_state(path: str | os.PathLike) -> dict:
    """The nested state that `save_training_state` wrote; a bare weights file becomes {'state_dict', 'header'}."""
    weights = _read_safetensors(path)
    if weights.header.get('kind') == 'training_state':
        return _training_state(weights, path)
    return {'state_dict': weights.tensors, 'meta': {}, 'header': weights.header}


def read_weights(path: str | os.PathLike) -> Weights:
    """Model weights of any file, under the names in the file.

    Reads our training states and weights, any safetensors file, and PyTorch files, of which it reads only tensors and
    plain values (`sigma.checkpoints.pickles`). In those it looks under `model`, `module`, `state_dict`, `teacher` and
    their like, then for averages of the weights. `header['arguments']` has the plain settings of the training that a
    PyTorch file stores under `args`.

    Raises:
        CheckpointError: if the file is missing, damaged, something else, holds no tensors or NaN, or is a pickle that
            might run code. Such a pickle is refused and never executed.
    """
    path = Path(path)
    weights = _read_safetensors(path) if _is_safetensors(path) else _read_pickle(path)
    if weights.header.get('kind') == 'training_state':
        weights = Weights(_training_state(weights, path)['state_dict'], weights.header)
    check_finite(weights.tensors, path)
    return weights


def _is_safetensors(path: Path) -> bool:
    """By name or content, since some files of others have the wrong ending.

    Raises:
        CheckpointError: if there is no file.
    """
    if not path.is_file():
        what = 'a folder' if path.is_dir() else 'not there'
        raise CheckpointError(f'Checkpoint {path} is {what}; give the path of a .safetensors or .pth file.')
    return path.suffix == '.safetensors' or is_safetensors(path)


def check_finite(tensors: dict[str, Tensor], source: str | os.PathLike) -> None:
    """Refuse weights with NaN or infinite values.

    Raises:
        CheckpointError: with the number of such tensors, the first one's name and the number of its bad values.
    """
    bad = {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.layout == torch.strided:
            wide = tensor.float() if tensor.element_size() == 1 else tensor
            if count := int((~torch.isfinite(wide)).sum()):
                bad[name] = count
    if bad:
        first = next(iter(bad))
        raise CheckpointError(
            f'{source} has NaN or infinite values in {len(bad)} of its {len(tensors)} tensors, first {first} '
            f'({bad[first]} of {tensors[first].numel()} values); use a checkpoint from before the training diverged.'
        )


def read_weights_apart(path: str | os.PathLike, seconds: float = 600) -> Weights:
    """Like `read_weights`, but opens a PyTorch file in a separate process, so a crash or hang stays there.

    Args:
        path: A file of unknown origin.
        seconds: Time limit for the reader.

    Raises:
        CheckpointError: as `read_weights`, and if the reader dies or exceeds its time limit.
    """
    path = Path(path)
    if _is_safetensors(path):
        return read_weights(path)
    context = multiprocessing.get_context('fork')  # torch is already loaded; a new interpreter takes seconds
    with tempfile.TemporaryDirectory(prefix='sigma-reading-') as folder:
        handed = Path(folder) / 'tensors.safetensors'
        process = context.Process(target=_read_for_parent, args=(path, handed), daemon=True)
        process.start()
        process.join(seconds)
        if process.is_alive():
            process.kill()
            process.join()
            raise CheckpointError(f'{path} could not be read within {seconds:g} s, so it is refused.')
        refusal = handed.with_suffix('.refused')
        if refusal.is_file():
            raise CheckpointError(refusal.read_text())
        if process.exitcode != 0:
            code = process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f'status {code}'
            raise CheckpointError(f'{path} crashed its reader ({how}), so it is refused.')
        weights = _read_safetensors(handed)
    check_finite(weights.tensors, path)
    return weights


def _read_for_parent(path: Path, handed: Path) -> None:
    """Runs in the separate process: write the tensors, or the reason for refusing them, to a file."""
    torch.set_num_threads(1)  # torch's thread pool does not survive a fork
    try:
        weights = _read_pickle(path)
        save_tensors(handed, weights.tensors, weights.header)
    except CheckpointError as error:
        handed.with_suffix('.refused').write_text(str(error))


def _read_safetensors(path: str | os.PathLike) -> Weights:
    _is_safetensors(Path(path))  # is there
    kind = what_it_is(Path(path))
    if kind is not None:
        raise CheckpointError(f'{path} is {kind}.')
    try:
        with safe_open(path, 'pt', device='cpu') as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = json.loads((file.metadata() or {}).get(HEADER_KEY, '{}'))
            if not isinstance(header, dict):
                raise ValueError('its header is not a JSON object')
    except (SafetensorError, OSError, ValueError) as error:
        remedy = 'create or download it again'
        if is_pytorch(Path(path)):
            remedy = 'it is a PyTorch file, so rename it to .pth'
        raise CheckpointError(f'{path} is damaged or not a safetensors file ({error}); {remedy}.') from error
    return Weights(tensors, header)


def _read_pickle(path: Path) -> Weights:
    content = whole = read_pytorch(path)
    for _ in range(3):  # bounded: a dict may contain itself
        inner = [n for n in _FOLDERS if isinstance(content, dict) and isinstance(content.get(n), dict)]
        content = content[inner[0]] if inner else content
    pairs = content.items() if isinstance(content, dict) else ()
    tensors = {name: value for name, value in pairs if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        found = ', '.join(map(str, list(whole)[:5])) if isinstance(whole, dict) else type(whole).__name__
        raise CheckpointError(
            f'{path} holds no named tensors at its top level or under {", ".join(_FOLDERS)}; found '
            f'{found or "nothing"}.'
        )
    arguments = _arguments(whole)
    return Weights(tensors, {'training': _training_notes(whole, arguments), 'arguments': arguments})


def _arguments(content: dict) -> dict:
    """Settings of the training, if a PyTorch file stores them under `args`; None for what is no plain value."""
    settings = content.get('args') if isinstance(content, dict) else None
    settings = vars(settings) if isinstance(settings, argparse.Namespace) else settings
    if not isinstance(settings, dict):
        return {}
    plain = (bool, int, float, str, type(None))
    named = {name: value for name, value in settings.items() if isinstance(name, str)}
    return {name: value if type(value) in plain else None for name, value in named.items()}


def _training_notes(content: dict, arguments: dict) -> dict[str, int]:
    """`epoch`, `epochs` and `start_epoch` of the training, if a PyTorch file stores them."""
    notes = {'epoch': content.get('epoch')} | {name: arguments.get(name) for name in ('epochs', 'start_epoch')}
    return {name: value for name, value in notes.items() if type(value) is int}


def sha256_of_tensors(tensors: dict[str, Tensor]) -> str:
    """Hash of names, shapes, dtypes and values; equal for equal weights, whatever file holds them."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.dim() else str(tensor.item()).encode())
    return digest.hexdigest()


def load_strictly(module: nn.Module, tensors: dict[str, Tensor], source: str, may_lack: Iterable[str] = ()) -> None:
    """Load tensors into a module; every tensor must have its place.

    Args:
        tensors: Named as in `module.state_dict()`.
        source: Where they come from, for the error.
        may_lack: Prefixes of tensors of the module that may keep their present values.

    Raises:
        CheckpointError: if a key is left over, missing or of another shape; gives the counts and the first of each.
    """
    problems = misfits(module, tensors, may_lack)
    if problems:
        raise CheckpointError(f'{source} does not fit: {"; ".join(problems)}. See tools/convert.py for other layouts.')
    module.load_state_dict(tensors, strict=False)


def misfits(module: nn.Module, tensors: dict[str, Tensor], may_lack: Iterable[str] = ()) -> list[str]:
    """Why tensors do not fit a module, one phrase per kind of problem; empty if they fit. Arguments as above."""
    own, name = module.state_dict(), type(module).__name__
    extra = [k for k in tensors if k not in own and not _are_positions(module, k, tensors[k])]
    missing = [k for k in own if k not in tensors and not k.startswith(tuple(may_lack))]
    shapes = [k for k in tensors if k in own and own[k].shape != tensors[k].shape]
    problems = []
    if extra:
        problems.append(
            f'{len(extra)} {"key has" if len(extra) == 1 else "keys have"} no place in {name}, first {extra[0]}'
        )
    if missing:
        problems.append(f'{len(missing)} of the keys of {name} are missing, first {missing[0]}')
    if shapes:
        first = shapes[0]
        problems.append(f'{first} has shape {tuple(tensors[first].shape)}, but {name} needs {tuple(own[first].shape)}')
    return problems


def _are_positions(module: nn.Module, name: str, tensor: Tensor) -> bool:
    """Whether a tensor has its place as positions of the weights' own (`VideoViT.set_positions`)."""
    *path, last = name.split('.')
    parts = dict(module.named_modules()) if last == 'positions' else {}
    place = parts.get('.'.join(path))
    return hasattr(place, 'set_positions') and place.positions.shape == tensor.shape  # type: ignore[union-attr]
