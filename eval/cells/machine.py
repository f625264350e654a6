"""Settings of a run that depend on the machine and do not change its score."""

import contextlib
import os
import signal
import sys
from pathlib import Path

from eval.cells.cell import ResolvedCell
from sigma.data.cards import CONFIG_ROOT, read_config

OWN_PROCESS = 'SIGMA_CELL_PROCESS'  # environment variable


def machine_settings(resolved: ResolvedCell, work_dir: Path) -> dict:
    """Config entries of a training cell: folders, loader workers, hooks, and the checkpoint to resume from."""
    folder = resolved.folder(work_dir)
    runtime = read_config(CONFIG_ROOT / '_base_' / 'default_runtime.py').to_dict()
    hooks = [
        {'type': 'sigma.ThroughputHook'},
        {'type': 'sigma.DiagnosticsHook'},
        {'type': 'sigma.ProgressHook'},
    ]
    if resolved.encoder.checkpoint is not None:
        hooks.append({'type': 'sigma.EncoderWeightsHook'} | resolved.encoder.loading(finetune=True))
    runtime['default_hooks']['checkpoint'] = {
        'type': 'sigma.CheckpointHook',
        'interval_epochs': resolved.recipe['checkpoint_epochs'],
        'keep': 1,
    }
    runtime['default_hooks']['logger']['interval'] = 10
    loaders = {
        name: resolved.config[name] | {'num_workers': num_workers(), 'persistent_workers': num_workers() > 0}
        for name in ('train_dataloader', 'test_dataloader')
    }
    pointer = folder / 'last_checkpoint'
    newest = folder / Path(pointer.read_text().strip()).name if pointer.is_file() else None  # the folder may have moved
    resume = {'resume': True, 'load_from': str(newest)} if newest is not None and newest.is_file() else {}
    runtime = {key: runtime[key] for key in ('default_hooks', 'env_cfg', 'log_processor', 'log_level', 'visualizer')}
    return runtime | loaders | resume | {'custom_hooks': hooks, 'work_dir': str(folder)}


def num_processes() -> int:
    """Processes that train together. Without torch in this process it is the only one, as where a plan is made."""
    if 'torch.distributed' not in sys.modules:
        return 1
    from mmengine.dist import get_world_size

    return get_world_size()


def saving_when_told_to_end() -> contextlib.AbstractContextManager:
    """Inside the block, SIGTERM lets the current step finish; then `CheckpointHook` saves and raises `Preempted`.

    Only in a cell's own process (`OWN_PROCESS`, which eval/run_cell.py sets): the process of a user is not touched.
    """
    if not os.environ.get(OWN_PROCESS):
        return contextlib.nullcontext()
    from sigma.engine.preemption import deferring_signals

    return deferring_signals(signal.SIGTERM)


def num_workers() -> int:
    """Loader processes of a cell: `SIGMA_WORKERS`, which the executor sets from the cores per cell; 0 by default."""
    return int(os.environ.get('SIGMA_WORKERS', '0'))
