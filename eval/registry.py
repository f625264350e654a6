"""The scope `eval`: what a config may name as `eval.X`. MMEngine finds this module by its name."""

from mmengine import registry as _mmengine

import sigma.registry  # noqa: F401 - mends what is broken below us, and opens the scope `sigma`

MODELS = _mmengine.Registry('model', parent=_mmengine.MODELS, scope='eval', locations=['eval.models'])
METRICS = _mmengine.Registry('metric', parent=_mmengine.METRICS, scope='eval', locations=['eval.models.evaluator'])
