"""Images as clips: reading, the published layouts of ImageNet-1K and CIFAR-100 in small, and a whole run."""

import io
import pickle
import struct
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from sigma.data.cards import CONFIG_ROOT, load_dataset_card
from sigma.data.index import read_strictly
from sigma.errors import DecodeError
from sigma.video import STILL, StillReader, open_reader, read_still, reader_of
from tests.conftest import call_main
from tools import prepare

WNIDS = ('n01440764', 'n01443537', 'n01484850')


def picture(seed: int = 0, size=(40, 30)) -> Image.Image:
    width, height = size
    small = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR)


# --- reading one image -----


def test_an_image_is_decoded_once_and_repeated(tmp_path, monkeypatch):
    picture().save(tmp_path / 'a.png')
    opened, first = [], Image.open
    monkeypatch.setattr(Image, 'open', lambda path: (opened.append(path), first(path))[1])
    frames = StillReader(tmp_path / 'a.png').frames(np.zeros(16, int))
    assert len(opened) == 1
    assert frames.shape == (16, 30, 40, 3)
    assert (frames == np.asarray(picture())).all()
    with pytest.raises(DecodeError, match='an image has one frame, number 0; asked for 3'):
        StillReader(tmp_path / 'a.png').frames(np.array([0, 3]))


def test_other_kinds_of_pixels_become_rgb(tmp_path):
    grey = picture().convert('L')
    grey.save(tmp_path / 'grey.jpg')
    image = read_still(tmp_path / 'grey.jpg')
    assert image.shape == (30, 40, 3)
    assert (image[..., 0] == image[..., 2]).all()
    picture().convert('CMYK').save(tmp_path / 'cmyk.jpg', quality=95)
    assert np.abs(read_still(tmp_path / 'cmyk.jpg').astype(int) - np.asarray(picture())).mean() < 4
    picture().convert('P').save(tmp_path / 'palette.png')
    assert read_still(tmp_path / 'palette.png').shape == (30, 40, 3)
    Image.fromarray(np.full((2, 2), 256 * 200, np.uint16)).save(tmp_path / 'deep.png')
    assert (read_still(tmp_path / 'deep.png') == 200).all()


