"""Mimetics and altered Kinetics-400 videos on a fine-tuned cell."""

_base_ = 'out_of_context.py'

recipe = dict(trained=dict(_delete_=True, vit='finetune_vit_k400_videomae', r2plus1d='finetune_r2plus1d_k400'))
