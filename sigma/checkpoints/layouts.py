"""Layouts of other houses: key tables from theirs to ours and back; every tensor is placed or named.

    published   SIGMA, VideoMAE, MGMAE: encoder.blocks.0.attn.{q_bias, v_bias, qkv.weight}; fine-tuned: blocks.0...
    mvd         the same names without `encoder.`, two decoders, and positions of its own (`pos_embed`)
    hf          transformers' VideoMAEModel (embeddings., encoder.layer.) and VideoMAEForPreTraining (videomae.)
    mmaction    mmaction2's VisionTransformer
    image       timm ViT, DINO, DINOv2: `patch_embed.proj.weight` has four axes
    sigma       ours

Traps: HF's config says LayerNorm eps 1e-12, the weights were trained with 1e-6 (`hf_config` writes 1e-6);
transformers 5 renamed the biases of q and v without a mapping and then loads zeros, so a file without them is
refused here; a bias on k changes nothing in a softmax, and layouts that have no place for it drop it.
D width, N tokens. MVD's positions are not the flat sinusoid that VideoMAE and we build: they travel as `positions`.
"""

import math
import re
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sigma.checkpoints.files import from_published, rename, split_qkv_bias, to_mmaction, to_published
from sigma.errors import CheckpointError

_BLOCK_KEYS = tuple(
    f'{part}.{kind}'
    for part in ('norm1', 'attn.qkv', 'attn.proj', 'norm2', 'mlp.fc1', 'mlp.fc2')
    for kind in ('weight', 'bias')
)
_REST = ('decoder.', 'projector.layers.', 'sinkhorn_loss.')  # what a pretraining model has beside its encoder
_WRAPPERS = r'^(?:module\.|_orig_mod\.|model\.)+'  # of DataParallel, torch.compile, Lightning

FROM_MMACTION = (
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'\.mlp\.layers\.0\.0\.', '.mlp.fc1.'),
    (r'\.mlp\.layers\.1\.', '.mlp.fc2.'),
)
_HF_BLOCK = (
    ('layernorm_before.', 'norm1.'),
    ('layernorm_after.', 'norm2.'),
    ('attention.output.dense.', 'attn.proj.'),
    ('attention.attention.q_bias', 'attn.q_bias'),
    ('attention.attention.v_bias', 'attn.v_bias'),
    ('intermediate.dense.', 'mlp.fc1.'),
    ('output.dense.', 'mlp.fc2.'),
)
_HF_OUTSIDE = (
    ('videomae.embeddings.patch_embeddings.projection.', 'encoder.patch_embed.proj.'),
    ('videomae.layernorm.', 'encoder.norm.'),
    ('videomae.encoder.layer.', 'encoder.blocks.'),
    ('decoder.decoder_layers.', 'decoder.blocks.'),
)
# Heads of the published sizes by width; a file does not tell them.
HEADS = {384: 6, 768: 12, 1024: 16, 1280: 16, 192: 3, 512: 8, 640: 8, 128: 4, 64: 2}


@dataclass
class Converted:
    """A video transformer under our names.

    Attributes:
        encoder: Tensors of `VideoViT`, and `positions` (N, D) where the source has its own.
        rest: Decoder, projector, prototypes of a pretraining model, under the names of our whole model.
        left_out: Names in the source that have no place with us.
        layout: Which one it was.
    """

    encoder: dict[str, Tensor]
    rest: dict[str, Tensor] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    layout: str = 'sigma'

    @property
    def has_decoder(self) -> bool:
        """Whether there is more to write than the encoder alone, for layouts that have a place for it."""
        return any(name.startswith('decoder.') for name in self.rest)

    @property
    def whole(self) -> dict[str, Tensor]:
        """All tensors, named as in our pretraining model."""
        return {f'encoder.{name}': tensor for name, tensor in self.encoder.items()} | self.rest


def layout_of(tensors: dict[str, Tensor]) -> str:
    """One of the names above, by its patch embedding.

    Raises:
        CheckpointError: if there is none, naming the first keys.
    """
    for name, tensor in tensors.items():
        if name.endswith('patch_embeddings.projection.weight'):
            return 'hf'
        if name.endswith('patch_embed.projection.weight'):
            return 'mmaction'
        if name.endswith('patch_embed.proj.weight'):
            if tensor.dim() == 4:
                return 'image'
            if 'pos_embed' in tensors:
                return 'mvd'
            return 'published' if any(key.endswith('.q_bias') for key in tensors) else 'sigma'
    raise CheckpointError(
        'no video transformer of a known layout is in it: there is no patch embedding among its '
        f'{len(tensors)} keys, first {", ".join(list(tensors)[:3])}'
    )


