"""Whether timm's plain VisionTransformer can load the tensors of an image encoder."""

import math

import timm.layers
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from sigma.checkpoints.files import misfits
from sigma.checkpoints.image import is_square
from sigma.checkpoints.names import depth_of
from sigma.errors import CheckpointError


def check_timm(tensors: dict[str, Tensor]) -> None:
    """Refuse what timm's VisionTransformer cannot load, by building it (without memory) for these tensors.

    Raises:
        CheckpointError: with what does not fit.
    """
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
            mlp_layer=timm.layers.SwiGLUPacked if gated else timm.layers.Mlp,  # type: ignore[arg-type]
        )
    problems = misfits(model, tensors)
    if problems:
        raise CheckpointError(f"timm's VisionTransformer cannot load it: {'; '.join(problems)}")
