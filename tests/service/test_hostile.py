"""What has wedged other servers, done to a real process; every image is accounted for after each.

The accounts are compared with the client's own: as many images as it sent, each with the outcome
that its answer says.
"""

import io
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from benchmarks.load.accounts import Accounts, read_accounts
from benchmarks.load.machine import rss_mib
from benchmarks.processes import wait_until
from service.deadline import HEADER as TIMEOUT
from service.loading import shipped_bundle
from service.newcomers import MOMENT_SECONDS
from tests.bundles import colour_image
from tests.helpers import make_image
from tests.service.faulty import BROKEN, DEADLY, GUILTY, HOLD, SHORT, SLOW, STUCK, TAKEN
from tests.service.processes import Served, served, value_of

RED = colour_image("red")
BRIGHT = colour_image("white")
MIB = 2**20
OUTCOMES = {200: "answered", 500: "failed", 503: "shed", 504: "shed", 0: "cancelled"}
"""What a client that got this status, or 0 because it left, knows of the outcome."""


class Hostile:
    """A service whose encoder goes wrong on demand, and a client that counts what it sends."""

    def __init__(
        self, service: Served, faults: Path, *, client: httpx.Client, pool: ThreadPoolExecutor
    ) -> None:
        """Begin with no fault and nothing sent."""
        self.service = service
        self.statuses: Counter[int] = Counter()
        self._faults = faults
        self._pool = pool
        self._client = client

    def ask(self, data: bytes, **headers: str) -> httpx.Response:
        """Send an image."""
        response = self._client.post("/classify", content=data, headers=headers)
        self.statuses[response.status_code] += 1
        return response

    def begin(self, data: bytes, **headers: str) -> "Future[httpx.Response]":
        """Send an image, and do not wait."""
        return self._pool.submit(self.ask, data, **headers)

    def begin_all(self, images: Sequence[bytes], **headers: str) -> "list[Future[httpx.Response]]":
        """Send images, one after the other into the queue."""
        futures = []
        for data in images:
            waiting = self.metric("croft_queue_images")
            futures.append(self.begin(data, **headers))
            wait_until(lambda before=waiting: self.metric("croft_queue_images") > before)  # type: ignore[misc]
        return futures

    def occupy(self) -> "Future[httpx.Response]":
        """Hold the encoder with an image in it, so that what comes next waits together."""
        self.fault(HOLD)
        future = self.begin(RED)
        wait_until(lambda: self.received == self.statuses.total() + 1)
        wait_until(lambda: self.metric("croft_queue_images") == 0)
        return future

    def leave(self, data: bytes) -> None:
        """Send an image and close the connection before the answer."""
        head = f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        before = self.received
        with socket.create_connection(("127.0.0.1", self.service.port), timeout=20) as connection:
            connection.sendall(head.encode() + data)
            wait_until(lambda: self.received > before)
        self.statuses[0] += 1

    def probe(self, path: str) -> httpx.Response:
        """Ask what is no image."""
        return self._client.get(path)

    def fault(self, name: str, text: str = "") -> None:
        """Make something go wrong."""
        (self._faults / name).write_text(text)

    def mend(self, name: str) -> None:
        """Make it right again."""
        (self._faults / name).unlink()

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over all other labels."""
        return value_of(self.service, name, **labels)

    @property
    def received(self) -> int:
        """How many images the service has received."""
        return read_accounts(self.service.port).received

    @property
    def memory_mib(self) -> float:
        """What the process has in memory."""
        return rss_mib(self.service.process.pid)

    def check_accounts(self) -> None:
        """Every image that was sent was received, and has the outcome that its answer says."""
        wait_until(lambda: self.received == read_accounts(self.service.port).settled)
        accounts = read_accounts(self.service.port)
        assert accounts.received == self.statuses.total()
        assert _by_outcome(accounts) == _expected(self.statuses)
        assert self.metric("croft_queue_images") == 0


def _by_outcome(accounts: Accounts) -> dict[str, int]:
    found = Counter(accounts.outcomes)
    found["answered"] = found.pop("accepted", 0) + found.pop("rejected", 0)
    return {outcome: images for outcome, images in found.items() if images}


def _expected(statuses: Counter[int]) -> dict[str, int]:
    expected: Counter[str] = Counter()
    for status, images in statuses.items():
        expected[OUTCOMES.get(status, "invalid")] += images
    return dict(expected)


Start = Callable[..., Hostile]


@pytest.fixture
def hostile(bundle_path: Path, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a service; when the test is over its accounts are checked."""
    with ExitStack() as stack:

        def start(bundle: Path = bundle_path, **settings: object) -> Hostile:
            return stack.enter_context(_started(bundle, tmp_path, **settings))

        yield start


