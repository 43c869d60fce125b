"""The whole product: what the README promises, done for real."""

import json
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from croft.cli import main
from croft.traffic import classify, running_service
from models.bundle import Bundle
from models.encoder import OnnxEncoder
from models.nn.backbone import load_backbone
from models.scores import energy
from service.loading import shipped_bundle
from training.export import EncoderGraph
from training.toybox.images import KNOWN, STYLES, render, write_images


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_the_service_answers_exactly_what_evaluation_says(tmp_path: Path) -> None:
    """Energy, p-value and candidates of a file have the same bits over HTTP and offline."""
    images, bundle, out = tmp_path / "images", shipped_bundle(), tmp_path / "out"
    write_images(images, seed=77, per_class=1, styles=("photo", "sketch"), names=("mug", "guitar"))
    assert main(["evaluate", str(bundle), str(images), "--out", str(out)]) == 0
    rows = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    port = free_port()

    with running_service(bundle, port=port, log=tmp_path / "log"):
        for row in rows:
            body = classify(port, row["label"], "", Path(row["path"]).read_bytes()).body
            assert body["score"]["value"] == row["score"]
            for field in ("energy", "p_value", "rejected", "candidates"):
                assert body[field] == row[field]
            assert body["label"] == row["answer"]
    assert len(rows) == 4


def test_the_shipped_bundle_reproduces_its_golden_images() -> None:
    """On this machine, within the tolerance that it states."""
    bundle = Bundle.load(shipped_bundle())
    encoder, preprocess = OnnxEncoder(bundle.encoder_path), bundle.manifest.preprocess.build()

    assert bundle.manifest.self_test.images
    for golden in bundle.manifest.self_test.images:
        pixels_HWC = preprocess.pixels((bundle.path / golden.file).read_bytes())
        (found,) = energy(bundle.head.logits(encoder.embed(pixels_HWC[None])))
        assert abs(found - golden.energy) <= bundle.manifest.self_test.tolerance


def test_torch_and_the_shipped_graph_agree() -> None:
    """Embeddings to 1e-5 relative, energies to 1e-3, on real Toybox images."""
    bundle, backbone = Bundle.load(shipped_bundle()), load_backbone("toybox")
    images = [render(name, style, seed=5, index=0) for name in KNOWN for style in STYLES]
    pixels_BHWC = np.stack([backbone.preprocess.fit(Image.fromarray(image)) for image in images])
    graph = EncoderGraph(backbone.visual, backbone.mean, backbone.std)
    with torch.no_grad():
        torch_BD = graph(torch.from_numpy(pixels_BHWC)).numpy()

    onnx_BD = OnnxEncoder(bundle.encoder_path).embed(pixels_BHWC)

    relative_B = np.linalg.norm(onnx_BD - torch_BD, axis=1) / np.linalg.norm(torch_BD, axis=1)
    assert relative_B.max() <= 1e-5
    gaps_B = energy(bundle.head.logits(onnx_BD)) - energy(bundle.head.logits(torch_BD))
    assert np.abs(gaps_B).max() <= 1e-3


@pytest.mark.slow
def test_the_demo_keeps_its_promises(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Trained, calibrated, served and asked: exit 0 only if refusals and catches are as stated."""
    status = main(["demo", "--once", "--out", str(tmp_path / "d"), "--port", str(free_port())])

    printed = capfd.readouterr().out
    assert status == 0, printed
    assert "PASSED" in printed
    assert "croft train ~/photos --backbone ViT-B-16 --pretrained laion2b_s34b_b88k" in printed
