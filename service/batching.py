"""The images of a batch, a bounded window of them at a time."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

from models.decision import Decision
from service.batch_uploads import BatchImage
from service.classifier import Classifier
from service.deadline import Deadline
from service.waiting import Stages

T = TypeVar("T")


async def in_window(
    work: Callable[[int], Coroutine[Any, Any, T]], *, count: int, width: int
) -> AsyncGenerator[T, None]:
    """Yield the results of ``work(0)`` to ``work(count - 1)`` as they come.

    At most ``width`` pieces are begun whose result was not yet asked for again, so that a slow
    reader of this iterator holds back the work. Closing the iterator cancels what is in hand.

    Args:
        work: one piece; they begin in order. An exception ends the iteration.
        count: how many pieces there are.
        width: how many may be in hand.
    """
    begun = 0
    running: set[asyncio.Task[T]] = set()
    done: deque[asyncio.Task[T]] = deque()
    try:
        while begun < count or running or done:
            while begun < count and len(running) + len(done) < width:
                running.add(asyncio.create_task(work(begun)))
                begun += 1
            if not done:
                finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                done.extend(finished)
            yield done.popleft().result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, *done, return_exceptions=True)


async def decide_in_turn(
    classifier: Classifier, image: BatchImage, *, top_k: int, seconds: float
) -> tuple[Decision, Stages]:
    """Wait for a place in the queue, load the image into it, and wait for its decision.

    Args:
        classifier: the bundle that decides, whose engine holds the batch.
        image: one of the batch.
        top_k: how many candidates to name.
        seconds: how long all of this may take.

    Raises:
        CroftError: the image got no decision.
    """
    deadline = Deadline(seconds, time.monotonic() + seconds)
    try:
        async with asyncio.timeout(seconds):
            with await classifier.engine.place_for_batch(image.size) as place:
                data = await asyncio.to_thread(image.load)
                future = classifier.classify(data, place=place, top_k=top_k, deadline=deadline.at)
            return await future
    except TimeoutError as error:
        raise deadline.exceeded("counted from this image's turn") from error
