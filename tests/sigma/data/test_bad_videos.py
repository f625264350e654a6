"""Nine kinds of bad video among good ones: training goes on, and each is counted and named once."""

import re
import shutil

import numpy as np
import pytest
from torch.utils.data import DataLoader

from sigma.data.clips import VideoClips
from sigma.data.index import build_index, load_index
from sigma.data.lists import list_sha256, write_list
from sigma.data.sampler import EpochSampler
from sigma.engine.diagnostics import DiagnosticsHook
from sigma.errors import DataError
from tests.conftest import believe
from tests.forked import Run, tiny_config
from tests.sigma.engine.test_diagnostics import fake

NUM_GOOD, NUM_FRAMES = 91, 40


def encode(path, codec: str = 'libx264', num_frames: int = NUM_FRAMES) -> bytes:
    import av

    noise = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    with av.open(str(path), 'w') as file:
        stream = file.add_stream(codec, rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = 'yuv420p'
        for number in range(num_frames):
            image = np.ascontiguousarray(np.roll(noise, number, axis=1)[:, :64])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        file.mux(stream.encode())
    return path.read_bytes()


def sound(path) -> bytes:
    import av

    with av.open(str(path), 'w') as file:
        stream = file.add_stream('aac', rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format='fltp', layout='mono')
        frame.sample_rate = 16000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path.read_bytes()


def bad_contents(folder) -> dict[str, bytes]:
    """Nine kinds, by name."""
    good = encode(folder / 'good.mp4')
    draw, middle = np.random.default_rng(1), len(good) // 2
    flipped = bytearray(good)
    for place in draw.choice(np.arange(len(good) // 4, 3 * len(good) // 4), 400, replace=False):
        flipped[place] ^= 0xFF
    zeroed = bytearray(good)
    zeroed[middle : middle + len(good) // 4] = bytes(len(good) // 4)
    return {
        'empty': b'',
        'garbage': draw.bytes(20_000),
        'html': b'<!DOCTYPE html><html><body>404 Not Found</body></html>' * 50,
        'truncated': good[:middle],
        'audio_only': sound(folder / 'sound.mp4'),
        'flipped': bytes(flipped),
        'zeroed': bytes(zeroed),
        'one_frame': encode(folder / 'one.mp4', num_frames=1),
        'av1': encode(folder / 'av1.mp4', 'libsvtav1'),
    }


# What a strict reading of the whole file finds. An AV1 file and one of a single frame are sound.
UNREADABLE = {'empty', 'garbage', 'html', 'truncated', 'audio_only', 'flipped', 'zeroed'}
# What fails when frames are read that the index, made before the damage, promised. Here decord notices all; in longer
# files it hides zeroed bytes, which is why the index is made with PyAV.
FAILS = {'pyav': UNREADABLE | {'one_frame'}, 'decord': UNREADABLE | {'one_frame', 'av1'}}


def dataset(root, contents: dict[str, bytes], indexed_whole: bool):
    """91 good videos and 9 bad ones; these broke after the index was made, or before."""
    good = contents['good']
    names = [f'v{i:02d}.mp4' for i in range(NUM_GOOD)]
    bad = {f'{kind}.mp4': content for kind, content in contents.items() if kind != 'good'}
    root.mkdir()
    for name in names:
        (root / name).write_bytes(good)
    for name, content in bad.items():
        # An AV1 file stays what it is: the index reads it.
        (root / name).write_bytes(good if indexed_whole and name != 'av1.mp4' else content)
    # Bad ones apart from each other, so that each is met on its own.
    listed = list(names)
    for number, name in enumerate(bad):
        listed.insert(11 * number + 5, name)
    write_list(root / 'train.txt', [(name, i % 2) for i, name in enumerate(listed)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('SIGMA_PROVE', 'decord')
        build_index(root, listed, root / 'index.jsonl', workers=1, progress=False)
    for name, content in bad.items():
        (root / name).write_bytes(content)
    if indexed_whole:
        believe(root, bad)
    (root / 'dataset.py').write_text(
        "data_root = '{{ fileDirname }}'\n"
        "dataset_info = dict(name='bad', classes=['even', 'odd'], index='index.jsonl', delimiter=' ',\n"
        f"    splits=dict(train=dict(list='train.txt', sha256='{list_sha256(root / 'train.txt')}', num_videos=100)))\n"
    )
    return root


@pytest.fixture(scope='module')
def contents(tmp_path_factory):
    import av

    folder = tmp_path_factory.mktemp('contents')
    try:
        found = bad_contents(folder)
    except av.FFmpegError:
        pytest.skip("PyAV's FFmpeg has no AV1 encoder")
    return found | {'good': (folder / 'good.mp4').read_bytes()}


@pytest.fixture(scope='module')
def broken_later(contents, tmp_path_factory):
    return dataset(tmp_path_factory.mktemp('later') / 'data', contents, indexed_whole=True)


@pytest.fixture(scope='module')
def broken_before(contents, tmp_path_factory):
    return dataset(tmp_path_factory.mktemp('before') / 'data', contents, indexed_whole=False)


def pipeline(decoder: str) -> list[dict]:
    return [
        {'type': 'sigma.OpenVideo', 'decoder': decoder},
        {'type': 'sigma.SampleSegments', 'num_frames': 8},
        {'type': 'sigma.DecodeFrames'},
        {'type': 'sigma.ResizeSquare', 'size': 32},
        {'type': 'sigma.TubeMask', 'grid': (2, 2), 'mask_ratio': 0.5},
        {'type': 'sigma.PackPretraining'},
    ]


def kinds_of(lines) -> list[str]:
    return sorted(re.search(r'(\w+)\.mp4', line)[1] for line in lines)


@pytest.mark.parametrize('decoder', ['decord', 'pyav'])
def test_what_breaks_after_indexing_is_counted_and_named_once(broken_later, decoder):
    clips = VideoClips(str(broken_later), pipeline(decoder))
    assert len(clips) == 100
    sampler = EpochSampler(clips, 10)
    loader = DataLoader(clips, 10, sampler=sampler, collate_fn=lambda samples: samples)
    hook, runner, seen = DiagnosticsHook(), fake(None), 0
    for epoch in range(2):
        sampler.set_position(epoch, 0)
        for batch in loader:
            hook.before_train_iter(runner, 0, {'failures': [sample['failures'] for sample in batch]})
            seen += len(batch)
            assert all(sample['inputs'].shape == (3, 8, 32, 32) for sample in batch)
    assert seen == 200
    assert kinds_of(hook.failures) == sorted(FAILS[decoder])
    assert runner.message_hub.get_scalar('train/undecodable_videos').current() == len(FAILS[decoder])


def test_what_is_bad_before_is_skipped_by_the_index_and_counted(broken_before):
    unreadable = {video.path.removesuffix('.mp4') for video in load_index(broken_before / 'index.jsonl').unreadable}
    assert unreadable == UNREADABLE
    clips = VideoClips(str(broken_before), pipeline('pyav'))
    assert (clips.num_listed, len(clips)) == (100, 93)
    assert kinds_of(video for video, _ in clips.skipped) == sorted(UNREADABLE)
    assert all(reason for _, reason in clips.skipped)


@pytest.mark.parametrize('decoder', ['decord', pytest.param('pyav', marks=pytest.mark.slow)])
def test_training_goes_on(broken_later, decoder, tmp_path):
    options = {'train_cfg__max_epochs': 1, 'train_dataloader__batch_size': 25, 'param_scheduler__1__end': 1}
    options['train_dataloader__dataset__pipeline__0__decoder'] = decoder
    options['param_scheduler__1__begin'] = 0
    run = Run(tiny_config(tmp_path), tmp_path / 'run', broken_later, **options)
    assert run.wait() == 0, run.said
    assert (tmp_path / 'run' / 'iter_4.safetensors').is_file()
    named = [line for line in run.said.splitlines() if 'not decoded' in line]
    assert kinds_of(line.split('instead: ')[1] for line in named) == sorted(FAILS[decoder])


def test_all_bad_is_refused(contents, tmp_path):
    root = tmp_path / 'data'
    shutil.copytree(dataset(tmp_path / 'source', contents, indexed_whole=True), root)
    for path in root.glob('*.mp4'):
        path.write_bytes(b'')
    believe(root, [path.name for path in root.glob('*.mp4')])
    with pytest.raises(DataError, match='20 videos in a row could not be decoded'):
        VideoClips(str(root), pipeline('decord'))[(0, 0)]
