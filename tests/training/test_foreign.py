"""A real photo encoder that is none of ours, on real photos, through the whole pipeline."""

import json
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.bundle import Bundle
from models.decision import decide
from models.encoder import OnnxEncoder
from tests.helpers import shared_path
from training.encoders import EncoderRequest
from training.evaluate import KNOWN, Evaluation
from training.pipeline import TrainRequest, train
from training.recipe import TrainConfig
from training.split import SplitConfig
from training.views import ViewConfig

ALIASES = Path(__file__).parents[2] / "examples" / "pacs-aliases.toml"
PER_CLASS = 30
UNKNOWN = 4


@dataclass(frozen=True, slots=True)
class Trained:
    """A bundle of seven classes of photos, and its figures."""

    bundle: Bundle
    evaluation: Evaluation


def unzip(name: str, below: str, target: Path, *, per_class: int) -> Path:
    """Unpack the first images of each class folder below a prefix."""
    taken: Counter[str] = Counter()
    with zipfile.ZipFile(shared_path(f"data/{name}.zip")) as archive:
        for member in sorted(archive.namelist()):
            kind = Path(member).parent.name
            if member.startswith(below) and member.endswith(".jpg") and taken[kind] < per_class:
                taken[kind] += 1
                path = target / kind / Path(member).name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(member))
    return target


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train on 30 photos a class."""
    root = tmp_path_factory.mktemp("foreign")
    folder = shared_path("encoders/mobilenetv2-imagenet")
    request = TrainRequest(
        data=unzip("pacs-128", "PACS/photo/", root / "data", per_class=PER_CLASS),
        out=root / "runs",
        name="photos",
        encoder=EncoderRequest(
            encoder=folder / "encoder.onnx",
            spec=folder / "encoder.toml",
            text_features=folder / "text_features.npz",
            aliases=ALIASES,
        ),
        config=TrainConfig(split=SplitConfig(calibrate_first=59), views=ViewConfig(count=1)),
        cache=root / "cache",
        unknown={"textures": unzip("dtd10-128", "DTD10/", root / "textures", per_class=UNKNOWN)},
    )
    result = train(request)
    return Trained(Bundle.load(result.path), result.evaluation)


def test_it_understands_real_photos(trained: Trained) -> None:
    """At least 85 of 100 photos that it never saw are named right; chance is 14."""
    rows = trained.evaluation.of(KNOWN)

    assert len(rows) >= 30
    assert sum(row.correct for row in rows) / len(rows) >= 0.85


def test_classes_without_text_are_in_the_report(trained: Trained) -> None:
    """Giraffe and person have no name among ImageNet's, and the reader is told."""
    report = (trained.bundle.path / "report" / "index.html").read_text()

    assert "2 of 7 classes have no text feature" in report
    assert "giraffe, person" in report


def test_known_photos_score_lower_than_textures(trained: Trained) -> None:
    """The energy separates better than 8 in 10 pairs."""
    metrics = json.loads((trained.bundle.path / "report" / "metrics.json").read_text())

    assert metrics["unknown"]["textures"]["images"] == 10 * UNKNOWN
    assert metrics["unknown"]["textures"]["against_known"]["all"]["auroc"] > 0.8


def test_an_answer_does_not_depend_on_company(trained: Trained) -> None:
    """One photo alone, as the service would answer it, gives what the evaluation gave."""
    bundle, encoder = trained.bundle, OnnxEncoder(trained.bundle.encoder_path)
    preprocess = bundle.manifest.preprocess.build()

    for row in trained.evaluation.of(KNOWN)[:5]:
        pixels_HWC = preprocess.pixels(row.path.read_bytes())
        assert decide(bundle, encoder.embed(pixels_HWC[None])[0]) == row.decision
