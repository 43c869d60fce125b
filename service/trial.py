"""Does the encoder still work? Failures in a row say no, and an image that once worked says yes.

A service that is not ready gets no traffic, so that it has to try by itself.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

from models.errors import CroftError

Submit = Callable[[bytes], "asyncio.Future[Any]"]


class Trial:
    """Counts batches that failed in a row, and while there are too many keeps trying."""

    def __init__(self, *, most: int, every: float) -> None:
        """Assume that all is well.

        Args:
            most: failed batches in a row from which on the encoder counts as failing.
            every: seconds between two tries.
        """
        self._most = most
        self._every = every
        self._lock = threading.Lock()
        self._failed = 0
        self._sample: bytes | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, submit: Submit) -> None:
        """Start the task of the running event loop that tries; ``submit`` queues an image file."""
        self._task = asyncio.get_running_loop().create_task(self._try_often(submit))

    async def stop(self) -> None:
        """Try no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None  # a cancelled task remembers its frame, and with it the engine

    @property
    def failing(self) -> bool:
        """Whether the encoder does nothing but fail."""
        return self._failed >= self._most

    def note(self, data: bytes, *, worked: bool) -> None:
        """Note what became of a batch, from any thread.

        Args:
            data: an image file of it. The first that worked is kept to try with: a golden image,
                since those come first.
            worked: whether any image of it was encoded.
        """
        with self._lock:
            self._failed = 0 if worked else self._failed + 1
            if worked and self._sample is None:
                self._sample = data

    async def _try_often(self, submit: Submit) -> None:
        while True:
            await asyncio.sleep(self._every)
            if self.failing and self._sample is not None:
                with contextlib.suppress(CroftError):
                    await submit(self._sample)