def to_ours(tensors: dict[str, Tensor], num_frames: int | None = None, tubelet_size: int = 2) -> Converted:
    """Any layout to ours.

    Args:
        tensors: Of a file, with the names there.
        num_frames: For image encoders alone: frames of the clips that the inflated encoder will see.
        tubelet_size: Likewise, frames of a tubelet.

    Raises:
        CheckpointError: if the layout is unknown, tensors of a block are missing or of another shape, or an image
            encoder comes without `num_frames`.
    """
    layout = layout_of(tensors)
    try:
        return _to_ours(tensors, layout, num_frames, tubelet_size)
    except (KeyError, IndexError, RuntimeError) as error:  # a table met a tensor that is absent or of another shape
        raise CheckpointError(
            f'its patch embedding is that of the layout {layout}, and other tensors are not: '
            f'{" ".join(str(error.args[0] if error.args else error).split())[:160]}'
        ) from None


def _to_ours(tensors: dict[str, Tensor], layout: str, num_frames: int | None, tubelet_size: int) -> Converted:
    tensors = {re.sub(_WRAPPERS, '', name): tensor for name, tensor in tensors.items()}
    dropped = []
    if layout == 'hf':
        tensors = from_hf(tensors)
    elif layout == 'image':
        dropped = without_place_in_timm(tensors)
        tensors = inflate(to_timm(tensors), num_frames, tubelet_size)
    else:
        tensors = {name.removeprefix('backbone.'): tensor for name, tensor in tensors.items()}
    if layout == 'mmaction':
        tensors = rename(tensors, FROM_MMACTION)
    if 'pos_embed' in tensors:  # (1, N, D)
        tensors = tensors | {'positions': tensors['pos_embed'][0]}
        del tensors['pos_embed']
    names = from_published(tensors)
    prefix = 'encoder.' if any(name.startswith('encoder.') for name in names) else ''
    encoder, rest, left_out = {}, {}, dropped
    for name, tensor in names.items():
        if name.startswith(prefix) and _is_ours(name.removeprefix(prefix)):
            encoder[name.removeprefix(prefix)] = tensor
        elif prefix and name.startswith(_REST):
            rest[name] = tensor
        else:
            left_out.append(name)
    _check_whole(encoder, 'video transformer', ('patch_embed.proj.weight', 'patch_embed.proj.bias'))
    if 'positions' in encoder and is_sinusoid(encoder['positions']):
        del encoder['positions']
    return Converted(encoder, rest, left_out, layout)


def _is_ours(name: str) -> bool:
    block = re.fullmatch(r'blocks\.\d+\.(.+)', name)
    if block:
        return block[1] in _BLOCK_KEYS
    return name == 'positions' or bool(re.fullmatch(r'(patch_embed\.proj|norm)\.(weight|bias)', name))


def _check_whole(tensors: dict[str, Tensor], what: str, beside_blocks: tuple[str, ...]) -> None:
    """Refuse blocks with gaps, or whose shapes are those of no plain transformer (a gated MLP, another width)."""
    numbers = [int(name.split('.')[1]) for name in tensors if name.startswith('blocks.')]
    wanted = [f'blocks.{i}.{key}' for i in range(1 + max(numbers, default=0)) for key in _BLOCK_KEYS]
    missing = [name for name in (*beside_blocks, *wanted) if name not in tensors]
    if missing:
        raise CheckpointError(f'{len(missing)} tensors of a {what} are missing, first {missing[0]}')
    hidden, width = tensors['blocks.0.mlp.fc1.weight'].shape
    sizes = {'attn.qkv': (3 * width, width), 'mlp.fc1': (hidden, width), 'mlp.fc2': (width, hidden)}
    for name in wanted:
        part, kind = name.split('.', 2)[2].rsplit('.', 1)
        rows, columns = sizes.get(part, (width, width))
        shape = (rows, columns) if kind == 'weight' and not part.startswith('norm') else (rows,)
        if tensors[name].shape != shape:
            raise CheckpointError(
                f'{name} is {tuple(tensors[name].shape)}, and {shape} in a {what} of width {width} with a plain MLP'
            )


def is_sinusoid(positions: Tensor) -> bool:
    """Whether positions (N, D) are the flat sinusoid that our encoder builds, as exactly as their type allows."""
    from sigma.models.encoder import sinusoid_positions  # the table's one place; models import us

    rounding = max(1e-5, torch.finfo(positions.dtype).eps)
    return torch.allclose(positions.float(), sinusoid_positions(*positions.shape), atol=rounding)


# --- transformers ----------------------------------------------------------------------------------------------------


