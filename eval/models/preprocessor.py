"""From decoded samples to a recognizer's input."""

import copy

from mmaction.models.data_preprocessors import ActionDataPreprocessor

from eval.registry import MODELS


@MODELS.register_module()
class VideoPreprocessor(ActionDataPreprocessor):
    """mmaction2's preprocessor (uint8 to the device, normalised there), for the samples of `sigma.VideoClips`.

    Those also carry `failures`, which a recognizer does not take. In training, the views of a sample are repeated
    augmentations (`sigma.RepeatedAugmentation`): each becomes a sample of the batch, with the label of its video.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Returns `inputs` (B, views, 3, T, H, W) float, in training (B * views, 1, 3, T, H, W), and `data_samples`."""
        inputs, samples = data['inputs'], data['data_samples']
        if training:
            # Copies, since blending writes each its own label.
            samples = [copy.deepcopy(sample) for sample, views in zip(samples, inputs) for _ in range(len(views))]
            inputs = [view[None] for views in inputs for view in views]
        return super().forward({'inputs': inputs, 'data_samples': samples}, training)
