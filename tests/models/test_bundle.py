"""models.bundle and models.manifest: what is written is read back, and what was changed is not."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from models.bundle import CALIBRATION, ENCODER, HEAD, MANIFEST, Bundle
from models.encoder import file_digest
from models.errors import BundleCorrupt, BundleMissing, BundleTooNew, ConfigError
from models.scores import SCORES, STANDARD
from tests.bundles import KNOWN, load_tiny, tiny_bundle

SHIPPED = Path(__file__).parents[2] / "models" / "toybox" / "bundle"

Change = Callable[[dict[str, Any]], None]


def edit(bundle: Path, change: Change) -> None:
    """Change the manifest of a bundle on disk."""
    file = bundle / MANIFEST
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


def reseal(bundle: Path, name: str) -> None:
    """Give a changed file the digest and size it now has, as a careful attacker would."""

    def change(data: dict[str, Any]) -> None:
        file = bundle / name
        data["files"][name] = {"sha256": file_digest(file), "bytes": file.stat().st_size}

    edit(bundle, change)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Classes, head, threshold and sorted calibration scores survive the disk."""
    bundle = load_tiny(tmp_path / "b")

    assert bundle.manifest.labels == list(KNOWN)
    assert bundle.manifest.marginal is False
    assert bundle.threshold.p_cut == 9 / 301
    assert np.all(np.diff(bundle.calibration_scores_n) <= 0)
    assert bundle.calibration.embeddings_nD is not None


def test_nothing_is_overwritten_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """A second write is refused; a write that fails leaves no directory, not even a hidden one."""
    tiny_bundle(tmp_path / "b")
    with pytest.raises(ConfigError, match="exists already, and bundles are never overwritten"):
        tiny_bundle(tmp_path / "b")
    with pytest.raises(ConfigError, match="must be 1 to 64 of the characters"):
        tiny_bundle(tmp_path / "c", name="../c")

    left = {p.name for p in tmp_path.iterdir() if not p.name.endswith(".onnx")}
    assert left == {"b"}


def test_a_path_without_a_bundle(tmp_path: Path) -> None:
    """The message says which file makes a directory a bundle."""
    with pytest.raises(BundleMissing, match=r"no bundle there \(bundle.json not found\)"):
        Bundle.load(tmp_path)


def set_field(*path: str, value: object) -> Change:
    """Return a change of one nested field."""

    def change(data: dict[str, Any]) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (set_field("threshold", "value", value=None), r"threshold\.value"),
        (set_field("threshold", "rank", value=0), "threshold"),
        (set_field("threshold", "rank", value=10), r"threshold\.value"),
        (set_field("score", "name", value="magic"), r"score\.name"),
        (set_field("preprocess", "decoder", value="magic"), r"preprocess\.decoder"),
        (set_field("preprocess", "crop", value=9999), "preprocess"),
        (set_field("classes", value=[]), "classes"),
        (set_field("name", value="a/b"), "name"),
        (set_field("surprise", value=1), "surprise"),
        (set_field("logit_scale", value="100"), "logit_scale"),
        (set_field("self_test", "images", value=[
            {"file": "no.jpg", "label": "red", "energy": 0.0, "score": 0.0}
        ]), "self_test"),
        (set_field("files", value={}), "files"),
        (set_field("backbone", "digest", value="sha256:" + "0" * 64), r"backbone\.digest"),
        (set_field("backbone", "embedding_dim", value=9), "image_transform"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_refused_by_name(tmp_path: Path, change: Change, field: str) -> None:
    """Missing, unknown, mistyped or inconsistent: the message has the file and the field."""
    path = tiny_bundle(tmp_path / "b")
    edit(path, change)

    with pytest.raises(BundleCorrupt, match=rf"(bundle\.json|head\.safetensors): .*{field}"):
        Bundle.load(path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_threshold_that_is_no_number_is_refused(tmp_path: Path, number: str) -> None:
    """JSON's usual extensions are not accepted, nor a number that overflows to infinity."""
    path = tiny_bundle(tmp_path / "b")
    text = (path / MANIFEST).read_text()
    value = str(json.loads(text)["threshold"]["value"])
    (path / MANIFEST).write_text(text.replace(value, number))

    with pytest.raises(BundleCorrupt, match=r"bundle\.json: .*(not a number|threshold\.value)"):
        Bundle.load(path)


def test_a_later_format_says_upgrade(tmp_path: Path) -> None:
    """Format 2 is refused before its unknown fields are."""
    path = tiny_bundle(tmp_path / "b")
    edit(path, lambda data: data.update(format=2, new_field=1))

    with pytest.raises(BundleTooNew, match=r"field `format` is 2; .* reads 1\. Upgrade"):
        Bundle.load(path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1, "format": 1}', "{" * 10_000])
def test_a_manifest_that_is_no_json_object(tmp_path: Path, text: str) -> None:
    """Empty, a list, cut off, a key twice, nested without end."""
    path = tiny_bundle(tmp_path / "b")
    (path / MANIFEST).write_text(text)

    with pytest.raises(BundleCorrupt, match=r"bundle\.json: (not valid JSON|must be|field)"):
        Bundle.load(path)


def test_a_manifest_of_many_keys_is_read_in_no_time(tmp_path: Path) -> None:
    """Looking for keys given twice does not compare each with every other."""
    path = tiny_bundle(tmp_path / "b")
    edit(path, set_field("metrics", value={f"metric {i}": 0 for i in range(50_000)}))

    started = time.process_time()
    assert len(Bundle.load(path).manifest.metrics) == 50_000
    assert time.process_time() - started < 5


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "C:x", "a\\b", "a//b"])
def test_a_path_that_leaves_the_bundle_is_refused(tmp_path: Path, name: str) -> None:
    """By its name alone, whether or not there is such a file."""
    path = tiny_bundle(tmp_path / "b")
    info = {"sha256": "sha256:" + "0" * 64, "bytes": 1}
    edit(path, lambda data: data["files"].update({name: info}))

    with pytest.raises(BundleCorrupt, match=r"field `files\..*(inside the bundle|written as)"):
        Bundle.load(path)


