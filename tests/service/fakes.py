"""Encoders and helpers that make an engine do what a test needs."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray
from starlette.testclient import TestClient

from models.bundle import Bundle
from models.encoder import Encoder, OnnxEncoder
from models.preprocess import Preprocess
from service.engine import Engine, EngineConfig
from service.loading import read_bundles
from service.registry import Registry
from service.settings import Settings
from service.waiting import Embedding
from tests.helpers import FakeEncoder

# Axes: B batch, H height, W width, C channel, D embedding.

Hook = Callable[[NDArray[np.uint8]], None]
SIZE = 32
T = TypeVar("T")


class HookedEncoder:
    """An encoder that calls a hook before each batch, and remembers the sizes of the batches."""

    def __init__(self, inner: Encoder, hook: Hook) -> None:
        """``hook`` may wait, or raise."""
        self._inner = inner
        self._hook = hook
        self.digest, self.dim, self.size = inner.digest, inner.dim, inner.size
        self.batches: list[int] = []

    def embed(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Call the hook, then embed."""
        self.batches.append(len(pixels_BHWC))
        self._hook(pixels_BHWC)
        return self._inner.embed(pixels_BHWC)


class Gate:
    """A hook that holds every batch until it is opened."""

    def __init__(self) -> None:
        """Closed, and nobody has come yet."""
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, _pixels_BHWC: NDArray[np.uint8]) -> None:
        """Wait."""
        self.reached.set()
        assert self.open.wait(20)


class SelfTestThenGate(Gate):
    """Lets the golden images of the self-test through, then holds everything."""

    def __init__(self) -> None:
        """Closed to all but three images."""
        super().__init__()
        self.free = 3

    def __call__(self, pixels_BHWC: NDArray[np.uint8]) -> None:
        """Wait, unless it is a golden image."""
        if self.free > 0:
            self.free -= len(pixels_BHWC)
            return
        super().__call__(pixels_BHWC)


class BrokenAfterSelfTest:
    """A hook that lets the golden images of the self-test through, then fails on everything."""

    def __init__(self, message: str = "boom") -> None:
        """``message`` is that of the error, which no client may see."""
        self._message = message
        self._free = 3

    def __call__(self, pixels_BHWC: NDArray[np.uint8]) -> None:
        """Fail, unless it is a golden image."""
        if self._free <= 0:
            raise RuntimeError(self._message)
        self._free -= len(pixels_BHWC)


class Watcher:
    """An observer that adds up what an engine reports."""

    def __init__(self) -> None:
        """Nothing seen."""
        self.queued = 0
        self.batches: list[int] = []
        self.restarts: list[str] = []

    def queue_changed(self, images: int) -> None:
        """Add."""
        self.queued += images

    def batch_encoded(self, images: int) -> None:
        """Remember."""
        self.batches.append(images)

    def worker_restarted(self, reason: str) -> None:
        """Remember."""
        self.restarts.append(reason)


def nothing(_pixels_BHWC: NDArray[np.uint8]) -> None:
    """Do nothing: the hook of an encoder that only counts."""


def hooked(hook: Hook = nothing, *, size: int = SIZE) -> HookedEncoder:
    """Return a fake encoder with a hook."""
    return HookedEncoder(FakeEncoder(size=size), hook)


@asynccontextmanager
async def running(
    encoder: Encoder, *, watcher: Watcher | None = None, **config: Any
) -> AsyncIterator[Engine]:
    """Run an engine of one worker, unless the configuration says otherwise."""
    usual: dict[str, Any] = {
        "workers": 1,
        "max_batch": 8,
        "max_pixels": 1_000_000,
        "queue_images": 64,
        "queue_bytes": 2**24,
        "stall_seconds": 20.0,
        "look_seconds": 0.02,
        "told_seconds": 0.0,
        "retry_seconds": 0.02,
    }
    engine = Engine(
        encoder,
        Preprocess(resize=encoder.size, crop=encoder.size),
        config=EngineConfig(**{**usual, **config}),
        observer=watcher or Watcher(),
    )
    engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def submit(
    engine: Engine, data: bytes, *, seconds: float = 20.0
) -> "asyncio.Future[tuple[Embedding, Any]]":
    """Queue an image whose result is its embedding."""
    with engine.reserve(len(data)) as place:
        return place.submit(data, lambda x_D: x_D, deadline=time.monotonic() + seconds)


async def outcomes(futures: Sequence[Awaitable[Any]]) -> list[Any]:
    """Return every result or error, in order."""
    return list(await asyncio.gather(*futures, return_exceptions=True))


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario, which hangs only when what it tests is broken."""

    async def limited() -> T:
        async with asyncio.timeout(20):
            return await scenario

    return asyncio.run(limited())


async def until(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def registry_of(
    *bundles: Bundle, hook: Hook | None = None, **settings: Any
) -> tuple[Registry, Settings]:
    """Return bundles on their real encoders, each behind a hook if one is given."""
    chosen = Settings(**{"workers": 2, **settings})

    def open_encoder(bundle: Bundle) -> Encoder:
        encoder = OnnxEncoder(bundle.encoder_path)
        return encoder if hook is None else HookedEncoder(encoder, hook)

    return Registry(bundles, settings=chosen, open_encoder=open_encoder), chosen


def registry_in(client: TestClient) -> Registry:
    """Return what the application of a client serves."""
    assert isinstance(client.app, FastAPI)
    registry: Registry = client.app.state.registry
    return registry


def registry_at(*paths: Path, **options: Any) -> Registry:
    """Return what lies at these paths, as ``registry_of`` does; a reload reads them again."""
    bundles = read_bundles(Settings(bundles=paths), known={})
    return registry_of(*bundles, bundles=paths, **options)[0]
