"""Embedding a set of files: one path, cached, resumed, and never a stale or damaged number."""

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.embed import embed_files
from models.encoder import file_digest
from models.errors import DataError
from models.preprocess import Preprocess
from tests.helpers import FakeEncoder, make_image

PREPROCESS = Preprocess(resize=36, crop=32)


@dataclass(frozen=True)
class File:
    """A file and its digest."""

    path: Path
    digest: str


@dataclass(frozen=True)
class _Shifts:
    """Views that are the image moved sideways."""

    count: int = 3
    key: str = "shifts"

    def pixels(
        self, image: Image.Image, preprocess: Preprocess, *, digest: str, view: int
    ) -> NDArray[np.uint8]:
        assert digest.startswith("sha256:")
        return np.roll(preprocess.fit(image), view, axis=1)


def _files(folder: Path, count: int) -> list[File]:
    folder.mkdir(exist_ok=True)
    files = []
    for index in range(count):
        path = folder / f"{index:03}.jpg"
        path.write_bytes(make_image(seed=index))
        files.append(File(path, file_digest(path)))
    return files


def test_embeddings_are_those_of_serving(tmp_path: Path) -> None:
    """Decode, preprocess, encode: bit for bit, in the order of the files."""
    files = _files(tmp_path / "images", 5)
    encoder = FakeEncoder()

    embeddings_NVD = embed_files(files, encoder, PREPROCESS)

    assert embeddings_NVD.shape == (5, 1, 16)
    assert embeddings_NVD.dtype == np.float32
    for file, embedding_VD in zip(files, embeddings_NVD, strict=True):
        pixels_HWC = PREPROCESS.pixels(file.path.read_bytes())
        assert np.array_equal(embedding_VD, encoder.embed(pixels_HWC[None]))


def test_views_are_the_second_axis(tmp_path: Path) -> None:
    """View 0 here is the plain image, so both runs agree on it."""
    files = _files(tmp_path / "images", 4)

    embeddings_NVD = embed_files(files, FakeEncoder(), PREPROCESS, views=_Shifts())

    assert embeddings_NVD.shape == (4, 3, 16)
    assert np.array_equal(embeddings_NVD[:, :1], embed_files(files, FakeEncoder(), PREPROCESS))
    assert not np.array_equal(embeddings_NVD[:, 0], embeddings_NVD[:, 1])


def test_no_file_gives_no_row() -> None:
    """An empty part of a split is no special case for the caller."""
    assert embed_files([], FakeEncoder(), PREPROCESS, views=_Shifts()).shape == (0, 3, 16)


def test_identical_files_are_embedded_once(tmp_path: Path) -> None:
    """And each still gets its row."""
    (file,) = _files(tmp_path / "images", 1)
    encoder = FakeEncoder()

    embeddings_NVD = embed_files([file, file, file], encoder, PREPROCESS)

    assert encoder.images == 1
    assert embeddings_NVD.shape == (3, 1, 16)


def test_a_second_run_computes_nothing(tmp_path: Path) -> None:
    """Also in another order, and it gives the same bits."""
    files = _files(tmp_path / "images", 70)
    first_NVD = embed_files(files, FakeEncoder(), PREPROCESS, cache=tmp_path / "cache")
    encoder = FakeEncoder()

    second_NVD = embed_files(files[::-1], encoder, PREPROCESS, cache=tmp_path / "cache")

    assert encoder.images == 0
    assert np.array_equal(second_NVD[::-1], first_NVD)


def test_added_images_are_the_only_ones_computed(tmp_path: Path) -> None:
    """The cache is by image, not by list."""
    embed_files(_files(tmp_path / "a", 10), FakeEncoder(), PREPROCESS, cache=tmp_path / "cache")
    encoder = FakeEncoder()

    embed_files(_files(tmp_path / "b", 13), encoder, PREPROCESS, cache=tmp_path / "cache")

    assert encoder.images == 3


def test_a_run_that_fails_keeps_what_it_had(tmp_path: Path) -> None:
    """The next one computes the rest and gives what an unbroken run gives."""
    files = _files(tmp_path / "images", 100)
    with pytest.raises(RuntimeError, match="failed at image 90"):
        embed_files(files, FakeEncoder(fail_at=90), PREPROCESS, cache=tmp_path / "cache", workers=1)
    encoder = FakeEncoder()

    resumed_NVD = embed_files(files, encoder, PREPROCESS, cache=tmp_path / "cache")

    assert encoder.images == 11
    assert np.array_equal(resumed_NVD, embed_files(files, FakeEncoder(), PREPROCESS))


