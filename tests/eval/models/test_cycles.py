"""Counting by localised cycles: SEVERE's counts, labels and draws to the last frame; ours, exact without errors."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.cells.cell import Cell, ResolvedCell
from eval.models import cycles, cycles_fractional
from eval.models.cycles import (
    ANCHORS,
    CycleNetwork,
    best_factors,
    cut_windows,
    cycle_loss,
    draw_part,
    labels_at,
    match_anchors,
    neighbour_lengths,
    true_lengths,
)
from eval.protocols import get_protocol, repetition_cycles, training
from eval.protocols.repetition_cycles import FORMS, fit_square, walk
from sigma.errors import DataError
from tests.conftest import SHARED, believe
from tests.eval.protocols.test_repetition import mark_unreadable, small_encoder, write_counting

PEER = Path(__file__).resolve().parents[2] / 'data' / 'peers' / 'counting.npz'
count_cycles, draw_state, next_state = (
    cycles_fractional.count_cycles,
    cycles_fractional.draw_state,
    cycles_fractional.next_state,
)

UCF526 = SHARED / 'data/annotations/ucf526/ucf526_annotations.zip'

RECIPE = """recipe = dict(
    protocol='repetition_cycles', form='{form}', decoder='pyav', finetune={finetune}, min_cycles=2, flip=True,
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
            for wanted, found in zip(published, true_lengths(bounds, len(published[0]), first)):
                assert np.array_equal(np.where(wanted == -1, np.nan, wanted), found, equal_nan=True), name
                num_frames += (wanted != -1).sum()
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
    classes, offsets = labels_at(states, [(following, previous)] * 2, extra_frames=0)
    assert offsets[0, 0, cycles.ANCHORS.index(0.8)] == pytest.approx(np.log(10 / 13 / 0.8))
    assert offsets[0, 1, cycles.SAME] == pytest.approx(0)
    assert (classes[1] == -1).all()  # beyond the part


def test_published_labels_are_one_frame_longer():
    """C2."""
    following, previous = true_lengths([0, 10, 20, 30], 31)
    _, offsets = labels_at(np.array([[3.0, 12.0, 23.0]]), [(following, previous)])
    assert offsets[0, :, cycles.SAME] == pytest.approx([np.log(11 / 10), 0])


# --- the network -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('form', FORMS)
def test_windows_show_one_cycle_before_and_one_after(form):
    window_frames = FORMS[form].window_frames
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
    places = cycles.window_frames(np.array([[0.0, 4.0, 9.0]]))[0]
    windows, inside = cut_windows(frames, places[None])
    assert inside[0].tolist() == ((places >= 0) & (places < 10)).tolist()
    assert torch.equal(windows[0, 0, 0, :, 0, 0][inside[0, 0]], torch.tensor(places[0][places[0] >= 0]).byte())


class Averages(torch.nn.Module):
    """Tokens whose value is the mean of two frames."""

    def forward(self, clip):
        return clip.mean(dim=1).unflatten(1, (-1, 2)).mean(dim=2)[..., None].expand(-1, -1, -1, -1, 4)


@pytest.mark.parametrize('num_frames', [8, 16, 32])
def test_any_number_of_frames_of_an_encoder_gives_two_heads(num_frames):
    network = CycleNetwork(Averages(), num_frames, 4, (100.0,) * 3, (10.0,) * 3, halves=True)
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
        CycleNetwork(Single(), 32, 4, (0.0,) * 3, (1.0,) * 3, halves=True)


@pytest.mark.parametrize('num_frames', [8, 16, 32])
def test_all_layers_read_the_average_over_time_and_space(num_frames):
    """C2: SEVERE's encoder sees both windows as one clip, and four layers read the same D values."""
    network = CycleNetwork(Averages(), num_frames, 4, (100.0,) * 3, (10.0,) * 3)
    assert network.per_window == num_frames // 2
    layers = [*network.head.classify, *network.head.correct]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(4, 14), (4, 14), (4, 7), (4, 7)]
    windows = torch.full((3, 2, 3, network.per_window, 4, 4), 110, dtype=torch.uint8)
    windows[:, 1] = 120
    features = network._features((windows.float() - 100) / 10)
    assert features.shape == (3, 2, 4)
    assert (features == 1.5).all()
    outside = network(windows, torch.zeros(3, 2, network.per_window, dtype=torch.bool))[1]
    mean = np.mean(cycles.PADDING)  # of the three channels, which this encoder averages
    wanted = [layer.bias + layer.weight.sum(dim=1) * mean for layer in network.head.correct]
    assert torch.allclose(outside, torch.stack(wanted).expand(3, -1, -1), atol=1e-6)


def test_an_encoder_of_an_odd_number_of_frames_is_refused():
    with pytest.raises(ValueError, match='takes 9 frames, which two windows cannot share equally'):
        CycleNetwork(Averages(), 9, 4, (0.0,) * 3, (1.0,) * 3)


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


