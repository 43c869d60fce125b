"""Embeddings on disk, by image digest: plain ``.npy`` files that verify themselves.

Axes: V views, D embedding.
"""

import hashlib
import io
import os
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CHUNK = 64
"""Images in a file: what a run that is killed may have to embed again."""


@dataclass(slots=True)
class EmbeddingStore:
    """The embeddings of any number of images under one key, appended to in files of ``CHUNK``.

    A file is named by the digest of its bytes and appears whole or not at all, so that readers,
    writers and a run cut off at any point cannot disturb each other.
    """

    folder: Path | None
    """Where the files are; None keeps nothing."""
    shape: tuple[int, int]
    """(V, D) of one image's embeddings."""
    _pending: list[tuple[bytes, NDArray[np.float32]]] = field(default_factory=list)

    def read(self, wanted: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """Return ``{digest: embeddings_VD}`` of the wanted images that are there.

        A file that is damaged is removed, not believed.
        """
        found: dict[str, NDArray[np.float32]] = {}
        for path in sorted(self.folder.glob("*.npy")) if self.folder else ():
            records = self._load(path)
            if records is None:
                path.unlink(missing_ok=True)
                continue
            for digest, rows_VD in zip(records["digest"], records["rows_VD"], strict=True):
                if digest.decode() in wanted:
                    found[digest.decode()] = rows_VD.copy()  # or it would keep its whole chunk
        return found

    def add(self, digest: str, rows_VD: NDArray[np.float32]) -> None:
        """Keep one image's embeddings; they reach the disk when ``CHUNK`` have come together."""
        self._pending.append((digest.encode(), rows_VD))
        if len(self._pending) >= CHUNK:
            self.close()

    def close(self) -> None:
        """Write what has come together, if anything."""
        pending, self._pending = self._pending, []
        if self.folder is None or not pending:
            return
        buffer = io.BytesIO()
        np.save(buffer, np.array(pending, dtype=self._dtype()), allow_pickle=False)
        data = buffer.getvalue()
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f"{uuid.uuid4().hex}.tmp"
        temporary.write_bytes(data)
        os.replace(temporary, self.folder / f"{hashlib.sha256(data).hexdigest()}.npy")

    def _load(self, path: Path) -> NDArray[np.void] | None:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != path.stem:
            return None
        records: NDArray[np.void] = np.load(io.BytesIO(data), allow_pickle=False)
        return records if records.dtype == self._dtype() else None

    def _dtype(self) -> np.dtype[np.void]:
        return np.dtype([("digest", "S71"), ("rows_VD", "<f4", self.shape)])
