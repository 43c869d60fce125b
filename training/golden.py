"""What the images that travel with a bundle give, for the service's self-test to compare with.

Axes: B images, H height, W width, C channels.
"""

from collections.abc import Sequence

import numpy as np

from models.encoder import OnnxEncoder
from models.head import Head
from models.outputs import Outputs
from models.preprocess import Preprocess


def golden_outputs(
    contents: Sequence[bytes], encoder: OnnxEncoder, preprocess: Preprocess, head: Head
) -> Outputs:
    """Return what scores look at, one row an image file, as a service computes it."""
    pixels_BHWC = np.stack([preprocess.pixels(data) for data in contents])
    return head.outputs(encoder.embed(pixels_BHWC))
