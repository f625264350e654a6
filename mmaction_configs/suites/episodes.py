"""Few-shot episodes on frozen features of UCF101 and HMDB51: 5 and 20 classes, 1, 5 and 10 clips of each."""

entries = [
    dict(
        protocol=f'frozen_episodes_{ways}way_{shots}shot',
        dataset=dataset,
        recipe=f'frozen_episodes_{ways}way_{shots}shot',
    )
    for dataset in ('ucf101', 'hmdb51')
    for ways in (5, 20)
    for shots in (1, 5, 10)
]
