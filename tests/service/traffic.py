"""Clients that send image after image and count what becomes of each."""

import http.client
import json
import threading
import time
from collections import Counter
from typing import Self

from tests.bundles import colour_image

RED = colour_image("red")


class Traffic:
    """So many clients, each as fast as it is answered; every other one keeps its connection."""

    def __init__(self, port: int, *, clients: int = 8) -> None:
        """Nothing is sent before the block begins."""
        self.statuses: Counter[int] = Counter()
        """Answers, by status."""
        self.bundles: Counter[str] = Counter()
        """Decisions, by who made them."""
        self.refused = 0
        """Clients that found nobody listening any more, which ended them."""
        self.broken: list[str] = []
        """Requests that nobody answered although somebody had taken them."""
        self._port = port
        self._lock = threading.Lock()
        self._enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, kwargs={"keep": bool(i % 2)})
            for i in range(clients)
        ]

    @property
    def answered(self) -> int:
        """How many answers came, whatever they say."""
        return self.statuses.total()

    def wait_for(self, answers: int) -> None:
        """Return once so many more have come."""
        least, end = self.answered + answers, time.monotonic() + 30
        while self.answered < least:
            assert time.monotonic() < end, f"{self.statuses}, {self.broken}"
            time.sleep(0.01)

    def __enter__(self) -> Self:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """End after the requests that are being answered."""
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _send(self, *, keep: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._enough.is_set():
            try:
                self._ask(connection)
            except ConnectionRefusedError:
                with self._lock:
                    self.refused += 1
                return
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.broken.append(repr(error))
                connection.close()
            if not keep:
                connection.close()
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        connection.request("POST", "/classify", body=RED)
        response = connection.getresponse()
        answer = json.loads(response.read())
        with self._lock:
            self.statuses[response.status] += 1
            if response.status == 200:
                self.bundles[answer["bundle"]] += 1
