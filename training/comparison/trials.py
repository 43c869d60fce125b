"""A data set -> trials: a split for each seed, and for each held-out domain where asked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from models.errors import ConfigError, DataError
from training.data import Dataset, Item
from training.split import SplitConfig, Splits, split
from training.trial import Trial

TRAINED_ON: Final = "trained domains"
"""Test images of the domains that are not held out."""


def split_trials(
    dataset: Dataset,
    *,
    name: str,
    config: SplitConfig,
    seeds: Sequence[int],
    unknown: Mapping[str, tuple[Item, ...]],
) -> Iterator[Trial]:
    """Yield one trial a seed: test images by domain, and those of domains not trained on.

    Raises:
        ConfigError: ``config.domains`` names a domain that the data does not have.
        DataError: there are too few images, or none to judge by.
    """
    for seed in seeds:
        splits = split(dataset, config, seed=seed)
        known = _by_domain(splits.test) | _by_domain(splits.shifted)
        yield _trial(dataset, splits, name=name, seed=seed, known=known, unknown=unknown)


def held_out_trials(
    dataset: Dataset,
    *,
    config: SplitConfig,
    seeds: Sequence[int],
    unknown: Mapping[str, tuple[Item, ...]],
) -> Iterator[Trial]:
    """Yield one trial for each domain and seed, trained on all the other domains.

    Raises:
        ConfigError: the data has fewer than two domains.
        DataError: there are too few images, or none to judge by.
    """
    domains = dataset.domains
    if len(domains) < 2:
        raise ConfigError(
            "--leave-domain-out needs data with two domains or more (domain/class folders); "
            f"this has {len(domains)}."
        )
    for domain in domains:
        others = replace(config, domains=tuple(other for other in domains if other != domain))
        for seed in seeds:
            splits = split(dataset, others, seed=seed)
            known = {domain: splits.shifted, TRAINED_ON: splits.test}
            yield _trial(dataset, splits, name=domain, seed=seed, known=known, unknown=unknown)


def _by_domain(items: Sequence[Item]) -> dict[str, tuple[Item, ...]]:
    """Return the images of each domain; those of data without domains are called ``test``."""
    names = sorted({item.domain or "test" for item in items})
    return {name: tuple(i for i in items if (i.domain or "test") == name) for name in names}


def _trial(
    dataset: Dataset,
    splits: Splits,
    *,
    name: str,
    seed: int,
    known: Mapping[str, tuple[Item, ...]],
    unknown: Mapping[str, tuple[Item, ...]],
) -> Trial:
    judged_by = {set_name: items for set_name, items in known.items() if items}
    if not judged_by:
        raise DataError(
            "No image is left to judge by: training and selecting take them all. Add images, or "
            "train on fewer with --shots."
        )
    return Trial(
        name=name,
        seed=seed,
        classes=dataset.classes,
        train=splits.train,
        select=splits.select,
        known=judged_by,
        unknown=unknown,
    )
