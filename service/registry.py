"""All loaded bundles. Those that share an encoder and preprocessing share one engine."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from models.bundle import ENCODER, MANIFEST, Bundle
from models.encoder import Encoder, OnnxEncoder
from models.errors import BundleCorrupt, BundleMissing, ConfigError
from models.preprocess import Preprocess
from service.classifier import Classifier
from service.engine import Engine, EngineConfig
from service.errors import UnknownBundle
from service.metrics import Metrics
from service.schemas import GoldenResult, Readiness
from service.settings import Settings

logger = logging.getLogger(__name__)

EncoderFactory = Callable[[Bundle], Encoder]

_DRAIN_LOOK_SECONDS: Final = 0.05


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
        self._open_encoder = open_encoder
        self._encoders: dict[str, Encoder] = {}
        self._engines: dict[tuple[str, Preprocess], Engine] = {}
        self.classifiers = [self._classifier(bundle) for bundle in bundles]
        _check_distinct(self.classifiers)
        self._tested = False

    @classmethod
    def load(cls, settings: Settings) -> "Registry":
        """Load the bundles of the settings, or the Toybox bundle that ships with Croft.

        Raises:
            BundleError: one of them cannot be trusted.
            RuntimeMissing: no runtime, or not the provider asked for.
        """
        paths = settings.bundles or (shipped_bundle(),)
        bundles = [Bundle.load(path) for path in paths]
        return cls(
            bundles,
            settings=settings,
            open_encoder=lambda b: OnnxEncoder(b.encoder_path, provider=settings.provider),
        )

    def find(self, reference: str | None) -> Classifier:
        """Return the bundle ``name`` or ``name@version``; without a reference, the default.

        Raises:
            UnknownBundle: none is loaded under that name.
        """
        if reference is None:
            return self.classifiers[0]
        for classifier in self.classifiers:
            if reference in (classifier.bundle.manifest.name, classifier.reference):
                return classifier
        loaded = ", ".join(c.reference for c in self.classifiers)
        raise UnknownBundle(f"No bundle {reference[:100]!r} is loaded. Loaded: {loaded}.")

    async def start(self) -> None:
        """Start the engines and test every bundle on its golden images."""
        for engine in self.engines:
            engine.start()
        refuse = self.settings.self_test == "fail"
        for classifier in self.classifiers:
            await classifier.run_self_test(refuse=refuse)
            for failure in classifier.failures:
                logger.error("self-test failed", extra={"self_test": failure.model_dump()})
        self._tested = True
        self.metrics.ready.set(self.readiness().ready)

    def drain(self) -> None:
        """Be no longer ready, take nothing new, and finish what is in flight."""
        self.draining = True
        self.metrics.ready.set(0)
        for engine in self.engines:
            engine.drain()

    async def finished(self) -> None:
        """Wait until nothing is in flight."""
        while not all(engine.idle for engine in self.engines):
            await asyncio.sleep(_DRAIN_LOOK_SECONDS)

    async def close(self) -> None:
        """End the engines."""
        for engine in self.engines:
            await engine.close()

    @property
    def engines(self) -> Iterable[Engine]:
        """The distinct engines."""
        return self._engines.values()

    def problems(self) -> list[str]:
        """Say which workers are dead or stuck."""
        return [problem for engine in self.engines for problem in engine.problems()]

    def readiness(self) -> Readiness:
        """Say whether requests are welcome, and if not why."""
        failures = [failure for c in self.classifiers for failure in c.failures]
        refused = any(c.refused for c in self.classifiers)
        return Readiness(
            ready=self._tested and not refused and not self.draining,
            bundles=[c.reference for c in self.classifiers],
            warnings=[_in_words(failure) for failure in failures],
            failures=failures,
        )

    def _classifier(self, bundle: Bundle) -> Classifier:
        engine = self._engine(bundle)
        _check_fits(bundle, engine.encoder)
        return Classifier(bundle, engine, self.metrics.add_bundle(bundle))

    def _engine(self, bundle: Bundle) -> Engine:
        manifest = bundle.manifest
        key = (manifest.backbone.digest, manifest.preprocess.build())
        if key not in self._engines:
            self._engines[key] = self._new_engine(bundle, key[1])
        return self._engines[key]

    def _new_engine(self, bundle: Bundle, preprocess: Preprocess) -> Engine:
        digest = bundle.manifest.backbone.digest
        if digest not in self._encoders:
            self._encoders[digest] = self._open_encoder(bundle)
        settings = self.settings
        self.metrics.queue_limit.inc(settings.queue_images)
        config = EngineConfig(
            workers=settings.workers,
            max_batch=settings.max_batch,
            max_pixels=settings.max_pixels,
            queue_images=settings.queue_images,
            queue_bytes=settings.queue_bytes,
            stall_seconds=settings.stall_seconds,
        )
        return Engine(self._encoders[digest], preprocess, config=config, observer=self.metrics)


def shipped_bundle() -> Path:
    """Return the Toybox bundle that ships with Croft.

    Raises:
        BundleMissing: this installation has none.
    """
    path = Path(str(resources.files("models") / "toybox" / "bundle"))
    if not (path / MANIFEST).is_file():
        raise BundleMissing(
            "No bundle was named, and this installation ships none (models/toybox/bundle). Name "
            "one: croft serve BUNDLE. `croft demo` or `croft train` makes one."
        )
    return path


def _check_fits(bundle: Bundle, encoder: Encoder) -> None:
    manifest = bundle.manifest
    for field, declared, found in (
        ("backbone.digest", manifest.backbone.digest, encoder.digest),
        ("backbone.embedding_dim", manifest.backbone.embedding_dim, encoder.dim),
        ("preprocess.crop", manifest.preprocess.crop, encoder.size),
    ):
        if declared != found:
            raise BundleCorrupt(
                f"{bundle.path / MANIFEST}: field `{field}` is {declared}, but that of the graph "
                f"in {ENCODER} is {found}."
            )


def _in_words(failure: GoldenResult) -> str:
    return (
        f"Bundle {failure.bundle}: golden image {failure.image} has {failure.quantity} "
        f"{failure.got} on this machine, expected {failure.expected} within "
        f"{failure.tolerance:g}: {failure.reason}."
    )


def _check_distinct(classifiers: Sequence[Classifier]) -> None:
    references = [c.reference for c in classifiers]
    twice = {r for r in references if references.count(r) > 1}
    if not references or twice:
        raise ConfigError(
            f"Bundles must be one or more, each name and version once; given: {references}."
        )
