"""Counting by localised cycles: exact for a network without error; its labels are those that were published."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch

from eval.cells.cell import Cell, ResolvedCell
from eval.models import cycles
from eval.models.cycles import (
    ANCHORS,
    CycleNetwork,
    best_factors,
    count_cycles,
    cut_windows,
    cycle_loss,
    draw_part,
    draw_state,
    labels_at,
    match_anchors,
    neighbour_lengths,
    next_state,
    window_frames,
)
from eval.protocols import get_protocol, training
from eval.protocols.repetition_cycles import fit_square, walk
from sigma.errors import DataError
from tests.conftest import SHARED
from tests.eval.protocols.test_repetition import mark_unreadable, small_encoder, write_counting

UCF526 = SHARED / 'data/annotations/ucf526/ucf526_annotations.zip'

RECIPE = """recipe = dict(
    protocol='repetition_cycles', decoder='pyav', finetune={finetune}, min_cycles=2, flip=True,
    training=dict(epochs={epochs}, batch_size=2, parts_per_video=1, longest_part=40, num_walk_steps=2, lr=1e-4,
                  weight_decay=1e-3, test_batch_size=8))
"""


def oracle(length_at):
    """A network without error, for a video whose cycle at frame t has `length_at(t)` frames."""

    def regress(states):
        left, middle, right = states.T
        present = np.stack([middle - left + 1, right - middle], axis=1)[..., None] * np.asarray(ANCHORS)
        true = np.stack([length_at(middle)] * 2, axis=1)[..., None]
        return np.minimum(present, true) / np.maximum(present, true), np.log(true / present)

    return regress


# --- counting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('num_frames', [60, 97, 166, 300, 741])
def test_a_network_without_error_counts_exactly(num_frames):
    for count in range(2, 54):
        if num_frames / count < 6:
            break
        answer = count_cycles(oracle(lambda at, c=count: np.full_like(at, num_frames / c)), num_frames)
        assert answer == count, (num_frames, count)


@pytest.mark.parametrize('slowing', [1.5, 2.0, 3.0])
def test_cycles_that_become_longer_are_counted(slowing):
    num_frames = 300
    frames = np.arange(num_frames + 1)
    for count in (5, 8, 12):
        relative = 1 + (slowing - 1) * frames / num_frames
        unit = np.trapezoid(1 / relative) / count  # so that as many cycles fit
        answer = count_cycles(oracle(lambda at, u=unit: u * (1 + (slowing - 1) * at / num_frames)), num_frames)
        assert answer == count


def test_a_video_has_at_least_min_cycles():
    assert count_cycles(oracle(lambda at: np.full_like(at, 500.0)), 100) == 2
    assert count_cycles(oracle(lambda at: np.full_like(at, 500.0)), 100, min_cycles=4) == 4
    assert np.isfinite(count_cycles(oracle(lambda at: np.full_like(at, 5.0)), 5))


def test_every_position_is_asked_as_often_as_published():
    asked = []

    def counting(states):
        asked.append(len(states))
        return oracle(lambda at: np.full_like(at, 20.0))(states)

    count_cycles(counting, 200)
    assert asked == [30] + [1] * 4 + [2] * 4 + [4] * 2 + [8] + [16]


# --- labels ----------------------------------------------------------------------------------------------------------


def test_lengths_between_boundaries_and_where_there_are_none():
    following, previous = neighbour_lengths([5, 15, 27], 30)
    assert np.flatnonzero(np.isfinite(following)).tolist() == list(range(5, 15))
    assert np.flatnonzero(np.isfinite(previous)).tolist() == list(range(15, 28))
    assert following[5] == 10
    assert following[10] == pytest.approx(11)  # half of 10 and half of 12
    assert previous[15] == 10
    assert previous[27] == 12
    shifted, _ = neighbour_lengths([5, 15, 27], 10, first_frame=8)
    assert np.array_equal(shifted, following[8:18], equal_nan=True)


def test_cycles_unlike_their_neighbours_have_no_length():
    following, previous = neighbour_lengths([0, 10, 24, 37], 38)  # 10 and 14: 4 frames and 1.4 times
    assert np.isnan(following[:10]).all()
    assert np.isfinite(following[10:24]).all()
    assert np.isnan(previous[10:24]).all()
    assert np.isfinite(previous[24:]).all()
    assert np.isfinite(neighbour_lengths([0, 4, 10], 10)[0][:4]).all()  # 1.5 times, but by 2 frames


@pytest.mark.skipif(not UCF526.is_file(), reason='the annotations of UCFRep are not beside the checkout')
def test_lengths_are_those_of_the_published_annotations():
    from scipy.io import loadmat

    num_videos = num_frames = 0
    with zipfile.ZipFile(UCF526) as archive:
        for name in [n for n in archive.namelist() if n.endswith('.mat')][::4]:
            label = loadmat(io.BytesIO(archive.read(name)))['label'][0, 0]
            bounds, first = label['temporal_bound'].ravel().astype(float), int(label['start_frame'][0, 0])
            published = [label[f'offset_{side}_estimate'].ravel() for side in ('next', 'pre')]
            for wanted, found in zip(published, neighbour_lengths(bounds, len(published[0]), first)):
                assert np.array_equal(wanted != -1, np.isfinite(found)), name
                known = wanted != -1
                assert np.abs(wanted[known] - found[known]).max(initial=0) <= 1, name  # those are whole frames
                num_frames += known.sum()
            num_videos += 1
    assert num_videos == 132
    assert num_frames > 20000


def test_anchors_that_cover_half_of_the_cycle_are_right():
    classes, offsets = match_anchors(np.array([20.0, np.nan, 100.0]), np.array([20.0, 20.0, 20.0]))
    assert classes[0].tolist() == [1] * 7  # 0.5 to 2 times: exactly half at the ends
    assert classes[1].tolist() == [-1] * 7
    assert classes[2].tolist() == [0] * 7
    assert offsets[0] == pytest.approx(-np.log(ANCHORS))
    assert np.isnan(offsets[1:]).all()
    assert match_anchors(np.array(30.0), np.array(20.0))[0].tolist() == [0, 0, 1, 1, 1, 1, 1]


def test_labels_are_read_at_the_middle_and_after_it():
    following, previous = neighbour_lengths([0, 10, 20, 30], 31)
    states = np.array([[0.0, 12.0, 22.0], [15.0, 40.0, 50.0]])
    classes, offsets = labels_at(states, [(following, previous)] * 2)
    assert offsets[0, 0, cycles.ANCHORS.index(0.8)] == pytest.approx(np.log(10 / 13 / 0.8))
    assert offsets[0, 1, cycles.SAME] == pytest.approx(0)
    assert (classes[1] == -1).all()  # beyond the part


# --- the network -----------------------------------------------------------------------------------------------------


def test_windows_show_one_cycle_before_and_one_after():
    windows = window_frames(np.array([[100.0, 131.0, 163.0]]))[0]  # two cycles of 32 frames
    assert windows[0, 0] == 68
    assert windows[0, -1] == 131
    assert windows[1, 0] == 132
    assert windows[1, -1] == 195
    assert np.diff(windows[0]).min() >= 4
    assert np.diff(windows[0]).max() <= 5
    assert window_frames(np.array([[0.0, 3.0, 7.0]]))[0, 0, 0] == -4


def test_frames_outside_the_video_are_padding():
    frames = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 2, 2, 3)
    windows, inside = cut_windows(frames, np.array([[0.0, 4.0, 9.0]]), 16)
    places = window_frames(np.array([[0.0, 4.0, 9.0]]))[0]
    assert inside[0].tolist() == ((places >= 0) & (places < 10)).tolist()
    assert torch.equal(windows[0, 0, 0, :, 0, 0][inside[0, 0]], torch.tensor(places[0][places[0] >= 0]).byte())


class Averages(torch.nn.Module):
    """Tokens whose value is the mean of two frames."""

    def forward(self, clip):
        return clip.mean(dim=1).unflatten(1, (-1, 2)).mean(dim=2)[..., None].expand(-1, -1, -1, -1, 4)


@pytest.mark.parametrize('num_frames', [8, 16, 32])
def test_any_number_of_frames_of_an_encoder_gives_two_heads(num_frames):
    network = CycleNetwork(Averages(), num_frames, 4, (100.0,) * 3, (10.0,) * 3)
    assert network.per_window == (16 if num_frames == 32 else num_frames)
    windows = torch.full((3, 2, 3, network.per_window, 4, 4), 110, dtype=torch.uint8)
    windows[:, 1] = 120
    inside = torch.ones(3, 2, network.per_window, dtype=torch.bool)
    logits, corrections = network(windows, inside)
    assert logits.shape == (3, 2, 2, 7)
    assert corrections.shape == (3, 2, 7)
    features = network._features((windows.float() - 100) / 10)
    assert (features[:, 0] == 1).all()
    assert (features[:, 1] == 2).all()
    outside = network(windows, ~inside)[1]
    assert torch.allclose(outside, torch.stack([layer.bias for layer in network.head.correct]).expand(3, -1, -1))


def test_an_encoder_of_32_frames_and_one_step_is_refused():
    class Single(torch.nn.Module):
        def forward(self, clip):
            return clip.mean(dim=(1, 2))[:, None, :, :, None]

    with pytest.raises(ValueError, match='no halves for two heads'):
        CycleNetwork(Single(), 32, 4, (0.0,) * 3, (1.0,) * 3)


def test_the_loss_from_its_parts():
    logits, corrections = torch.zeros(1, 2, 2, 7), torch.full((1, 2, 7), 0.5, requires_grad=True)
    classes = torch.full((1, 2, 7), -1)
    offsets = torch.full((1, 2, 7), torch.nan)
    assert cycle_loss(logits, corrections, classes, offsets).item() == 0
    classes[0, 0, :2], offsets[0, 0, 0] = 1, 0.1
    expected = np.log(2) + 50 * 0.5 * 0.4**2 / 7
    loss = cycle_loss(logits, corrections, classes, offsets)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert corrections.grad.count_nonzero() == 1


def test_the_best_anchor_is_taken_and_its_correction_clamped():
    right, corrections = np.zeros((1, 2, 7)), np.zeros((1, 2, 7))
    right[0, 0, 6], right[0, 1, 0] = 1, 1
    corrections[0, 0, 6], corrections[0, 1, 0] = 3.0, -0.1
    assert best_factors(right, corrections, 0.5)[0] == pytest.approx([2 * np.exp(0.5), 0.5 * np.exp(-0.1)])


# --- training --------------------------------------------------------------------------------------------------------


def test_parts_and_states_stay_inside():
    rng = np.random.default_rng(0)
    bounds, whole = np.array([3.0, 20.0, 41.0, 60.0, 85.0]), 0
    for _ in range(300):
        begin, end = draw_part(rng, bounds, 90, 60)
        assert 0 <= begin < end <= 89
        assert end - begin < 60
        begin, end = draw_part(rng, bounds, 90, 300)
        assert np.sum((bounds >= begin) & (bounds <= end)) >= 2  # a whole cycle
        whole += (begin, end) == (0, 89)
        left, middle, right = draw_state(rng, 20.0, 60)
        assert 0 <= left <= middle < right < 60
        assert right - middle == pytest.approx(middle - left + 1)
    assert whole > 0
    assert draw_state(rng, 50.0, 60)[2] <= 60


def test_a_state_walks_on_until_it_leaves_or_becomes_too_short():
    rng = np.random.default_rng(0)
    state, gone = next_state(rng, np.array([10.0, 19.0, 29.0]), np.array([2.0, 0.5]), 100)
    assert not gone
    assert state[1] - state[0] + 1 == pytest.approx(20)
    assert state[2] - state[1] == pytest.approx(5)
    assert 24 <= state[1] <= 39
    assert next_state(rng, np.array([10.0, 19.0, 29.0]), np.array([1.0, 0.3]), 100) == (None, False)
    assert next_state(rng, np.array([80.0, 98.0, 117.0]), np.array([1.0, 1.0]), 100) == (None, True)


def test_a_network_learns_the_lengths_of_what_it_walks_along():
    torch.manual_seed(0)
    network = CycleNetwork(Averages(), 16, 4, (128.0,) * 3, (60.0,) * 3)
    wave = 128 + 100 * np.sin(2 * np.pi * np.arange(80) / 16)
    frames = torch.from_numpy(wave.astype(np.uint8)).view(80, 1, 1, 1).expand(80, 4, 4, 3)
    bounds = np.arange(0, 81, 16.0)
    batch = [(frames, neighbour_lengths(bounds, 80), bounds)] * 2
    optimizer, rng = torch.optim.Adam(network.parameters(), lr=1e-2), np.random.default_rng(0)
    _, losses = training.train_network(
        network, optimizer, lambda epoch: walk(network, batch, rng, 5), 40, seed_of=lambda epoch: None
    )
    assert np.mean(losses[-20:]) < 0.75 * np.mean(losses[:20])


def test_frames_keep_their_shape_in_a_square():
    frames = np.full((2, 30, 60, 3), 200, np.uint8)
    square = fit_square(frames, 20)
    assert square.shape == (2, 20, 20, 3)
    assert (square[:, 5:15] == 200).all()
    assert (square[:, :5] == 0).all()
    assert (square[:, 15:] == 0).all()


# --- cells -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def counting(tmp_path_factory):
    shapes = ((2, 40), (3, 48), (1, 20))
    return write_counting(tmp_path_factory.mktemp('counting'), train=shapes, test=shapes[:2])


def resolve(dataset, tmp_path, finetune=True, epochs=1) -> ResolvedCell:
    path = tmp_path / 'cycles_recipe.py'
    path.write_text(RECIPE.format(finetune=finetune, epochs=epochs))
    cell = Cell('repetition_cycles', str(dataset), str(path), small_encoder(tmp_path), 0)
    return ResolvedCell(cell, get_protocol('repetition_cycles'))


def test_a_cell_trains_and_counts(counting, tmp_path):
    resolved = resolve(counting, tmp_path)
    outcome = resolved.protocol.run(resolved, tmp_path)
    assert outcome.videos == ['test_0.mp4', 'test_1.mp4']
    assert outcome.labels.tolist() == [2, 3]
    assert outcome.scores.shape == (2, 1)
    assert (outcome.scores >= 1).all()
    assert (outcome.num_train, outcome.num_train_skipped) == (2, 1)
    assert '1 training videos with fewer than 2 cycles are left out' in outcome.notes


def test_a_frozen_encoder_stays_and_unreadable_videos_are_named(tmp_path, monkeypatch):
    from eval.features.clips import build_encoder

    folder = write_counting(tmp_path / 'data', train=((2, 40), (3, 48)), test=((2, 40), (3, 40)))
    mark_unreadable(folder, 'test_1.mp4')
    (folder / 'train_1.mp4').write_bytes(b'no video')  # after the index was made
    resolved, seen = resolve(folder, tmp_path, finetune=False), {}
    monkeypatch.setattr(training, 'save_training_state', lambda path, content: seen.update(content['state_dict']))
    outcome = resolved.protocol.run(resolved, tmp_path)
    assert outcome.unscored == [{'video': 'test_1.mp4', 'reason': 'damaged on purpose'}]
    assert outcome.num_listed == 2
    assert sum('not decoded in training' in note and 'train_1.mp4' in note for note in outcome.notes) == 1
    for name, value in build_encoder(resolved).state_dict().items():
        assert torch.equal(seen[f'encoder.{name}'], value)


def test_data_without_two_cycles_ends_in_a_sentence(tmp_path):
    folder = write_counting(tmp_path / 'data', train=((1, 20),), test=((2, 40),))
    with pytest.raises(DataError, match='no training video has two cycles'):
        (single := resolve(folder, tmp_path)).protocol.run(single, tmp_path)
    (folder / 'annotations.json').write_text(json.dumps({}))
    with pytest.raises(DataError, match='train_0.mp4 has count 1 and 0 cycle boundaries'):
        (bare := resolve(folder, tmp_path)).protocol.run(bare, tmp_path)
