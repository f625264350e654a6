"""The rendered dataset `toy`: photographs that move over other photographs; only motion tells the label.

A scene is a patch of a photograph (the mover) on a closed orbit over a background from another photograph. The orbit is
an ellipse with 16 equally spaced phases. An action recognition clip visits each of the 16 exactly once, at its 16
sampled frames (`stride_frames` apart; frames in between follow the motion). The class is the order of the visits:

    turn1   one turn                      0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
    turn2   two turns                     0 2 4 6 8 10 12 14 1 3 5 7 9 11 13 15
    turn3   three turns (3t mod 16)       0 3 6 9 12 15 2 5 8 11 14 1 4 7 10 13
    back    fast out, slowly back       0 3 6 9 12 15 14 13 11 10 8 7 5 4 2 1
    swing   two far out, two near back  0 3 6 5 4 7 10 9 8 11 14 13 12 15 2 1

each clockwise (`_cw`) and counter-clockwise (`_ccw`): ten classes. The starting point on the orbit is uniform, and
photographs, sizes, colours, centre, radii and tilt are drawn independently of the class. Hence

* one frame, at any time, shows a phase that is uniform in every class, so it tells nothing;
* the sampled frames without their order are, for one scene, the same 16 pictures in every class, byte for byte, so they
  tell nothing either. This also holds after decoding: each sampled frame is a key frame with a constant quantiser.

Straight motions (direction, zoom, rotation) would not do: frames in any order reveal the axis of a straight motion, so
a model without a sense of time would beat chance. Not covered is a *set* of frames other than the sampled ones (another
stride). A mirror swaps clockwise and counter-clockwise, so flips change the label; played backwards, a turn goes the
other way.

Other tasks have other forms, see forms.py: `rhythms` and `speeds` (granularity), `repetition` (counts), `two_movers`
(several labels), `localization`. scenes.py draws the pictures. SETS are the datasets of the suite `severe_toy`.

Files: `videos/<split>/<class>/<name>-<number>.mp4` (no `<class>` if labels are not classes), and `toy.json` with the
parameters. Equal parameters give equal bytes (with the pinned OpenCV, Pillow and PyAV), whatever the number of
processes. A CPU with other vector instructions may round pixels of a few clips differently.
"""

import functools
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from sigma.datasets.toy.forms import FORMS, Form, Label, Motion
from sigma.datasets.toy.scenes import DOMAINS, LEVELS, NUM_PHASES, Look, Pair, Scene
from sigma.errors import DataError, did_you_mean
from sigma.files import write_atomic
from sigma.processes import in_processes, progress_bar
from sigma.video import H264, write_frames

RENDERER_VERSION = 1  # raise it when the same parameters give different pictures
QUANTISER = 20  # H.264's; constant, so that a key frame depends only on its picture


@dataclass(frozen=True)
class ToySpec(Look):
    """The parameters of a rendered dataset; equal ones give equal bytes.

    Attributes:
        domain, level, size: The look.
        seed: For everything that is drawn.
        clips_per_class: (train, test); per split if labels are not classes. None takes the form's own.
        form: A key of FORMS.

    Raises:
        DataError: if a name is unknown, the seed negative, or the size odd or below 32.
    """

    seed: int = 0
    clips_per_class: tuple[int, int] | None = None
    form: str = 'action_recognition'

    def __post_init__(self) -> None:
        for kind, known in (('domain', DOMAINS), ('level', LEVELS), ('form', FORMS)):
            if (asked := getattr(self, kind)) not in known:
                raise DataError(f'{did_you_mean(f"toy {kind}", asked, known)}.')
        if self.seed < 0:
            raise DataError(f'The seed is {self.seed}; it must be at least 0.')
        if self.size < 32 or self.size % 2:
            raise DataError(
                f'Clips of {self.size} pixels cannot be rendered: use an even size of at least 32, such as 64 or 112.'
            )
        if self.clips_per_class is None:
            object.__setattr__(self, 'clips_per_class', FORMS[self.form].num_clips)

    @property
    def num_clips(self) -> tuple[int, int]:
        """(train, test) clips per class, or per split if a label is not a class."""
        return self.clips_per_class or self.the_form.num_clips

    @property
    def the_form(self) -> Form:
        """Labels and motions."""
        return FORMS[self.form]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.the_form.classes

    @property
    def name(self) -> str:
        """Of the dataset and its card: `toy`, `toy_shift_hard`, `toy_speeds`."""
        name = DOMAINS[self.domain].name
        name += '' if self.form == 'action_recognition' else f'_{self.form}'
        return name if self.level == 'easy' else f'{name}_{self.level}'


