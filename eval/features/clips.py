"""One pass of an encoder over a split and view, kept on the disk, and read by any number of probes.

N videos, V views, T' time steps, D feature width.
"""

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

import eval.registry  # noqa: F401 - opens the scopes that cards name
from eval.cells.cell import ResolvedCell
from eval.cells.machine import num_workers
from eval.records import identity_hash
from sigma.checkpoints.encoder import load_encoder_weights
from sigma.data.clips import VideoClips
from sigma.files import write_atomic
from sigma.registry import MODELS

LOG = logging.getLogger(__name__)


@dataclass
class Features:
    """Features of the videos of a split that could be read, and the reasons of those that could not."""

    videos: list[str]
    labels: np.ndarray  # (N,) int64
    values: np.ndarray  # (N, V, T', D) float32: mean over space of each time step
    unscored: list[dict]


def extract(resolved: ResolvedCell, split: str, work_dir: Path) -> Features:
    """Features of a split under the cell's view, from the store, or by one pass over the videos.

    The store is `<work_dir>/features/<encoder>/<hash>.npz`; the hash covers weights, lists, view and, for random
    weights, the seed. A lock lets two processes that want the same features do the work once.
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
            write_features(path, features, key)  # else something failed that the index did not foresee: try again
    return features


def feature_key(resolved: ResolvedCell, split: str) -> dict:
    """What features depend on."""
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
    """The cell's encoder with its weights, in eval mode; random weights follow the cell's seed."""
    torch.manual_seed(resolved.cell.seed)
    backbone = MODELS.build(resolved.config['backbone'])
    if resolved.encoder.checkpoint is not None:
        load_encoder_weights(backbone, **resolved.encoder.loading())
    elif hasattr(backbone, 'init_weights'):
        backbone.init_weights()
    return backbone.eval()


def _encode(resolved: ResolvedCell, split: str) -> Features:
    clips = VideoClips(resolved.cell.dataset, resolved.config['pipeline'], split=split, test_mode=True)
    loader = DataLoader(clips, resolved.recipe['batch_size'], num_workers=num_workers(), collate_fn=pseudo_collate)
    videos, labels, values, unscored = [], [], [], []
    for samples, features in _batches(resolved, loader):
        for sample, feature in zip(samples, features):
            if sample.decode_error is not None:
                unscored.append({'video': sample.video, 'reason': sample.decode_error})
                continue
            videos.append(sample.video)
            labels.append(int(sample.gt_label))
            values.append(feature)
    return Features(videos, np.array(labels, dtype=np.int64), np.array(values, dtype=np.float32), unscored)


@torch.no_grad()
def _batches(resolved: ResolvedCell, loader: DataLoader) -> Iterator[tuple[list, np.ndarray]]:
    """Data samples of a batch and their features (B, V, T', D)."""
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    encoder = build_encoder(resolved).to(device)
    mean, std = (
        torch.tensor(v, device=device).view(1, 3, 1, 1, 1) for v in (resolved.encoder.mean, resolved.encoder.std)
    )
    done = 0
    for batch in loader:
        inputs = torch.stack(batch['inputs']).to(device)  # (B, V, 3, T, H, W) uint8
        clips = (inputs.flatten(0, 1).float() - mean) / std
        pooled = encoder(clips).float().mean(dim=(2, 3))  # (B*V, T', D)
        yield batch['data_samples'], pooled.unflatten(0, inputs.shape[:2]).cpu().numpy()
        done += len(inputs)
        LOG.info('features: %d of %d videos', done, len(loader.dataset))


def write_features(path: Path, features: Features, key: dict) -> None:
    """Store features atomically, with what they depend on beside them."""
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
    """What `write_features` stored."""
    with np.load(path, allow_pickle=False) as file:
        unscored = json.loads(str(file['unscored']))
        return Features(file['videos'].tolist(), file['labels'], file['values'], unscored)
