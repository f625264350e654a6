"""`robustness_kinetics_c` on all of Kinetics-400; published for 200 of its classes (Mini Kinetics)."""

_base_ = 'robustness_ucf_p.py'

recipe = dict(
    protocol='robustness_kinetics-c',
    trained=dict(_delete_=True, vit='finetune_vit_k400_videomae', r2plus1d='finetune_r2plus1d_k400'),
)
