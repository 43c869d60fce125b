"""The floor: uvicorn, a queue, Croft's own workers' steps, and nothing of what a service needs.

No limits, deadlines, metrics, logs, ids or errors: what it costs beyond the bare loop is the price
of HTTP from Python in one process, and what Croft costs beyond it, that of everything else.
"""

import asyncio
import json
import math
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn

from benchmarks.peers.common import BATCH, BUNDLE
from models.bundle import Bundle
from models.decision import decide
from models.embed import usable_cores
from models.encoder import OnnxEncoder

Message = MutableMapping[str, Any]
Waiting = tuple[bytes, "asyncio.Future[bytes]"]


class Floor:
    """An ASGI application, and one thread a core that decodes, encodes and decides."""

    def __init__(self, bundle: Bundle) -> None:
        """Begin when the server does."""
        self._bundle = bundle
        self._encoder = OnnxEncoder(bundle.encoder_path)
        self._preprocess = bundle.manifest.preprocess.build()
        self._waiting: deque[Waiting] = deque()
        self._changed = threading.Condition()

    async def __call__(
        self, scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]
    ) -> None:
        """Answer a request, whatever its path."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        # Whoever asks whether it is up sends no image.
        answer = await self._decided(receive) if scope["method"] == "POST" else b""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _decided(self, receive: Callable[[], Any]) -> bytes:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        future: asyncio.Future[bytes] = self._loop.create_future()
        with self._changed:
            self._waiting.append((body, future))
            self._changed.notify()
        return await future

    async def _live(self, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        await receive()
        self._loop = asyncio.get_running_loop()
        self._cores = usable_cores()
        for _ in range(self._cores):
            threading.Thread(target=self._work, daemon=True).start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                share = min(BATCH, math.ceil(len(self._waiting) / self._cores))
                taken = [self._waiting.popleft() for _ in range(share)]
                if self._waiting:
                    self._changed.notify()
            pixels = [self._preprocess.pixels(data) for data, _ in taken]
            answers = [self._answer(pixels_HWC) for pixels_HWC in pixels]
            futures = [future for _, future in taken]
            self._loop.call_soon_threadsafe(_settle, futures, answers)

    def _answer(self, pixels_HWC: Any) -> bytes:
        decision = decide(self._bundle, self._encoder.embed(pixels_HWC[None])[0])
        best = decision.candidates[0]
        return json.dumps({"label": best.label, "energy": decision.energy}).encode()


def _settle(futures: "list[asyncio.Future[bytes]]", answers: list[bytes]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if not future.done():
            future.set_result(answer)


if __name__ == "__main__":
    floor = Floor(Bundle.load(Path(os.environ[BUNDLE])))
    uvicorn.run(floor, port=int(sys.argv[1]), log_level="warning", access_log=False)
