"""Features and ground truth in the layouts that ActionFormer and OpenTAD read, so that one can go on there.

<out>/features/<prefix><name>.npy   (S, D) float16 of a video; both programs make it float32
<out>/annotations.json              {database: {name: {subset, duration, frame, fps, annotations}}}
<out>/category_idx.txt              a class a line, in the order of `label_id` (OpenTAD)
<out>/missing_files.txt             a name a line: videos of the lists without features, or of unknown rate (OpenTAD)
<out>/actionformer.yaml             what a config of ActionFormer says of the dataset
<out>/opentad.py                    what a config of OpenTAD says of it

A name is a video's, ending left out, and folders too where that leaves all names different (`names_of`). A prefix that
all names share is left out of the database: external video-level scores know ActivityNet's videos without their `v_`.

Both place step n of the features at (n x step + half a clip) frames, as we do (`DenseView.centres`).
Source: libs/datasets/{thumos14,anet}.py of ActionFormer; opentad/datasets and its configs/_base_/datasets.
"""

import io
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from eval.features.dense import DenseFeatures, DenseView
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
) -> Path:
    """Write features and ground truth of a subset beside those of others; the path of the annotations.

    Args:
        features, unscored: What `extract_dense` gave.
        entries: Of `DatasetCard.entries`.
        subset: As the annotations shall name it; `SUBSETS` has OpenTAD's names.
        classes: All of the dataset.
        out: Folder.
        names, prefix: Of `names_of` all videos of the dataset; by default folders and endings are left out.

    Raises:
        DataError: if all tokens were kept, two videos have the same name, or the folder has a dataset of other classes.
    """
    file, known = out / 'annotations.json', {entry['video']: entry for entry in entries}
    listed = out / 'category_idx.txt'
    if listed.is_file() and listed.read_text().splitlines() != list(classes):
        raise DataError(f"'{out}' holds the export of a dataset with other classes: choose another folder.")
    database = json.loads(file.read_text())['database'] if file.is_file() else {}
    written: dict[str, str] = {}
    if names is None:
        names = {one.video: PurePosixPath(one.video).stem for one in features}
    timeless = [one.video for one in features if not one.fps > 0]  # no second of theirs can be placed
    for one in features:
        if one.video in timeless:
            continue
        name, values = names[one.video], one.values
        if values.ndim != 2:
            raise DataError('All tokens of a clip were kept; ActionFormer and OpenTAD read one vector a clip.')
        if name in written or database.get(name, {}).get('subset', subset) != subset:
            raise DataError(f'{one.video} would be written as {name}, which is another video already.')
        written[name] = one.video
        buffer = io.BytesIO()
        np.save(buffer, values)
        write_atomic(out / 'features' / f'{prefix}{name}.npy', buffer.getvalue())
        all_actions = (known[one.video]['annotation'] or {}).get('actions', [])
        actions = [action for action in all_actions if 0 <= action[2] < len(classes)]
        if len(actions) < len(all_actions):  # as `eval.models.truth.read_truth`
            number = len(all_actions) - len(actions)
            LOG.warning('%s: %d actions of a class that the card does not know, left out', one.video, number)
        database[name] = {
            'subset': subset,
            'duration': one.num_frames / one.fps,
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


def names_of(videos: Sequence[str]) -> tuple[dict[str, str], str]:
    """video -> its name in the database; and what the names of files have before it.

    Folders are left out where that leaves all names different, else they are joined with `_`. The prefix is `v_` where
    all names begin with it, as ActivityNet's do; else nothing.
    """
    paths = {video: PurePosixPath(video) for video in videos}
    names = {video: path.stem for video, path in paths.items()}
    if len(set(names.values())) < len(names):
        names = {video: '_'.join((*path.parent.parts, path.stem)) for video, path in paths.items()}
    prefix = 'v_' if names and all(name.startswith('v_') for name in names.values()) else ''
    return {video: name.removeprefix(prefix) for video, name in names.items()}, prefix


def write_configs(out: Path, view: DenseView, width: int, num_classes: int, prefix: str = '') -> list[Path]:
    """The two files that say to each program where the features lie and how their steps lie in time.

    Args:
        width: D.
    """
    clip_frames = view.num_frames * view.stride_frames
    actionformer = f"""# For a config of ActionFormer, in the place of its own lines (dataset_name stays).
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
