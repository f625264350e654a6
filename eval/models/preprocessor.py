"""From decoded samples to a recognizer's input."""

from mmaction.models.data_preprocessors import ActionDataPreprocessor

from eval.registry import MODELS


@MODELS.register_module()
class VideoPreprocessor(ActionDataPreprocessor):
    """mmaction2's preprocessor (uint8 to the device, normalised there), for the samples of `sigma.VideoClips`.

    Those also carry `failures`, which a recognizer does not take.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Returns `inputs` (B, views, 3, T, H, W) float and `data_samples`."""
        return super().forward({key: data[key] for key in ('inputs', 'data_samples')}, training)
