"""`finetune_r2plus1d` for Something-Something v2: 22 epochs of 2 clips a video, x0.3 at 12, 17, 20.

SEVERE flips clips here too; ours does not where the card says that a flip changes the label. `.._ssv2_flip` does.
"""

_base_ = 'finetune_r2plus1d.py'

recipe = dict(epochs=22, repeats=2, milestones=(12, 17, 20))
