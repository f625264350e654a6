"""The card of a training's encoder, for the files that the training writes (`sigma.checkpoints.described`)."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from sigma.checkpoints.described import BACKBONE, CARD_VERSION
from sigma.data.cards import load_dataset_card
from sigma.engine.resume import what_lines_up, what_was_set
from sigma.errors import DataError
from sigma.flops import flops_of_training
from sigma.models import VideoViT


def card_of(runner, model: nn.Module) -> dict | None:
    """What a run says about its encoder; None if that is not a `VideoViT`.

    Args:
        runner: Of the training; its config names the data.
        model: Without the wrapper for several processes; its encoder and preprocessor are read.
    """
    encoder: Any = getattr(model, 'encoder', None)
    preprocessor: Any = getattr(model, 'data_preprocessor', None)
    if type(encoder) is not VideoViT or not hasattr(preprocessor, 'mean'):
        return None
    tubelet, patch, _ = encoder.tubelet
    frames, size = encoder.grid[0] * tubelet, encoder.grid[1] * patch
    dataset = runner.cfg.train_dataloader.dataset
    name = Path(runner.cfg.filename).stem if runner.cfg.filename else None
    return {
        'version': CARD_VERSION,
        'backbone': {
            'type': BACKBONE,
            'arch': {
                'embed_dims': encoder.embed_dims,
                'depth': len(encoder.blocks),
                'num_heads': encoder.blocks[0].attn.num_heads,  # type: ignore[union-attr]
            },
            'image_size': size,
            'num_frames': frames,
            'patch_size': patch,
            'tubelet_size': tubelet,
            'final_norm': not isinstance(encoder.norm, nn.Identity),
        },
        'clip': {'num_frames': frames, 'stride_frames': _stride(dataset), 'size': size},
        'mean': _of_uint8(preprocessor.mean),
        'std': _of_uint8(preprocessor.std),
        'pretraining_data': _data(dataset),
        'source': f'{type(model).__name__} pretraining' + (f', config {name}' if name else ''),
        'training': {
            'config': name,
            'config_sha256': config_sha256(runner.cfg),
        },
    }


def step_flops(runner, model: nn.Module) -> float | None:
    """Operations of one training step over all processes, by formula (`sigma.flops`); None for what it does not cover.

    Args:
        runner: Of the training; its config names the masks.
        model: Without the wrapper for several processes.
    """
    try:
        per_clip = sum(flops_of_training(runner.cfg, model).values())
    except (ValueError, AttributeError, KeyError):  # another model, or an image encoder that is no plain ViT
        return None
    return float(per_clip * what_lines_up(runner)['global_batch'])


def config_sha256(cfg) -> str:
    """sha256 (hex) of the settings that affect what is learned; folders, logging and resuming have no part in it."""
    return hashlib.sha256(json.dumps(what_was_set(cfg), sort_keys=True).encode()).hexdigest()


def _of_uint8(values) -> list[float]:
    """Per channel, from pixels in [0, 1] to uint8 values."""
    return [round(float(value) * 255, 3) for value in values.flatten()]


def _steps(dataset: Any) -> Iterator[dict]:
    yield from (step for step in dataset.get('pipeline', ()) if isinstance(step, dict))


def _stride(dataset: Any) -> int | None:
    """Video frames between two sampled frames; None if the transform that samples has no fixed stride."""
    strides = [step['stride_frames'] for step in _steps(dataset) if 'stride_frames' in step]
    return strides[0] if strides and isinstance(strides[0], int) else None


def _data(dataset: Any) -> str | None:
    """`k400, train split, no labels`."""
    cards = dataset.get('card')
    if not cards:
        return None
    names = [_name(card) for card in ([cards] if isinstance(cards, str) else cards)]
    return f'{" + ".join(names)}, {dataset.get("split", "train")} split, no labels'


def _name(card: str) -> str:
    try:
        return load_dataset_card(card).name
    except DataError:  # it was moved during the training
        return Path(card).name
