"""`localization_bmn_activitynet` with CUHK's video-level scores naming the proposals: the two best classes per video.

The environment variable EXTERNAL_SCORES names the file, as for `localization_external_activitynet`.
"""

_base_ = 'localization_bmn_activitynet.py'

recipe = dict(
    protocol='localization_bmn_external',
    external=dict(scores='{{$EXTERNAL_SCORES:cuhk_val_simp_7.json}}', top=2),
)
