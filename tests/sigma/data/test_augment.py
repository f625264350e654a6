"""Frames of a clip as each sampling takes them, augmentations that are one for all frames, and labels of clips."""

import random

import numpy as np
import pytest
import torch

from sigma.data.augment import (
    EraseRectangle,
    FlipClip,
    JitterColours,
    RandAugment,
    RepeatedAugmentation,
    ShortSideJitter,
)
from sigma.data.clips import seeded
from sigma.data.labels import BothDirections, MultiHot, PlayDirection, actions_within
from sigma.data.sampling import (
    AnnotatedSection,
    SamplePublished,
    SamplePublishedSeconds,
    SampleSeconds,
    SampleStretched,
    published_segment_test_indices,
    published_segment_training_indices,
    published_test_indices,
    published_training_indices,
    rate_indices,
    stretched_indices,
)
from sigma.data.transforms import SampleSegments
from sigma.errors import DataError
from sigma.video import FrameTimes, frame_times
from tests.sigma.video_files import media


def video(total, **entry):
    return {'total_frames': total, 'rng': np.random.default_rng(0), 'filename': 'v.mp4', 'video': 'v.mp4'} | entry


# --- published: Kinetics-style -----


def test_published_training_clip_of_a_short_video_spreads_a_quarter_and_repeats_the_last_frame():
    # linspace(0, 26, 26 // 4) = 0, 5.2, 10.4, 15.6, 20.8, 26; then 26; all cut off at frame 25
    indices = published_training_indices(26, 16, 4, None)
    assert indices.tolist() == [0, 5, 10, 15, 20] + [25] * 11
    assert len(set(indices.tolist())) == 26 // 4
    assert published_training_indices(3, 16, 4, None).tolist() == [2] * 16


def test_published_training_clip_of_a_long_video_spans_the_window_evenly():
    wanted = [0, 4, 8, 12, 17, 21, 25, 29, 34, 38, 42, 46, 51, 55, 59, 63]  # steps of 64 / 15
    assert published_training_indices(100, 16, 4, 64).tolist() == wanted
    assert published_training_indices(100, 16, 4, 99).tolist() == [35 + i for i in wanted]


@pytest.mark.parametrize(
    ('num_frames', 'first_frames'),
    [(100, [0, 8, 16, 24, 36]), (65, [0, 0, 0, 0, 4]), (26, [0, 0, 0, 0, 0])],
)
def test_published_test_clips_are_windows_of_every_fourth_frame(num_frames, first_frames):
    clips = published_test_indices(num_frames, 16, 4, 5)
    assert clips[:, 0].tolist() == first_frames
    if num_frames == 26:
        assert clips[0].tolist() == [0, 4, 8, 12, 16, 20] + [24] * 10
    else:
        assert (np.diff(clips) == 4).all()


def test_published_transform_draws_every_window_in_training_and_fixed_ones_in_testing():
    transform = SamplePublished(16, 4)
    sample = video(66)
    firsts = {int(transform.transform(sample)['frame_inds'][0]) for _ in range(50)}
    assert firsts == {0, 1}  # windows end at 64 or 65, as np.random.randint(64, 66) has it
    assert len(set(transform.transform(video(26))['frame_inds'].tolist())) == 6
    tested = SamplePublished(16, 4, num_clips=5, test_mode=True).transform(video(100))
    assert (tested['num_clips'], tested['clip_len'], len(tested['frame_inds'])) == (5, 16, 80)
    assert tested['frame_inds'].tolist() == published_test_indices(100, 16, 4, 5).ravel().tolist()


# --- published: SSv2 -----


def test_published_segments_are_tested_at_their_start_and_middle():
    assert published_segment_test_indices(40, 4).tolist() == [[0, 10, 20, 30], [5, 15, 25, 35]]
    starts, middles = published_segment_test_indices(40, 16)  # ticks of 2.5 frames
    assert starts.tolist() == [0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27, 30, 32, 35, 37]
    assert middles.tolist() == [1, 3, 6, 8, 11, 13, 16, 18, 21, 23, 26, 28, 31, 33, 36, 38]
    # 3 frames in 4 segments: 0 0 1 2 and 0 1 1 2, sorted together and dealt in turn
    assert published_segment_test_indices(3, 4).tolist() == [[0, 0, 1, 2], [0, 1, 1, 2]]


