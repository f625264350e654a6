"""Counting by density: known densities and times, a head that learns to count, and whole cells on tiny videos."""

import json
import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch

from eval.cells.cell import Cell, ResolvedCell
from eval.models.repetition import (
    DensityHead,
    cycle_density,
    density_loss,
    join_clips,
    resample,
    self_similarity,
    step_times,
)
from eval.protocols import get_protocol, training
from eval.protocols.repetition import (
    constant_answers,
    count_with,
    cycle_times,
    fit_density_head,
    section_of,
    whole_counts,
)
from sigma.data.clips import VideoClips
from sigma.data.index import build_index
from sigma.data.lists import write_list
from sigma.data.sampling import annotated_section
from sigma.data.transforms import SampleSpread
from sigma.datasets.toy.render import encode
from sigma.errors import DataError
from sigma.video import PyAVReader
from tests.conftest import believe

# (count, frames) of a video; the last of each is shorter than a clip of the encoder, and has one cycle
TRAIN = ((2, 40), (3, 48), (4, 48), (5, 60), (6, 48), (1, 5))
TEST = ((2, 48), (4, 50), (1, 6))

RECIPE = """recipe = dict(
    protocol='{protocol}', finetune={finetune}, num_frames=32, clip_step_frames=None,
    views=dict(num_clips=1, crops=1, resize='square'), decoder='pyav',{batch}
    head=dict(width=16, num_heads=2, num_channels=4, dropout=0.0),
    training=dict({how}, batch_size=4, lr=1e-3, weight_decay=0.01, warmup_share=0.1, least_share=0.5,
                  count_weight=1.0))
"""


ENCODER = """encoder = dict(
    backbone=dict(type='sigma.VideoViT', arch='tiny', image_size=32, num_frames=8, patch_size=16, tubelet_size=2),
    embed_dims=128, checkpoint=None, sha256=None, clip=dict(num_frames=8, stride_frames=2, size=32), source='none')
"""


def small_encoder(folder: Path) -> str:
    """A card of an encoder of 8 frames of 32 x 32 pixels with random weights: 8 times less to do than the demo's."""
    path = folder / 'small.py'
    path.write_text(ENCODER)
    return str(path)


def write_counting(folder: Path, train=TRAIN, test=TEST, lead=0, sections=False, **changes) -> Path:
    """A prepared data set: a bright square that swings to and fro, `count` times between two resting frames.

    With `lead`, it rests for so many frames more before that. With `sections`, these are annotated as not counted in.
    """
    lists, annotations = {'train': [], 'test': []}, {}
    for split, shapes in (('train', train), ('test', test)):
        for number, (count, num_frames) in enumerate(shapes):
            name = f'{split}_{number}.mp4'
            section, num_frames = [lead, lead + num_frames - 1], lead + num_frames
            marks = lead + np.linspace(1, num_frames - lead - 1, count + 1)
            phase = np.interp(np.arange(num_frames), marks, np.arange(count + 1))
            frames = np.full((num_frames, 64, 64, 3), 60, np.uint8)
            for frame, place in zip(frames, 24 + 20 * np.sin(2 * np.pi * phase)):
                frame[20:40, int(place) : int(place) + 16] = 220
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(encode(frames, 25, 8))
            lists[split].append((name, count))
            annotations[name] = {'cycles': marks.tolist()} | ({'section': section} if sections else {})
        write_list(folder / f'{split}.txt', lists[split])
    build_index(folder, sorted(annotations), folder / 'index.jsonl', workers=1, progress=False)
    (folder / 'annotations.json').write_text(json.dumps(annotations))
    info = {
        'name': 'counting',
        'task': 'repetition',
        'annotations': 'annotations.json',
        'index': 'index.jsonl',
        'metric': 'count_error',
        'sections': sections,
        'prepare': 'python tools/prepare.py counting',
        'splits': {split: {'list': f'{split}.txt', 'sha256': None, 'num_videos': len(lists[split])} for split in lists},
    } | changes
    (folder / 'dataset.py').write_text(f'data_root = {str(folder)!r}\ndataset_info = {info!r}\n')
    return folder


@pytest.fixture(scope='module')
def counting(tmp_path_factory):
    return write_counting(tmp_path_factory.mktemp('counting'))


def resolve(dataset, tmp_path, finetune=False, how=None, seed=0, shots=None, change=('', '')) -> ResolvedCell:
    path = tmp_path / 'counting_recipe.py'
    protocol = 'repetition' if finetune else 'repetition_frozen'
    how = how or ('epochs=1' if finetune else 'num_steps=5')
    how, batch = (f'{how}, encoder_lr=1e-4', '') if finetune else (how, ' batch_size=4,')
    path.write_text(RECIPE.format(protocol=protocol, finetune=finetune, how=how, batch=batch).replace(*change))
    return ResolvedCell(
        Cell(protocol, str(dataset), str(path), small_encoder(tmp_path), seed, shots), get_protocol(protocol)
    )


