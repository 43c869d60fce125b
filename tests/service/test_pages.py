"""The pages ask nobody but this service for anything."""

import re

import pytest
from starlette.testclient import TestClient

from service.routes.pages import STATIC

FILES = sorted(path for path in STATIC.iterdir() if path.suffix in {".html", ".js", ".css", ".svg"})


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_is_served_with_a_closed_policy(client: TestClient, path: str) -> None:
    """The browser itself is told to load from nowhere else, and to be framed by nobody."""
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/html")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert "unsafe" not in policy
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_names_another_host(file: object) -> None:
    """No address but the name of the SVG language."""
    text = (STATIC / str(file)).read_text()
    assert set(re.findall(r"(?:https?:)?//[a-z][\w.-]+", text)) <= {"http://www.w3.org"}


@pytest.mark.parametrize("file", [f for f in FILES if f.suffix == ".html"], ids=lambda f: f.name)
def test_no_page_has_a_script_or_style_within(file: object) -> None:
    """The policy would stop it: code and style are files of their own."""
    text = (STATIC / str(file)).read_text()
    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\son\w+=|\sstyle=", text) == []


def test_every_reference_exists(client: TestClient) -> None:
    """Scripts, styles and icons that the pages name are served."""
    for page in ("/", "/docs"):
        references = set(re.findall(r'(?:src|href)="(/[^"]*)"', client.get(page).text))
        assert {"/static/style.css", "/static/icon.svg"} <= references
        for path in references:
            assert client.get(path).status_code == 200, path
