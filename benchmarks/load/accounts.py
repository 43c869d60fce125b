"""The service's own counts of images, read from /metrics."""

from dataclasses import dataclass

from benchmarks.load.scrape import scrape, total


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
    found = scrape(port)
    outcomes: dict[str, int] = {}
    for (name, labels), value in found.items():
        if name == "croft_images_total":
            outcome = dict(labels)["outcome"]
            outcomes[outcome] = outcomes.get(outcome, 0) + int(value)
    return Accounts(int(total(found, "croft_images_received_total")), outcomes)
