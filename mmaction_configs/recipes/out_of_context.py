"""Altered UCF101 and HMDB51 videos on a cell fine-tuned by `finetune_{family}_ucf101`, at the size of the file."""

recipe = dict(protocol='out_of_context', trained='finetune_{family}_ucf101', working_short_side=None, block_videos=200)
