"""Clip features: one encoder pass over a split, stored on disk and read by any number of probes.

Shape letters: N videos, B videos of a batch, V views, T frames of a clip, T' time steps, D feature width.
"""

import io
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

import eval.registry  # noqa: F401 - registers the scopes that cards name
from eval.cells.cell import ResolvedCell
from eval.cells.encoders import EncoderCard
from eval.cells.machine import num_workers
from eval.records import identity_hash
from sigma.checkpoints.encoder import load_encoder_weights
from sigma.data.clips import VideoClips
from sigma.data.loading import watched
from sigma.files import write_atomic
from sigma.registry import MODELS

LOG = logging.getLogger(__name__)


@dataclass
class Features:
    """Features of a split.

    Attributes:
        videos: N videos that could be decoded, in the order of the list.
        labels: (N,) int64.
        values: (N, V, T', D) float32, the mean over space of each time step.
        unscored: {video, reason} of each video that could not be decoded.
    """

    videos: list[str]
    labels: np.ndarray
    values: np.ndarray
    unscored: list[dict]


def extract(resolved: ResolvedCell, split: str, work_dir: Path) -> Features:
    """Features of a split under the cell's view: read from the store, or extracted in one pass over the videos.

    The store is `<work_dir>/features/<encoder>/<hash>.npz`. The hash covers weights, list, videos, view and, for random
    weights, the seed. A file lock makes processes that want the same features do the work once.

    Args:
        resolved: The cell; its config has `backbone` and `pipeline`.
        split: `train` or `test`.
        work_dir: Folder of the run.
    """
    key = feature_key(resolved, split)
    path = Path(work_dir) / 'features' / resolved.encoder.name / f'{identity_hash(key)[:32]}.npz'
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f'{path}.lock'):
        if path.is_file():
            return read_features(path)
        features = _encode(resolved, split)
        known = {e['video'] for e in resolved.dataset.entries(split) if e['reason'] is not None}
        if all(entry['video'] in known for entry in features.unscored):
            write_features(path, features, key)  # not if a video failed that the index calls readable: retry next time
        return features


def feature_key(resolved: ResolvedCell, split: str) -> dict:
    """Everything that the features of a split depend on."""
    identity = resolved.identity
    weights = identity['encoder']['weights']
    return {
        'version': 1,
        'encoder': resolved.config['backbone'],
        'weights': weights if weights != 'random' else f'random, seed {resolved.cell.seed}',
        'normalisation': [list(resolved.encoder.mean), list(resolved.encoder.std)],
        'dataset': resolved.dataset.name,
        'list': resolved.dataset.list_sha256(split),
        'videos': resolved.dataset.content_sha256(split),
        'pipeline': resolved.config['pipeline'],
        'pooling': 'mean over space, time steps kept',
    }


def build_encoder(resolved: ResolvedCell) -> torch.nn.Module:
    """The cell's encoder with its weights, on the CPU in eval mode. Random weights come from the cell's seed."""
    return build_backbone(resolved.encoder, resolved.config['backbone'], resolved.cell.seed)


def build_backbone(encoder: EncoderCard, config: dict, seed: int) -> torch.nn.Module:
    """An encoder's backbone by `config`, with its weights or random ones of `seed`, on the CPU in eval mode."""
    torch.manual_seed(seed)
    backbone = MODELS.build(config)
    if encoder.checkpoint is not None:
        load_encoder_weights(backbone, **encoder.loading())
    elif hasattr(backbone, 'init_weights'):
        backbone.init_weights()
    return backbone.eval()


@torch.no_grad()
def encode(
    backbone: torch.nn.Module, encoder: EncoderCard, batches: Iterable[dict]
) -> Iterator[tuple[list, torch.Tensor, torch.Size]]:
    """One encoder pass over the batches of a loader of test clips, on the GPU if there is one.

    Yields:
        The B data samples of a batch, tokens (B*V, T', H', W', D) float32 on the device, and the shape (B, V).
    """
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    backbone = backbone.to(device)
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1, 1) for v in (encoder.mean, encoder.std))
    for batch in batches:
        inputs = torch.stack(batch['inputs']).to(device)  # (B, V, 3, T, H, W) uint8
        clips = (inputs.flatten(0, 1).float() - mean) / std
        yield batch['data_samples'], backbone(clips).float(), inputs.shape[:2]


def _encode(resolved: ResolvedCell, split: str) -> Features:
    clips = VideoClips(resolved.cell.dataset, resolved.config['pipeline'], split=split, test_mode=True)
    loader = watched(
        DataLoader(clips, resolved.recipe['batch_size'], num_workers=num_workers(), collate_fn=pseudo_collate)
    )
    videos, labels, values, unscored = [], [], [], []
    for samples, features in _batches(resolved, loader, len(clips)):
        for sample, feature in zip(samples, features):
            if sample.decode_error is not None:
                unscored.append({'video': sample.video, 'reason': sample.decode_error})
                continue
            videos.append(sample.video)
            labels.append(int(sample.gt_label))
            values.append(feature)
    return Features(videos, np.array(labels, dtype=np.int64), np.array(values, dtype=np.float32), unscored)


def _batches(resolved: ResolvedCell, loader: DataLoader, total: int) -> Iterator[tuple[list, np.ndarray]]:
    """Yield the data samples of each batch and their features (B, V, T', D) float32."""
    done = 0
    for samples, tokens, shape in encode(build_encoder(resolved), resolved.encoder, loader):
        pooled = tokens.mean(dim=(2, 3))  # (B*V, T', D)
        yield samples, pooled.unflatten(0, shape).cpu().numpy()
        done += len(samples)
        LOG.info('features: %d of %d videos', done, total)


def write_features(path: Path, features: Features, key: dict) -> None:
    """Store features and their key in one .npz file, written whole or not at all."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        videos=np.array(features.videos, dtype=np.str_),
        labels=features.labels,
        values=features.values,
        unscored=np.array(json.dumps(features.unscored)),
        key=np.array(json.dumps(key)),
    )
    write_atomic(path, buffer.getvalue())


def read_features(path: Path) -> Features:
    """Read what `write_features` stored."""
    with np.load(path, allow_pickle=False) as file:
        unscored = json.loads(str(file['unscored']))
        return Features(file['videos'].tolist(), file['labels'], file['values'], unscored)
