"""Settings of the protocols that show altered videos to a trained cell."""

from eval.settings.common import BATCH, BLOCK, RECIPE, SEVERITIES, TRAINED
from sigma.settings import Setting, Settings

_LEAST_SIDE = 32  # pixels; eval.corruptions.corruption.LEAST_SIDE, which a test compares


def _side(default: int | None, least: int) -> Setting:
    return Setting(
        'working_short_side',
        int,
        'Pixels to which videos are resized before they are altered; None keeps the size of the file.',
        default=default,
        none=True,
        least=least,
    )


_DIAGNOSTICS = Setting(
    'diagnostics',
    [[object]],
    '(name, severity) of what is shown besides and enters no mean.',
    default=(('clip_reverse', 1), ('clip_shuffle', 1), ('clip_freeze', 5)),
)
ROBUSTNESS_SUITE = RECIPE + Settings((TRAINED, SEVERITIES, _side(256, _LEAST_SIDE), _DIAGNOSTICS, BLOCK))
ROBUSTNESS = ROBUSTNESS_SUITE + Settings(
    (Setting('corruptions', [str], 'Names of the corruptions; `--list corruptions` has them.'),)
)
LOCALIZATION_ROBUSTNESS = RECIPE + Settings(
    (
        Setting('trained', TRAINED.kind, 'Recipe of the trained `localization` cell; or a dict of family to recipe.'),
        Setting('corruptions', [str], 'Names in tal-c; None: all five.', default=None),
        Setting('severities', [int], 'Lengths of the block.', default=(1, 2, 3), least=1, most=3),
        _side(256, _LEAST_SIDE),
        BATCH,
    )
)
OUT_OF_CONTEXT = RECIPE + Settings((TRAINED, _side(None, 1), BLOCK))
