"""Loading an encoder: the steps are listed in the docstring of the package."""

import logging
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor, nn

from sigma.checkpoints.described import card_of_file
from sigma.checkpoints.files import Weights, load_strictly, read_weights, sha256_of_tensors
from sigma.checkpoints.layouts import to_ours, told_by
from sigma.checkpoints.mmaction import to_mmaction
from sigma.checkpoints.names import Converted
from sigma.checkpoints.severe import from_severe
from sigma.errors import CheckpointError

LOG = logging.getLogger(__name__)
_MMACTION_MAY_LACK = ('pos_embed', 'fc_norm.')  # its fixed positions, and a norm that feature maps do not pass


def load_encoder_weights(
    backbone: nn.Module,
    checkpoint: str | Path,
    layout: str = 'sigma',
    drop: Iterable[str] = (),
    inner: str = '',
    positions: str | None = None,
) -> None:
    """Load the encoder of a checkpoint into a backbone, completely.

    Of a fine-tuned model, `fc_norm` and the classifier are left out, and a backbone that ends in a norm loses it if the
    file has none: the tokens are those before `fc_norm`. The log says so.

    Args:
        backbone: The module, or an adapter around it.
        checkpoint: File in any known layout (see `sigma.checkpoints.layouts`); read without running code.
        layout: What the backbone is: `sigma` (`VideoViT`), `mmaction` (mmaction2's VisionTransformer), `r2plus1d`
            (`R2Plus1D18`), `own` (a module with a method `load_weights(file)`, such as `ImageFrames`), or `plain` (any
            module, if the file uses the module's own names).
        drop: Prefixes of tensors to leave out, such as the final norm of pretraining.
        inner: Attribute path from the backbone to the module that takes the weights, for adapters.
        positions: `videomae` or `mvd`, for a fine-tuned file that does not say which positions it was trained with.

    Raises:
        CheckpointError: if the file cannot be read, or a tensor is left over, missing or of another shape.
    """
    module, drop = backbone.get_submodule(inner), tuple(drop)
    if layout == 'own':
        module.load_weights(str(checkpoint))  # type: ignore[operator] # such as ImageFrames
    elif layout in ('plain', 'r2plus1d'):
        tensors = read_checked(checkpoint).tensors
        if layout == 'r2plus1d':
            tensors = _r2plus1d(tensors, checkpoint)
        load_strictly(module, _without(tensors, drop), str(checkpoint))
    else:
        place_encoder(module, read_encoder(checkpoint, drop, None, positions, module), str(checkpoint), layout, drop)


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


def read_encoder(
    checkpoint: str | Path,
    drop: Iterable[str] = (),
    num_frames: int | None = None,
    positions: str | None = None,
    module: nn.Module | None = None,
    image_size: int | None = None,
) -> Converted:
    """The encoder of a file under our names.

    Args:
        checkpoint, drop, positions: As in `load_encoder_weights`.
        num_frames, image_size: Frames and pixels of a clip; frames are needed to inflate an image encoder, both for
            MVD's positions if the file does not give them.
        module: The encoder that will take the weights, to know its clips (`VideoViT`).

    Raises:
        CheckpointError: if the file cannot be read, or holds tensors that our encoder has no place for.
    """
    weights = read_checked(checkpoint)
    frames, size = _clip_of(module)
    try:
        told = told_by(weights.header, positions, num_frames or frames, image_size or size)
        return to_ours(weights.tensors, num_frames, told=told, not_needed=drop)
    except CheckpointError as error:
        raise CheckpointError(f'{checkpoint} does not fit: {error}.') from None


def _clip_of(module: nn.Module | None) -> tuple[int | None, int | None]:
    """Frames and pixels of the clips that a `VideoViT` is built for."""
    grid, tubelet = getattr(module, 'grid', None), getattr(module, 'tubelet', None)
    return (grid[0] * tubelet[0], grid[1] * tubelet[1]) if grid and tubelet else (None, None)


def _r2plus1d(tensors: dict[str, Tensor], checkpoint: str | Path) -> dict[str, Tensor]:
    try:
        return from_severe(tensors)[0]
    except CheckpointError as error:
        raise CheckpointError(f'{checkpoint} does not fit: {error}.') from None


def load_fine_tuned(backbone: nn.Module, head: nn.Module, checkpoint: str | Path, **loading) -> None:
    """Load a released fine-tuned model whole: its encoder into a backbone, its classifier into a head.

    Args:
        backbone, checkpoint, loading: As in `load_encoder_weights`.
        head: With `fc_norm` and `fc` on the mean token, such as `eval.TokenHead`.

    Raises:
        CheckpointError: as `load_encoder_weights`, and if the file has no such classifier, or one of other classes.
    """
    drop, layout = tuple(loading.get('drop', ())), loading.get('layout', 'sigma')
    if layout not in ('sigma', 'mmaction'):
        raise CheckpointError(f'{checkpoint} cannot be tested whole: only transformers have a head that is known here.')
    module = backbone.get_submodule(loading.get('inner', ''))
    converted = read_encoder(checkpoint, drop, None, loading.get('positions'), module)
    if not converted.head:
        found = ', '.join(converted.head_names) or 'none of its tensors'
        raise CheckpointError(
            f'{checkpoint} has no whole classifier on the mean token (a norm and a linear layer; found {found}), so '
            'there is nothing to test; use it as an encoder.'
        )
    place_encoder(module, converted, str(checkpoint), layout, drop, say=False)
    load_strictly(head, converted.head, f'The classifier of {checkpoint}')


def place_encoder(
    module: nn.Module,
    converted: Converted,
    source: str,
    layout: str = 'sigma',
    drop: Iterable[str] = (),
    say: bool = True,
) -> None:
    """Put a converted encoder into a module; arguments and errors as in `load_encoder_weights`.

    Args:
        say: Log what is left out of a fine-tuned model.
    """
    tensors = to_mmaction(converted.encoder) if layout == 'mmaction' else converted.encoder
    tensors = _without(tensors, drop)
    positions = tensors.pop('positions', None)
    if converted.is_fine_tuned:
        _end_as_fine_tuned(module, 'norm.weight' in tensors, source, say)
    load_strictly(module, tensors, source, _MMACTION_MAY_LACK if layout == 'mmaction' else ())
    if positions is not None:
        _set_positions(module, positions, source)


def _end_as_fine_tuned(module: nn.Module, has_norm: bool, source: str, say: bool) -> None:
    """Take the final norm from a module if a fine-tuned file has none, and say what is left out."""
    said = f'{source} is a fine-tuned model: its classifier and the norm before it (fc_norm) are left out'
    if not has_norm and isinstance(getattr(module, 'norm', None), nn.LayerNorm):
        module.norm = nn.Identity()
        said += '; the encoder ends without a norm, as it did in fine-tuning'
    if say:
        LOG.warning('%s.', said)


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
    module.set_positions(positions)  # type: ignore[operator] # of VideoViT
