"""Runner, hooks and logging of every training. Values that change a score are in the recipes."""

default_scope = 'sigma'
runner_type = 'sigma.Runner'

default_hooks = dict(
    runtime_info=dict(type='sigma.ScalarsHook'),
    timer=dict(type='mmengine.IterTimerHook'),
    logger=dict(type='sigma.LoggerHook', ignore_last=False),  # every step on a CPU, every tenth on a GPU
    param_scheduler=dict(type='mmengine.ParamSchedulerHook'),
    checkpoint=dict(type='sigma.CheckpointHook', interval_epochs=1, keep=2),
    sampler_seed=None,  # the loop tells sigma.EpochSampler its epoch
)
custom_hooks = [
    dict(type='sigma.MotionHook'),  # silent unless motion vectors are read
    dict(type='sigma.ThroughputHook'),
    dict(type='sigma.DiagnosticsHook'),
    dict(type='sigma.CollapseHook'),
    dict(type='sigma.ProgressHook'),
]
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_processor = dict(type='mmengine.LogProcessor', window_size=1, by_epoch=True)
log_level = 'INFO'
randomness = dict(seed=0)
visualizer = dict(type='mmengine.Visualizer', vis_backends=[dict(type='mmengine.LocalVisBackend')])
