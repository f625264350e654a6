"""A trained encoder in one call: `sigma.load_encoder`."""

from pathlib import Path

from torch import nn

from sigma.architectures import architecture
from sigma.checkpoints.described import card_of_file
from sigma.checkpoints.encoder import load_encoder_weights, place_encoder, read_encoder
from sigma.checkpoints.names import HEADS, Converted, depth_of
from sigma.data.cards import find_card, read_card
from sigma.errors import CheckpointError
from sigma.files import sha256_file
from sigma.models.encoder import VideoViT
from sigma.registry import MODELS

_CLASSIFIER = ('head.', 'fc_norm.')  # of a fine-tuned model


def load_encoder(
    source: str | Path,
    arch: str | dict | None = None,
    image_size: int | None = None,
    num_frames: int | None = None,
    positions: str | None = None,
) -> nn.Module:
    """Build a video encoder and load its weights.

        encoder = sigma.load_encoder('encoder.safetensors')  # of our training: the file says what it is
        encoder = sigma.load_encoder('released.pth', arch='base', num_frames=16, image_size=224)
        tokens = encoder(clip)  # (B, 3, T, H, W), normalised -> (B, T', H', W', D)

    Args:
        source: A weights file in any known layout (ours; SIGMA's, VideoMAE's, MVD's and MGMAE's releases; transformers;
            mmaction2; an image encoder of timm, DINO or DINOv2, which is inflated in time). Or an encoder card: its
            name or its path, ending in `.py`. A PyTorch file that would run code is refused.
        arch: As in `VideoViT`; default: what the file says, else the sizes of the weights, with the published number
            of heads for that width.
        image_size: Side length of a clip in pixels; default: what the file says, else 224.
        num_frames: Frames per clip; default: what the file says, else 16.
        positions: `videomae` or `mvd`, for a fine-tuned file that does not say which positions it was trained with.

    Returns:
        The module in eval mode: a `VideoViT` for a file, the card's backbone for a card. It ends in a LayerNorm only
        if the weights have one. A classifier in the file is left out.

    Raises:
        CheckpointError: if the file cannot be read, or its weights do not fit the sizes asked for.
        DataError: if the card does not exist.
        ValueError: if a card is given together with sizes, or sizes are not multiples of the tubelet size.
    """
    sizes = {'arch': arch, 'image_size': image_size, 'num_frames': num_frames, 'positions': positions}
    given = {name: value for name, value in sizes.items() if value is not None}
    if Path(source).suffix == '.py' or not (Path(source).suffix or Path(source).exists()):
        if given:
            raise ValueError(
                f'load_encoder was given the card {source} and {", ".join(given)}; a card sets its own sizes.'
            )
        return _from_card(str(source)).eval()
    card = card_of_file(source) or {}
    said = card.get('backbone', {})
    num_frames, image_size = num_frames or said.get('num_frames', 16), image_size or said.get('image_size')
    converted = read_encoder(source, _CLASSIFIER, num_frames, positions, image_size=image_size)
    _check_architecture(converted, arch, str(source), said.get('arch'))
    arch = arch or said.get('arch')
    width, _, tubelet_size, patch_size, _ = converted.encoder['patch_embed.proj.weight'].shape
    encoder = VideoViT(
        arch or {'embed_dims': width, 'depth': depth_of(converted.encoder), 'num_heads': HEADS[width]},
        image_size or said.get('image_size', 224),
        num_frames,
        patch_size,
        tubelet_size,
        final_norm='norm.weight' in converted.encoder,
    )
    place_encoder(encoder, converted, str(source))
    return encoder.eval()


def _check_architecture(converted: Converted, arch: str | dict | None, source: str, said: dict | None) -> None:
    """Refuse an `arch` that is not that of the weights, or not the one that the file says; and unknown heads."""
    width, depth = len(converted.encoder['patch_embed.proj.weight']), depth_of(converted.encoder)
    if arch is None:
        if said is None and width not in HEADS:
            raise CheckpointError(
                f'{source} has width {width}, which is not a published size, and weights do not store the number of '
                f"heads; give arch={{'embed_dims': {width}, 'depth': {depth}, 'num_heads': ...}}."
            )
        return
    asked = architecture(arch)
    if (asked['embed_dims'], asked['depth']) != (width, depth):
        raise CheckpointError(
            f'{source} does not fit arch {arch!r}: it has {depth} blocks of width {width}, but {asked["depth"]} blocks '
            f'of width {asked["embed_dims"]} were asked for. Leave arch out to take the sizes of the weights.'
        )
    if said is not None and asked['num_heads'] != said['num_heads']:
        raise CheckpointError(
            f'{source} does not fit arch {arch!r}: it was trained with {said["num_heads"]} heads, but '
            f'{asked["num_heads"]} were asked for. Leave arch out to take what the file says.'
        )


def _from_card(name: str) -> nn.Module:
    path = find_card('encoders', name)
    card = read_card(path, 'encoder')
    backbone = MODELS.build(card['backbone'])
    checkpoint = card.get('checkpoint')
    if checkpoint is None:
        if hasattr(backbone, 'init_weights'):
            backbone.init_weights()
        return backbone
    wanted = card.get('sha256')
    if wanted and Path(checkpoint).is_file() and sha256_file(checkpoint) != wanted:
        raise CheckpointError(f'{checkpoint} is not the file that {path} names: its sha256 is not {wanted[:16]}...')
    loading = {'layout': card.get('layout', 'sigma'), 'drop': card.get('drop', ()), 'inner': card.get('inner', '')}
    load_encoder_weights(backbone, checkpoint, **loading, positions=card.get('positions'))
    return backbone
