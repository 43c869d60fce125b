"""models.encoder."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import set_external_data

from models.encoder import OnnxEncoder, file_digest
from models.errors import BundleCorrupt, RuntimeMissing
from tests.bundles import SIZE, tiny_graph


def test_an_embedding_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    """Bit for bit the same alone, in a batch of 7, and from several threads at once."""
    encoder = OnnxEncoder(tiny_graph(tmp_path / "e.onnx"))
    pixels_BHWC = np.random.default_rng(0).integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)

    together_BD = encoder.embed(pixels_BHWC)
    with ThreadPoolExecutor(4) as pool:
        alone_BD = np.concatenate(list(pool.map(encoder.embed, np.split(pixels_BHWC, 7))))

    assert np.array_equal(together_BD, alone_BD)
    assert encoder.embed(pixels_BHWC[:0]).shape == (0, encoder.dim)


def test_shape_and_digest_come_from_the_file(tmp_path: Path) -> None:
    """Size and dim are read off the graph; the digest is the file's."""
    path = tiny_graph(tmp_path / "e.onnx", dim=5)
    encoder = OnnxEncoder(path)

    assert (encoder.size, encoder.dim, encoder.digest) == (SIZE, 5, file_digest(path))


def test_a_broken_or_foreign_graph_is_refused(tmp_path: Path) -> None:
    """Noise, and a graph with other names, are refused with the file's name."""
    noise = tmp_path / "noise.onnx"
    noise.write_bytes(b"noise")
    with pytest.raises(BundleCorrupt, match=r"noise.onnx: not a graph"):
        OnnxEncoder(noise)

    model = onnx.load(tiny_graph(tmp_path / "e.onnx"))
    model.graph.node[-1].output[0] = "features"
    model.graph.output[0].name = "features"
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(BundleCorrupt, match=r"one output `embedding`, has .*'features'"):
        OnnxEncoder(tmp_path / "other.onnx")


def test_a_graph_that_keeps_its_weights_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file beside the graph, or where the process was started, is under no digest: not read."""
    model = onnx.load(tiny_graph(tmp_path / "e.onnx"))
    weights = next(w for w in model.graph.initializer if w.name == "weights")
    set_external_data(weights, "weights.bin")
    onnx.save(model, tmp_path / "outside.onnx")
    assert (tmp_path / "weights.bin").is_file()

    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleCorrupt, match=r"outside.onnx: not a graph .*[Ee]xternal"):
        OnnxEncoder(tmp_path / "outside.onnx")


def test_a_provider_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Asking for CUDA on a CPU build says what is offered and what to install."""
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return
    with pytest.raises(RuntimeMissing, match=r"`cuda` needs CUDAExecutionProvider; onnxruntime"):
        OnnxEncoder(tiny_graph(tmp_path / "e.onnx"), provider="cuda")


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        (
            [],
            r"No inference runtime is installed\. Install one: pip install onnxruntime \(CPU\) or",
        ),
        (["onnxruntime", "onnxruntime-gpu"], r"Both .* Type: pip uninstall -y onnxruntime onnx"),
    ],
    ids=["neither", "both"],
)
def test_neither_runtime_or_both_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: list[str], message: str
) -> None:
    """Before anything is loaded, and whatever `import onnxruntime` would have done."""

    class Found:
        def __init__(self, name: str) -> None:
            self.metadata = {"Name": name}

    monkeypatch.setattr("importlib.metadata.distributions", lambda: [Found(n) for n in installed])

    with pytest.raises(RuntimeMissing, match=message):
        OnnxEncoder(tiny_graph(tmp_path / "e.onnx"))
