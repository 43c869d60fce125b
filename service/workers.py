"""The threads of an engine: each has a heartbeat, and is replaced when it dies or is stuck.

A thread cannot be ended from outside. One that is stuck is left to itself: what it held gets an
error, another takes its place, and when it comes back it finds that nobody wants its results and
ends. There are never more of them than workers; beyond that only liveness fails, so that whoever
runs the process restarts it.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from service.errors import EncodingFailed
from service.waiting import Entry

Reason = Literal["died", "stuck"]
Serve = Callable[["Worker"], None]

logger = logging.getLogger(__name__)

_JOIN_SECONDS: Final = 5.0
"""How long the end of the process waits for a worker; a stuck one dies with the process."""
_EXCUSES: Final[dict[Reason, str]] = {
    "died": "The worker died while it had this image. Try again.",
    "stuck": "The worker got stuck while it had this image, or one beside it. Try again.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class CrewConfig:
    """How many workers there are, and how they are watched."""

    workers: int
    """Threads; each decodes and encodes."""
    stall_seconds: float
    """Seconds without a heartbeat after which a worker that holds images counts as stuck."""
    look_seconds: float = 0.5
    """Seconds between two looks at the workers."""
    told_seconds: float = 15.0
    """Seconds for which a replaced worker still counts as a problem.

    Long enough for a probe every ten seconds to see it once, and too short for three of them.
    """


class Worker(threading.Thread):
    """A thread that serves, and on its death lets go of what it holds."""

    def __init__(self, name: str, serve: Serve) -> None:
        """``serve`` runs until there is nothing more to do, or this worker was replaced."""
        super().__init__(name=name, daemon=True)
        self.heartbeat = time.monotonic()
        self.holding: list[Entry] = []
        self.replaced = False
        self._serve = serve

    def beat(self) -> None:
        """Show that it is alive."""
        self.heartbeat = time.monotonic()

    def let_go(self, reason: Reason) -> None:
        """Tell whoever waits for what it holds that nothing will come of it."""
        held, self.holding = self.holding, []
        for entry in held:
            entry.fail(EncodingFailed(_EXCUSES[reason]))

    def run(self) -> None:
        """Serve; whatever ends it, nobody is left waiting."""
        try:
            self._serve(self)
        except BaseException as error:
            logger.critical("%s is dying", self.name, exc_info=error)
            self.let_go("died")


class Crew:
    """The workers of an engine, and the task that looks after them."""

    def __init__(self, config: CrewConfig, *, on_restart: Callable[[Reason], None]) -> None:
        """``on_restart`` is told, from the event loop, why a worker was replaced."""
        self._config = config
        self._on_restart = on_restart
        self._workers: list[Worker] = []
        self._stuck: set[Worker] = set()
        """Workers that are stuck; those of them that were replaced are in no other list."""
        self._replacements: deque[tuple[float, str]] = deque(maxlen=16)
        self._watch: asyncio.Task[None] | None = None

    def start(self, serve: Serve) -> None:
        """Start the workers, and a task of the running event loop that looks after them."""
        self._workers = [_started(i, serve) for i in range(self._config.workers)]
        self._watch = asyncio.get_running_loop().create_task(self._look_often(serve))

    async def stop_watching(self) -> None:
        """Replace nobody any more."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait((self._watch,))
            self._watch = None  # a cancelled task remembers its frame, and with it the engine

    async def join(self) -> None:
        """Wait until the workers have ended, and forget them: each holds what it served."""
        for worker in self._workers:
            await asyncio.to_thread(worker.join, _JOIN_SECONDS)
        self._workers = []
        self._stuck.clear()

    @property
    def idle(self) -> bool:
        """Whether no worker holds anything."""
        return not any(worker.holding for worker in self._workers)

    def problems(self) -> list[str]:
        """Say which workers are dead or stuck, and which were a moment ago."""
        oldest = time.monotonic() - self._config.told_seconds
        return [
            *(text for at, text in self._replacements if at > oldest),
            *(text for worker in self._workers if (text := self._problem(worker))),
        ]

    def _problem(self, worker: Worker) -> str | None:
        reason = self._reason(worker)
        if reason == "stuck":
            silent = time.monotonic() - worker.heartbeat
            return f"{worker.name} gave no sign of life for {silent:.0f} s."
        return None if reason is None else f"{worker.name} died."

    def _reason(self, worker: Worker) -> Reason | None:
        """Say what is wrong with a worker. One that holds nothing is waiting, and not stuck."""
        if not worker.is_alive():
            return "died"
        silent = time.monotonic() - worker.heartbeat > self._config.stall_seconds
        return "stuck" if silent and (worker.holding or worker in self._stuck) else None

    async def _look_often(self, serve: Serve) -> None:
        while True:
            await asyncio.sleep(self._config.look_seconds)
            try:
                self._look(serve)
            except Exception as error:  # no more threads, perhaps: the next look tries again
                logger.critical("a worker could not be replaced", exc_info=error)

    def _look(self, serve: Serve) -> None:
        self._stuck = {w for w in self._stuck if w.is_alive() and (w.replaced or self._reason(w))}
        for index, worker in enumerate(self._workers):
            reason = self._reason(worker)
            if reason is None:
                continue
            worker.let_go(reason)
            if reason == "died" or self._may_be_left(worker):
                self._replace(index, _started(index, serve), reason)

    def _may_be_left(self, worker: Worker) -> bool:
        """Note that a worker is stuck, and say whether there may be one more of its kind."""
        self._stuck.add(worker)
        return sum(w.replaced for w in self._stuck) < self._config.workers

    def _replace(self, index: int, new: Worker, reason: Reason) -> None:
        worker, self._workers[index] = self._workers[index], new
        worker.replaced = True
        text = "died" if reason == "died" else "was stuck"
        logger.error("%s %s and was replaced", worker.name, text)
        self._replacements.append((time.monotonic(), f"{worker.name} {text} and was replaced."))
        self._on_restart(reason)


def _started(index: int, serve: Serve) -> Worker:
    worker = Worker(f"worker {index}", serve)
    worker.start()
    return worker