def test_published_segments_leave_the_tail_out_in_training():
    draws = np.array([0, 0.99, 0.5, 0.05])
    assert published_segment_training_indices(43, 4, draws).tolist() == [0, 19, 25, 30]  # 10 frames each, 40-42 unseen
    assert published_segment_training_indices(3, 4, draws).tolist() == [0, 0, 0, 0]


def test_segment_transform_knows_both_kinds_of_offsets():
    published = SampleSegments(4, num_clips=2, test_mode=True, offsets='published').transform(video(40))
    assert published['frame_inds'].tolist() == [0, 10, 20, 30, 5, 15, 25, 35]
    centred = SampleSegments(4, num_clips=2, test_mode=True).transform(video(40))
    assert centred['frame_inds'].tolist() == [2, 12, 22, 32, 7, 17, 27, 37]  # at 1/4 and 3/4
    drawn = SampleSegments(4, offsets='published').transform(video(43))['frame_inds']
    assert (drawn // 10).tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match='two test clips, not 3'):
        SampleSegments(16, num_clips=3, test_mode=True, offsets='published')
    with pytest.raises(ValueError, match="must be 'centred' or 'published'"):
        SampleSegments(16, offsets='middle')


# --- dense_short and seconds -----


@pytest.mark.parametrize(
    ('num_frames', 'start', 'wanted'),
    [
        (100, 5, [5, 9, 13, 17]),
        (13, 0, [0, 4, 8, 12]),
        (8, 0, [0, 2, 4, 7]),
        (4, 0, [0, 1, 2, 3]),
        (2, 0, [0, 0, 0, 1]),
    ],
)
def test_stretched_clips_cover_a_short_video(num_frames, start, wanted):
    assert stretched_indices(num_frames, 4, 4, start).tolist() == wanted


def test_stretched_clips_never_repeat_a_frame_while_there_are_enough():
    for num_frames in range(16, 80):
        indices = SampleStretched(16, 4).transform(video(num_frames))['frame_inds']
        assert len(set(indices.tolist())) == 16, num_frames
        assert indices.max() < num_frames
        assert num_frames > 61 or (indices[0], indices[-1]) == (0, num_frames - 1)


def test_clips_by_time_follow_the_files_rate_and_loop_or_repeat():
    steps = np.arange(20)
    # 30 frames at 30 a second are 16 steps at 16 a second, 1.875 frames each
    second = FrameTimes.constant(30, 30)
    looped = rate_indices(second, steps, 16, 'loop')
    assert looped.tolist() == [0, 1, 3, 5, 7, 9, 11, 13, 15, 16, 18, 20, 22, 24, 26, 28, 0, 1, 3, 5]
    assert rate_indices(second, steps, 16, 'repeat_last').tolist() == looped[:16].tolist() + [28] * 4
    slow = FrameTimes.constant(5, 4)
    assert rate_indices(slow, np.arange(4), 8, 'loop').tolist() == [0, 0, 1, 1]  # 8 a second out of 4


# A recording without a constant rate: 20 frames a second, then a pause of a second, then 5 a second.
UNEVEN = FrameTimes.listed([0, 0.05, 0.1, 0.15, 1.15, 1.35, 1.55, 1.75], 1.95)


def test_clips_by_time_follow_timestamps():
    entry = {'times': UNEVEN, 'fps': UNEVEN.fps}
    whole = SampleSeconds(20, 10, test_mode=True).transform(video(8, **entry))['frame_inds']
    #                         0.0   0.1   0.2 ... 1.1                     1.2   1.3  1.4 ...
    assert whole.tolist() == [0, 2, *[3] * 10, 4, 4, 5, 5, 6, 6, 7, 7]
    looped = SampleSeconds(24, 10, test_mode=True).transform(video(8, **entry))['frame_inds']
    assert looped.tolist() == [*whole.tolist(), 0, 2, 3, 3]
    published = SamplePublishedSeconds(16, 10, test_mode=True).transform(video(8, **entry))['frame_inds']
    assert published.tolist() == whole[:16].tolist()  # its windows begin at the start
    for sampler in (SampleSeconds(4, 5, num_clips=50), SamplePublishedSeconds(4, 5, num_clips=50)):
        clips = sampler.transform(video(8, **entry))['frame_inds'].reshape(50, 4)
        shown = UNEVEN.seconds(clips)
        ends = UNEVEN.seconds(clips + 1)
        assert (np.diff(clips) >= 0).all()
        # Samples are 0.2 s apart, so each frame is on screen in the stretch around its sample.
        assert (ends[:, 1:] >= shown[:, :1] + np.array([0.2, 0.4, 0.6]) - 1e-9).all()
    section = AnnotatedSection().transform(
        video(8, **entry) | {'annotation': {'section': (3, 5)}, 'decode_error': None, 'open_reader': None}
    )
    assert section['times'] == FrameTimes.listed([0, 1.0, 1.2], 1.4)
    assert SampleSeconds(3, 1).transform(section)['frame_inds'].tolist() == [0, 1, 0]


def test_a_recording_of_a_browser_is_sampled_by_its_seconds():
    times = frame_times(media('rec.webm'))
    sampled = SampleSeconds(32, 16, num_clips=5, test_mode=True).transform(video(150, times=times))
    clips = sampled['frame_inds'].reshape(5, 32)
    assert (clips.min(), clips.max()) == (0, 149)
    assert np.abs(times.seconds(clips[:, 31]) - times.seconds(clips[:, 0]) - 31 / 16).max() < 0.15
    assert len(set(clips[0].tolist())) > 20


def test_labels_within_a_clip_follow_timestamps():
    times = frame_times(media('vfr.mp4'))
    clip = {
        'annotation': {'actions': [[1.7, 2.2, 0], [2.6, 2.9, 1], [3.5, 4, 2]]},
        'times': times,
        'fps': times.fps,
        'total_frames': 80,
        'frame_inds': np.arange(40, 50),
        'video': 'vfr.mp4',
    }
    assert MultiHot(3, within_clip=True).transform(clip)['label'].tolist() == [1, 1, 0]
    alone = clip | {'frame_inds': np.array([41, 43])}  # 1.8 to 2.2 s
    assert MultiHot(3, within_clip=True).transform(alone)['label'].tolist() == [1, 0, 0]


def test_ten_test_clips_by_time_lie_between_first_and_last():
    sampled = SampleSeconds(32, 16, num_clips=10, test_mode=True).transform(video(300, fps=30.0))
    firsts = sampled['frame_inds'].reshape(10, 32)[:, 0]
    # 300 frames are 160 steps; starts 0, 14, 28, 42, 56, 71, 85, 99, 113, 128 of them
    assert firsts.tolist() == [int(1.875 * s + 1e-6) for s in (0, 14, 28, 42, 56, 71, 85, 99, 113, 128)]
    assert sampled['frame_inds'].max() == int(1.875 * 159)


def test_clips_by_time_need_a_rate():
    with pytest.raises(DataError, match=r'v\.mp4 has no frame rate'):
        SampleSeconds(32, 16).transform(video(300, fps=None))
    blank = SampleSeconds(4, 16).transform(video(1, fps=None, decode_error='gone'))
    assert blank['frame_inds'].tolist() == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="must be 'loop' or 'repeat_last'"):
        SampleSeconds(32, 16, short='stretch')
    with pytest.raises(ValueError, match='must be positive'):
        SampleSeconds(32, 0)


