"""Fine-tuned cells on corrupted test videos: UCF101-P, ImageNet-C, Mini Kinetics-C and Mini SSV2-C.

The two fine-tuning entries train the weights that the others measure.
"""

entries = [
    dict(protocol='finetune', dataset='ucf101', recipe='finetune_{family}_ucf101'),
    dict(protocol='finetune', dataset='ssv2', recipe='finetune_{family}_ssv2'),
    dict(protocol='robustness_ucf-p', dataset='ucf101', recipe='robustness_ucf_p'),
    dict(protocol='robustness_imagenet-c', dataset='ucf101', recipe='robustness_imagenet_c'),
    dict(protocol='robustness_kinetics-c', dataset='ucf101', recipe='robustness_kinetics_c'),
    dict(protocol='robustness_ssv2-c', dataset='ssv2', recipe='robustness_ssv2_c'),
]
