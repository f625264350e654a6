"""Opens, reads and writes videos. Nothing else in `sigma`, `eval` or `tools` calls PyAV, decord or torchcodec.

opening.py:  `open_video` (one stream, strict by default), `frames_of`, `frame_times`.
times.py:    `FrameTimes`: where seconds and frame numbers meet.
look.py:     which way up (`Turn`), in which colours (`Colour`, `ToRGB`).
whole.py:    `read_whole` (every frame; any damage raises).
readers.py:  random access, by name in `READERS`.
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
from sigma.video.readers import READERS, DecordReader, PyAVReader, Reader
from sigma.video.times import FrameClock, FrameTimes, times_of
from sigma.video.whole import UnreadableVideo, WholeVideo, read_whole
from sigma.video.writing import H264, X264_REPEATABLE, Jpeg, VideoWriter, even, exact_rate, write_frames

__all__ = [
    'READERS', 'X264_REPEATABLE', 'Colour', 'DecordReader', 'FFmpegError', 'Frame', 'FrameClock', 'FrameTimes', 'H264',
    'Jpeg', 'OpenVideo', 'PyAVReader', 'Reader', 'ToRGB', 'Turn', 'UnreadableVideo', 'VideoWriter', 'WholeVideo',
    'even', 'exact_rate', 'frame_times', 'frames_of', 'open_video', 'picture_type', 'read_whole', 'reason_of',
    'times_of', 'write_frames',
]  # fmt: skip
