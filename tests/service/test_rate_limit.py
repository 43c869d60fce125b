"""One caller cannot take the service away from the others, and a broken counter stops nobody."""

import asyncio
import base64
import logging
from pathlib import Path

import pytest
from limits.errors import StorageError

from models.errors import ConfigError
from service import access, rate_limit
from service.errors import RateLimited
from service.keys import new_key
from service.rate_limit import MEMORY, RateLimit
from tests.bundles import colour_image
from tests.service.conftest import Serve
from tests.service.counting import assert_settled, outcomes
from tests.service.fakes import registry_in, run

RED = colour_image("red")


async def _admitted(limit: RateLimit, caller: str, times: int) -> int:
    count = 0
    for _ in range(times):
        try:
            await limit.admit(caller)
            count += 1
        except RateLimited:
            pass
    return count


def test_each_caller_has_a_window_of_its_own() -> None:
    """Three of five pass, for each; the refusal says when the next window opens."""

    async def scenario() -> None:
        limit = RateLimit("3/minute", MEMORY)
        assert await _admitted(limit, "a", 5) == 3
        assert await _admitted(limit, "b", 5) == 3
        with pytest.raises(RateLimited, match=r"More than 3 images within 60 s") as caught:
            await limit.admit("a")
        assert 55 <= caught.value.retry_after <= 60

    run(scenario())


def test_a_new_window_opens_when_retry_after_says_so() -> None:
    """Whoever waits as long as told is let in again."""

    async def scenario() -> None:
        limit = RateLimit("2/second", MEMORY)
        assert await _admitted(limit, "a", 3) == 2
        with pytest.raises(RateLimited, match="More than 2 images within 1 s") as caught:
            await limit.admit("a")
        await asyncio.sleep(caught.value.retry_after)
        assert await _admitted(limit, "a", 3) == 2

    run(scenario())


def test_a_request_of_many_images_passes_whole_or_not_at_all() -> None:
    """One that does not fit spends only the image it was let in with; a later smaller one fits."""

    async def scenario() -> None:
        limit = RateLimit("10/minute", MEMORY)
        await limit.admit("a")
        await limit.charge("a", 7)
        await limit.admit("a")
        with pytest.raises(RateLimited, match="with the 4 of this request") as caught:
            await limit.charge("a", 4)
        assert 55 <= caught.value.retry_after <= 60
        await limit.charge("a", 3)
        assert await _admitted(limit, "a", 5) == 0

    run(scenario())


def test_as_many_images_at_once_as_the_limit_are_the_most() -> None:
    """More can never pass, and the refusal says so."""

    async def scenario() -> None:
        limit = RateLimit("10/minute", MEMORY)
        await limit.admit("a")
        with pytest.raises(RateLimited, match=r"a request of 11 never passes\. Send at most 10"):
            await limit.charge("a", 11)
        await limit.charge("a", 10)

    run(scenario())


def test_of_two_requests_at_once_one_passes() -> None:
    """There was room for either; the limit holds for both together."""

    async def scenario() -> None:
        limit = RateLimit("10/minute", MEMORY)
        charged = [limit.charge("a", 8) for _ in range(2)]
        refused = await asyncio.gather(*charged, return_exceptions=True)
        assert sorted(type(error) is RateLimited for error in refused) == [False, True]

    run(scenario())


class _Broken:
    """Counters that cannot be reached, and how often somebody tried."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.asked = 0

    async def hit(self, *_args: object, **_options: object) -> bool:
        self.asked += 1
        if self.error is None:
            await asyncio.sleep(20)
        else:
            raise self.error
        return False


@pytest.mark.parametrize(
    "error", [StorageError(ConnectionError("refused")), OSError("no route"), None]
)
def test_a_storage_that_does_not_answer_lets_everybody_through(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused or silent: it is soon left alone, asked again later, and logged once a minute."""
    now = 1000.0
    limit = RateLimit("1/minute", MEMORY, clock=lambda: now)
    broken = _Broken(error)
    monkeypatch.setattr(limit, "_counters", broken)

    async def scenario() -> None:
        nonlocal now
        for wait, asked, complaints in ((0, 1, 1), (10, 2, 1), (60, 3, 2)):
            now += wait
            assert await _admitted(limit, "a", 10) == 10
            assert (broken.asked, len(caplog.records)) == (asked, complaints)

    caplog.set_level(logging.INFO, logger=rate_limit.__name__)
    run(scenario())


