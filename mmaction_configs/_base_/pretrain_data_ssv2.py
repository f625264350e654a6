"""Training clips as published: 16 frames, multi-scale crop to 224, no flip, 90 % of the tubes masked.

Something-Something V2 at stride 2. Its videos are VP9 (.webm), which has no motion vectors, so `codec_pipeline`
needs them re-encoded as H.264.
The pipelines differ in their masks: tubes, along optical flow, or along the motion vectors of the stream.
For a folder that tools/prepare.py made: --data FOLDER
"""

_open = [
    dict(type='sigma.OpenVideo', decoder='proved'),
    dict(type='sigma.SampleDense', num_frames=16, stride_frames=2, short='published'),
]
_read = [*_open, dict(type='sigma.DecodeFrames'), dict(type='sigma.MultiScaleCrop', size=224)]
_read_vectors = [*_open, dict(type='sigma.DecodeFramesAndVectors'), dict(type='sigma.MultiScaleCrop', size=224)]
_mask = dict(type='sigma.MotionMask', grid=(8, 14, 14), mask_ratio=0.9)
_pack = dict(type='sigma.PackPretraining')

tube_pipeline = [*_read, dict(type='sigma.TubeMask', grid=(14, 14), mask_ratio=0.9), _pack]
motion_pipeline = [*_read, dict(_mask, motion='dis'), _pack]
codec_pipeline = [*_read_vectors, dict(_mask, motion='codec'), _pack]
masks4_half_pipeline = [
    *_read,
    dict(type='sigma.TubeMask', grid=(14, 14), mask_ratio=0.9, num_masks=4),
    dict(type='sigma.RunningCell', num_masks=4),
    _pack,
]

train_dataloader = dict(
    batch_size=32,
    num_workers=10,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='sigma.EpochSampler'),
    dataset=dict(type='sigma.VideoClips', card='ssv2', split='train', pipeline=tube_pipeline),
)
del _open, _read, _read_vectors, _mask, _pack  # else they would be in every config
