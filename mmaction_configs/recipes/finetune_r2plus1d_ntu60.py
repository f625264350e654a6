"""`finetune_r2plus1d` for NTU60: clips of 1 s (16 frames), batch 64, 18 epochs, x0.3 at 9, 14, 16 (SEVERE)."""

_base_ = 'finetune_r2plus1d.py'

recipe = dict(epochs=18, milestones=(9, 14, 16), num_frames=16, batch_size=64)
