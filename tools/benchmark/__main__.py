"""Speed and memory against what others would use. A sub-command a question; each prints both sides and their ratio.

    python -m tools.benchmark finetune [--arch base] [--frames 16] [--size 224] [--batch 8] [--steps 10] [--device cuda]
    python -m tools.benchmark corruptions [--size 256] [--frames 16] [--names fog rain]
    python -m tools.benchmark pretrain [--variant mlp|dino] [--arch base] [--plain-precision bf16] [--compile]
    python -m tools.benchmark sinkhorn [--samples 56320] [--prototypes 3000]
    python -m tools.benchmark input CONFIG [CONFIG ...] [--clips 32]
    python -m tools.benchmark localization [--parts extraction metric head] [--arch base]
    python -m tools.benchmark matrix [--kind light|torch|finetune] [--cells 6] [--no-forks]

`finetune`: one step (forward, backward, AdamW) of our encoder and head against mmaction2's `VisionTransformer` and
`TimeSformerHead` with the same weights, on the same batch, neither with gradient checkpointing. Steps of the two
alternate, so that what else the machine does falls on both. Memory is measured in a process of its own for each:
the allocator's peak on a GPU, the resident peak of the process on a CPU (its imports included, and beside it without
them). Goals on a GPU, ViT-B 16x224: at most 0.8 of the time and 0.6 of the memory.

`corruptions`: milliseconds that a frame takes on one core, over all severities. Goals: none above 15, median at most 3.
`pretrain`: our pretraining step against the same step written plainly, and operations a second against the peak;
`sinkhorn`: the codes alone (tools/benchmark/pretrain.py). `input`: clips a second and core of a config's pipeline by
decoder, what bounds its training, and the remedy (tools/benchmark/input.py). `localization`: extraction of sliding
clips, the metric, and the memory of the head (tools/benchmark/localization.py). `matrix`: what a cell costs beyond its
own work (tools/benchmark/matrix.py); goal: at most 1 s.
"""

import argparse
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]


def main(argv: list[str] | None = None) -> int:
    """Measure, print, return the exit status."""
    args = parse(argv)
    try:
        args.run(args)
    except ValueError as error:
        print(f'benchmark: {error}', file=sys.stderr)
        return 2
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    from tools.benchmark.corruptions import add_corruptions
    from tools.benchmark.finetune import add_finetune
    from tools.benchmark.input import add_input
    from tools.benchmark.localization import add_localization
    from tools.benchmark.matrix import add_matrix
    from tools.benchmark.pretrain import add_pretrain, add_sinkhorn

    parser = argparse.ArgumentParser(
        prog='benchmark', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True)
    for add in (add_finetune, add_corruptions, add_pretrain, add_sinkhorn, add_input, add_localization, add_matrix):
        add(commands)
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main())
