"""The words of the page, each in a sentence."""

GLOSSARY = {
    'column': 'One question: a protocol on a dataset, with all training clips or a few.',
    'cell': 'One encoder in one column; several seeds make one cell.',
    'record': 'The file that a finished measurement leaves: score, hashes, settings, versions.',
    'protocol': 'How a score is measured, such as fine-tuning or a linear probe; it has a version.',
    'recipe': 'The training settings of a protocol, in one file.',
    'seed': 'The number that all random choices of a run start from. Other seeds give slightly other scores.',
    'n': 'Number of seeds behind a score.',
    'interval': 'The range that holds the true score in 95 of 100 cases, over test videos and, with several seeds, '
    'over seeds.',
    'p': "How often chance alone would give a difference this large. Holm's correction allows for many comparisons.",
    'clear': "p is below 0.05 after Holm's correction, and the 95 % interval of the difference excludes 0.",
    'chance': 'The score of guessing.',
    'commonest class': 'The score of always giving the commonest answer of the test videos.',
    'random': 'The same network with random weights: what the probe or the fine-tuning reaches without pretraining.',
    'top-1 accuracy': 'Percent of videos whose most likely class is the right one.',
    'mean per class': 'Accuracy of each class, averaged over classes, so that rare classes count as much.',
    'mAP': 'Mean average precision: how well the right answers rank above the wrong ones, averaged over classes.',
    'count error': 'How far a count of repetitions is off, divided by the true count; lower is better.',
    '10-a-class, 1000-examples': 'Training on so many clips of each class, or on so many in all.',
    'fine-tuned, frozen': 'The encoder is trained along with the classifier, or stays as it is.',
    'mPC, rPC': 'Mean accuracy over all corruptions and strengths; the same in percent of the clean accuracy.',
    'coverage': 'Percent of the listed videos that were scored. Below 99 % a score counts in no mean or comparison.',
    'published': 'A number from a paper, not measured here.',
    'hash': 'A fingerprint of a file: equal hashes mean equal files.',
}
