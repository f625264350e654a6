"""Checkpoints: the file format, the key names of other code bases, and how an encoder is loaded.

Loading an encoder takes four steps, all called from `encoder.load_encoder_weights`:

    1. files.read_weights       file -> tensors under the names in the file; never runs code from a pickle
    2. layouts.to_ours          those tensors -> our names; anything that has no place is listed
    3. layouts.from_ours        our names -> the names of the backbone (ours, or mmaction2's)
    4. files.load_strictly      into the module; a missing, extra or misshapen tensor is an error

    files.py        reading and writing: safetensors, atomic, hashed
    pickles.py      reading PyTorch files without running anything      kinds.py    what a file really is
    layouts.py      which layout a file has, and the way in (`to_ours`) and out (`from_ours`)
    names.py        our own names, and the checks on a converted transformer
    published.py    SIGMA, VideoMAE, MGMAE, MVD         hf.py       transformers' VideoMAE, ViT, Dinov2
    mmaction.py     mmaction2's VisionTransformer       image.py    timm, DINO, DINOv2
    severe.py       R(2+1)D-18 of the methods in SEVERE
    encoder.py      loading an encoder             described.py    what a weights file says about itself

`sigma.load_encoder` (sigma/models/pretrained.py) also builds the model.
"""
