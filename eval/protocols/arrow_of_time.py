"""Fine-tuning to tell videos that play forwards from videos that play backwards.

Versions: 1 (2026-11-22).
"""

from eval.cells.cell import ResolvedCell
from eval.protocols.finetune import Finetune


class ArrowOfTime(Finetune):
    """Two classes, forwards and backwards; the labels of the data set are not looked at.

    Each training clip is turned around with probability 1/2. At test every video is scored in both directions, as two
    entries, so that half of them are backwards exactly. A horizontal flip does not change this label, but follows the
    data set's card all the same.
    """

    name = 'arrow_of_time'
    version = 1
    source = 'the arrow-of-time column of SEVERE++ (arXiv:2504.05706), whose settings were not found'
    metric = 'top1'
    task = ''

    def num_classes(self, resolved: ResolvedCell) -> int:
        """Forwards and backwards."""
        return 2

    def labels(self, resolved: ResolvedCell, training: bool) -> tuple[dict, ...]:
        """Drawn in training, both in testing."""
        return ({'type': 'sigma.PlayDirection', 'probability': 0.5 if training else None},)

    def test_source(self, resolved: ResolvedCell) -> dict:
        """Every video of the test list, in both directions."""
        source = super().test_source(resolved)
        return source | {'type': 'sigma.BothDirections', 'seed': resolved.cell.seed}

    def notes(self, resolved: ResolvedCell) -> list[str]:
        """What listed and scored count here."""
        return ['every video is listed and scored twice, forwards and backwards']