def test_trained_and_frozen_counting_refuse_each_others_recipes(counting, tmp_path):
    with pytest.raises(DataError, match='says finetune=True; the protocol repetition_frozen freezes the encoder'):
        resolve(counting, tmp_path, change=('finetune=False', 'finetune=True'))


# --- densities and times ---------------------------------------------------------------------------------------------


def test_the_density_sums_to_the_count_and_peaks_in_the_middle_of_each_cycle():
    boundaries = torch.tensor([[0.1, 0.3, 0.5, 0.9], [0.0, 1.0, math.nan, math.nan]])
    density = cycle_density(boundaries, torch.linspace(0, 1, 101).expand(2, -1))
    assert torch.allclose(density.sum(dim=1), torch.tensor([3.0, 1.0]), atol=1e-5)
    assert (density >= 0).all()
    peaks = [i for i in range(1, 99) if density[0, i] > density[0, i - 1] and density[0, i] >= density[0, i + 1]]
    assert np.allclose(peaks, [19.5, 39.5, 69.5], atol=0.6)
    assert density[0, :10].sum() == 0  # before the first cycle
    assert density[0, 90:].sum().abs() < 1e-6


def test_each_step_holds_the_mass_of_a_gaussian_of_a_sixth_of_the_cycle():
    gaussian = NormalDist(0.5, 0.1)
    density = cycle_density(torch.tensor([[0.2, 0.8]]), torch.linspace(0, 1, 11)[None])[0].numpy()
    inside = gaussian.cdf(0.8) - gaussian.cdf(0.2)
    expected = np.diff([gaussian.cdf(time) for time in np.linspace(0.2, 0.8, 7)]) / inside
    assert np.allclose(density[2:8], expected, atol=1e-6)


def test_a_cycle_that_is_cut_counts_by_its_share():
    half = cycle_density(torch.tensor([[0.0, 0.4, 0.8]]), torch.linspace(0, 0.6, 7)[None])
    assert half.sum().item() == pytest.approx(1.5, abs=1e-5)


def test_time_steps_of_adjoining_and_of_overlapping_clips():
    centres, places = step_times(4, 8, 16, 16)
    assert torch.allclose(centres, (torch.arange(32) + 0.5) / 32)
    assert places.tolist() == list(range(32))
    centres, places = step_times(7, 8, 16, 8)  # half of each clip is seen twice
    assert torch.allclose(centres, (torch.arange(32) + 0.5) / 32)
    features = torch.arange(7.0).view(1, 7, 1, 1).expand(1, 7, 8, 1)  # each step says which clip it is of
    joined = join_clips(features, places)[0, :, 0]
    assert joined[:4].tolist() == [0] * 4
    assert joined[4:8].tolist() == [0.5] * 4
    assert joined[-4:].tolist() == [6] * 4
    with pytest.raises(ValueError, match='uneven time steps.*multiple of 2 frames'):
        step_times(3, 8, 16, 7)


def test_a_part_of_a_video_is_read_between_its_steps():
    values = torch.arange(8.0).view(1, 8, 1)
    centres = (torch.arange(8) + 0.5) / 8
    whole, edges = resample(values, centres, torch.zeros(1), torch.ones(1), 8)
    assert torch.allclose(whole, values)
    assert torch.allclose(edges[0], torch.linspace(0, 1, 9))
    part, edges = resample(values, centres, torch.tensor([0.25]), torch.tensor([0.75]), 8)
    assert torch.allclose(part[0, :, 0], torch.tensor([1.75, 2.25, 2.75, 3.25, 3.75, 4.25, 4.75, 5.25]))
    assert edges[0, 0] == 0.25
    assert edges[0, -1] == 0.75


def test_self_similarity_is_zero_a_period_apart_and_knows_no_scale():
    phase = torch.arange(16.0) * 2 * math.pi / 4
    features = torch.stack([phase.sin(), phase.cos()], dim=1)
    similarity = self_similarity(features)
    assert torch.allclose(similarity.diagonal(4), torch.zeros(12), atol=1e-5)
    assert similarity[0, 2] == similarity.min()
    assert similarity.mean().item() == pytest.approx(-1)
    assert torch.allclose(self_similarity(1000 * features + 5), similarity, atol=1e-3)
    assert (self_similarity(torch.ones(4, 3)) == 0).all()


