"""The objective `official` against numbers that its authors' code gave, in double precision.

    python -m benchmarks.golden FILE.npz...

A file holds inputs (`image_features` (N, D) and `text_features` (K, D), raw, `labels`,
`theta_image`, `theta_text` and `generator` (D, D), `ratio_image`, `ratio_text`, `lambda1`,
`lambda2`, `logit_scale`) and what is expected of them, `expected_*`. Its name says how the authors
ran: `setup1` or `setup2` for the scale of EDR, then `shifted`, or `vlcs` or `pacs` (with gen_step
0) for the branch without shifted features.

Prints the largest error of each value, relative to the largest entry expected. Exits 1 when one is
above 1e-8, or when an `expected_*` is unknown; 2 when a file cannot be used.
"""

import argparse
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from models.nn.adapter import Adapter
from training import official
from training.progress import say

TOLERANCE: Final = 1e-8
BRANCHES: Final = {"shifted": True, "vlcs": False, "pacs": False}
"""Whether shifted features take part, by the last word of a file's name."""
INPUTS: Final = {
    "image_features": "ND", "text_features": "KD", "labels": "N",
    "theta_image": "DD", "theta_text": "DD", "generator": "DD",
    "ratio_image": "", "ratio_text": "", "lambda1": "", "lambda2": "", "logit_scale": "",
}  # fmt: skip
"""What a file must hold, and its axes."""

Arrays = Mapping[str, NDArray[Any]]


class BadFile(Exception):
    """A file cannot be used: the message says which and why."""


def main() -> int:
    """Check every file, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.npz")
    try:
        passed = [check(path) for path in parser.parse_args().files]
    except BadFile as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0 if all(passed) else 1


def check(path: Path) -> bool:
    """Print the errors of one file, and return whether all are small enough.

    Raises:
        BadFile: it cannot be read, or its name or content is not what the module says.
    """
    edr, uses_shifted = configuration(path)
    arrays = read(path)
    found = recompute(arrays, edr=edr, uses_shifted=uses_shifted)
    say(f"{path.name}: edr {edr}, shifted features {'used' if uses_shifted else 'left out'}")
    passed = True
    for name in sorted(name for name in arrays if name.startswith("expected_")):
        error = relative_error(found.get(name), arrays[name])
        passed &= error <= TOLERANCE
        verdict = "ok" if error <= TOLERANCE else "FAILED"
        say(f"  {name.removeprefix('expected_'):22}  {error:8.1e}  {verdict}")
    return passed


def configuration(path: Path) -> tuple[official.Edr, bool]:
    """Return the scale of EDR, and whether shifted features take part.

    Raises:
        BadFile: the name is not made of one of each.
    """
    first, _, last = path.stem.partition("_")
    for edr in get_args(official.Edr):
        if first == edr and last in BRANCHES:
            return edr, BRANCHES[last]
    raise BadFile(
        f"{path}: the name does not say how the authors ran; it must be "
        f"{' or '.join(get_args(official.Edr))}, then _{', _'.join(BRANCHES)}."
    )


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Return all arrays of a file.

    Raises:
        BadFile: not an .npz file, an input is absent or of another shape, or nothing is expected.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise BadFile(f"{path}: not an .npz file that can be read: {error}") from error
    if absent := [name for name in INPUTS if name not in arrays]:
        raise BadFile(f"{path}: lacks {', '.join(absent)}.")
    if not any(name.startswith("expected_") for name in arrays):
        raise BadFile(f"{path}: holds no `expected_*`.")
    sizes: dict[str, int] = {}
    for name, axes in INPUTS.items():
        shape = arrays[name].shape
        if len(shape) != len(axes) or any(
            sizes.setdefault(axis, size) != size for axis, size in zip(axes, shape, strict=True)
        ):
            raise BadFile(f"{path}: `{name}` has shape {shape}, not ({', '.join(axes)}).")
        if arrays[name].dtype.kind not in "iuf" or not np.isfinite(arrays[name]).all():
            raise BadFile(f"{path}: `{name}` must be finite numbers.")
    labels_N = arrays["labels"]
    if labels_N.dtype.kind == "f" or not np.all((labels_N >= 0) & (labels_N < sizes["K"])):
        raise BadFile(f"{path}: `labels` must be whole numbers in 0..{sizes['K'] - 1}.")
    return arrays


def recompute(arrays: Arrays, *, edr: official.Edr, uses_shifted: bool) -> dict[str, Tensor]:
    """Return every value that can be expected of the inputs, by its name in the file."""
    adapter = adapter_of(arrays)
    generator_DD = torch.from_numpy(arrays["generator"]).double().requires_grad_()
    labels_N = torch.from_numpy(arrays["labels"]).long()
    scale, lambda_1 = float(arrays["logit_scale"]), float(arrays["lambda1"])
    known = official.features(
        adapter,
        torch.from_numpy(arrays["image_features"]).double(),
        torch.from_numpy(arrays["text_features"]).double(),
    )
    logits_NK = official.logits(known.u_ND, known.v_KD, scale)
    shifted_ND = official.shift(known.u_ND, generator_DD)
    generator_loss = official.generator_loss(
        known, shifted_ND, labels_N, logit_scale=scale, lambda_1=lambda_1
    )
    classified = cross_entropy(logits_NK, labels_N)
    shift_loss = official.shift_loss(
        adapter, known, shifted_ND, labels_N,
        logit_scale=scale, lambda_1=lambda_1, uses_shifted=uses_shifted,
    )  # fmt: skip
    flattened_MD = official.flattened_at(known, shifted_ND, uses_shifted=uses_shifted)
    penalty = official.energy_gradient(adapter, flattened_MD, known.t_KD, edr=edr)
    edr_and_shift = shift_loss + float(arrays["lambda2"]) * penalty
    total = classified + edr_and_shift
    (by_generator_DD,) = torch.autograd.grad(generator_loss, generator_DD, retain_graph=True)
    slopes = torch.autograd.grad(total, [adapter.image_DD, adapter.text_DD, generator_DD])
    found = {
        "logits": logits_NK,
        "logsumexp": official.energy_score(logits_NK),
        "shifted_features": shifted_ND,
        "generator_loss": generator_loss,
        "generator_grad": by_generator_DD,
        "cross_entropy": classified,
        "edr_and_shift_loss": edr_and_shift,
        "total_loss": total,
        **dict(zip(("grad_theta_image", "grad_theta_text", "grad_generator"), slopes, strict=True)),
    }
    return {f"expected_{name}": value.detach() for name, value in found.items()}


def adapter_of(arrays: Arrays) -> Adapter:
    """Return the adapters that a file describes, in double precision."""
    adapter = Adapter(
        len(arrays["theta_image"]),
        ratio_image=float(arrays["ratio_image"]),
        ratio_text=float(arrays["ratio_text"]),
    ).double()
    with torch.no_grad():
        adapter.image_DD.copy_(torch.from_numpy(arrays["theta_image"]))
        adapter.text_DD.copy_(torch.from_numpy(arrays["theta_text"]))
    return adapter


def relative_error(found: Tensor | None, expected: NDArray[Any]) -> float:
    """Return the largest difference over the largest entry; infinite for what does not compare."""
    if found is None or found.shape != expected.shape:
        return float("inf")
    difference = float(np.abs(found.numpy() - expected).max())
    largest = float(np.abs(expected).max())
    if largest > 0:
        difference /= largest
    return difference if np.isfinite(difference) else float("inf")


if __name__ == "__main__":
    sys.exit(main())
