"""What is broken for today's torch in the frame we stand on, mended in one place.

The frame is mmaction2 1.2.0, mmengine 0.10.7 and torchvision's wheel.
Importing `sigma.registry` or `sigma.models` applies all mends; the rest of the code does not know.
Each mend names the issue that it answers and the condition under which it can go.
"""

import importlib.util
import os
import sys
import types
import warnings
from pathlib import Path


def apply() -> None:
    """Apply every mend once; calling it again does nothing."""
    mend_torchvision()
    mend_mmaction_drn()
    mend_mmaction_multimodal()
    mend_checkpoint_reading()
    mend_activation_checkpointing()
    mend_warnings()


def mend_torchvision() -> None:
    """Declare two operators that torchvision's wheel registers only beside a CUDA torch.

    Without them `import torchvision`, and so `import timm`, stops with "operator torchvision::nms does not exist".
    Can go when torchvision ships a wheel for the CPU build of our torch.
    """
    import torch

    if 'torchvision' in sys.modules or torch.version.cuda is not None or hasattr(torch.ops.torchvision, 'nms'):
        return
    library = torch.library.Library('torchvision', 'DEF')
    library.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    library.define('qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    mend_torchvision.library = library  # the schemas live as long as this object


def mend_mmaction_drn() -> None:
    """Stand in for `mmaction.models.localizers.drn`, which wheel and sdist of mmaction2 1.2.0 lack (mmaction2 #2714).

    Can go when a release of mmaction2 holds the folder; until then DRN itself cannot be built.
    """
    spec = importlib.util.find_spec('mmaction')
    if spec is None or spec.origin is None:
        return
    name = 'mmaction.models.localizers.drn'
    if (Path(spec.origin).parent / 'models' / 'localizers' / 'drn').is_dir() or name in sys.modules:
        return
    package, module = types.ModuleType(name), types.ModuleType(f'{name}.drn')
    package.__path__ = []
    module.DRN = type('DRN', (), {'__doc__': 'Stand-in: mmaction2 1.2.0 ships without DRN.'})
    package.drn = module
    sys.modules.update({name: package, f'{name}.drn': module})


def mend_mmaction_multimodal() -> None:
    """Have mmaction2 leave its text-and-video models out beside a transformers that they cannot import.

    Where transformers is installed, `import mmaction.models` imports VindLU, which wants names that transformers has
    moved (`apply_chunking_to_forward`), and every model fails with it. mmaction2's own placeholders then say what is
    missing, as without transformers. Can go when a release of mmaction2 imports beside transformers 5.
    """
    if any(importlib.util.find_spec(name) is None for name in ('transformers', 'mmaction')):
        return
    utilities = Path(importlib.util.find_spec('transformers').origin).with_name('modeling_utils.py')
    wanted = ('apply_chunking_to_forward', 'find_pruneable_heads_and_indices', 'prune_linear_layer')
    if utilities.is_file() and all(name in utilities.read_text(encoding='utf-8') for name in wanted):
        return
    from mmaction.utils import dependency

    dependency.WITH_MULTIMODAL = False


def mend_checkpoint_reading() -> None:
    """Let mmengine's `load_checkpoint` and `resume` read our checkpoints, and nothing that could run code.

    mmengine 0.10.7 cannot read its own checkpoints on torch >= 2.6 (mmengine #1655), and its remedy is
    `weights_only=False`. Ours are safetensors; any other local file is read with `weights_only=True`.
    Can go when mmengine stores plain tensors.
    """
    from mmengine.runner import CheckpointLoader

    def load_from_sigma(filename, map_location):
        from sigma.checkpoints.files import read_training_state, read_weights

        if str(filename).endswith('.safetensors'):
            # To the CPU whatever is asked: loading copies each tensor to where it belongs, on this process's device.
            return read_training_state(filename)
        return {'state_dict': read_weights(filename).tensors, 'meta': {}}

    # An empty prefix matches every local path; URLs keep mmengine's own readers.
    CheckpointLoader.register_scheme(prefixes='', loader=load_from_sigma, force=True)


def mend_activation_checkpointing() -> None:
    """Let `activation_checkpointing` in a config name lists of blocks, in the form that torch recommends.

    mmengine 0.10.7 does not say which form it wants, of which torch warns since 2.4, and replaces the `forward` of
    whatever is named: of `encoder.blocks`, a list that nobody calls, in silence. Can go when it does neither.
    """
    from mmengine.runner import runner

    runner.turn_on_activation_checkpointing = keep_no_activations


def keep_no_activations(model, names: str | list[str]) -> None:
    """Compute the named parts anew in the backward pass, instead of keeping what they computed: memory for time.

    Args:
        model: Holds the parts.
        names: As in `model.named_modules()`; of a list (`encoder.blocks`), each of its parts.

    Raises:
        ValueError: naming a part that the model lacks.
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
                f'activation_checkpointing names {name}, which the model lacks; blocks: {known}.'
            ) from None
        for module in part if isinstance(part, nn.ModuleList) else [part]:
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)


def mend_warnings() -> None:
    """Leave out mmcv-lite's notice on a compiled operator that nothing here calls.

    It would open every log and table. Can go when mmcv-lite does not print it.
    """
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')


def init_cpu_distributed() -> None:
    """Make the gloo group before MMEngine's Runner does.

    `mmengine.dist.init_dist` calls `torch.cuda.set_device`, which fails on a CPU. Can go when it does not.
    """
    import torch.distributed as dist

    if not dist.is_initialized() and 'RANK' in os.environ:
        dist.init_process_group('gloo')


def cpu_model_wrapper() -> dict:
    """Config that wraps a model for DDP on a CPU, where `device_ids` must be None (mmengine passes LOCAL_RANK)."""
    return {'type': 'mmengine.MMDistributedDataParallel', 'broadcast_buffers': False, 'device_ids': None}
