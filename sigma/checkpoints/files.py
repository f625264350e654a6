"""Checkpoints: written whole or not at all, read without running anything, and renamed between layouts.

A file of ours is one safetensors file: tensors under `model/`, `optimizer/`, `random/`, and everything else as JSON
in the header, so that no pair of files can disagree. Weights for others to use (`encoder.safetensors`) hold bare
tensor names.

Layouts of keys (`published` is what SIGMA and VideoMAE released, see key tables below; others:
sigma/checkpoints/layouts.py): published   encoder.blocks.0.attn.{q_bias, v_bias, qkv.weight}, encoder_to_decoder,
mask_token, prototypes, head.0 sigma       encoder.blocks.0.attn.qkv.{weight, bias}, decoder.bridge,
decoder.mask_token, sinkhorn_loss.prototypes, projector.layers.0
    mmaction    backbone of mmaction2's VisionTransformer: patch_embed.projection, blocks.0.mlp.layers.0.0, ...
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import pickle
import re
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sigma.errors import CheckpointError
from sigma.files import atomic_path

HEADER_KEY = 'sigma'
# Under which PyTorch files keep their weights, the first that is there; of an average alone where nothing else is.
_FOLDERS = ('model', 'module', 'state_dict', 'teacher', 'model_ema', 'state_dict_ema', 'ema')


@dataclass
class Weights:
    """Tensors of a file and what its header says."""

    tensors: dict[str, Tensor]
    header: dict = field(default_factory=dict)


# --- writing -------------------------------------------------------------------------------------------------------


def write_atomically(path: str | os.PathLike, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a temporary file in the same folder, then rename it (`sigma.files.atomic_path`).

    Raises:
        CheckpointError: if the disk refuses (full, read-only); whatever lay at `path` is still there.
    """
    try:
        with atomic_path(path) as temporary:
            write(temporary)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f'{path} could not be written ({error}); what was there before is untouched.') from error
    return Path(path)


def save_tensors(path: str | os.PathLike, tensors: dict[str, Tensor], header: dict, **metadata: str) -> Path:
    """Write tensors and a JSON header as one safetensors file, atomically.

    Further `metadata` costs reproducible bytes: safetensors writes several entries in any order.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata[HEADER_KEY] = json.dumps(header, sort_keys=True)
    return write_atomically(path, lambda temporary: save_file(plain, temporary, metadata))


def save_training_state(path: str | os.PathLike, state: dict) -> Path:
    """Write a nested state (dicts, lists, numbers, strings, tensors) as MMEngine's runner gives it.

    Raises:
        TypeError: if something in it is neither; nothing is pickled.
    """
    tensors: dict[str, Tensor] = {}
    tree = _pack(state, '', tensors)
    header = {'kind': 'training_state', 'sha256': sha256_of_tensors(tensors), 'tree': tree}
    return save_tensors(path, tensors, header)


def _pack(value, name: str, tensors: dict[str, Tensor]):
    """JSON tree with tensors taken out; marks keep tuples and non-string keys apart from lists and strings."""
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
    raise TypeError(f'{name} is a {type(value).__name__}; a checkpoint holds tensors, numbers, strings, lists, dicts.')


def _training_state(weights: Weights, path: str | os.PathLike) -> dict:
    written = weights.header.get('sha256')  # files of before have none
    if written is not None and written != sha256_of_tensors(weights.tensors):
        raise CheckpointError(
            f'{path} is damaged: its tensors are not those that were written; remove it and go on from the one before '
            'it, or take another copy.'
        )
    try:
        state = _unpack(weights.header['tree'], weights.tensors)
        if isinstance(state['state_dict'], dict):
            return state
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise CheckpointError(f'{path} is damaged: its header is not that of a training state; take another file.')


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


# --- reading -------------------------------------------------------------------------------------------------------


def read_training_state(path: str | os.PathLike) -> dict:
    """The nested state that `save_training_state` wrote; a bare weights file becomes {'state_dict': tensors}."""
    weights = _read_safetensors(path)
    if weights.header.get('kind') == 'training_state':
        return _training_state(weights, path)
    return {'state_dict': weights.tensors, 'meta': {}}


def read_weights(path: str | os.PathLike) -> Weights:
    """Model weights of any file, with the names they have there.

    Reads our training states and weights, any safetensors file, and PyTorch files that hold nothing but tensors and
    plain containers (looking under `model`, `module`, `state_dict`, `teacher`, and averages of these).

    Raises:
        CheckpointError: if the file is absent, damaged, holds no tensors, or is a pickle that would run code;
            such a pickle is refused and never executed.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f'Checkpoint {path} is not there; give the path of a .safetensors or .pth file.')
    if path.suffix == '.safetensors':
        weights = _read_safetensors(path)
        if weights.header.get('kind') == 'training_state':
            return Weights(_training_state(weights, path)['state_dict'], weights.header)
        return weights
    return _read_pickle(path)


