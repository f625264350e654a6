"""`localization_bmn_activitynet`, whose proposals CUHK's video-level scores name: the two best classes of a video.

EXTERNAL_SCORES names the file, as for `localization_external_activitynet`.
"""

_base_ = 'localization_bmn_activitynet.py'

recipe = dict(
    protocol='localization_bmn_external',
    external=dict(scores='{{$EXTERNAL_SCORES:cuhk_val_simp_7.json}}', top=2),
)
