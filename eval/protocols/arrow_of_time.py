"""Fine-tuning to tell videos that play forwards from videos that play backwards.

Versions: 1 (2026-11-22).
"""

from eval.cells.cell import ResolvedCell
from eval.protocols.base import Departure
from eval.protocols.finetune import Finetune


class ArrowOfTime(Finetune):
    """Two classes, forwards and backwards; the dataset's own labels are not used.

    Each training clip is reversed with probability 1/2. At test every video is scored in both directions, as two
    entries, so exactly half of them are backwards. A horizontal flip would not change this label, but the card of the
    dataset still decides on flips.
    """

    name = 'arrow_of_time'
    version = 1
    source = 'the arrow-of-time column of SEVERE++ (arXiv:2504.05706), whose settings were not found'
    departures = (
        Departure(
            what='The protocol as a whole',
            published='a column of SEVERE++ whose code, videos and settings were not found',
            ours='every test video in both directions, clips reversed with probability 1/2 in training: a choice',
            effect='the published column is not reproduced',
        ),
        *Finetune.departures,
    )
    metric = 'top1'
    task = ''

    def num_classes(self, resolved: ResolvedCell) -> int:
        """Forwards and backwards."""
        return 2

    def labels(self, resolved: ResolvedCell, training: bool) -> tuple[dict, ...]:
        """The direction: drawn in training, given by the entry at test."""
        return ({'type': 'sigma.PlayDirection', 'probability': 0.5 if training else None},)

    def test_source(self, resolved: ResolvedCell) -> dict:
        """Every video of the test list, in both directions."""
        source = super().test_source(resolved)
        return source | {'type': 'sigma.BothDirections', 'seed': resolved.cell.seed}

    def notes(self, resolved: ResolvedCell) -> list[str]:
        """What the numbers of listed and scored videos count here."""
        return ['every video is listed and scored twice, forwards and backwards']