def from_hf(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`VideoMAEModel`, `VideoMAEForPreTraining` or `...ForVideoClassification` -> the published layout.

    Raises:
        CheckpointError: if the biases of q and v are not there.
    """
    if not any(name.startswith('videomae.') for name in tensors):  # the bare VideoMAEModel
        own = ('embeddings.', 'encoder.layer.', 'layernorm.')
        tensors = {f'videomae.{n}' if n.startswith(own) else n: tensor for n, tensor in tensors.items()}
    tensors = {re.sub(r'(query|value)\.bias$', lambda m: f'{m[1][0]}_bias', n): t for n, t in tensors.items()}
    biases = sum(name.endswith(('.q_bias', '.v_bias')) for name in tensors)
    layers = sum(name.endswith('.attention.attention.query.weight') for name in tensors)
    if biases != 2 * layers:
        raise CheckpointError(
            f'{2 * layers - biases} of {2 * layers} biases of q and v are absent (transformers 5 loses them when it '
            'loads and saves a published file); take the published file itself'
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
    return {_replace(name, _HF_OUTSIDE, _HF_BLOCK): tensor for name, tensor in joined.items()}


def to_hf(converted: Converted) -> tuple[dict[str, Tensor], list[str]]:
    """Ours -> `VideoMAEForPreTraining` where there is a decoder, else `VideoMAEModel`; and what has no place there.

    That is SIGMA's projection network and prototypes, and its decoder's last layer, which predicts features: theirs
    predicts the pixels of a tubelet, and loading refuses another width.

    Raises:
        CheckpointError: if the encoder has positions of its own, which transformers' VideoMAE cannot hold.
    """
    if 'positions' in converted.encoder:
        raise CheckpointError(
            "the encoder has positions of its own (MVD's, or an inflated image encoder's), and transformers' VideoMAE "
            'builds the flat sinusoid: its features would be others; convert to sigma or mmaction'
        )
    published = split_qkv_bias(to_published(converted.whole))
    left_out = [name for name in published if name == 'prototypes' or name.startswith('head.')]
    pixels = converted.encoder['patch_embed.proj.weight'][0].numel()  # of a tubelet, what their head predicts
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
    outside, block = ([(b, a) for a, b in table] for table in (_HF_OUTSIDE, _HF_BLOCK))
    tensors = {_replace(name, outside, block): tensor for name, tensor in tensors.items()}
    if not converted.has_decoder:
        tensors = {name.removeprefix('videomae.'): tensor for name, tensor in tensors.items()}
    return tensors, left_out


def hf_config(
    converted: Converted,
    image_size: int = 224,
    num_frames: int = 16,
    heads: int | None = None,
    decoder_heads: int | None = None,
) -> dict:
    """`config.json` beside transformers' weights: sizes from the tensors, and the LayerNorm eps of the training.

    Args:
        converted: The encoder, or the whole model.
        image_size: Pixels of a side.
        num_frames: Of a clip.
        heads, decoder_heads: Attention heads; None takes those of the published sizes.

    Raises:
        CheckpointError: if a width is no published one and its heads are not given, or do not divide it.
    """
    width, _, tubelet, patch, _ = converted.encoder['patch_embed.proj.weight'].shape
    heads = _heads_of(width, heads, '--heads')
    config = {
        'model_type': 'videomae',
        'architectures': ['VideoMAEForPreTraining' if converted.has_decoder else 'VideoMAEModel'],
        'hidden_size': width,
        'intermediate_size': converted.encoder['blocks.0.mlp.fc1.weight'].shape[0],
        'num_hidden_layers': _depth(converted.encoder, 'blocks.'),
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
            'decoder_num_hidden_layers': _depth(converted.rest, 'decoder.blocks.'),
            'decoder_num_attention_heads': _heads_of(narrow, decoder_heads, '--decoder-heads'),
        }
    return config


def _heads_of(width: int, heads: int | None, option: str) -> int:
    if heads is None and width not in HEADS:
        raise CheckpointError(
            f'weights do not tell the number of heads, and width {width} is no published size: {option}'
        )
    heads = heads or HEADS[width]
    if heads < 1 or width % heads:
        raise CheckpointError(f'{option} {heads} does not divide the width {width}')
    return heads


def _depth(tensors: dict[str, Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split('.')[0] for name in tensors if name.startswith(prefix)})


def _replace(name: str, outside, block) -> str:
    """The first rule for the beginning of a name, and the first for what follows the number of a block."""
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


# --- image encoders --------------------------------------------------------------------------------------------------


def to_timm(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """DINO and DINOv2 as released -> timm's VisionTransformer; timm's own names stay.

    DINOv2's `mask_token` is dropped (training alone uses it). With registers, timm adds the class token's position
    to the token itself.
    """
    tensors = {_timm_name(name): t for name, t in tensors.items()}
    rules = ((r'^register_tokens$', 'reg_token'), (r'\.mlp\.w12\.', '.mlp.fc1.'), (r'\.mlp\.w3\.', '.mlp.fc2.'))
    named = {name: t for name, t in rename(tensors, rules).items() if not name.startswith(_NOT_IN_TIMM)}
    if 'register_tokens' in tensors:
        positions = named['pos_embed']
        named['cls_token'] = named['cls_token'] + positions[:, :1]
        named['pos_embed'] = positions[:, 1:]
    return named


_NOT_IN_TIMM = ('mask_token', 'head.')


def without_place_in_timm(tensors: dict[str, Tensor]) -> list[str]:
    """Names that `to_timm` drops: of training alone, or of a classifier."""
    return [name for name in tensors if _timm_name(name).startswith(_NOT_IN_TIMM)]


def _timm_name(name: str) -> str:
    return re.sub(r'^(?:module\.|_orig_mod\.|backbone\.|teacher\.)+', '', name)


def inflate(tensors: dict[str, Tensor], num_frames: int | None, tubelet_size: int = 2) -> dict[str, Tensor]:
    """timm's VisionTransformer -> our video encoder, by repeating in time.

    The patch embedding is repeated over the frames of a tubelet and divided by their number, positions are repeated
    over tubelets, LayerScale is folded into the layer before it. On a clip of equal frames one slot gives what the
    image encoder without its class and register tokens gives; those tokens have no place with us and are left under
    their names. Images of another size than the encoder's, and such as are not square, are not foreseen.

    Raises:
        CheckpointError: without `num_frames`, where frames do not fill tubelets, or positions are of no square image.

    Source: I3D (arXiv:1705.07750), section 2.
    """
    if num_frames is None or num_frames < 1 or num_frames % tubelet_size:
        raise CheckpointError(
            f'an image encoder becomes a video encoder by repeating it in time: give --inflate FRAMES, a multiple of '
            f'{tubelet_size} (found {num_frames}); as a teacher it stays an image encoder: --to timm'
        )
    video = dict(tensors)
    weight = video['patch_embed.proj.weight']
    video['patch_embed.proj.weight'] = weight[:, :, None].expand(-1, -1, tubelet_size, -1, -1) / tubelet_size
    for name in [n for n in video if re.search(r'\.ls[12]\.gamma$', n)]:
        gamma = video.pop(name)
        layer = name.replace('ls1.gamma', 'attn.proj').replace('ls2.gamma', 'mlp.fc2')
        video[f'{layer}.weight'] = gamma[:, None] * video[f'{layer}.weight']
        video[f'{layer}.bias'] = gamma * video[f'{layer}.bias']
    if 'pos_embed' in video:
        positions = video.pop('pos_embed')[0]
        tokens = sum(video[name].shape[1] for name in ('cls_token', 'reg_token') if name in video)
        extra = next((n for n in (0, tokens) if math.isqrt(len(positions) - n) ** 2 == len(positions) - n), None)
        if extra is None:  # with or without positions of the class and register tokens
            raise CheckpointError(
                f'its {len(positions)} positions are those of no square image, with or without {tokens} for class and '
                'register tokens'
            )
        video['positions'] = positions[extra:].repeat(num_frames // tubelet_size, 1)
    return video


# --- writing ---------------------------------------------------------------------------------------------------------


def from_ours(converted: Converted, layout: str) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors under the names of a layout, and the names of those that have no place there.

    Args:
        converted: As `to_ours` gave it.
        layout: `sigma` and `mmaction` (the encoder alone), `published` and `hf` (all that the source had).

    Raises:
        CheckpointError: if positions of the encoder have no place there, or its decoder is not whole.
    """
    encoder, left_out = converted.encoder, [*converted.left_out]
    if layout in ('hf', 'published') and converted.has_decoder:
        _check_whole(
            {name.removeprefix('decoder.'): tensor for name, tensor in converted.rest.items()},
            'decoder',
            ('bridge.weight', 'mask_token', 'norm.weight', 'norm.bias', 'head.weight', 'head.bias'),
        )
    if layout == 'hf':
        tensors, more = to_hf(converted)
        return tensors, left_out + more
    if layout == 'published':
        if 'positions' in encoder:
            raise CheckpointError(
                'the encoder has positions of its own, which the published layout does not hold; use sigma or mmaction'
            )
        return to_published(converted.whole if converted.rest else encoder), left_out
    left_out += list(converted.rest)
    if layout == 'sigma':
        return encoder, left_out
    tensors = to_mmaction({name: tensor for name, tensor in encoder.items() if name != 'positions'})
    if 'positions' in encoder:
        tensors['pos_embed'] = encoder['positions'][None]
    return tensors, left_out
