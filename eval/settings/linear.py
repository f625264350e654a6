"""Settings of the protocols that train a linear layer on a frozen encoder: `linear`, `linear_fixed_norm`."""

from eval.settings.finetune import FINETUNE
from sigma.settings import Setting, Settings

LINEAR = FINETUNE + Settings(
    (
        Setting(
            'trunk_mode',
            str,
            'Mode of the frozen encoder in training: `train` keeps dropout and drop path on (BatchNorm stays fixed).',
            default='train',
            choices=('train', 'eval'),
        ),
    )
)
