"""What every peer serves: the same bundle, the same decoder, the same decision.

Axes: B batch, H height, W width, C channel, D embedding.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.bundle import Bundle
from models.decision import decide
from models.encoder import INPUT, OUTPUT

BUNDLE = "BENCHMARK_BUNDLE"
"""The variable that names it."""
BATCH = 8
"""Most images in one call, as Croft's default."""
WAIT_SECONDS = 0.005
"""How long a peer may wait to fill a batch."""


class Model:
    """The bundle that the environment names, and a session."""

    def __init__(self, *, runtime_defaults: bool = False) -> None:
        """``runtime_defaults``: a session as it comes; otherwise all cores, without spinning."""
        options = onnxruntime.SessionOptions()
        if not runtime_defaults:
            options.intra_op_num_threads = len(os.sched_getaffinity(0))
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._bundle = Bundle.load(Path(os.environ[BUNDLE]))
        self._preprocess = self._bundle.manifest.preprocess.build()
        self._session = onnxruntime.InferenceSession(
            self._bundle.encoder_path, options, providers=["CPUExecutionProvider"]
        )

    def pixels(self, data: bytes) -> NDArray[np.uint8]:
        """Decode one file to (H, W, C)."""
        return self._preprocess.pixels(data)

    def embed(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return embeddings (B, D)."""
        (embedding_BD,) = self._session.run([OUTPUT], {INPUT: pixels_BHWC})
        return np.asarray(embedding_BD)

    def answer(self, embedding_D: NDArray[np.float32]) -> dict[str, Any]:
        """Return what a client gets."""
        decision = decide(self._bundle, embedding_D)
        best = decision.candidates[0]
        return {
            "label": best.label,
            "probability": best.probability,
            "rejected": decision.rejected,
            "energy": decision.energy,
            "p_value": decision.p_value,
        }
