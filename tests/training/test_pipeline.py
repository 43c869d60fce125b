"""training.pipeline: a bundle from images, with a real encoder, in a few seconds."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.bundle import Bundle
from models.decision import decide
from models.embed import embed_files
from models.encoder import OnnxEncoder
from models.errors import ConfigError, CroftError, TooFewImages
from models.scores import STANDARD
from tests.bundles import KNOWN, UNKNOWN, colour_image, tiny_graph
from training.baselines.few_shot import FewShot
from training.calibrate import CalibrateConfig
from training.data import Item, load_dataset
from training.encoders import EncoderRequest
from training.pipeline import TrainRequest, TrainResult, train
from training.recipe import TrainConfig
from training.selection.run import run_selection
from training.selection.select import Selection
from training.split import SplitConfig, split
from training.tune import TuneConfig, Tuning
from training.views import ViewConfig

Embeddings = NDArray[np.float32]

SPEC = """
input = "image"
output = "embedding"
layout = "NHWC"
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
resize_shorter_side = 16
center_crop = 16
logit_scale = 20.0
licence = "MIT"
"""


def write_colours(root: Path, names: object, *, images: int, seed: int = 0) -> Path:
    """Write class folders of plain colours."""
    for name in {**KNOWN, **UNKNOWN}:
        if name in names:  # type: ignore[operator]
            (root / name).mkdir(parents=True)
            for i in range(images):
                data = colour_image(name, seed=seed + i, format="PNG")
                (root / name / f"{i}.png").write_bytes(data)
    return root


def foreign_encoder(folder: Path) -> EncoderRequest:
    """Write an encoder of mean colours as somebody else would have: float input, own names."""
    import onnx

    model = onnx.load(tiny_graph(folder / "tiny.onnx"))
    model.graph.input[0].name = "image"
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    model.graph.node[0].input[0] = "image"
    onnx.save(model, folder / "foreign.onnx")
    (folder / "spec.toml").write_text(SPEC)
    features = np.ones((1, 8), dtype=np.float32)
    np.savez(folder / "text.npz", class_names=np.array(["elsewhere"]), features=features)
    return EncoderRequest(
        encoder=folder / "foreign.onnx",
        spec=folder / "spec.toml",
        text_features=folder / "text.npz",
    )


@pytest.fixture(name="request_")
def _request(tmp_path: Path) -> TrainRequest:
    return TrainRequest(
        data=write_colours(tmp_path / "data", KNOWN, images=50),
        out=tmp_path / "runs",
        name="colours",
        encoder=foreign_encoder(tmp_path),
        config=TrainConfig(views=ViewConfig(count=2), tune=TuneConfig(epochs=5)),
        cache=tmp_path / "cache",
        unknown={"other colours": write_colours(tmp_path / "other", UNKNOWN, images=5)},
    )


def run(request: TrainRequest) -> tuple[TrainResult, Bundle]:
    """Train, and load what was written."""
    result = train(request)
    return result, Bundle.load(result.path)


def test_images_become_a_bundle_that_knows_them(
    request_: TrainRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Known colours are named, others refused; report, card, golden images and notes are there."""
    result, bundle = run(request_)

    assert result.path == request_.out / "colours" / "1"
    assert bundle.manifest.metrics["unknown"]["other colours"]["caught"]["rate"] > 0.9  # type: ignore[index,call-overload,operator]
    assert (result.path / "report" / "index.html").stat().st_size > 10_000
    assert "promise: at most 5 % with 95 % confidence" in (result.path / "README.md").read_text()
    assert "3 of 3 classes have no text feature" in capsys.readouterr().out
    encoder = OnnxEncoder(bundle.encoder_path)
    preprocess = bundle.manifest.preprocess.build()
    for golden in bundle.manifest.self_test.images:
        pixels_HWC = preprocess.pixels((bundle.path / golden.file).read_bytes())
        assert decide(bundle, encoder.embed(pixels_HWC[None])[0]).energy == golden.energy


