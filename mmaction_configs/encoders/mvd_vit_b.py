"""ViT-B of MVD with RANDOM weights; with a released file, pretrained or fine-tuned, as mvd_vit_b@FILE."""

_base_ = 'vit_b.py'

encoder = dict(positions='mvd', source='MVD (arXiv:2212.04500)')
