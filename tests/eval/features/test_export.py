"""Features for ActionFormer and OpenTAD: read here as their data loaders read them."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from eval.features.dense import DenseFeatures, DenseView, extract_dense
from eval.features.export import SUBSETS, export_features, names_of, write_configs
from eval.protocols.localization import sequence_of
from sigma.errors import DataError
from sigma.video import FrameTimes
from tests.eval.tiny_localization import FPS, TEST, TRAIN, resolve, write_long

VIEW = DenseView(num_frames=8, stride_frames=2, step_frames=4, size=32)
CLASSES = ['bright', 'striped']


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """(folder, features by name) of the tiny dataset, both splits."""
    tmp_path = tmp_path_factory.mktemp('export')
    resolved, out, features = resolve(write_long(tmp_path / 'data'), tmp_path), tmp_path / 'out', {}
    for split, subset in SUBSETS.items():
        found, _ = extract_dense(resolved, split, VIEW, tmp_path, progress=False)
        export_features(found, resolved.dataset.entries(split), subset, CLASSES, out)
        features |= {one.video.removesuffix('.mp4'): one for one in found}
    write_configs(out, VIEW, 128, 2)
    return out, features


def read_as_actionformer(file, split):
    """What ActionFormer's dataset makes of its config: {name: (features (D, S), segments in steps, labels)}."""
    config = yaml.safe_load(file.read_text())
    dataset = SimpleNamespace(**config['dataset'])
    database = json.loads(Path(dataset.json_file).read_text())['database']
    numbers = {act['label']: act['label_id'] for value in database.values() for act in value['annotations']}
    assert len(numbers) == dataset.num_classes
    found = {}
    for name, value in database.items():
        if value['subset'].lower() not in config[f'{split}_split']:
            continue
        fps = value['fps'] if dataset.default_fps is None else dataset.default_fps
        path = f'{dataset.feat_folder}/{dataset.file_prefix or ""}{name}{dataset.file_ext}'
        features = np.load(path).astype(np.float32).T
        assert len(features) == dataset.input_dim
        segments = np.array([act['segment'] for act in value['annotations']], dtype=np.float32).reshape(-1, 2)
        steps = (segments * fps - 0.5 * dataset.num_frames) / dataset.feat_stride
        found[name] = features, steps, [numbers[act['label']] for act in value['annotations']]
    return found


def read_as_opentad(file, split, prefix=''):
    """What OpenTAD's padding dataset makes of its config, as above; its times are whole frames."""
    config = {}
    exec(file.read_text(), config)  # our own file
    dataset = SimpleNamespace(**config['dataset'][split])
    class_map = Path(dataset.class_map).read_text().splitlines()
    blocked = Path(dataset.block_list).read_text().splitlines()
    found = {}
    for name, info in json.loads(Path(dataset.ann_file).read_text())['database'].items():
        if name in blocked or info['subset'] not in dataset.subset_name:
            continue
        frames = [
            [int(second / info['duration'] * info['frame'] + 1e-6) for second in act['segment']]
            for act in info['annotations']
        ]
        steps = (np.array(frames).reshape(-1, 2) - dataset.offset_frames) / (
            dataset.feature_stride * dataset.sample_stride
        )
        features = np.load(f'{dataset.data_path}{prefix}{name}.npy').astype(np.float32).T
        found[name] = features, steps, [class_map.index(act['label']) for act in info['annotations']]
    return found


@pytest.mark.parametrize('split', ['train', 'test'])
def test_both_programs_find_features_times_and_classes_where_ours_are(exported, split):
    out, features = exported
    readers = (
        read_as_actionformer(out / 'actionformer.yaml', 'train' if split == 'train' else 'val'),
        read_as_opentad(out / 'opentad.py', split),
    )
    for found in readers:
        assert list(found) == [f'{split}_{n}' for n in range(len(TRAIN if split == 'train' else TEST))]
        for (name, (values, steps, labels)), (num_frames, actions) in zip(
            found.items(), TRAIN if split == 'train' else TEST
        ):
            ours = sequence_of(features[name], VIEW, None)
            assert np.array_equal(values, ours.values.float().numpy())
            assert labels == [label for *_, label in actions]
            if num_frames < VIEW.span:  # shorter than a clip: we place its one step in the middle, they half a clip in
                continue
            for (start, end, _), of_theirs in zip(actions, steps):
                wanted = ours.grid.to_steps(np.array([start, end]) / FPS)
                assert of_theirs == pytest.approx(wanted, abs=1e-4)


def test_what_is_written(exported):
    out, _ = exported
    database = json.loads((out / 'annotations.json').read_text())['database']
    assert len(database) == 7
    assert database['train_0']['annotations'][1] == {'segment': [1.6, 2.2], 'label': 'striped', 'label_id': 1}
    assert (database['test_0']['subset'], database['test_0']['duration']) == ('validation', 2.4)
    assert (database['test_0']['frame'], database['test_0']['fps']) == (60, 25.0)
    values = np.load(out / 'features' / 'test_0.npy')
    assert (values.shape, values.dtype) == ((12, 128), np.float16)
    assert (out / 'category_idx.txt').read_text() == 'bright\nstriped\n'
    assert (out / 'missing_files.txt').read_text() == ''
    config = yaml.safe_load((out / 'actionformer.yaml').read_text())
    assert (config['dataset']['feat_stride'], config['dataset']['num_frames']) == (4, 16)  # frames of the video
    assert config['dataset']['default_fps'] is None


