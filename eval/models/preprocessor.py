"""Turns decoded samples into a recognizer's input."""

import copy

from mmaction.models.data_preprocessors import ActionDataPreprocessor

from eval.registry import MODELS


@MODELS.register_module()
class VideoPreprocessor(ActionDataPreprocessor):
    """mmaction2's preprocessor for samples of `sigma.VideoClips`: uint8 goes to the device and is normalised there.

    These samples also carry `failures`, which a recognizer does not take; they are left out. In training, the views of
    a sample are repeated augmentations (`sigma.RepeatedAugmentation`). Each becomes a sample of its own with the label
    of its video.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """`inputs` and `data_samples` of a batch.

        Returns:
            `inputs` is (B, V, 3, T, H, W) float at test, and (B * V, 1, 3, T, H, W) in training; V views.
        """
        inputs, samples = data['inputs'], data['data_samples']
        if training:
            # Copies, because blending writes a label of its own into each.
            samples = [copy.deepcopy(sample) for sample, views in zip(samples, inputs) for _ in range(len(views))]
            inputs = [view[None] for views in inputs for view in views]
        return super().forward({'inputs': inputs, 'data_samples': samples}, training)
