"""`finetune_r2plus1d` with one clip per video and epoch, as in SEVERE's linear evaluation on Kinetics-400."""

_base_ = 'finetune_r2plus1d.py'

recipe = dict(
    repeats=1,
    departures=[
        dict(
            what='the recipe as a whole',
            published='SEVERE evaluates Kinetics-400 linearly and does not fine-tune on it',
            ours='finetune_r2plus1d with one clip per video and epoch: a choice',
            effect='there is no published number of R(2+1)D-18 to stand beside',
        ),
    ],
)
