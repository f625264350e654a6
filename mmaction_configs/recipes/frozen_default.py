"""Logistic regression on frozen features: two clips per video, centre crop, features averaged over the clips."""

recipe = dict(
    protocol='frozen_linear',
    batch_size=8,
    views=dict(num_clips=2, crops=1, resize='short_side'),
    decoder='proved',
    strengths=(1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
    folds=5,
    least_predictions=200,
    max_iterations=2000,
)
