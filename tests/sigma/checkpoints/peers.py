"""Checkpoints of other code bases, made from the names and shapes in tests/data/peers/encoders (see its SOURCES.md)."""

import argparse
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

PEERS = Path(__file__).parents[2] / 'data' / 'peers' / 'encoders'
FRAMES, SIZE = 4, 32
MVD_ARGUMENTS = {'use_cls_token': False, 'remove_pos_emb': False, 'input_size': SIZE, 'num_frames': FRAMES}
VIDEOMAE_ARGUMENTS = {'input_size': SIZE, 'num_frames': FRAMES, 'use_mean_pooling': True}


@dataclass
class Peer:
    """The tensors that a peer's model saves, and what the model gave for `clip()`."""

    tensors: dict[str, Tensor]
    outputs: dict[str, Tensor]

    def save(self, path: Path, under: str | None = 'model', arguments: dict | None = None, prefix: str = '') -> Path:
        """Write a file as the peer's own code does: tensors under a key, and the settings as `args`."""
        tensors = {prefix + name: tensor for name, tensor in self.tensors.items()}
        content = {under: tensors, 'epoch': 3} if under else tensors
        torch.save(content | ({'args': argparse.Namespace(**arguments)} if arguments else {}), path)
        return path


def peer(name: str) -> Peer:
    data = np.load(PEERS / f'{name}.npz')
    tensors = {}
    for tensor, shape in json.loads(str(data['names'])):
        kept = f'kept/{tensor}' in data.files
        tensors[tensor] = torch.from_numpy(data[f'kept/{tensor}']) if kept else _drawn(tensor, shape)
    outputs = {n: torch.from_numpy(data[n]) for n in data.files if n != 'names' and not n.startswith('kept/')}
    return Peer(tensors, outputs)


def _drawn(name: str, shape: list[int]) -> Tensor:
    values = 0.1 * np.random.RandomState(zlib.crc32(name.encode())).randn(*shape)  # noqa: NPY002
    values = 1 + values if len(shape) == 1 and name.endswith('weight') else values
    return torch.from_numpy(values).float()


def clip(frames: int = FRAMES) -> Tensor:
    return torch.from_numpy(np.random.RandomState(0).randn(2, 3, frames, SIZE, SIZE)).float()  # noqa: NPY002


def image(size: int) -> Tensor:
    return torch.from_numpy(np.random.RandomState(0).randn(2, 3, size, size)).float()  # noqa: NPY002
