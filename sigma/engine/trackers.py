"""Where scalars go besides the log: TensorBoard, Weights & Biases, MLflow; in groups, and one run for one training.

MMEngine's backends write all names side by side, and begin a new run at every `--resume`.
"""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.visualization.vis_backend import (
    MLflowVisBackend,
    TensorboardVisBackend,
    WandbVisBackend,
    force_init_env,
)

from sigma.errors import DataError
from sigma.files import write_atomic
from sigma.registry import VISBACKENDS

FILE = 'tracker.json'  # in the work directory: tracker -> its name of the run
# Group -> scalars of a training. `knn/top1` has its group already; what is in none of these is in `other`.
GROUPS = {
    'loss': ('loss', 'grad_norm'),  # and all that begin with `loss_`
    'codes': (
        *('row_mass_error', 'prototypes_used', 'code_entropy', 'agreement', 'window_used', 'window_entropy'),
        'assignment_churn',
    ),
    'features': ('feature_std', 'effective_rank', 'target_rank', 'target_spread', 'target_scale'),
    'schedule': ('lr', 'base_lr', 'epoch', 'iter', 'weight_decay', 'momentum'),
    'time': ('time', 'data_time', 'clips_per_second', 'data_wait_percent', 'memory'),
    'data': ('undecodable_videos',),
}
_GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}
_LONGEST = 250  # characters of a setting that MLflow surely takes


def grouped(name: str) -> str:
    """`group/name`; a name with a slash stays."""
    if '/' in name:
        return name
    group = 'loss' if name.startswith('loss_') else _GROUP_OF.get(name, 'other')
    return f'{group}/{name}'


def grouped_scalars(scalars: Mapping[str, Any]) -> dict[str, Any]:
    """The same values under grouped names, without `step`."""
    return {grouped(name): value for name, value in scalars.items() if name != 'step'}


def remembered(folder: str | os.PathLike, tracker: str) -> str | None:
    """What the tracker called the run of this work directory; None if there was none.

    Raises:
        ValueError: if the file is not readable as JSON.
    """
    path = Path(folder) / FILE
    return json.loads(path.read_text()).get(tracker) if path.is_file() else None


def remember(folder: str | os.PathLike, tracker: str, name: str) -> None:
    """Keep the name for later starts of the same training."""
    path = Path(folder) / FILE
    known = json.loads(path.read_text()) if path.is_file() else {}
    write_atomic(path, json.dumps(known | {tracker: name}) + '\n')


@contextmanager
def as_one_sentence(tracker: str, remedy: str) -> Iterator[None]:
    """Inside the block, whatever a tracker raises becomes a DataError: each has errors of its own."""
    try:
        yield
    except Exception as error:
        said = ' '.join(str(error).split())[:300]
        raise DataError(f'--tracker {tracker} cannot begin a run: {said}; {remedy}.') from error


@VISBACKENDS.register_module()
class TensorboardBackend(TensorboardVisBackend):
    """MMEngine's TensorBoard backend with scalars in groups (`GROUPS`)."""

    def add_scalar(self, name: str, value: Any, step: int = 0, **others) -> None:
        """Write one value under its grouped name."""
        super().add_scalar(grouped(name), value, step, **others)


@VISBACKENDS.register_module()
class WandbBackend(WandbVisBackend):
    """Weights & Biases, with scalars in groups over the steps of the training. No code is uploaded.

    A training that goes on continues its run. Steps that a killed run had done after its last checkpoint are logged
    again. Offline with `WANDB_MODE=offline`.

    Args:
        save_dir: As in MMEngine.
        run_dir: Work directory of the training.
        init_kwargs: Further arguments of `wandb.init`, such as `project` (default: `sigma`).
    """

    def __init__(self, save_dir: str, run_dir: str, init_kwargs: dict | None = None) -> None:
        name = remembered(run_dir, 'wandb') or uuid.uuid4().hex[:12]
        self.run_dir, self.run_name = run_dir, name
        ours = {'project': 'sigma', 'name': Path(run_dir).name, 'id': name, 'resume': 'allow', 'dir': run_dir}
        steps = [{'name': '*', 'step_metric': 'step'}]
        super().__init__(save_dir, ours | (init_kwargs or {}), define_metric_cfg=steps)

    def _init_env(self) -> None:
        with as_one_sentence('wandb', 'log in with `wandb login`, or set WANDB_MODE=offline'):
            super()._init_env()
        remember(self.run_dir, 'wandb', self.run_name)

    @force_init_env
    def add_config(self, config, **_) -> None:
        """Record the settings."""
        self._wandb.config.update(config.to_dict(), allow_val_change=True)

    def add_scalar(self, name: str, value: Any, step: int = 0, **_) -> None:
        """Log one value."""
        self.add_scalars({name: value}, step)

    @force_init_env
    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **_) -> None:
        """Log the values of a step."""
        self._wandb.log(grouped_scalars(scalar_dict) | {'step': step})

    def close(self) -> None:
        """End the run."""
        if hasattr(self, '_wandb'):
            self._wandb.finish()


@VISBACKENDS.register_module()
class MLflowBackend(MLflowVisBackend):
    """MLflow, with scalars in groups. A training that goes on continues its run.

    Args:
        save_dir: As in MMEngine.
        run_dir: Work directory of the training. Without a server (`MLFLOW_TRACKING_URI`), the store is `mlruns` there.
        exp_name: Name of the experiment.
    """

    def __init__(self, save_dir: str, run_dir: str, exp_name: str = 'sigma') -> None:
        super().__init__(save_dir, exp_name=exp_name)
        self.run_dir = run_dir

    def _init_env(self) -> None:
        import mlflow

        self._mlflow = mlflow
        if 'MLFLOW_TRACKING_URI' not in os.environ:
            os.environ.setdefault('MLFLOW_ALLOW_FILE_STORE', 'true')  # a folder needs no server and no database
            mlflow.set_tracking_uri((Path(self.run_dir) / 'mlruns').resolve().as_uri())
        known = remembered(self.run_dir, 'mlflow')
        with as_one_sentence(
            'mlflow', 'check MLFLOW_TRACKING_URI, or leave it unset for a store in the work directory'
        ):
            mlflow.set_experiment(self._exp_name)
            run = mlflow.start_run(run_id=known, run_name=None if known else Path(self.run_dir).name)
        self._is_new = known is None
        remember(self.run_dir, 'mlflow', run.info.run_id)

    @force_init_env
    def add_config(self, config, **_) -> None:
        """Record the settings as parameters, which MLflow never changes, and the whole text as `config.py`."""
        if self._is_new:
            settings = {name: str(value)[:_LONGEST] for name, value in self._flatten(config.to_dict()).items()}
            self._mlflow.log_params(settings)
        self._mlflow.log_text(config.pretty_text, 'config.py')

    def add_scalar(self, name: str, value: Any, step: int = 0, **_) -> None:
        """Log one value."""
        self.add_scalars({name: value}, step)

    @force_init_env
    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **_) -> None:
        """Log the values of a step."""
        self._mlflow.log_metrics({name: float(v) for name, v in grouped_scalars(scalar_dict).items()}, step)

    def close(self) -> None:
        """End the run."""
        if hasattr(self, '_mlflow'):
            self._mlflow.end_run()
