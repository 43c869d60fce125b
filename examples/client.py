"""Classify images with a running Croft service, politely.

    python examples/client.py classify photo.jpg *.png --top-k 3
    python examples/client.py batch photos/ --url http://127.0.0.1:8000
    python examples/client.py batch photos.zip --key "$KEY"

Needs httpx and tqdm (pip install httpx tqdm). Prints one line an image; exit status 1 if any got
no answer. Where the service wants a key: --key, or the variable CROFT_API_KEY.
"""

import argparse
import json
import os
import random
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

SUFFIXES = {
    ".avif", ".bmp", ".gif", ".heic", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp",
}  # fmt: skip
BATCH_IMAGES, BATCH_BYTES = 500, 32 * 2**20
"""So many files of a folder go in one request; the service's own limits are higher."""
NDJSON = {"Accept": "application/x-ndjson"}


class NoAnswer(Exception):
    """The service gave a problem in place of an answer, or could not be reached."""


class Away(Exception):
    """The service asks to come back, if it can after ``retry_after`` (a header's value)."""

    def __init__(self, why: str, retry_after: str | None = None) -> None:
        """Without a time, the client chooses it."""
        super().__init__(why)
        self.retry_after = retry_after


class Patience:
    """How often, and for how long, one request is tried again: bounded in both."""

    def __init__(self, *, tries: int = 6, seconds: float = 120.0) -> None:
        """Begin with the first try."""
        self._left = tries - 1
        self._until = time.monotonic() + seconds
        self._backoff = 0.5

    def wait(self, failure: Away | httpx.TransportError) -> None:
        """Sleep before the next try: as long as the service says, or twice as long as last time.

        The random part keeps clients that were sent away together from coming back together.

        Raises:
            NoAnswer: it was the last one.
        """
        why, told = f"{type(failure).__name__}: {failure}", ""
        if isinstance(failure, Away):
            why, told = str(failure), failure.retry_after or ""
        seconds = float(told) if told.isdigit() else self._backoff * random.uniform(0.5, 1)
        seconds += random.uniform(0, 0.1) * seconds
        if self._left == 0 or time.monotonic() + seconds > self._until:
            raise NoAnswer(why)
        self._left, self._backoff = self._left - 1, min(30.0, 2 * self._backoff)
        time.sleep(seconds)


class Client:
    """One service."""

    def __init__(self, http: httpx.Client, *, key: str | None = None, **query: str | int) -> None:
        """``http`` knows the service's address; ``query`` is what every request asks for."""
        self._http = http
        self._query = query
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def classify(self, data: bytes) -> dict[str, Any]:
        """Return the service's answer for the bytes of one image file.

        Raises:
            NoAnswer: there is none, also after some patience.
        """
        headers = {**self._headers, "Content-Type": "application/octet-stream"}
        patience = Patience()
        while True:
            try:
                response = self._http.post(
                    "/classify", params=self._query, content=data, headers=headers
                )
                _check(response)
                answer: dict[str, Any] = response.json()
                return answer
            except (httpx.TransportError, Away) as failure:
                patience.wait(failure)

    def batch(self, **body: Any) -> Iterator[dict[str, Any]]:
        """Yield the item of each image of one batch, as soon as it is known.

        What was cut off or not reached is asked for again, of a zip file the whole; every index is
        yielded once.

        Args:
            body: what httpx sends: ``files=``, a list, or ``content=`` and ``headers=``.

        Raises:
            NoAnswer: there is none for the batch as a whole, or not to its end, also after some
                patience.
        """
        patience, whole = Patience(), False
        answered, missed = set[int](), dict[int, dict[str, Any]]()
        try:
            while True:
                part, indices = _rest(body, answered)
                if not indices:
                    return
                try:
                    for item in self._attempt(**part):
                        index = item["index"] = indices[item["index"]]
                        if index not in answered and item["status"] in (503, 504):
                            missed[index] = item
                        elif index not in answered:
                            answered.add(index)
                            missed.pop(index, None)
                            yield item
                    if not missed:
                        return
                    whole = True
                    patience.wait(Away("some images were not reached"))
                except (httpx.TransportError, Away) as failure:
                    patience.wait(failure)
        except NoAnswer:
            yield from missed.values()
            if not whole:  # some images have no item
                raise

    def _attempt(self, **body: Any) -> Iterator[dict[str, Any]]:
        """Ask for a batch once, and yield the items of the answer as they come.

        Raises:
            httpx.TransportError: the connection failed, or ended before the summary.
            Away: the service asks to come back.
            NoAnswer: it refuses the batch.
        """
        headers = {**self._headers, **body.pop("headers", {}), **NDJSON}
        options = {"params": self._query, "headers": headers, **body}
        with self._http.stream("POST", "/classify/batch", **options) as response:
            _check(response)
            for item in map(json.loads, _lines(response)):
                if "summary" in item:
                    return
                yield item
        raise httpx.RemoteProtocolError("the stream ends without its summary")

    def folder(self, paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
        """Yield the items of image files, in requests of a handy size."""
        part: list[tuple[str, tuple[str, bytes]]] = []
        size = 0
        for path in paths:
            data = path.read_bytes()
            if part and (len(part) == BATCH_IMAGES or size + len(data) > BATCH_BYTES):
                yield from self.batch(files=part)
                part, size = [], 0
            part.append(("file", (str(path), data)))
            size += len(data)
        if part:
            yield from self.batch(files=part)


def _rest(body: dict[str, Any], answered: set[int]) -> tuple[dict[str, Any], Sequence[int]]:
    """Return a batch without the files that have an answer, and the indices of the others."""
    if "files" not in body:
        return body, range(sys.maxsize)
    indices = [index for index in range(len(body["files"])) if index not in answered]
    return {**body, "files": [body["files"][index] for index in indices]}, indices


def _lines(response: httpx.Response) -> Iterator[bytes]:
    """Yield whole lines; httpx would also end one at U+2028, which a file's name may have."""
    rest = b""
    for piece in response.iter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines


def _check(response: httpx.Response) -> None:
    """Raise what an answer other than 200 means: ``Away`` or ``NoAnswer``."""
    if response.status_code == 200:
        return
    response.read()
    try:
        problem = response.json()
        why = f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):  # a proxy's answer
        why = f"status {response.status_code}"
    if response.status_code not in (429, 503):
        raise NoAnswer(why)
    raise Away(why, response.headers.get("Retry-After"))


