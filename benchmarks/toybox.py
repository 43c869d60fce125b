"""Five ways to tune on the Toybox, three seeds each: what does CRoFT win there, and what not?

    python -m benchmarks.toybox [--seeds 3] [--out benchmarks/results/toybox.json]

Each seed draws its own images, splits and starting points. All methods of a seed share images,
embeddings and splits. Prints the table of docs/results.md.

Axes: N images, V views, K classes, D embedding.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from statistics import mean, pstdev
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from croft.demo import CALIBRATED, RECIPE, SHIFTED
from models.embed import embed_files
from models.encoder import OnnxEncoder
from models.scores import energy
from training.baselines.tuned import CROSS_ENTROPY_ALONE
from training.calibrate import CalibrateConfig, band, calibrate
from training.data import Item, load_dataset
from training.encoders import DualEncoder, EncoderRequest, open_encoder
from training.metrics import auroc
from training.progress import bar, say
from training.recipe import TrainConfig, load_recipe
from training.split import Splits, split
from training.toybox.images import KNOWN, TEXTURE, UNKNOWN, write_images
from training.tune import TextSource, TuneConfig, Tuned, tune, zero_shot
from training.views import Views

Floats = NDArray[np.float32]

METHODS: Final[dict[str, dict[str, Any] | None]] = {
    "zero-shot": None,
    "cross-entropy only": {"tuning": "adapter", **CROSS_ENTROPY_ALONE},
    "adapter": {"tuning": "adapter"},
    "prompt": {"tuning": "prompt"},
    "prompt+adapter, cross-entropy only": {"tuning": "prompt+adapter", **CROSS_ENTROPY_ALONE},
    "prompt+adapter": {"tuning": "prompt+adapter"},
}
"""What each method changes in the demo's recipe; None: nothing is tuned."""

TRAIN_PER_CLASS: Final = 50
TEST_PER_CLASS: Final = 20


@dataclass(frozen=True, slots=True)
class Result:
    """One method, one seed."""

    method: str
    seed: int
    accuracy_calibrated: float
    accuracy_shifted: float
    auroc_objects: float
    auroc_textures: float
    auroc_objects_vs_shifted: float
    auroc_textures_vs_shifted: float
    refused: int
    known_images: int
    refused_least: int
    refused_most: int
    caught_objects: float


@dataclass(frozen=True, slots=True)
class Material:
    """Everything of a seed, embedded."""

    dual: DualEncoder
    train_NVD: Floats
    train_labels_N: NDArray[np.int64]
    select: tuple[Floats, NDArray[np.int64]]
    calibrate_ND: Floats
    known: tuple[Floats, NDArray[np.int64]]
    shifted: tuple[Floats, NDArray[np.int64]]
    objects_ND: Floats
    textures_ND: Floats

    @property
    def text(self) -> TextSource:
        """The classes as the Toybox's text encoder sees them."""
        return self.dual.text(self.train_NVD[:, 0], self.train_labels_N)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/toybox.json"))
    args = parser.parse_args()
    with resources.as_file(resources.files("training") / "recipes" / RECIPE) as path:
        config = load_recipe(path)
    results = [r for seed in range(1, args.seeds + 1) for r in run_seed(config, seed)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps([asdict(r) for r in results], indent=1) + "\n")
    say(table(results))


def load(path: Path) -> list[Result]:
    """Read the results of an earlier run."""
    return [Result(**row) for row in json.loads(path.read_text())]


def run_seed(config: TrainConfig, seed: int) -> list[Result]:
    """Draw and embed the images of a seed once, and run every method on them."""
    with tempfile.TemporaryDirectory() as scratch:
        material = prepare(Path(scratch), replace(config, seed=seed))
    results = []
    for method, changes in METHODS.items():
        say(f"seed {seed}: {method}")
        results.append(judge(method, seed, material, fit(material, config.tune, changes, seed)))
    return results


