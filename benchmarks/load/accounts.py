"""The service's own counts of images, read from /metrics."""

import http.client
import re
from dataclasses import dataclass
from typing import Final

_SAMPLE: Final = re.compile(r"^(croft_\w+?)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_OUTCOME: Final = re.compile(r'outcome="(\w+)"')


@dataclass(frozen=True, slots=True)
class Accounts:
    """Images that arrived, and what became of them."""

    received: int
    outcomes: dict[str, int]

    @property
    def settled(self) -> int:
        """How many have an outcome."""
        return sum(self.outcomes.values())

    def since(self, before: "Accounts") -> "Accounts":
        """Return the difference."""
        outcomes = {name: n - before.outcomes.get(name, 0) for name, n in self.outcomes.items()}
        return Accounts(self.received - before.received, outcomes)


def read_accounts(port: int) -> Accounts:
    """Ask the service at a port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    received = 0
    outcomes: dict[str, int] = {}
    for name, labels, value in _SAMPLE.findall(text):
        if name == "croft_images_received_total":
            received += int(float(value))
        elif name == "croft_images_total" and (found := _OUTCOME.search(labels)):
            outcomes[found[1]] = outcomes.get(found[1], 0) + int(float(value))
    return Accounts(received, outcomes)
