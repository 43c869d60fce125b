"""GroceryStore's folders (MIT licence) -> what `croft train` takes: a manifest and unknown sets.

    python -m benchmarks.grocery GROCERYSTORE OUT

Known are the coarse classes of fruit and vegetables but every third; those, and all packages, are
unknown. The data set's own test images are the test; its train and val images are Croft's to split.
"""

import argparse
import csv
from pathlib import Path

TOP = ("Fruit", "Vegetables")
PARTS = {"train": "", "val": "", "test": "test"}


def main() -> None:
    """Write OUT/grocery.csv, OUT/other-produce.csv and OUT/packages.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="the folder that holds train, val and test")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    produce = {path: _coarse(path) for top in TOP for path in _images(args.source, top)}
    left_out = set(sorted(set(produce.values()))[::3])
    known = {path: name for path, name in produce.items() if name not in left_out}
    other = {path: name for path, name in produce.items() if name in left_out}
    packages = {path: _coarse(path) for path in _images(args.source, "Packages")}
    args.out.mkdir(parents=True, exist_ok=True)
    for name, images in (("grocery", known), ("other-produce", other), ("packages", packages)):
        _write(args.out / f"{name}.csv", args.source, images)


def _images(source: Path, top: str) -> list[Path]:
    return sorted(path for part in PARTS for path in (source / part / top).rglob("*.jpg"))


def _coarse(path: Path) -> str:
    """Return ``Apple`` for ``.../Fruit/Apple/Granny-Smith/1.jpg``; one mushroom is filed twice."""
    parts = path.parts
    top = next(i for i, part in enumerate(parts) if part in (*TOP, "Packages"))
    return "Mushroom" if "Mushroom" in parts[top + 1] else parts[top + 1]


def _write(path: Path, source: Path, images: dict[Path, str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for image, name in images.items():
            part = image.relative_to(source).parts[0]
            writer.writerow([image.resolve(), name, PARTS[part]])


if __name__ == "__main__":
    main()
