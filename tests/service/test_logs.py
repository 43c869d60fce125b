"""Whatever is logged, by whom ever, becomes one line of a known form."""

import asyncio
import io
import json
import logging
import select
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from models.bundle import Bundle
from service.app import create_app
from service.logs import (
    MOMENT_SECONDS,
    REQUESTS,
    OncePerMoment,
    formatter,
    log_request,
    request_line,
)
from tests.service.fakes import registry_of


def _record(**fields: Any) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "x", "levelname": "INFO", "msg": "it %s", "args": ("broke",), **fields}
    )


def _broken() -> Any:
    try:
        raise ValueError("why")
    except ValueError as error:
        return ValueError, error, error.__traceback__


def test_a_line_has_time_level_logger_and_event_first() -> None:
    """Then whatever was given as extra; what uvicorn says for terminals is left out."""
    record = _record(color_message="it [1mbroke[0m", route="/x", odd={1, 2}, name_="é")
    line = json.loads(formatter().format(record))
    assert list(line) == ["time", "level", "logger", "event", "route", "odd", "name_"]
    assert (line["level"], line["logger"], line["event"]) == ("info", "x", "it broke")
    assert (line["odd"], line["name_"]) == ("{1, 2}", "é")
    age = datetime.now(UTC) - datetime.fromisoformat(line["time"])
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_an_exception_becomes_part_of_its_line() -> None:
    """A traceback is one field, so that a log reader sees one record."""
    text = formatter().format(_record(exc_info=_broken()))
    assert "\n" not in text
    assert "ValueError: why" in json.loads(text)["exception"]


def test_the_console_form_is_for_people() -> None:
    """No JSON: the event and its fields in words, the traceback below."""
    text = formatter("console").format(_record(exc_info=_broken(), route="/x"))
    first, *rest = text.splitlines()
    assert "it broke" in first
    assert "route=/x" in first
    assert rest[-1] == "ValueError: why"


def _logger(stream: io.StringIO) -> logging.Logger:
    logger = logging.Logger("apart")
    logger.addHandler(OncePerMoment(stream))
    return logger


class _Writes(io.StringIO):
    """Remembers what was written at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[list[str]] = []
        self.texts: list[str] = []

    def write(self, text: str) -> int:
        self.texts.append(text)
        self.events.append([json.loads(line)["event"] for line in text.splitlines()])
        return super().write(text)


def test_what_is_logged_within_a_moment_is_one_write() -> None:
    """In order, and soon. A warning is written at once, with the rest."""
    stream = _Writes()
    logger = _logger(stream)

    async def scenario() -> None:
        logger.info("first")
        logger.info("second")
        assert stream.events == []
        await asyncio.sleep(2 * MOMENT_SECONDS)
        assert stream.events == [["first", "second"]]
        logger.info("third")
        logger.warning("fourth")
        assert stream.events[1:] == [["third", "fourth"]]

    asyncio.run(scenario())
    assert stream.getvalue().endswith("\n")


def test_a_write_is_no_larger_than_a_pipe_takes_in_one_piece() -> None:
    """Other processes write to the same one, and would write in between."""
    stream = _Writes()
    logger = _logger(stream)

    async def scenario() -> None:
        for _ in range(10):
            logger.info("é" * 400)
        await asyncio.sleep(2 * MOMENT_SECONDS)

    asyncio.run(scenario())
    sizes = [len(text.encode()) for text in stream.texts]
    assert sum(sizes) > 8000
    assert max(sizes) <= select.PIPE_BUF
    assert len(sizes) == 3


def test_a_log_that_nobody_reads_any_more_breaks_nothing() -> None:
    """A closed stream raises at every write."""
    stream = io.StringIO()
    logger = _logger(stream)
    stream.close()

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: pytest.fail("told the loop"))
        logger.info("first")
        logger.error("second")
        logger.info("third")
        await asyncio.sleep(2 * MOMENT_SECONDS)

    asyncio.run(scenario())


def test_what_another_thread_logs_is_written_at_once_and_after_what_waited() -> None:
    """A worker's complaint must not wait for a loop that may be stuck."""
    stream = _Writes()
    logger = _logger(stream)

    async def scenario() -> None:
        logger.info("first")
        assert stream.events == []
        thread = threading.Thread(target=logger.warning, args=("second",))
        thread.start()
        thread.join()
        assert stream.events == [["first", "second"]]

    asyncio.run(scenario())
    logger.info("no loop")
    assert stream.events[1:] == [["no loop"]]


def test_what_an_event_loop_left_behind_is_written_by_the_next() -> None:
    """Or by whoever logs without one."""
    stream = _Writes()
    logger = _logger(stream)

    async def scenario(event: str) -> None:
        logger.info(event)
        if event == "second":
            await asyncio.sleep(2 * MOMENT_SECONDS)

    asyncio.run(scenario("first"))
    asyncio.run(scenario("second"))
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == [
        "first",
        "second",
    ]


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Return what the whole process logs, in the service's form."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter())
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def test_what_is_logged_during_a_request_has_its_id(bundle: Bundle, written: io.StringIO) -> None:
    """Also where the code that logs knows nothing of the request; afterwards nothing has it."""
    registry, settings = registry_of(bundle)
    app: FastAPI = create_app(settings, registry=registry)

    @app.get("/broken")
    async def broken() -> None:
        logging.getLogger("elsewhere").warning("half way")
        raise ZeroDivisionError

    with TestClient(app) as client:
        client.get("/broken", headers={"X-Request-ID": "abc-1"})
        logging.getLogger("elsewhere").warning("after")
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    ids = {line["event"]: line.get("request_id") for line in lines}
    assert ids["half way"] == ids["unexpected error"] == "abc-1"
    assert ids["after"] is None


def test_the_line_of_a_request_goes_past_logging_only_where_nobody_else_listens() -> None:
    """Whoever adds a handler, as a test does, gets a record."""
    stream, others, before = _Writes(), io.StringIO(), logging.root.handlers[:]
    other = logging.StreamHandler(others)
    try:
        logging.root.handlers[:] = [OncePerMoment(stream)]
        log_request(logging.WARNING, {"status": 200})
        logging.root.handlers.append(other)
        log_request(logging.WARNING, {"status": 200})
    finally:
        logging.root.handlers[:] = before
    first, second = stream.getvalue().splitlines()
    assert json.loads(first) | {"time": ""} == json.loads(second) | {"time": ""}
    assert others.getvalue() == "request\n"


def test_the_line_of_a_request_is_the_same_by_either_way() -> None:
    """It is written without structlog's processors, which would write the same."""
    fields = {"request_id": "a", "status": 200, "ms": 1.5, "bundle": "müde@1"}
    record = _record(msg="request", args=(), **fields, name=REQUESTS)
    usual = json.loads(formatter().format(record))
    quick = json.loads(request_line(logging.INFO, fields))
    assert list(usual) == list(quick)
    assert usual | {"time": quick["time"]} == quick
    assert len(quick["time"]) == len(usual["time"]) == len("2026-11-25T14:59:01.886825Z")