SETS = {
    spec.name: spec
    for spec in (
        ToySpec(),  # pretraining; few-shot
        ToySpec(domain='shift'),  # domain shift; few-shot
        ToySpec(domain='shift', level='hard'),  # domain shift
        *(ToySpec(form=form) for form in ('rhythms', 'speeds', 'repetition', 'two_movers')),  # the other four columns
    )
}


# ----------------------------------------------------------------------------------------------------------- clips


def clip_frames(spec: ToySpec, split: str, label: Label, number: int) -> np.ndarray:
    """The frames of one clip before encoding: (T, S, S, 3) uint8."""
    for_scene, _ = _generators(spec, split, label, number)
    scene = spec.the_form.draw(for_scene, spec, split)
    return scene_frames(scene, clip_motion(spec, split, label, number))


def clip_motion(spec: ToySpec, split: str, label: Label, number: int) -> Motion:
    """What happens in one clip. Cheap: nothing is rendered."""
    _, for_motion = _generators(spec, split, label, number)
    return spec.the_form.motion(label, number, DOMAINS[spec.domain], for_motion)


def mover_places(spec: ToySpec, path: str) -> np.ndarray:
    """Position of a clip's mover at each frame: (T, 2), x and y of its middle in units of the frame's side.

    Args:
        spec: A form with one mover.
        path: Path of a clip, as in `entries`.
    """
    split, label, number = _clip_of(spec, path)
    for_scene, _ = _generators(spec, split, label, number)
    scene = spec.the_form.draw(for_scene, spec, split)
    assert isinstance(scene, Scene)
    return np.array([scene.place(phase) for phase in clip_motion(spec, split, label, number).places])


def scene_frames(scene: Scene | Pair, motion: Motion) -> np.ndarray:
    """A scene set in motion: (T, S, S, 3) uint8."""
    return np.stack([scene.frame(place) for place in motion.places])


def _generators(spec: ToySpec, split: str, label: Label, number: int) -> tuple[np.random.Generator, ...]:
    """Generators for a clip's scene and its motion; they depend on the label only if it is a class."""
    class_number = spec.classes.index(label) if spec.the_form.label_of is None else 0
    key = [spec.seed, list(DOMAINS).index(spec.domain), ('train', 'test').index(split), class_number, number]
    form = list(FORMS).index(spec.form)
    if form:  # the first form came before the others, and its motions draw nothing
        key = [*key, form]
    return np.random.default_rng(key), np.random.default_rng([*key, 1])


def encode(frames: np.ndarray, fps: int, stride_frames: int) -> bytes:
    """H.264 in mp4, yuv420p, a key frame every `stride_frames`. Equal frames give equal bytes.

    Args:
        frames: (T, H, W, 3) uint8 RGB, H and W even.
    """
    file = io.BytesIO()
    write_frames(file, frames, fps, H264(gop=stride_frames, quantiser=QUANTISER, bitexact=True))
    return file.getvalue()


# ------------------------------------------------------------------------------------------------------ the dataset


def entries(spec: ToySpec) -> dict[str, list[tuple[str, Label]]]:
    """split -> (path under `videos`, label) of every clip, sorted by path.

    File names contain domain, form, level, seed and version, so lists, and their hashes in records, differ if the clips
    do. The size is not part of the name.
    """
    name = DOMAINS[spec.domain].name + ('' if spec.form == 'action_recognition' else f'_{spec.form}')
    name += f'-v{RENDERER_VERSION}-{spec.level}-s{spec.seed}'
    label_of = spec.the_form.label_of
    splits: dict[str, list[tuple[str, Label]]] = {}
    for split, num_clips in zip(('train', 'test'), spec.num_clips):
        files = [(f'{name}-{number:04d}.mp4', number) for number in range(num_clips)]
        if label_of is not None:
            splits[split] = [(f'{split}/{file}', label_of(number)) for file, number in files]
        else:
            splits[split] = [(f'{split}/{label}/{file}', label) for label in spec.classes for file, _ in files]
    return splits