def test_names_are_short_where_they_may_be():
    assert names_of(['x/v_a.b.mp4', 'y/v_c.mkv']) == ({'x/v_a.b.mp4': 'a.b', 'y/v_c.mkv': 'c'}, 'v_')
    assert names_of(['v_a.mp4', 'b.mp4']) == ({'v_a.mp4': 'v_a', 'b.mp4': 'b'}, '')
    assert names_of(['train/0.mp4', 'test/0.mp4']) == ({'train/0.mp4': 'train_0', 'test/0.mp4': 'test_0'}, '')
    assert names_of([]) == ({}, '')


def test_a_prefix_is_in_the_files_and_not_in_the_database(exported, tmp_path):
    _, features = exported
    one = DenseFeatures('x/v_0.mp4', features['train_0'].kept, 60, 25.0)
    entry = {'video': one.video, 'annotation': {'actions': [[0.4, 1.2, 0], [1.6, 2.2, 1]]}}
    lost = [{'video': 'y/v_7.mp4', 'reason': 'damaged'}]
    names, prefix = names_of([one.video, 'y/v_7.mp4'])
    export_features([one], [entry], 'training', CLASSES, tmp_path, names, prefix, lost)
    write_configs(tmp_path, VIEW, 128, 2, prefix)
    assert (tmp_path / 'features' / 'v_0.npy').is_file()
    assert list(read_as_actionformer(tmp_path / 'actionformer.yaml', 'train')) == ['0']
    assert list(read_as_opentad(tmp_path / 'opentad.py', 'train', prefix)) == ['0']
    assert (tmp_path / 'missing_files.txt').read_text() == '7\n'


def test_a_video_of_unknown_rate_is_missing(exported, tmp_path):
    _, features = exported
    timeless = DenseFeatures('train_0.mp4', features['train_0'].kept, 60, 0.0)
    export_features([timeless], [], 'training', CLASSES, tmp_path)
    assert json.loads((tmp_path / 'annotations.json').read_text()) == {'database': {}}
    assert (tmp_path / 'missing_files.txt').read_text() == 'train_0\n'


def test_what_cannot_be_exported_ends_in_a_sentence(exported, tmp_path):
    out, features = exported
    entry = {'video': 'test_0.mp4', 'annotation': {'actions': []}}
    with pytest.raises(DataError, match='test_0, which is another video already'):
        export_features([features['test_0']], [entry], 'training', CLASSES, out)
    with pytest.raises(DataError, match='test_0, which is another video already'):
        export_features([features['test_0']] * 2, [entry], 'validation', CLASSES, tmp_path)
    tokens = DenseFeatures('test_0.mp4', np.zeros((3, 2, 2, 2, 8), np.float16), 60, 25.0)
    with pytest.raises(DataError, match='All tokens of a clip were kept'):
        export_features([tokens], [entry], 'validation', CLASSES, tmp_path)


def test_an_export_of_other_classes_is_not_added_to(tmp_path):
    (tmp_path / 'category_idx.txt').write_text('another\n')
    with pytest.raises(DataError, match='other classes'):
        export_features([], [], 'training', ['a', 'b'], tmp_path)


def test_an_action_of_an_unknown_class_is_left_out_and_told(exported, tmp_path, caplog):
    _, features = exported
    entry = {'video': 'test_0.mp4', 'annotation': {'actions': [[0, 1, 7], [0, 1, 1], [1, 2, -1]]}}
    file = export_features([features['test_0']], [entry], 'validation', CLASSES, tmp_path)
    (found,) = json.loads(file.read_text())['database']['test_0']['annotations']
    assert found == {'segment': [0, 1], 'label': 'striped', 'label_id': 1}
    assert 'test_0.mp4: 2 actions of a class that the card does not know, left out' in caplog.text


def test_a_video_without_a_constant_rate_is_spread_evenly(tmp_path):
    times = FrameTimes.listed([0.04 * n + (n >= 20) for n in range(44)])
    places = np.arange(8) * 4 + 8  # the middle of each clip, in frames; its feature tells it
    one = DenseFeatures('v.mp4', places[:, None].astype(np.float16), 44, times.fps, times)
    entry = {'video': 'v.mp4', 'annotation': {'actions': [[0.4, 1.9, 0]]}}
    with pytest.raises(DataError, match=r'v\.mp4 has no constant frame rate'):
        export_features([one], [entry], 'training', CLASSES, tmp_path)
    file = export_features([one], [entry], 'training', CLASSES, tmp_path, view=VIEW)
    found = json.loads(file.read_text())['database']['v']
    assert (found['duration'], found['frame']) == (2.76, 44)
    assert found['annotations'][0]['segment'] == [0.4, 1.9]
    # Their reading: step n is at (n x 4 + 8) frames of that rate.
    shown = times.places_at(places / found['fps'])
    features = np.load(tmp_path / 'features' / 'v.npy')[:, 0]
    assert features == pytest.approx(np.clip(shown, 8, 36), abs=2e-2)