def in_words(answer: dict[str, Any]) -> str:
    """Say what an answer, or an item of a batch, means."""
    if "problem" in answer:
        return f"no answer: {answer['problem']['title']}: {answer['problem']['detail']}"
    best = answer["candidates"][0]
    if answer["rejected"]:
        return (
            f"not one of the known classes (p = {answer['p_value']:.3g}; closest: {best['label']})"
        )
    return f"{answer['label']} ({best['probability']:.1%}, p = {answer['p_value']:.3g})"


def classify_files(client: Client, paths: list[Path]) -> int:
    """Print a line for each file; return how many got no answer."""
    failures = 0
    for path in paths:
        try:
            words = in_words(client.classify(path.read_bytes()))
        except (NoAnswer, OSError) as error:
            words, failures = f"no answer: {error}", failures + 1
        sys.stdout.write(f"{path}: {words}\n")
    return failures


def classify_batch(client: Client, source: Path) -> int:
    """Print a line for each image of a folder or zip file; return how many got no answer."""
    if source.is_dir():
        paths = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES)
        items, total = client.folder(paths), len(paths)
    else:
        kind = {"Content-Type": "application/zip"}
        items = client.batch(content=source.read_bytes(), headers=kind)
        with zipfile.ZipFile(source) as archive:
            total = sum(not info.is_dir() for info in archive.infolist())
    failures = 0
    with tqdm(total=total, unit="image") as bar:
        for item in items:
            failures += "problem" in item
            tqdm.write(f"{item['name']}: {in_words(item)}", file=sys.stdout)
            bar.update()
    return failures


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Classify images with a Croft service.")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("CROFT_API_KEY"))
    parser.add_argument("--bundle", help="name or name@version")
    parser.add_argument("--top-k", type=int)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("classify").add_argument("images", nargs="+", type=Path)
    commands.add_parser("batch").add_argument("source", type=Path, metavar="DIR|ZIP")
    args = parser.parse_args()
    asked = {"bundle": args.bundle, "top_k": args.top_k}
    query = {name: value for name, value in asked.items() if value is not None}
    with httpx.Client(base_url=args.url, timeout=60) as http:
        client = Client(http, key=args.key, **query)
        try:
            if args.command == "classify":
                return int(classify_files(client, args.images) > 0)
            return int(classify_batch(client, args.source) > 0)
        except (NoAnswer, OSError, zipfile.BadZipFile) as error:
            sys.stderr.write(f"{error}\n")
            return 1


if __name__ == "__main__":
    sys.exit(main())
