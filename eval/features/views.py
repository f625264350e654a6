"""Which frames of a video, and which part of them, an encoder sees: at random in training, in fixed views at test."""

from eval.cells.cell import ResolvedCell
from sigma.errors import DataError, did_you_mean

PACK = {'type': 'mmaction.PackActionInputs', 'meta_keys': ('video', 'position', 'decode_error')}

# How frames are chosen, by the name that recipes and records use; sigma/data/sampling.py compares them.
SAMPLINGS = {
    'dense': {'type': 'sigma.SampleDense'},
    'published': {'type': 'sigma.SamplePublished'},
    'dense_short': {'type': 'sigma.SampleStretched'},
    'segments': {'type': 'sigma.SampleSegments'},
    'published_segments': {'type': 'sigma.SampleSegments', 'offsets': 'published'},
    'seconds': {'type': 'sigma.SampleSeconds'},
}


def control(frames: str | None) -> list[dict]:
    """What takes order (`shuffled`) or motion (`single`) out of clips in a control; nothing by default."""
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
    """Pipeline of an evaluation: fixed views, no randomness, and black frames for what cannot be decoded.

    Args:
        clip: `num_frames` and `size` of the encoder.
        views: `num_clips`, `crops` (1 or 3) and `resize` (`square`, or `short_side` followed by crops).
        stride_frames: Between sampled frames.
        decoder: `decord` or `pyav`.
        frames: See `control`.
        sample: Transform that chooses the frames, where it is not `sigma.SampleDense` at that stride.
        label: Transforms that make the label of what is seen, between sampling and decoding.
    """
    dense = {
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
    """Resize to a square, or the short side (`short_side` pixels, default the crop's) and then one crop or three."""
    if views['resize'] == 'square':
        return [{'type': 'mmaction.Resize', 'scale': (size, size), 'keep_ratio': False}]
    short_side = views.get('short_side', size)
    resize = {'type': 'mmaction.Resize', 'scale': (-1, short_side)}
    if views['crops'] == 1:
        return [resize, {'type': 'mmaction.CenterCrop', 'crop_size': size}]
    if short_side != size:
        raise DataError(f'Three crops of {size} pixels cover a short side of {size}; the recipe asks for {short_side}.')
    return [resize, {'type': 'mmaction.ThreeCrop', 'crop_size': size}]


def sampler(resolved: ResolvedCell, test_mode: bool) -> dict:
    """Transform that chooses the frames of a cell, by its recipe's `sampling` (default `dense`).

    `num_frames` and `stride_frames` of the recipe go before those of the cards; `seconds` takes `clip_fps`, or the
    card's `sampling.fps` divided by the stride, and `short_clips` (`loop`, the default, or `repeat_last`).

    Raises:
        DataError: if the sampling is unknown (with the nearest name), or has no rate.
    """
    recipe, name = resolved.recipe, resolved.recipe.get('sampling', 'dense')
    if name not in SAMPLINGS:
        raise DataError(did_you_mean('sampling', name, SAMPLINGS))
    settings = SAMPLINGS[name] | {'num_frames': num_frames_of(resolved)}
    if name == 'seconds':
        settings |= {'clip_fps': clip_fps(resolved), 'short': recipe.get('short_clips', 'loop')}
    elif 'segments' not in name:
        settings['stride_frames'] = stride_of(resolved)
    return settings | ({'num_clips': recipe['views']['num_clips'], 'test_mode': True} if test_mode else {})


def describe_sampling(resolved: ResolvedCell) -> dict:
    """What a record says of the frames: name, num_frames, stride_frames (None where it is no number of file frames),
    views as CLIPSxCROPS, and clip_fps where clips are taken by time."""
    recipe = resolved.recipe
    name, views = recipe.get('sampling', 'dense'), recipe['views']
    crops = 1 if views['resize'] == 'square' else views['crops']
    by_time = {'clip_fps': clip_fps(resolved)} if name == 'seconds' else {}
    return {
        'name': name,
        'num_frames': num_frames_of(resolved),
        'stride_frames': None if name == 'seconds' or 'segments' in name else stride_of(resolved),
        'views': f'{views["num_clips"]}x{crops}',
        **by_time,
    }


def num_frames_of(resolved: ResolvedCell) -> int:
    """T: the recipe's where it states one, else the encoder's."""
    return resolved.recipe.get('num_frames') or resolved.encoder.info['clip']['num_frames']


def stride_of(resolved: ResolvedCell) -> int:
    """The recipe's stride where it states one, else the dataset's own (frame rates differ), else the encoder's."""
    sampling = resolved.dataset.info.get('sampling') or {}
    stride = resolved.recipe.get('stride_frames') or sampling.get('stride_frames')
    return stride or resolved.encoder.info['clip']['stride_frames']


def clip_fps(resolved: ResolvedCell) -> float:
    """Sampled frames a second of a clip that is taken by time."""
    if resolved.recipe.get('clip_fps'):
        return resolved.recipe['clip_fps']
    fps = (resolved.dataset.info.get('sampling') or {}).get('fps')
    if not fps:
        raise DataError(
            f'Recipe {resolved.cell.recipe} takes clips by time; give it clip_fps, or the card of '
            f'{resolved.dataset.name} sampling.fps.'
        )
    return fps / stride_of(resolved)
