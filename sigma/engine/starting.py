"""Starting a pretraining from weights of another model: which parts are taken, and which start new.

A part is taken whole or not at all: the encoder, the decoder, its last layer, the projector, the prototypes.
"""

import logging

from mmengine.dist import is_main_process
from mmengine.logging import print_log
from torch import Tensor, nn

from sigma.checkpoints.files import misfits
from sigma.checkpoints.layouts import to_ours, told_by
from sigma.errors import CheckpointError

# Part -> how its names start in our pretraining models; the first that fits counts.
_PARTS = {
    'encoder': 'encoder.',
    'last layer of the decoder': 'decoder.head.',
    'decoder': 'decoder.',
    'projector': 'projector.',
    'prototypes': 'sinkhorn_loss.',
}
_ORDER = ('encoder', 'decoder', 'last layer of the decoder', 'projector', 'prototypes')


def start_from_others(model: nn.Module, checkpoint: dict, source: str) -> None:
    """Give a checkpoint of another model the form of this one, in place; log what is taken.

    Weights of this very model, in our names, stay as they are. Otherwise the file may be in any layout that
    `sigma.checkpoints.layouts` knows: a whole pretraining model, or an encoder alone.

    Args:
        model: A pretraining model with an `encoder`; others are left alone.
        checkpoint: With `state_dict`, and the `header` of its file if it is a file of weights.
        source: Path, for errors.

    Raises:
        CheckpointError: if the encoder in the file does not fit, or the file holds no video transformer.
    """
    tensors = checkpoint['state_dict']
    header = checkpoint.get('header')  # a training state of ours has none here
    if not hasattr(model, 'encoder') or header is None or header.get('kind') == 'encoder':
        return  # beside an encoder of ours lies the whole state of its training
    if not misfits(model, tensors):
        return
    try:
        converted = to_ours(tensors, told=told_by(header))
    except CheckpointError as error:
        raise CheckpointError(f'{source} does not fit the model of this config: {error}.') from None
    given = converted.whole
    problems = misfits(model.encoder, converted.encoder)  # type: ignore[arg-type] # a module
    if problems:
        raise CheckpointError(f'{source} does not fit the encoder of this config: {"; ".join(problems)}.')
    own = model.state_dict()
    taken: dict[str, Tensor] = {}
    new: list[str] = []
    parts = sorted({_part_of(name) for name in own}, key=lambda part: (*_ORDER, part).index(part))
    for part in parts:
        wanted = {name: tensor for name, tensor in own.items() if _part_of(name) == part}
        found = {name: tensor for name, tensor in given.items() if _part_of(name) == part}
        fits = part == 'encoder' or _same_shapes(wanted, found)
        taken |= found if fits else wanted
        new += [] if fits else [part]
    checkpoint['state_dict'] = taken
    if is_main_process():
        parts = [part for part in parts if part not in new]
        left = sorted({_part_of(name) for name in given} - set(parts))
        said = f'{source} (layout {converted.layout}): taken: {", ".join(parts)}'
        said += f'; starting new: {", ".join(new)}' if new else ''
        said += f'; not used: {", ".join(left)}' if left else ''
        print_log(f'{said}.', 'current', logging.WARNING)


def _part_of(name: str) -> str:
    return next((part for part, start in _PARTS.items() if name.startswith(start)), name.split('.')[0])


def _same_shapes(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> bool:
    return {n: t.shape for n, t in wanted.items()} == {n: t.shape for n, t in found.items()}
