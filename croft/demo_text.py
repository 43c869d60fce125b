"""What the demo prints."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from croft.traffic import Sent
from croft.verdict import Verdict

_SHOWN: Final = (("known", 4), ("shifted", 3), ("unknown", 4), ("textures", 1), ("broken", 1))


def heading(text: str) -> str:
    """Return a line that stands out."""
    return f"\n{text}\n{'-' * len(text)}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of equal length as aligned columns; the first row is the header."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def answers(traffic: dict[str, list[Sent]]) -> str:
    """Return a few answers of every kind, spread over the objects."""
    rows: list[Sequence[str]] = [("it shows", "style", "HTTP", "answer", "energy", "p-value")]
    for kind, count in _SHOWN:
        sent = traffic[kind]
        rows += [_answer(sent[i * len(sent) // count]) for i in range(count)]
    return "\n" + table(rows)


def _answer(sent: Sent) -> tuple[str, ...]:
    if sent.status != 200:
        return (sent.name, sent.style, str(sent.status), sent.body["title"], "", "")
    answer = "refused: not one of the known classes" if sent.rejected else sent.body["label"]
    energy, p_value = f"{sent.body['energy']:.2f}", f"{sent.body['p_value']:.3f}"
    return (sent.name, sent.style, "200", answer, energy, p_value)


def summary(verdict: Verdict) -> str:
    """Return the table of all answers, and the verdict on the promise."""
    low, high = verdict.band
    promised = f"about {verdict.expected:.1%}: {low} to {high} images"
    rows: list[Sequence[str]] = [
        ("sent", "images", "right", "wrong", "refused", "promise"),
        _row("known objects, calibrated styles", verdict.known, promised),
        _row("known objects, new styles", verdict.shifted, "none"),
        _row("unknown objects", verdict.unknown, f"floor {verdict.catch_floor:.0%}"),
        _row("textures", verdict.textures, "none"),
    ]
    outcome = "PASSED" if verdict.passed else "FAILED"
    broken = f"A broken file got {verdict.broken.status}: {verdict.broken.body['detail']}"
    return f"\n{table(rows)}\n\n{broken}\n\n{outcome}: refusals within their band and the floor."


def _row(name: str, sent: Sequence[Sent], promise: str) -> tuple[str, ...]:
    right = sum(s.right for s in sent)
    refused = sum(s.rejected for s in sent)
    wrong = len(sent) - right - refused
    shares = [f"{count / len(sent):.1%}" for count in (right, wrong, refused)]
    return (name, str(len(sent)), *shares, promise)


def next_steps(bundle: Path, port: int, *, once: bool) -> str:
    """Return what to do next, with the user's own images."""
    page = "" if once else f"\nThe page is at http://127.0.0.1:{port}/ (Ctrl-C stops it).\n"
    return f"""
The bundle:  {bundle}
The report:  {bundle / "report" / "index.html"}
{page}
Now with your own images, in one folder per class (about 40 each, or more):

    croft train ~/photos --backbone ViT-B-16 --pretrained laion2b_s34b_b88k
    croft serve runs/photos/1

Those weights are OpenCLIP's ViT-B-16 trained on LAION-2B: 600 MB, MIT licence, fetched once from
the Hugging Face hub. Without a connection, fetch them elsewhere and give the file instead:
--pretrained /path/to/open_clip_model.safetensors
"""
