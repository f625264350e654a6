"""Tiny video transformer for 16 frames of 64x64 (8 x 4 x 4 tokens), for CPUs."""

encoder = dict(type='sigma.VideoViT', arch='tiny', image_size=64, num_frames=16, patch_size=16, tubelet_size=2)
decoder = dict(type='sigma.MaskedDecoder', embed_dims=64, depth=2, num_heads=2)