def read_weights_apart(path: str | os.PathLike, seconds: float = 600) -> Weights:
    """As `read_weights`, but a PyTorch file is opened in a process of its own, which can crash or hang alone.

    Args:
        path: File of unknown origin.
        seconds: Until a reader that does not come back is ended.

    Raises:
        CheckpointError: as `read_weights`, and where the reader died or did not come back.
    """
    path = Path(path)
    if path.suffix == '.safetensors' or not path.is_file():
        return read_weights(path)
    context = multiprocessing.get_context('fork')  # torch is loaded already; a fresh interpreter takes seconds
    with tempfile.TemporaryDirectory(prefix='sigma-reading-') as folder:
        handed = Path(folder) / 'tensors.safetensors'
        process = context.Process(target=_read_for_parent, args=(path, handed), daemon=True)
        process.start()
        process.join(seconds)
        if process.is_alive():
            process.kill()
            process.join()
            raise CheckpointError(f'{path} was not read within {seconds:g} s; it is refused.')
        refusal = handed.with_suffix('.refused')
        if refusal.is_file():
            raise CheckpointError(refusal.read_text())
        if process.exitcode != 0:
            code = process.exitcode
            how = signal.Signals(-code).name if code < 0 else f'status {code}'
            raise CheckpointError(f'{path} made its reader end by {how}; it is refused.')
        return _read_safetensors(handed)


def _read_for_parent(path: Path, handed: Path) -> None:
    """In the process apart: tensors, or the sentence why not, into files."""
    torch.set_num_threads(1)  # a forked process must not wait for its parent's threads
    try:
        weights = _read_pickle(path)
        save_tensors(handed, weights.tensors, weights.header)
    except CheckpointError as error:
        handed.with_suffix('.refused').write_text(str(error))


def _read_safetensors(path: str | os.PathLike) -> Weights:
    if not Path(path).is_file():
        raise CheckpointError(f'Checkpoint {path} is not there; give the path of a .safetensors or .pth file.')
    try:
        with safe_open(path, 'pt', device='cpu') as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = json.loads((file.metadata() or {}).get(HEADER_KEY, '{}'))
            if not isinstance(header, dict):
                raise ValueError('its header is no JSON object')
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f'{path} is damaged or no safetensors file ({error}); make or fetch it again.') from error
    return Weights(tensors, header)


def _read_pickle(path: Path) -> Weights:
    try:
        # Released SIGMA files hold their argparse arguments, a class without code of its own.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of the pickle's protocol, beside the sentence below
            content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        reason = re.sub(r'\s+', ' ', str(error)).split('. ')[0]
        raise CheckpointError(
            f'{path} is not a plain state dict and was refused without running it ({reason[:160]}); '
            'ask for a safetensors file, or one that holds only tensors.'
        ) from None
    except Exception as error:  # damaged bytes make the unpickler stumble in any way: IndexError, AssertionError, ...
        reason = re.sub(r'\s+', ' ', str(error))[:160] or type(error).__name__
        raise CheckpointError(f'{path} is damaged or no checkpoint ({reason}).') from None
    whole = content
    for _ in range(3):  # a dictionary may hold itself
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
    return Weights(tensors, {'training': _told_of_training(whole)})


def _told_of_training(content: dict) -> dict[str, int]:
    """Epochs done, asked for, and gone on from, where a PyTorch file says so beside its weights."""
    settings = content.get('args')
    settings = vars(settings) if isinstance(settings, argparse.Namespace) else settings
    told = {'epoch': content.get('epoch')}
    if isinstance(settings, dict):
        told |= {name: settings.get(name) for name in ('epochs', 'start_epoch')}
    return {name: value for name, value in told.items() if type(value) is int}


