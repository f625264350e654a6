"""SEVERE++'s ladder on its four datasets: 1000, 2000, 4000, 8000 clips, and all of them."""

_ladder = dict(group='sample efficiency', protocol='finetune')

entries = [
    dict(_ladder, dataset=dataset, recipe='finetune_{family}_' + recipe, examples=number)
    for dataset, recipe in (('ucf101', 'ucf101'), ('ntu60', 'ntu60'), ('gym99', 'ucf101'), ('ssv2', 'ssv2'))
    for number in (1000, 2000, 4000, 8000, None)
]
