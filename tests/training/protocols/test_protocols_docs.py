"""docs/protocols.md says which folders are expected and what is left out; the code decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.protocols.domains import PACS, VLCS, Domains
from training.protocols.published import PROTOCOLS

PAGE = (Path(__file__).parents[3] / "docs" / "protocols.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_page_names_each_protocol_and_what_it_can_do_without(name: str) -> None:
    """And the recipe."""
    assert f"| `{name}` |" in PAGE
    assert f"{name}.toml" in PAGE
    for optional in PROTOCOLS[name].optional:
        assert f"`{optional}`" in PAGE


def test_the_page_names_each_folder(tmp_path: Path) -> None:
    """As an empty root is told."""
    for protocol in PROTOCOLS.values():
        for line in protocol.missing(tmp_path):
            place = line.split(" ")[0]
            parent = place.replace("art_painting", "<domain>").replace("CALTECH", "<DOMAIN>")
            assert (
                f"`{place}`" in PAGE or f"`{parent}`" in PAGE or f"`{place.split('/')[1]}`" in PAGE
            )


@pytest.mark.parametrize(("name", "data"), [("setup2-pacs", PACS), ("setup2-vlcs", VLCS)])
def test_the_page_lists_what_is_left_out(name: str, data: Domains) -> None:
    """Every folder, with the reason."""
    table = PAGE.split("What of Caltech-101 is not unknown")[1].split("##")[0]
    part = table.split(f"\n| `{name}` ")[1].split("\n| `setup2")[0]
    for reason, folders in data.overlap.because.items():
        assert f"| {', '.join(f'`{folder}`' for folder in folders)} | {reason} |" in part
