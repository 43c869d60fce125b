"""The split: disjoint, deterministic, true to the manifest, and nothing torn apart."""

import hashlib
import random
from collections import Counter
from pathlib import Path

import pytest

from models.errors import ConfigError, DataError
from training.class_names import default_spec
from training.data import Dataset, Item
from training.split import SplitConfig, Splits, split

PARTS = ("train", "select", "calibrate", "test")


def _item(
    name: str,
    label: str = "cat",
    *,
    domain: str | None = None,
    part: str | None = None,
    group: str | None = None,
    content: str | None = None,
) -> Item:
    digest = f"sha256:{hashlib.sha256((content or name).encode()).hexdigest()}"
    return Item(
        path=Path(f"/d/{name}"), label=label, domain=domain, split=part, group=group, digest=digest
    )


def _dataset(items: list[Item]) -> Dataset:
    classes = tuple(default_spec(name) for name in sorted({item.label for item in items}))
    return Dataset(items=tuple(items), classes=classes, root=Path("/d"), digest="sha256:0")


def _many(classes: dict[str, int], *, domain: str | None = None) -> list[Item]:
    return [
        _item(f"{domain}-{label}-{i}", label, domain=domain)
        for label, count in classes.items()
        for i in range(count)
    ]


def _part_of(splits: Splits) -> dict[str, str]:
    return {i.path.name: part for part in PARTS for i in getattr(splits, part)}


def test_the_default_suits_a_folder_of_photos() -> None:
    """16 shots a class, a few to select with, most to calibrate, a fifth to test."""
    splits = split(_dataset(_many({"cat": 100, "dog": 200, "owl": 40})), SplitConfig(), seed=0)

    assert splits.counts() == {
        "train": 48, "select": 30, "calibrate": 194, "test": 68, "shifted": 0,
    }  # fmt: skip
    assert Counter(i.label for i in splits.train) == {"cat": 16, "dog": 16, "owl": 16}
    assert Counter(i.label for i in splits.select) == {"cat": 10, "dog": 16, "owl": 4}


def test_parts_are_disjoint_and_complete() -> None:
    """Every image is in exactly one part."""
    items = _many({"cat": 57, "dog": 33})

    splits = split(_dataset(items), SplitConfig(), seed=0)

    parts = [item for part in PARTS for item in getattr(splits, part)]
    assert sorted(parts, key=repr) == sorted(items, key=repr)


def test_calibration_comes_before_the_test() -> None:
    """A small data set has no test images; beyond 93 calibration images it gets some."""
    small = split(_dataset(_many({"cat": 60, "dog": 60})), SplitConfig(), seed=0)
    larger = split(_dataset(_many({"cat": 72, "dog": 72})), SplitConfig(), seed=0)

    assert (len(small.calibrate), len(small.test)) == (76, 0)
    assert (len(larger.calibrate), len(larger.test)) == (93, 5)


def test_a_tiny_class_still_serves_every_purpose() -> None:
    """Three images: one to train on, one to select with, one to calibrate on."""
    splits = split(_dataset(_many({"cat": 3, "dog": 200})), SplitConfig(), seed=0)

    cats = Counter(part for name, part in _part_of(splits).items() if "cat" in name)
    assert cats["train"] == cats["select"] == cats["calibrate"] + cats["test"] == 1


def test_shots_are_counted_by_class_and_domain() -> None:
    """And never more than 40 % of what there is."""
    items = _many({"cat": 50, "dog": 20}, domain="photo") + _many({"cat": 100}, domain="art")

    splits = split(_dataset(items), SplitConfig(), seed=0)

    assert Counter((i.label, i.domain) for i in splits.train) == {
        ("cat", "photo"): 16, ("dog", "photo"): 8, ("cat", "art"): 16,
    }  # fmt: skip


def test_the_order_of_files_does_not_matter() -> None:
    """Same content and seed, same parts, whatever the names and their order; a seed changes it."""
    items = _many({"cat": 50, "dog": 50})
    shuffled = random.Random(1).sample(items, len(items))

    parts = _part_of(split(_dataset(items), SplitConfig(), seed=4))

    assert parts == _part_of(split(_dataset(shuffled), SplitConfig(), seed=4))
    assert parts != _part_of(split(_dataset(items), SplitConfig(), seed=5))


def test_the_split_is_the_same_on_every_machine() -> None:
    """Pinned: what a seed means never changes."""
    splits = split(_dataset(_many({"cat": 5, "dog": 5})), SplitConfig(), seed=0)

    assert [item.path.name for item in splits.train] == [
        "None-cat-1",
        "None-cat-4",
        "None-dog-0",
        "None-dog-2",
    ]


@pytest.mark.parametrize("seed", range(5))
def test_no_group_and_no_duplicate_is_torn_apart(seed: int) -> None:
    """Also where a duplicate chains two groups, and a group runs across classes and domains."""
    rng = random.Random(seed)
    items = [
        _item(
            f"{i}",
            rng.choice(["cat", "dog"]),
            domain=rng.choice(["photo", "art"]),
            group=rng.choice([None, f"{rng.randrange(60)}"]),
            content=f"content {rng.randrange(2000)}",
        )
        for i in range(300)
    ]

    splits = split(_dataset(items), SplitConfig(), seed=seed)

    for attribute in ("group", "digest"):
        where: dict[str, set[str]] = {}
        for part in PARTS:
            for item in getattr(splits, part):
                if getattr(item, attribute) is not None:
                    where.setdefault(getattr(item, attribute), set()).add(part)
        assert all(len(parts) == 1 for parts in where.values())
    assert all(len(getattr(splits, part)) > 10 for part in PARTS[:3])
    digests = Counter(item.digest for item in items)
    assert splits.kept_together.duplicates == sum(n > 1 for n in digests.values()) > 5
    assert splits.kept_together.groups > 30
    assert splits.lines()[1].startswith(f"Kept in one part: {splits.kept_together.groups} groups")


