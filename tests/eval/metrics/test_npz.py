"""Arrays of an .npz file in memory: those of NumPy, with libdeflate and without it; damage is told."""

import io
import zipfile

import numpy as np
import pytest

from eval.metrics import npz

ARRAYS = {
    'video': np.array(['a.mp4', 'ü.mp4']),
    'label': np.array([[True, False], [False, True]]),
    'scores': np.random.default_rng(0).standard_normal((2, 900)).astype(np.float32),
}


@pytest.fixture(params=['libdeflate', 'zlib'])
def inflater(request, monkeypatch):
    if request.param == 'zlib':
        monkeypatch.setattr(npz, 'deflate', None)
    elif npz.deflate is None:
        pytest.skip('deflate is not installed')


def written(save=np.savez_compressed):
    buffer = io.BytesIO()
    save(buffer, **ARRAYS)
    return buffer.getvalue()


@pytest.mark.parametrize('save', [np.savez_compressed, np.savez])
def test_arrays_are_those_of_numpy(inflater, save):
    found = npz.read_arrays(written(save), list(ARRAYS))
    for name, array in zip(ARRAYS, found):
        assert (array.dtype, array.tolist()) == (ARRAYS[name].dtype, ARRAYS[name].tolist())
        assert array.flags.writeable


def test_damage_is_told(inflater):
    data = written()
    place = zipfile.ZipFile(io.BytesIO(data)).getinfo('scores.npy')
    for byte in (place.header_offset, place.header_offset + 200):  # its header, its content
        broken = bytearray(data)
        broken[byte] ^= 0xFF
        with pytest.raises(zipfile.BadZipFile):
            npz.read_arrays(bytes(broken), ['scores'])
    with pytest.raises(zipfile.BadZipFile):
        npz.read_arrays(data[:-30], ['scores'])
    with pytest.raises(KeyError):
        npz.read_arrays(data, ['absent'])


def test_objects_are_refused(inflater):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, scores=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match='pickle'):
        npz.read_arrays(buffer.getvalue(), ['scores'])
