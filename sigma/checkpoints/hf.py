"""The layout of transformers' VideoMAE, both ways, and its config.json.

Two traps. Its default LayerNorm eps is 1e-12, but the weights were trained with 1e-6: `hf_config` writes 1e-6.
transformers 5 renamed the biases of q and v without a mapping and then loads zeros: a file without them is refused.
"""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from sigma.checkpoints.names import HEADS, Converted, depth_of, rename
from sigma.checkpoints.published import split_qkv_bias, to_published
from sigma.errors import CheckpointError

# transformers -> published
_BLOCK = (
    ('layernorm_before.', 'norm1.'),
    ('layernorm_after.', 'norm2.'),
    ('attention.output.dense.', 'attn.proj.'),
    ('attention.attention.q_bias', 'attn.q_bias'),
    ('attention.attention.v_bias', 'attn.v_bias'),
    ('intermediate.dense.', 'mlp.fc1.'),
    ('output.dense.', 'mlp.fc2.'),
)
_OUTSIDE_BLOCKS = (
    ('videomae.embeddings.patch_embeddings.projection.', 'encoder.patch_embed.proj.'),
    ('videomae.layernorm.', 'encoder.norm.'),
    ('videomae.encoder.layer.', 'encoder.blocks.'),
    ('decoder.decoder_layers.', 'decoder.blocks.'),
)


# transformers' image encoders (ViT, DeiT, Dinov2, with or without registers) -> timm
_IMAGE = (
    (r'^embeddings\.patch_embeddings\.projection\.', 'patch_embed.proj.'),
    (r'^embeddings\.position_embeddings$', 'pos_embed'),
    (r'^embeddings\.', ''),
    (r'^layernorm\.', 'norm.'),
    (r'^encoder\.layer\.(\d+)\.(layernorm_before|norm1)\.', r'blocks.\1.norm1.'),
    (r'^encoder\.layer\.(\d+)\.(layernorm_after|norm2)\.', r'blocks.\1.norm2.'),
    (r'^encoder\.layer\.(\d+)\.attention\.output\.dense\.', r'blocks.\1.attn.proj.'),
    (r'^encoder\.layer\.(\d+)\.attention\.attention\.', r'blocks.\1.attn.'),
    (r'^encoder\.layer\.(\d+)\.layer_scale([12])\.lambda1$', r'blocks.\1.ls\2.gamma'),
    (r'^encoder\.layer\.(\d+)\.(intermediate\.dense|mlp\.fc1|mlp\.weights_in)\.', r'blocks.\1.mlp.fc1.'),
    (r'^encoder\.layer\.(\d+)\.(output\.dense|mlp\.fc2|mlp\.weights_out)\.', r'blocks.\1.mlp.fc2.'),
)


def is_hf_image(tensors: dict[str, Tensor]) -> bool:
    """Whether tensors are those of an image encoder of transformers: its patch embedding has four axes."""
    return any(name.endswith('patch_embeddings.projection.weight') and t.dim() == 4 for name, t in tensors.items())


