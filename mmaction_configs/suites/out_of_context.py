"""Fine-tuned cells on SCUBA and HAT videos of UCF101 and HMDB51, whose background or actor was replaced.

The videos are made by `tools/prepare.py`; see eval/protocols/out_of_context.py.
"""

entries = [
    dict(protocol='out_of_context', dataset=dataset, recipe='out_of_context')
    for dataset in (
        *['scuba_ucf101_' + ground for ground in ('places365', 'vqgan', 'stripe')],
        *['scuba_hmdb51_' + ground for ground in ('places365', 'vqgan', 'stripe')],
        *['hat_ucf101_' + kind for kind in ('background', 'human')],
    )
]
