"""``croft evaluate``: judge a bundle on images that it has never seen."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.bundle import Bundle
from models.errors import ConfigError, DataError
from training.class_names import listed
from training.data import Dataset, Item, load_dataset
from training.evaluate import CALIBRATED_DOMAINS, Sets, evaluate, write_rows
from training.progress import bar
from training.report import write_report
from training.summary import summarize
from training.table import lines_of
from training.unknown import OTHER, load_unknown, named_folders, overlap_notes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="what `croft train` wrote")
    parser.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help="class folders, domain/class folders, or a .csv or .parquet manifest; images of "
        "classes that the bundle does not know are judged as unknown",
    )
    parser.add_argument(
        "--unknown",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="images of things that should be refused; may be given several times",
    )
    parser.add_argument(
        "--shifted",
        nargs="+",
        default=[],
        metavar="DOMAIN",
        help="domains of DATA that the promise does not cover; by default those the bundle was "
        "not calibrated on",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write report, figures and answers")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep embeddings here")
    parser.add_argument(
        "--json", action="store_true", help="print the figures as JSON alone (notes go to stderr)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the figures, and write the report if asked to."""
    bundle = Bundle.load(args.bundle)
    unknown_folders = named_folders(args.unknown)  # before every image is read
    dataset, data_report = load_dataset(args.data)
    unknown, left_out = _load_all(unknown_folders)
    sets = _sets(bundle, dataset, unknown, args)
    notes = [*data_report.lines(), *left_out, *_notes(bundle, dataset, sets)]
    if args.json:
        print(*notes, sep="\n", file=sys.stderr)
    with bar("images", "image") as on_progress:
        evaluation = evaluate(bundle, sets, cache=args.cache, on_progress=on_progress)
    figures = summarize(evaluation)
    text = [json.dumps(figures, indent=2)] if args.json else [*notes, "", *lines_of(figures)]
    if args.out is not None:
        report = write_report(args.out, bundle=bundle, evaluation=evaluation, data_report=notes)
        write_rows(args.out / "answers.jsonl", evaluation.rows)
        write_rows(args.out / "answers.csv", evaluation.rows)
        text += [] if args.json else ["", f"report: {report}"]
    print("\n".join(text))
    return 0


def _load_all(folders: Mapping[str, Path]) -> tuple[dict[str, Sequence[Item]], list[str]]:
    loaded = {name: load_unknown(name, path) for name, path in folders.items()}
    notes = [note for _, notes in loaded.values() for note in notes]
    return {name: items for name, (items, _) in loaded.items()}, notes


def _sets(
    bundle: Bundle,
    dataset: Dataset,
    unknown: dict[str, Sequence[Item]],
    args: argparse.Namespace,
) -> Sets:
    labels = set(bundle.manifest.labels)
    shifted_domains = _shifted_domains(bundle, dataset, args.shifted)
    known = [item for item in dataset.items if item.label in labels]
    other = [item for item in dataset.items if item.label not in labels]
    if not known:
        raise DataError(
            f"{args.data}: no image of a class that the bundle knows. It knows "
            f"{listed(bundle.manifest.labels)}; the data has "
            f"{listed([spec.name for spec in dataset.classes])}. Rename the folders."
        )
    return Sets(
        known=[item for item in known if item.domain not in shifted_domains],
        shifted=[item for item in known if item.domain in shifted_domains],
        unknown=unknown | ({OTHER: tuple(other)} if other else {}),
    )


def _shifted_domains(bundle: Bundle, dataset: Dataset, given: Sequence[str]) -> set[str]:
    if strangers := sorted(set(given) - set(dataset.domains)):
        raise ConfigError(
            f"--shifted: DATA has no domain `{strangers[0]}`; it has "
            f"{', '.join(dataset.domains) or 'none: it is not laid out as domain/class folders'}."
        )
    calibrated = bundle.manifest.dataset.get(CALIBRATED_DOMAINS)
    if given or not isinstance(calibrated, list) or not calibrated:
        return set(given)
    return set(dataset.domains) - {str(domain) for domain in calibrated}


def _notes(bundle: Bundle, dataset: Dataset, sets: Sets) -> list[str]:
    """Say what a person may not expect of the data, and of the unknown sets."""
    notes = []
    facts = bundle.manifest.dataset
    if dataset.digest in (facts.get("digest"), facts.get("calibration_digest")):
        notes.append(
            "WARNING: the bundle was trained or calibrated on this very data. Its figures look "
            "better than those of new images; the bundle's own report has figures of images that "
            "were set aside."
        )
    labels = {name: {item.label for item in items} for name, items in sets.unknown.items()}
    if OTHER in labels:
        notes.append(
            "Judged as unknown, because the bundle does not know these classes: "
            f"{', '.join(sorted(labels[OTHER]))}."
        )
    for name, found in labels.items():
        notes += overlap_notes(name, found, bundle.manifest.labels)
    return notes
