"""Encoders: how a user names one, and its card: a backbone, its weights, and the clips that it takes."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from pathlib import Path

from eval.cells.libraries import is_library, timm_info
from eval.cells.pretraining import what_was_reached
from sigma.architectures import architecture, backbone_label
from sigma.checkpoints import described
from sigma.checkpoints.described import IMAGENET_MEAN, IMAGENET_STD
from sigma.data.cards import card_names, find_card, read_complete_card
from sigma.errors import CheckpointError, DataError
from sigma.files import sha256_file
from sigma.parts import Part

_ROW_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.+=-]*')  # it becomes part of file names: eval.records.record_path
# File names that say nothing about what they hold; the row then bears the name of the folder.
_SAYS_NOTHING = re.compile(r'encoder|model|weights?|checkpoint|pytorch_model|ema|final|last|latest', re.IGNORECASE)
_ONE_OF_MANY = re.compile(r'best|(iter|epoch|step|checkpoint)[_-]?\d+', re.IGNORECASE)  # the folder goes in front


@dataclass(frozen=True)
class Reference:
    """An encoder as a user names it: `[ALIAS=]CARD[@FILE]` or `[ALIAS=]FILE.safetensors`; CARD may be `timm:NAME`.

    Attributes:
        text: All of it.
        alias: Name of the row in tables; None for the usual one.
        card: Name or path of a card; None for a file that describes itself.
        file: File of weights; None for those of the card.
    """

    text: str
    alias: str | None
    card: str | None
    file: str | None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Take a reference apart. The path of a file that exists may hold `=` and `@`.

        Raises:
            DataError: if a part is empty.
        """
        alias, rest = None, text
        head, has_alias, tail = text.partition('=')
        if has_alias and not _is_file(text) and not set(head) & {'/', '@'}:
            alias, rest = head, tail
            if not alias or not rest:
                raise DataError(f'Encoder {text}: write NAME=ENCODER, such as ours=vit_b@FILE; one side is empty.')
        if _is_file(rest):
            return cls(text, alias, *((None, rest) if Path(rest).suffix != '.py' else (rest, None)))
        card, asks, file = rest.partition('@')
        if asks and not file:
            raise DataError(
                f'Encoder {text}: no checkpoint follows the @; use {card} alone for the weights of the card.'
            )
        if asks and not card:
            raise DataError(f'Encoder {text}: no card stands before the @; give {file} alone, or NAME@{file}.')
        if not asks and (Path(card).suffix in _WEIGHTS or Path(card).is_dir()):
            return cls(text, alias, None, card)
        return cls(text, alias, card, file or None)

    @property
    def row(self) -> str | None:
        """Name of the row that the file or the alias gives; None if the card decides alone."""
        if self.alias:
            return self.alias
        if self.file is None:
            return None
        path = Path(self.file).absolute()
        if _SAYS_NOTHING.fullmatch(path.stem):
            return path.parent.name
        return f'{path.parent.name}-{path.stem}' if _ONE_OF_MANY.fullmatch(path.stem) else path.stem


_WEIGHTS = ('.safetensors', '.pth', '.pt', '.bin', '.ckpt', '.tar', '.npz')


def _is_file(text: str) -> bool:
    return Path(text).suffix in ('.py', *_WEIGHTS) and Path(text).is_file()


