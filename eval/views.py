"""Test views: which frames and which part of them an encoder sees."""


def control(frames: str | None) -> list[dict]:
    """What takes order (`shuffled`) or motion (`single`) out of clips in a control; nothing by default."""
    return [] if frames is None else [{'type': 'sigma.FrameOrder', 'mode': frames}]


def evaluation_pipeline(
    clip: dict, views: dict, stride_frames: int, decoder: str, frames: str | None = None
) -> list[dict]:
    """Pipeline of an evaluation: fixed views, no randomness, and black frames for what cannot be decoded.

    Args:
        clip: `num_frames` and `size` of the encoder.
        views: `num_clips`, `crops` (1 or 3) and `resize` (`square`, or `short_side` followed by crops).
        stride_frames: Between sampled frames.
        decoder: `decord` or `pyav`.
        frames: See `control`.
    """
    return [
        {'type': 'sigma.OpenVideo', 'decoder': decoder, 'on_error': 'blank'},
        {
            'type': 'sigma.SampleDense',
            'num_frames': clip['num_frames'],
            'stride_frames': stride_frames,
            'num_clips': views['num_clips'],
            'test_mode': True,
        },
        {'type': 'sigma.DecodeFrames', 'blank_size': clip['size']},
        *control(frames),
        *spatial_views(clip['size'], views),
        {'type': 'mmaction.FormatShape', 'input_format': 'NCTHW'},
        PACK,
    ]


PACK = {'type': 'mmaction.PackActionInputs', 'meta_keys': ('video', 'position', 'decode_error')}


def spatial_views(size: int, views: dict) -> list[dict]:
    """Resize to a square, or the short side and then the centre crop or three crops."""
    if views['resize'] == 'square':
        return [{'type': 'mmaction.Resize', 'scale': (size, size), 'keep_ratio': False}]
    resize = {'type': 'mmaction.Resize', 'scale': (-1, size)}
    crop = {1: 'mmaction.CenterCrop', 3: 'mmaction.ThreeCrop'}[views['crops']]
    return [resize, {'type': crop, 'crop_size': size}]


def stride_of(resolved) -> int:
    """The dataset's own stride where its card states one (frame rates differ), else the encoder's."""
    sampling = resolved.dataset.info.get('sampling') or {}
    return sampling.get('stride_frames') or resolved.encoder.info['clip']['stride_frames']
