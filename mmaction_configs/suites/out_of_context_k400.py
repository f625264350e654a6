"""Cells fine-tuned on Kinetics-400, on Mimetics and on its SCUBA and HAT videos."""

entries = [
    dict(protocol='out_of_context', dataset=dataset, recipe='out_of_context_k400')
    for dataset in (
        'mimetics',
        *['scuba_k400_' + ground for ground in ('places365', 'vqgan', 'stripe')],
        *['hat_k400_' + kind for kind in ('background', 'human')],
    )
]
