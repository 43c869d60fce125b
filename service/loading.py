"""Bundles from disk, each with the engine it would run in; nothing that answers is touched."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from models.bundle import ENCODER, MANIFEST, Bundle
from models.encoder import Encoder
from models.errors import BundleCorrupt, BundleMissing, ConfigError
from service.engine import Engine, EngineConfig, Observer
from service.locations import locate
from service.schemas import GoldenResult
from service.settings import Settings

EncoderFactory = Callable[[Bundle], Encoder]


@dataclass(frozen=True, slots=True)
class Draft:
    """A bundle that does not answer yet."""

    bundle: Bundle
    engine: Engine
    failures: tuple[GoldenResult, ...] = ()
    """Golden images that this machine did not reproduce, once they were tried."""


def read_bundles(settings: Settings, *, known: Mapping[str, Bundle]) -> list[Bundle]:
    """Return the bundles of the settings, or the Toybox bundle that ships with Croft.

    Args:
        settings: their paths.
        known: those in memory by their digests, which are not read again.

    Raises:
        BundleError: one of them cannot be trusted.
    """
    paths = settings.bundles or (shipped_bundle(),)
    return [known.get(at.digest) or _load(at.path) for at in locate(paths)]


class EngineMaker:
    """Finds or makes the engines of bundles, and opens each distinct encoder once."""

    def __init__(
        self, settings: Settings, *, open_encoder: EncoderFactory, observer: Observer
    ) -> None:
        """``observer`` is told how busy the engines are."""
        self._settings = settings
        self._open_encoder = open_encoder
        self._observer = observer

    def drafts(self, bundles: Sequence[Bundle], engines: Iterable[Engine]) -> list[Draft]:
        """Give each bundle an engine; those that are made here do not run yet.

        Args:
            bundles: each name and version once.
            engines: those there are, to be shared.

        Raises:
            BundleCorrupt: a bundle whose encoder is not the one that it describes.
            ConfigError: no bundle, or two of one name and version.
            RuntimeMissing: no runtime, or not the provider asked for.
        """
        _check_distinct(bundles)
        shared = list(engines)
        drafts = []
        for bundle in bundles:
            engine = self._engine(bundle, shared)
            _check_fits(bundle, engine.encoder)
            drafts.append(Draft(bundle, engine))
        return drafts

    def _engine(self, bundle: Bundle, engines: list[Engine]) -> Engine:
        """Return the engine of this encoder and preprocessing; a new one joins the others."""
        digest, preprocess = bundle.manifest.backbone.digest, bundle.manifest.preprocess.build()
        alike = [engine for engine in engines if engine.encoder.digest == digest]
        for engine in alike:
            if engine.preprocess == preprocess:
                return engine
        encoder = alike[0].encoder if alike else self._open_encoder(bundle)
        engine = Engine(encoder, preprocess, config=self._config(), observer=self._observer)
        engines.append(engine)
        return engine

    def _config(self) -> EngineConfig:
        settings = self._settings
        return EngineConfig(
            workers=settings.workers,
            max_batch=settings.max_batch,
            max_pixels=settings.max_pixels,
            queue_images=settings.queue_images,
            queue_bytes=settings.queue_bytes,
            stall_seconds=settings.stall_seconds,
            batch_delay=settings.batch_delay_ms / 1e3,
        )


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


def _load(path: Path) -> Bundle:
    """Read a bundle without what only another calibration would need."""
    bundle = Bundle.load(path)
    slim = replace(bundle.calibration, embeddings_nD=None, other_scores={})
    return replace(bundle, calibration=slim)


def _check_distinct(bundles: Sequence[Bundle]) -> None:
    references = [bundle.manifest.reference for bundle in bundles]
    twice = [r for r in references if references.count(r) > 1]
    if not references or twice:
        places = [str(bundle.path) for bundle in bundles if bundle.manifest.reference in twice]
        raise ConfigError(
            "Bundles must be one or more, each name and version once; given: "
            f"{sorted(set(twice))} {places}."
        )


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
