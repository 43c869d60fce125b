"""Classify image files with a running Croft service, politely.

    python examples/client.py photo.jpg *.png
    python examples/client.py --url http://127.0.0.1:8000 --bundle toybox --top-k 3 photo.jpg

Needs httpx (pip install httpx). Prints one line a file; exit status 1 if any got no answer.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import httpx

ATTEMPTS = 5
LONGEST_WAIT_SECONDS = 30.0


def classify(client: httpx.Client, data: bytes, **query: str | int) -> dict[str, Any]:
    """Return the service's answer for the bytes of one image file.

    While the service is overloaded (503) it is asked again after the time that it names.

    Raises:
        RuntimeError: it gave a problem in place of an answer.
    """
    for attempt in range(1, ATTEMPTS + 1):
        response = client.post(
            "/classify",
            params=query,
            content=data,
            headers={"Content-Type": "application/octet-stream"},
        )
        if response.status_code != 503 or attempt == ATTEMPTS:
            break
        time.sleep(min(LONGEST_WAIT_SECONDS, float(response.headers.get("Retry-After", "1"))))
    body: dict[str, Any] = response.json()
    if response.status_code != 200:
        raise RuntimeError(f"{body['title']}: {body['detail']}")
    return body


def in_words(answer: dict[str, Any]) -> str:
    """Say what an answer means."""
    best = answer["candidates"][0]
    if answer["rejected"]:
        return (
            f"not one of the known classes (p = {answer['p_value']:.3g}; closest: {best['label']})"
        )
    return f"{answer['label']} ({best['probability']:.1%}, p = {answer['p_value']:.3g})"


def main() -> int:
    """Classify the files of the command line."""
    parser = argparse.ArgumentParser(description="Classify image files.")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--bundle", help="name or name@version")
    parser.add_argument("--top-k", type=int)
    args = parser.parse_args()
    query = {"bundle": args.bundle, "top_k": args.top_k}
    failed = False
    with httpx.Client(base_url=args.url, timeout=60) as client:
        for path in args.files:
            try:
                asked = {name: value for name, value in query.items() if value is not None}
                words = in_words(classify(client, path.read_bytes(), **asked))
            except (RuntimeError, httpx.TransportError, OSError, ValueError) as error:
                words, failed = f"no answer: {error}", True
            sys.stdout.write(f"{path}: {words}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
