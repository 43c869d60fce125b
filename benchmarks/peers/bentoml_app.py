"""BentoML with its adaptive batching."""

from pathlib import Path
from typing import Any

import bentoml
import numpy as np

from benchmarks.peers.common import BATCH, Model


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Classify:
    """Decode and encode what the dispatcher has gathered."""

    def __init__(self) -> None:
        """Load the model in the worker."""
        self.model = Model()

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=1000)
    def predict(self, file: list[Path]) -> list[dict[str, Any]]:
        """Classify a batch of uploads."""
        pixels_BHWC = np.stack([self.model.pixels(path.read_bytes()) for path in file])
        return [self.model.answer(row_D) for row_D in self.model.embed(pixels_BHWC)]
