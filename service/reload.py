"""Reload the bundles under traffic: read, check, open and test beside what answers, then swap."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from models.errors import CroftError
from service.classifier import Classifier
from service.errors import Draining, ReloadFailed, ReloadRunning
from service.loading import Draft
from service.registry import Registry, tested
from service.schemas import Reloaded
from service.self_test import in_words

logger = logging.getLogger(__name__)


class Reloader:
    """Reloads the bundles of a registry, one reload at a time."""

    def __init__(self, registry: Registry) -> None:
        """Nothing is read before the first reload."""
        self.registry = registry
        self.tell_others: Callable[[], None] = lambda: None
        """Asks the other processes behind the port to reload, too."""
        self._turn = asyncio.Lock()

    async def reload(self) -> Reloaded:
        """Serve what lies at the configured paths now, or change nothing.

        Raises:
            ReloadRunning: another reload is at work.
            ReloadFailed: a bundle cannot be trusted, or failed its self-test.
            Draining: the process is about to end.
        """
        if self._turn.locked():
            raise ReloadRunning("The bundles are being reloaded. Try again when that has ended.")
        done = await self._in_turn()
        self.tell_others()
        return done

    async def reload_when_free(self) -> None:
        """Reload after the one at work; what goes wrong is logged, since nobody waits for it."""
        try:
            await self._in_turn()
        except Exception as error:
            logger.error("bundles were not reloaded", exc_info=error)

    async def _in_turn(self) -> Reloaded:
        async with self._turn:
            before = self.registry.classifiers
            try:
                await self._reload()
            except BaseException:
                self.registry.metrics.reloads.labels("failed").inc()
                raise
            done = _difference(before, self.registry.classifiers)
        self.registry.metrics.reloads.labels("done").inc()
        logger.info("bundles reloaded", extra=done.model_dump())
        return done

    async def _reload(self) -> None:
        registry = self.registry
        try:
            drafts = await asyncio.to_thread(registry.draft)
        except CroftError as error:
            raise _failed(str(error)) from error
        engines = {draft.engine for draft in drafts}.difference(registry.engines)
        try:
            for engine in engines:
                engine.start()
            drafts = await self._test(drafts)
            if registry.draining:
                raise Draining
        except BaseException:
            for engine in engines:
                await engine.close()
            raise
        registry.swap(drafts)

    async def _test(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Test what is new."""
        loaded = {classifier.bundle.digest for classifier in self.registry.classifiers}
        done = [d if d.bundle.digest in loaded else await tested(d) for d in drafts]
        failures = [in_words(failure) for draft in done for failure in draft.failures]
        if failures and self.registry.settings.self_test == "fail":
            raise _failed(" ".join(failures))
        return done


def _failed(why: str) -> ReloadFailed:
    return ReloadFailed(f"{why} Nothing has changed: the bundles loaded before go on answering.")


def _difference(before: Sequence[Classifier], after: Sequence[Classifier]) -> Reloaded:
    old = {c.reference: c for c in before}
    new = {c.reference: c for c in after}
    both = [reference for reference in new if reference in old]
    return Reloaded(
        added=[reference for reference in new if reference not in old],
        changed=[reference for reference in both if new[reference] is not old[reference]],
        kept=[reference for reference in both if new[reference] is old[reference]],
        removed=[reference for reference in old if reference not in new],
    )
