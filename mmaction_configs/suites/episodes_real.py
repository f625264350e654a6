"""Few-shot episodes on small real footage: name it with `--datasets FOLDER`."""

entries = [
    dict(
        protocol=f'frozen_episodes_5way_{shots}shot',
        dataset='toy',
        recipe=f'frozen_episodes_5way_{shots}shot_demo',
    )
    for shots in (1, 5, 10)
]
