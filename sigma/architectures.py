"""Sizes of the published video transformers. Needs only the standard library, so that plans and cards can read them."""

from __future__ import annotations

# Width, blocks, heads; `tiny` is ours, for CPUs and tests.
ARCHITECTURES = {
    'tiny': {'embed_dims': 128, 'depth': 4, 'num_heads': 4},
    'small': {'embed_dims': 384, 'depth': 12, 'num_heads': 6},
    'base': {'embed_dims': 768, 'depth': 12, 'num_heads': 12},
    'large': {'embed_dims': 1024, 'depth': 24, 'num_heads': 16},
}


def architecture(arch: str | dict) -> dict:
    """`embed_dims`, `depth` and `num_heads` of an architecture, by name or as given.

    Raises:
        ValueError: if the name is unknown.
    """
    if isinstance(arch, dict):
        return arch
    if arch not in ARCHITECTURES:
        raise ValueError(f'Unknown VideoViT architecture {arch!r}. Known: {", ".join(ARCHITECTURES)}, or a dict.')
    return ARCHITECTURES[arch]


def backbone_label(backbone: dict) -> str:
    """`base VideoViT`, `VideoViT (4 blocks, width 128)`, `ImageFrames (resnet18)`: the innermost backbone."""
    while isinstance(backbone.get('backbone'), dict):
        backbone = backbone['backbone']
    name, arch = str(backbone.get('type', 'unknown')).rpartition('.')[2], backbone.get('arch')
    if isinstance(arch, dict) and {'depth', 'embed_dims'} <= set(arch):
        return f'{name} ({arch["depth"]} blocks, width {arch["embed_dims"]})'
    if isinstance(backbone.get('model'), str):
        return f'{name} ({backbone["model"]})'
    return f'{arch} {name}' if isinstance(arch, str) else name