@dataclass
class EncoderCard:
    """A card of `mmaction_configs/encoders`, with the checkpoint that it or the user names.

    Attributes:
        name: Name in records and tables.
        reference: As the user gave it (see `Reference`).
        info: The card's `encoder` dict; its keys are those of `sigma.data.declared.ENCODER`. `training` is what a file
            that describes itself says about its training.
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
            if reached := what_was_reached(self.checkpoint):
                how = f' {reached}'
            what = 'no file' if Path(self.checkpoint).exists() else 'not there'
            raise DataError(
                f'Encoder {self.name}: its checkpoint {self.checkpoint} is {what}.{how} '
                f'Or give other weights: {Reference.parse(self.reference).card or "vit_b"}@FILE.'
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

    def sentence(self) -> str:
        """What is measured, in one line: `random: tiny VideoViT, clips of 16 x 64 x 64, random weights`."""
        clip, backbone = self.info['clip'], self.info['backbone']
        shape = [str(clip.get(key, '?')) for key in ('num_frames', 'size', 'size')]
        weights = f'weights {self.checkpoint}' if self.checkpoint else 'RANDOM weights (no pretraining)'
        return f'{self.name}: {backbone_label(backbone)}, clips of {" x ".join(shape)}, {weights}'

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
    """The card of an encoder: a card's own, one with other weights, or the one that a weights file holds.

    Args:
        reference: `CARD`, `CARD@FILE` or `FILE.safetensors`, each with or without `ALIAS=` in front; a card is a name,
            a path ending in `.py`, or `timm:NAME`.

    Raises:
        DataError: if there is no such card (with the nearest name), it lacks a field, a file does not describe itself
            or contradicts its card, or the row's name is that of another card or cannot name files.
    """
    asked = Reference.parse(reference)
    if asked.card is None:
        label, info = asked.row, _described_by(asked)
    else:
        label, info = _by_card(asked)
    label = str(asked.alias or label)
    if not _ROW_NAME.fullmatch(label):
        rest = reference.partition('=')[2] if asked.alias else reference
        raise DataError(
            f'Encoder {reference}: its row would be called {label!r}, and names of files are made of it: letters, '
            f'digits and _ . + = - only, no dot or dash first. Give it a name: ours={rest}.'
        )
    if asked.row is not None and label in card_names('encoders') and (label != asked.card or asked.file):
        raise DataError(f'Encoder {reference}: its row would be called {label}, which is a card; give it another name.')
    return EncoderCard(label, reference, info)


def _by_card(asked: Reference) -> tuple[str, dict]:
    """Name and fields of a card, with the user's weights if there are any."""
    if is_library(asked.card or ''):
        info = timm_info(asked.card or '')
        label = info['name']
    else:
        path = find_card('encoders', asked.card or '')
        info = read_complete_card(path, 'encoder')
        _check_finetuned(path, info)
        label = info.get('name', path.stem)
    if asked.file is None:
        return label, info
    info |= {
        'checkpoint': asked.file,
        'sha256': None,
        'source': asked.file,
        'pretraining_data': 'not stated: weights named on the command line',
    }
    is_ours = Path(asked.file).is_file() and not is_library(asked.card or '')
    said = _card_in(asked.file) if is_ours else None
    if said is not None:
        _check_agreement(asked, info['backbone'], said['backbone'])
        info |= {key: said[key] for key in ('pretraining_data', 'source', 'training') if said.get(key)}
    return f'{label}-{asked.row}', info


def _described_by(asked: Reference) -> dict:
    """Fields of the card that a weights file holds."""
    file = asked.file or ''
    if Path(file).is_dir():
        inside = Path(file) / 'encoder.safetensors'
        advice = f'Give {inside}.' if inside.is_file() else what_was_reached(inside)
        raise DataError(f'Encoder {asked.text}: {file} is a folder. {advice or "Give a card, or a .safetensors file."}')
    if not Path(file).is_file():
        reached = what_was_reached(file)
        raise DataError(f'Encoder {asked.text}: the file {file} is not there.{f" {reached}" if reached else ""}')
    said = _card_in(file)
    if said is None:
        raise DataError(f'Encoder {asked.text}: {described.no_card(file)}')
    return described.encoder_info(said) | {'checkpoint': file, 'sha256': None}


def _card_in(file: str) -> dict | None:
    try:
        return described.card_of_file(file)
    except CheckpointError as error:
        raise DataError(str(error)) from None


def _check_agreement(asked: Reference, backbone: dict, said: dict) -> None:
    """Refuse a card of another architecture than the file's; the number of heads, for one, shows in no tensor."""
    if backbone.get('type') != described.BACKBONE:
        return
    try:
        own = {'patch_size': 16, 'tubelet_size': 2} | backbone | architecture(backbone.get('arch', 'base'))
    except ValueError as error:
        raise DataError(f'Encoder {asked.text}: {error}') from None
    trained = said | said['arch']
    for name in (*described.ARCH_SIZES, 'patch_size', 'tubelet_size'):
        if own.get(name) != trained[name]:
            raise DataError(
                f'Encoder {asked.text}: the card {asked.card} has {name} {own.get(name)}, but {asked.file} says that '
                f'it was trained with {trained[name]}. Give the file alone: it describes itself.'
            )


def _check_finetuned(path: Path, info: dict) -> None:
    """Raise a DataError if `finetune` has an argument that the backbone does not take."""
    if info.get('finetune'):
        backbone = EncoderCard('', '', info).backbone(finetune=True)
        if found := list(Part().problems(backbone, 'finetune')):
            raise DataError(f'{path}: `encoder`: {"; ".join(found)}.')


def _merge(config: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            _merge(config[key], value)
        else:
            config[key] = value
