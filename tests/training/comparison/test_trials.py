"""Trials of a data set: what is trained on, and what is judged by."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from models.errors import ConfigError, DataError
from training.class_names import default_spec
from training.comparison.shift import known_sets
from training.comparison.trials import TRAINED_ON, held_out_trials, split_trials
from training.data import Dataset, Item
from training.split import SplitConfig
from training.trial import Trial

STRANGER = Item(
    path=Path("/u/0"), label="rock", domain=None, split=None, group=None, digest="sha256:u"
)


def dataset(*domains: str | None, images: int = 40) -> Dataset:
    """Return two classes of as many images in each domain."""
    items = tuple(
        Item(
            path=Path(f"/d/{domain}/{label}/{i}"),
            label=label,
            domain=domain,
            split=None,
            group=None,
            digest=f"sha256:{domain} {label} {i}",
        )
        for domain in domains
        for label in ("cat", "dog")
        for i in range(images)
    )
    classes = (default_spec("cat"), default_spec("dog"))
    return Dataset(items=items, classes=classes, root=Path("/d"), digest="sha256:0")


def trials(data: Dataset, *, domains: tuple[str, ...] | None = None) -> list[Trial]:
    """Split for two seeds."""
    config = SplitConfig(shots=4, domains=domains, calibrate_first=1)
    unknown = {"rocks": (STRANGER,)}
    return list(split_trials(data, name="pets", config=config, seeds=(1, 2), unknown=unknown))


def digests(items: tuple[Item, ...]) -> set[str]:
    """Return which images they are."""
    return {item.digest for item in items}


def test_each_seed_draws_its_own_images() -> None:
    """Of the same data; nothing that is trained on or selected by is judged by."""
    first, second = trials(dataset(None))

    assert (first.name, first.seed, second.seed) == ("pets", 1, 2)
    assert digests(first.train) != digests(second.train)
    assert Counter(item.label for item in first.train) == {"cat": 4, "dog": 4}
    seen = digests((*first.train, *first.select))
    assert list(first.known) == ["test"]
    assert not seen & digests(first.known["test"])
    assert first.unknown == {"rocks": (STRANGER,)}


def test_domains_that_are_not_trained_on_are_shifted() -> None:
    """All known images are judged by domain."""
    (trial, _) = trials(dataset("photo", "cartoon", "sketch"), domains=("photo", "cartoon"))

    assert {item.domain for item in trial.train} == {"photo", "cartoon"}
    assert list(known_sets(trial)) == ["cartoon", "photo", "sketch (shifted)"]
    assert len(trial.known["sketch"]) == 80
    assert {item.domain for item in trial.known["photo"]} == {"photo"}


def test_without_domains_nothing_is_shifted() -> None:
    """Test images are what they are called, also where only some images have a domain."""
    (trial, _) = trials(dataset(None))
    (other, _) = trials(dataset("photo"))

    assert list(known_sets(trial)) == ["test"]
    assert list(known_sets(replace(other, known=trial.known))) == ["test"]


def test_each_domain_is_held_out_in_turn() -> None:
    """Trained on the others, judged by all of it and by test images of the others."""
    data = dataset("photo", "cartoon", "sketch")
    config = SplitConfig(calibrate_first=1)
    made = list(held_out_trials(data, config=config, seeds=(1, 2), unknown={}))

    assert [(trial.name, trial.seed) for trial in made] == [
        (domain, seed) for domain in ("cartoon", "photo", "sketch") for seed in (1, 2)
    ]
    assert {item.domain for item in made[0].train} == {"photo", "sketch"}
    assert list(known_sets(made[0])) == ["cartoon (shifted)", TRAINED_ON]
    assert {item.domain for item in made[0].known["cartoon"]} == {"cartoon"}
    assert {item.domain for item in made[0].known[TRAINED_ON]} == {"photo", "sketch"}
    seen = digests((*made[0].train, *made[0].select))
    assert not seen & digests(made[0].known[TRAINED_ON])


@pytest.mark.parametrize(("domains", "count"), [((None,), 0), (("photo",), 1)])
def test_one_domain_cannot_be_held_out(domains: tuple[str | None, ...], count: int) -> None:
    """The refusal says how many there are."""
    made = held_out_trials(dataset(*domains), config=SplitConfig(), seeds=(1,), unknown={})
    with pytest.raises(ConfigError, match=rf"two domains or more .* this has {count}\."):
        list(made)


def test_nothing_to_judge_by_is_refused() -> None:
    """A split that keeps everything to calibrate on leaves no test."""
    made = split_trials(
        dataset(None, images=3), name="pets", config=SplitConfig(), seeds=(1,), unknown={}
    )
    with pytest.raises(DataError, match=r"No image is left to judge by: .* --shots"):
        next(made)
