"""ViT-S encoder and decoder as published, for 16 frames of 224x224 (8 x 14 x 14 tokens)."""

encoder = dict(type='sigma.VideoViT', arch='small')
decoder = dict(type='sigma.MaskedDecoder', embed_dims=192, depth=4, num_heads=3)
