"""Speed and memory of our code against what others would use. One sub-command per question.

    python -m tools.benchmark finetune [--arch base] [--frames 16] [--size 224] [--batch 8] [--steps 10] [--device cuda]
    python -m tools.benchmark corruptions [--size 256] [--frames 16] [--names fog rain]
    python -m tools.benchmark pretrain [--variant mlp|dino] [--arch base] [--plain-precision bf16] [--compile]
    python -m tools.benchmark sinkhorn [--samples 56320] [--prototypes 3000]
    python -m tools.benchmark input CONFIG [CONFIG ...] [--clips 32]
    python -m tools.benchmark readers FILE [FILE ...] [--clips 40]
    python -m tools.benchmark localization [--parts extraction metric head] [--arch base]
    python -m tools.benchmark matrix [--kind light|torch|finetune] [--cells 6] [--no-forks]
    python -m tools.benchmark report [--records 2000] [--predictions 4000] [--classes 100] [--work-dir DIR]
    python -m tools.benchmark statistics [--tables 2000] [--seeds 1 3 5] [--rows share count] [--jobs 1]

`finetune`: one step (forward, backward, AdamW) of our encoder and head against mmaction2's `VisionTransformer` and
`TimeSformerHead`, with the same weights on the same batch, both without gradient checkpointing. The two sides take
steps in turn, so that other load on the machine affects both. Memory is measured in a separate process per side: the
allocator's peak on a GPU, the peak of resident memory on a CPU, with and without imports. Goals on a GPU, ViT-B 16x224:
at most 0.8 of the time and 0.6 of the memory.

`corruptions`: ms per frame on one core, over all severities. Goals: at most 15 for each, median at most 3.
`pretrain`: our pretraining step against a plain version of it, and the share of the device's peak.
`sinkhorn`: only the Sinkhorn codes.
`input`: clips per second and core of a config, by decoder; what limits its training; the remedy.
`readers`: wrong clips and clips per second of each reader, and the cost of its proof (docs/reading.md).
`localization`: extraction of sliding clips, the metric, and the memory of the head.
`matrix`: overhead of a cell. Goal: at most 1 s.
`report`: seconds and memory of table, figures and page. Goals on one core: 60 s and 1 GB.
`statistics`: how often intervals hold the truth and verdicts are false, on simulated tables. Goals: 93 to 97 % of the
intervals, at most 5 % of the tables with a false verdict.
"""

import argparse
import sys
from pathlib import Path

from sigma.commands import Parser

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]


def main(argv: list[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    args = parse(argv)
    try:
        args.run(args)
    except ValueError as error:
        print(f'benchmark: {error}', file=sys.stderr)
        return 2
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    from tools.benchmark.corruptions import add_corruptions
    from tools.benchmark.finetune import add_finetune
    from tools.benchmark.input import add_input
    from tools.benchmark.localization import add_localization
    from tools.benchmark.matrix import add_matrix
    from tools.benchmark.pretrain import add_pretrain, add_sinkhorn
    from tools.benchmark.readers import add_readers
    from tools.benchmark.report import add_report
    from tools.benchmark.simulations import add_statistics

    parser = Parser(prog='benchmark', description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True)
    adders = (add_finetune, add_corruptions, add_pretrain, add_sinkhorn, add_input, add_readers)
    for add in (*adders, add_localization, add_matrix, add_report, add_statistics):
        add(commands)
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main())
