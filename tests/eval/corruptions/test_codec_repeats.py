"""R1: equal frames give one stream, in every process and at any load, whatever encodes.

The encoders of PyAV's wheel can read memory that they have not written, so what they make depends on what stood there
before. glibc fills new memory with a byte of our choice (MALLOC_PERTURB_): processes with other bytes then differ at
once, without waiting for chance.
"""

import hashlib
import inspect
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from eval.corruptions import CORRUPTIONS, codec, get_corruption, reencode
from sigma.datasets.reencode import Encoding
from sigma.datasets.toy import ToySpec, clip_frames, encode_clip
from sigma.video import H264, Jpeg, write_frames
from tests.conftest import PATIENCE, ROOT

CODED = [name for name, corruption in CORRUPTIONS.items() if corruption.family == 'codec']
PROCESSES = 4


def moving(num_frames: int, height: int, width: int, noise: int = 0) -> np.ndarray:
    """A photograph (the astronaut of scikit-image, resized to 700x700) of which each frame shows another part."""
    import cv2
    from skimage import data

    picture = cv2.resize(data.astronaut(), (700, 700))
    shown = [picture[100 + 2 * t : 100 + 2 * t + height, 60 + t : 60 + t + width] for t in range(num_frames)]
    grain = np.random.default_rng(0).integers(0, noise + 1, (num_frames, height, width, 3))
    return np.clip(np.stack(shown) + grain, 0, 255).astype(np.uint8)


def sizes() -> list[np.ndarray]:
    """The sizes at which encoders differed: large, odd and narrow, one block of 64 high or wide, a single frame."""
    return [
        moving(12, 128, 170),
        moving(12, 33, 47),
        moving(10, 64, 90, noise=255),
        moving(1, 64, 64),
    ]


def encoded() -> dict[str, str]:
    """Hash of the pixels of each codec corruption, and of the file of each writer, for each of the sizes."""
    writers = {
        'copies': Encoding().coding,
        'jpeg': Jpeg(),
        'joined': H264(quantiser=20, bitexact=True),
        'scenes': H264(gop=12, quantiser=18, scene_cuts=True),
        'benchmark': H264(b_frames=None, scene_cuts=True, gop=250),
        'rendered': H264(gop=2, quantiser=18, bitexact=True),
    }
    made: dict[str, bytes] = {}
    for number, frames in enumerate(sizes()):
        made[f'reencode {number}'] = reencode(frames).tobytes()
        for name in CODED:
            made[f'{name} {number}'] = get_corruption(name)(frames, 3, 'v').tobytes()
    for name, coding in writers.items():
        file = io.BytesIO()
        write_frames(file, moving(12, 128, 170), 25, coding)
        made[name] = file.getvalue()
    made['toy'] = encode_clip(clip_frames(ToySpec(), 'test', 'back_ccw', 3), 25, 2)
    return {name: hashlib.sha256(data).hexdigest() for name, data in made.items()}


def streams(name: str, times: int) -> list[str]:
    """Hashes of the streams (bytes of packets) that a codec corruption makes of one clip."""
    made: list[codec.Stream] = []
    encode = codec.encode
    codec.encode = lambda *args, **options: made.append(encode(*args, **options)) or made[-1]  # type: ignore[func-returns-value]
    try:
        for _ in range(times):
            frames = moving(24, 256, 340) if name != 'h265_crf' else moving(24, 33, 47)
            reencode(frames) if name == 'reencode' else get_corruption(name)(frames, 1, 'v')
    finally:
        codec.encode = encode
    per_call = len(made) // times
    calls = [made[start : start + per_call] for start in range(0, len(made), per_call)]
    return [hashlib.sha256(repr([(s.extradata, s.packets) for s in call]).encode()).hexdigest() for call in calls]


def in_processes(expression: str, perturb: bool) -> list:
    """The value of an expression of this module in several processes at once, beside a busy one."""
    busy = subprocess.Popen([sys.executable, '-c', 'while True: pass'])
    command = f'import json; from tests.eval.corruptions.test_codec_repeats import *; print(json.dumps({expression}))'
    try:
        workers = []
        for fill in (0, 85, 170, 255)[:PROCESSES]:
            env = os.environ | {'PYTHONPATH': str(ROOT)} | ({'MALLOC_PERTURB_': str(fill)} if perturb else {})
            workers.append(
                subprocess.Popen([sys.executable, '-c', command], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
            )
        answers = [worker.communicate(timeout=250 * PATIENCE)[0] for worker in workers]
    finally:
        busy.kill()
        busy.wait()
    return [json.loads(answer.splitlines()[-1]) for answer in answers]


def test_r1_whatever_encodes_gives_one_result_whatever_stood_in_memory():
    found = in_processes('encoded()', perturb=True)
    assert [name for name in found[0] if len({one[name] for one in found}) > 1] == []


@pytest.mark.slow
@pytest.mark.parametrize('name', ['reencode', *CODED])
def test_r1_forty_encodings_in_four_processes_give_one_stream(name):
    found = in_processes(f'streams({name!r}, 10)', perturb=False)
    assert [len(one) for one in found] == [10] * PROCESSES
    assert len({stream for one in found for stream in one}) == 1


def test_every_codec_corruption_has_the_version_of_the_settings():
    from eval.corruptions.shown import Store, Variant  # torch, which the processes above do without
    from eval.protocols.robustness import versions_of

    assert {name: CORRUPTIONS[name].version for name in CODED} == dict.fromkeys(CODED, codec.VERSION)
    assert versions_of(['fog', 'h264_crf']) == {'h264_crf': codec.VERSION}  # others keep their identity
    places = [Store('x').path(variant, 0).parent.name for variant in (Variant('h264_crf', 1), Variant('fog', 1))]
    old = hashlib.sha256(json.dumps(23).encode()).hexdigest()[:8]
    assert places[0] != f'h264_crf-1-{old}'  # scores of other streams are not taken for these
    fog = hashlib.sha256(json.dumps(CORRUPTIONS['fog'].level(1)).encode()).hexdigest()[:8]
    assert places[1] == f'fog-1-{fog}'
    assert Variant('reencoded').version == codec.VERSION
    assert 'info=0' in codec.X265_REPEATABLE  # its note in the stream names the processor
    assert 'X264_REPEATABLE' in inspect.getsource(codec.encode)
