"""``POST /classify/batch``: many images in; for each a decision, or its own problem."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.batch_uploads import BatchImage, read_batch
from service.batching import decide_in_turn, in_window
from service.body_limit import most_bytes
from service.classifier import Classifier
from service.counting import Tally, note_images
from service.deadline import Deadline, read_deadline
from service.deciding import decision_fields, query_of, read_top_k
from service.errors import INTERNAL, ClientGone, DeadlineExceeded, wire
from service.metrics import Metrics
from service.middleware import RequestRecord
from service.openapi import BATCH
from service.problems import problem_fields, responses
from service.registry import Registry
from service.schemas import (
    AnsweredItem,
    BatchAnswer,
    BatchCounts,
    BatchSummary,
    FailedItem,
    Problem,
)
from service.settings import Settings

router = APIRouter()
logger = logging.getLogger(__name__)
T = TypeVar("T")

PATH: Final = "/classify/batch"
NDJSON: Final = "application/x-ndjson"
_LINE: Final = {
    "anyOf": [
        {"$ref": f"#/components/schemas/{model.__name__}"}
        for model in (AnsweredItem, FailedItem, BatchSummary)
    ]
}
_LINES: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {NDJSON: {"schema": _LINE}}}}


@router.post(
    PATH,
    summary="Classify many images",
    response_model=BatchAnswer,
    response_description=(
        "Each image with the status that it would have had alone; as NDJSON a line for each as "
        "soon as it is known, in any order, and a last one with the summary"
    ),
    responses=responses(400, 404, 413, 415, 500, 503, 504) | _LINES,
    openapi_extra=BATCH,
    tags=["images"],
)
async def classify_batch(request: Request) -> Response:
    """Answer 200 as soon as the form of the batch is sound; each image has its own status."""
    return _BatchResponse(request)


class _BatchResponse(Response):
    """Does all of the work while it is sent, so that one block holds what a batch holds."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record: RequestRecord = self._request.state.record
        try:
            await self._work(record, scope, receive, send)
        except ClientGone as error:
            if not record.status:
                raise
            # Half the answer is sent, and nobody there to be told.
            record.note_problem(error)

    async def _work(
        self, record: RequestRecord, scope: Scope, receive: Receive, send: Send
    ) -> None:
        request = self._request
        registry: Registry = request.app.state.registry
        with Tally(registry.metrics) as tally:
            classifier = registry.find(query_of(request).get("bundle"))
            tally.bundle = classifier.metrics.key
            record.facts["bundle"] = classifier.reference
            top_k = read_top_k(request, default=registry.settings.top_k)
            deadline = read_deadline(request.headers, most=registry.settings.request_timeout)
            classifier.check_ready()
            size = most_bytes(request.headers, limit=registry.settings.max_batch_bytes)
            with classifier.engine.hold(size) as hold:
                images = await _upload(request, size, deadline, registry.settings)
                hold.shrink(record.bytes_in)
                record.stages = {"read": record.seconds}
                record.facts["outcomes"] = tally.outcomes
                await note_images(record, tally, len(images))
                batch = _Batch(
                    classifier,
                    images,
                    top_k=top_k,
                    seconds=deadline.seconds,
                    metrics=registry.metrics,
                    tally=tally,
                    record=record,
                )
                await self._answer(batch, scope, receive, send)

    async def _answer(self, batch: "_Batch", scope: Scope, receive: Receive, send: Send) -> None:
        if NDJSON in self._request.headers.get("accept", "").lower():
            await _unless_client_leaves(self._request, _send_lines(batch, send))
        else:
            content = await _unless_client_leaves(self._request, batch.together())
            await Response(content, media_type="application/json")(scope, receive, send)


async def _upload(
    request: Request, size: int, deadline: Deadline, settings: Settings
) -> Sequence[BatchImage]:
    """Read the body, which has as much time for its bytes as ``/classify`` has for its own."""
    seconds = deadline.seconds * max(1.0, size / settings.max_body_bytes)
    try:
        async with asyncio.timeout(seconds):
            return await read_batch(request, settings=settings)
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"The body was not uploaded within {seconds:g} s. Send fewer images at once."
        ) from error


async def _unless_client_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of the work, which is cancelled when nobody waits for it any more."""
    sender = request.state.record.sender
    working = asyncio.ensure_future(work)
    sender.on_leave(working.cancel)
    try:
        return await working
    except asyncio.CancelledError:
        if sender.gone:
            raise ClientGone("The client left before all of the batch was answered.") from None
        raise
    finally:
        sender.forget(working.cancel)


async def _send_lines(batch: "_Batch", send: Send) -> None:
    headers = [(b"content-type", NDJSON.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async with aclosing(batch.items()) as items:
        async for _, item in items:
            await send({"type": "http.response.body", "body": item + b"\n", "more_body": True})
    await send({"type": "http.response.body", "body": batch.summary() + b"\n"})


@dataclass(frozen=True, slots=True)
class _Batch:
    """The images of a request, and what becomes of them."""

    classifier: Classifier
    images: Sequence[BatchImage]
    top_k: int
    seconds: float
    """How long an image may take from its turn."""
    metrics: Metrics
    tally: Tally
    record: RequestRecord

    async def together(self) -> bytes:
        """Return the whole answer, in the order of the images."""
        items = [b""] * len(self.images)
        async with aclosing(self.items()) as done:
            async for index, item in done:
                items[index] = item
        head = {"request_id": self.record.request_id, "bundle": self.classifier.reference}
        # Written by hand: a thousand items are a thousand bytes objects, and not a tree of them.
        return b'%s,"items":[%s],"counts":%s}' % (
            json.dumps(head).encode()[:-1],
            b",".join(items),
            self._counts().model_dump_json().encode(),
        )

    def summary(self) -> bytes:
        """Return the last line of a stream."""
        body = BatchSummary(
            request_id=self.record.request_id,
            bundle=self.classifier.reference,
            summary=self._counts(),
        )
        return body.model_dump_json().encode()

    def items(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield every item as JSON, with its index, as soon as it is known."""
        width = self.classifier.engine.batch_window
        return in_window(self._item, count=len(self.images), width=width)

    async def _item(self, index: int) -> tuple[int, bytes]:
        image = self.images[index]
        body: AnsweredItem | FailedItem
        try:
            decision, stages = await decide_in_turn(
                self.classifier, image, top_k=self.top_k, seconds=self.seconds
            )
        except Exception as error:  # whatever it is, it is this image's alone
            body = self._failed(index, error)
        else:
            self.tally.note(self.classifier.metrics.answered(decision))
            stages.read = self.record.stages["read"]
            self.metrics.staged(stages)
            fields = decision_fields(self.classifier, decision)
            body = AnsweredItem(index=index, name=image.name, status=200, **fields)
        return index, body.model_dump_json().encode()

    def _failed(self, index: int, error: Exception) -> FailedItem:
        sent, request_id = wire(error), self.record.request_id
        if sent is INTERNAL:
            logger.error("unexpected error", exc_info=error)
        self.tally.note(sent.outcome)
        problem = Problem(**problem_fields(error, path=PATH, request_id=request_id))
        name = self.images[index].name
        return FailedItem(index=index, name=name, status=sent.status, problem=problem)

    def _counts(self) -> BatchCounts:
        outcomes = {o: n for o, n in self.tally.outcomes.items() if o != "cancelled"}
        return BatchCounts(images=len(self.images), **outcomes)