def prepare(scratch: Path, config: TrainConfig) -> Material:
    """Draw images of the config's seed, split and embed them."""
    seed = 100 * config.seed
    write_images(
        scratch / "known", seed=seed, per_class=TRAIN_PER_CLASS, styles=CALIBRATED, names=KNOWN
    )
    fresh = scratch / "fresh"
    for folder, names, styles in (
        ("known", KNOWN, CALIBRATED),
        ("shifted", KNOWN, SHIFTED),
        ("objects", UNKNOWN, CALIBRATED),
        ("textures", (TEXTURE,), CALIBRATED[:1]),
    ):
        count = TEST_PER_CLASS if folder != "textures" else 12 * TEST_PER_CLASS
        write_images(fresh / folder, seed=seed + 1, per_class=count, styles=styles, names=names)
    dataset, _ = load_dataset(scratch / "known")
    splits = split(dataset, config.split, seed=config.seed)
    dual = open_encoder(
        EncoderRequest(backbone="toybox"), dataset.classes, cache=Path.home() / ".cache" / "croft"
    )
    encoder = OnnxEncoder(dual.exported.path)
    views = Views(config=config.views, seed=config.seed)

    def embed(items: tuple[Item, ...], what: str) -> Floats:
        with bar(what, "image") as progress:
            return embed_files(items, encoder, dual.preprocess, on_progress=progress)[:, 0]

    def labelled(name: str) -> tuple[Floats, NDArray[np.int64]]:
        items = load_dataset(fresh / name)[0].items
        return embed(items, name), dataset.labels(items)

    with bar("views", "image") as progress:
        train_NVD = embed_files(
            splits.train, encoder, dual.preprocess, views=views, on_progress=progress
        )
    return Material(
        dual=dual,
        train_NVD=train_NVD,
        train_labels_N=dataset.labels(splits.train),
        select=(embed(splits.select, "select"), dataset.labels(splits.select)),
        calibrate_ND=embed(_held_out(splits), "calibrate"),
        known=labelled("known"),
        shifted=labelled("shifted"),
        objects_ND=embed(load_dataset(fresh / "objects")[0].items, "objects"),
        textures_ND=embed(load_dataset(fresh / "textures")[0].items, "textures"),
    )


def _held_out(splits: Splits) -> tuple[Item, ...]:
    """Calibrate on the test part too: the test images here are fresh ones."""
    return splits.calibrate + splits.test


def fit(material: Material, config: TuneConfig, changes: dict[str, Any] | None, seed: int) -> Tuned:
    """Tune one method."""
    if changes is None:
        return zero_shot(material.text)
    return tune(
        material.train_NVD,
        material.train_labels_N,
        text=material.text,
        select=material.select,
        config=replace(config, seed=seed, **changes),
    )


def judge(method: str, seed: int, material: Material, tuned: Tuned) -> Result:
    """Calibrate with the default promise, and measure on fresh images."""
    head = tuned.head

    def energies(embeddings_ND: Floats) -> NDArray[np.float64]:
        return energy(head.logits(embeddings_ND))

    def accuracy(part: tuple[Floats, NDArray[np.int64]]) -> float:
        return float(np.mean(head.logits(part[0]).argmax(axis=1) == part[1]))

    threshold = calibrate(energies(material.calibrate_ND), CalibrateConfig())
    known_N, shifted_N = energies(material.known[0]), energies(material.shifted[0])
    objects_N, textures_N = energies(material.objects_ND), energies(material.textures_ND)
    least, most = band(threshold, len(known_N), confidence=0.99)
    return Result(
        method=method,
        seed=seed,
        accuracy_calibrated=accuracy(material.known),
        accuracy_shifted=accuracy(material.shifted),
        auroc_objects=auroc(known_N, objects_N),
        auroc_textures=auroc(known_N, textures_N),
        auroc_objects_vs_shifted=auroc(shifted_N, objects_N),
        auroc_textures_vs_shifted=auroc(shifted_N, textures_N),
        refused=int(np.sum(known_N > threshold.value)),
        known_images=len(known_N),
        refused_least=least,
        refused_most=most,
        caught_objects=float(np.mean(objects_N > threshold.value)),
    )


COLUMNS: Final = {
    "accuracy, photo and cartoon": "accuracy_calibrated",
    "accuracy, painting and sketch": "accuracy_shifted",
    "AUROC objects": "auroc_objects",
    "AUROC textures": "auroc_textures",
    "AUROC objects, shifted": "auroc_objects_vs_shifted",
    "AUROC textures, shifted": "auroc_textures_vs_shifted",
    "objects caught": "caught_objects",
}


def table(results: list[Result]) -> str:
    """Return mean and standard deviation over the seeds as a Markdown table."""
    head = ["method", *COLUMNS, "refused, of known (99 % band)"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for method in METHODS:
        rows = [r for r in results if r.method == method]
        cells = [_mean([getattr(r, field) for r in rows]) for field in COLUMNS.values()]
        refused = ", ".join(
            f"{r.refused} of {r.known_images} ({r.refused_least}-{r.refused_most})" for r in rows
        )
        lines.append(f"| {method} | {' | '.join(cells)} | {refused} |")
    return "\n".join(lines)


def _mean(values: list[float]) -> str:
    return f"{mean(values):.3f} ± {pstdev(values):.3f}"


if __name__ == "__main__":
    main()