# --- augmentation -----


@pytest.fixture
def still():
    """Four equal frames of a picture with structure."""
    rows, columns = np.mgrid[:40, :60]
    frame = np.stack([rows * 6, columns * 4, (rows * columns) % 256], axis=-1).astype(np.uint8)
    return [frame.copy() for _ in range(4)]


def apply(transform, frames, seed=0, **more):
    with seeded(seed) as rng:
        return transform.transform({'imgs': frames, 'rng': rng, 'img_shape': frames[0].shape[:2]} | more)


@pytest.mark.parametrize('transform', [RandAugment(), JitterColours()])
def test_all_frames_of_a_clip_are_augmented_alike(still, transform):
    changed = 0
    for seed in range(12):
        frames = apply(transform, still, seed)['imgs']
        assert all(np.array_equal(frame, frames[0]) for frame in frames), seed
        assert frames[0].shape == (40, 60, 3)
        assert frames[0].dtype == np.uint8
        assert np.array_equal(frames[0], apply(transform, still, seed)['imgs'][0])
        changed += not np.array_equal(frames[0], still[0])
    assert changed > 6


def test_rand_augment_is_timms_on_every_frame(still):
    from PIL import Image
    from timm.data.auto_augment import rand_augment_transform

    timms = rand_augment_transform('rand-m7-n4-mstd0.5-inc1', {'interpolation': Image.BICUBIC})
    for seed in range(5):
        with seeded(seed):
            wanted = np.array(timms(Image.fromarray(still[0])))
        assert np.array_equal(apply(RandAugment(), still, seed)['imgs'][3], wanted)
    with pytest.raises(ValueError, match="policy 'augmix-m3'"):
        RandAugment('augmix-m3')


