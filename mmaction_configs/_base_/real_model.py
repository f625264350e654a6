"""Tiny video transformer for 16 frames of 56x56 (8 x 4 x 4 tokens); its patches of 14 are those of DINOv2."""

encoder = dict(type='sigma.VideoViT', arch='tiny', image_size=56, num_frames=16, patch_size=14, tubelet_size=2)
decoder = dict(type='sigma.MaskedDecoder', embed_dims=64, depth=2, num_heads=2)
