"""Five probes on the same features of small real footage: name it with `--datasets FOLDER`."""

entries = [
    dict(protocol=f'frozen_{probe}', dataset='toy', recipe=f'frozen_{recipe}')
    for probe, recipe in (
        ('linear', 'demo'),
        ('knn', 'knn_demo'),
        ('knn_swept', 'knn_swept_demo'),
        ('centroid', 'centroid_demo'),
        ('sweep', 'sweep_demo'),
    )
]