def image_from_hf(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """transformers' ViT or Dinov2, bare or inside a model with a head -> names of timm, with registers as in DINOv2."""
    inner = re.compile(r'^\w+\.(?=(embeddings|encoder|layernorm)\.)')  # `vit.`, `dinov2.`
    named = rename({inner.sub('', name): tensor for name, tensor in tensors.items()}, _IMAGE)
    joined = {}
    for name, tensor in named.items():
        part = re.fullmatch(r'(blocks\.\d+\.attn\.)(query|key|value)\.(weight|bias)', name)
        if part is None:
            joined[name] = tensor
        elif part[2] == 'query':
            joined[f'{part[1]}qkv.{part[3]}'] = torch.cat(
                [named[f'{part[1]}{p}.{part[3]}'] for p in ('query', 'key', 'value')]
            )
    return joined


def from_hf(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`VideoMAEModel`, `VideoMAEForPreTraining` or `...ForVideoClassification` -> the published layout.

    Raises:
        CheckpointError: if the biases of q and v are missing.
    """
    if not any(name.startswith('videomae.') for name in tensors):  # the bare VideoMAEModel
        own = ('embeddings.', 'encoder.layer.', 'layernorm.')
        tensors = {f'videomae.{n}' if n.startswith(own) else n: tensor for n, tensor in tensors.items()}
    tensors = {re.sub(r'(query|value)\.bias$', lambda m: f'{m[1][0]}_bias', n): t for n, t in tensors.items()}
    biases = sum(name.endswith(('.q_bias', '.v_bias')) for name in tensors)
    layers = sum(name.endswith('.attention.attention.query.weight') for name in tensors)
    if biases != 2 * layers:
        raise CheckpointError(
            f'{2 * layers - biases} of {2 * layers} biases of q and v are missing (transformers 5 loses them when it '
            'loads and saves a published file); convert the published file itself'
        )
    tensors = {name: t for name, t in tensors.items() if not name.endswith('.key.bias')}
    joined = {}
    for name, tensor in tensors.items():
        if name.endswith('.attention.attention.query.weight'):
            stem = name.removesuffix('query.weight')
            parts = [tensors[f'{stem}{part}.weight'] for part in ('query', 'key', 'value')]
            joined[f'{stem.removesuffix("attention.attention.")}attn.qkv.weight'] = torch.cat(parts)
        elif not name.endswith(('.key.weight', '.value.weight')):
            joined[name] = tensor
    return {_replace(name, _OUTSIDE_BLOCKS, _BLOCK): tensor for name, tensor in joined.items()}


def to_hf(converted: Converted) -> tuple[dict[str, Tensor], list[str]]:
    """Ours -> `VideoMAEForPreTraining` if there is a decoder, `VideoMAEForVideoClassification` if there is a head, else
    `VideoMAEModel`; and the names left out.

    SIGMA's projector and prototypes have no place there. Nor does its decoder's last layer: theirs predicts the pixels
    of a tubelet, ours predicts features, and transformers refuses to load another width.

    Raises:
        CheckpointError: if the encoder has its own positions, which transformers' VideoMAE cannot hold.
    """
    if 'positions' in converted.encoder:
        raise CheckpointError(
            "the encoder has positions of its own (MVD's, or an inflated image encoder's), but transformers' VideoMAE "
            'always builds the flat sinusoid, so its features would differ; convert to sigma or mmaction'
        )
    published = split_qkv_bias(to_published(converted.whole))
    left_out = [name for name in published if name == 'prototypes' or name.startswith('head.')]
    pixels = converted.encoder['patch_embed.proj.weight'][0].numel()  # per tubelet: what their head predicts
    if converted.has_decoder and len(converted.rest['decoder.head.weight']) != pixels:
        left_out += [name for name in published if name.startswith('decoder.head.')]
    tensors = {}
    for name, tensor in published.items():
        if name in left_out:
            continue
        if name.endswith('.attn.qkv.weight'):
            stem = name.removesuffix('attn.qkv.weight')
            for part, value in zip(('query', 'key', 'value'), tensor.chunk(3)):
                tensors[f'{stem}attention.attention.{part}.weight'] = value
        else:
            tensors[name] = tensor
    outside, block = ([(b, a) for a, b in table] for table in (_OUTSIDE_BLOCKS, _BLOCK))
    tensors = {_replace(name, outside, block): tensor for name, tensor in tensors.items()}
    if converted.head:
        tensors |= rename(converted.head, ((r'^fc\.', 'classifier.'),))
    elif not converted.has_decoder:
        tensors = {name.removeprefix('videomae.'): tensor for name, tensor in tensors.items()}
    return tensors, left_out


def hf_config(
    converted: Converted,
    image_size: int = 224,
    num_frames: int = 16,
    heads: int | None = None,
    decoder_heads: int | None = None,
) -> dict:
    """Content of `config.json`: sizes read from the tensors, and the LayerNorm eps used in training.

    Args:
        converted: The encoder, or the whole model.
        image_size: Side length in pixels.
        num_frames: Frames per clip.
        heads, decoder_heads: Attention heads (default: those of the published model of this width).

    Raises:
        CheckpointError: if heads are not given for a width that was never published, or do not divide the width.
    """
    width, _, tubelet, patch, _ = converted.encoder['patch_embed.proj.weight'].shape
    heads = _heads_of(width, heads, '--heads')
    config = {
        'model_type': 'videomae',
        'architectures': [_kind_of(converted)],
        'hidden_size': width,
        'intermediate_size': converted.encoder['blocks.0.mlp.fc1.weight'].shape[0],
        'num_hidden_layers': depth_of(converted.encoder),
        'num_attention_heads': heads,
        'image_size': image_size,
        'num_frames': num_frames,
        'patch_size': patch,
        'tubelet_size': tubelet,
        'layer_norm_eps': 1e-6,  # transformers' default is 1e-12
        'qkv_bias': True,
        'hidden_act': 'gelu',
        'use_mean_pooling': 'norm.weight' not in converted.encoder,
    }
    if converted.has_decoder:
        narrow = converted.rest['decoder.bridge.weight'].shape[0]
        config |= {
            'decoder_hidden_size': narrow,
            'decoder_intermediate_size': converted.rest['decoder.blocks.0.mlp.fc1.weight'].shape[0],
            'decoder_num_hidden_layers': depth_of(converted.rest, 'decoder.blocks.'),
            'decoder_num_attention_heads': _heads_of(narrow, decoder_heads, '--decoder-heads'),
        }
    if converted.head:
        names = {str(i): f'LABEL_{i}' for i in range(len(converted.head['fc.weight']))}
        config |= {'id2label': names, 'label2id': {name: int(i) for i, name in names.items()}}
    return config


def _kind_of(converted: Converted) -> str:
    if converted.head:
        return 'VideoMAEForVideoClassification'
    return 'VideoMAEForPreTraining' if converted.has_decoder else 'VideoMAEModel'


def _heads_of(width: int, heads: int | None, option: str) -> int:
    if heads is None and width not in HEADS:
        raise CheckpointError(
            f'weights do not store the number of heads, and width {width} is not a published size: give {option}'
        )
    heads = heads or HEADS[width]
    if heads < 1 or width % heads:
        raise CheckpointError(f'{option} {heads} does not divide width {width}')
    return heads


Rules = Sequence[tuple[str, str]]


def _replace(name: str, outside: Rules, block: Rules) -> str:
    """Apply the first rule that fits the start of a name, then the first that fits what follows a block number."""
    for old, new in outside:
        if name.startswith(old):
            name = new + name.removeprefix(old)
            break
    inside = re.fullmatch(r'(.*(?:blocks|layer|decoder_layers)\.\d+\.)(.+)', name)
    if inside:
        for old, new in block:
            if inside[2].startswith(old):
                return inside[1] + new + inside[2].removeprefix(old)
    return name