def test_flip_mirrors_rows_with_its_probability(still):
    assert np.array_equal(apply(FlipClip(1.0), still)['imgs'][2], still[2][:, ::-1])
    assert np.array_equal(apply(FlipClip(0.0), still)['imgs'][2], still[2])
    flipped = sum(not np.array_equal(apply(FlipClip(0.5), still, s)['imgs'][0], still[0]) for s in range(40))
    assert 10 < flipped < 30


def test_erasing_puts_noise_into_one_rectangle_of_all_frames():
    gray = [np.full((40, 60, 3), 7, np.uint8) for _ in range(4)]
    shares = []
    for seed in range(30):
        frames = np.stack(apply(EraseRectangle(1.0), gray, seed)['imgs'])
        touched = (frames != 7).any(axis=-1)  # (T, H, W); a pixel of noise that is 7 thrice is too rare to meet here
        assert (touched == touched[0]).all()
        rows, columns = touched[0].any(axis=1), touched[0].any(axis=0)
        assert (touched[0] == rows[:, None] & columns[None]).all()
        shares.append(touched[0].mean())
        assert not np.array_equal(frames[0], frames[1])
    assert min(shares) > 0.01
    assert max(shares) < 0.36
    assert np.array_equal(np.stack(gray), np.full((4, 40, 60, 3), 7))  # the source is left alone
    erased = sum((np.stack(apply(EraseRectangle(0.25), gray, s)['imgs']) != 7).any() for s in range(100))
    assert 12 < erased < 40


def test_erased_pixels_are_standard_normal_after_normalisation():
    black = [np.zeros((200, 200, 3), np.uint8)] * 8
    frames = np.stack(apply(EraseRectangle(1.0, mean=(120, 120, 120), std=(20, 20, 20)), black)['imgs'])
    noise = (frames[frames > 0] - 120.0) / 20
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(1, abs=0.02)


def test_short_side_jitter_keeps_the_shape_and_draws_inversely(still):
    sides = [apply(ShortSideJitter((256, 340)), still[:1], seed)['img_shape'][0] for seed in range(1000)]
    assert (min(sides), max(sides)) == (256, 340)
    # ln(340 / 256) / (1 / 256 - 1 / 340); a uniform draw would have its mean at 298
    assert np.mean(sides) == pytest.approx(294.0, abs=2)
    once = apply(ShortSideJitter((80, 80)), still)
    assert once['img_shape'] == once['imgs'][0].shape[:2] == (80, 120)


def test_repeated_augmentation_packs_several_of_one_clip():
    transform = RepeatedAugmentation(
        2,
        [
            {'type': 'sigma.EraseRectangle', 'probability': 1.0},
            {'type': 'mmaction.FormatShape', 'input_format': 'NCTHW'},
            {'type': 'mmaction.PackActionInputs', 'meta_keys': ('video',)},
        ],
    )
    frames = [np.zeros((16, 16, 3), np.uint8) for _ in range(4)]
    packed = apply(transform, frames, video='a', label=3, num_clips=1, clip_len=4)
    assert packed['inputs'].shape == (2, 3, 4, 16, 16)
    assert packed['inputs'].dtype == torch.uint8
    assert not torch.equal(packed['inputs'][0], packed['inputs'][1])
    assert packed['data_samples'].gt_label.tolist() == [3]
    with pytest.raises(ValueError, match='at least 1'):
        RepeatedAugmentation(0, [])


