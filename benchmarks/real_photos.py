"""Real photos through any encoder: the untuned model, cross-entropy alone, and CRoFT's adapter.

    python -m benchmarks.real_photos DATA --encoder E.onnx --encoder-spec E.toml \
        --text-features T.npz [--aliases A.toml] [--domains a,b] [--unknown NAME=DIR ...]

All methods of a seed share images, embeddings and splits; each seed draws its own splits, views
and starting points. Prints the tables of docs/real-photos.md.

Axes: N images, n calibration images, V views, D embedding.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, pstdev
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.embed import embed_files
from models.encoder import OnnxEncoder
from models.scores import energy
from training.baselines.tuned import CROSS_ENTROPY_ALONE
from training.calibrate import CalibrateConfig, band, calibrate
from training.data import Dataset, Item, load_dataset
from training.encoders import DualEncoder, EncoderRequest, open_encoder
from training.metrics import auroc
from training.progress import bar, say, say_all
from training.split import SplitConfig, Splits, split
from training.tune import TextSource, TuneConfig, Tuned, tune, zero_shot
from training.unknown import load_unknown, named_folders
from training.views import ViewConfig, Views

Floats = NDArray[np.float32]

METHODS: Final[dict[str, dict[str, Any] | None]] = {
    "zero-shot": None,
    "cross-entropy only": CROSS_ENTROPY_ALONE,
    "adapter (CRoFT)": {},
}
"""What each method changes in the default settings; None: nothing is tuned."""

PARTS: Final = ("select", "calibrate", "test", "shifted")
"""Of a split, what is looked at once, as it will be served."""

BAND: Final = 0.99
"""Confidence of the band for the number of known images refused."""


@dataclass(frozen=True, slots=True)
class Result:
    """One method, one seed."""

    method: str
    seed: int
    figures: dict[str, float]
    """By column of the first table: accuracies, AUROCs, shares refused."""
    refused: tuple[int, int, int, int]
    """Known test images refused, of how many, and the band: least, most."""
    epoch: int
    """The epoch that was kept; 0 is the untuned model."""


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that no seed changes."""

    dataset: Dataset
    dual: DualEncoder
    unknown: Mapping[str, tuple[Item, ...]]
    cache: Path

    def embed(self, items: Sequence[Item], what: str, views: Views | None = None) -> Floats:
        """Return embeddings (N, V, D)."""
        with bar(what, "image") as progress:
            return embed_files(
                items,
                OnnxEncoder(self.dual.exported.path),
                self.dual.preprocess,
                cache=self.cache / "embeddings",
                views=views,
                on_progress=progress,
            )


@dataclass(frozen=True, slots=True)
class Seed:
    """One seed's splits, embedded."""

    number: int
    splits: Splits
    train_NVD: Floats
    text: TextSource
    plain: Mapping[str, Floats]
    """Embeddings (N, D) of the parts of the split, and of the unknown sets."""


