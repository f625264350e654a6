"""Sampling, decoding and the dataset: which frames, in what order, and what happens to a bad file."""

import numpy as np
import pytest
import torch

from sigma.data.clips import VideoClips, dense_indices, seeded, segment_indices
from sigma.data.index import build_index
from sigma.data.lists import list_sha256, write_list
from sigma.data.masking import tube_mask
from sigma.data.sampler import EpochSampler
from sigma.data.transforms import DecodeFrames, FrameOrder, MultiScaleCrop, OpenVideo, SampleDense, SampleSegments
from sigma.errors import DataError, DecodeError
from sigma.video import DecordReader, PyAVReader, ToRGB
from tests.conftest import SHARED


def numbered_video(path, num_frames: int, key_frames: int = 12):
    """Gray frames whose brightness is 8 times the frame number."""
    import av

    with av.open(str(path), 'w') as file:
        stream = file.add_stream('libx264', rate=25, options={'crf': '1', 'g': str(key_frames)})
        stream.width = stream.height = 32
        stream.pix_fmt = 'yuv444p'
        for number in range(num_frames):
            image = np.full((32, 32, 3), 8 * number, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        file.mux(stream.encode())
    return path


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A dataset of five good videos of 30 frames, and one that is damaged."""
    root = tmp_path_factory.mktemp('numbered')
    names = [f'v{i}.mp4' for i in range(6)]
    for name in names:
        numbered_video(root / name, 30)
    content = bytearray((root / 'v3.mp4').read_bytes())
    content[len(content) // 2 :] = b''
    (root / 'v3.mp4').write_bytes(content)
    write_list(root / 'train.txt', [(name, i % 2) for i, name in enumerate(names)])
    sha = list_sha256(root / 'train.txt')
    build_index(root, names, root / 'index.jsonl', workers=1, progress=False)
    (root / 'dataset.py').write_text(
        "data_root = '{{ fileDirname }}'\n"
        "dataset_info = dict(name='numbered', classes=['even', 'odd'], index='index.jsonl', video_root='',\n"
        "    delimiter=' ',\n"
        f"    splits=dict(train=dict(list='train.txt', sha256='{sha}', num_videos=6)))\n"
    )
    return root


PIPELINE = [
    {'type': 'sigma.OpenVideo'},
    {'type': 'sigma.SampleDense', 'num_frames': 4, 'stride_frames': 2},
    {'type': 'sigma.DecodeFrames'},
    {'type': 'sigma.ResizeSquare', 'size': 32},
    {'type': 'sigma.TubeMask', 'grid': (2, 2), 'mask_ratio': 0.5},
    {'type': 'sigma.PackPretraining'},
]

# --- frame numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('num_frames', 'start', 'wanted'),
    [
        (100, 5, [5, 9, 13, 17]),
        (17, 5, [5, 9, 13, 13]),
        (16, 0, [0, 4, 8, 12]),
        (9, 0, [0, 4, 8, 8]),
        (1, 0, [0, 0, 0, 0]),
    ],
)
def test_dense_clips_repeat_the_last_reachable_frame(num_frames, start, wanted):
    assert dense_indices(num_frames, 4, 4, start).tolist() == wanted


def test_segments_take_one_frame_each():
    assert segment_indices(40, 4, np.zeros(4)).tolist() == [0, 10, 20, 30]
    assert segment_indices(40, 4, np.full(4, 0.5)).tolist() == [5, 15, 25, 35]
    assert segment_indices(2, 4, np.full(4, 0.5)).tolist() == [0, 0, 1, 1]


def test_training_starts_are_uniform_and_reach_both_ends():
    sample = SampleDense(4, 2)
    starts = [
        sample.transform({'total_frames': 10, 'rng': np.random.default_rng(i)})['frame_inds'][0] for i in range(400)
    ]
    assert set(starts) == {0, 1, 2}
    assert min(np.bincount(starts)) > 90


def test_test_clips_are_spread_from_the_first_to_the_last_start():
    found = SampleDense(4, 2, num_clips=3, test_mode=True).transform({'total_frames': 20})
    assert found['frame_inds'].reshape(3, 4)[:, 0].tolist() == [0, 6, 12]
    middle = SampleDense(4, 2, test_mode=True).transform({'total_frames': 20})
    assert middle['frame_inds'].tolist() == [6, 8, 10, 12]
    segments = SampleSegments(4, num_clips=2, test_mode=True).transform({'total_frames': 40})
    assert segments['frame_inds'].tolist() == [2, 12, 22, 32, 7, 17, 27, 37]


# --- decoding ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('reader', [DecordReader, PyAVReader])
def test_readers_give_the_frames_asked_for(folder, reader):
    video = reader(str(folder / 'v0.mp4'))
    assert video.num_frames == 30
    wanted = np.array([0, 7, 7, 29, 13])
    frames = video.frames(wanted)
    assert frames.shape == (5, 32, 32, 3)
    assert frames.dtype == np.uint8
    assert np.abs(frames.mean(axis=(1, 2, 3)) - 8 * wanted).max() < 3


def test_one_converter_gives_the_bytes_of_a_converter_for_each_frame():
    import av

    to_rgb, rng = ToRGB(), np.random.default_rng(0)
    for height, width, pixels in ((32, 48, 'yuv420p'), (30, 20, 'yuv444p'), (30, 20, 'gray'), (32, 48, 'yuvj420p')):
        frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).reformat(
            format=pixels
        )
        assert np.array_equal(to_rgb(frame), frame.to_ndarray(format='rgb24'))


@pytest.mark.parametrize('reader', [DecordReader, PyAVReader])
def test_what_cannot_be_opened_is_a_decode_error_with_its_path(tmp_path, reader):
    for name, content in (('empty.mp4', b''), ('page.mp4', b'<html>404</html>' * 100)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DecodeError, match=name):
            reader(str(tmp_path / name)).frames(np.array([0]))


def test_decoded_clips_are_kept_where_asked(folder):
    decode = DecodeFrames(cache_megabytes=1)
    opened = []
    base = {'filename': str(folder / 'v0.mp4'), 'total_frames': 30, 'frame_inds': np.array([1, 5])}
    results = []
    for _ in range(3):
        sample = OpenVideo().transform(dict(base))
        reader = sample['open_reader']
        sample['open_reader'] = lambda reader=reader: (opened.append(1), reader())[1]
        results.append(decode.transform(sample)['imgs'])
        results[-1][0][:] = 0  # a later transform writes into it
    assert len(opened) == 1
    assert results[0][1].mean() == results[2][1].mean() > 30


@pytest.mark.skipif(not (SHARED / 'data/real/codecs').is_dir(), reason='real footage is not beside the checkout')
def test_odd_codecs_decode_with_pyav():
    for path in sorted((SHARED / 'data/real/codecs').iterdir()):
        if path.suffix in ('.mp4', '.mkv', '.avi'):
            frames = PyAVReader(str(path)).frames(np.array([0, 4, 9]))
            assert frames.shape[0] == 3
            assert frames.std() > 1, path.name


# --- crops and masks -----------------------------------------------------------------------------------------------


def test_multi_scale_crops_are_cut_alike_from_every_frame():
    sizes = set()
    for seed in range(200):
        image = np.arange(60 * 80 * 3, dtype=np.uint32).reshape(60, 80, 3).astype(np.uint8)
        results = {'imgs': [image, image], 'img_shape': (60, 80), 'rng': np.random.default_rng(seed)}
        found = MultiScaleCrop(32).transform(results)['imgs']
        assert found.shape == (2, 32, 32, 3)
        assert np.array_equal(found[0], found[1])
        sizes.add(found[0].tobytes())
    assert len(sizes) > 60  # 10 shapes at 13 places


def test_multi_scale_crops_stand_at_the_published_places():
    image = np.zeros((103, 150, 3), np.uint8)  # 47 columns are free: steps of 11 pixels, and 3 are never reached
    places = set()
    for seed in range(400):
        results = {'imgs': [image], 'img_shape': (103, 150), 'rng': np.random.default_rng(seed)}
        top, left, height, width = MultiScaleCrop(100, scales=(1,)).transform(results)['crop_box']
        assert (height, width) == (103, 103)
        places.add((top, left))
    assert places == {(0, step * (47 // 4)) for step in range(5)}


def test_tube_masks_hide_the_published_number_of_tubes():
    visible = tube_mask(14, 14, 0.9, np.random.default_rng(0))
    assert len(visible) == 20
    assert (np.diff(visible) > 0).all()
    counts = np.bincount(
        np.concatenate([tube_mask(4, 4, 0.75, np.random.default_rng(i)) for i in range(2000)]), minlength=16
    )
    assert counts.min() > 400
    with pytest.raises(ValueError, match='mask 0 of 4'):
        tube_mask(2, 2, 0.1, np.random.default_rng(0))


def test_controls_take_order_or_motion_out_of_every_clip():
    frames = [np.full((2, 2, 3), i, np.uint8) for i in range(8)]
    base = {'imgs': frames, 'clip_len': 4}
    shuffled = FrameOrder('shuffled').transform(base | {'rng': np.random.default_rng(0)})['imgs']
    values = [int(frame[0, 0, 0]) for frame in shuffled]
    assert sorted(values[:4]) == [0, 1, 2, 3]
    assert sorted(values[4:]) == [4, 5, 6, 7]
    assert values != list(range(8))
    single = FrameOrder('single').transform(base | {'rng': np.random.default_rng(0)})['imgs']
    values = [int(frame[0, 0, 0]) for frame in single]
    assert len(set(values[:4])) == len(set(values[4:])) == 1
    assert values[0] < 4 <= values[4]
    with pytest.raises(ValueError, match="'reversed'"):
        FrameOrder('reversed')


# --- the dataset ---------------------------------------------------------------------------------------------------


def test_training_skips_and_counts_what_the_index_calls_unreadable(folder):
    clips = VideoClips(str(folder), PIPELINE)
    assert len(clips) == 5
    assert clips.num_listed == 6
    assert [video for video, _ in clips.skipped] == ['v3.mp4']
    assert clips.skipped[0][1]


def test_evaluation_keeps_every_video_and_names_the_reason(folder):
    pipeline = [
        {'type': 'sigma.OpenVideo', 'on_error': 'blank'},
        {'type': 'sigma.SampleDense', 'num_frames': 4, 'stride_frames': 2, 'test_mode': True},
        {'type': 'sigma.DecodeFrames', 'blank_size': 32},
        {'type': 'mmaction.FormatShape', 'input_format': 'NCTHW'},
        {'type': 'mmaction.PackActionInputs', 'meta_keys': ('video', 'position', 'decode_error')},
    ]
    clips = VideoClips(str(folder), pipeline, test_mode=True)
    samples = [clips[i] for i in range(6)]
    assert [s['data_samples'].video for s in samples] == [f'v{i}.mp4' for i in range(6)]
    assert [s['data_samples'].decode_error is None for s in samples] == [True, True, True, False, True, True]
    assert not samples[3]['inputs'].any()


def test_a_video_that_breaks_after_indexing_is_replaced_named_and_counted(folder, tmp_path):
    import shutil

    copy = tmp_path / 'copy'
    shutil.copytree(folder, copy)
    clips = VideoClips(str(copy), PIPELINE)
    (copy / 'v1.mp4').write_bytes(b'broken')
    sample = clips[(0, 1)]
    assert 'v1.mp4' in sample['failures']
    assert torch.equal(sample['inputs'], clips[(0, 2)]['inputs'])
    assert clips[(0, 0)]['failures'] == ''


def test_a_sample_depends_on_seed_epoch_and_position_alone(folder):
    first, second = VideoClips(str(folder), PIPELINE, seed=1), VideoClips(str(folder), PIPELINE, seed=1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    a = first[(2, 4)]
    torch.manual_seed(9)
    second[(0, 0)]
    b = second[(2, 4)]
    assert torch.equal(a['inputs'], b['inputs'])
    assert torch.equal(a['visible_tubes'], b['visible_tubes'])
    others = [first[(epoch, 4)]['inputs'] for epoch in range(8)]
    assert any(not torch.equal(a['inputs'], other) for other in others)


def test_seeding_gives_the_process_its_own_random_states_back():
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    wanted = torch.rand(2), np.random.rand(2)  # noqa: NPY002
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    with seeded(1, 2):
        torch.rand(5)
        np.random.rand(5)  # noqa: NPY002
    assert torch.equal(torch.rand(2), wanted[0])
    assert np.array_equal(np.random.rand(2), wanted[1])  # noqa: NPY002


def test_a_card_that_does_not_fit_its_list_is_refused(folder, tmp_path):
    import shutil

    copy = tmp_path / 'copy'
    shutil.copytree(folder, copy)
    with open(copy / 'train.txt', 'a') as file:
        file.write('v9.mp4 0\n')
    with pytest.raises(DataError, match='is not the list that the card'):
        VideoClips(str(copy), PIPELINE)
    with pytest.raises(DataError, match="Unknown dataset 'toyy'. Did you mean 'toy'"):
        VideoClips('toyy', PIPELINE)
    (folder / 'v0.mp4').rename(folder / 'away')
    try:
        with pytest.raises(DataError, match='names 1 videos that are no longer under'):
            VideoClips(str(folder), PIPELINE)
    finally:
        (folder / 'away').rename(folder / 'v0.mp4')
    with pytest.raises(DataError, match="no split 'val'; it has train"):
        VideoClips(str(folder), PIPELINE, split='val')


# --- the sampler ---------------------------------------------------------------------------------------------------


def sampler_of(rank: int, world_size: int, batch_size: int, monkeypatch, **settings) -> EpochSampler:
    monkeypatch.setattr('sigma.data.sampler.get_dist_info', lambda: (rank, world_size))
    return EpochSampler(range(23), batch_size, seed=5, **settings)


def test_global_batches_are_the_same_for_any_number_of_processes(monkeypatch):
    alone = list(sampler_of(0, 1, 8, monkeypatch))
    assert len(alone) == 16
    assert len(set(alone)) == 16
    for world_size in (2, 4):
        parts = [list(sampler_of(r, world_size, 8 // world_size, monkeypatch)) for r in range(world_size)]
        size = 8 // world_size
        joined = [entry for step in range(2) for part in parts for entry in part[step * size : (step + 1) * size]]
        assert joined == alone


def test_the_sampler_goes_on_at_any_step(monkeypatch):
    sampler = sampler_of(0, 1, 4, monkeypatch)
    sampler.set_position(3, 0)
    whole = list(sampler)
    assert len(whole) == len(sampler) == 20
    sampler.set_position(3, 2)
    assert list(sampler) == whole[8:]
    sampler.set_position(4, 0)
    assert [position for _, position in sampler] != [position for _, position in whole]


def test_repeated_passes_differ_in_order_and_in_randomness(monkeypatch):
    sampler = sampler_of(0, 1, 23, monkeypatch, repeats=2)
    sampler.set_position(1, 0)
    entries = list(sampler)
    assert [number for number, _ in entries] == [2] * 23 + [3] * 23
    assert sorted(position for _, position in entries[:23]) == list(range(23))
    assert entries[:23] != [(2, position) for _, position in entries[23:]]


def test_fewer_videos_than_the_batch_are_refused(monkeypatch):
    with pytest.raises(DataError, match='global batch of 48 .2 processes x 24. needs more than the 23 videos'):
        sampler_of(0, 2, 24, monkeypatch)