# --- labels of a clip -----

ACTIONS = [[0.0, 0.5, 0], [0.5, 1.0, 1], [1.5, 1.6, 2], [2.0, 3.0, 3], [2.1, 3.0, 4], [1.2, 1.3, 2]]


def test_actions_overlap_a_clip_with_its_ends():
    assert actions_within(ACTIONS, 1.0, 2.0) == {1, 2, 3}
    assert actions_within(ACTIONS, 2.05, 2.06) == {3}
    assert actions_within(ACTIONS, 1.7, 1.8) == set()


def test_labels_of_the_clip_in_training_and_of_the_video_in_testing():
    entry = {'video': 'v', 'label': (0, 4), 'annotation': {'actions': ACTIONS}, 'fps': 10.0, 'total_frames': 60}
    clip = entry | {'frame_inds': np.array([10, 15, 20])}
    assert MultiHot(6, within_clip=True).transform(clip)['label'].tolist() == [0, 1, 1, 1, 0, 0]
    assert MultiHot(6).transform(clip)['label'].tolist() == [1, 0, 0, 0, 1, 0]
    assert MultiHot(6).transform(clip | {'label': ()})['label'].tolist() == [0] * 6
    with pytest.raises(DataError, match='v has no actions in its annotations'):
        MultiHot(6, within_clip=True).transform(clip | {'annotation': None})
    with pytest.raises(DataError, match='v has no frame rate'):
        MultiHot(6, within_clip=True).transform(clip | {'fps': None})
    with pytest.raises(DataError, match='label 4, outside 0 to 3'):
        MultiHot(4).transform(clip)


def test_direction_turns_each_clip_around():
    sample = {'frame_inds': np.arange(6), 'num_clips': 2, 'rng': np.random.default_rng(0)}
    assert PlayDirection(1.0).transform(sample)['frame_inds'].tolist() == [2, 1, 0, 5, 4, 3]
    assert PlayDirection(1.0).transform(sample)['label'] == 1
    forwards = PlayDirection(None).transform(sample | {'backwards': False})
    assert (forwards['frame_inds'].tolist(), forwards['label']) == ([0, 1, 2, 3, 4, 5], 0)
    drawn = [PlayDirection().transform(sample)['label'] for _ in range(1000)]
    assert 450 < sum(drawn) < 550


def test_both_directions_list_every_video_twice_and_play_it_backwards(toy):
    pipeline = [
        {'type': 'sigma.OpenVideo'},
        {'type': 'sigma.SampleDense', 'num_frames': 4, 'stride_frames': 2, 'test_mode': True},
        {'type': 'sigma.PlayDirection', 'probability': None},
        {'type': 'sigma.DecodeFrames'},
        {'type': 'mmaction.FormatShape', 'input_format': 'NCTHW'},
        {'type': 'mmaction.PackActionInputs', 'meta_keys': ('video', 'position')},
    ]
    clips = BothDirections(str(toy), pipeline, split='test', test_mode=True)
    assert len(clips) == clips.num_listed == 40
    forwards, backwards = clips[6], clips[7]
    assert torch.equal(forwards['inputs'].flip(2), backwards['inputs'])
    assert not torch.equal(forwards['inputs'], backwards['inputs'])
    names = [sample['data_samples'].video for sample in (forwards, backwards)]
    assert names[0].removesuffix(' forwards') == names[1].removesuffix(' backwards')
    assert [s['data_samples'].gt_label.item() for s in (forwards, backwards)] == [0, 1]
    assert [s['data_samples'].position for s in (forwards, backwards)] == [6, 7]


def test_augmentation_leaves_the_process_random_state_to_the_sample():
    frames = [np.zeros((8, 8, 3), np.uint8)]
    before = random.getstate()
    apply(RandAugment(), frames)
    assert random.getstate() == before