def test_exif_says_which_way_is_up(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show it
    picture().save(tmp_path / 'turned.png', exif=exif)
    assert (read_still(tmp_path / 'turned.png') == np.rot90(np.asarray(picture()), -1)).all()


@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (lambda data: data[: len(data) // 2], 'damaged JPEG'),
        (lambda data: data[: len(data) // 2] + b'\xff\xd9', 'damaged JPEG'),
        (lambda data: b'no picture' * 9, 'no image that Pillow knows'),
        (lambda data: b'', 'the file is empty'),
    ],
)
def test_a_damaged_image_is_unreadable_with_its_reason(tmp_path, damage, reason):
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(content, 'JPEG')
    (tmp_path / 'a.JPEG').write_bytes(damage(content.getvalue()))
    info = read_strictly('a.JPEG', tmp_path, readers=(STILL,))
    assert not info.readable
    assert reason in info.reason


def test_a_file_that_was_cut_later_is_a_decode_error(tmp_path):
    picture(size=(400, 300)).save(tmp_path / 'a.JPEG', quality=100)
    content = (tmp_path / 'a.JPEG').read_bytes()
    (tmp_path / 'a.JPEG').write_bytes(content[: len(content) // 2])
    with pytest.raises(DecodeError, match=r'a\.JPEG: .*truncated'):
        StillReader(tmp_path / 'a.JPEG').frames(np.zeros(2, int))
    with pytest.raises(DecodeError, match=r'gone\.JPEG: No such file'):
        StillReader(tmp_path / 'gone.JPEG').frames(np.zeros(2, int))


def test_the_index_has_one_frame_whose_reader_is_its_own(tmp_path):
    picture().save(tmp_path / 'a.png')
    info = read_strictly('a.png', tmp_path, readers=(STILL,))
    assert (info.readable, info.frames, info.width, info.height, info.readers) == (True, 1, 40, 30, {STILL: True})
    assert len(info.sha256) == 64
    assert reader_of(info.proof, 'pyav') == STILL
    assert isinstance(open_reader(str(tmp_path / 'a.png'), 'proved', info.proof), StillReader)
    assert not read_strictly('a.png', tmp_path).readable  # a dataset of videos still refuses it


# --- ImageNet-1K -----


def imagenet_card(folder: Path, **counts) -> Path:
    """The card of ImageNet-1K with three classes and small counts."""
    splits = {name: {'num_videos': count} for name, count in ({'train': 6, 'test': 3} | counts).items()}
    path = folder / 'imagenet_small.py'
    path.write_text(
        f"_base_ = '{CONFIG_ROOT}/datasets/imagenet1k.py'\ndata_root = {str(folder / 'out')!r}\n"
        f'dataset_info = dict(classes={[f"{wnid} x" for wnid in WNIDS]!r}, splits={splits!r})\n'
    )
    return path


def imagenet(folder: Path, flat: bool) -> Path:
    root = folder / 'images'
    for number, wnid in enumerate(WNIDS):
        (root / 'train' / wnid).mkdir(parents=True)
        for image in range(2):
            picture(10 * number + image).save(root / 'train' / wnid / f'{wnid}_{image}.JPEG')
        place = root / 'val' / ('' if flat else wnid)
        place.mkdir(parents=True, exist_ok=True)
        picture(100 + number).save(place / f'ILSVRC2012_val_{number + 1:08d}.JPEG')
    return root


def kit(folder: Path, truth: str = '3\n1\n2\n') -> Path:
    """The development kit: its numbers 1 to 3 are other classes than the sorted ones, and it has inner nodes."""
    labels = folder / 'kit' / 'data'
    labels.mkdir(parents=True)
    fields = [('ILSVRC2012_ID', int), ('WNID', object), ('words', object), ('gloss', object), ('num_children', int)]
    rows = [(1, WNIDS[1], 'b', '', 0), (2, WNIDS[2], 'c', '', 0), (3, WNIDS[0], 'a', '', 0), (4, 'n0', 'all', '', 3)]
    savemat(labels / 'meta.mat', {'synsets': np.array(rows, dtype=fields).reshape(-1, 1)})
    (labels / 'ILSVRC2012_validation_ground_truth.txt').write_text(truth)
    return folder / 'kit'


@pytest.mark.parametrize('layout', ['folders', 'kit', 'solution'])
def test_imagenet_in_its_layouts(tmp_path, capsys, layout):
    card, root, more = imagenet_card(tmp_path), imagenet(tmp_path, flat=layout != 'folders'), []
    if layout == 'kit':
        more = ['--annotations', kit(tmp_path)]
    if layout == 'solution':
        rows = [f'ILSVRC2012_val_{n + 1:08d},{wnid} 1 2 3 4 {wnid} 5 6 7 8\n' for n, wnid in enumerate(WNIDS)]
        (root / 'LOC_val_solution.csv').write_text('ImageId,PredictionString\n' + ''.join(rows))
    done = call_main(prepare.main, capsys, card, '--root', root, *more)
    assert done.returncode == 0, done.stderr
    made = load_dataset_card(str(tmp_path / 'out'))
    assert made.info['stills'] is True
    assert made.pairs('test') == [(f'val/ILSVRC2012_val_{n + 1:08d}.JPEG', n) for n in range(3)]
    assert [label for _, label in made.pairs('train')] == [0, 0, 1, 1, 2, 2]
    assert all(Path(entry['filename']).is_file() and entry['total_frames'] == 1 for entry in made.entries('test'))


def test_imagenet_says_what_is_missing(tmp_path, capsys):
    root = imagenet(tmp_path, flat=True)

    def said(card, *more) -> str:
        done = call_main(prepare.main, capsys, card, '--root', root, *more)
        assert done.returncode == 2
        assert done.stderr.count('\n') == 1
        return done.stderr

    card = imagenet_card(tmp_path)
    assert 'has no ILSVRC2012_validation_ground_truth.txt' in said(card)
    assert 'has 2 lines for the 3 images of val' in said(card, '--annotations', kit(tmp_path, '3\n1\n'))
    (tmp_path / 'kit' / 'data' / 'ILSVRC2012_validation_ground_truth.txt').write_text('3\n1\n2\n')
    labels = ('--annotations', tmp_path / 'kit')
    assert 'list 6 videos' in said(imagenet_card(tmp_path, train=1281167), *labels)
    for file in (root / 'train' / WNIDS[1]).iterdir():
        file.unlink()
    assert f'1 of 3 class folders of train are missing or empty, first train/{WNIDS[1]}' in said(card, *labels)


def test_a_damaged_image_is_named_and_stops_the_lists(tmp_path, capsys):
    card, root = imagenet_card(tmp_path), imagenet(tmp_path, flat=False)
    victim = root / 'train' / WNIDS[0] / f'{WNIDS[0]}_1.JPEG'
    victim.write_bytes(victim.read_bytes()[:200])
    done = call_main(prepare.main, capsys, card, '--root', root)
    assert done.returncode == 1
    assert f'unreadable: train/{WNIDS[0]}/{WNIDS[0]}_1.JPEG: ' in done.stdout
    assert call_main(prepare.main, capsys, card, '--root', root, '--allow-unreadable').returncode == 0
    assert load_dataset_card(str(tmp_path / 'out')).readable('train') == [True, False, True, True, True, True]


# --- CIFAR-100 -----


class Python2(pickle._Pickler):
    """Writes text and bytes as Python 2 did, like the published files."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012 - of the base class

    def save_text(self, text) -> None:
        content = text.encode() if isinstance(text, str) else text
        self.write(b'T' + struct.pack('<i', len(content)) + content)

    dispatch[bytes] = dispatch[str] = save_text


def python2(content) -> bytes:
    file = io.BytesIO()
    Python2(file, protocol=2).dump(content)
    return file.getvalue().replace(b'numpy._core', b'numpy.core')


def cifar(folder: Path, binary: bool) -> tuple[Path, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3072), np.uint8)
    fine, coarse = [99, 0, 7, 7, 3], [1, 2, 3, 3, 4]
    root = folder / ('cifar-100-binary' if binary else 'cifar-100-python')
    root.mkdir()
    for split, part in (('train', slice(0, 3)), ('test', slice(3, 5))):
        if binary:
            records = np.c_[np.array(coarse[part], np.uint8), np.array(fine[part], np.uint8), pixels[part]]
            (root / f'{split}.bin').write_bytes(records.astype(np.uint8).tobytes())
        else:
            content = {b'fine_labels': fine[part], b'coarse_labels': coarse[part], b'data': pixels[part]}
            write = python2 if split == 'train' else partial(pickle.dumps, protocol=2)
            (root / split).write_bytes(write(content))
    return folder, pixels


def cifar_card(folder: Path) -> Path:
    path = folder / 'cifar_small.py'
    path.write_text(
        f"_base_ = '{CONFIG_ROOT}/datasets/cifar100.py'\ndata_root = {str(folder / 'out')!r}\n"
        f"dataset_info = dict(classes='{CONFIG_ROOT}/annotations/cifar100/classes.txt', "
        'splits=dict(train=dict(num_videos=3), test=dict(num_videos=2)))\n'
    )
    return path


@pytest.mark.parametrize('binary', [False, True])
def test_cifar_in_both_versions(tmp_path, capsys, binary):
    root, pixels = cifar(tmp_path, binary)
    done = call_main(prepare.main, capsys, cifar_card(tmp_path), '--root', root)
    assert done.returncode == 0, done.stderr
    made = load_dataset_card(str(tmp_path / 'out'))
    assert made.pairs('train') == [('train-00000.ppm', 99), ('train-00001.ppm', 0), ('train-00002.ppm', 7)]
    assert made.pairs('test') == [('test-00000.ppm', 7), ('test-00001.ppm', 3)]
    image = read_still(made.entries('test')[1]['filename'])
    assert (image == pixels[4].reshape(3, 32, 32).transpose(1, 2, 0)).all()


def test_a_pickle_that_runs_code_is_refused(tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / 'ran',))

    root, _ = cifar(tmp_path, binary=False)
    (root / 'cifar-100-python' / 'train').write_bytes(pickle.dumps({b'data': Evil()}, protocol=2))
    done = call_main(prepare.main, capsys, cifar_card(tmp_path), '--root', root)
    assert done.returncode == 2
    assert 'is not as cifar100 was published' in done.stderr
    assert not (tmp_path / 'ran').exists()


def test_cifar_says_what_is_missing(tmp_path, capsys):
    done = call_main(prepare.main, capsys, cifar_card(tmp_path), '--root', tmp_path)
    assert done.returncode == 2
    assert 'needs cifar-100-python or cifar-100-binary' in done.stderr
    root, _ = cifar(tmp_path, binary=True)
    (root / 'cifar-100-binary' / 'test.bin').write_bytes(b'0' * 100)
    assert (
        'is not as cifar100 was published'
        in call_main(prepare.main, capsys, cifar_card(tmp_path), '--root', root).stderr
    )
