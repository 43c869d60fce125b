"""Pixels -> embeddings: the one place that knows onnxruntime.

Axes: B batch, H height, W width, C channel, D embedding.
"""

import hashlib
import importlib
import importlib.metadata
from pathlib import Path
from types import ModuleType
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleCorrupt, RuntimeMissing

Provider = Literal["cpu", "cuda"]

INPUT: Final = "pixels"
OUTPUT: Final = "embedding"
_PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_INSTALL: Final = "Install one: pip install onnxruntime (CPU) or pip install onnxruntime-gpu."


class Encoder(Protocol):
    """Anything that turns pixels into embeddings. Calls may come from many threads."""

    @property
    def digest(self) -> str:
        """Identity of the numbers it gives: ``sha256:...`` of the graph."""

    @property
    def dim(self) -> int:
        """D, the length of an embedding."""

    @property
    def size(self) -> int:
        """H = W, the side of the square it takes, in pixels."""

    def embed(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return embeddings (B, D), not normalised, for pixels (B, size, size, 3)."""


class OnnxEncoder:
    """An encoder graph: uint8 ``pixels`` (B, H, H, 3) -> float32 ``embedding`` (B, D)."""

    def __init__(self, path: Path, *, threads: int = 1, provider: Provider = "cpu") -> None:
        """Load the graph.

        Args:
            path: the ONNX file.
            threads: how many threads one call uses on the CPU. Callers that run several calls
                at once, one on each core, want 1.
            provider: where it runs. What is asked for is what runs, or an error.

        Raises:
            RuntimeMissing: no onnxruntime, two of them, or none with that provider.
            BundleCorrupt: the file is not a graph of this form.
        """
        runtime = _import_runtime()
        _check_provider(runtime, provider)
        if provider == "cuda":
            runtime.preload_dlls()  # CUDA and cuDNN as pip installs them
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A graph may name further files, which no digest covers: where a file is, none can be.
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(path)
        )
        # Spinning threads burn a core each between two calls.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            graph = path.read_bytes()
            self._session = runtime.InferenceSession(
                graph, options, providers=[_PROVIDERS[provider]]
            )
        except Exception as error:  # the runtime's own classes are not a stable interface
            raise BundleCorrupt(f"{path}: not a graph that onnxruntime loads: {error}") from error
        if _PROVIDERS[provider] not in self._session.get_providers():
            raise RuntimeMissing(
                f"`{provider}` was asked for, but onnxruntime fell back to "
                f"{self._session.get_providers()}. Check the driver, or ask for `cpu`."
            )
        self.size, self.dim = _shapes(self._session, path)
        self.digest = f"sha256:{hashlib.sha256(graph).hexdigest()}"
        self._alone = provider == "cpu"

    def embed(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return embeddings (B, D), float32, not normalised.

        On the CPU each image is a run of its own: matrix products round differently in different
        batch sizes, and the answer for an image must not depend on its company. A batch is hardly
        faster there. On a GPU the batch is one run.
        """
        if not self._alone:
            return self._run(pixels_BHWC)
        return np.concatenate(
            [self._run(pixels_BHWC[i : i + 1]) for i in range(len(pixels_BHWC))]
            or [np.empty((0, self.dim), np.float32)]
        )

    def _run(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        (embedding_BD,) = self._session.run([OUTPUT], {INPUT: pixels_BHWC})
        return np.asarray(embedding_BD, dtype=np.float32)


def file_digest(path: Path) -> str:
    """Return ``sha256:<hex>`` of a file's bytes."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def runtime_version() -> str:
    """Return the installed runtime's name and version, as ``onnxruntime 1.31.0``.

    Raises:
        RuntimeMissing: none is installed, or both.
    """
    found = _installed_runtimes()
    if len(found) == 1:
        return f"{found[0]} {importlib.metadata.version(found[0])}"
    if not found:
        raise RuntimeMissing(f"No inference runtime is installed. {_INSTALL}")
    raise RuntimeMissing(
        "Both onnxruntime and onnxruntime-gpu are installed; they overwrite each other's files. "
        "Type: pip uninstall -y onnxruntime onnxruntime-gpu. Then install the one you want: "
        "pip install onnxruntime (CPU) or pip install onnxruntime-gpu."
    )


def _installed_runtimes() -> list[str]:
    names = {d.metadata["Name"] for d in importlib.metadata.distributions()}
    return [name for name in ("onnxruntime", "onnxruntime-gpu") if name in names]


def _import_runtime() -> ModuleType:
    runtime_version()  # says what to install; the import itself would only fail
    return importlib.import_module("onnxruntime")


def _check_provider(runtime: ModuleType, provider: Provider) -> None:
    available = runtime.get_available_providers()
    if _PROVIDERS[provider] not in available:
        raise RuntimeMissing(
            f"`{provider}` needs {_PROVIDERS[provider]}; {runtime_version()} offers "
            f"{', '.join(available)}. For a GPU type: pip uninstall -y onnxruntime; pip install "
            "onnxruntime-gpu."
        )


def _shapes(session: object, path: Path) -> tuple[int, int]:
    """Return (size, dim), or say what is wrong with the graph."""
    inputs = session.get_inputs()  # type: ignore[attr-defined]
    outputs = session.get_outputs()  # type: ignore[attr-defined]
    if [i.name for i in inputs] != [INPUT] or [o.name for o in outputs] != [OUTPUT]:
        raise BundleCorrupt(
            f"{path}: must have the one input `{INPUT}` and the one output `{OUTPUT}`, has "
            f"{[i.name for i in inputs]} and {[o.name for o in outputs]}."
        )
    shape, dim = inputs[0].shape, outputs[0].shape[-1]
    sides_are_fixed = len(shape) == 4 and shape[1] == shape[2] and isinstance(shape[1], int)
    if inputs[0].type != "tensor(uint8)" or not sides_are_fixed or not isinstance(dim, int):
        raise BundleCorrupt(
            f"{path}: input `{INPUT}` must be uint8 (B, size, size, 3) and output `{OUTPUT}` "
            f"(B, D); found {inputs[0].type} {shape} and {outputs[0].shape}."
        )
    return shape[1], dim
