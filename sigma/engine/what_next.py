"""What a finished training prints: where its encoder lies, and the command that measures it."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path

from sigma.checkpoints.described import card_of_file
from sigma.data.cards import load_dataset_card
from sigma.errors import DataError

SMALL_PIXELS = 64


def what_next(cfg) -> list[str]:
    """Where the encoder of a finished training lies, and the command that measures it; empty if there is none."""
    encoder = Path(cfg.work_dir) / 'encoder.safetensors'
    if not encoder.is_file():
        return []
    cards = cfg.train_dataloader.dataset.get('card', [])
    labelled = []
    for card in [cards] if isinstance(cards, str) else cards:
        with suppress(DataError):
            if load_dataset_card(card).task == 'action_recognition':
                labelled.append(str(card))
    small = is_small(encoder)  # then beside `random`, the same architecture with random weights
    command = ['python', 'eval/run_severe.py', '--suite', 'own_small' if small else 'own']
    command += ['--encoders', str(encoder), *(['random'] if small else [])]
    command += ['--datasets', *(labelled or ['FOLDER']), '--work-dir', str(Path(cfg.work_dir) / 'measured')]
    return [f'The encoder is in {encoder}. To measure it:', f'  {shlex.join(command)}']


def is_small(encoder: Path) -> bool:
    """Whether an encoder file holds a tiny one, which `own_small` measures in minutes: clips of up to 64 pixels."""
    card = card_of_file(encoder)
    return card is not None and card['clip']['size'] <= SMALL_PIXELS