@pytest.mark.parametrize('form', FORMS)
def test_parts_and_states_stay_inside(form):
    rng = np.random.default_rng(0)
    bounds, whole = np.array([3.0, 20.0, 41.0, 60.0, 85.0]), 0
    for _ in range(300):
        begin, end, _ = draw_part(rng, bounds, (0, 89), 60)
        assert 0 <= begin < end <= 89
        assert end - begin < 60
        begin, end, count = draw_part(rng, bounds, (3, 85), 300)
        assert 3 <= begin < end <= 85
        assert np.sum((bounds >= begin) & (bounds <= end)) >= 2  # a whole cycle
        assert 2 <= count <= 5
        whole += (begin, end) == (3, 85)
        left, middle, right = FORMS[form].draw_state(rng, 20.0, 60, 20.0)
        assert 0 <= left <= middle < right < 60
        assert right - middle == pytest.approx(middle - left + 1)
    assert whole > 0
    assert FORMS[form].draw_state(rng, 50.0, 60, 50.0)[2] <= 60


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
    network = CycleNetwork(Averages(), 16, 4, (128.0,) * 3, (60.0,) * 3, halves=True)
    wave = 128 + 100 * np.sin(2 * np.pi * np.arange(80) / 16)
    frames = torch.from_numpy(wave.astype(np.uint8)).view(80, 1, 1, 1).expand(80, 4, 4, 3)
    bounds = np.arange(0, 81, 16.0)
    batch = [(frames, neighbour_lengths(bounds, 80), 16.0)] * 2
    optimizer, rng = torch.optim.Adam(network.parameters(), lr=1e-2), np.random.default_rng(0)
    _, losses = training.train_network(
        network,
        optimizer,
        lambda epoch: walk(network, batch, rng, 5, cycles_fractional),
        40,
        seed_of=lambda epoch: None,
    )
    assert np.mean(losses[-20:]) < 0.75 * np.mean(losses[:20])


def test_frames_keep_their_shape_in_a_square():
    frames = np.full((2, 30, 60, 3), 200, np.uint8)
    square = fit_square(frames, 20)
    assert square.shape == (2, 20, 20, 3)
    assert (square[:, 5:15] == 200).all()
    assert (square[:, :5] == 0).all()
    assert (square[:, 15:] == 0).all()


def test_shrinking_averages():
    """P3: as PIL's bilinear filter; a filter of two taps would see a single column of each stripe."""
    stripes = np.zeros((1, 40, 40, 3), np.uint8)
    stripes[:, :, ::4] = 200
    shrunk = fit_square(stripes, 10)[0, 2:-2, 2:-2].astype(int)
    assert np.abs(shrunk - 50).max() <= 2
    assert fit_square(np.zeros((1, 63, 100, 3), np.uint8) + 9, 10)[0, :, 0, 0].tolist() == [0, 0, *[9] * 6, 0, 0]


# --- held against SEVERE's code --------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def peer():
    with np.load(PEER) as found:
        return dict(found)


def made_up(states, num_frames, cycle, weights, noise):
    """The outputs that SEVERE's code was given, from the frames that it sees (tests/data/peers/SOURCES.md)."""
    places = cycles.window_frames(states).reshape(len(states), 32)
    seen = np.where((places < 0) | (places >= num_frames), -0.1, places / num_frames)
    length = np.stack([seen[:, 15] - seen[:, 0], seen[:, 31] - seen[:, 16]], axis=1) * num_frames / 2 + 1
    waves = np.sin(seen @ weights).reshape(len(states), 2, 3, 7)
    ratio = cycle / (np.maximum(length, 1)[:, :, None] * np.asarray(ANCHORS))
    logits = np.stack([np.zeros_like(ratio), 3 * np.minimum(ratio, 1 / ratio)], axis=2) + noise * waves[:, :, :2]
    corrections = (np.log(ratio) + 0.3 * noise * waves[:, :, 2]).astype(np.float32)
    right = torch.from_numpy(logits.astype(np.float32)).softmax(dim=2)[:, :, 1]
    return right.double().numpy(), corrections.astype(float)


def test_counts_are_those_of_the_published_code(peer):
    """C2, parity: 120 videos of 5 to 700 frames and outputs with four amounts of noise."""
    weights, found = peer['weights'].astype(float), []
    for num_frames, cycle, noise, min_cycles, _ in peer['cases']:
        n = int(num_frames)
        outputs = lambda states, of=(n, cycle, weights, noise): made_up(states, *of)  # noqa: E731
        found.append(cycles.count_cycles(outputs, n, int(min_cycles)))
    assert len(found) == 120
    assert found == peer['cases'][:, 4].tolist()


