"""Five probes on the same features of the action recognition sets: one encoder pass for four, one for `frozen_knn`.

`frozen_knn` keeps its published single clip; the others average two.
"""

entries = [
    dict(protocol=protocol, dataset=dataset, recipe=recipe)
    for dataset in ('ssv2', 'k400', 'ucf101', 'hmdb51', 'diving48', 'gym99')
    for protocol, recipe in (
        ('frozen_linear', 'frozen_default'),
        ('frozen_knn', 'frozen_knn'),
        ('frozen_knn_swept', 'frozen_knn_swept'),
        ('frozen_centroid', 'frozen_centroid'),
        ('frozen_sweep', 'frozen_sweep'),
    )
]
