"""LitServe with its dynamic batching."""

import sys
from typing import Any

import litserve
import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from benchmarks.peers.common import BATCH, WAIT_SECONDS, Model


class Classify(litserve.LitAPI):
    """Decode each upload, encode the batch."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Load the model in the worker."""
        self.model = Model()

    def decode_request(self, request: Request) -> NDArray[np.uint8]:
        """Turn an upload into pixels (H, W, C)."""
        return self.model.pixels(request["file"].file.read())

    def predict(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode a batch."""
        return self.model.embed(np.stack(pixels_BHWC))

    def encode_response(self, output: NDArray[np.float32]) -> dict[str, Any]:
        """Decide about one image."""
        return self.model.answer(output)


if __name__ == "__main__":
    api = Classify(max_batch_size=BATCH, batch_timeout=WAIT_SECONDS)
    server = litserve.LitServer(api, accelerator="cpu", timeout=60)
    server.run(
        port=int(sys.argv[1]), generate_client_file=False, log_level="warning", access_log=False
    )