def test_a_link_that_leaves_the_bundle_is_refused(tmp_path: Path) -> None:
    """Even to a file with the right content."""
    path = tiny_bundle(tmp_path / "b")
    (path / "README.md").rename(tmp_path / "README.md")
    (path / "README.md").symlink_to(tmp_path / "README.md")

    with pytest.raises(BundleCorrupt, match=r"README\.md: named in .*not in the bundle"):
        Bundle.load(path)


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    """What the file system itself refuses is told like any other fault."""
    path = tiny_bundle(tmp_path / "b")
    info = {"sha256": "sha256:" + "0" * 64, "bytes": 1}
    edit(path, lambda data: data["files"].update({"a" * 300: info}))

    with pytest.raises(BundleCorrupt, match=r"a{300}: cannot be read: File name too long"):
        Bundle.load(path)


@pytest.mark.parametrize("name", [ENCODER, HEAD, CALIBRATION, "README.md"])
def test_one_changed_byte_is_found(tmp_path: Path, name: str) -> None:
    """Tampering with any file is refused by its name; so are a short and a missing one."""
    path = tiny_bundle(tmp_path / "b")
    file = path / name
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(BundleCorrupt, match=rf"{name}: digest .* changed since it was written"):
        Bundle.load(path)

    file.write_bytes(data[:-1])
    with pytest.raises(BundleCorrupt, match=rf"{name}: .* bytes, but .*truncated or replaced"):
        Bundle.load(path)

    file.unlink()
    with pytest.raises(BundleCorrupt, match=rf"{name}: named in .*not in the bundle"):
        Bundle.load(path)