def test_a_killed_run_loses_at_most_a_chunk(tmp_path: Path) -> None:
    """A process that ends at image 150, without any chance to tidy up, has kept whole chunks."""
    files = _files(tmp_path / "images", 180)
    program = (
        "import os, time; from pathlib import Path\n"
        "from tests.helpers import FakeEncoder\n"
        "from tests.models.test_embed import PREPROCESS, File, embed_files, file_digest\n"
        "class Killed(FakeEncoder):\n"
        "    def embed(self, pixels):\n"
        "        if self.images < 150: return super().embed(pixels)\n"
        "        # Wait, at most 5 s, for the thread that writes the files.\n"
        "        any(list(Path('cache').rglob('*.npy')) or time.sleep(0.01) for _ in range(500))\n"
        "        os._exit(9)\n"
        "files = [File(p, file_digest(p)) for p in sorted(Path('images').iterdir())]\n"
        "embed_files(files, Killed(), PREPROCESS, cache=Path('cache'), workers=1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    killed = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment)
    encoder = FakeEncoder()

    resumed_NVD = embed_files(files, encoder, PREPROCESS, cache=tmp_path / "cache")

    assert killed.returncode == 9
    assert 180 - 150 <= encoder.images <= 180 - 64
    assert np.array_equal(resumed_NVD, embed_files(files, FakeEncoder(), PREPROCESS))


@pytest.mark.parametrize("damage", ["flip a bit", "cut off", "empty"])
def test_a_damaged_chunk_is_computed_again(tmp_path: Path, damage: str) -> None:
    """Its numbers are not believed."""
    files = _files(tmp_path / "images", 5)
    cache = tmp_path / "cache"
    whole_NVD = embed_files(files, FakeEncoder(), PREPROCESS, cache=cache)
    (chunk,) = cache.rglob("*.npy")
    data = bytearray(chunk.read_bytes())
    data[-1] ^= 1
    chunk.write_bytes(
        {"flip a bit": bytes(data), "cut off": bytes(data[:-9]), "empty": b""}[damage]
    )
    encoder = FakeEncoder()

    again_NVD = embed_files(files, encoder, PREPROCESS, cache=cache)

    assert encoder.images == 5
    assert np.array_equal(again_NVD, whole_NVD)


@pytest.mark.parametrize(
    "change", ["encoder", "resize", "interpolation", "views", "view count", "view key"]
)
def test_the_cache_knows_what_an_embedding_depends_on(tmp_path: Path, change: str) -> None:
    """Another encoder, preprocessing or set of views never gets the stored numbers."""
    files = _files(tmp_path / "images", 3)
    cache = tmp_path / "cache"
    shifts = None if change == "views" else _Shifts()
    embed_files(files, FakeEncoder(), PREPROCESS, cache=cache, views=shifts)
    encoder = FakeEncoder(seed=1 if change == "encoder" else 0)
    preprocess = {
        "resize": replace(PREPROCESS, resize=40),
        "interpolation": replace(PREPROCESS, interpolation="bilinear"),
    }.get(change, PREPROCESS)
    views = {"view count": _Shifts(count=2), "view key": _Shifts(key="x")}.get(change, _Shifts())

    embed_files(files, encoder, preprocess, cache=cache, views=views)

    assert encoder.images == 3 * views.count


def test_progress_counts_images_and_what_was_cached(tmp_path: Path) -> None:
    """A resumed run starts where the other ended."""
    files = _files(tmp_path / "images", 5)
    embed_files(files[:3], FakeEncoder(), PREPROCESS, cache=tmp_path / "cache")
    calls: list[tuple[int, int]] = []

    embed_files(
        files,
        FakeEncoder(),
        PREPROCESS,
        cache=tmp_path / "cache",
        on_progress=lambda done, total: calls.append((done, total)),
    )

    assert calls == [(3, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("vanish", r"001\.jpg: cannot be read: No such file"),
        ("change", r"001\.jpg: changed since"),
        ("text", r"001\.jpg: The data is not an image"),
    ],
)
def test_a_file_that_cannot_be_embedded_is_named(tmp_path: Path, harm: str, message: str) -> None:
    """Vanished, overwritten or no image: the run stops and says which file."""
    files = _files(tmp_path / "images", 3)
    victim = files[1].path
    if harm == "vanish":
        victim.unlink()
    else:
        victim.write_bytes(make_image(seed=99) if harm == "change" else b"text")
    if harm == "text":
        files[1] = File(victim, file_digest(victim))

    with pytest.raises(DataError, match=message):
        embed_files(files, FakeEncoder(), PREPROCESS)


def test_an_interrupted_run_stops_soon(tmp_path: Path) -> None:
    """Ctrl-C does not wait for the images that no thread has begun, and what is done is kept."""
    files = _files(tmp_path / "images", 200)
    encoder = FakeEncoder()

    def interrupt(done: int, _total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt("at image 10")

    with pytest.raises(KeyboardInterrupt, match="at image 10"):
        embed_files(
            files, encoder, PREPROCESS, cache=tmp_path / "cache", workers=2, on_progress=interrupt
        )

    assert encoder.images < 150
    again = FakeEncoder()
    embed_files(files[:10], again, PREPROCESS, cache=tmp_path / "cache")
    assert again.images == 0
