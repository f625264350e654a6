"""Linear probes of a frozen encoder on SCUBA videos of UCF101 and HMDB51."""

entries = [
    dict(protocol='out_of_context_frozen', dataset='scuba_' + base + '_' + ground, recipe='out_of_context_frozen')
    for base in ('ucf101', 'hmdb51')
    for ground in ('places365', 'vqgan', 'stripe')
]
