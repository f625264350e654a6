"""`finetune_vit` as VideoMAE publishes it for UCF101; our choice for FineGym, Diving48, HMDB51 and the 1000-clip sets.

SIGMA's code knows those data sets, but no launch script for them is published, so columns other than UCF101 measured
with this are a choice and not a reproduction. 100 epochs, layer decay 0.7, drop path 0.2, dropout 0.5, 5 x 3 views,
total batch 128 (16 clips x 8), 5e-4 for each 256, two augmentations of every clip in the batch. Crops stay those of
SIGMA's code, 0.25-1 of the area, since SIGMA's columns are what one compares with; VideoMAE's are 0.08-1.
"""

_base_ = 'finetune_vit.py'

recipe = dict(
    base_lr=5e-4,
    layer_decay=0.7,
    batch_size=16,
    accumulate=8,
    num_sample=2,
    drop_path=0.2,
    head_dropout=0.5,
    views=dict(num_clips=5, crops=3),
)