def test_the_loss_from_its_parts():
    density, target = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 1.0], [0.0, 0.5]])
    squares, relative = (1.0 + 0.25) / 2, (1 / 2 + 0.5 / 1) / 2
    assert density_loss(density, target, 3.0).item() == pytest.approx(squares + 3 * relative)


def test_spread_frames_and_their_clips():
    rng = np.random.default_rng(0)
    taken = SampleSpread(8, 4, 2, test_mode=True).transform({'total_frames': 80, 'rng': rng})
    assert taken['frame_inds'].tolist() == [5, 15, 25, 35, 25, 35, 45, 55, 45, 55, 65, 75]
    assert (taken['num_clips'], taken['clip_len']) == (3, 4)
    short = SampleSpread(8, 4, 4, test_mode=True).transform({'total_frames': 2, 'rng': rng})
    assert short['frame_inds'].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    drawn = SampleSpread(8, 8, 8).transform({'total_frames': 80, 'rng': rng})['frame_inds']
    assert (drawn // 10).tolist() == list(range(8))
    for wrong in ((8, 16, 16), (24, 16, 16), (16, 16, 0)):
        with pytest.raises(ValueError, match='cannot be covered by clips'):
            SampleSpread(*wrong)


# --- the head --------------------------------------------------------------------------------------------------------


def periodic(number: int, seed: int, num_steps: int = 32, width: int = 16) -> tuple:
    """Features that swing 2 to 8 times, mixed differently in each video, noisy, at rest before and after."""
    draw = torch.Generator().manual_seed(seed)
    counts = torch.randint(2, 9, (number,), generator=draw)
    boundaries, centres = torch.full((number, 9), math.nan), (torch.arange(num_steps) + 0.5) / num_steps
    values = torch.zeros(number, num_steps, width)
    for row, count in enumerate(counts.tolist()):
        begin, end = (0.15 * torch.rand(2, generator=draw)).tolist()
        boundaries[row, : count + 1] = torch.linspace(begin, 1 - end, count + 1)
        angle = ((centres - begin) / (1 - end - begin)).clamp(0, 1) * count * 2 * math.pi
        waves = torch.stack([angle.sin(), angle.cos(), (2 * angle).sin(), torch.full_like(angle, 3)], dim=1)
        values[row] = waves @ torch.randn(4, width, generator=draw) + 0.3 * torch.randn(
            num_steps, width, generator=draw
        )
    return values, counts.numpy(), boundaries, centres


def test_a_trained_head_counts_new_sequences_to_within_one():
    train, test = periodic(100, 0), periodic(60, 1)
    torch.manual_seed(0)
    head = DensityHead(16, 32, num_channels=8, initial_density=5 / 32)
    settings = {
        'num_steps': 110,
        'batch_size': 16,
        'lr': 2e-3,
        'weight_decay': 0.01,
        'warmup_share': 0.1,
        'least_share': 0.5,
        'count_weight': 1.0,
    }
    before = np.abs(whole_counts(count_with(head.eval(), test[0])) - test[1])
    losses = fit_density_head(head, train[0], train[3], train[2], settings, seed=0)
    after = np.abs(whole_counts(count_with(head, test[0])) - test[1])
    assert np.mean(losses[-10:]) < 0.6 * losses[0]
    assert np.mean(before <= 1) < 0.8
    assert np.mean(after <= 1) >= 0.95
    assert np.mean(after / test[1]) < 0.12  # answering 5 for all gives 0.4


def test_an_untrained_head_gives_the_density_that_it_is_told_and_a_still_video_is_no_error():
    torch.manual_seed(0)
    head = DensityHead(8, 16, initial_density=0.25).eval()
    counts = count_with(head, torch.randn(20, 16, 8))
    assert counts.mean() == pytest.approx(4, rel=0.35)
    assert np.isfinite(count_with(head, torch.ones(1, 16, 8))).all()
    assert np.allclose(count_with(head, 7 * torch.ones(1, 16, 8)), count_with(head, torch.ones(1, 16, 8)))


def test_appearance_and_scale_of_the_features_say_nothing():
    torch.manual_seed(0)
    head, values = DensityHead(8, 16).eval(), torch.randn(3, 16, 8)
    moved = 100 * values + 1000 * torch.randn(3, 1, 8)
    assert np.allclose(count_with(head, values), count_with(head, moved), atol=1e-2)


def test_counts_are_rounded_and_constant_answers_have_known_errors():
    assert whole_counts([2.5, 3.49, -1.0, 0.2]).tolist() == [3, 3, 0, 0]
    mean, median = constant_answers(np.array([2, 2, 3, 9]), [4, 2])
    assert 'mean training count (4.00, answered as 4): error 0.5000, within one 0.5000' in mean
    assert 'median training count (2.50, answered as 3): error 0.3750, within one 1.0000' in median


# --- cells -----------------------------------------------------------------------------------------------------------


def test_a_frozen_cell_counts_every_video_and_says_that_its_head_is_not_severes(counting, tmp_path):
    resolved = resolve(counting, tmp_path)
    outcome = resolved.protocol.run(resolved, tmp_path)
    assert outcome.videos == ['test_0.mp4', 'test_1.mp4', 'test_2.mp4']
    assert outcome.labels.tolist() == [2, 4, 1]
    assert outcome.labels.dtype == np.int64
    assert outcome.scores.shape == (3, 1)
    assert (outcome.scores == np.round(outcome.scores)).all()
    assert (outcome.num_listed, outcome.num_train, outcome.num_train_skipped) == (3, 6, 0)
    assert 'not the cycle localisation of SEVERE' in outcome.notes[0]
    # mean 3.5 answered as 4: (2/2 + 0/4 + 3/1) / 3
    assert 'always the mean training count (3.50, answered as 4): error 1.3333' in outcome.notes[1]
    again = resolved.protocol.run(resolved, tmp_path)
    assert np.array_equal(again.scores, outcome.scores)


def test_clips_that_overlap_and_another_seed_are_other_cells(counting, tmp_path):
    plain = resolve(counting, tmp_path)
    other = resolve(counting, tmp_path, change=('clip_step_frames=None', 'clip_step_frames=4'))
    assert other.id != plain.id
    assert other.protocol.run(other, tmp_path).scores.shape == (3, 1)
    assert resolve(counting, tmp_path, seed=1).id != plain.id


def test_a_finetuned_encoder_moves_and_what_fails_to_decode_is_named(tmp_path, monkeypatch):
    from eval.features.clips import build_encoder

    folder = write_counting(tmp_path / 'data')
    (folder / 'train_2.mp4').write_bytes(b'no video')  # after the index was made
    believe(folder)
    resolved, seen = resolve(folder, tmp_path, finetune=True, how='epochs=1'), {}
    monkeypatch.setattr(training, 'save_training_state', lambda path, content: seen.update(content['state_dict']))
    outcome = resolved.protocol.run(resolved, tmp_path)
    assert sum('not decoded in training, next video taken' in n and 'train_2.mp4' in n for n in outcome.notes) == 1
    assert (outcome.num_train, outcome.num_train_skipped) == (6, 1)
    weight = 'blocks.0.mlp.fc1.weight'
    assert not torch.equal(seen[f'encoder.{weight}'], build_encoder(resolved).state_dict()[weight])


def test_an_unreadable_test_video_is_named(tmp_path):
    folder = write_counting(tmp_path / 'damaged')
    mark_unreadable(folder, 'test_1.mp4')
    resolved = resolve(folder, tmp_path)
    outcome = resolved.protocol.run(resolved, tmp_path)
    assert outcome.videos == ['test_0.mp4', 'test_2.mp4']
    assert outcome.unscored == [{'video': 'test_1.mp4', 'reason': 'damaged on purpose'}]
    assert outcome.num_listed == 3
    for name in ('test_0.mp4', 'test_2.mp4'):
        mark_unreadable(folder, name)
    with pytest.raises(DataError, match='no readable video in test'):
        (nothing := resolve(folder, tmp_path)).protocol.run(nothing, tmp_path)


def mark_unreadable(folder: Path, name: str) -> None:
    """As the index would say of a damaged file."""
    lines = (folder / 'index.jsonl').read_text().splitlines()
    for number, line in enumerate(lines[1:], 1):
        if json.loads(line)['path'] == name:
            lines[number] = json.dumps(json.loads(line) | {'readable': False, 'reason': 'damaged on purpose'})
    (folder / 'index.jsonl').write_text('\n'.join(lines) + '\n')


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (('crops=1', 'crops=3'), 'asks for 3 crops; counting has 1'),
        (('num_frames=32', 'num_frames=28'), 'spreads 28 frames.*clips of 8 frames.*every 8 do not fill'),
        (('num_frames=32', 'num_frames=4'), 'spreads 4 frames'),
    ],
)
def test_recipes_that_do_not_fit_end_in_a_sentence(counting, tmp_path, change, words):
    with pytest.raises(DataError, match=words):
        resolve(counting, tmp_path, change=change)