def test_a_redis_without_its_client_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the extra."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"pip install '\.\[service,redis,cpu\]'"):
        RateLimit("1/minute", "redis://localhost")


@pytest.mark.parametrize(
    "rate", ["", "many", "100", "0/minute", "-1/minute", "5/minute;7/hour", "1/fortnight"]
)
def test_a_malformed_rate_is_explained(rate: str) -> None:
    """One limit, and a positive one."""
    with pytest.raises(ConfigError, match="write one limit, such as 100/minute"):
        RateLimit(rate, MEMORY)


@pytest.mark.parametrize("rate", ["100/minute", "5 per second", "1000/2 hours", "1/day"])
def test_rates_are_written_as_the_message_says(rate: str) -> None:
    """What the message recommends is taken."""
    RateLimit(rate, MEMORY)


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("memcached://h:1", "begins with 'memcached'"),
        ("", "begins with ''"),
        ("redis://:SECRET@h:port", "is not a URL such as"),
    ],
)
def test_a_malformed_storage_is_explained(storage: str, message: str) -> None:
    """Without showing it: it may hold a password."""
    with pytest.raises(ConfigError, match=message) as caught:
        RateLimit("1/minute", storage)
    assert "SECRET" not in str(caught.value)


def test_addresses_are_counted_where_no_key_tells_callers_apart(serve: Serve) -> None:
    """Only requests that read images count; a refused one is not received and has a Retry-After."""
    client = serve(rate_limit="2/hour")
    for _ in range(5):
        assert client.get("/bundles").status_code == 200
    answers = [client.post("/classify", content=RED) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert answers[3].json()["type"] == "urn:croft:problem:rate-limited"
    assert 3590 <= int(answers[3].headers["Retry-After"]) <= 3600
    assert "croft_images_received_total 2.0" in client.get("/metrics").text


def test_each_key_has_a_window_of_its_own(serve: Serve, tmp_path: Path) -> None:
    """Two keys from one address do not share; a key that is refused spends nothing."""
    (one, first), (two, second) = new_key("one", "classify"), new_key("two", "admin")
    path = tmp_path / "keys.txt"
    path.write_text(f"{first.line}\n{second.line}\n")
    client = serve(rate_limit="1/hour", keys_file=path)

    def ask(key: str) -> int:
        return client.post("/classify", content=RED, headers={"X-API-Key": key}).status_code

    assert [ask(key) for key in ("x", "x", one, one, two, two)] == [401, 401, 200, 429, 200, 429]


@pytest.mark.parametrize("last", [RED, b"no image"])
def test_each_image_of_a_request_counts(serve: Serve, last: bytes) -> None:
    """One request with three leaves room for one more; also if it had to fail."""
    data = [base64.b64encode(image).decode() for image in (RED, RED, last)]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [3], "data": data}
    client = serve(rate_limit="4/hour")
    client.post("/v2/models/colours/infer", json={"inputs": [tensor]})
    assert [client.post("/classify", content=RED).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("path", ["/classify/batch", "/v2/models/colours/infer"])
def test_images_beyond_the_limit_are_shed_before_any_is_decided(serve: Serve, path: str) -> None:
    """Three pass, three more do not fit; each is counted, and none of those is encoded."""
    data = [base64.b64encode(RED).decode()] * 3
    tensor = {"name": "image", "datatype": "BYTES", "shape": [3], "data": data}
    body = {"inputs": [tensor], "images": [{"b64": text} for text in data]}
    client = serve(rate_limit="5/hour")
    assert client.post(path, json=body).status_code == 200
    refused = client.post(path, json=body)
    assert refused.json()["type"] == "urn:croft:problem:rate-limited"
    assert 3590 <= int(refused.headers["Retry-After"]) <= 3600
    registry = registry_in(client).metrics.registry
    assert outcomes(registry) == {"accepted": 3, "shed": 3}
    assert_settled(registry)
    golden = 3
    assert registry.get_sample_value("croft_batch_images_sum") == golden + 3


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:ffff::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("unknown", "10.0.0.1", False),
        ("a:b", "a:c", False),
    ],
)
def test_an_ipv6_subscriber_is_one_caller(one: str, other: str, same: bool) -> None:
    """Whoever has 2**64 addresses gets no more than who has one; nonsense is no error."""

    def caller(address: str) -> str:
        return access._caller({"client": (address, 1)}, None)

    assert (caller(one) == caller(other)) is same
