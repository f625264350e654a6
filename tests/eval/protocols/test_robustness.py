"""Robustness: figures known by hand, frames against the corruptions themselves, and whole sweeps of tiny cells."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import eval.registry  # noqa: F401 - opens the scopes that configs name
from eval.cells.cell import Cell, ResolvedCell
from eval.cells.trained import load_trained
from eval.corruptions import CORRUPTIONS, get_corruption, suite_corruptions, to_working_size
from eval.corruptions.shown import CLEAN, REENCODED, CorruptedClips, Store, Variant, one
from eval.matrix.plan import plan
from eval.matrix.suites import SUITES, suite_entries
from eval.metrics import corrupted as figures
from eval.metrics import load_predictions, score_predictions
from eval.protocols import get_protocol, robustness
from eval.protocols.applied import Applied
from eval.protocols.showing import Showing
from eval.records import read_record
from sigma.data.cards import CONFIG_ROOT
from sigma.datasets.toy.render import encode
from sigma.errors import DataError
from sigma.video import READERS
from tests.eval.measured import measured, run_needed

RECIPES = sorted(p.stem for p in (CONFIG_ROOT / 'recipes').glob('robustness_*.py'))
TRAINED = CONFIG_ROOT / 'recipes' / 'finetune_demo.py'


# --- figures -----

# Four videos; clean, then two corruptions at two severities, then a diagnostic.
CORRECT = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 0, 1, 0, 1], [1, 1, 0, 0, 0, 1], [0, 0, 0, 1, 0, 1]], dtype=np.float32)
COUNTED = np.tile([False, True, True, True, True, False], (4, 1))


def test_figures_of_a_sweep_known_by_hand():
    # cells 75, 25, 75, 0: mean 43.75; clean 75
    assert figures.clean_accuracy(CORRECT, COUNTED) == 75
    assert figures.mean_corrupted(CORRECT, COUNTED) == 43.75
    assert figures.relative_corrupted(CORRECT, COUNTED) == pytest.approx(100 * 43.75 / 75)
    # gamma by its published formula: of each cell, then the mean
    cells = np.array([75, 25, 75, 0])
    assert figures.absolute_robustness(CORRECT, COUNTED) == pytest.approx((1 - (75 - cells) / 100).mean())
    assert figures.relative_robustness(CORRECT, COUNTED) == pytest.approx((1 - (75 - cells) / 75).mean())
    assert figures.worst_cell(CORRECT, COUNTED) == 0
    assert figures.corrupted_shares(CORRECT, COUNTED).tolist() == [0.75, 0.5, 0.25, 0.25]


def test_nothing_relative_where_nothing_clean_is_right():
    assert np.isnan(figures.relative_corrupted(CORRECT * [0, 1, 1, 1, 1, 1], COUNTED))


def test_equal_accuracies_share_the_better_rank():
    assert figures.ranks([50.0, 70.0, 50.0, 10.0]).tolist() == [2, 1, 2, 4]


@pytest.mark.parametrize(
    ('correct', 'counted', 'words'),
    [
        (CORRECT, COUNTED[:3], 'N, K'),
        (CORRECT[:0], COUNTED[:0], 'N, K'),
        (CORRECT, COUNTED.astype(int), 'N, K'),
        (CORRECT, np.ones_like(COUNTED), 'first column'),
        (CORRECT, np.zeros_like(COUNTED), 'at least one'),
        (CORRECT, COUNTED & (np.arange(4) > 0)[:, None], 'same cells'),
    ],
)
def test_what_is_no_sweep_is_refused(correct, counted, words):
    with pytest.raises(ValueError, match=words):
        figures.mean_corrupted(correct, counted)


# --- cells -----


def write_recipe(folder, name='robustness_tiny', base='robustness_toy', **changes) -> str:
    """A recipe that departs from one of ours."""
    path = folder / f'{name}.py'
    path.write_text(f"_base_ = '{CONFIG_ROOT}/recipes/{base}.py'\nrecipe = dict(**{changes!r})\n")
    return str(path)


def tiny_recipe(folder, **changes) -> str:
    """Two corruptions at two severities of a cell that trains for two steps."""
    trained = write_recipe(folder, 'finetune_tiny', 'finetune_demo', epochs=1, num_steps=None, batch_size=20)
    settings = {
        'trained': trained,
        'corruptions': ('contrast', 'jumble'),
        'severities': (1, 4),
        'diagnostics': (('clip_reverse', 1),),
        'block_videos': 8,
    }
    return write_recipe(folder, **settings | changes)


def resolve(toy, recipe, protocol='robustness', encoder='random', **cell) -> ResolvedCell:
    return ResolvedCell(Cell(protocol, str(toy), recipe, encoder, 0, **cell), get_protocol(protocol))


def test_a_sweep_from_training_to_record(toy, tmp_path, monkeypatch):
    resolved = resolve(toy, tiny_recipe(tmp_path))
    work = tmp_path / 'work'
    record = measured(resolved, work)
    columns = ['clean', 'contrast-1', 'contrast-4', 'jumble-1', 'jumble-4', 'clip_reverse-1']
    assert resolved.config['columns'] == columns
    others = record.score['others']
    assert set(columns[1:]) | {'clean_top1', 'delta_clip_reverse-1'} <= set(others)
    assert record.score['metric'] == 'mpc'
    assert record.score['value'] == pytest.approx(np.mean([others[name] for name in columns[1:5]]))
    assert others['worst_cell'] == pytest.approx(min(others[name] for name in columns[1:5]))
    assert others['delta_clip_reverse-1'] == pytest.approx(others['clip_reverse-1'] - others['clean_top1'])
    assert (record.dataset['num_listed'], record.dataset['num_scored']) == (20, 20)
    predictions = load_predictions(record)
    assert predictions.scores.shape == (20, 6)
    assert predictions.label[0].tolist() == [False, True, True, True, True, False]
    assert score_predictions(predictions, 'clean_top1') == others['clean_top1']
    assert (
        'mean over 2 corruptions x 2 severities, working size of the file: contrast, jumble at 1, 4'
        in (record.selection['how'])
    )

    # The clean column is what the trained cell's own record says of each video.
    trained = resolved.protocol.trained(resolved)
    own = load_predictions(read_record(trained.record_path(work)))
    assert own.video.tolist() == predictions.video.tolist()
    own_right = own.scores.argmax(axis=1) == own.label
    assert predictions.scores[:, 0].astype(bool).tolist() == own_right.tolist()

    # Each column follows from the scores that are kept: three blocks of the 20 videos.
    (folder,) = (work / 'robustness' / 'random').iterdir()
    store = Store(folder)
    scores = {}
    for start in (0, 8, 16):
        positions, found = store.read(Variant('jumble', 4), start)
        scores |= dict(zip(positions.tolist(), found))
    labels = [entry['label'] for entry in resolved.dataset.entries('test')]
    right = [scores[position].argmax() == label for position, label in enumerate(labels)]
    assert 100 * np.mean(right) == pytest.approx(others['jumble-4'])

    # Again: nothing is decoded or encoded.
    with monkeypatch.context() as patched:
        patched.setattr(Showing, 'block', lambda *_: pytest.fail('computed again'))
        assert run_needed(resolved, work) == []
        assert measured(resolved, work).score == record.score

    # Weights that were taken away are asked for.
    load_trained(trained, work).weights().path.unlink()
    with pytest.raises(DataError, match='has its record but no weights'):
        resolved.protocol.run(resolved, work)


def give(monkeypatch, scores) -> None:
    """A trained cell whose scores of a sample are given, in place of one that was trained."""
    facts = {'num_train': 1, 'num_train_skipped': 0, 'selection': {'epoch': 1, 'how': 'last'}, 'subset': None}
    trained = lambda resolved, work: SimpleNamespace(resolved=resolved, note='given', **facts)  # noqa: E731
    monkeypatch.setattr(robustness, 'load_trained', trained)
    monkeypatch.setitem(robustness.APPLY, 'finetune', lambda trained: Applied(scores, 'weights'))


def test_a_killed_sweep_goes_on_where_it_was(toy, tmp_path, monkeypatch, caplog):
    resolved = resolve(toy, tiny_recipe(tmp_path, corruptions=('contrast',), diagnostics=()))
    seen = []

    def applied(limit):
        def apply(sample):
            if len(seen) == limit:
                raise KeyboardInterrupt
            seen.append(1)
            pixels = sample['inputs'].float()
            return np.array([pixels.mean(), pixels.std()] + [0] * 8, dtype=np.float32)

        return apply

    give(monkeypatch, applied(8 * 3 + 7))
    with pytest.raises(KeyboardInterrupt):
        resolved.protocol.run(resolved, tmp_path / 'a')
    assert len(list((tmp_path / 'a').rglob('*.npz'))) == 3  # the first block of 8 videos: clean and two severities
    seen.clear()
    give(monkeypatch, applied(None))
    resumed = resolved.protocol.run(resolved, tmp_path / 'a')
    assert len(seen) == 12 * 3  # the other 12 videos
    whole = resolved.protocol.run(resolved, tmp_path / 'b')
    assert np.array_equal(whole.scores, resumed.scores)
    assert whole.others == resumed.others
    # A file that is not whole, and one with a flipped bit.
    first, second = sorted((tmp_path / 'b').rglob('0000000.npz'))[:2]
    first.write_bytes(first.read_bytes()[:-50])
    damaged = bytearray(second.read_bytes())
    damaged[damaged.index(b'NUMPY') + 140] ^= 255
    second.write_bytes(damaged)
    seen.clear()
    assert np.array_equal(resolved.protocol.run(resolved, tmp_path / 'b').scores, whole.scores)
    assert len(seen) == 8 * 2
    assert caplog.text.count('not whole, made again') == 2
    # A further severity is computed alone.
    seen.clear()
    (tmp_path / 'more').mkdir()
    more = resolve(toy, tiny_recipe(tmp_path / 'more', corruptions=('contrast',), severities=(1, 4, 5), diagnostics=()))
    more.protocol.run(more, tmp_path / 'a')
    assert len(seen) == 20


def test_a_frozen_encoder_with_its_probe(toy, tmp_path):
    recipe = tiny_recipe(tmp_path, protocol='robustness_frozen', trained='frozen_demo', diagnostics=())
    resolved = resolve(toy, recipe, 'robustness_frozen')
    record = measured(resolved, tmp_path / 'work')
    trained = resolved.protocol.trained(resolved)
    own = trained.protocol.run(trained, tmp_path / 'work')
    right = own.scores.argmax(axis=1) == own.labels
    assert record.score['others']['clean_top1'] == pytest.approx(100 * right.mean())
    assert record.protocol['name'] == 'robustness_frozen'


# --- frames -----

PIPELINE = [
    {'type': 'sigma.OpenVideo', 'decoder': 'proved', 'on_error': 'blank'},
    {'type': 'sigma.SampleDense', 'num_frames': 8, 'stride_frames': 3, 'num_clips': 2, 'test_mode': True},
    {'type': 'sigma.DecodeFrames'},
    {'type': 'mmaction.FormatShape', 'input_format': 'NCTHW'},
    {'type': 'mmaction.PackActionInputs', 'meta_keys': ('video', 'position')},
]


@pytest.fixture(scope='module')
def entries(toy):
    from sigma.data.cards import load_dataset_card

    return load_dataset_card(str(toy)).entries('test')


def shown(entries, variants, positions=(0,), short_side=None) -> dict:
    """{(position, name): (V, 3, T, H, W)}."""
    clips = CorruptedClips(entries, positions, PIPELINE, variants, short_side)
    return {(position, name): sample['inputs'].numpy() for position, name, sample, _ in clips}


def clips_of(frames) -> np.ndarray:
    """(16, H, W, 3) -> (2, 3, 8, H, W)."""
    return frames.reshape(2, 8, *frames.shape[1:]).transpose(0, 4, 1, 2, 3)


def test_frames_are_those_of_the_corruptions_themselves(entries):
    entry = entries[0]
    video, total, fps = entry['video'], entry['total_frames'], entry['fps']
    whole = to_working_size(READERS['pyav'](entry['filename']).frames(np.arange(total)), 48)
    taken = np.concatenate([start + 3 * np.arange(8) for start in (0, total - 24)])
    frame, order, reverse = get_corruption('shot_noise'), get_corruption('jumble'), get_corruption('clip_reverse')
    variants = [
        Variant(CLEAN),
        Variant('shot_noise', 2, 'ucf-p'),
        Variant('frame_average', 3),
        Variant('jumble', 5),
        Variant('frame_rate', 5),
        Variant('clip_reverse', 1),
    ]
    found = shown(entries, variants, short_side=48)
    expected = {
        'clean': whole[taken],
        'shot_noise-2': frame(whole, 2, video, suite='ucf-p')[taken],
        'frame_average-3': get_corruption('frame_average')(whole, 3, video)[taken],
        'jumble-5': whole[order.order(total, 5, video)[taken]],
        'clip_reverse-1': np.concatenate([reverse(whole[part], 1, video) for part in np.split(taken, 2)]),
    }
    for name, frames in expected.items():
        assert np.array_equal(found[0, name], clips_of(frames)), name
    assert not np.array_equal(found[0, 'jumble-5'], found[0, 'clean'])
    # At 6 frames a second fewer frames are there than two clips need: the last reachable ones are held.
    kept = get_corruption('frame_rate').order(total, 5, video, fps=fps)
    start = max(len(kept) - 24, 0)
    indices = [
        np.minimum(s + 3 * np.arange(8), [i for i in s + 3 * np.arange(8) if i < len(kept)][-1]) for s in (0, start)
    ]
    assert np.array_equal(found[0, 'frame_rate-5'], clips_of(whole[kept[np.concatenate(indices)]]))


def test_a_clip_by_seconds_sees_the_same_seconds_at_a_lower_frame_rate(entries):
    entry = entries[0] | {'fps': 24.0, 'total_frames': 48}
    pipeline = [PIPELINE[0], {'type': 'sigma.SampleSeconds', 'num_frames': 4, 'clip_fps': 6, 'test_mode': True}]
    clips = CorruptedClips([entry], [0], pipeline + PIPELINE[2:], [Variant(CLEAN), Variant('frame_rate', 3)])
    clean, slow = (clips._sample(v, entry, 0, n, 48)['frame_inds'] for v, n in zip(clips.variants, (48, 24)))
    assert np.array_equal(clean // 2, slow)  # 12 frames a second: half the number, the same instant


def test_each_video_is_decoded_once(entries, monkeypatch):
    opened = []
    reader = READERS['pyav']
    monkeypatch.setitem(READERS, 'pyav', lambda path, proof: opened.append(path) or reader(path, proof))
    variants = [Variant(CLEAN), Variant('contrast', 1), Variant('jumble', 2), Variant('frame_average', 1)]
    assert len(shown(entries, variants, (0, 1))) == 8
    assert opened == [entries[0]['filename'], entries[1]['filename']]


def test_workers_and_other_variants_change_nothing(entries):
    variants = [Variant(CLEAN), Variant('gaussian_noise', 3), Variant('random_rotation', 2), Variant('jumble', 3)]
    alone = shown(entries, variants, range(5))
    for number in (1, 2):
        clips = CorruptedClips(entries, range(5), PIPELINE, variants)
        loader = DataLoader(clips, batch_size=1, num_workers=number, collate_fn=one)
        found = {(position, name): sample['inputs'].numpy() for position, name, sample, _ in loader}
        assert found.keys() == alone.keys()
        assert all(np.array_equal(found[key], alone[key]) for key in alone)
    by_itself = shown(entries, variants[1:2], [3])
    assert np.array_equal(by_itself[3, 'gaussian_noise-3'], alone[3, 'gaussian_noise-3'])


@pytest.mark.parametrize(
    'steps', [PIPELINE[1:], PIPELINE[:2] + PIPELINE[3:], []], ids=['no file', 'no frames', 'empty']
)
def test_a_pipeline_without_frames_to_corrupt_is_refused(entries, steps):
    with pytest.raises(DataError, match='gives no uint8 frames at the working size'):
        CorruptedClips(entries, [0], steps, [Variant(CLEAN)])


@pytest.mark.parametrize(
    'damage', [lambda frames: frames[:-1], lambda frames: frames.astype(np.float32)], ids=['number', 'type']
)
def test_a_corruption_that_changes_the_number_or_type_of_frames_ends_the_sweep(entries, damage, monkeypatch):
    plain = CORRUPTIONS['contrast']
    broken = dataclasses.replace(plain, function=lambda frames, level, draws: damage(frames), acts_on='clip')
    monkeypatch.setitem(CORRUPTIONS, 'contrast', broken)
    with pytest.raises(ValueError, match='contrast-1 changed the number of frames of .*, or their type'):
        shown(entries, [Variant('contrast', 1)])


def test_the_clean_baseline_of_codecs_went_through_a_codec(entries):
    found = shown(entries, [Variant(CLEAN), Variant(REENCODED)])
    difference = np.abs(found[0, 'clean'].astype(int) - found[0, 'reencoded']).mean()
    assert 0 < difference < 10


def test_every_corruption_of_every_suite_gives_clips_of_the_same_shape(entries):
    # 48 pixels: x265 once wrote past its memory there, which ends the process.
    suites = ('imagenet-c', 'kinetics-c', 'ssv2-c', 'ucf-p')
    variants = [Variant(c.name, s, suite) for suite in suites for c in suite_corruptions(suite) for s in (1, 5)]
    variants += [Variant(c.name, len(c.levels)) for c in CORRUPTIONS.values() if not c.suites]
    clips = CorruptedClips(entries, [0], PIPELINE, [v for v in variants if not unavailable(v)], 48)
    found = [(sample['inputs'].shape, sample['inputs'].dtype) for _, _, sample, _ in clips]
    assert len(found) > 100
    assert set(found) == {((2, 3, 8, 48, 48), torch.uint8)}


def unavailable(variant: Variant) -> str | None:
    return get_corruption(variant.corruption).unavailable()


def test_unreadable_videos_are_named(entries, tmp_path):
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    listed = [entries[0] | {'reason': 'moov atom not found'}, entries[1] | {'filename': str(tmp_path / 'broken.mp4')}]
    clips = CorruptedClips(listed, [0, 1], PIPELINE, [Variant(CLEAN), Variant('contrast', 1)])
    (first, second) = list(clips)
    assert first == (0, None, None, 'moov atom not found')
    assert second[:3] == (1, None, None)
    assert 'PyAV cannot open it' in second[3]


def test_videos_that_a_corruption_cannot_be_shown_of_are_named_in_every_column(toy, tmp_path, monkeypatch):
    resolved = resolve(toy, tiny_recipe(tmp_path, corruptions=('contrast', 'frame_rate'), severities=(1,)))
    give(monkeypatch, lambda sample: np.eye(10, dtype=np.float32)[0])
    timeless, narrow = resolved.dataset.entries('test'), tmp_path / 'narrow.mp4'
    timeless[3]['fps'] = 0
    narrow.write_bytes(encode(np.zeros((20, 24, 32, 3), np.uint8), 25, 8))
    timeless[4] |= {'filename': str(narrow), 'total_frames': 20}
    monkeypatch.setattr(resolved.dataset, 'entries', lambda split: timeless)
    outcome = resolved.protocol.run(resolved, tmp_path / 'work')
    assert [one['video'] for one in outcome.unscored] == [timeless[3]['video'], timeless[4]['video']]
    assert outcome.unscored[0]['reason'] == 'its frame rate is unknown, which frame_rate-1 changes'
    assert 'frames are 24x32; the constants are published for 224 to 256' in outcome.unscored[1]['reason']
    assert len(outcome.videos) == 18
    monkeypatch.setattr(resolved.dataset, 'entries', lambda split: timeless[3:4])
    with pytest.raises(DataError, match='none of 1 test videos could be shown, first .*: its frame rate is unknown'):
        resolved.protocol.run(resolved, tmp_path / 'other')


def test_a_failure_that_the_index_did_not_foresee_is_counted_and_tried_again(toy, tmp_path, monkeypatch):
    resolved = resolve(toy, tiny_recipe(tmp_path, corruptions=('contrast',), severities=(1,), diagnostics=()))
    give(monkeypatch, lambda sample: np.eye(10, dtype=np.float32)[0])
    broken = resolved.dataset.entries('test')
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    broken[9]['filename'] = str(tmp_path / 'broken.mp4')
    monkeypatch.setattr(resolved.dataset, 'entries', lambda split: broken)
    outcome = resolved.protocol.run(resolved, tmp_path / 'work')
    assert [found['video'] for found in outcome.unscored] == [broken[9]['video']]
    assert (len(outcome.videos), outcome.num_listed) == (19, 20)
    # Blocks of 8: the second, with the failure, is not kept.
    assert sorted({path.stem for path in (tmp_path / 'work').rglob('*.npz')}) == ['0000000', '0000016']


# --- what is asked -----


@pytest.mark.parametrize('name', RECIPES)
def test_every_recipe_joins_with_a_card(toy, name):
    from sigma.data.cards import find_card, read_card

    protocol = get_protocol(read_card(find_card('recipes', name), 'recipe')['protocol'])
    own = any(word in name for word in ('toy', 'small'))  # settings for tiny encoders
    for encoder in ('random',) if own else ('random', 'r2plus1d_18'):
        if encoder == 'r2plus1d_18' and 'frozen' in name:
            continue
        config = resolve(toy, name, protocol.name, encoder).config
        pairs = len(config['corruptions']) * len(config['severities'])
        coded = REENCODED in config['columns']
        assert len(config['columns']) == 1 + pairs + 3 + coded
        assert coded == any(get_corruption(corruption).family == 'codec' for corruption in config['corruptions'])


def test_small_footage_is_swept_at_the_size_of_its_files_on_the_cells_of_small_real(toy):
    swept = [e for e in SUITES['robustness_small_real'] if e.protocol.startswith('robustness')]
    found = [resolve(toy, e.recipe, e.protocol) for e in swept]
    assert [(r.config['working_short_side'], len(r.config['corruptions'])) for r in found] == [(None, 12)] * 2
    trained = [r.protocol.trained(r).cell for r in found]
    assert [(c.protocol, c.recipe) for c in trained] == [(e.protocol, e.recipe) for e in SUITES['small_real']]


def test_published_suites_are_whole(toy):
    config = resolve(toy, 'robustness_kinetics_c', 'robustness_kinetics-c').config
    assert len(config['corruptions']) + len(config['unavailable']) == 12
    assert config['corruptions']['contrast'] == [0.5, 0.4, 0.3, 0.2, 0.1]  # not those of ImageNet-C
    assert config['working_short_side'] == 256


def test_entries_of_suites_name_recipes_of_their_protocol():
    from sigma.data.cards import find_card, read_card

    held = [e for name, entries in SUITES.items() if name.startswith('robustness') for e in entries]
    swept = [e for e in held if e.protocol.startswith('robustness')]
    assert len(swept) == 12
    for entry in swept:
        assert read_card(find_card('recipes', entry.recipe), 'recipe')['protocol'] == entry.protocol


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'corruptions': ('contrats',)}, "Unknown corruption 'contrats'. Did you mean 'contrast'"),
        ({'severities': (1, 6)}, 'severities is 6; it must be 1 to 5'),
        ({'corruptions': ('clip_jumble',)}, 'take jumble'),
        ({'diagnostics': (('clip_revers', 1),)}, "Did you mean 'clip_reverse'"),
        ({'corruptions': ()}, 'no corruption to measure; it names none'),
        ({'severities': ()}, 'no corruption to measure'),
        ({'severities': (1, 4, 1)}, r'the severities \[1, 4, 1\] name one twice'),
        ({'working_short_side': '256'}, "working_short_side is '256'; it must be a whole number or None"),
        ({'working_short_side': 16}, 'working_short_side is 16; it must be at least 32'),
        ({'block_videos': 0}, 'block_videos is 0; it must be at least 1'),
        (
            {'trained': {'_delete_': True, 'r2plus1d': 'finetune_r2plus1d'}},
            'names no trained recipe for the family vit',
        ),
        ({'trained': 'frozen_demo'}, 'Recipe frozen_demo is for the protocol frozen_linear, asked for finetune'),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_sentence(toy, tmp_path, changes, words):
    with pytest.raises(DataError, match=words):
        resolve(toy, tiny_recipe(tmp_path, **changes))


def test_labels_of_another_kind_are_refused(toy, tmp_path, monkeypatch):
    from sigma.data.cards import DatasetCard

    monkeypatch.setattr(DatasetCard, 'task', 'repetition')
    with pytest.raises(DataError, match='measures action_recognition'):
        resolve(toy, tiny_recipe(tmp_path))


def test_what_cannot_run_here_gives_the_mean_another_name(toy, tmp_path, monkeypatch):
    whole = resolve(toy, tiny_recipe(tmp_path))
    missing = dataclasses.replace(CORRUPTIONS['jumble'], needs=lambda: 'this build has no encoder')
    monkeypatch.setitem(CORRUPTIONS, 'jumble', missing)
    resolved = resolve(toy, tiny_recipe(tmp_path))
    assert (whole.protocol.metric_of(whole), resolved.protocol.metric_of(resolved)) == ('mpc', 'mpc_available')
    assert whole.id != resolved.id
    assert resolved.config['unavailable'] == {'jumble': 'this build has no encoder'}
    assert resolved.config['columns'] == ['clean', 'contrast-1', 'contrast-4', 'clip_reverse-1']
    trained = SimpleNamespace(resolved=resolved.protocol.trained(resolved), note='')
    notes = resolved.protocol._notes(resolved, trained, resolved.protocol.variants(resolved))
    assert 'jumble is left out of the mean: this build has no encoder' in notes
    assert resolved.protocol._how(resolved, 'last').endswith('contrast at 1, 4')
    monkeypatch.setitem(CORRUPTIONS, 'contrast', dataclasses.replace(CORRUPTIONS['contrast'], needs=lambda: 'no'))
    with pytest.raises(DataError, match='no corruption to measure; contrast: no; jumble: this build'):
        resolve(toy, tiny_recipe(tmp_path))


def test_training_with_what_is_tested_is_told(toy):
    variants = [Variant(CLEAN), Variant('brightness', 1), Variant('brightness', 2), Variant('fog', 1)]
    trained = ResolvedCell(
        Cell('finetune', str(toy), 'finetune_r2plus1d_ucf101', 'r2plus1d_18', 0), get_protocol('finetune')
    )
    assert robustness.trained_with(trained.config, variants) == [
        'training pipeline contains sigma.JitterColours, which resembles what is tested: brightness'
    ]
    trained = ResolvedCell(Cell('finetune', str(toy), 'finetune_vit', 'random', 0), get_protocol('finetune'))
    assert 'sigma.RandAugment' in robustness.trained_with(trained.config, variants)[0]
    trained = ResolvedCell(Cell('finetune', str(toy), 'finetune_demo', 'random', 0), get_protocol('finetune'))
    assert robustness.trained_with(trained.config, variants) == []
    assert robustness.trained_with({'pipeline': []}, variants) == []  # frozen


def test_what_training_resembles_is_a_corruption():
    assert {name for names in robustness.RESEMBLES.values() for name in names} <= set(CORRUPTIONS)


def test_the_trained_cell_is_needed_and_without_its_record_nothing_is_measured(toy, tmp_path):
    resolved = resolve(toy, tiny_recipe(tmp_path))
    assert [needed.id for needed in resolved.needs] == [resolved.config['trained']['id']]
    with pytest.raises(DataError, match='random_finetune_toy_finetune_tiny_s0 has no record in .* eval/run_cell.py'):
        resolved.protocol.run(resolved, tmp_path)


def test_a_suite_of_sweeps_alone_plans_the_cell_that_they_measure(toy, tmp_path):
    found = plan(suite_entries('robustness_frozen', [str(toy)]), ['random'], [0, 1], tmp_path)
    assert found.problems == []
    names = [(item.cell.protocol, item.cell.seed, item.listed) for item in found.cells]
    sweeps = ('robustness_ucf-p_frozen', 'robustness_kinetics-c_frozen', 'robustness_ssv2-c_frozen')
    assert sorted(n for n in names if not n[2]) == [('frozen_linear', seed, False) for seed in (0, 1)]
    assert [n for n in names if n[2]] == [(sweep, seed, True) for sweep in sweeps for seed in (0, 1)]
    assert names[0][0] == 'frozen_linear'


def test_every_suite_and_kind_of_trained_cell_is_a_protocol():
    names = ['robustness', *(f'robustness_{suite}' for suite in ('imagenet-c', 'kinetics-c', 'ssv2-c', 'ucf-p'))]
    for name in names:
        for ending, trained in (('', 'finetune'), ('_frozen', 'frozen_linear')):
            protocol = get_protocol(name + ending)
            version = 2 if name.endswith(('kinetics-c', 'ssv2-c')) else 1  # those with codecs
            assert (protocol.name, protocol.version) == (name + ending, version)
            assert protocol.trained_protocol == trained
            assert protocol.suite == (None if name == 'robustness' else name.removeprefix('robustness_'))
