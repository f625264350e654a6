"""Masks: tubes, regions along the motion, several a clip, half of the tokens decoded; and masks drawn over frames."""

import numpy as np
import pytest
import torch

from sigma.data.mask_transforms import MotionMask, RunningCell
from sigma.data.masking import gaussian_map, mask_overlay, motion_mask, num_visible_cells, tube_mask, warp_maps
from sigma.data.transforms import PackPretraining, TubeMask
from sigma.models.preprocessor import ClipPreprocessor, complement, running_cell, token_indices


def shift(frames: int, height: int, width: int, x: float, y: float) -> np.ndarray:
    """Motion of content that moves by (x, y) a frame, each frame towards the middle one."""
    motion = np.zeros((frames, height, width, 2), np.float32)
    motion[: frames // 2] = (x, y)  # where it will be in the next frame
    motion[frames // 2 + 1 :] = (-x, -y)  # where it was
    return motion


# --- tubes -----------------------------------------------------------------------------------------------------------


def test_tubes_keep_the_published_count_and_are_drawn_as_before():
    assert num_visible_cells(14, 14, 0.9) == 20
    visible = tube_mask(14, 14, 0.9, np.random.default_rng(3))
    assert visible.tolist() == sorted(np.random.default_rng(3).permutation(196)[176:].tolist())
    for ratio in (0.01, 1.0):
        with pytest.raises(ValueError, match='choose a ratio in'):
            tube_mask(4, 4, ratio, np.random.default_rng(0))


def test_several_tube_masks_of_a_clip_differ_and_one_is_what_it_was():
    def drawn(num_masks):
        return TubeMask((14, 14), 0.9, num_masks)({'rng': np.random.default_rng(5)})['visible_tubes']

    assert drawn(1).tolist() == tube_mask(14, 14, 0.9, np.random.default_rng(5)).tolist()
    several = drawn(4)
    assert several.shape == (4, 20)
    assert several[0].tolist() == drawn(1).tolist()
    assert len({tuple(mask) for mask in several.tolist()}) == 4


# --- along the motion ------------------------------------------------------------------------------------------------


def test_a_bump_has_its_height_and_width():
    bump = gaussian_map(3, 3, 5, np.array([4]))
    assert bump[7, 7] == 1
    assert bump[7, 12] == pytest.approx(np.exp(-1))  # one cell away
    both = gaussian_map(3, 3, 5, np.array([4, 5]))
    np.testing.assert_array_equal(both, np.maximum(bump, gaussian_map(3, 3, 5, np.array([5]))))


def test_a_map_goes_with_the_motion_and_what_comes_into_view_is_filled_from_the_base():
    base_map = np.random.default_rng(0).random((6, 8), dtype=np.float32) + 0.1
    maps = warp_maps(base_map, shift(4, 6, 8, 2, 0), base=2)  # content goes right by 2 a frame
    np.testing.assert_array_equal(maps[2], base_map)
    np.testing.assert_allclose(maps[3][:, 2:], base_map[:, :-2], rtol=1e-5)
    np.testing.assert_array_equal(maps[3][:, :2], base_map[:, :2])
    np.testing.assert_allclose(maps[0][:, :-4], base_map[:, 4:], rtol=1e-5)
    np.testing.assert_allclose(maps[0][:, -4:-2], base_map[:, -2:], rtol=1e-5)  # filled at frame 1, then carried
    np.testing.assert_array_equal(maps[0][:, -2:], base_map[:, -2:])


def test_without_motion_a_motion_mask_is_the_tube_mask():
    still = np.zeros((16, 56, 56, 2), np.float32)
    for seed in range(10):
        found = motion_mask(still, (8, 14, 14), 0.9, np.random.default_rng(seed))
        tubes = tube_mask(14, 14, 0.9, np.random.default_rng(seed))
        assert found.tolist() == (tubes[None] + 196 * np.arange(8)[:, None]).reshape(-1).tolist()


def test_a_motion_mask_moves_with_the_content(monkeypatch):
    base = np.array([2, 9, 20, 33])  # in the middle columns of 6 x 6, so that all stays in view
    monkeypatch.setattr('sigma.data.masking.tube_mask', lambda *_: base)
    motion = shift(4, 24, 24, 4, 0)  # four frames in four slots; content goes right by one cell a frame
    found = motion_mask(motion, (4, 6, 6), 0.9, np.random.default_rng(0)).reshape(4, -1) - 36 * np.arange(4)[:, None]
    assert found.tolist() == [(base + step).tolist() for step in (-2, -1, 0, 1)]
    down = shift(4, 24, 24, 0, 4)
    monkeypatch.setattr('sigma.data.masking.tube_mask', lambda *_: np.array([13, 15, 18, 23]))
    found = motion_mask(down, (4, 6, 6), 0.9, np.random.default_rng(0)).reshape(4, -1) - 36 * np.arange(4)[:, None]
    assert found.tolist() == [[13 + s, 15 + s, 18 + s, 23 + s] for s in (-12, -6, 0, 6)]


def test_every_slot_of_a_motion_mask_keeps_the_same_count_whatever_the_motion():
    rng = np.random.default_rng(0)
    for size in (0.5, 5, 100):
        motion = rng.normal(0, size, (16, 28, 28, 2)).astype(np.float32)
        visible = motion_mask(motion, (8, 14, 14), 0.9, rng)
        assert visible.shape == (160,)
        assert (np.diff(visible) > 0).all()
        assert np.bincount(visible // 196).tolist() == [20] * 8


def test_motion_that_does_not_fill_the_grid_is_refused():
    with pytest.raises(ValueError, match='16 frames of 30x28'):
        motion_mask(np.zeros((16, 30, 28, 2), np.float32), (8, 14, 14), 0.9, np.random.default_rng(0))
    with pytest.raises(ValueError, match='15 frames'):
        motion_mask(np.zeros((15, 28, 28, 2), np.float32), (8, 14, 14), 0.9, np.random.default_rng(0))


# --- token indices ---------------------------------------------------------------------------------------------------


def test_complement_is_what_is_left_whatever_the_pattern():
    index = torch.tensor([[[0, 3], [1, 2]], [[4, 2], [3, 4]]])
    assert complement(index, 5).tolist() == [[[1, 2, 4], [0, 3, 4]], [[0, 1, 3], [0, 1, 2]]]


def test_several_masks_have_the_indices_of_each_alone():
    tubes = torch.tensor([[[1, 2], [0, 3]], [[0, 1], [2, 3]]])
    visible, masked = token_indices(tubes, (2, 2, 2))
    assert visible.shape == masked.shape == (2, 2, 4)
    for clip in range(2):
        alone = token_indices(tubes[clip], (2, 2, 2))
        assert visible[clip].tolist() == alone[0].tolist()
        assert masked[clip].tolist() == alone[1].tolist()


def test_running_cell_decodes_two_of_four_cells_in_turn():
    everything = torch.arange(32)[None]  # 8 slots of 2x2
    found = running_cell(everything, torch.tensor([0]), (8, 2, 2))
    by_slot = [[i % 4 for i in found[0].tolist() if i // 4 == slot] for slot in range(8)]
    assert by_slot == [[0, 1], [0, 3], [2, 3], [1, 2]] * 2
    later = running_cell(everything, torch.tensor([1]), (8, 2, 2))
    assert [i % 4 for i in later[0].tolist()[:4]] == [0, 3, 2, 3]


@pytest.mark.parametrize('phase', range(4))
def test_running_cell_is_the_published_one_at_the_published_size(phase):
    """VideoMAE V2: a window of two of the four cells that moves on by one a slot; which is first differs by a phase."""
    slots, side = 8, 14
    window = [np.roll([0, 0, 1, 1], -(slot + phase + 2)).reshape(2, 2) for slot in range(slots)]  # 1: decoded
    decoded = np.stack([np.tile(cell, (side // 2, side // 2)) for cell in window]).ravel()
    tubes = torch.randperm(side**2, generator=torch.Generator().manual_seed(phase))[:20].sort().values
    _, masked = token_indices(tubes, (slots, side, side))
    found = running_cell(masked, torch.tensor(phase), (slots, side, side))
    assert found.tolist() == [token for token in masked.tolist() if decoded[token]]
    assert len(found) == 704


def test_running_cell_wants_a_phase_a_mask():
    masked = torch.arange(8).expand(2, 2, 8)  # two masks of two clips, where one phase a clip would broadcast
    with pytest.raises(ValueError, match='num_masks'):
        running_cell(masked, torch.tensor([0, 1]), (8, 2, 2))


def test_running_cell_takes_exactly_half_of_any_masked_tokens():
    generator = torch.Generator().manual_seed(0)
    grid = (8, 14, 14)
    tubes = torch.stack([torch.randperm(196, generator=generator)[:20].sort().values for _ in range(4)])
    _, masked = token_indices(tubes, grid)
    phase = torch.tensor([0, 1, 2, 3])
    found = running_cell(masked, phase, grid)
    assert found.shape == (4, 704)
    for clip in range(4):  # every masked tube in exactly half of its slots
        assert torch.bincount(found[clip] % 196, minlength=196)[masked[clip, :176]].tolist() == [4] * 176
    scattered = torch.stack([torch.randperm(1568, generator=generator)[:1408].sort().values for _ in range(4)])
    found = running_cell(scattered, phase, grid)
    assert found.shape == (4, 704)
    assert (found.diff(dim=1) > 0).all()
    for clip in range(4):
        assert set(found[clip].tolist()) <= set(scattered[clip].tolist())


def test_preprocessor_takes_tubes_tokens_and_phases():
    rng = np.random.default_rng(0)
    clip = [np.zeros((64, 64, 3), np.uint8)] * 4

    def batch(*steps):
        samples = []
        for _ in range(3):
            results = {'imgs': clip, 'rng': rng, 'original_shape': (64, 64)}
            for step in (*steps, PackPretraining()):
                results = step(results)
            samples.append(results)
        return ClipPreprocessor((2, 4, 4))({key: [s[key] for s in samples] for key in samples[0]})

    shapes = {name: tuple(batch(TubeMask((4, 4), 0.75))[name].shape) for name in ('visible', 'masked')}
    assert shapes == {'visible': (3, 8), 'masked': (3, 24)}
    moving = batch(MotionMask((2, 4, 4), 0.75, num_masks=2), RunningCell(num_masks=2))
    assert moving['visible'].shape == (3, 2, 8)
    assert moving['masked'].shape == (3, 2, 12)
    for seen, hidden in zip(moving['visible'].flatten(0, 1).tolist(), moving['masked'].flatten(0, 1).tolist()):
        assert not set(seen) & set(hidden)
    assert batch(TubeMask((4, 4), 0.75), RunningCell())['masked'].shape == (3, 12)
    with pytest.raises(ValueError, match='has no mask'):
        batch()


def test_phases_take_all_four_values_from_the_generator_of_the_sample():
    phases = RunningCell(num_masks=64)({'rng': np.random.default_rng(0)})['decode_phase']
    assert set(phases.tolist()) == {0, 1, 2, 3}
    again = RunningCell(num_masks=64)({'rng': np.random.default_rng(0)})['decode_phase']
    assert phases.tolist() == again.tolist()


# --- pictures --------------------------------------------------------------------------------------------------------


def test_overlay_darkens_masked_tubelets_and_leaves_the_others():
    frames = np.full((4, 4, 6, 3), 100, np.uint8)
    visible = np.zeros((2, 2, 3), bool)
    visible[1, 0, 2] = True
    shown = mask_overlay(frames, visible, shade=0.2)
    expected = np.full((4, 4, 6, 3), 20, np.uint8)
    expected[2:4, 0:2, 4:6] = 100
    np.testing.assert_array_equal(shown, expected)
    with pytest.raises(ValueError, match='does not fit 4 frames of 4x6'):
        mask_overlay(frames, np.zeros((3, 2, 3), bool))