def test_data_that_cannot_be_counted_ends_in_a_sentence(tmp_path, counting):
    with pytest.raises(DataError, match='no classes to draw few clips from'):
        resolve(counting, tmp_path, shots=5)
    folder = write_counting(tmp_path / 'data', train=((2, 20), (3, 20)), test=((2, 20),))
    card = (folder / 'dataset.py').read_text()
    (folder / 'dataset.py').write_text(card.replace("'repetition'", "'multi_label'"))
    with pytest.raises(DataError, match="is a dataset for multi_label; repetition_frozen needs one for 'repetition'"):
        resolve(folder, tmp_path)
    (folder / 'dataset.py').write_text(card)
    (folder / 'train.txt').write_text('train_0.mp4 5\ntrain_1.mp4 3\n')
    with pytest.raises(DataError, match='train_0.mp4 has count 5 and 3 cycle boundaries'):
        (wrong := resolve(folder, tmp_path)).protocol.run(wrong, tmp_path)
    (folder / 'test.txt').write_text('test_0.mp4 0\n')
    with pytest.raises(DataError, match=r'\(test\): 1 videos have count 0, first test_0.mp4'):
        resolve(folder, tmp_path)


# --- annotated sections ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('finetune', [False, True])
def test_frames_are_spread_over_the_annotated_section(finetune, tmp_path):
    """C1: frames and cycle times of a video with 40 leading frames are those of the section alone."""
    shapes = ((2, 40), (3, 48))
    cut = write_counting(tmp_path / 'cut', train=shapes, test=shapes[:1], lead=40, sections=True)
    alone = write_counting(tmp_path / 'alone', train=shapes, test=shapes[:1])
    how = 'epochs=1' if finetune else 'num_steps=5'
    with_lead, without = (resolve(folder, tmp_path, finetune, how) for folder in (cut, alone))
    assert torch.equal(cycle_times(with_lead, ['train_0.mp4']), cycle_times(without, ['train_0.mp4']))
    names = ['sigma.OpenVideo', 'sigma.AnnotatedSection', 'sigma.SampleSpread']
    for name in ('pipeline', *(['train_pipeline'] if finetune else [])):
        steps = with_lead.config[name]
        assert [step['type'] for step in steps[:3]] == names
        assert [step for step in steps if step['type'] != 'sigma.AnnotatedSection'] == without.config[name]
    outcome = with_lead.protocol.run(with_lead, tmp_path / 'work')
    assert outcome.videos == ['test_0.mp4']

    clips = VideoClips(str(cut), with_lead.config['pipeline'][:3], split='test', test_mode=True)
    sample = clips[0]
    assert (sample['total_frames'], sample['frame_inds'].min(), sample['frame_inds'].max()) == (40, 0, 39)
    frames = sample['open_reader']().frames(np.array([0, 20]))
    whole = PyAVReader(str(cut / 'test_0.mp4')).frames(np.array([40, 60]))
    assert np.array_equal(frames, whole)