@pytest.mark.parametrize(
    ("file", "tensor", "value", "message"),
    [
        (HEAD, "prototypes", np.full((3, 8), np.nan, np.float32), "finite"),
        (HEAD, "prototypes", np.ones((3, 8), np.float32), "unit rows"),
        (HEAD, "prototypes", np.zeros((2, 8), np.float32), r"must be float32 \(3, 8\)"),
        (HEAD, "image_transform", np.eye(8), r"must be float32 \(8, 8\), is float64"),
        (CALIBRATION, "scores", np.full(300, np.nan), "NaN"),
        (CALIBRATION, "scores", np.zeros(300), r"threshold\.value"),
        (CALIBRATION, "labels", np.zeros(3, np.int64), r"must be int64 \(300,\)"),
        (CALIBRATION, "scores.knn", np.zeros(3), r"scores\.knn` must be float64 \(300,\)"),
        (CALIBRATION, "scores.msp", np.full(300, np.inf), r"scores\.msp` must be finite"),
        (CALIBRATION, "scores.energy", np.zeros(300), r"scores\.energy` is not one"),
        (CALIBRATION, "scores.magic", np.zeros(300), r"scores\.magic` is not one"),
        (HEAD, "surprise", np.zeros(3), r"`surprise` is not one"),
        (HEAD, "score.magic.x", np.zeros(3), r"`score\.magic\.\*`: no fitted score"),
        (HEAD, "score.energy.x", np.zeros(3), r"`score\.energy\.\*`: no fitted score"),
        (HEAD, "score.knn.x", np.zeros(3), r"`score\.knn\.x` is not one"),
        (HEAD, "score.knn.bank", np.zeros((9, 7), np.float32), r"must be float32 \(9, 8\)"),
        (
            HEAD,
            "score.energy+mahalanobis.sigma",
            np.zeros(2),
            r"mahalanobis\.sigma` must be larger than 0",
        ),
        (HEAD, "score.mahalanobis.means", np.full((3, 8), np.nan, np.float32), r"means` has NaN"),
        (CALIBRATION, "embeddings", np.zeros((3, 8), np.float32), r"must be float32 \(300, 8\)"),
    ],
)
def test_wrong_tensors_are_refused_even_when_resealed(
    tmp_path: Path, file: str, tensor: str, value: np.ndarray[Any, Any], message: str
) -> None:
    """A digest that matches does not make NaN, a wrong shape or a wrong threshold acceptable."""
    path = tiny_bundle(tmp_path / "b")
    tensors = load_file(path / file)
    save_file(tensors | {tensor: value}, path / file)
    reseal(path, file)

    with pytest.raises(BundleCorrupt, match=rf"{file}: .*{message}|{MANIFEST}: .*{message}"):
        Bundle.load(path)


def test_a_deciding_score_whose_tensors_are_missing_is_refused(tmp_path: Path) -> None:
    """All of them, or one."""
    path = tiny_bundle(tmp_path / "b", score="mahalanobis")
    tensors = load_file(path / HEAD)
    mine = {n for n in tensors if n.startswith("score.mahalanobis.")}
    for gone, message in (({"score.mahalanobis.means"}, "means` is missing"), (mine, "decides")):
        save_file({n: t for n, t in tensors.items() if n not in gone}, path / HEAD)
        reseal(path, HEAD)
        with pytest.raises(BundleCorrupt, match=rf"head\.safetensors: .*{message}"):
            Bundle.load(path)


def test_a_bundle_of_before_there_were_fitted_scores_loads(tmp_path: Path) -> None:
    """It can compute those of the logits; the shipped one is such a bundle."""
    path = tiny_bundle(tmp_path / "b")
    for file in (HEAD, CALIBRATION):
        kept = {n: t for n, t in load_file(path / file).items() if "." not in n}
        save_file(kept, path / file)
        reseal(path, file)

    for bundle in (Bundle.load(path), Bundle.load(SHIPPED)):
        logit_scores = {name for name, spec in SCORES.items() if not spec.stores}
        assert logit_scores <= set(bundle.scores)
        assert bundle.score is bundle.scores["energy"]
    assert Bundle.load(path).calibration.other_scores == {}


def test_fitted_scores_survive_the_disk(tmp_path: Path) -> None:
    """Restored, they give the calibration scores that were stored, to the last bit."""
    bundle = load_tiny(tmp_path / "b", score="mahalanobis")
    assert bundle.calibration.embeddings_nD is not None
    outputs = bundle.head.outputs(bundle.calibration.embeddings_nD)

    stored = {**bundle.calibration.other_scores, "mahalanobis": bundle.calibration.scores_n}

    assert set(stored) == set(bundle.scores) == set(STANDARD)
    for name, scores_n in stored.items():
        np.testing.assert_array_equal(bundle.scores[name](outputs), scores_n)


def test_oversize_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A manifest of 9 MB, and a tensor file that claims 3 GB."""
    path = tiny_bundle(tmp_path / "b")
    edit(path, lambda data: data["files"][HEAD].update(bytes=3 * 2**30))
    with pytest.raises(BundleCorrupt, match=r"head\.safetensors: .* bytes declared, at most"):
        Bundle.load(path)

    (path / MANIFEST).write_text(" " * (9 * 2**20))
    with pytest.raises(BundleCorrupt, match=r"bundle\.json: larger than"):
        Bundle.load(path)


def test_a_safetensors_file_that_is_none(tmp_path: Path) -> None:
    """Noise with a matching digest is refused by the tensor reader."""
    path = tiny_bundle(tmp_path / "b")
    (path / HEAD).write_bytes(b"noise")
    reseal(path, HEAD)

    with pytest.raises(BundleCorrupt, match=r"head\.safetensors: not a safetensors file"):
        Bundle.load(path)
