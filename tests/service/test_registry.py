"""Bundles on one encoder share it; others do not."""

from pathlib import Path

import pytest

from models.bundle import Bundle
from models.errors import BundleCorrupt, BundleMissing, ConfigError
from service.errors import UnknownBundle
from service.registry import Registry
from service.settings import Settings
from tests.bundles import load_tiny, tiny_graph
from tests.service.fakes import registry_of


def test_bundles_of_one_encoder_share_an_engine(tmp_path: Path) -> None:
    """Same digest and preprocessing: one engine; another encoder: its own."""
    first = load_tiny(tmp_path / "a", name="a")
    second = load_tiny(tmp_path / "b", name="b")
    other = load_tiny(tmp_path / "c", name="c", graph_seed=1)
    registry, _ = registry_of(first, second, other)
    engines = [classifier.engine for classifier in registry.classifiers]
    assert engines[0] is engines[1]
    assert engines[2] is not engines[0]
    assert len(list(registry.engines)) == 2


def test_other_preprocessing_shares_the_encoder_alone(tmp_path: Path) -> None:
    """One session in memory, two queues: pixels differ."""
    plain = load_tiny(tmp_path / "a", name="a")
    preprocess = plain.manifest.preprocess.model_copy(update={"resize": 20})
    zoomed = load_tiny(tmp_path / "b", name="b", preprocess=preprocess.model_dump())
    registry, _ = registry_of(plain, zoomed)
    first, second = (classifier.engine for classifier in registry.classifiers)
    assert first is not second
    assert first.encoder is second.encoder


def test_a_bundle_must_describe_its_encoder(tmp_path: Path) -> None:
    """Sizes that only the graph knows are compared with it, also if no golden image would tell."""
    preprocess = load_tiny(tmp_path / "a").manifest.preprocess.model_copy(update={"crop": 8})
    bundle = load_tiny(
        tmp_path / "b",
        preprocess=preprocess.model_dump(),
        self_test={"tolerance": 1.0, "images": []},
    )
    with pytest.raises(BundleCorrupt, match=r"bundle\.json: field `preprocess\.crop` is 8, .* 16"):
        registry_of(bundle)


def test_an_encoder_changed_after_the_check_is_refused(tmp_path: Path) -> None:
    """What is opened is what was verified, or it is not opened."""
    bundle = load_tiny(tmp_path / "a")
    tiny_graph(bundle.encoder_path, seed=5)
    with pytest.raises(BundleCorrupt, match=r"field `backbone\.digest` is sha256:"):
        registry_of(bundle)


def test_a_bundle_is_given_twice(bundle: Bundle) -> None:
    """Two of one name and version could not be told apart."""
    with pytest.raises(ConfigError, match=r"each name and version once.*colours@1"):
        registry_of(bundle, bundle)


def test_an_unknown_name_lists_the_known(bundle: Bundle) -> None:
    """The message says what is loaded."""
    registry, _ = registry_of(bundle)
    with pytest.raises(UnknownBundle, match=r"'red' is loaded\. Loaded: colours@1"):
        registry.find("red")
    assert registry.find(None) is registry.find("colours") is registry.find("colours@1")


def test_bundles_of_the_settings_are_loaded(bundle_path: Path, tmp_path: Path) -> None:
    """Paths are read in order; one that is no bundle is named."""
    registry = Registry.load(Settings(bundles=(bundle_path,)))
    assert [c.reference for c in registry.classifiers] == ["colours@1"]
    with pytest.raises(BundleMissing, match="no bundle there"):
        Registry.load(Settings(bundles=(tmp_path,)))
