"""All protocols by name."""

from typing import Final

from training.protocols.domains import SETUP_2_PACS, SETUP_2_VLCS
from training.protocols.imagenet import SETUP_1
from training.protocols.protocol import Protocol

PROTOCOLS: Final[dict[str, Protocol]] = {
    protocol.name: protocol for protocol in (SETUP_1, SETUP_2_PACS, SETUP_2_VLCS)
}
"""The paper's."""
