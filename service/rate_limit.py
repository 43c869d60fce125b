"""How many images one caller may send in a window of time.

The window is fixed: it opens with a caller's first image and closes when its time is over.
That is one counter for each caller, where a moving window keeps the time of every image, and
Retry-After can say exactly when the next one opens. The price is that a caller may spend two
windows' worth around the moment between them.
"""

import asyncio
import importlib.util
import logging
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from limits import RateLimitItem, parse_many
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import StorageTypes, storage_from_string
from limits.util import WindowStats

from models.errors import ConfigError
from service.errors import RateLimited

logger = logging.getLogger(__name__)
T = TypeVar("T")

MEMORY: Final = "memory://"
_SCHEMES: Final = ("memory", "redis", "rediss")
_STORAGE_SECONDS: Final = 0.25
"""How long a request waits for a storage that does not answer."""
_BLIND_SECONDS: Final = 5.0
"""How long a storage that failed is not asked again, so that it delays few requests."""
_COMPLAINT_SECONDS: Final = 60.0


class RateLimit:
    """Counts callers' images; lets everybody through while its storage cannot be reached.

    A limit keeps one caller from taking the service away from the others. To refuse them all
    because the counter is down would be the greater harm, and the queue is bounded anyway.
    """

    def __init__(
        self, rate: str, storage: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the settings; nothing is connected yet.

        Args:
            rate: such as ``100/minute``.
            storage: ``memory://``, or the URL of a Redis. It may hold a password: it is not shown.
            clock: counts seconds, for how long a broken storage is left alone.

        Raises:
            ConfigError: one of them is not understood, or the package for it is missing.
        """
        self._item = _parse(rate)
        self._counters = FixedWindowRateLimiter(_open(storage))
        self._clock = clock
        self._blind_until = self._quiet_until = -math.inf

    async def admit(self, caller: str) -> None:
        """Count one image.

        Raises:
            RateLimited: the caller's window is full.
        """
        if not await self._ask(self._counters.hit(self._item, caller), True):
            raise await self._refusal(caller)

    async def charge(self, caller: str, images: int) -> None:
        """Count the images of a request beside its first, which was admitted: all or none.

        Args:
            caller: whose window.
            images: how many the request has.

        Raises:
            RateLimited: the window has no room for all.
        """
        more = images - 1
        room = await self._ask(self._counters.test(self._item, caller, cost=more), True)
        # Of two requests at once that had room, the counter itself takes one.
        if not (room and await self._ask(self._counters.hit(self._item, caller, cost=more), True)):
            raise await self._refusal(caller, images)

    async def _refusal(self, caller: str, images: int = 1) -> RateLimited:
        amount, seconds = self._item.amount, self._item.get_expiry()
        full = WindowStats(time.time() + seconds, 0)
        stats = await self._ask(self._counters.get_window_stats(self._item, caller), full)
        left = max(1, math.ceil(stats.reset_time - time.time()))
        text = f"More than {amount:,} images within {seconds} s (CROFT_RATE_LIMIT)"
        if images > amount:
            text += f": a request of {images:,} never passes. Send at most {amount:,} at a time"
        elif images > 1:
            text += f" with the {images:,} of this request; none was decided"
        return RateLimited(f"{text}. The next window opens in {left} s.", retry_after=left)

    async def _ask(self, question: Coroutine[Any, Any, T], otherwise: T) -> T:
        """Return what the storage answers; ``otherwise`` when it does not."""
        if self._clock() < self._blind_until:
            question.close()
            return otherwise
        try:
            async with asyncio.timeout(_STORAGE_SECONDS):
                return await question
        except (StorageError, OSError) as error:  # OSError is also TimeoutError
            self._go_blind(error)
            return otherwise

    def _go_blind(self, error: Exception) -> None:
        now = self._clock()
        self._blind_until = now + _BLIND_SECONDS
        if now >= self._quiet_until:
            self._quiet_until = now + _COMPLAINT_SECONDS
            logger.error(
                "the rate limit's storage does not answer; every request is let through",
                extra={"reason": str(error) or type(error).__name__},
            )


def _parse(rate: str) -> RateLimitItem:
    try:
        (item,) = parse_many(rate)
        if item.amount > 0:
            return item
    except ValueError:
        pass
    raise ConfigError(
        f"CROFT_RATE_LIMIT was given as {rate!r}: write one limit, such as 100/minute, 5/second or "
        "1000/2 hours."
    )


def _open(storage: str) -> StorageTypes:
    scheme = storage.partition(":")[0]
    if scheme not in _SCHEMES:
        raise ConfigError(
            f"CROFT_RATE_LIMIT_STORAGE begins with {scheme[:20]!r}: give memory:// or the URL of a "
            "Redis, redis://HOST:PORT/DB."
        )
    if scheme != "memory" and importlib.util.find_spec("redis") is None:
        raise ConfigError(
            "CROFT_RATE_LIMIT_STORAGE names a Redis, whose client is not installed. Type in the "
            "checkout: pip install '.[service,redis,cpu]'."
        )
    client = {} if scheme == "memory" else {"implementation": "redispy"}
    try:
        return storage_from_string(f"async+{storage}", wrap_exceptions=True, **client)
    except ConfigurationError:
        raise ConfigError(
            "CROFT_RATE_LIMIT_STORAGE is not a URL such as redis://HOST:PORT/DB."
        ) from None  # the cause shows the URL, and with it the password
