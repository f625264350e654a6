"""Loading an encoder: the steps are listed in the docstring of the package."""

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor, nn

from sigma.checkpoints.described import card_of_file
from sigma.checkpoints.files import Weights, load_strictly, read_weights, sha256_of_tensors
from sigma.checkpoints.layouts import from_ours, to_ours
from sigma.checkpoints.names import Converted
from sigma.errors import CheckpointError

# Tensors outside the encoder that may be ignored, by layout of the source: only pretraining or a classifier uses them.
_IGNORED = {
    'mvd': ('mask_token_', 'down_', 'decoder_', 'pos_embed_'),
    'image': ('cls_token', 'reg_token', 'mask_token', 'head.'),
}
_MMACTION_MAY_LACK = ('pos_embed', 'fc_norm.')  # its fixed positions, and a norm that feature maps do not pass


def load_encoder_weights(
    backbone: nn.Module, checkpoint: str | Path, layout: str = 'sigma', drop: Iterable[str] = (), inner: str = ''
) -> None:
    """Load the encoder of a checkpoint into a backbone, completely.

    Args:
        backbone: The module, or an adapter around it.
        checkpoint: File in any known layout (see `sigma.checkpoints.layouts`); read without running code.
        layout: What the backbone is: `sigma` (`VideoViT`), `mmaction` (mmaction2's VisionTransformer), or `plain` (any
            module, if the file uses the module's own names).
        drop: Prefixes of tensors to leave out, such as the final norm of pretraining.
        inner: Attribute path from the backbone to the module that takes the weights, for adapters.

    Raises:
        CheckpointError: if the file cannot be read, or a tensor is left over, missing or of another shape.
    """
    module, drop = backbone.get_submodule(inner), tuple(drop)
    if layout == 'plain':
        load_strictly(module, _without(read_checked(checkpoint).tensors, drop), str(checkpoint))
    else:
        place_encoder(module, read_encoder(checkpoint, drop), str(checkpoint), layout, drop)


def read_checked(checkpoint: str | Path) -> Weights:
    """Weights whose header, if it says anything, is true of them: its card (`described`) and the hash of the tensors.

    Raises:
        CheckpointError: if the file cannot be read, or its header contradicts its tensors.
    """
    weights = read_weights(checkpoint)
    card_of_file(checkpoint)
    said = weights.header.get('sha256')
    is_weights = said is not None and weights.header.get('kind') in ('encoder', 'weights')
    if is_weights and sha256_of_tensors(weights.tensors) != said:
        raise CheckpointError(
            f'{checkpoint} is damaged: its tensors differ from those that were written; use another copy.'
        )
    return weights


def read_encoder(checkpoint: str | Path, drop: Iterable[str] = (), num_frames: int | None = None) -> Converted:
    """The encoder of a file under our names.

    Args:
        checkpoint, drop: As in `load_encoder_weights`.
        num_frames: Only for image encoders: frames per clip of the video encoder that it becomes.

    Raises:
        CheckpointError: if the file cannot be read, or holds tensors that our encoder has no place for.
    """
    tensors = read_checked(checkpoint).tensors
    try:
        converted = to_ours(tensors, num_frames)
    except CheckpointError as error:
        raise CheckpointError(f'{checkpoint} does not fit: {error}.') from None
    if converted.rest:  # a whole pretraining model: only tensors of its encoder matter
        stray = [name for name in converted.left_out if name.startswith('encoder.')]
    else:
        ignored = (*_IGNORED.get(converted.layout, ('cls_head.',)), *drop)
        stray = [name for name in converted.left_out if not name.startswith(ignored)]
    if stray:
        raise CheckpointError(
            f'{checkpoint} does not fit: '
            f'{len(stray)} of its keys have no place in a video transformer, first {stray[0]}.'
        )
    return converted


def place_encoder(
    module: nn.Module, converted: Converted, source: str, layout: str = 'sigma', drop: Iterable[str] = ()
) -> None:
    """Put a converted encoder into a module; arguments and errors as in `load_encoder_weights`."""
    tensors, _ = from_ours(converted, layout)
    tensors = _without(tensors, drop)
    positions = tensors.pop('positions', None)
    load_strictly(module, tensors, source, _MMACTION_MAY_LACK if layout == 'mmaction' else ())
    if positions is not None:
        _set_positions(module, positions, source)


def _without(tensors: dict[str, Tensor], prefixes: Iterable[str]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(tuple(prefixes))}


def _set_positions(module: nn.Module, positions: Tensor, source: str) -> None:
    """Replace the sinusoid by the positions (N, D) that came with the weights."""
    own = getattr(module, 'positions', None)
    num_own = len(own) if isinstance(own, Tensor) else 0
    if not isinstance(own, Tensor) or own.shape != positions.shape:
        raise CheckpointError(
            f'{source} has its own positions for {len(positions)} tokens, but {type(module).__name__} has {num_own}; '
            'build it for the clips that the weights were trained on.'
        )
    own.copy_(positions)
    module.fixed_length = True  # type: ignore[assignment] # of VideoViT: longer clips would have no positions
