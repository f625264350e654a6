"""One view of the whole frame; strengths of the logistic regression to choose from."""

recipe = dict(
    protocol='frozen_linear',
    batch_size=64,
    views={'num_clips': 1, 'crops': 1, 'resize': 'square'},
    decoder='decord',
    strengths=(0.0001, 0.001, 0.01, 0.1, 1.0),
    held_out_share=0.2,
    max_iterations=2000,
)
