"""Export of features and ground truth in the layouts that ActionFormer and OpenTAD read.

<out>/features/<prefix><name>.npy   (S, D) float16 of a video; both programs convert it to float32
<out>/annotations.json              {database: {name: {subset, duration, frame, fps, annotations}}}
<out>/category_idx.txt              one class per line, in the order of `label_id` (OpenTAD)
<out>/missing_files.txt             one name per line: listed videos without features or frame rate (OpenTAD)
<out>/actionformer.yaml             dataset lines for a config of ActionFormer
<out>/opentad.py                    dataset lines for a config of OpenTAD

A name is a video's path without its extension, and without folders if names stay distinct (`names_of`). If all names
have the prefix `v_`, the database leaves it out: external video-level scores name ActivityNet's videos without it.

Both programs place step n of the features at (n x step + half a clip) frames of a constant rate, as we do
(`DenseView.centres`). Features of a video without one are interpolated to those places (`evenly_spaced`).
Source: libs/datasets/{thumos14,anet}.py of ActionFormer; opentad/datasets and its configs/_base_/datasets.
"""

import io
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from eval.features.dense import DenseFeatures, DenseView, evenly_spaced
from sigma.errors import DataError
from sigma.files import write_atomic

LOG = logging.getLogger(__name__)
SUBSETS = {'train': 'training', 'test': 'validation'}


def export_features(
    features: Sequence[DenseFeatures],
    entries: Sequence[dict],
    subset: str,
    classes: Sequence[str],
    out: Path,
    names: Mapping[str, str] | None = None,
    prefix: str = '',
    unscored: Sequence[dict] = (),
    view: DenseView | None = None,
) -> Path:
    """Write features and ground truth of a subset. Other subsets in the folder stay.

    Args:
        features, unscored: From `extract_dense`; features (S, D).
        entries: From `DatasetCard.entries`.
        subset: Name of the subset in the annotations; `SUBSETS` has OpenTAD's names.
        classes: All classes of the dataset, in order.
        out: Folder to write to.
        names, prefix: From `names_of` on all videos of the dataset. Default: the file name without its extension.
        view: How the features were cut; needed for a video without a constant frame rate.

    Returns:
        Path of the annotations.

    Raises:
        DataError: if all tokens were kept, two videos have the same name, or the folder holds a dataset with other
            classes.
    """
    file, known = out / 'annotations.json', {entry['video']: entry for entry in entries}
    listed = out / 'category_idx.txt'
    if listed.is_file() and listed.read_text().splitlines() != list(classes):
        raise DataError(f"'{out}' holds the export of a dataset with other classes: choose another folder.")
    database = json.loads(file.read_text())['database'] if file.is_file() else {}
    written: dict[str, str] = {}
    if names is None:
        names = {one.video: PurePosixPath(one.video).stem for one in features}
    timeless = [one.video for one in features if not one.fps > 0]  # their times in seconds are unknown
    for one in features:
        if one.video in timeless:
            continue
        name, values = names[one.video], one.values
        if values.ndim != 2:
            raise DataError('All tokens of a clip were kept; ActionFormer and OpenTAD read one vector per clip.')
        if name in written or database.get(name, {}).get('subset', subset) != subset:
            raise DataError(f'{one.video} would be written as {name}, which is another video already.')
        written[name] = one.video
        buffer = io.BytesIO()
        np.save(buffer, values if one.shown is None else _even(one, view))
        write_atomic(out / 'features' / f'{prefix}{name}.npy', buffer.getvalue())
        all_actions = (known[one.video]['annotation'] or {}).get('actions', [])
        actions = [action for action in all_actions if 0 <= action[2] < len(classes)]
        if len(actions) < len(all_actions):  # like `eval.models.truth.read_truth`
            number = len(all_actions) - len(actions)
            LOG.warning('%s: %d actions of a class that the card does not know, left out', one.video, number)
        database[name] = {
            'subset': subset,
            'duration': one.times.duration,
            'frame': one.num_frames,
            'fps': one.fps,
            'annotations': [
                {'segment': [start, end], 'label': classes[int(label)], 'label_id': int(label)}
                for start, end, label in actions
            ],
        }
    write_atomic(file, json.dumps({'database': database}).encode())
    write_atomic(listed, ''.join(f'{name}\n' for name in classes).encode())
    missing = out / 'missing_files.txt'
    lost = set(missing.read_text().splitlines()) if missing.is_file() else set()
    lost |= {names.get(video, PurePosixPath(video).stem) for video in [*(one['video'] for one in unscored), *timeless]}
    write_atomic(missing, ''.join(f'{name}\n' for name in sorted(lost - set(database))).encode())
    return file


