"""Bundles of any size: an open_clip encoder with random weights, exported as training does it.

Its answers mean nothing; its cost is that of the real one. Axes: n images, K classes, D embedding.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.bundle import ENCODER, Bundle, Calibration, write_bundle
from models.decode import decoder_version
from models.encoder import OnnxEncoder
from models.head import Head
from models.nn.backbone import Backbone, load_backbone
from models.scores import energy
from training.calibrate import CalibrateConfig, calibrate
from training.export import export_encoder
from training.progress import say

VIT_B_32: Final = "ViT-B-32"
"""150 ms of a core for an image, or so."""
WIDTHS: Final = {"tiny": 128, "small": 256}
"""Vision transformers: 0.85 million weights and 1 to 3 ms, 3.3 million and three times as long.

They are none of the field's ViT-Tiny and ViT-Small.
"""
_TEXT: Final = {"context_length": 8, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
_CLASSES: Final = ("first", "second", "third")
_GOLDEN: Final = "golden/0.jpg"


def vit_bundle(name: str, cache: Path, images: Sequence[bytes]) -> Bundle:
    """Return a bundle of the encoder of that name in ``WIDTHS``."""
    cache.mkdir(parents=True, exist_ok=True)
    config = cache / f"{name}-vit.json"
    sizes = {"image_size": 64, "patch_size": 8, "layers": 4, "head_width": 32}
    vision = {**sizes, "width": WIDTHS[name]}
    config.write_text(json.dumps({"embed_dim": 128, "vision_cfg": vision, "text_cfg": _TEXT}))
    return random_bundle(str(config), cache, images)


def random_bundle(architecture: str, cache: Path, images: Sequence[bytes]) -> Bundle:
    """Return a bundle, made once; needs at least 59 images to calibrate with.

    Args:
        architecture: of open_clip, or the path of a configuration.
        cache: where the bundle is kept.
        images: files to calibrate on.
    """
    name = Path(architecture).stem.lower()
    folder = cache / f"random-{name}"
    if not folder.exists():
        say(f"Exporting {name} with random weights, once ...")
        _make(folder, load_backbone(architecture, "random"), cache, images)
    return Bundle.load(folder)


def _make(folder: Path, backbone: Backbone, cache: Path, images: Sequence[bytes]) -> None:
    graph = export_encoder(backbone, cache=cache).path
    encoder = OnnxEncoder(graph)
    embeddings_nD = np.concatenate(
        [encoder.embed(backbone.preprocess.pixels(data)[None]) for data in images]
    )
    prototypes_KD = embeddings_nD[: len(_CLASSES)]
    prototypes_KD = prototypes_KD / np.linalg.norm(prototypes_KD, axis=1, keepdims=True)
    head = Head(np.eye(encoder.dim, dtype=np.float32), prototypes_KD, backbone.logit_scale)
    scores_n = energy(head.logits(embeddings_nD))
    labels_n = np.arange(len(images)) % len(_CLASSES)
    write_bundle(
        folder,
        _fields(backbone, encoder, scores_n),
        head=head,
        calibration=Calibration(scores_n, labels_n),
        files={ENCODER: graph, _GOLDEN: images[0], "README.md": b"# Random weights\n"},
    )


def _fields(
    backbone: Backbone, encoder: OnnxEncoder, scores_n: NDArray[np.float64]
) -> dict[str, Any]:
    threshold = calibrate(scores_n, CalibrateConfig())
    score = float(scores_n[0])
    golden = {"file": _GOLDEN, "label": _CLASSES[0], "energy": score, "score": score}
    preprocess = backbone.preprocess
    return {
        "name": "random",
        "version": "1",
        "classes": [{"name": c, "display_name": c, "prompts": [c]} for c in _CLASSES],
        "backbone": {
            "name": backbone.name,
            "pretrained": "random",
            "digest": encoder.digest,
            "exporter": "torch",
            "embedding_dim": encoder.dim,
            "licence": backbone.licence,
            "source": backbone.source,
        },
        "preprocess": {
            "resize": preprocess.resize,
            "crop": preprocess.crop,
            "interpolation": preprocess.interpolation,
            "decoder": preprocess.decoder,
            "decoder_version": decoder_version(),
        },
        "tuning": "zero-shot",
        "score": {"name": "energy"},
        "threshold": {
            name: getattr(threshold, name)
            for name in ("method", "alpha", "delta", "n", "rank", "value")
        },
        "self_test": {"tolerance": 1e-3, "images": [golden]},
        "dataset": {"images": len(scores_n)},
        "metrics": {},
        "recipe": {},
        "provenance": {},
    }
