"""Images -> embeddings, many at once: workers that decode and encode whatever waits.

It knows neither HTTP nor the runtime. One worker a core takes its share of what waits, never
waits for more, decodes image by image and encodes what decoded in one call. An image that does
not decode never meets the others; one that breaks the call is found by halving the batch.

Axes: B batch, H height, W width, C channel, D embedding.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models.encoder import Encoder
from models.errors import ImageError, Undecodable
from models.preprocess import Preprocess
from service.errors import DeadlineExceeded, Draining, EncodingFailed
from service.waiting import Entry, Place, WaitingLine

Pixels = NDArray[np.uint8]
Decoded = tuple[Entry, Pixels]

logger = logging.getLogger(__name__)

_IDLE_BEAT_SECONDS: Final = 0.5
_JOIN_SECONDS: Final = 5.0
"""How long the end of the process waits for a worker; a stuck one dies with the process."""


class Observer(Protocol):
    """Who is told how busy the engine is. Calls come from many threads."""

    def queue_changed(self, images: int) -> None:
        """So many images joined (or, negative, left) the queue."""

    def batch_encoded(self, images: int) -> None:
        """So many images were encoded in one call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineConfig:
    """How much an engine does at once, and how long anything may take."""

    workers: int
    """Threads; each decodes and encodes."""
    max_batch: int
    """Most images that a worker takes at once."""
    max_pixels: int
    """Largest width x height of an image."""
    queue_images: int
    """How many images may wait."""
    queue_bytes: int
    """How many bytes may wait."""
    stall_seconds: float
    """Seconds without a heartbeat after which a worker counts as stuck."""
    restart_seconds: float = 0.5
    """Seconds between two looks for workers that died."""