def annotations(spec: ToySpec) -> dict[str, dict] | None:
    """path -> what its label cannot say (`cycles`, `actions`), for every clip; None if labels say everything."""
    paths = [path for pairs in entries(spec).values() for path, _ in pairs]
    found = {path: clip_motion(spec, *_clip_of(spec, path)).annotation for path in paths}
    known = {path: annotation for path, annotation in found.items() if annotation is not None}
    return known if len(known) == len(found) else None


def _clip_of(spec: ToySpec, path: str) -> tuple[str, Label, int]:
    """(split, label, number) of a clip, from its path under `videos`."""
    split, *folder, file = path.split('/')
    number, label_of = int(Path(file).stem.rpartition('-')[2]), spec.the_form.label_of
    return split, folder[0] if label_of is None else label_of(number), number


def render(spec: ToySpec, out: str | Path, workers: int | None = None, progress: bool = True) -> dict:
    """Render a dataset into `out` in parallel processes; existing clips are kept.

    Returns:
        `entries(spec)`.

    Raises:
        DataError: if `out` holds a dataset with other parameters, or anything else. Nothing is changed then.
    """
    out = Path(out)
    _claim(spec, out)
    clips = [path for pairs in entries(spec).values() for path, _ in pairs]
    absent = [path for path in clips if not (out / 'videos' / path).is_file()]
    for folder in {(out / 'videos' / path).parent for path in absent}:
        folder.mkdir(parents=True, exist_ok=True)
    job = functools.partial(_render_clip, spec, out / 'videos')
    with progress_bar('rendering clips', len(absent), progress) as advance:
        for path, result in in_processes(job, absent, workers):
            if result is not None:
                raise DataError(
                    f'The process that rendered {path} died twice ({result.exit_code}); run the command again.'
                )
            advance()
    return entries(spec)


def _claim(spec: ToySpec, out: Path) -> None:
    """Write the parameters to `out`, or check that the ones there are the same."""
    parameters = {**json.loads(json.dumps(asdict(spec))), 'renderer_version': RENDERER_VERSION}
    manifest = out / 'toy.json'
    if manifest.is_file():
        try:
            found = json.loads(manifest.read_text(encoding='utf-8'))
        except ValueError:
            found = {}
        differing = [key for key in parameters if found.get(key) != parameters[key]]
        if differing:
            key = differing[0]
            raise DataError(
                f"'{out}' holds a toy dataset with {key} {found.get(key)!r}, not {parameters[key]!r}: choose "
                'another --out, or remove that folder.'
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"'{out}' exists and is not a toy dataset: choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(manifest, json.dumps(parameters, indent=1) + '\n')


def _render_clip(spec: ToySpec, folder: Path, path: str) -> None:
    cv2.setNumThreads(1)
    domain = DOMAINS[spec.domain]
    frames = clip_frames(spec, *_clip_of(spec, path))
    write_atomic(folder / path, encode(frames, domain.fps, domain.stride_frames), durable=False)


def card(spec: ToySpec) -> dict:
    """The fields of the dataset card that the parameters decide."""
    form, domain = spec.the_form, DOMAINS[spec.domain]
    command = f'python tools/prepare.py toy --out "$SIGMA_DATA/{spec.name}"'
    for option, default in (('form', 'action_recognition'), ('domain', 'main'), ('level', 'easy')):
        if getattr(spec, option) != default:
            command += f' --{option} {getattr(spec, option)}'
    return {
        'name': spec.name,
        'short': spec.name.replace('_', ' '),
        'task': form.task,
        'video_root': 'videos',
        'metric': form.metric,
        'flips_change_label': form.flips_change_label,
        'sampling': {'num_frames': NUM_PHASES, 'stride_frames': form.stride_frames(domain)},
        'size': spec.size,
        'source': 'rendered by sigma/datasets/toy/render.py from photographs inside scikit-image',
        'licence': 'photographs: as scikit-image states beside each, mostly public domain or CC0',
        'prepare': command,
    }