@contextmanager
def _started(bundle: Path, folder: Path, **settings: object) -> Iterator[Hostile]:
    faults = folder / "faults"
    faults.mkdir()
    program = ("tests.service.faulty", str(faults))
    usual = {"workers": 1, "max_batch": 16, "queue_images": 64}
    with (
        served(bundle, folder / "log", program=program, **(usual | settings)) as service,
        httpx.Client(
            base_url=service.url, timeout=60, limits=httpx.Limits(max_connections=None)
        ) as client,
        ThreadPoolExecutor(160) as pool,
    ):
        hostile = Hostile(service, faults, client=client, pool=pool)
        wait_until(lambda: hostile.probe("/readyz").status_code == 200)
        yield hostile
        hostile.check_accounts()


def _statuses(futures: "Sequence[Future[httpx.Response]]") -> list[int]:
    return [future.result().status_code for future in futures]


# ------------------------------------------------------------------ 1: images


def _strange() -> dict[str, bytes]:
    """Return images that are unusual and whole."""
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    animated, deep = io.BytesIO(), io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    Image.fromarray(np.full((9, 9), 40_000, dtype=np.uint16)).save(deep, "PNG")
    return {
        "1x1": make_image(size=(1, 1), format="PNG"),
        "cmyk": make_image(mode="CMYK"),
        "16 bit": deep.getvalue(),
        "animated": animated.getvalue(),
        "rotated": make_image(orientation=6),
        "transparent": make_image(mode="RGBA", format="PNG"),
    }


def _damaged() -> dict[str, tuple[bytes, int]]:
    """Return what is no image or not a whole one, and the status that it gets."""
    png = bytearray(make_image(format="PNG"))
    png[60:90] = bytes(30)
    return {
        "truncated": (RED[:-100], 422),
        "broken png": (bytes(png), 422),
        "empty": (b"", 422),
        "no image": (b"hello", 415),
    }


def test_damaged_images_in_a_full_batch_fail_alone(hostile: Start) -> None:
    """The others of the batch get the answers that they get alone, strange as they are."""
    service = hostile()
    good = [*_strange().values(), RED, BRIGHT]
    alone = [_answer(service.ask(data)) for data in good]
    batches, encoded = _batches(service)
    first = service.occupy()
    damaged = _damaged()
    mixed = [*good[:4], *(data for data, _ in damaged.values()), *good[4:]]
    futures = service.begin_all(mixed)
    service.mend(HOLD)
    expected = [200] * 4 + [status for _, status in damaged.values()] + [200] * 4
    assert _statuses(futures) == expected
    answers = [_answer(future.result()) for future in (*futures[:4], *futures[-4:])]
    assert answers == alone
    assert first.result().status_code == service.ask(RED).status_code == 200
    assert _batches(service) == (batches + 3, encoded + 1 + len(good) + 1)


def _answer(response: httpx.Response) -> dict[str, Any]:
    answer: dict[str, Any] = response.json()
    del answer["request_id"]
    return answer


def _batches(service: Hostile) -> tuple[int, int]:
    """Return how many batches were encoded, and how many images were in them."""
    names = ("croft_batch_images_count", "croft_batch_images_sum")
    count, images = (int(service.metric(name)) for name in names)
    return count, images


# ------------------------------------------------------------------ 2 and 4: the encoder


def test_an_image_that_breaks_the_encoder_fails_alone(hostile: Start) -> None:
    """The batch is halved until it is found; neither liveness nor readiness minds."""
    service = hostile()
    first = service.occupy()
    service.fault(GUILTY)
    futures = service.begin_all([RED, RED, BRIGHT, RED, RED, RED])
    service.mend(HOLD)
    assert _statuses([first, *futures]) == [200, 200, 200, 500, 200, 200, 200]
    assert service.ask(RED).status_code == 200
    assert service.probe("/readyz").status_code == service.probe("/healthz").status_code == 200


