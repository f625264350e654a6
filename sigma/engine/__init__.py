from sigma.engine.checkpoint import CheckpointHook, EncoderWeightsHook
from sigma.engine.collapse import CollapseHook
from sigma.engine.diagnostics import DiagnosticsHook
from sigma.engine.knn import OnlineKNN
from sigma.engine.loop import TrainLoop
from sigma.engine.motion import MotionHook
from sigma.engine.optim import Bf16OptimWrapper, ParamGroups
from sigma.engine.progress import ProgressHook
from sigma.engine.runner import Runner
from sigma.engine.scalars import LoggerHook, ScalarsHook
from sigma.engine.throughput import ThroughputHook
from sigma.engine.trackers import MLflowBackend, TensorboardBackend, WandbBackend

__all__ = [
    'Bf16OptimWrapper',
    'CheckpointHook',
    'CollapseHook',
    'DiagnosticsHook',
    'EncoderWeightsHook',
    'LoggerHook',
    'MLflowBackend',
    'MotionHook',
    'OnlineKNN',
    'ParamGroups',
    'ProgressHook',
    'Runner',
    'ScalarsHook',
    'TensorboardBackend',
    'ThroughputHook',
    'TrainLoop',
    'WandbBackend',
]