def test_a_fitted_score_can_decide(request_: TrainRequest) -> None:
    """Served as chosen; all others lie beside it, but the one that needs negative names."""
    _, bundle = run(replace(request_, config=replace(request_.config, score="gen+knn")))

    assert bundle.manifest.score.name == "gen+knn"
    assert {*STANDARD, "gen+knn"} - set(bundle.scores) == {"neglabel"}
    assert {"gen+knn", *bundle.calibration.other_scores} == set(bundle.scores)
    assert set(bundle.manifest.metrics["scores"]) == set(bundle.scores)  # type: ignore[arg-type]
    encoder = OnnxEncoder(bundle.encoder_path)
    preprocess = bundle.manifest.preprocess.build()
    for golden in bundle.manifest.self_test.images:
        pixels_HWC = preprocess.pixels((bundle.path / golden.file).read_bytes())
        assert decide(bundle, encoder.embed(pixels_HWC[None])[0]).score == golden.score


def test_selection_sees_training_images_only_and_its_choice_is_served(
    request_: TrainRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything tried lies in the bundle; the promise needs unseen calibration images."""
    import training.pipeline as module

    seen: list[FewShot] = []
    embedded: dict[str, tuple[list[str], Embeddings]] = {}

    def spy_files(items: Sequence[Item], *args: Any, **more: Any) -> Embeddings:
        embeddings_NVD = embed_files(items, *args, **more)
        if not seen:
            views = more["views"]
            name = "plain" if views is None else type(views).__name__
            assert name not in embedded
            embedded[name] = [item.digest for item in items], embeddings_NVD
        return embeddings_NVD

    def spy(shots: FewShot, base: TuneConfig, *, tuning: Tuning | None) -> Selection:
        selection = run_selection(shots, base, tuning=tuning)
        seen.append(shots)
        return selection

    monkeypatch.setattr(module, "embed_files", spy_files)
    monkeypatch.setattr(module, "run_selection", spy)
    names = [*KNOWN, "yellow"]
    data = write_colours(tmp_path / "four", names, images=30)
    tune = TuneConfig(epochs=1)
    config = replace(request_.config, split=SplitConfig(shots=4), tune=tune, golden_images=0)

    _, bundle = run(replace(request_, data=data, auto=True, config=config, unknown={}))

    (shots,) = seen
    splits = split(load_dataset(data)[0], config.split, seed=config.seed)
    train, select = ([i.digest for i in items] for items in (splits.train, splits.select))
    assert not {*train, *select} & {i.digest for i in (*splits.calibrate, *splits.test)}
    assert {name: digests for name, (digests, _) in embedded.items()} == {
        "Views": train,
        "TextureView": train,
        "plain": select,
    }
    assert shots.texture_ND is not None
    assert shots.select is not None
    np.testing.assert_array_equal(shots.train_NVD, embedded["Views"][1])
    np.testing.assert_array_equal(shots.texture_ND, embedded["TextureView"][1][:, 0])
    np.testing.assert_array_equal(shots.select[0], embedded["plain"][1][:, 0])
    with (bundle.path / "report" / "selection.csv").open() as file:
        (chosen,) = {row["score"] for row in csv.DictReader(file) if row["chosen"] == "True"}
    assert bundle.manifest.score.name == chosen
    assert f"score {chosen}. Everything tried is in report/selection.csv." in str(
        bundle.manifest.provenance["notes"]
    )


def test_with_three_classes_energy_stays_and_the_bundle_says_why(
    request_: TrainRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """One left out of three would leave two."""
    _, bundle = run(replace(request_, auto=True))

    assert bundle.manifest.score.name == "energy"
    why = "Nothing is selected, energy decides: there are 3 classes"
    assert why in capsys.readouterr().out
    assert why in str(bundle.manifest.provenance["notes"])
    assert not (bundle.path / "report" / "selection.csv").exists()


def test_negative_names_can_decide(
    request_: TrainRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their features point where such images lie: these are refused, and known ones are not."""
    names = tmp_path / "names.txt"
    names.write_text("# colours\nwhite\nyellow\nblack\nReds\nmauve\n")
    _write_features(request_.encoder, [*KNOWN, *UNKNOWN])
    config = replace(request_.config, score="neglabel")

    _, bundle = run(replace(request_, config=config, negatives=names))

    assert bundle.manifest.score.name == "neglabel"
    assert set(bundle.scores) == {"neglabel", *bundle.calibration.other_scores} == set(STANDARD)
    assert len(bundle.score.tensors()["negatives"]) == 3
    caught = bundle.manifest.metrics["unknown"]["other colours"]["caught"]  # type: ignore[index,call-overload]
    assert caught["rate"] > 0.9  # type: ignore[index,call-overload,operator]
    report = (bundle.path / "report" / "index.html").read_text()
    printed = capsys.readouterr().out
    for note in ("are classes, and left out: Reds.", "feature, and are left out: mauve."):
        assert note in report
        assert note in printed


def _write_features(encoder: EncoderRequest, names: Sequence[str]) -> None:
    """Give these colours the text features of a perfect text encoder."""
    assert encoder.encoder is not None
    assert encoder.text_features is not None
    images = [colour_image(name, seed=77, size=16, format="PNG") for name in names]
    embed = OnnxEncoder(tiny_graph(encoder.encoder.parent / "tiny.onnx")).embed
    pixels_BHWC = np.stack([np.asarray(Image.open(io.BytesIO(data))) for data in images])
    np.savez(encoder.text_features, class_names=np.array(names), features=embed(pixels_BHWC))


def test_the_same_run_gives_the_same_head_and_the_next_version(request_: TrainRequest) -> None:
    """Same seed, same bytes; an earlier bundle is never overwritten."""
    first, _ = run(request_)
    second, _ = run(request_)

    assert (first.path.name, second.path.name) == ("1", "2")
    for name in ("head.safetensors", "calibration.safetensors", "encoder.onnx"):
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes()
    other, _ = run(replace(request_, config=replace(request_.config, seed=5)))
    name = "calibration.safetensors"
    assert (first.path / name).read_bytes() != (other.path / name).read_bytes()


def test_opting_out_of_images_and_embeddings(request_: TrainRequest) -> None:
    """Neither golden images nor calibration embeddings travel when they must not."""
    config = replace(request_.config, golden_images=0, keep_embeddings=False)
    _, bundle = run(replace(request_, config=config))

    assert bundle.manifest.self_test.images == []
    assert not (bundle.path / "golden").exists()
    assert bundle.calibration.embeddings_nD is None


def test_too_few_images_for_the_promise_leave_nothing(
    request_: TrainRequest, tmp_path: Path
) -> None:
    """The number needed is named, before any work; asked for by name, a marginal bundle is made."""
    few = replace(request_, data=write_colours(tmp_path / "few", KNOWN, images=15))
    with pytest.raises(TooFewImages, match="Give at least 59 images to calibrate on") as error:
        train(few)
    assert error.value.needed == 59
    assert not request_.out.exists()

    conformal = replace(few.config, calibrate=CalibrateConfig(method="conformal"))
    _, bundle = run(replace(few, config=conformal))
    assert bundle.manifest.marginal
    assert "marginal" in (bundle.path / "README.md").read_text()
    assert "marginal" in json.dumps(bundle.manifest.metrics)


def test_prompt_tuning_without_a_text_encoder_is_refused_by_name(request_: TrainRequest) -> None:
    """A foreign image encoder has no prompts to tune."""
    config = replace(request_.config, tune=TuneConfig(tuning="prompt"))

    with pytest.raises(ConfigError, match="prompt tuning needs a text encoder"):
        train(replace(request_, config=config))


def test_known_classes_among_the_unknown_are_pointed_out(
    request_: TrainRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`Reds` is `red`: a catch rate over it would mean nothing."""
    unknown = write_colours(tmp_path / "mixed", {"red": 1, "white": 1}, images=5, seed=900)
    (unknown / "red").rename(unknown / "Reds")

    train(replace(request_, unknown={"mixed": unknown}))

    assert "has classes named like known ones: Reds (red)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "my photos"}, "cannot be called 'my photos': .*Give another --name"),
        ({"name": ""}, "cannot be called ''"),
        ({"config": TrainConfig(score="neglabel")}, "no class. Give them with --negatives FILE"),
        ({"negatives": Path("lost.txt")}, "lost.txt: the negative names cannot be read"),
        ({"encoder": EncoderRequest(backbone="ViT-B-17")}, "no architecture `ViT-B-17`"),
        ({"encoder": EncoderRequest(backbone="toybox", pretrained="x")}, "no weights `x`"),
    ],
)
def test_what_cannot_work_is_refused_before_the_data_is_read(
    request_: TrainRequest, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """There is no data, and still the message is about the name or the encoder."""
    with pytest.raises(CroftError, match=message):
        train(replace(request_, data=tmp_path / "nowhere", **changes))
