"""Encoder cards: a backbone, its weights, and the clips that it takes."""

import copy
from dataclasses import dataclass
from pathlib import Path

from sigma.data.cards import find_card, read_card
from sigma.errors import DataError
from sigma.files import sha256_file

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # of uint8 values
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass
class EncoderCard:
    """A card of `mmaction_configs/encoders`, with the checkpoint that it or the user names.

    Attributes:
        name: Name in records and tables.
        reference: As the user gave it: `NAME`, `PATH.py`, or either with `@CHECKPOINT`.
        info: The card's `encoder` dict. Required:
            `backbone`: config, with the scope written out;
            `embed_dims`: width D of its tokens;
            `clip`: num_frames, stride_frames, size (pixels).
            Optional:
            `name`; `family`: which recipes of a suite it takes, `vit` (default) or `r2plus1d`;
            `checkpoint`: file; None for random weights;
            `sha256`: hash of that file; None accepts any;
            `layout`, `inner`, `positions`: see `sigma.checkpoints.encoder.load_encoder_weights`;
            `mean`, `std`: per channel, for uint8 RGB values (default: ImageNet's);
            `drop`: prefixes of checkpoint tensors that the backbone does not have;
            `finetune`: backbone settings that differ in fine-tuning; `finetune_drop`: further prefixes to drop then;
            `pretraining_data`, `source`: copied into the record;
            `make`: command that makes the checkpoint.
    """

    name: str
    reference: str
    info: dict

    @property
    def checkpoint(self) -> str | None:
        return self.info.get('checkpoint')

    def sha256(self) -> str | None:
        """sha256 (hex) of the checkpoint; None for random weights.

        Raises:
            DataError: if the file is missing, or its hash differs from the card's.
        """
        if self.checkpoint is None:
            return None
        if not Path(self.checkpoint).is_file():
            how = f' Make it with: {self.info["make"]}.' if self.info.get('make') else ''
            what = 'no file' if Path(self.checkpoint).exists() else 'not there'
            raise DataError(
                f'Encoder {self.name}: its checkpoint {self.checkpoint} is {what}.{how} '
                f'Or give other weights: {self.reference.partition("@")[0]}@FILE.'
            )
        found = sha256_file(self.checkpoint)
        wanted = self.info.get('sha256')
        if wanted and wanted != found:
            raise DataError(
                f'Encoder {self.name}: {self.checkpoint} has sha256 {found[:16]}..., its card says {wanted[:16]}...'
            )
        return found

    def backbone(self, finetune: bool = False, **settings) -> dict:
        """Config of the backbone, with `settings` added to the innermost backbone.

        Args:
            finetune: Build it for fine-tuning rather than for features.
            **settings: Arguments of the backbone class, such as `drop_path_rate`.
        """
        config = copy.deepcopy(self.info['backbone'])
        _merge(config, self.info.get('finetune', {}) if finetune else {})
        inner = config
        while isinstance(inner.get('backbone'), dict):
            inner = inner['backbone']
        inner.update(settings)
        return config

    def loading(self, finetune: bool = False) -> dict:
        """Arguments of `load_encoder_weights` for this card."""
        return {
            'checkpoint': self.checkpoint,
            'layout': self.info.get('layout', 'sigma'),
            'inner': self.info.get('inner', ''),
            'drop': (*self.info.get('drop', ()), *(self.info.get('finetune_drop', ()) if finetune else ())),
            'positions': self.info.get('positions'),
        }

    @property
    def family(self) -> str:
        return self.info.get('family', 'vit')

    @property
    def mean(self) -> tuple:
        return tuple(self.info.get('mean', IMAGENET_MEAN))

    @property
    def std(self) -> tuple:
        return tuple(self.info.get('std', IMAGENET_STD))


def load_encoder_card(reference: str) -> EncoderCard:
    """Load a card by `NAME` or `PATH.py`; `NAME@CHECKPOINT` uses other weights with the same card.

    Raises:
        DataError: if there is no such card (with the nearest name), it lacks a field, or no file follows the `@`.
    """
    name, asks, checkpoint = reference.partition('@')
    if asks and not checkpoint:
        raise DataError(
            f'Encoder {reference}: no checkpoint follows the @; use {name} alone for the weights of the card.'
        )
    path = find_card('encoders', name)
    info = read_card(path, 'encoder')
    lacking = [key for key in ('backbone', 'embed_dims', 'clip') if key not in info]
    if lacking:
        raise DataError(f'{path} lacks {", ".join(lacking)}; see mmaction_configs/encoders for complete cards.')
    label = info.get('name', path.stem)
    if checkpoint:
        info |= {
            'checkpoint': checkpoint,
            'sha256': None,
            'source': checkpoint,
            'pretraining_data': 'not stated: weights named on the command line',
        }
        stem = Path(checkpoint).stem if Path(checkpoint).stem != 'encoder' else Path(checkpoint).parent.name
        label = f'{label}-{stem}'
    return EncoderCard(label, reference, info)


def _merge(config: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            _merge(config[key], value)
        else:
            config[key] = value
