"""What a training has reached whose encoder is not there yet, and the command that goes on."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from sigma.files import state_header


def what_was_reached(checkpoint: str | Path) -> str | None:
    """A sentence on the training in the folder of a missing `encoder.safetensors`; None if there is no training.

    It says the step and epoch of the newest checkpoint, of how many, and the command that continues from it.
    """
    path = Path(checkpoint)
    folder = path.parent
    if path.name != 'encoder.safetensors' or not folder.is_dir():
        return None
    configs = sorted(folder.glob('*.py'))  # MMEngine writes the config of a run into its folder
    if not configs:
        return None
    go_on = shlex.join(['python', 'tools/train.py', str(configs[0]), '--work-dir', str(folder), '--resume'])
    found = [
        (int(m[1]), file) for file in folder.iterdir() if (m := re.fullmatch(r'iter_(\d+)\.safetensors', file.name))
    ]
    if not found:
        return f'Its training in {folder} was started and has saved nothing yet. Go on with: {go_on}.'
    step, newest = max(found)
    meta = (state_header(newest).get('tree') or {}).get('meta') or {}
    written = configs[0].read_text(encoding='utf-8', errors='replace')
    epochs, steps = re.search(r'max_epochs=(\d+)', written), re.search(r'max_steps=(\d+)', written)
    where = f'step {step}'
    if steps:
        where += f' of {steps[1]}'
    elif epochs and isinstance(meta.get('steps_per_epoch'), int):
        where += f' of {int(epochs[1]) * meta["steps_per_epoch"]}'
    if isinstance(meta.get('epoch'), int):
        where += f' (epoch {meta["epoch"]}{f" of {epochs[1]}" if epochs else ""})'
    return f'Its training in {folder} has reached {where}. Go on with: {go_on}.'