def test_an_encoder_that_only_fails_makes_it_not_ready_until_it_works(hostile: Start) -> None:
    """Four failures are no reason yet; after the fifth it recovers without any traffic."""
    service = hostile()
    service.fault(BROKEN)
    for _ in range(4):
        assert service.ask(RED).status_code == 500
    time.sleep(0.2)  # a batch counts just after it was answered
    assert service.probe("/readyz").status_code == 200
    assert service.ask(RED).status_code == 500
    wait_until(lambda: service.probe("/readyz").status_code == 503)
    assert "fails on everything" in service.probe("/readyz").json()["detail"]
    assert service.metric("croft_ready") == 0
    assert service.probe("/healthz").status_code == 200
    service.mend(BROKEN)
    wait_until(lambda: service.probe("/readyz").status_code == 200)
    assert service.metric("croft_ready") == 1
    assert service.ask(RED).status_code == 200


def test_a_wrong_number_of_results_fails_that_batch_alone(hostile: Start) -> None:
    """Nobody gets the answer of a neighbour: all of the batch is 500, the next one is right."""
    service = hostile()
    first = service.occupy()
    service.fault(SHORT)
    futures = service.begin_all([RED, BRIGHT, RED])
    service.mend(HOLD)
    assert _statuses([first, *futures]) == [500] * 4
    service.mend(SHORT)
    assert [service.ask(data).json()["rejected"] for data in (RED, BRIGHT)] == [False, True]


# ------------------------------------------------------------------ 3: clients


@pytest.mark.parametrize("when", ["waiting", "encoding"])
def test_clients_that_leave_are_counted_and_hold_nobody_up(hostile: Start, when: str) -> None:
    """A whole batch of them: not encoded if it had not begun, and the next clients are served."""
    service = hostile()
    if when == "waiting":
        first, leaving = service.occupy(), 10
        batches, encoded = _batches(service)
    else:
        service.fault(HOLD)
        leaving = 1
    for _ in range(leaving):
        service.leave(RED + bytes(300_000))  # so much that the server stops reading meanwhile
    wait_until(lambda: service.metric("croft_images_total", outcome="cancelled") == leaving)
    service.mend(HOLD)
    if when == "waiting":
        assert first.result().status_code == service.ask(RED).status_code == 200
        assert _batches(service) == (batches + 2, encoded + 2)
    assert _statuses([service.begin(RED) for _ in range(20)]) == [200] * 20


def test_many_requests_that_run_out_of_time_do_not_wedge_it(hostile: Start) -> None:
    """All of them 504, none of them encoded later, and ordinary traffic goes on."""
    service = hostile()
    first = service.occupy()
    batches, encoded = _batches(service)
    late = [service.begin(RED, **{TIMEOUT: "0.5"}) for _ in range(40)]
    assert _statuses(late) == [504] * 40
    service.mend(HOLD)
    assert first.result().status_code == 200
    assert _statuses([service.begin(RED) for _ in range(40)]) == [200] * 40
    assert _batches(service)[1] == encoded + 1 + 40
    assert _batches(service)[0] > batches


# ------------------------------------------------------------------ 5: overload


def test_a_full_service_takes_images_up_moment_by_moment(hostile: Start) -> None:
    """Each of those that come alone waits for the end of one; none is lost, and probes go on."""
    service = hostile(queue_images=1)
    first = service.occupy()
    (second,) = service.begin_all([RED])
    refused = [service.ask(RED) for _ in range(5)]
    assert min(response.elapsed.total_seconds() for response in refused) > 0.9 * MOMENT_SECONDS
    together = [service.begin(RED) for _ in range(40)]
    for _ in range(10):
        service.leave(RED)
    assert service.probe("/healthz").status_code == 200
    assert _statuses(together) + [response.status_code for response in refused] == [503] * 45
    # Some may have left before their moment was over, when another's image was the one received.
    wait_until(lambda: service.received == service.statuses.total() + 2)
    service.statuses[503] += service.statuses.pop(0)  # which nobody was there to read
    service.mend(HOLD)
    assert _statuses([first, second]) == [200] * 2
    assert service.ask(RED).status_code == 200


