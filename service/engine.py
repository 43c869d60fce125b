"""Images -> embeddings, many at once: workers that decode and encode whatever waits.

It knows neither HTTP nor the runtime. One worker a core takes its share of what waits,
decodes image by image and encodes what decoded in one call; it waits for more only for
``batch_delay``. An image that does not decode never meets the others; one that breaks the call is
found by halving the batch.

Axes: B batch, H height, W width, C channel, D embedding.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models.encoder import Encoder
from models.errors import ImageError, Undecodable
from models.preprocess import Preprocess
from service.errors import DeadlineExceeded, EncodingFailed
from service.trial import Trial
from service.waiting import Entry, Hold, Place, WaitingLine, hand_over, unreached
from service.workers import Crew, CrewConfig, Reason, Worker

Pixels = NDArray[np.uint8]
Decoded = tuple[Entry, Pixels]

logger = logging.getLogger(__name__)

_IDLE_BEAT_SECONDS: Final = 0.5
_TRY_SECONDS: Final = 60.0
_FAILING_BATCHES: Final = 5
"""After so many batches in a row of which nothing could be encoded, the encoder is at fault."""


class Observer(Protocol):
    """Who is told how busy the engine is. Calls come from many threads."""

    def queue_changed(self, images: int) -> None:
        """So many images joined (or, negative, left) the queue."""

    def batch_encoded(self, images: int) -> None:
        """So many images were encoded in one call."""

    def worker_restarted(self, reason: Reason) -> None:
        """A worker was replaced."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineConfig(CrewConfig):
    """How much an engine does at once, and how long anything may take."""

    max_batch: int
    """Most images that a worker takes at once."""
    max_pixels: int
    """Largest width x height of an image."""
    queue_images: int
    """How many images may wait."""
    queue_bytes: int
    """How many bytes may wait."""
    batch_delay: float = 0.0
    """Seconds that a worker waits for a batch to fill up."""
    retry_seconds: float = 2.0
    """Seconds between two trials of an encoder that fails."""


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
        self._crew = Crew(config, on_restart=observer.worker_restarted)
        self._trial = Trial(most=_FAILING_BATCHES, every=config.retry_seconds)

    def start(self) -> None:
        """Start the workers, and what looks after them, on the running event loop."""
        self._crew.start(self._serve)
        self._trial.start(self._try)

    def reserve(self, size: int) -> Place:
        """Take a place in the queue for an image of up to ``size`` bytes.

        Raises:
            Overloaded: the queue is full.
            Draining: nothing new is taken.
        """
        return self._line.reserve(size)

    def hold(self, size: int) -> Hold:
        """Hold the bytes of a batch's body, of up to ``size``, until all of it is answered.

        Raises:
            Overloaded: other batches hold too much.
            Draining: nothing new is taken.
        """
        return self._line.hold(size)

    async def place_for_batch(self, size: int) -> Place:
        """Wait for a place in the queue for an image of up to ``size`` bytes, of a batch.

        Raises:
            Draining: the process ends before there was a place.
        """
        return await self._line.place_for_batch(size)

    @property
    def batch_window(self) -> int:
        """How many images of one batch keep all workers busy: one call in work, one waiting."""
        return 2 * self.config.workers * self.config.max_batch

    def full_for(self, seconds: float) -> bool:
        """Say whether the queue has no place for an image, nor will have many so soon."""
        return self._line.full_for(seconds)

    def drain(self) -> None:
        """Take nothing new; what has a place is still answered, and so are batches."""
        self._line.drain()

    def shed_batches(self) -> None:
        """Tell what is left of batches that it is not reached any more."""
        for entry in self._line.shed_batches():
            entry.fail(unreached())

    @property
    def idle(self) -> bool:
        """Whether nothing waits, uploads or is worked on, and no batch is being answered."""
        return self._line.empty and self._crew.idle

    async def close(self) -> None:
        """End the workers; whoever still waits gets an error."""
        await self._crew.stop_watching()
        await self._trial.stop()
        for entry in self._line.close():
            entry.fail(unreached())
        await self._crew.join()

    def problems(self) -> list[str]:
        """Say which workers are dead or stuck, or were a moment ago; nothing if all is well."""
        return self._crew.problems()

    @property
    def failing(self) -> bool:
        """Whether the encoder has done nothing but fail for several batches."""
        return self._trial.failing

    def _try(self, data: bytes) -> "asyncio.Future[Any]":
        with self.reserve(len(data)) as place:
            return place.submit(data, lambda _: None, deadline=time.monotonic() + _TRY_SECONDS)

    def _serve(self, worker: Worker) -> None:
        """Work until the line is closed, or another worker has taken over."""
        while not worker.replaced:
            taken = self._take()
            worker.beat()
            if taken is None:
                return
            worker.holding = taken
            self._process(taken, worker=worker)
            worker.holding = []

    def _take(self) -> list[Entry] | None:
        """Take a share of what waits; a worker that may wait for a full batch takes it all."""
        config = self.config
        return self._line.take(
            most=config.max_batch,
            sharers=1 if config.batch_delay else config.workers,
            timeout=_IDLE_BEAT_SECONDS,
            delay=config.batch_delay,
        )

    def _process(self, entries: Sequence[Entry], *, worker: Worker) -> None:
        batch = []
        for entry in entries:
            if self._still_wanted(entry) and (pixels := self._decode(entry)) is not None:
                batch.append((entry, pixels))
            worker.beat()
        if any(self._still_wanted(entry) for entry, _ in batch):
            worked = self._encode(batch, worker=worker)
            self._trial.note(batch[0][0].data, worked=worked)

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
            entry.fail(type(error)(*error.args))  # whose own frames hold the entry, that its future
            return None
        except Exception as error:  # a decoder's bug is this image's trouble, and nobody else's
            logger.warning("the decoder failed unexpectedly", exc_info=error)
            entry.fail(Undecodable("The image is damaged in a way that the decoder cannot name."))
            return None
        entry.stages.decode = time.monotonic() - started
        return pixels

    def _encode(self, decoded: Sequence[Decoded], *, worker: Worker) -> bool:
        """Encode a batch; one that fails is halved until the guilty image is alone.

        Returns:
            Whether any image was encoded.
        """
        batch = [(entry, pixels) for entry, pixels in decoded if self._still_wanted(entry)]
        if not batch:
            return False
        started = time.monotonic()
        worker.beat()
        try:
            embeddings_BD = self._embed(np.stack([pixels for _, pixels in batch]))
        except Exception as error:
            return self._halve(batch, error, worker=worker)
        seconds = time.monotonic() - started
        self._observer.batch_encoded(len(batch))
        for entry, _ in batch:
            entry.stages.encode = seconds
        pairs = zip((entry for entry, _ in batch), embeddings_BD, strict=True)
        hand_over([answer for pair in pairs if (answer := _answer(*pair)) is not None])
        return True

    def _embed(self, pixels_BHWC: Pixels) -> NDArray[np.float32]:
        embeddings_BD = self.encoder.embed(pixels_BHWC)
        expected = (len(pixels_BHWC), self.encoder.dim)
        if embeddings_BD.shape != expected:
            raise RuntimeError(f"the encoder gave {embeddings_BD.shape} in place of {expected}")
        if not np.isfinite(embeddings_BD).all():
            raise RuntimeError("the encoder gave NaN or infinity")
        return embeddings_BD

    def _halve(self, batch: Sequence[Decoded], error: Exception, *, worker: Worker) -> bool:
        if len(batch) == 1:
            logger.error("the encoder failed on one image", exc_info=error)
            batch[0][0].fail(EncodingFailed("The encoder failed on this image; others are fine."))
            return False
        middle = len(batch) // 2
        first = self._encode(batch[:middle], worker=worker)
        second = self._encode(batch[middle:], worker=worker)
        return first or second


def _answer(entry: Entry, embedding_D: NDArray[np.float32]) -> tuple[Entry, Any] | None:
    started = time.monotonic()
    try:
        result = entry.then(embedding_D)
    except Exception as error:
        entry.fail(error)
        return None
    entry.stages.decide = time.monotonic() - started
    return entry, result
