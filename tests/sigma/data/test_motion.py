"""Motion of rendered clips whose motion is known: from optical flow, and from the vectors of the stream."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from mmengine.config import Config

from sigma.data.augment import FlipClip, ShortSideJitter
from sigma.data.clips import VideoClips
from sigma.data.index import build_index
from sigma.data.mask_transforms import DecodeFramesAndVectors, MotionMask
from sigma.data.motion import NoMotion, block_fields, codec_motion, dis_motion, frames_and_vectors
from sigma.data.transforms import MultiScaleCrop
from sigma.errors import DataError, DecodeError
from sigma.figures.masks import draw_masks

PLAIN = {'bf': '0', 'refs': '1', 'g': '100'}


def moving(num_frames: int, height: int = 96, width: int = 128, step: int = 3) -> np.ndarray:
    """(n, H, W, 3): a picture that moves left by `step` pixels a frame."""
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (height // 6, (width + num_frames * step) // 6 + 1, 3), dtype=np.uint8)
    wide = cv2.resize(wide, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    return np.stack([wide[:height, step * i : step * i + width] for i in range(num_frames)])


def write(path: Path, frames: np.ndarray, codec: str = 'libx264', options: dict | None = None, rotation=0) -> Path:
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], 'yuv420p'
        if rotation:
            stream.set_display_rotation(rotation)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format='rgb24')))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope='module')
def plain(tmp_path_factory) -> Path:
    """40 frames of H.264 in which every vector points to the frame before."""
    return write(tmp_path_factory.mktemp('video') / 'plain.mp4', moving(40), options=PLAIN)


# --- optical flow ----------------------------------------------------------------------------------------------------


def test_flow_finds_the_motion_towards_the_middle_frame():
    frames = moving(6, step=4)
    motion = dis_motion(frames, 48, 64)  # half the size: 2 pixels a frame
    assert motion.shape == (6, 48, 64, 2)
    inner = np.median(motion[:, 8:-8, 8:-8], axis=(1, 2))
    np.testing.assert_allclose(inner, [[-2, 0]] * 3 + [[0, 0]] + [[2, 0]] * 2, atol=0.1)


def test_flow_is_the_same_with_any_number_of_threads():
    # A sample may depend on its key alone; this is what OpenCV grants today.
    frames, before, found = moving(3), cv2.getNumThreads(), []
    try:
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            found.append(dis_motion(frames, 96, 128))
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(*found)


def test_frames_that_repeat_do_not_move():
    frames = moving(4)[[0, 1, 1, 1]]
    motion = dis_motion(frames, 48, 64)
    assert np.abs(motion[0]).max() > 1
    assert not motion[1:].any()


def test_flow_at_too_small_a_size_is_refused():
    with pytest.raises(ValueError, match='at least 16x16'):
        dis_motion(moving(2), 8, 64)


# --- vectors of the stream -------------------------------------------------------------------------------------------


def test_vectors_fill_their_blocks():
    kinds = [('source', 'i4'), ('w', 'u1'), ('h', 'u1'), ('dst_x', 'i2'), ('dst_y', 'i2')]
    kinds += [('motion_x', 'i4'), ('motion_y', 'i4'), ('motion_scale', 'u2')]
    rows = [(-1, 16, 16, 8, 8, 12, -4, 4), (-1, 8, 16, 20, 8, 4, 0, 4)]
    rows += [(1, 8, 8, 4, 20, 8, 8, 4), (-1, 16, 8, 40, 20, 8, 0, 4)]
    vectors = np.array(rows, dtype=kinds)
    none, field, other = block_fields([vectors[:0], vectors, vectors[1:2]], 24, 40)
    assert not none.any()
    assert other[:2, 2].tolist() == [[1, 0]] * 2
    assert np.abs(other).sum() == 2
    assert field.shape == (3, 5, 2)
    assert field[:2, :2].tolist() == [[[3, -1]] * 2] * 2
    assert field[:2, 2].tolist() == [[1, 0]] * 2
    assert field[2, 4].tolist() == [2, 0]  # the half of a block that lies in the frame
    assert np.abs(field[2, :4]).sum() == 0  # a vector into the future is not read
    assert np.abs(field[:2, 3:]).sum() == 0


def test_vectors_of_a_stream_give_the_known_motion(plain):
    indices = np.array([4, 6, 8, 12, 12])
    frames, steps = frames_and_vectors(str(plain), indices)
    assert frames.shape == (5, 96, 128, 3)
    assert np.abs(frames[0].astype(int) - moving(40)[4]).mean() < 12
    np.testing.assert_array_equal(frames[3], frames[4])
    assert np.median(steps, axis=(1, 2)).tolist() == [[0, 0], [6, 0], [6, 0], [12, 0], [0, 0]]


@pytest.mark.parametrize(('degrees', 'step'), [(90, [0, -3]), (180, [-3, 0]), (270, [0, 3])])
def test_vectors_of_a_turned_stream_turn_with_its_frames(tmp_path, plain, degrees, step):
    """Turned counterclockwise, what moved to the left moves down, to the right, up; vectors point to the source."""
    path = write(tmp_path / 'turned.mp4', moving(40, height=100), options=PLAIN, rotation=degrees)
    upright, turned = (
        frames_and_vectors(str(file), np.array([4, 5, 6]))
        for file in (write(tmp_path / 'upright.mp4', moving(40, height=100), options=PLAIN), path)
    )
    assert np.array_equal(turned[0], np.rot90(upright[0], degrees // 90, axes=(1, 2)))
    height, width = turned[0].shape[1:3]
    assert turned[1].shape == (3, -(-height // 8), -(-width // 8), 2)
    assert np.median(turned[1][1:], axis=(1, 2)).tolist() == [step, step]


def test_frames_are_those_of_the_other_reader(plain):
    from sigma.video import PyAVReader

    indices = np.array([0, 3, 3, 39])
    np.testing.assert_array_equal(frames_and_vectors(str(plain), indices)[0], PyAVReader(str(plain)).frames(indices))


def test_streams_with_b_frames_have_the_direction_and_mostly_the_size(tmp_path):
    path = write(tmp_path / 'usual.mp4', moving(40))
    _, steps = frames_and_vectors(str(path), np.arange(0, 32, 2))
    medians = np.median(steps[1:], axis=(1, 2))
    assert (medians[:, 0] > 0).all()
    assert np.median(medians, axis=0).tolist() == [6, 0]


def test_motion_is_seen_through_the_crop():
    steps = np.zeros((4, 12, 16, 2), np.float32)
    steps[1:, :, 8:] = (6, 2)  # the right half moves
    whole = codec_motion(steps, (0, 0, 96, 128), 48, 64)
    assert whole.shape == (4, 48, 64, 2)
    np.testing.assert_allclose(whole[3, :, -8:], np.broadcast_to([3, 1], (48, 8, 2)), rtol=1e-5)
    np.testing.assert_allclose(whole[0, :, -8:], np.broadcast_to([-3, -1], (48, 8, 2)), rtol=1e-5)
    assert not whole[2].any()  # the middle
    assert not whole[3, :, :28].any()
    crop = codec_motion(steps, (16, 72, 48, 48), 48, 48)  # inside the right half, at full size
    np.testing.assert_allclose(crop[3], np.broadcast_to([6, 2], (48, 48, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ('name', 'codec', 'options'),
    [
        ('intra.mp4', 'libx264', {'g': '1'}),
        ('vp9.webm', 'libvpx-vp9', {'deadline': 'realtime', 'cpu-used': '8'}),
        ('av1.mp4', 'libsvtav1', {'preset': '12'}),
    ],
)
def test_a_stream_without_vectors_is_named(tmp_path, name, codec, options):
    path = write(tmp_path / name, moving(12, 64, 64), codec, options)
    with pytest.raises(NoMotion, match=rf'{name}.*no motion vectors between frames 0 and 8.*re-encode') as raised:
        frames_and_vectors(str(path), np.array([0, 4, 8]))
    assert isinstance(raised.value, DecodeError)  # so that training counts it and goes on


def test_other_faults_are_named_too(tmp_path, plain):
    (tmp_path / 'bad.mp4').write_bytes(b'no video')
    with pytest.raises(DecodeError, match=r'bad\.mp4: PyAV cannot open it'):
        frames_and_vectors(str(tmp_path / 'bad.mp4'), np.array([0]))
    with pytest.raises(DecodeError, match='ends before frame 99'):
        frames_and_vectors(str(plain), np.array([0, 99]))
    with av.open(str(tmp_path / 'sound.wav'), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format='s16', layout='mono')
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(DecodeError, match='no video stream'):
        frames_and_vectors(str(tmp_path / 'sound.wav'), np.array([0]))


# --- as transforms ---------------------------------------------------------------------------------------------------


def card(folder: Path) -> str:
    """A dataset of the videos in a folder."""
    videos = sorted(path.name for path in folder.iterdir())
    build_index(folder, videos, folder / 'index.jsonl', workers=1, progress=False)
    (folder / 'train.txt').write_text(''.join(f'{video} 0\n' for video in videos))
    info = {
        'name': 'pool',
        'classes': ['a'],
        'index': 'index.jsonl',
        'delimiter': ' ',
        'splits': {'train': {'list': 'train.txt', 'sha256': None}},
    }
    (folder / 'dataset.py').write_text(f'data_root = {str(folder)!r}\ndataset_info = {info!r}\n')
    return str(folder)


def pipeline(motion: str, without_motion: str = 'raise', num_masks: int = 1) -> list[dict]:
    decode = {'type': 'sigma.DecodeFrames'}
    if motion == 'codec':
        decode = {'type': 'sigma.DecodeFramesAndVectors', 'without_motion': without_motion}
    return [
        {'type': 'sigma.OpenVideo', 'decoder': 'pyav'},
        {'type': 'sigma.SampleDense', 'num_frames': 4, 'stride_frames': 2},
        decode,
        {'type': 'sigma.MultiScaleCrop', 'size': 64},
        {'type': 'sigma.MotionMask', 'grid': (2, 4, 4), 'mask_ratio': 0.75, 'motion': motion, 'num_masks': num_masks},
        {'type': 'sigma.PackPretraining'},
    ]


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> str:
    """One video with vectors and one without."""
    place = tmp_path_factory.mktemp('pool')
    write(place / 'a_intra.mp4', moving(12), options={'g': '1'})
    write(place / 'b_plain.mp4', moving(24), options=PLAIN)
    return card(place)


@pytest.mark.parametrize('motion', ['dis', 'codec'])
def test_a_sample_has_its_mask_by_its_key_alone(folder, motion):
    clips = VideoClips(folder, pipeline(motion, num_masks=2))
    first, again, later = clips[0, 1], clips[0, 1], clips[1, 1]
    assert first['inputs'].shape == (3, 4, 64, 64)
    assert first['visible_tokens'].shape == (2, 8)
    assert first['visible_tokens'].tolist() == again['visible_tokens'].tolist()
    assert first['visible_tokens'].tolist() != later['visible_tokens'].tolist()
    assert np.bincount(first['visible_tokens'][0] // 16).tolist() == [4, 4]


def test_a_video_without_vectors_is_stepped_over_and_named(folder):
    sample = VideoClips(folder, pipeline('codec'))[0, 0]
    assert 'a_intra.mp4' in sample['failures']
    assert 'no motion vectors' in sample['failures']
    assert sample['without_motion'] == ''


def test_or_stands_still_and_is_named_and_counted(folder):
    from sigma.engine.motion import MotionHook

    clips = VideoClips(folder, pipeline('codec', without_motion='still'))
    still, plain = clips[0, 0], clips[0, 1]
    assert still['failures'] == plain['failures'] == ''
    tubes = still['visible_tokens'].view(2, 4)
    assert (tubes[0] + 16).tolist() == tubes[1].tolist()
    assert 'a_intra.mp4' in still['without_motion']
    assert plain['without_motion'] == ''

    class Hub(dict):
        def update_scalar(self, name, value):
            self[name] = value

    class Runner:
        message_hub = Hub()

    hook = MotionHook()
    for _ in range(2):  # named once
        hook.before_train_iter(Runner, 0, {'without_motion': [still['without_motion'], '']})
    assert Runner.message_hub == {'train/videos_without_motion': 1}
    Runner.message_hub.clear()
    hook.before_train_iter(Runner, 0, {'inputs': []})  # a pipeline that reads no vectors says nothing of them
    assert Runner.message_hub == {}


def test_both_kinds_of_motion_move_the_mask_as_the_content_moves(plain):
    indices = np.arange(0, 8, 2)  # 6 pixels left a frame; the crop of 96 pixels becomes 64, so 4
    frames, steps = frames_and_vectors(str(plain), indices)
    results = {'imgs': list(frames), 'img_shape': (96, 128), 'original_shape': (96, 128), 'motion_steps': steps}
    results = MultiScaleCrop(64, scales=(1,))(results | {'rng': np.random.default_rng(0)})
    assert results['crop_box'][2:] == (96, 96)
    found = {}
    for motion in ('dis', 'codec'):
        transform = MotionMask((4, 4, 4), 0.75, motion)
        found[motion] = np.median(transform._motion(results), axis=(1, 2))[:, 0]
    np.testing.assert_allclose(found['dis'], [-2, -2, 0, 2], atol=0.15)  # maps of 8 pixels a cell: half of 4
    np.testing.assert_allclose(found['codec'], [-2, -2, 0, 2], atol=0.01)


@pytest.mark.parametrize(
    'order', ['flip crop', 'crop flip', 'jitter flip crop', 'crop flip crop', 'crop flip crop flip']
)
def test_vectors_follow_crops_and_flips_as_the_pixels_do(order):
    # Every pixel tells its place in the decoded frame by its colour, and every vector that of its block.
    y, x = np.mgrid[:96, :128]
    frames = [np.stack([x * 2, y * 2, 0 * x], axis=-1).astype(np.uint8)] * 4
    rows, columns = np.mgrid[:12, :16] * 8 + 3.5
    steps = np.broadcast_to(np.stack([columns, rows], axis=-1).astype(np.float32), (4, 12, 16, 2))
    known = {'flip': FlipClip(1), 'crop': MultiScaleCrop(64), 'jitter': ShortSideJitter((120, 150))}
    for seed in range(10):
        results = {'imgs': frames, 'img_shape': (96, 128), 'original_shape': (96, 128), 'motion_steps': steps}
        results |= {'rng': np.random.default_rng(seed)}
        for name in order.split():
            results = known[name](results)
        motion = MotionMask((4, 4, 4), 0.75, 'codec', cell_pixels=16)._motion(results)[3]
        height, width = results['crop_box'][2:]
        places = np.asarray(results['imgs'][3], np.float32)[..., :2] / 2
        sign = -1 if order.count('flip') == 1 else 1
        found = motion * [sign * width / 64, height / 64]  # displacements of the map, as those of the decoded frame
        inside = ((places > 8) & (places < [120, 88])).all(axis=-1)  # the border's vectors are repeated
        assert inside.any()
        assert np.abs(found - places)[inside].max() < 1.5


def test_a_flip_after_the_mask_is_refused():
    results = {'imgs': [], 'visible_tokens': np.array([0]), 'rng': np.random.default_rng(0)}
    with pytest.raises(ValueError, match='swap them'):
        FlipClip()(results)


@pytest.mark.parametrize('num_frames', [1, 2])
def test_a_video_too_short_to_move_has_a_still_mask(tmp_path, num_frames):
    path = write(tmp_path / 'short.mp4', moving(num_frames))
    frames, steps = frames_and_vectors(str(path), np.zeros(4, int))
    assert frames.shape == (4, 96, 128, 3)
    assert steps.shape == (4, 12, 16, 2)
    assert not steps.any()


def test_frames_of_several_sizes_are_a_fault_of_the_file(tmp_path):
    from sigma.video import PyAVReader

    for name, size in {'a': (96, 128), 'b': (64, 96)}.items():
        write(tmp_path / f'{name}.h264', moving(12, *size), options={'bf': '0'})
    path = tmp_path / 'both.h264'
    path.write_bytes((tmp_path / 'a.h264').read_bytes() + (tmp_path / 'b.h264').read_bytes())
    indices = np.arange(4, 20, 2)
    with pytest.raises(DecodeError, match=r'both\.h264: its frames from 4 to 18 are of several sizes'):
        frames_and_vectors(str(path), indices)
    with pytest.raises(DecodeError, match=r'both\.h264: its frames up to 18 are of several sizes'):
        PyAVReader(str(path)).frames(indices)
    assert frames_and_vectors(str(path), indices[:4])[1].shape == (4, 12, 16, 2)


def test_bad_settings_are_refused(plain):
    with pytest.raises(ValueError, match="must be 'dis' or 'codec'"):
        MotionMask((2, 4, 4), motion='raft')
    with pytest.raises(ValueError, match="must be 'raise' or 'still'"):
        DecodeFramesAndVectors(without_motion='skip')
    results = {'imgs': moving(4), 'original_shape': (96, 128), 'rng': np.random.default_rng(0)}
    with pytest.raises(ValueError, match='no motion vectors were read'):
        MotionMask((2, 4, 4), motion='codec')(results)
    unreadable = {'open_reader': None, 'decode_error': 'broken', 'filename': 'x.mp4'}
    with pytest.raises(DecodeError, match=r'x\.mp4: broken'):
        DecodeFramesAndVectors()(unreadable)


# --- the figure ------------------------------------------------------------------------------------------------------


def figure_config(motion: str | None) -> Config:
    steps = pipeline(motion or 'dis')
    if motion is None:
        steps[4] = {'type': 'sigma.TubeMask', 'grid': (4, 4), 'mask_ratio': 0.75, 'num_masks': 2}
    encoder = {'type': 'sigma.VideoViT', 'arch': 'tiny', 'image_size': 64, 'num_frames': 4}
    return Config({'model': {'encoder': encoder}, 'train_dataloader': {'dataset': {'pipeline': steps}}})


def test_figure_of_masks_shows_frames_and_each_mask(plain, tmp_path):
    figure = draw_masks(plain, [figure_config(None), figure_config('codec')])
    assert len(figure.axes) == 4 * 2  # frames, two masks of tubes, one of motion; two time slots
    names = [axis.get_title(loc='left') for axis in figure.axes[::2]]
    assert names == [
        f'{plain.name}: the first of every 2 frames',
        'tubes, 75 % masked, mask 1 of 2',
        'tubes, 75 % masked, mask 2 of 2',
        'motion (codec), 75 % masked',
    ]
    pictures = [axis.images[0].get_array() for axis in figure.axes]
    for row in range(1, 4):  # 4 of 16 cells are as in the frames, the others darker
        same = (pictures[2 * row] == pictures[0]).all(axis=2).reshape(4, 16, 4, 16).all(axis=(1, 3))
        assert same.sum() == 4
    figure.savefig(tmp_path / 'masks.png')
    assert (tmp_path / 'masks.png').stat().st_size > 1000


def test_figure_of_masks_has_the_frames_of_each_crop(plain):
    other = figure_config('codec')
    other.train_dataloader.dataset.pipeline[1].stride_frames = 1
    figure = draw_masks(plain, [figure_config('codec'), figure_config('dis'), other])
    names = [axis.get_title(loc='left').partition(',')[0] for axis in figure.axes[::2]]
    frames = f'{plain.name}: the first of every 2 frames'
    assert names == [frames, 'motion (codec)', 'motion (dis)', frames, 'motion (codec)']
    longer = figure_config('dis')
    longer.train_dataloader.dataset.pipeline[1].num_frames = 8
    longer.train_dataloader.dataset.pipeline[4].grid = (4, 4, 4)
    longer.model.encoder.num_frames = 8
    figure = draw_masks(plain, [other, longer])
    shown = [sum(bool(axis.images) for axis in figure.axes[row : row + 4]) for row in range(0, 16, 4)]
    assert shown == [2, 2, 4, 4]


def test_figure_of_what_is_absent_is_refused(plain, tmp_path):
    with pytest.raises(DataError, match='give a video'):
        draw_masks(tmp_path / 'none.mp4', figure_config(None))
    with pytest.raises(DataError, match=r'none\.py is not there'):
        draw_masks(plain, str(tmp_path / 'none.py'))
    with pytest.raises(DataError, match='draws no masks'):
        draw_masks(plain, Config({'model': {}}))
