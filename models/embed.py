"""A set of image files -> embeddings: decode, preprocess, encode; cached, and resumed if cut off.

Axes: N images, V views, D embedding, H height, W width.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.decode import decoder_version
from models.embedding_store import EmbeddingStore
from models.encoder import Encoder
from models.errors import DataError, ImageError
from models.preprocess import Preprocess


class ImageFile(Protocol):
    """A file whose bytes are known by their digest."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def digest(self) -> str:
        """``sha256:...`` of its bytes."""


class ViewPlan(Protocol):
    """How to look at each image more than once."""

    @property
    def count(self) -> int:
        """V, the number of views."""

    @property
    def key(self) -> str:
        """Names everything that changes a view: part of the cache's key."""

    def pixels(
        self, image: Image.Image, preprocess: Preprocess, *, digest: str, view: int
    ) -> NDArray[np.uint8]:
        """Return one view of an image, shape (crop, crop, 3)."""


def embed_files(
    files: Sequence[ImageFile],
    encoder: Encoder,
    preprocess: Preprocess,
    *,
    cache: Path | None = None,
    views: ViewPlan | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Embed image files, each on its own, through the path that serving takes.

    Args:
        files: what to embed; files with one digest are embedded once.
        encoder: called from several threads, with the V views of one image at a time.
        preprocess: decodes and crops.
        cache: folder that keeps every embedding by image, encoder, preprocessing and views. A run
            that was cut off finds what it had done; a damaged file is computed again.
        views: several views of each image; by default the plain one alone.
        workers: threads; by default one per usable core.
        on_progress: told how many different images are done, and of how many.

    Returns:
        embeddings_NVD: shape (N, V, D), float32, in the order of ``files``. V = 1 without views.

    Raises:
        DataError: a file is gone, was changed since it was hashed, or does not decode; names it.
    """
    wanted = {file.digest: file for file in files}
    count = 1 if views is None else views.count
    store = EmbeddingStore(
        folder=cache and cache / _key(encoder, preprocess, views), shape=(count, encoder.dim)
    )
    done = store.read(wanted)
    missing = [file for digest, file in wanted.items() if digest not in done]

    def embed(file: ImageFile) -> NDArray[np.float32]:
        return _embed_one(file, encoder, preprocess, views)

    if on_progress is not None:
        on_progress(len(done), len(wanted))
    with ThreadPoolExecutor(workers or usable_cores()) as pool, contextlib.closing(store):
        for file, rows_VD in zip(missing, pool.map(embed, missing), strict=True):
            done[file.digest] = rows_VD
            store.add(file.digest, rows_VD)
            if on_progress is not None:
                on_progress(len(done), len(wanted))
    return np.array([done[file.digest] for file in files], dtype=np.float32).reshape(
        len(files), count, encoder.dim
    )


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _embed_one(
    file: ImageFile, encoder: Encoder, preprocess: Preprocess, views: ViewPlan | None
) -> NDArray[np.float32]:
    try:
        data = file.path.read_bytes()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != file.digest:
            raise DataError(f"{file.path}: changed since the data was read. Start again.")
        image = preprocess.open(data)
    except OSError as error:
        raise DataError(f"{file.path}: cannot be read: {error.strerror}.") from error
    except ImageError as error:
        raise DataError(f"{file.path}: {error}") from error
    if views is None:
        return encoder.embed(preprocess.fit(image)[None])
    pixels_VHWC = np.stack(
        [
            views.pixels(image, preprocess, digest=file.digest, view=view)
            for view in range(views.count)
        ]
    )
    return encoder.embed(pixels_VHWC)


def _key(encoder: Encoder, preprocess: Preprocess, views: ViewPlan | None) -> str:
    """Return the digest of everything but the image that an embedding depends on."""
    parts = {
        "encoder": encoder.digest,
        "preprocess": asdict(preprocess),
        "decoder_version": decoder_version(),
        "views": None if views is None else [views.count, views.key],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
