"""The scope `sigma`: everything a config may name as `sigma.X`. MMEngine finds this module by its name."""

from mmengine import registry as _mmengine

from sigma import compat

compat.apply()


def _child(parent, locations):
    return _mmengine.Registry(parent.name, parent=parent, scope='sigma', locations=locations)


MODELS = _child(_mmengine.MODELS, ['sigma.models'])  # also registers the losses
DATASETS = _child(_mmengine.DATASETS, ['sigma.data.clips', 'sigma.data.labels'])
DATA_SAMPLERS = _child(_mmengine.DATA_SAMPLERS, ['sigma.data.sampler'])
TRANSFORMS = _child(
    _mmengine.TRANSFORMS,
    [f'sigma.data.{name}' for name in ('transforms', 'sampling', 'augment', 'labels', 'mask_transforms')],
)
HOOKS = _child(_mmengine.HOOKS, ['sigma.engine'])
OPTIMIZERS = _child(_mmengine.OPTIMIZERS, ['sigma.engine'])
LOOPS = _child(_mmengine.LOOPS, ['sigma.engine'])
OPTIM_WRAPPERS = _child(_mmengine.OPTIM_WRAPPERS, ['sigma.engine'])
OPTIM_WRAPPER_CONSTRUCTORS = _child(_mmengine.OPTIM_WRAPPER_CONSTRUCTORS, ['sigma.engine'])
METRICS = _child(_mmengine.METRICS, ['sigma.engine'])
RUNNERS = _child(_mmengine.RUNNERS, ['sigma.engine'])
VISBACKENDS = _child(_mmengine.VISBACKENDS, ['sigma.engine'])

# MMEngine's own parts that a config in this scope names without a prefix.
_UNPREFIXED = ('LOG_PROCESSORS', 'VISUALIZERS', 'PARAM_SCHEDULERS', 'EVALUATOR', 'FUNCTIONS')
for _name in (*_UNPREFIXED, 'MODEL_WRAPPERS'):
    _child(getattr(_mmengine, _name), ['sigma.engine'])
