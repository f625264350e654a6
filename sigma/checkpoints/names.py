"""How we name the tensors of a video transformer, and what every conversion shares.

    blocks.0.attn.qkv.{weight, bias}     in `VideoViT`
    encoder.blocks.0...                  in a pretraining model, with decoder.*, projector.layers.*, sinkhorn_loss.*
    positions                            (N, D), only where the source does not use the flat sinusoid

N tokens, D width.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sigma.errors import CheckpointError
from sigma.positions import sinusoid_positions

BLOCK_KEYS = tuple(
    f'{part}.{kind}'
    for part in ('norm1', 'attn.qkv', 'attn.proj', 'norm2', 'mlp.fc1', 'mlp.fc2')
    for kind in ('weight', 'bias')
)
# The parts of a pretraining model besides its encoder.
REST = ('decoder.', 'projector.layers.', 'sinkhorn_loss.')
# Attention heads of the published sizes by width; a file does not store them.
HEADS = {384: 6, 768: 12, 1024: 16, 1280: 16, 192: 3, 512: 8, 640: 8, 128: 4, 64: 2}


@dataclass(frozen=True)
class Told:
    """What is known about a file beside its tensors.

    Attributes:
        positions: `videomae` (the flat sinusoid, which SIGMA, MGMAE and VideoMAE V2 share) or `mvd`; None: unknown.
        num_frames, image_size: Clips that the weights were trained on, for MVD's positions.
        fine_tuned: Whether a classifier was left out when the file was written.
    """

    positions: str | None = None
    num_frames: int = 16
    image_size: int = 224
    fine_tuned: bool = False


@dataclass
class Converted:
    """A video transformer under our names.

    Attributes:
        encoder: Tensors of `VideoViT`, plus `positions` (N, D) if the source has its own.
        rest: Decoder, projector and prototypes of a pretraining model, named as in our whole model.
        head: `fc_norm` and `fc` of a fine-tuned model, named as in `eval.TokenHead`; all four tensors or none.
        head_names: What the source calls the tensors of its head, whole or not.
        left_out: Other names in the source that have no place in an encoder or pretraining model.
        layout: The layout of the source.
        is_fine_tuned: Whether the source has, or had, a classifier. Its encoder then usually ends without a norm.
    """

    encoder: dict[str, Tensor]
    rest: dict[str, Tensor] = field(default_factory=dict)
    head: dict[str, Tensor] = field(default_factory=dict)
    head_names: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    layout: str = 'sigma'
    is_fine_tuned: bool = False

    @property
    def has_decoder(self) -> bool:
        """Whether the source is a whole pretraining model rather than an encoder alone."""
        return any(name.startswith('decoder.') for name in self.rest)

    @property
    def whole(self) -> dict[str, Tensor]:
        """All tensors, named as in our pretraining model."""
        return {f'encoder.{name}': tensor for name, tensor in self.encoder.items()} | self.rest


def rename(tensors: dict[str, Tensor], rules: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    """Rename by the first rule (pattern, replacement) that matches; other names stay."""
    renamed = {}
    for name, tensor in tensors.items():
        pattern, replacement = next(((p, r) for p, r in rules if re.search(p, name)), ('', ''))
        renamed[re.sub(pattern, replacement, name) if pattern else name] = tensor
    return renamed


def is_encoder_name(name: str) -> bool:
    """Whether `VideoViT` has a tensor of this name (blocks of any number), or it is `positions`."""
    block = re.fullmatch(r'blocks\.\d+\.(.+)', name)
    if block:
        return block[1] in BLOCK_KEYS
    return name == 'positions' or bool(re.fullmatch(r'(patch_embed\.proj|norm)\.(weight|bias)', name))


def depth_of(tensors: dict[str, Tensor], prefix: str = 'blocks.') -> int:
    """Number of transformer blocks whose names start with `prefix`."""
    return len({name.removeprefix(prefix).split('.')[0] for name in tensors if name.startswith(prefix)})


def fold_layer_scale(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Multiply the factors of LayerScale into the layer before them, which changes nothing but rounding.

    Known names: `gamma_1`, `gamma_2` (VideoMAE and its kin), `ls1.gamma`, `ls2.gamma` (timm, DINOv2).
    """
    folded = dict(tensors)
    for name in tensors:
        factor = re.fullmatch(r'(.*blocks\.\d+\.)(?:gamma_|ls)([12])(?:\.gamma)?', name)
        layer = factor and f'{factor[1]}{"attn.proj" if factor[2] == "1" else "mlp.fc2"}'
        if factor is None or f'{layer}.weight' not in folded:
            continue
        gamma = folded.pop(name)
        folded[f'{layer}.weight'] = gamma[:, None] * folded[f'{layer}.weight']
        if f'{layer}.bias' in folded:
            folded[f'{layer}.bias'] = gamma * folded[f'{layer}.bias']
    return folded


# Parts of other networks, for the sentence that refuses them: pattern of a name -> what it is.
_OTHER_NETWORKS = (
    (r'\.attn\.(scale|logit_scale)$', 'cosine attention'),
    (r'temporal_|time_embed', 'attention over time in layers of its own, as in TimeSformer and SVT'),
    (r'cls_token$', 'a class token'),
    (r'(q|k)_norm', 'normalised queries and keys'),
    (r'(pos_embed|position_embeddings)', 'positions of its own'),
    (r'gamma|lambda', 'LayerScale in an unknown place'),
)


def refuse_stray(stray: list[str], where: str) -> None:
    """Refuse tensors that would change the features but have no place.

    Args:
        stray: Their names in the source.
        where: What has no place for them, for the message.

    Raises:
        CheckpointError: if there are any; gives their number, the first name, and the network if it is a known one.
    """
    if stray:
        known = next((what for pattern, what in _OTHER_NETWORKS for n in stray if re.search(pattern, n)), None)
        why = f' (another network: {known})' if known else ''
        count = f'{len(stray)} of its keys {"has" if len(stray) == 1 else "have"}'
        raise CheckpointError(f'{count} no place in {where}, first {stray[0]}{why}')


def check_whole(tensors: dict[str, Tensor], what: str, beside_blocks: tuple[str, ...]) -> None:
    """Refuse missing blocks, and shapes that no plain transformer has (a gated MLP, a second width).

    Raises:
        CheckpointError: naming the first tensor that is missing or has the wrong shape.
    """
    numbers = [int(name.split('.')[1]) for name in tensors if name.startswith('blocks.')]
    wanted = [f'blocks.{i}.{key}' for i in range(1 + max(numbers, default=0)) for key in BLOCK_KEYS]
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
                f'{name} has shape {tuple(tensors[name].shape)}; a {what} of width {width} with a plain MLP has {shape}'
            )


def is_sinusoid(positions: Tensor) -> bool:
    """Whether positions (N, D) equal the flat sinusoid that our encoder builds, up to the rounding of their dtype."""
    rounding = max(1e-5, torch.finfo(positions.dtype).eps)
    num_tokens, width = positions.shape
    return torch.allclose(positions.float(), sinusoid_positions(num_tokens, width), atol=rounding)
