"""What many tests need: pictures, small image folders, a fake encoder, the shared material."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

# Axes: B batch, H height, W width, D embedding.

SHARED_ABSENT = "shared material is absent"


def shared_path(name: str) -> Path:
    """Return a path below the shared material; skip the test, saying why, when it is absent."""
    root = Path(os.environ.get("CROFT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    path = root / name
    if not path.exists():
        pytest.skip(f"{SHARED_ABSENT}: {path} (set CROFT_SHARED to the folder that holds it)")
    return path


def picture(*, size: tuple[int, int] = (64, 48), seed: int = 0) -> Image.Image:
    """Return an RGB picture: a smooth gradient with a disc, all of it drawn from the seed."""
    rng = np.random.default_rng(seed)
    width, height = size
    y_HW, x_HW = np.mgrid[0:height, 0:width] / max(width, height)
    corners = rng.uniform(0, 255, size=(2, 3))
    pixels = corners[0] + (corners[1] - corners[0]) * ((x_HW + y_HW) / 2)[..., None]
    centre = rng.uniform(0.2, 0.6, size=2)
    disc_HW = (x_HW - centre[0]) ** 2 + (y_HW - centre[1]) ** 2 < rng.uniform(0.1, 0.25) ** 2
    pixels[disc_HW] = rng.uniform(0, 255, size=3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def make_image(
    *,
    format: str = "JPEG",
    size: tuple[int, int] = (64, 48),
    seed: int = 0,
    mode: str = "RGB",
    orientation: int | None = None,
) -> bytes:
    """Return the bytes of one image file: any format and mode Pillow writes, EXIF orientation."""
    image = picture(size=size, seed=seed).convert(mode)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, format=format, **({"exif": exif} if orientation is not None else {}))
    return buffer.getvalue()


def make_folders(
    root: Path,
    classes: dict[str, int],
    *,
    domains: tuple[str, ...] = (),
    size: tuple[int, int] = (32, 24),
    seed: int = 0,
) -> Path:
    """Write ``class/000.jpg`` (or ``domain/class/000.jpg``) folders of distinct images."""
    count = seed * 100_000
    for domain in domains or ("",):
        for name, images in classes.items():
            folder = root / domain / name
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(images):
                (folder / f"{index:03}.jpg").write_bytes(make_image(size=size, seed=count))
                count += 1
    return root


class FakeEncoder:
    """An encoder without a network: a fixed random projection of an 8x8 thumbnail of the pixels.

    Deterministic, sensitive to every region of the image, and it counts the images it embedded;
    ``fail_at`` makes the n-th image (from 1) raise, as a process that dies there would.
    """

    def __init__(
        self, *, size: int = 32, dim: int = 16, seed: int = 0, fail_at: int | None = None
    ) -> None:
        """Fix the projection; the digest names every argument that changes an embedding."""
        self.size = size
        self.dim = dim
        self.fail_at = fail_at
        self.images = 0
        self._lock = threading.Lock()
        self._projection = np.random.default_rng(seed).standard_normal((8 * 8 * 3, dim)) / 14
        self.digest = "sha256:" + hashlib.sha256(f"fake {size} {dim} {seed}".encode()).hexdigest()

    def embed(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return one embedding per image, shape (B, D), float32."""
        batch, size = len(pixels_BHWC), self.size
        assert pixels_BHWC.dtype == np.uint8
        assert pixels_BHWC.shape == (batch, size, size, 3)
        with self._lock:
            self.images += batch
            failed = self.fail_at is not None and self.images >= self.fail_at
        if failed:
            raise RuntimeError(f"the fake encoder failed at image {self.fail_at}")
        cell = size // 8
        small = pixels_BHWC[:, : cell * 8, : cell * 8].reshape(batch, 8, cell, 8, cell, 3)
        thumbnails_BX = small.mean(axis=(2, 4)).reshape(batch, -1) / 127.5 - 1.0
        rows = [row_X @ self._projection for row_X in thumbnails_BX]  # alone: no batch effect
        return np.stack(rows).astype(np.float32)