class Engine:
    """One encoder, its preprocessing, and the workers that run them."""

    def __init__(
        self, encoder: Encoder, preprocess: Preprocess, *, config: EngineConfig, observer: Observer
    ) -> None:
        """Nothing runs before ``start``."""
        self.encoder = encoder
        self.preprocess = preprocess
        self.config = config
        self._observer = observer
        self._line = WaitingLine(
            max_images=config.queue_images,
            max_bytes=config.queue_bytes,
            on_change=observer.queue_changed,
        )
        self._workers: list[_Worker] = []
        self._supervisor: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the workers, and a task of the running event loop that replaces dead ones."""
        self._workers = [self._new_worker(i) for i in range(self.config.workers)]
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise())

    def reserve(self, size: int) -> Place:
        """Take a place in the queue for an image of up to ``size`` bytes.

        Raises:
            Overloaded: the queue is full.
            Draining: nothing new is taken.
        """
        return self._line.reserve(size)

    def drain(self) -> None:
        """Take nothing new; what has a place is still answered."""
        self._line.drain()

    @property
    def idle(self) -> bool:
        """Whether nothing waits, uploads or is worked on."""
        return self._line.empty and not any(w.holding for w in self._workers)

    async def close(self) -> None:
        """End the workers; whoever still waits gets an error."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
        for entry in self._line.close():
            entry.fail(Draining("The process ended before the image was reached.", retry_after=1))
        for worker in self._workers:
            await asyncio.to_thread(worker.join, _JOIN_SECONDS)
        self._workers = []  # they and the engine hold each other, and an encoder is large

    def problems(self) -> list[str]:
        """Say which workers are dead or stuck; nothing if all is well."""
        return [text for worker in self._workers if (text := self._problem(worker))]

    def _problem(self, worker: "_Worker") -> str | None:
        if not worker.is_alive():
            return f"{worker.name} died."
        silent = time.monotonic() - worker.heartbeat
        if silent > self.config.stall_seconds:
            return f"{worker.name} gave no sign of life for {silent:.0f} s."
        return None

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(self.config.restart_seconds)
            for i, worker in enumerate(self._workers):
                if not worker.is_alive():
                    logger.error("%s died and is replaced", worker.name)
                    self._workers[i] = self._new_worker(i)

    def _new_worker(self, index: int) -> "_Worker":
        worker = _Worker(f"worker {index}", self._serve)
        worker.start()
        return worker

    def _serve(self, worker: "_Worker") -> None:
        """Work until the line is closed."""
        config = self.config
        while True:
            taken = self._line.take(
                most=config.max_batch, sharers=config.workers, timeout=_IDLE_BEAT_SECONDS
            )
            worker.beat()
            if taken is None:
                return
            worker.holding = taken
            self._process(taken, beat=worker.beat)
            worker.holding = []

    def _process(self, entries: Sequence[Entry], *, beat: Callable[[], None]) -> None:
        decoded = []
        for entry in entries:
            if self._still_wanted(entry) and (pixels := self._decode(entry)) is not None:
                decoded.append((entry, pixels))
            beat()
        batch = [(entry, pixels) for entry, pixels in decoded if self._still_wanted(entry)]
        if batch:
            self._encode(batch)

    def _still_wanted(self, entry: Entry) -> bool:
        """Drop whoever left, and whoever could not be answered in time."""
        if entry.wanted and time.monotonic() > entry.deadline:
            entry.fail(DeadlineExceeded("The image waited too long. Try again when it is calmer."))
            return False
        return entry.wanted

    def _decode(self, entry: Entry) -> Pixels | None:
        started = time.monotonic()
        entry.stages.queue = started - entry.queued_at
        try:
            pixels = self.preprocess.pixels(entry.data, max_pixels=self.config.max_pixels)
        except ImageError as error:
            entry.fail(error)
            return None
        except Exception as error:  # a decoder's bug is this image's trouble, and nobody else's
            logger.warning("the decoder failed unexpectedly", exc_info=error)
            entry.fail(Undecodable("The image is damaged in a way that the decoder cannot name."))
            return None
        entry.stages.decode = time.monotonic() - started
        return pixels

    def _encode(self, batch: Sequence[Decoded]) -> None:
        """Encode a batch; one that fails is halved until the guilty image is alone."""
        started = time.monotonic()
        try:
            embeddings_BD = self._embed(np.stack([pixels for _, pixels in batch]))
        except Exception as error:
            self._halve(batch, error)
            return
        seconds = time.monotonic() - started
        self._observer.batch_encoded(len(batch))
        for (entry, _), embedding_D in zip(batch, embeddings_BD, strict=True):
            entry.stages.encode = seconds
            _finish(entry, embedding_D)

    def _embed(self, pixels_BHWC: Pixels) -> NDArray[np.float32]:
        embeddings_BD = self.encoder.embed(pixels_BHWC)
        expected = (len(pixels_BHWC), self.encoder.dim)
        if embeddings_BD.shape != expected:
            raise RuntimeError(f"the encoder gave {embeddings_BD.shape} in place of {expected}")
        if not np.isfinite(embeddings_BD).all():
            raise RuntimeError("the encoder gave NaN or infinity")
        return embeddings_BD

    def _halve(self, batch: Sequence[Decoded], error: Exception) -> None:
        if len(batch) == 1:
            logger.error("the encoder failed on one image", exc_info=error)
            batch[0][0].fail(EncodingFailed("The encoder failed on this image; others are fine."))
            return
        middle = len(batch) // 2
        self._encode(batch[:middle])
        self._encode(batch[middle:])


def _finish(entry: Entry, embedding_D: NDArray[np.float32]) -> None:
    started = time.monotonic()
    try:
        result = entry.then(embedding_D)
    except Exception as error:
        entry.fail(error)
        return
    entry.stages.decide = time.monotonic() - started
    entry.resolve(result)


class _Worker(threading.Thread):
    """A thread with a heartbeat, which on its death lets go of what it holds."""

    def __init__(self, name: str, serve: Callable[["_Worker"], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.heartbeat = time.monotonic()
        self.holding: list[Entry] = []
        self._serve = serve

    def beat(self) -> None:
        """Show that it is alive."""
        self.heartbeat = time.monotonic()

    def run(self) -> None:
        """Serve; whatever ends it, nobody is left waiting."""
        try:
            self._serve(self)
        except BaseException as error:
            logger.critical("%s is dying", self.name, exc_info=error)
            for entry in self.holding:
                entry.fail(EncodingFailed("The worker died while it had this image. Try again."))
            self.holding = []
