"""PyTorch files of others: tensors and plain values are read, nothing else is built or run.

A file of another trainer holds more than weights: settings, logs, paths, numbers of numpy. torch's restricted reader
(`weights_only=True`) refuses the whole file for the sake of one such object. We give it a stand-in for each class on a
fixed list of classes that only hold data. A stand-in forgets what it is given, so not even the real class is imported.
A file that names anything else is refused, with the name.
"""

import argparse
import contextlib
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import torch

from sigma.checkpoints.kinds import what_it_is
from sigma.errors import CheckpointError

_MOST_NAMED = 3


class _Value:
    """Stands for an object that we do not need; accepts and forgets everything."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs) -> None:
        pass

    def __setstate__(self, state) -> None:
        pass


class _Mapping:
    """Stands for a kind of dict. The restricted reader fills only plain dicts, so it gets one."""

    def __new__(cls, *args, **kwargs):
        return OrderedDict()


class _Sequence:
    """Stands for a kind of list, for the same reason."""

    def __new__(cls, *args, **kwargs):
        return []


_NUMPY = ('bool', 'bool_', *(f'{kind}{bits}' for kind in ('int', 'uint') for bits in (8, 16, 32, 64)))
_NUMPY_FLOATS = ('float16', 'float32', 'float64', 'float', 'int', 'str_', 'bytes_', 'ndarray', 'dtype', 'generic')
_PATHS = ('PosixPath', 'PurePosixPath', 'WindowsPath', 'PureWindowsPath', 'Path', 'PurePath')
_NODES = ('AnyNode', 'BooleanNode', 'BytesNode', 'EnumNode', 'FloatNode', 'IntegerNode', 'PathNode', 'StringNode')
_DATA_CLASSES = {
    _Value: (
        *(f'numpy.{name}' for name in (*_NUMPY, *_NUMPY_FLOATS)),
        *(f'numpy.{core}.multiarray.{name}' for core in ('core', '_core') for name in ('scalar', '_reconstruct')),
        *(f'numpy.{core}.numeric._frombuffer' for core in ('core', '_core')),
        *(f'numpy.dtypes.{name.capitalize()}DType' for name in ('bool', 'str', 'bytes', *_NUMPY_FLOATS[:3])),
        *(f'numpy.dtypes.{kind}{bits}DType' for kind in ('Int', 'UInt') for bits in (8, 16, 32, 64)),
        *(f'{module}.{name}' for module in ('pathlib', 'pathlib._local') for name in _PATHS),
        *(f'datetime.{name}' for name in ('date', 'datetime', 'time', 'timedelta', 'timezone')),
        *(f'builtins.{name}' for name in ('getattr', 'int', 'float', 'str', 'bool', 'list', 'dict', 'tuple', 'range')),
        *(f'builtins.{name}' for name in ('slice', 'complex', 'frozenset', 'object')),
        'decimal.Decimal',
        'fractions.Fraction',
        'uuid.UUID',
        'types.SimpleNamespace',
        'mmengine.logging.history_buffer.HistoryBuffer',
        'mmengine.config.config.Config',
        'mmcv.utils.config.Config',
        'ml_collections.config_dict.config_dict.ConfigDict',
        'omegaconf.dictconfig.DictConfig',
        'omegaconf.listconfig.ListConfig',
        'omegaconf.base.ContainerMetadata',
        'omegaconf.base.Metadata',
        *(f'omegaconf.nodes.{name}' for name in _NODES),
        'typing.Any',
        'deepspeed.runtime.fp16.loss_scaler.LossScaler',
        'deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler',
        'deepspeed.runtime.zero.config.ZeroStageEnum',
        'deepspeed.utils.tensor_fragment.fragment_address',
    ),
    _Mapping: (
        'collections.defaultdict',
        'mmengine.config.config.ConfigDict',
        'mmcv.utils.config.ConfigDict',
        'addict.Dict',
        'addict.addict.Dict',
        'easydict.EasyDict',
        'yacs.config.CfgNode',
        'fvcore.common.config.CfgNode',
        'lightning.fabric.utilities.data.AttributeDict',
        'lightning_fabric.utilities.data.AttributeDict',
        'pytorch_lightning.utilities.parsing.AttributeDict',
    ),
    _Sequence: ('collections.deque',),
}
_STAND_INS = [(stand_in, name) for stand_in, names in _DATA_CLASSES.items() for name in names]


def read_pytorch(path: Path):
    """Content of a PyTorch file, on the CPU: tensors, containers, plain values, `argparse.Namespace`, stand-ins.

    Raises:
        CheckpointError: if the file is something else or damaged, or names a class that is not on the list. The
            message gives the class and what to do.
    """
    kind = what_it_is(path)
    if kind is not None:
        raise CheckpointError(f'{path} is {kind}.')
    try:
        with _restricted():
            return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path, error)) from None
    except Exception as error:  # damaged bytes raise anything: IndexError, AssertionError, ...
        reason = re.sub(r'\s+', ' ', str(error))[:160] or type(error).__name__
        raise CheckpointError(f'{path} is damaged or not a checkpoint ({reason}).') from None


@contextlib.contextmanager
def _restricted() -> Iterator[None]:
    # Namespace only stores its attributes, and we read settings of the training from it.
    with torch.serialization.safe_globals([argparse.Namespace, *_STAND_INS]), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # about the pickle protocol; our own sentence follows
        yield


def _refusal(path: Path, error: Exception) -> str:
    names = _unknown_classes(path, str(error))
    if not names:
        reason = re.sub(r'\s+', ' ', str(error)).split('. ')[0]
        return (
            f'{path} is not a plain state dict; it was refused without running it ({reason[:160]}). '
            'Ask for a safetensors file, or one that holds only tensors.'
        )
    shown = ', '.join(names[:_MOST_NAMED]) + (f' and {len(names) - _MOST_NAMED} more' * (len(names) > _MOST_NAMED))
    return (
        f'{path} holds objects of {shown} beside its tensors, and reading those could run code, so it was refused '
        'without running it. Ask for a file that holds only tensors. If you trust its source, load it with the code '
        'that wrote it, and save the state_dict of the model alone (torch.save or safetensors).'
    )


def _unknown_classes(path: Path, message: str) -> list[str]:
    """Names in the file that are not on the list, sorted; only the first one for a file in the old format."""
    try:
        with _restricted():
            found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        known = {name for _, name in _STAND_INS}
        found = sorted({name for name in found if name not in known})
    except Exception:  # only torch's zip format can be searched
        found = []
    first = re.search(r'(?:Unsupported global: GLOBAL|unsupported GLOBAL) ([\w.]+)', message)
    return found or ([first[1]] if first else [])
