"""`localization_activitynet` with class-free proposals, named by CUHK's video-level scores: the two best classes.

As OpenTAD does: all proposals of a video are suppressed together and vote from an IoU of 0.9. Expect 37.07 with TSP
features. The environment variable EXTERNAL_SCORES names the file: `cuhk_val_simp_7.json`, as ActionFormer's and
OpenTAD's users download it.
"""

_base_ = 'localization_activitynet.py'

recipe = dict(
    protocol='localization_external',
    external=dict(scores='{{$EXTERNAL_SCORES:cuhk_val_simp_7.json}}', top=2),
    suppression=dict(class_wise=False, voting=0.9, least_before=0.0),
    departures=[],
)
