"""Which key opens which path, which paths read images, which are probes: one table.

What the table does not name takes an admin key, so that a route which somebody forgot to list
is closed and not open.
"""

from dataclasses import dataclass
from typing import Final

from service.keys import Scope
from service.metrics import OTHER


@dataclass(frozen=True, slots=True)
class Rule:
    """What one path, or every path below one, asks of a caller."""

    method: str
    """``GET`` is also ``HEAD``."""
    path: str
    """Exact; with ``/*`` at the end everything below it. Metrics and logs take it as a label."""
    scope: Scope | None
    """None: open to everybody."""
    reads_images: bool = False
    """Whether its requests count against the rate limit."""
    many_images: bool = False
    """Whether a body may hold many images, which gives it the larger limit."""
    probe: bool = False
    """Whether monitors ask so often that the log and traces would be full of it."""


RULES: Final = (
    Rule("POST", "/classify", "classify", reads_images=True),
    Rule("POST", "/classify/batch", "classify", reads_images=True, many_images=True),
    Rule("GET", "/bundles", "classify"),
    Rule("GET", "/bundles/*", "classify"),
    Rule("POST", "/bundles/reload", "admin"),
    Rule("GET", "/v2", "classify"),
    Rule("GET", "/v2/health/*", None, probe=True),
    Rule("GET", "/v2/models/*", "classify"),
    Rule("POST", "/v2/models/*", "classify", reads_images=True, many_images=True),
    Rule("POST", "/v2/repository/index", "classify"),
    Rule("GET", "/healthz", None, probe=True),
    Rule("GET", "/readyz", None, probe=True),
    Rule("GET", "/metrics", None, probe=True),
    Rule("GET", "/openapi.json", None),
    Rule("GET", "/", None),
    Rule("GET", "/docs", None),
    Rule("GET", "/static/*", None),
)
CLOSED: Final = Rule("*", OTHER, "admin")
"""The rule of every other path and method."""

_EXACT: Final = {(rule.method, rule.path): rule for rule in RULES}
_BELOW: Final = tuple(rule for rule in RULES if rule.path.endswith("/*"))


def rule_for(method: str, path: str) -> Rule:
    """Return the rule of a request; a slash at the end of its path changes nothing."""
    method = "GET" if method == "HEAD" else method
    path = path.rstrip("/") or "/"
    if exact := _EXACT.get((method, path)):
        return exact
    for rule in _BELOW:
        if rule.method == method and path.startswith(rule.path[:-1]):
            return rule
    return CLOSED