def main() -> None:
    """Run it."""
    args = _arguments()
    dataset, report = load_dataset(args.data)
    say_all(report.lines())
    request = EncoderRequest(
        encoder=args.encoder,
        spec=args.encoder_spec,
        text_features=args.text_features,
        aliases=args.aliases,
    )
    material = Material(
        dataset=dataset,
        dual=open_encoder(request, dataset.classes, cache=args.cache),
        unknown={name: load_unknown(name, path)[0] for name, path in args.unknown.items()},
        cache=args.cache,
    )
    config = SplitConfig(shots=args.shots, domains=args.domains)
    seeds = [prepare(material, config, number) for number in range(1, args.seeds + 1)]
    results = [run(material, seed, method) for method in METHODS for seed in seeds]
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    say_all(material.dual.notes[:1])
    say(table(results), "", refusals(results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="what `croft train` takes")
    for name in ("--encoder", "--encoder-spec", "--text-features"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--aliases", type=Path)
    parser.add_argument("--domains", type=lambda text: tuple(text.split(",")))
    parser.add_argument("--unknown", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--shots", type=int, default=SplitConfig().shots)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "croft")
    parser.add_argument("--out", type=Path, help="a .json file of all figures")
    args = parser.parse_args()
    args.unknown = named_folders(args.unknown)
    return args


def prepare(material: Material, config: SplitConfig, number: int) -> Seed:
    """Split and embed for one seed."""
    splits = split(material.dataset, config, seed=number)
    say(f"seed {number}", *splits.lines())
    views = Views(config=ViewConfig(), seed=number)
    train_NVD = material.embed(splits.train, "views", views)
    parts: dict[str, tuple[Item, ...]] = {name: getattr(splits, name) for name in PARTS}
    parts.update(material.unknown)
    return Seed(
        number=number,
        splits=splits,
        train_NVD=train_NVD,
        text=material.dual.text(train_NVD[:, 0], material.dataset.labels(splits.train)),
        plain={name: material.embed(items, name)[:, 0] for name, items in parts.items() if items},
    )


def run(material: Material, seed: Seed, method: str) -> Result:
    """Tune with one method, calibrate with the default promise, and measure."""
    tuned = fit(material, seed, METHODS[method])
    head = tuned.head
    logits = {name: head.logits(plain_ND) for name, plain_ND in seed.plain.items()}
    energies = {name: energy(logits_NK) for name, logits_NK in logits.items()}
    right: dict[str, NDArray[np.bool_]] = {
        name: logits[name].argmax(axis=1) == material.dataset.labels(getattr(seed.splits, name))
        for name in PARTS[2:]
        if name in logits
    }
    threshold = calibrate(energies["calibrate"], CalibrateConfig())
    refused = int(np.sum(energies["test"] > threshold.value))
    figures = _accuracies(seed.splits, right) | _aurocs(energies, material.unknown)
    for name in material.unknown:
        figures[f"{name} caught"] = float(np.mean(energies[name] > threshold.value))
    size = len(energies["test"])
    least, most = band(threshold, size, confidence=BAND)
    return Result(method, seed.number, figures, (refused, size, least, most), tuned.epoch)


def fit(material: Material, seed: Seed, changes: dict[str, Any] | None) -> Tuned:
    """Tune on the seed's views."""
    if changes is None:
        return zero_shot(seed.text)
    select = seed.splits.select
    return tune(
        seed.train_NVD,
        material.dataset.labels(seed.splits.train),
        text=seed.text,
        select=(seed.plain["select"], material.dataset.labels(select)) if select else None,
        config=TuneConfig(seed=seed.number, **changes),
    )


def _accuracies(splits: Splits, right: Mapping[str, NDArray[np.bool_]]) -> dict[str, float]:
    figures = {"right: test": float(np.mean(right["test"]))}
    for name, right_N in right.items():
        domain_N = np.array([item.domain or "" for item in getattr(splits, name)])
        for domain in sorted(set(domain_N) - {""}):
            shift = " (shifted)" if name == "shifted" else ""
            figures[f"right: {domain}{shift}"] = float(np.mean(right_N[domain_N == domain]))
    return figures


def _aurocs(
    energies: Mapping[str, NDArray[np.float64]], unknown: Mapping[str, Any]
) -> dict[str, float]:
    return {
        f"AUROC: {name} against {known}": auroc(energies[known], energies[name])
        for known in PARTS[2:]
        if known in energies
        for name in unknown
    }


def table(results: Sequence[Result]) -> str:
    """Return each figure's mean and standard deviation over the seeds, as a Markdown table."""
    lines = [f"| | {' | '.join(METHODS)} |", "|---|" + "---|" * len(METHODS)]
    for column in results[0].figures:
        cells = [
            _mean([r.figures[column] for r in results if r.method == method]) for method in METHODS
        ]
        lines.append(f"| {column} | {' | '.join(cells)} |")
    return "\n".join(lines)


def refusals(results: Sequence[Result]) -> str:
    """Return how many known test images each run refused, beside the band."""
    lines = [f"| refused, of known ({BAND:.0%} band), by seed | kept epochs |", "|---|---|---|"]
    lines[0] = "| " + lines[0]
    for method in METHODS:
        rows = [r for r in results if r.method == method]
        counts = ", ".join("{} of {} ({}-{})".format(*r.refused) for r in rows)
        lines.append(f"| {method} | {counts} | {', '.join(str(r.epoch) for r in rows)} |")
    return "\n".join(lines)


def _mean(values: Sequence[float]) -> str:
    return f"{mean(values):.3f} ± {pstdev(values):.3f}"


if __name__ == "__main__":
    main()