@pytest.mark.slow
def test_a_full_queue_sheds_and_memory_stays_bounded(hostile: Start) -> None:
    """150 uploads of a MiB at once, of which eight may wait; afterwards all is as before."""
    service = hostile(queue_images=8)
    large = RED + bytes(MIB)
    assert service.ask(large).status_code == 200
    before = service.memory_mib
    service.fault(SLOW, "0.05")
    responses = [future.result() for future in [service.begin(large) for _ in range(150)]]
    grown = service.memory_mib - before
    service.mend(SLOW)
    shed = [response for response in responses if response.status_code == 503]
    assert Counter(r.status_code for r in responses) == {200: 150 - len(shed), 503: len(shed)}
    assert 0 < len(shed) < 150
    assert all(1 <= int(response.headers["Retry-After"]) <= 60 for response in shed)
    assert grown < 80, f"{grown:.0f} MiB"
    wait_until(lambda: service.metric("croft_queue_images") == 0)
    assert [service.ask(RED).status_code for _ in range(20)] == [200] * 20


# ------------------------------------------------------------------ 7: workers


@pytest.mark.slow
def test_a_worker_that_dies_or_is_stuck_shows_and_is_replaced(hostile: Start) -> None:
    """Liveness fails long enough to be seen, the counter says why, and the next image is fine."""
    service = hostile(stall_seconds=1)
    for fault, reason in ((DEADLY, "died"), (STUCK, "stuck")):
        service.fault(fault)
        response = service.ask(RED)
        assert response.status_code == 500
        assert f"{'died' if reason == 'died' else 'got stuck'} while it had" in response.text
        assert service.ask(RED).status_code == 200
        live = service.probe("/healthz")
        assert live.status_code == 503
        assert any(reason in problem for problem in live.json()["problems"])
        assert service.metric("croft_worker_restarts_total", reason=reason) == 1
    wait_until(lambda: service.probe("/healthz").status_code == 200)
    service.mend(TAKEN)  # the stuck one comes back, and nobody wants it any more
    assert _statuses([service.begin(RED) for _ in range(20)]) == [200] * 20
    assert service.metric("croft_worker_restarts_total") == 2


# ------------------------------------------------------------------ 9: memory


@pytest.mark.slow
def test_ten_thousand_uploads_leave_memory_as_it_was(hostile: Start) -> None:
    """Of all kinds, whole and damaged: less than 24 MiB stay, a quarter of what was sent."""
    service = hostile(workers=2)
    whole = [RED, *_strange().values()]  # and bytes after the image, which are not read
    uploads = [data + bytes(20_000) for data in whole] + [data for data, _ in _damaged().values()]
    _upload(service, uploads, 2_000)
    before = service.memory_mib
    _upload(service, uploads, 8_000)
    grown = service.memory_mib - before
    assert service.statuses.total() == 10_000
    assert set(service.statuses) == {200, 415, 422}
    assert grown < 24, f"{grown:.1f} MiB"


def _upload(service: Hostile, images: Sequence[bytes], count: int) -> None:
    """Send so many images over eight connections, every third as a form."""

    def send(part: int) -> Counter[int]:
        statuses: Counter[int] = Counter()
        with httpx.Client(base_url=service.service.url, timeout=60) as client:
            for number in range(part, count, 8):
                data = images[number % len(images)]
                body: Any = {"files": {"file": data}} if number % 3 == 0 else {"content": data}
                statuses[client.post("/classify", **body).status_code] += 1
        return statuses

    with ThreadPoolExecutor(8) as pool:
        for statuses in pool.map(send, range(8)):
            service.statuses.update(statuses)


# ------------------------------------------------------------------ 11: company


@pytest.mark.slow
def test_an_answer_does_not_depend_on_its_company(hostile: Start) -> None:
    """Bit for bit the same alone and in batches of several sizes, by the shipped bundle."""
    service = hostile(shipped_bundle(), max_batch=32)
    images = [make_image(seed=seed) for seed in range(32)]
    alone = [_answer(service.ask(data)) for data in images]
    for size in (2, 3, 8, 17, 32):
        batches, encoded = _batches(service)
        first = service.occupy()
        futures = service.begin_all(images[:size])
        service.mend(HOLD)
        assert [_answer(future.result()) for future in futures] == alone[:size]
        assert first.result().status_code == 200
        assert _batches(service) == (batches + 2, encoded + 1 + size)