def test_classes_of_a_few_large_groups_are_still_split() -> None:
    """Three videos a class: one to train on, one to select with, one to calibrate on."""
    items = [
        _item(f"{label}-{video}-{i}", label, group=f"{label} {video}")
        for label in ("cat", "dog")
        for video in range(3)
        for i in range(30)
    ]

    splits = split(_dataset(items), SplitConfig(), seed=0)

    assert splits.counts() == {
        "train": 60, "select": 60, "calibrate": 60, "test": 0, "shifted": 0,
    }  # fmt: skip


def test_other_domains_are_shifted_and_never_calibrated_on() -> None:
    """They are in no other part."""
    items = _many({"cat": 50, "dog": 50}, domain="photo")
    sketches = _many({"cat": 9, "dog": 9}, domain="sketch")

    splits = split(_dataset(items + sketches), SplitConfig(domains=("photo",)), seed=0)

    assert splits.shifted == tuple(sketches)
    assert set(_part_of(splits)) == {item.path.name for item in items}


def test_a_shifted_image_that_was_trained_on_is_left_out() -> None:
    """The same bytes, or a group, in a known domain would flatter the figures under shift."""
    items = _many({"cat": 50, "dog": 50}, domain="photo")
    items[0] = _item("known", "cat", domain="photo", part="train", group="g")
    items[1] = _item("tested", "cat", domain="photo", part="test", group="h")
    shifted = [
        _item("same group", "cat", domain="sketch", group="g"),
        _item("same bytes", "cat", domain="sketch", content="known"),
        _item("of a test image", "cat", domain="sketch", group="h"),
    ]

    splits = split(_dataset(items + shifted), SplitConfig(domains=("photo",)), seed=0)

    assert splits.left_out == tuple(shifted[:2])
    assert splits.lines()[0].endswith(" test, 1 shifted.")
    assert splits.lines()[1].startswith("Left out: 2 shifted images")
    assert splits.shifted == (shifted[2],)


def test_the_manifest_is_obeyed() -> None:
    """Also beyond the number of shots; free images fill what is missing."""
    fixed = [_item(f"fixed {i}", "cat", part="train") for i in range(30)]
    fixed += [_item(f"held {i}", "dog", part="test") for i in range(30)]
    free = _many({"cat": 60, "dog": 60})

    parts = _part_of(split(_dataset(fixed + free), SplitConfig(), seed=0))

    assert all(parts[item.path.name] == item.split for item in fixed)
    assert Counter(p for name, p in parts.items() if "fixed" not in name)["train"] == 16


def test_a_duplicate_follows_the_image_that_the_manifest_places() -> None:
    """A free copy of a test image may not be trained on."""
    items = [*_many({"cat": 20, "dog": 20}), _item("held", "cat", part="test")]
    items += [_item(f"copy {i}", "cat", content="held") for i in range(3)]

    parts = _part_of(split(_dataset(items), SplitConfig(), seed=0))

    assert {parts[f"copy {i}"] for i in range(3)} == {"test"}


def test_a_manifest_that_tears_a_group_apart_is_refused() -> None:
    """It would break the promise."""
    items = _many({"cat": 20, "dog": 20})
    items += [_item("a", part="train", group="g"), _item("b", part="calibrate", group="g")]

    with pytest.raises(DataError, match=r"into calibrate and train: /d/a, /d/b\. Put them into"):
        split(_dataset(items), SplitConfig(), seed=0)


def test_classes_with_too_few_images_are_listed() -> None:
    """Counted in the domains that are trained on."""
    items = _many({"cat": 20, "dog": 2, "owl": 20}, domain="photo")
    items += _many({"cat": 20, "dog": 20, "fox": 20}, domain="sketch")

    with pytest.raises(DataError, match=r"at least 3 usable images.*: dog \(2\), fox \(0\)"):
        split(_dataset(items), SplitConfig(domains=("photo",)), seed=0)


def test_a_class_that_is_one_group_is_refused() -> None:
    """It cannot be trained on and held back at once."""
    items = [*_many({"cat": 20}), *(_item(f"{i}", "dog", group="g") for i in range(20))]

    with pytest.raises(DataError, match=r"No image is left to train on for: dog"):
        split(_dataset(items), SplitConfig(), seed=0)


def test_one_class_is_refused() -> None:
    """There is nothing to tell apart."""
    with pytest.raises(DataError, match="At least two classes are needed, got cat alone"):
        split(_dataset(_many({"cat": 20})), SplitConfig(), seed=0)


@pytest.mark.parametrize("domain", ["photo", None])
def test_an_unknown_domain_is_refused(domain: str | None) -> None:
    """With those there are."""
    items = _many({"cat": 20, "dog": 20}, domain=domain)

    with pytest.raises(ConfigError, match=f"names art; the data has: {domain or 'none'}"):
        split(_dataset(items), SplitConfig(domains=("art",)), seed=0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shots": 0}, "`shots` must be at least 1, got 0"),
        ({"calibrate_first": 0}, "`calibrate_first` must be at least 1"),
        ({"select_share": -0.1}, r"`select_share` must lie in \[0, 1\), got -0.1"),
        ({"train_share": 0.5, "test_share": 0.4}, "they add up to 1"),
    ],
)
def test_a_wrong_config_is_refused(fields: dict[str, float], message: str) -> None:
    """By field, with what was given."""
    with pytest.raises(ConfigError, match=message):
        SplitConfig(**fields)  # type: ignore[arg-type]
