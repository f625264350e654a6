"""A tiny prepared dataset of long videos with actions, a tiny encoder, and the recipe that goes with them."""

import json
from pathlib import Path

import numpy as np

from eval.cells.cell import Cell, ResolvedCell
from eval.protocols import get_protocol
from sigma.data.index import build_index
from sigma.data.lists import write_list
from sigma.datasets.toy.render import encode

ENCODER = """encoder = dict(
    backbone=dict(type='sigma.VideoViT', arch='tiny', image_size=32, num_frames=8, patch_size=16, tubelet_size=2),
    embed_dims=128, checkpoint=None, sha256=None, clip=dict(num_frames=8, stride_frames=2, size=32), source='none')
"""
RECIPE = """recipe = dict(
    protocol='localization', view=dict(step_frames=4, resize='square'), batch_size=8, length=None, longest=None,
    standardise=False, targets=dict(whole_frames=False, least_share=0.0, empty_videos=True),
    head=dict(width=16, num_heads=2, num_levels=3, num_stem=1, window=5, num_positives=10.0),
    training=dict(epochs=2, warmup_epochs=1, batch_size=2, lr=1e-3, weight_decay=0.05, ema_decay=0.9, clip_norm=1.0,
                  crop=(0.8, 1.0)),
    suppression=dict(sigma=0.5, class_wise_voting=0.7, most=20, before=200, shortest_steps=0.3))
"""
# mmaction2's BMN instead of the head
HEAD = {
    'type': 'mmaction.BMN',
    'temporal_dim': 24,
    'boundary_ratio': 0.5,
    'num_samples': 6,
    'num_samples_per_bin': 3,
    'soft_nms_alpha': 0.4,
    'soft_nms_low_threshold': 0.5,
    'soft_nms_high_threshold': 0.9,
    'post_process_top_k': 20,
    'hidden_dim_1d': 16,
    'hidden_dim_2d': 16,
    'hidden_dim_3d': 16,
}
CHANGE = (
    """ longest=None,
    standardise=False, targets=dict(whole_frames=False, least_share=0.0, empty_videos=True),
    head=dict(width=16, num_heads=2, num_levels=3, num_stem=1, window=5, num_positives=10.0),
    training=dict(epochs=2, warmup_epochs=1, batch_size=2, lr=1e-3, weight_decay=0.05, ema_decay=0.9, clip_norm=1.0,
                  crop=(0.8, 1.0)),
    suppression=dict(sigma=0.5, class_wise_voting=0.7, most=20, before=200, shortest_steps=0.3))""",
    f""" standardise=False, head={HEAD}, naming=dict(strength=0.1, top=2),
    training=dict(epochs=1, batch_size=2, lr=1e-3, weight_decay=1e-4, milestone=1, clip_norm=40))""",
)
FPS = 25
# frames, actions [start frame, end frame, class] of each video; the last of each split is shorter than a clip
TRAIN = ((60, ((10, 30, 0), (40, 55, 1))), (50, ((5, 25, 1),)), (40, ()), (9, ((2, 8, 0),)))
TEST = ((60, ((12, 30, 0),)), (44, ((8, 40, 1), (8, 40, 0))), (7, ((1, 6, 1),)))


def write_long(folder: Path, train=TRAIN, test=TEST, **changes) -> Path:
    """Gray videos in which a square is bright (class 0) or striped (class 1) during an action."""
    folder.mkdir(parents=True, exist_ok=True)
    lists, annotations = {'train': [], 'test': []}, {}
    for split, shapes in (('train', train), ('test', test)):
        for number, (num_frames, actions) in enumerate(shapes):
            name, frames = f'{split}_{number}.mp4', np.full((num_frames, 32, 48, 3), 60, np.uint8)
            for start, end, label in actions:
                frames[start:end, 8:24, 8:24] = 220
                if label:
                    frames[start:end, 8:24:4, 8:24] = 20
            (folder / name).write_bytes(encode(frames, FPS, 8))
            lists[split].append((name, tuple(sorted({label for *_, label in actions}))))
            annotations[name] = {'actions': [[start / FPS, end / FPS, label] for start, end, label in actions]}
        write_list(folder / f'{split}.txt', lists[split])
    build_index(folder, sorted(annotations), folder / 'index.jsonl', workers=1, progress=False)
    (folder / 'annotations.json').write_text(json.dumps(annotations))
    info = {
        'name': 'long',
        'task': 'localization',
        'classes': ['bright', 'striped'],
        'annotations': 'annotations.json',
        'index': 'index.jsonl',
        'metric': 'map_30_70',
        'splits': {split: {'list': f'{split}.txt', 'sha256': None, 'num_videos': len(lists[split])} for split in lists},
    } | changes
    (folder / 'dataset.py').write_text(f'data_root = {str(folder)!r}\ndataset_info = {info!r}\n')
    return folder


def resolve(
    dataset: Path, tmp_path: Path, protocol='localization', seed=0, shots=None, change=('', ''), text=RECIPE
) -> ResolvedCell:
    """The cell of a tiny encoder with random weights on a dataset, with one change in the recipe's text."""
    recipe, encoder = tmp_path / 'long_recipe.py', tmp_path / 'small.py'
    recipe.write_text(text.replace("protocol='localization'", f'protocol={protocol!r}').replace(*change))
    encoder.write_text(ENCODER)
    return ResolvedCell(Cell(protocol, str(dataset), str(recipe), str(encoder), seed, shots), get_protocol(protocol))


def resolve_bmn(dataset: Path, tmp_path: Path, protocol='localization_bmn', length='length=24') -> ResolvedCell:
    """Like `resolve`, with a tiny BMN instead of the head."""
    text = RECIPE.replace(*CHANGE).replace('length=None', length)
    assert text.count('BMN') == 1
    return resolve(dataset, tmp_path, protocol, text=text)