def test_windows_labels_states_and_steps_are_those_of_the_published_code(peer):
    """C2, parity."""
    assert np.array_equal(cycles.window_frames(peer['states']).reshape(-1, 32), peer['places'])
    true, present = peer['label_in'].astype(float).T
    classes, offsets = match_anchors(np.where(true == -1, np.nan, true + cycles.EXTRA_FRAMES), present)
    assert np.array_equal(classes, peer['label_classes'])
    assert np.allclose(np.nan_to_num(offsets, nan=-1), peer['label_offsets'], atol=1e-6)
    for (n, count, label, *draws), wanted in zip(peer['start_in'], peer['start_out']):
        mean = n / count
        state = cycles.draw_state(Given(*draws), mean if label == -1 else label, int(n), mean)
        assert state.tolist() == wanted.tolist(), (n, count, label, draws)
    for (*state, one, other, span, n), (*wanted, done, failed) in zip(peer['step_in'], peer['step_out']):
        moved, gone = cycles.next_state(Given(0, 0, (span - 5) / 15, 0), np.array(state), np.array([one, other]), n)
        assert gone == bool(done)
        assert (moved is None) == bool(done or failed)
        assert moved is None or moved.tolist() == wanted


class Given:
    """A generator whose draws are given: two numbers in [0, 1), the share of a range, and a whole number."""

    def __init__(self, one, two, share, whole):
        self.randoms, self.share, self.whole = [one, two], share, whole

    def random(self):
        return self.randoms.pop(0)

    def uniform(self, low, high):
        return low + (high - low) * self.share

    def integers(self, low, high=None):
        return int(self.whole)


# --- cells -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def counting(tmp_path_factory):
    shapes = ((2, 40), (3, 48), (1, 20))
    return write_counting(tmp_path_factory.mktemp('counting'), train=shapes, test=shapes[:2])


def resolve(dataset, tmp_path, finetune=True, epochs=1, form='severe') -> ResolvedCell:
    path = tmp_path / 'cycles_recipe.py'
    path.write_text(RECIPE.format(finetune=finetune, epochs=epochs, form=form))
    cell = Cell('repetition_cycles', str(dataset), str(path), small_encoder(tmp_path), 0)
    return ResolvedCell(cell, get_protocol('repetition_cycles'))


@pytest.mark.parametrize('form', FORMS)
def test_a_cell_trains_and_counts(form, counting, tmp_path):
    resolved = resolve(counting, tmp_path, form=form)
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
    believe(folder)
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


def test_an_unknown_form_ends_in_a_sentence(counting, tmp_path):
    with pytest.raises(DataError, match="form is 'fractonal'; did you mean 'fractional'"):
        resolve(counting, tmp_path, form='fractonal')


@pytest.mark.parametrize('form', FORMS)
def test_parts_are_drawn_once_or_in_each_epoch(form, counting, tmp_path, monkeypatch):
    """C2: SEVERE draws the parts of a video when it reads the list, ours in each epoch."""
    seen = []

    class Parts(repetition_cycles.VideoParts):
        def __init__(self, jobs, *arguments):
            seen.append(sorted((entry['video'], begin, end) for entry, begin, end, _ in jobs))
            super().__init__(jobs, *arguments)

    monkeypatch.setattr(repetition_cycles, 'VideoParts', Parts)
    resolved = resolve(counting, tmp_path, finetune=False, epochs=4, form=form)
    resolved.config['training']['parts_per_video'] = 3
    resolved.protocol.run(resolved, tmp_path)
    epochs = {str(jobs) for jobs in seen[1:] if len(jobs) == 6} | {str(seen[0])}
    assert len(epochs) == (1 if form == 'severe' else 4)


@pytest.mark.parametrize('form', FORMS)
def test_cycles_are_counted_in_the_annotated_section(form, tmp_path, monkeypatch):
    """C1: a network without error counts the frames before the first cycle as cycles, unless the section is cut out."""
    shapes = ((4, 80), (6, 90))  # cycles of 20 and 15 frames, in the section
    whole = write_counting(tmp_path / 'whole', train=((2, 40),), test=shapes, lead=40)
    cut = write_counting(tmp_path / 'cut', train=((2, 40),), test=shapes, lead=40, sections=True)
    lengths = iter([20.0, 15.0] * 2)

    def without_error(*_):
        cycle = next(lengths)
        return oracle(lambda at: np.full_like(at, cycle))

    monkeypatch.setattr(repetition_cycles, 'regressor', without_error)
    outcomes = []
    for folder in (whole, cut):
        resolved = resolve(folder, tmp_path, finetune=False, form=form)
        outcomes.append(resolved.protocol.run(resolved, tmp_path).scores[:, 0].tolist())
    assert outcomes[0] == [6, 9]  # 120 / 20 and 130 / 15
    assert outcomes[1] == [4, 6]
