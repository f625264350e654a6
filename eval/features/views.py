"""Which frames and crops of a video an encoder sees: how frames are sampled, and the fixed views at test time."""

from typing import Any

from eval.cells.cell import ResolvedCell
from sigma.errors import DataError, did_you_mean

PACK = {'type': 'mmaction.PackActionInputs', 'meta_keys': ('video', 'position', 'decode_error')}

# Frame samplings, by the name in recipes and records; sigma/data/sampling.py compares them.
SAMPLINGS = {
    'dense': {'type': 'sigma.SampleDense'},
    'published': {'type': 'sigma.SamplePublished'},
    'dense_short': {'type': 'sigma.SampleStretched'},
    'segments': {'type': 'sigma.SampleSegments'},
    'published_segments': {'type': 'sigma.SampleSegments', 'offsets': 'published'},
    'seconds': {'type': 'sigma.SampleSeconds'},
    'published_seconds': {'type': 'sigma.SamplePublishedSeconds'},
}
BY_TIME = ('seconds', 'published_seconds')


def control(frames: str | None) -> list[dict]:
    """Transforms of a control that removes order (`shuffled`) or motion (`single`) from clips; none by default."""
    return [] if frames is None else [{'type': 'sigma.FrameOrder', 'mode': frames}]


def evaluation_pipeline(
    clip: dict,
    views: dict,
    stride_frames: int,
    decoder: str,
    frames: str | None = None,
    sample: dict | None = None,
    label: tuple[dict, ...] = (),
) -> list[dict]:
    """Evaluation pipeline: fixed views, no randomness, and black frames instead of videos that cannot be decoded.

    Args:
        clip: `num_frames` and `size` (pixels) of the encoder.
        views: `num_clips`, `crops` (1 or 3) and `resize` (`square`, or `short_side` followed by crops); further keys in
            `spatial_views`.
        stride_frames: Video frames from one sampled frame to the next.
        decoder: `proved`, or a name in `sigma.video.READERS`.
        frames: See `control`.
        sample: Transform that chooses the frames; default `sigma.SampleDense` with `stride_frames`.
        label: Transforms between sampling and decoding that make the label from the chosen frames.
    """
    dense: dict[str, Any] = {
        'type': 'sigma.SampleDense',
        'num_frames': clip['num_frames'],
        'stride_frames': stride_frames,
        'num_clips': views['num_clips'],
        'test_mode': True,
    }
    return [
        {'type': 'sigma.OpenVideo', 'decoder': decoder, 'on_error': 'blank'},
        sample or dense,
        *label,
        {'type': 'sigma.DecodeFrames', 'blank_size': clip['size']},
        *control(frames),
        *spatial_views(clip['size'], views),
        {'type': 'mmaction.FormatShape', 'input_format': 'NCTHW'},
        PACK,
    ]


def spatial_views(size: int, views: dict) -> list[dict]:
    """Resize to a square; or resize the short side (`short_side` pixels, default `size`), then take one crop or three.

    With `resampling` in the views, size and places of the crops are those of the published loaders, to the pixel
    (`sigma.ResizeShortSide`; `middle` is for `sigma.FixedCrops`); without it, those of mmaction2, by OpenCV.

    Raises:
        DataError: if three crops are asked for with a short side other than `size`.
    """
    if views['resize'] == 'square':
        return [{'type': 'mmaction.Resize', 'scale': (size, size), 'keep_ratio': False}]
    short_side, crops = views.get('short_side', size), views['crops']
    if crops != 1 and short_side != size:
        raise DataError(f'Three crops of {size} pixels cover a short side of {size}; the recipe asks for {short_side}.')
    if 'resampling' in views:
        return [
            {'type': 'sigma.ResizeShortSide', 'side': short_side, 'resampling': views['resampling']},
            {'type': 'sigma.FixedCrops', 'size': size, 'num_crops': crops, 'middle': views.get('middle', 'down')},
        ]
    resize = {'type': 'mmaction.Resize', 'scale': (-1, short_side)}
    if crops == 1:
        return [resize, {'type': 'mmaction.CenterCrop', 'crop_size': size}]
    return [resize, {'type': 'mmaction.ThreeCrop', 'crop_size': size}]


