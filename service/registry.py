"""All loaded bundles of a process, and the engines behind them.

What answers is one set that never changes (``service.loaded``); a swap puts another in its place.
Requests that began with the old set finish with it: an engine that no bundle of the new set uses
lives until it has nothing in hand any more.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from models.bundle import Bundle
from models.encoder import OnnxEncoder
from service.classifier import Classifier
from service.engine import Engine
from service.loaded import Loaded
from service.loading import Draft, EncoderFactory, EngineMaker, read_bundles
from service.metrics import Metrics
from service.schemas import Readiness
from service.self_test import golden_failures, in_words
from service.settings import Settings

logger = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.05


class Registry:
    """The bundles of one process, the engines behind them, and whether they are ready."""

    def __init__(
        self, bundles: Sequence[Bundle], *, settings: Settings, open_encoder: EncoderFactory
    ) -> None:
        """Open each distinct encoder once.

        Args:
            bundles: the first is the default.
            settings: limits and sizes.
            open_encoder: makes the encoder of a bundle.

        Raises:
            BundleCorrupt: a bundle whose encoder is not the one that it describes.
            ConfigError: no bundle, or two of one name and version.
        """
        self.settings = settings
        self.metrics = Metrics()
        self.draining = False
        self._maker = EngineMaker(settings, open_encoder=open_encoder, observer=self.metrics)
        drafts = self._maker.drafts(bundles, engines=())
        self._loaded = Loaded(tuple(self._classifier(draft) for draft in drafts))
        self._engines: list[Engine] = []
        self._use(draft.engine for draft in drafts)
        self._retiring: set[asyncio.Task[None]] = set()
        self._tested = False

    @classmethod
    def load(cls, settings: Settings) -> "Registry":
        """Load the bundles of the settings, or the Toybox bundle that ships with Croft.

        Raises:
            BundleError: one of them cannot be trusted.
            RuntimeMissing: no runtime, or not the provider asked for.
        """
        return cls(
            read_bundles(settings, known={}),
            settings=settings,
            open_encoder=lambda b: OnnxEncoder(b.encoder_path, provider=settings.provider),
        )

    @property
    def classifiers(self) -> Sequence[Classifier]:
        """The loaded bundles, the default first."""
        return self._loaded.classifiers

    @property
    def engines(self) -> Sequence[Engine]:
        """Every engine that runs, also for requests that began before a swap."""
        return self._engines

    def find(self, reference: str | None) -> Classifier:
        """Return ``name@version``, or of ``name`` the newest; without a reference the default.

        Whoever means to use its engine takes a place or holds a body there before anything is
        awaited: a swap in between would close an engine that looks idle.

        Raises:
            UnknownBundle: none is loaded under that name.
        """
        return self._loaded.find(reference)

    async def start(self) -> None:
        """Start the engines and test every bundle on its golden images."""
        for engine in self._engines:
            engine.start()
        self._loaded = Loaded(tuple([await self._tested_anew(c) for c in self.classifiers]))
        self._tested = True
        self.show_readiness()

    def drain(self) -> None:
        """Be no longer ready, take nothing new, and finish what is in flight."""
        self.draining = True
        self.show_readiness()
        for engine in self._engines:
            engine.drain()

    def shed_batches(self) -> None:
        """Tell what is left of batches that it is not reached any more."""
        for engine in self.engines:
            engine.shed_batches()

    async def finished(self) -> None:
        """Wait until nothing is in flight."""
        while not all(engine.idle for engine in self._engines):
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self) -> None:
        """End the engines."""
        for task in self._retiring:
            task.cancel()
        for engine in self._engines:
            await engine.close()

    def problems(self) -> list[str]:
        """Say which workers are dead or stuck."""
        return [problem for engine in self._engines for problem in engine.problems()]

    def full_for(self, seconds: float) -> bool:
        """Say whether no engine has a place for an image, nor will have many so soon."""
        return all(engine.full_for(seconds) for engine in self._engines)

    @property
    def ready(self) -> bool:
        """Whether requests are welcome."""
        impaired = any(c.refused or c.engine.failing for c in self.classifiers)
        return self._tested and not impaired and not self.draining

    def show_readiness(self) -> None:
        """Publish it: an encoder may begin to fail at any time."""
        self.metrics.ready.set(self.ready)

    def readiness(self) -> Readiness:
        """Say whether requests are welcome, and if not why."""
        failures = [failure for c in self.classifiers for failure in c.failures]
        failing = [c.reference for c in self.classifiers if c.engine.failing]
        return Readiness(
            ready=self.ready,
            bundles=[c.reference for c in self.classifiers],
            warnings=[*map(in_words, failures), *map(_failing_in_words, failing)],
            failures=failures,
        )

    def draft(self) -> list[Draft]:
        """Read the paths of the settings again, and open what is not loaded. Takes its time.

        Raises:
            BundleError: a bundle that cannot be trusted.
            ConfigError: two of one name and version.
        """
        loaded = self._loaded.classifiers
        bundles = read_bundles(self.settings, known={c.bundle.digest: c.bundle for c in loaded})
        return self._maker.drafts(bundles, engines=[c.engine for c in loaded])

    def swap(self, drafts: Sequence[Draft]) -> None:
        """Answer from now on with these; their engines run. What is loaded already stays."""
        kept = {c.bundle.digest: c for c in self.classifiers}
        digests = {draft.bundle.digest for draft in drafts}
        gone = [c for digest, c in kept.items() if digest not in digests]
        for classifier in gone:
            self.metrics.remove_bundle(classifier.bundle)
        self._loaded = Loaded(
            tuple(kept.get(draft.bundle.digest) or self._classifier(draft) for draft in drafts)
        )
        self._use(draft.engine for draft in drafts)
        self._retire(gone)
        self.show_readiness()

    def _classifier(self, draft: Draft) -> Classifier:
        return Classifier(
            draft.bundle,
            draft.engine,
            self.metrics.add_bundle(draft.bundle),
            failures=draft.failures,
            refused=self._refused(draft),
        )

    async def _tested_anew(self, classifier: Classifier) -> Classifier:
        draft = await tested(Draft(classifier.bundle, classifier.engine))
        return replace(classifier, failures=draft.failures, refused=self._refused(draft))

    def _refused(self, draft: Draft) -> bool:
        return bool(draft.failures) and self.settings.self_test == "fail"

    def _use(self, engines: Iterable[Engine]) -> None:
        self._engines = list(dict.fromkeys([*self._engines, *engines]))
        self.metrics.queue_limit.set(len(self._engines) * self.settings.queue_images)

    def _retire(self, gone: Sequence[Classifier]) -> None:
        """Let go of the engines that only these bundles used."""
        used = {classifier.engine for classifier in self.classifiers}
        for engine in {classifier.engine for classifier in gone} - used:
            task = asyncio.create_task(self._close_when_idle(engine))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def _close_when_idle(self, engine: Engine) -> None:
        """Close an engine when the last request that began with it has ended."""
        while not engine.idle:
            await asyncio.sleep(_LOOK_SECONDS)
        self._engines.remove(engine)
        self._use(())
        await engine.close()


async def tested(draft: Draft) -> Draft:
    """Return the draft with the golden images that it did not reproduce, which are logged."""
    failures = await golden_failures(draft.bundle, draft.engine)
    for failure in failures:
        logger.error("self-test failed", extra={"self_test": failure.model_dump()})
    return replace(draft, failures=failures)


def _failing_in_words(reference: str) -> str:
    return f"Bundle {reference}: its encoder fails on everything; it is tried again all the time."
