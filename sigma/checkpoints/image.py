"""Image encoders (timm's and transformers' ViT, DINO, DINOv2), and how to inflate one to a video encoder."""

import math
import re

import torch
from torch import Tensor

from sigma.checkpoints.files import misfits
from sigma.checkpoints.hf import image_from_hf, is_hf_image
from sigma.checkpoints.names import depth_of, fold_layer_scale, rename
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


def check_timm(tensors: dict[str, Tensor]) -> None:
    """Refuse what timm's VisionTransformer cannot load, by building it (without memory) for these tensors.

    Raises:
        CheckpointError: with what does not fit.
    """
    import timm.layers
    from timm.models.vision_transformer import VisionTransformer

    width, channels, patch = tensors['patch_embed.proj.weight'].shape[:3]
    prefix = [name for name in ('cls_token', 'reg_token') if name in tensors]
    num_prefix = sum(tensors[name].shape[1] for name in prefix)
    num_positions = tensors['pos_embed'].shape[1] if 'pos_embed' in tensors else 0
    extra = next((n for n in (num_prefix, 0) if is_square(num_positions - n)), None)
    fc1, fc2 = (tensors.get(f'blocks.0.mlp.{layer}.weight') for layer in ('fc1', 'fc2'))
    if extra is None or num_positions <= extra or fc1 is None or fc2 is None:
        raise CheckpointError(
            f"timm's VisionTransformer cannot load it: {num_positions} positions, blocks "
            f'{"whole" if fc1 is not None and fc2 is not None else "without their MLP"}'
        )
    has = {key: any(name.endswith(f'.{key}') for name in tensors) for key in ('ls1.gamma', 'q_norm.weight', 'qkv.bias')}
    gated = fc1.shape[0] == 2 * fc2.shape[1]
    with torch.device('meta'):
        model = VisionTransformer(
            img_size=math.isqrt(num_positions - extra) * patch,
            patch_size=patch,
            in_chans=channels,
            num_classes=0,
            embed_dim=width,
            depth=depth_of(tensors),
            num_heads=width // len(tensors['blocks.0.attn.q_norm.weight']) if has['q_norm.weight'] else 1,
            mlp_ratio=fc1.shape[0] / width,
            qkv_bias=has['qkv.bias'],
            qk_norm=has['q_norm.weight'],
            init_values=1.0 if has['ls1.gamma'] else None,
            class_token='cls_token' in tensors,
            reg_tokens=tensors['reg_token'].shape[1] if 'reg_token' in tensors else 0,
            no_embed_class=bool(num_prefix) and extra == 0,
            pre_norm='norm_pre.weight' in tensors,
            global_pool='avg' if 'cls_token' not in tensors else 'token',
            final_norm='norm.weight' in tensors or 'fc_norm.weight' in tensors,
            fc_norm='fc_norm.weight' in tensors,
            mlp_layer=timm.layers.SwiGLUPacked if gated else timm.layers.Mlp,
        )
    problems = misfits(model, tensors)
    if problems:
        raise CheckpointError(f"timm's VisionTransformer cannot load it: {'; '.join(problems)}")


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
