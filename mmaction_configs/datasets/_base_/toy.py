"""What the rendered datasets share. `sigma/datasets/toy/` explains them.

They serve to check that everything works and to compare encoders at small scale; none stands for a published dataset.
The list hashes hold for the default seed, level and number of clips, at 64 and at 112 pixels.
"""

# Makes every set of the suite severe_toy: a plan that lacks several of them names this command once.
prepare_together = 'python tools/prepare.py toy --form all --out "$SIGMA_DATA"'

dataset_info = dict(
    video_root='videos',
    delimiter=' ',
    index='index.jsonl',
    sampling=dict(num_frames=16, stride_frames=2),
    size=64,
    source='rendered by sigma/datasets/toy/render.py from photographs inside scikit-image',
    licence='photographs: as scikit-image states beside each, mostly public domain or CC0',
)
