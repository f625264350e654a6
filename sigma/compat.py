"""Fixes for mmaction2 1.2.0, mmengine 0.10.7 and torchvision's wheel, which are broken with today's torch.

Importing `sigma.registry` or `sigma.models` applies them all; the rest of the code need not know. (`sigma.losses` and
`sigma.checkpoints` do not apply them. `import sigma` alone applies `fix_torchvision` once torchvision is imported, see
`sigma.mending`.) Each fix names its issue and the condition under which it can be removed.
"""

import importlib.util
import os
import re
import sys
import types
import warnings
from pathlib import Path
from typing import Any

_alive: list = []


def apply() -> None:
    """Apply every fix; a second call does nothing."""
    fix_torchvision()
    fix_slow_import()
    fix_mmaction_drn()
    fix_mmaction_multimodal()
    fix_checkpoint_reading()
    fix_config_templates()
    fix_activation_checkpointing()
    fix_warnings()


def fix_torchvision() -> None:
    """Declare two operators that torchvision's wheel registers only with a CUDA torch.

    Without them, `import torchvision`, and so `import timm`, fails with "operator torchvision::nms does not exist".
    Remove when torchvision ships a wheel for the CPU build of our torch.
    """
    import torch

    if 'torchvision' in sys.modules or torch.version.cuda is not None or hasattr(torch.ops.torchvision, 'nms'):
        return
    library = torch.library.Library('torchvision', 'DEF')
    library.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    library.define('qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    _alive.append(library)  # the schemas live as long as this object


def fix_slow_import() -> None:
    """Import mmengine's optimizers without transformers, which they import for Adafactor alone: a second per start.

    Adafactor stays in the registry; building it imports transformers. Remove when mmengine imports it on first use.
    """
    if 'mmengine.optim' in sys.modules or 'transformers' in sys.modules or not importlib.util.find_spec('transformers'):
        return
    modules: dict[str, Any] = sys.modules
    modules['transformers'] = None  # `import transformers` now raises ImportError, as where it is not installed
    try:
        from mmengine.optim import OPTIMIZERS
    finally:
        del modules['transformers']

    def build_adafactor(params, **settings):  # mmengine looks at the name of the first argument
        from transformers import Adafactor

        return Adafactor(params, **settings)

    OPTIMIZERS.register_module(name='Adafactor', module=build_adafactor)


def fix_mmaction_drn() -> None:
    """Provide a stub for `mmaction.models.localizers.drn`, which is missing from mmaction2 1.2.0 (mmaction2 #2714).

    Remove when a release contains the folder; until then DRN itself cannot be built.
    """
    spec = importlib.util.find_spec('mmaction')
    if spec is None or spec.origin is None:
        return
    name = 'mmaction.models.localizers.drn'
    if (Path(spec.origin).parent / 'models' / 'localizers' / 'drn').is_dir() or name in sys.modules:
        return
    package: Any = types.ModuleType(name)
    module: Any = types.ModuleType(f'{name}.drn')
    package.__path__ = []
    module.DRN = type('DRN', (), {'__doc__': 'A stub: mmaction2 1.2.0 was released without DRN.'})
    package.drn = module
    sys.modules.update({name: package, f'{name}.drn': module})


def fix_mmaction_multimodal() -> None:
    """Make mmaction2 skip its text-and-video models if the installed transformers is too new for them.

    With transformers installed, `import mmaction.models` imports VindLU, which needs names that transformers has moved
    (`apply_chunking_to_forward`), so no model can be imported at all. With this fix, mmaction2 uses its placeholders,
    as it does without transformers. Remove when a release of mmaction2 imports with transformers 5.
    """
    transformers = importlib.util.find_spec('transformers')
    if transformers is None or transformers.origin is None or importlib.util.find_spec('mmaction') is None:
        return
    utilities = Path(transformers.origin).with_name('modeling_utils.py')
    wanted = ('apply_chunking_to_forward', 'find_pruneable_heads_and_indices', 'prune_linear_layer')
    if utilities.is_file() and all(name in utilities.read_text(encoding='utf-8') for name in wanted):
        return
    from mmaction.utils import dependency

    dependency.WITH_MULTIMODAL = False


def fix_checkpoint_reading() -> None:
    """Let mmengine's `load_checkpoint` and `resume` read our checkpoints, but nothing that could run code.

    mmengine 0.10.7 cannot read its own checkpoints on torch >= 2.6 (mmengine #1655); its later fix is
    `weights_only=False`. Ours are safetensors; other local files are read with `weights_only=True`.
    Remove when mmengine stores plain tensors.
    """
    from mmengine.runner import CheckpointLoader

    def load_from_sigma(filename, map_location):
        from sigma.checkpoints.files import read_training_state, read_weights

        if str(filename).endswith('.safetensors'):
            # Always to the CPU: loading then copies each tensor to the device of this process.
            return read_training_state(filename)
        weights = read_weights(filename)
        return {'state_dict': weights.tensors, 'meta': {}, 'header': weights.header}

    # An empty prefix matches every local path; mmengine still reads URLs itself.
    CheckpointLoader.register_scheme(prefixes='', loader=load_from_sigma, force=True)


def fix_config_templates() -> None:
    """Let `{{ fileDirname }}` and `{{$VARIABLE:default}}` of a config hold quotes and backslashes.

    mmengine 0.10.7 pastes the values into the text of the config, so a folder with an apostrophe in its path makes a
    syntax error, and a backslash becomes a slash. `sigma.data.cards.read_config` applies this, also without torch.
    Remove when mmengine escapes the values.
    """
    from mmengine.config import Config

    Config._substitute_predefined_vars = staticmethod(_fill_in_places)
    Config._substitute_env_variables = staticmethod(_fill_in_variables)


def _fill_in_places(filename: str, temp_config_name: str) -> None:
    from sigma.configs import fill_templates

    path = Path(filename)
    places = {
        'fileDirname': str(path.parent),
        'fileBasename': path.name,
        'fileBasenameNoExtension': path.stem,
        'fileExtname': path.suffix,
    }
    template = re.compile(r'\{\{\s*(' + '|'.join(places) + r')\s*\}\}')
    text = fill_templates(path.read_text(encoding='utf-8'), template, lambda found: places[found[1]])
    Path(temp_config_name).write_text(text, encoding='utf-8')


def _fill_in_variables(filename: str, temp_config_name: str) -> dict[str, str]:
    """Returns the environment variables that were used."""
    from sigma.configs import fill_templates

    used = {}

    def value_of(found: re.Match) -> str:
        name, default = found.groups()
        if os.environ.get(name):
            used[name] = os.environ[name]
        value = os.environ.get(name) or default  # empty counts as not set, or '/toy' would come of it
        if not value:
            raise KeyError(f'the environment variable {name} is not set, and the config gives no default')
        return value

    template = re.compile(r"""\{\{['"]?\s*\$(\w+)\s*:\s*(\S*?)\s*['"]?\}\}""")
    text = fill_templates(Path(filename).read_text(encoding='utf-8'), template, value_of)
    Path(temp_config_name).write_text(text, encoding='utf-8')
    return used


def fix_activation_checkpointing() -> None:
    """Let `activation_checkpointing` in a config name lists of blocks, and use the variant that torch recommends.

    mmengine 0.10.7 does not set `use_reentrant`, so torch warns since 2.4. It also replaces the `forward` of whatever
    is named; for `encoder.blocks`, a list that is never called, this silently does nothing. Remove when both are fixed.
    """
    from mmengine.runner import runner

    runner.turn_on_activation_checkpointing = recompute_activations


def recompute_activations(model, names: str | list[str]) -> None:
    """Recompute the activations of the named modules in the backward pass, which saves memory and costs time.

    Args:
        model: Contains the modules.
        names: As in `model.named_modules()`; a list such as `encoder.blocks` means all its members.

    Raises:
        ValueError: naming a module that the model lacks.
    """
    from functools import partial

    from torch import nn
    from torch.utils.checkpoint import checkpoint

    for name in [names] if isinstance(names, str) else names:
        try:
            part = model.get_submodule(name)
        except AttributeError:
            known = ', '.join(n for n, child in model.named_modules() if isinstance(child, nn.ModuleList))
            raise ValueError(
                f'activation_checkpointing names {name}, which the model does not have; blocks: {known}.'
            ) from None
        for module in part if isinstance(part, nn.ModuleList) else [part]:
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)


def fix_warnings() -> None:
    """Hide mmcv-lite's warning about a compiled operator that nothing here calls.

    It would be the first line of every log and table. Remove when mmcv-lite does not print it.
    """
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')


def init_cpu_distributed() -> None:
    """Create the gloo process group before MMEngine's Runner does.

    `mmengine.dist.init_dist` calls `torch.cuda.set_device`, which fails without a GPU. Remove when it does not.
    """
    import torch.distributed as dist

    if not dist.is_initialized() and 'RANK' in os.environ:
        dist.init_process_group('gloo')


def cpu_model_wrapper() -> dict:
    """Config that wraps a model for DDP on a CPU, where `device_ids` must be None (mmengine passes LOCAL_RANK)."""
    return {'type': 'mmengine.MMDistributedDataParallel', 'broadcast_buffers': False, 'device_ids': None}