def sha256_of_tensors(tensors: dict[str, Tensor]) -> str:
    """Hash of names, shapes, types and values: the same for the same weights, whatever file holds them."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.dim() else str(tensor.item()).encode())
    return digest.hexdigest()


def load_strictly(module: nn.Module, tensors: dict[str, Tensor], source: str, may_lack: Iterable[str] = ()) -> None:
    """Load every tensor into its place.

    Raises:
        CheckpointError: naming how many keys are left over, missing or of another shape, and the first of each.
    """
    own = module.state_dict()
    extra = [k for k in tensors if k not in own]
    missing = [k for k in own if k not in tensors and not k.startswith(tuple(may_lack))]
    shapes = [k for k in tensors if k in own and own[k].shape != tensors[k].shape]
    if extra or missing or shapes:
        parts = []
        if extra:
            parts.append(f'{_keys(extra)} no place in {type(module).__name__}, first {extra[0]}')
        if missing:
            parts.append(f'{type(module).__name__} lacks {len(missing)} of its keys there, first {missing[0]}')
        if shapes:
            first = shapes[0]
            parts.append(f'{first} is {tuple(tensors[first].shape)}, wanted {tuple(own[first].shape)}')
        raise CheckpointError(f'{source} does not fit: {"; ".join(parts)}. See tools/convert.py for other layouts.')
    module.load_state_dict(tensors, strict=False)


def _keys(names: list[str]) -> str:
    return f'{len(names)} key has' if len(names) == 1 else f'{len(names)} keys have'


# --- layouts -------------------------------------------------------------------------------------------------------

# published -> sigma, for a whole pretraining model; the first rule that matches wins.
PUBLISHED_RULES = (
    (r'^encoder_to_decoder\.', 'decoder.bridge.'),
    (r'^mask_token$', 'decoder.mask_token'),
    (r'^prototypes$', 'sinkhorn_loss.prototypes'),
    (r'^head\.(\d)', r'projector.layers.\1'),
)

# sigma encoder -> backbone of mmaction2's VisionTransformer
MMACTION_RULES = (
    (r'^patch_embed\.proj\.', 'patch_embed.projection.'),
    (r'\.mlp\.fc1\.', '.mlp.layers.0.0.'),
    (r'\.mlp\.fc2\.', '.mlp.layers.1.'),
)


def rename(tensors: dict[str, Tensor], rules: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    """New names by the first rule (pattern, replacement) that matches; others keep theirs."""
    renamed = {}
    for name, tensor in tensors.items():
        pattern, replacement = next(((p, r) for p, r in rules if re.search(p, name)), ('', ''))
        renamed[re.sub(pattern, replacement, name) if pattern else name] = tensor
    return renamed


def join_qkv_bias(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`q_bias` and `v_bias` -> `qkv.bias` with a zero part for k, which the published attention does not have."""
    joined = dict(tensors)
    for name in [n for n in tensors if n.endswith('.q_bias')]:
        stem = name.removesuffix('q_bias')
        query, value = joined.pop(name), joined.pop(f'{stem}v_bias')
        joined[f'{stem}qkv.bias'] = torch.cat([query, torch.zeros_like(query), value])
    return joined


def split_qkv_bias(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`qkv.bias` -> `q_bias` and `v_bias`; the part for k changes nothing in a softmax and is dropped."""
    split = dict(tensors)
    for name in [n for n in tensors if n.endswith('.qkv.bias')]:
        query, _, value = split.pop(name).chunk(3)
        stem = name.removesuffix('qkv.bias')
        split[f'{stem}q_bias'], split[f'{stem}v_bias'] = query, value
    return split


def from_published(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """SIGMA's and VideoMAE's pretraining layout -> ours. A fine-tuned ViT keeps its names, with biases joined."""
    if not any(name.startswith('encoder.') for name in tensors):
        return join_qkv_bias(tensors)
    return rename(join_qkv_bias(tensors), PUBLISHED_RULES)


def to_published(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Ours -> SIGMA's and VideoMAE's pretraining layout."""
    rules = (
        (r'^decoder\.bridge\.', 'encoder_to_decoder.'),
        (r'^decoder\.mask_token$', 'mask_token'),
        (r'^sinkhorn_loss\.prototypes$', 'prototypes'),
        (r'^projector\.layers\.', 'head.'),
    )
    return rename(split_qkv_bias(tensors), rules)


def to_mmaction(encoder: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our encoder -> backbone of mmaction2's `VisionTransformer`."""
    return rename(split_qkv_bias(encoder), MMACTION_RULES)


def encoder_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder alone, in our layout, from a file in ours or the published layout, whole model or encoder."""
    tensors = from_published(tensors)
    for prefix in ('encoder.', 'backbone.'):
        part = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        if part:
            return part
    return tensors
