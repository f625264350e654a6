"""Image encoders (timm's and transformers' ViT, DINO, DINOv2), and how to inflate one to a video encoder."""

import math
import re

from torch import Tensor

from sigma.checkpoints.hf import image_from_hf, is_hf_image
from sigma.checkpoints.names import fold_layer_scale, rename
from sigma.errors import CheckpointError

# Heads of training and of classifiers, of DINO, DINOv2 and transformers.
_NOT_IN_TIMM = ('mask_token', 'head.', 'dino_head.', 'ibot_head.', 'pooler.', 'classifier.')


def to_timm(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """DINO, DINOv2 and transformers' ViT and Dinov2 -> timm's VisionTransformer; timm's own names stay.

    What only training or a classifier uses is dropped. With registers, timm has no position for the class token, so we
    add it to the token itself. DINOv2 stores its training with blocks in chunks (`blocks.1.7.`): the chunk goes.
    """
    tensors = {_timm_name(name): t for name, t in tensors.items()}
    if is_hf_image(tensors):
        tensors = image_from_hf(tensors)
    rules = (
        (r'^register_tokens$', 'reg_token'),
        (r'\.mlp\.w12\.', '.mlp.fc1.'),
        (r'\.mlp\.w3\.', '.mlp.fc2.'),
    )
    tensors = {re.sub(r'^blocks\.\d+\.(\d+\.)', r'blocks.\1', name): t for name, t in tensors.items()}
    named = {name: t for name, t in rename(tensors, rules).items() if not name.startswith(_NOT_IN_TIMM)}
    if 'register_tokens' in tensors:
        positions = named['pos_embed']
        named['cls_token'] = named['cls_token'] + positions[:, :1]
        named['pos_embed'] = positions[:, 1:]
    return named


def without_place_in_timm(tensors: dict[str, Tensor]) -> list[str]:
    """Names that `to_timm` drops: tensors used only in training, or by a classifier."""
    return [name for name in tensors if _plain_name(name).startswith(_NOT_IN_TIMM)]


def is_square(number: int) -> bool:
    """Whether a number of tokens fills a square image."""
    return number > 0 and math.isqrt(number) ** 2 == number


def _timm_name(name: str) -> str:
    return re.sub(r'^(?:module\.|_orig_mod\.|backbone\.|teacher\.|model\.)+', '', name)


def _plain_name(name: str) -> str:
    """As `_timm_name`, without the name of a transformers model or what it calls its embeddings."""
    return re.sub(r'^(?:\w+\.)?embeddings\.', '', _timm_name(name))


def inflate(tensors: dict[str, Tensor], num_frames: int | None, tubelet_size: int = 2) -> dict[str, Tensor]:
    """timm's VisionTransformer -> our video encoder, by repeating weights in time.

    The patch embedding is repeated over the frames of a tubelet and divided by their number. Positions are repeated
    over time. LayerScale is folded into the layer before it. On a clip of identical frames, one time slot gives the
    features of the image encoder without its class and register tokens. Our encoder has no such tokens; they keep
    their names here. Only square images of the encoder's own size are supported.

    Args:
        num_frames: Frames per clip, a multiple of `tubelet_size`.

    Raises:
        CheckpointError: if `num_frames` is missing or does not fill tubelets, or the positions are not those of a
            square image.

    Source: I3D (arXiv:1705.07750), section 2.
    """
    if num_frames is None or num_frames < 1 or num_frames % tubelet_size:
        raise CheckpointError(
            f'this is an image encoder. To turn it into a video encoder, give --inflate FRAMES, a multiple of '
            f'{tubelet_size} (found {num_frames}); to use it as a teacher, give --to timm'
        )
    video = dict(tensors)
    weight = video['patch_embed.proj.weight']
    video['patch_embed.proj.weight'] = weight[:, :, None].expand(-1, -1, tubelet_size, -1, -1) / tubelet_size
    video = fold_layer_scale(video)
    if 'pos_embed' in video:
        positions = video.pop('pos_embed')[0]
        tokens = sum(video[name].shape[1] for name in ('cls_token', 'reg_token') if name in video)
        # Positions may or may not include those of the class and register tokens.
        extra = next((n for n in (0, tokens) if is_square(len(positions) - n)), None)
        if extra is None:
            raise CheckpointError(
                f'its {len(positions)} positions do not form a square image, with or without {tokens} for class and '
                'register tokens'
            )
        video['positions'] = positions[extra:].repeat(num_frames // tubelet_size, 1)
    return video
