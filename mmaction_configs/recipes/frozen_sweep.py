"""52 linear heads trained as one model; the head is chosen on held-out training clips. Views of `frozen_default`."""

recipe = dict(
    protocol='frozen_sweep',
    batch_size=8,
    views=dict(num_clips=2, crops=1, resize='short_side'),
    decoder='proved',
    learning_rates=(1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0),
    weight_decays=(0.0, 1e-3),
    poolings=('mean', 'time'),
    epochs=50,
    step_clips=256,
    held_out=0.2,
)
