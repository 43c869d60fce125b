"""A small real bundle, made in a second without torch: solid colours are its classes."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from models.bundle import ENCODER, Bundle, Calibration, write_bundle
from models.decode import decoder_version
from models.encoder import OnnxEncoder, file_digest
from models.head import Head
from models.preprocess import Preprocess
from models.scores import Reference, Score, energy, fit_scores

# Axes: B batch, H height, W width, C channel, D embedding, K classes, n calibration images.

SIZE = 16
KNOWN = {"red": (200, 40, 40), "green": (40, 170, 60), "blue": (40, 60, 190)}
UNKNOWN = {"white": (235, 235, 235), "yellow": (230, 220, 40), "black": (15, 15, 15)}
PREPROCESS = Preprocess(resize=SIZE, crop=SIZE)


def colour_image(name: str, *, seed: int = 0, size: int = 48, format: str = "JPEG") -> bytes:
    """Return an image file in a known or unknown colour, with some noise."""
    rng = np.random.default_rng([seed, len(name), ord(name[0])])
    colour_C = np.array({**KNOWN, **UNKNOWN}[name])
    pixels_HWC = colour_C + rng.normal(0, 12, size=(size, size, 3)) + rng.normal(0, 10, size=3)
    buffer = io.BytesIO()
    Image.fromarray(pixels_HWC.clip(0, 255).astype(np.uint8)).save(buffer, format=format)
    return buffer.getvalue()


def tiny_graph(path: Path, *, dim: int = 8, seed: int = 0) -> Path:
    """Write an encoder: mean colour, times a fixed matrix."""
    weights_CD = np.random.default_rng(seed).normal(size=(3, dim)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["raw"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["raw", "middle"], ["centred"]),
        helper.make_node("ReduceMean", ["centred", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["B", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", dim])],
        [
            numpy_helper.from_array(np.array(110.0, dtype=np.float32), "middle"),
            numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes"),
            numpy_helper.from_array(weights_CD, "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def tiny_bundle(
    directory: Path,
    *,
    name: str = "colours",
    version: str = "1",
    score: str = "energy",
    method: str = "pac",
    graph_seed: int = 0,
    **changes: Any,
) -> Path:
    """Write a bundle whose classes are colours and which really tells them from others.

    Args:
        directory: where the bundle goes.
        name: its name.
        version: its version.
        score: the deciding score.
        method: ``pac`` or ``conformal``.
        graph_seed: another seed is another encoder.
        changes: manifest fields that replace the usual ones.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    graph = tiny_graph(directory.parent / f".{directory.name}.onnx", seed=graph_seed)
    encoder = OnnxEncoder(graph)
    prototypes_KD = np.concatenate([_embed(encoder, [colour_image(c, seed=99)]) for c in KNOWN])
    prototypes_KD /= np.linalg.norm(prototypes_KD, axis=1, keepdims=True)
    head = Head(np.eye(encoder.dim, dtype=np.float32), prototypes_KD, 20.0)
    scores = _fit(encoder, head)
    calibration, golden = _calibrate(encoder, head, scores, score)
    # Of 300 scores PAC takes the 9th at alpha = delta = 5 %, conformal the 15th.
    rank = 9 if method == "pac" else 15
    fields: dict[str, Any] = {
        "name": name,
        "version": version,
        "classes": [{"name": c, "display_name": c.title(), "prompts": [c]} for c in KNOWN],
        "backbone": {
            "name": "mean-colour",
            "pretrained": "none",
            "digest": file_digest(graph),
            "exporter": "onnx helper",
            "embedding_dim": encoder.dim,
            "licence": "MIT",
            "source": "made by the test suite",
        },
        "preprocess": {
            "resize": SIZE,
            "crop": SIZE,
            "interpolation": "bicubic",
            "decoder": "pillow-draft",
            "decoder_version": decoder_version(),
        },
        "tuning": "zero-shot",
        "score": {"name": score},
        "threshold": {
            "method": method,
            "alpha": 0.05,
            "delta": 0.05 if method == "pac" else None,
            "n": len(calibration.scores_n),
            "rank": rank,
            "value": float(np.sort(calibration.scores_n)[-rank]),
        },
        "self_test": {"tolerance": 1e-3, "images": golden},
        "dataset": {"images": 300},
        "metrics": {},
        "recipe": {},
        "provenance": {},
    }
    files: dict[str, Path | bytes] = {
        ENCODER: graph,
        "README.md": b"# Colours\n",
        **{f"golden/{c}.jpg": colour_image(c, seed=7) for c in KNOWN},
    }
    write_bundle(
        directory,
        fields | changes,
        head=head,
        calibration=calibration,
        files=files,
        scores=scores,
    )
    graph.unlink()
    return directory


def _fit(encoder: OnnxEncoder, head: Head) -> dict[str, Score]:
    """Fit every score on twenty images a class, and on negatives that point elsewhere."""
    seeds = range(300, 320)
    embeddings_ND = _embed(encoder, [colour_image(c, seed=s) for c in KNOWN for s in seeds])
    negatives_MD = _embed(encoder, [colour_image(c, seed=98) for c in UNKNOWN])
    negatives_MD /= np.linalg.norm(negatives_MD, axis=1, keepdims=True)
    labels_N = np.repeat(np.arange(len(KNOWN)), len(seeds))
    outputs = head.outputs(embeddings_ND)
    return fit_scores(Reference(outputs, labels_N, negatives_MD.astype(np.float64)))


def _calibrate(
    encoder: OnnxEncoder, head: Head, scores: Mapping[str, Score], score: str
) -> tuple[Calibration, list[dict[str, object]]]:
    images = [(k, colour_image(c, seed=s)) for k, c in enumerate(KNOWN) for s in range(100, 200)]
    embeddings_nD = _embed(encoder, [data for _, data in images])
    values = {name: fitted(head.outputs(embeddings_nD)) for name, fitted in scores.items()}
    golden_B = head.outputs(_embed(encoder, [colour_image(c, seed=7) for c in KNOWN]))
    golden: list[dict[str, object]] = [
        {
            "file": f"golden/{c}.jpg",
            "label": c,
            "energy": float(energy(golden_B.logits_BK)[k]),
            "score": float(scores[score](golden_B)[k]),
        }
        for k, c in enumerate(KNOWN)
    ]
    labels_n = np.array([k for k, _ in images], dtype=np.int64)
    return Calibration(values.pop(score), labels_n, embeddings_nD, values), golden


def _embed(encoder: OnnxEncoder, images: list[bytes]) -> NDArray[np.float32]:
    return encoder.embed(np.stack([PREPROCESS.pixels(data) for data in images]))


def load_tiny(directory: Path, **options: Any) -> Bundle:
    """Write and load a tiny bundle."""
    return Bundle.load(tiny_bundle(directory, **options))
