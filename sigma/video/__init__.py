"""Opens, reads and writes videos. Nothing else in `sigma`, `eval` or `tools` calls PyAV, decord or torchcodec.

opening.py:  `open_video` (one stream, strict by default), `frames_of`, `frame_times`.
times.py:    `FrameTimes`: where seconds and frame numbers meet.
look.py:     which way up (`Turn`), in which colours (`Colour`, `ToRGB`).
whole.py:    `read_whole` (every frame; any damage raises).
readers.py:  random access: `open_reader` takes the fastest of `READERS` that was proved for the file.
proof.py:    `prove`: which readers return the right frames of a file; seeking.py: where they may start.
stills.py:   images as videos of one frame.
writing.py:  `VideoWriter` with the settings `H264` or `Jpeg`.

The one exception is `eval/corruptions/codec.py`: it damages coded packets, so it codes without a file around them.
"""

from sigma.video.look import Colour, Frame, ToRGB, Turn
from sigma.video.opening import (
    FFmpegError,
    OpenVideo,
    frame_times,
    frames_of,
    open_video,
    picture_type,
    reason_of,
)
from sigma.video.proof import prove
from sigma.video.readers import (
    PROVED,
    READERS,
    DecordReader,
    Proof,
    PyAVReader,
    Reader,
    TorchCodecReader,
    installed_readers,
    known_reader,
    open_reader,
    reader_of,
)
from sigma.video.seeking import SeekTable
from sigma.video.stills import IMAGE_SUFFIXES, STILL, StillReader, read_still
from sigma.video.times import FrameClock, FrameTimes, times_of
from sigma.video.whole import UnreadableVideo, WholeVideo, read_whole
from sigma.video.writing import H264, X264_REPEATABLE, Jpeg, VideoWriter, even, exact_rate, write_frames

__all__ = [
    'IMAGE_SUFFIXES', 'PROVED', 'READERS', 'STILL', 'X264_REPEATABLE', 'StillReader',
    'Colour', 'DecordReader', 'FFmpegError', 'Frame', 'FrameClock',
    'FrameTimes', 'H264', 'Jpeg', 'OpenVideo', 'Proof', 'PyAVReader', 'Reader', 'SeekTable', 'ToRGB',
    'TorchCodecReader', 'Turn', 'UnreadableVideo', 'VideoWriter', 'WholeVideo', 'even', 'exact_rate', 'frame_times',
    'frames_of', 'installed_readers', 'known_reader', 'open_reader', 'open_video', 'picture_type', 'prove',
    'read_still', 'read_whole', 'reader_of', 'reason_of', 'times_of', 'write_frames',
]  # fmt: skip
