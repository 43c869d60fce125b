"""The store of embeddings: files that verify themselves, and writers that do not disturb."""

from pathlib import Path

import numpy as np

from models.embedding_store import CHUNK, EmbeddingStore


def _digest(index: int) -> str:
    return f"sha256:{index:064x}"


def _digests(count: int) -> list[str]:
    return [_digest(index) for index in range(count)]


def _store(folder: Path | None, shape: tuple[int, int] = (2, 3)) -> EmbeddingStore:
    return EmbeddingStore(folder=folder, shape=shape)


def _rows(index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.full((2, 3), index, dtype=np.float32)


def test_what_was_added_is_read_back(tmp_path: Path) -> None:
    """Bit for bit, special values included."""
    rows_VD = np.array([[1e-38, -0.0, 3.4e38], [1 / 3, 0.0, -1.0]], dtype=np.float32)
    store = _store(tmp_path / "new" / "folder")
    store.add(_digest(1), rows_VD)
    store.close()

    (found,) = _store(tmp_path / "new" / "folder").read([_digest(1)]).items()

    assert found[0] == _digest(1)
    assert found[1].tobytes() == rows_VD.tobytes()


def test_a_full_chunk_is_on_disk_before_close(tmp_path: Path) -> None:
    """So that a killed run loses the open chunk alone."""
    store = _store(tmp_path)
    for index in range(CHUNK + 5):
        store.add(_digest(index), _rows(index))

    assert len(_store(tmp_path).read(_digests(CHUNK + 5))) == CHUNK
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]


def test_only_what_is_wanted_is_returned(tmp_path: Path) -> None:
    """A cache may hold far more images than one run needs."""
    store = _store(tmp_path)
    for index in range(5):
        store.add(_digest(index), _rows(index))
    store.close()

    assert list(_store(tmp_path).read({_digest(3), _digest(9)})) == [_digest(3)]


def test_two_writers_add_up(tmp_path: Path) -> None:
    """Two runs may share a cache; what both computed is there once."""
    first, second = _store(tmp_path), _store(tmp_path)
    for index in range(10):
        first.add(_digest(index), _rows(index))
        second.add(_digest(index + 5), _rows(index + 5))
    first.close()
    second.close()

    found = _store(tmp_path).read(_digests(20))

    assert sorted(found) == _digests(15)
    assert all(np.array_equal(found[_digest(index)], _rows(index)) for index in range(15))


def test_a_file_of_another_shape_is_not_read(tmp_path: Path) -> None:
    """A sound file that does not belong here is removed like a damaged one."""
    store = _store(tmp_path)
    store.add(_digest(1), _rows(1))
    store.close()

    assert _store(tmp_path, shape=(3, 2)).read([_digest(1)]) == {}
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    """And nothing is written anywhere."""
    store = _store(None)
    store.add(_digest(1), _rows(1))
    store.close()

    assert store.read([_digest(1)]) == {}
    assert list(tmp_path.iterdir()) == []