def _even(one: DenseFeatures, view: DenseView | None) -> np.ndarray:
    if view is None:
        raise DataError(f'{one.video} has no constant frame rate: give the view with which its features were cut.')
    return evenly_spaced(one, view)


def names_of(videos: Sequence[str]) -> tuple[dict[str, str], str]:
    """Name each video in the database, and find the prefix of its feature file.

    Folders are dropped if names stay distinct; otherwise they are joined with `_`. The prefix is `v_` if all names
    start with it, as ActivityNet's do, and empty otherwise.

    Returns:
        video -> name without prefix; and the prefix.
    """
    paths = {video: PurePosixPath(video) for video in videos}
    names = {video: path.stem for video, path in paths.items()}
    if len(set(names.values())) < len(names):
        names = {video: '_'.join((*path.parent.parts, path.stem)) for video, path in paths.items()}
    prefix = 'v_' if names and all(name.startswith('v_') for name in names.values()) else ''
    return {video: name.removeprefix(prefix) for video, name in names.items()}, prefix


def write_configs(out: Path, view: DenseView, width: int, num_classes: int, prefix: str = '') -> list[Path]:
    """Write the dataset lines for each program's config: where the features are, and how their steps map to time.

    Args:
        out: Folder of the export.
        view: How the features were cut.
        width: D.
        num_classes: Classes of the dataset.
        prefix: From `names_of`.

    Returns:
        Paths of the two files.
    """
    clip_frames = view.num_frames * view.stride_frames
    actionformer = f"""# For a config of ActionFormer, instead of its own lines (dataset_name stays).
train_split: ['{SUBSETS['train']}']
val_split: ['{SUBSETS['test']}']
dataset: {{
  json_file: {out}/annotations.json,
  feat_folder: {out}/features,
  file_prefix: {prefix or '~'},
  file_ext: .npy,
  num_classes: {num_classes},
  input_dim: {width},
  feat_stride: {view.step_frames},
  num_frames: {clip_frames},
  default_fps: ~,
}}
"""
    opentad = f"""# For a config of OpenTAD: paste it below `_base_`. LoadFeats of its pipelines takes
# prefix={prefix!r}, the projection of the model in_channels={width}. Datasets that resize need no
# stride and no offset.
annotation_path = '{out}/annotations.json'
class_map = '{out}/category_idx.txt'
data_path = '{out}/features/'
block_list = '{out}/missing_files.txt'
features = dict(
    ann_file=annotation_path, class_map=class_map, data_path=data_path, block_list=block_list,
    feature_stride={view.step_frames}, sample_stride=1, offset_frames={clip_frames // 2},
)
dataset = dict(
    train=dict(subset_name='{SUBSETS['train']}', **features),
    val=dict(subset_name='{SUBSETS['test']}', **features),
    test=dict(subset_name='{SUBSETS['test']}', **features),
)
evaluation = dict(subset='{SUBSETS['test']}', ground_truth_filename=annotation_path)
"""
    return [
        write_atomic(out / 'actionformer.yaml', actionformer.encode()),
        write_atomic(out / 'opentad.py', opentad.encode()),
    ]