@pytest.mark.parametrize('protocol', ['repetition', 'repetition_frozen'])
def test_a_folder_prepared_before_sections_were_kept_is_refused(protocol, tmp_path):
    """C1."""
    folder = write_counting(tmp_path / 'data', train=((2, 40),), test=((2, 40),), sections=True)
    annotations = json.loads((folder / 'annotations.json').read_text())
    annotations['train_0.mp4'].pop('section')
    (folder / 'annotations.json').write_text(json.dumps(annotations))
    with pytest.raises(DataError, match=r'1 of 1 videos have no annotated section, first train_0.*Prepare it again'):
        resolve(folder, tmp_path, finetune=protocol == 'repetition')


def test_sections_count_also_where_a_copied_card_forgot_to_say_so(tmp_path):
    """C1: a card written anew, as for a re-encoded copy."""
    cut = write_counting(tmp_path / 'cut', train=((2, 40),), test=((2, 40),), lead=40, sections=True)
    said = resolve(cut, tmp_path)
    (cut / 'dataset.py').write_text((cut / 'dataset.py').read_text().replace("'sections': True", "'sections': False"))
    unsaid = resolve(cut, tmp_path)
    assert unsaid.config['pipeline'] == said.config['pipeline']
    assert section_of(unsaid.dataset.entries('test')[0]) == (40, 79)


def test_a_section_after_the_end_of_a_file_is_told():
    entry = {'video': 'a.avi', 'total_frames': 50, 'annotation': {'section': [40, 80]}}
    assert annotated_section(entry) == (40, 49)
    with pytest.raises(DataError, match='has 50 frames, but its annotated section begins at frame 60'):
        annotated_section(entry | {'annotation': {'section': [60, 80]}})