def sampler(resolved: ResolvedCell, test_mode: bool) -> dict:
    """The transform that chooses a cell's frames, from its recipe's `sampling` (default `dense`).

    `num_frames` and `stride_frames` of the recipe override those of the cards. `seconds` and `published_seconds` use
    `clip_fps`, or else the card's `sampling.fps` divided by the stride; `seconds` also `short_clips` (`loop`, the
    default, or `repeat_last`).

    Raises:
        DataError: if the sampling is unknown, or sampling by time has no rate.
    """
    recipe, name = resolved.recipe, resolved.recipe.get('sampling', 'dense')
    if name not in SAMPLINGS:
        raise DataError(did_you_mean('sampling', name, SAMPLINGS))
    settings: dict[str, Any] = SAMPLINGS[name] | {'num_frames': num_frames_of(resolved)}
    if name in BY_TIME:
        settings['clip_fps'] = clip_fps(resolved)
        if name == 'seconds':
            settings['short'] = recipe.get('short_clips', 'loop')
    elif 'segments' not in name:
        settings['stride_frames'] = stride_of(resolved)
    return settings | ({'num_clips': recipe['views']['num_clips'], 'test_mode': True} if test_mode else {})


def describe_sampling(resolved: ResolvedCell) -> dict:
    """The record's `sampling` field.

    It has `name`, `num_frames`, `stride_frames` (None if clips are not taken at a fixed stride of file frames), `views`
    as CLIPSxCROPS, `clip_fps` if clips are taken by time, and `stills` (repeats) if they are made of images.
    """
    recipe = resolved.recipe
    name, views = recipe.get('sampling', 'dense'), recipe['views']
    crops = 1 if views['resize'] == 'square' else views['crops']
    by_time: dict[str, Any] = {'clip_fps': clip_fps(resolved)} if name in BY_TIME else {}
    return {
        'name': name,
        'num_frames': num_frames_of(resolved),
        'stride_frames': None if name in BY_TIME or 'segments' in name else stride_of(resolved),
        'views': f'{views["num_clips"]}x{crops}',
        **by_time,
        **({'stills': num_frames_of(resolved)} if resolved.dataset.info.get('stills') else {}),
    }


def notes_on_stills(resolved: ResolvedCell) -> list[str]:
    """A sentence for the record where clips are made of images; none for videos."""
    if not resolved.dataset.info.get('stills'):
        return []
    return [f'stills: an image repeated {num_frames_of(resolved)} times']


def num_frames_of(resolved: ResolvedCell) -> int:
    """Frames of a clip: the recipe's if it gives them, else the encoder's."""
    return resolved.recipe.get('num_frames') or resolved.encoder.info['clip']['num_frames']


def stride_of(resolved: ResolvedCell) -> int:
    """Stride in frames: the recipe's, else the dataset's (frame rates differ), else the encoder's."""
    sampling = resolved.dataset.info.get('sampling') or {}
    stride = resolved.recipe.get('stride_frames') or sampling.get('stride_frames')
    return stride or resolved.encoder.info['clip']['stride_frames']


def clip_fps(resolved: ResolvedCell) -> float:
    """Sampled frames per second of clips that are taken by time.

    Raises:
        DataError: if neither recipe nor dataset card gives a rate.
    """
    if resolved.recipe.get('clip_fps'):
        return resolved.recipe['clip_fps']
    fps = (resolved.dataset.info.get('sampling') or {}).get('fps')
    if not fps:
        raise DataError(
            f'Recipe {resolved.cell.recipe} takes clips by time but gives no rate; add clip_fps to it, or '
            f'sampling.fps to the card of {resolved.dataset.name}.'
        )
    return fps / stride_of(resolved)
