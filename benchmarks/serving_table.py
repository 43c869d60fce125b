"""The measurements of ``benchmarks.serving`` as tables: medians, and whether targets are met."""

from collections.abc import Callable
from statistics import median
from typing import Any, Final

from benchmarks.peers.install import FLOOR

Rows = list[dict[str, Any]]
Cell = Callable[[dict[str, Any]], float]

PROCESSES: Final = "Croft, a process a core"
"""The name of that server; the figures of ``Croft`` are those of one process."""

COLUMNS: Final[dict[str, tuple[Cell, str]]] = {
    "images/s": (lambda r: r["per_second"], ".0f"),
    "of the bare loop": (lambda r: r["per_second"] / r["loop_per_second"], ".2f"),
    "per free core": (lambda r: _per_free_core(r), ".2f"),
    "p50 ms": (lambda r: r["p50_ms"], ".1f"),
    "p99 ms": (lambda r: r["p99_ms"], ".1f"),
    "CPU ms": (lambda r: r["cpu_ms"], ".2f"),
    "of the loop's": (lambda r: r["cpu_ms"] / r["loop_cpu_ms"], ".2f"),
    "errors": (lambda r: r["errors"], ".0f"),
    "wrong": (lambda r: r["wrong"], ".0f"),
    "MiB": (lambda r: r["pss_mib"], ".0f"),
    "client's CPU ms": (lambda r: r["client_cpu_ms"], ".2f"),
    "others, cores": (lambda r: r["others_cores"], ".2f"),
}
"""Each a median over the repeats; `per free core` is the ratio to the bare loop once both are
divided by the cores that strangers left to each."""


def table(rows: Rows) -> str:
    """Return one Markdown row a server and load."""
    lines = [f"| server | clients | {' | '.join(COLUMNS)} |", "|" + "---|" * (len(COLUMNS) + 2)]
    for clients in sorted({r["clients"] for r in rows}):
        for server in dict.fromkeys(r["server"] for r in rows):
            cells = [format(_median(rows, server, clients, c), f) for c, f in COLUMNS.values()]
            lines.append(f"| {server} | {clients} | {' | '.join(cells)} |")
    return "\n".join(lines)


def loop_line(rows: Rows) -> str:
    """Say how fast the bare loop was."""
    loop = {name: median(r[f"loop_{name}"] for r in rows) for name in ("per_second", "cpu_ms")}
    single = median(r["loop_single_ms"] for r in rows)
    return (
        f"The bare loop: {loop['per_second']:.0f} images/s, {loop['cpu_ms']:.2f} ms CPU an image; "
        f"{single:.2f} ms for one image in one thread. Medians of "
        f"{max(r['repeat'] for r in rows)} repeats."
    )


def targets(rows: Rows) -> list[tuple[str, str, bool]]:
    """Return what is asked of Croft, what was found, and whether that is enough.

    How well the cores are used is judged by a process a core, everything else by one process.
    """
    most = max(r["clients"] for r in rows)
    speeds = {s: _median(rows, s, most, COLUMNS["images/s"][0]) for s in _servers(rows)}
    peers = {s: v for s, v in speeds.items() if s not in ("Croft", PROCESSES, FLOOR)}
    best = max(peers, key=peers.__getitem__)
    cpu, share = (
        [_median(rows, server, most, COLUMNS[column][0]) for server in ("Croft", PROCESSES, FLOOR)]
        for column in ("of the loop's", "of the bare loop")
    )
    alone = _median(rows, "Croft", 1, lambda r: r["p50_ms"] / r["loop_single_ms"])
    ours = [row for row in rows if row["server"] in ("Croft", PROCESSES)]
    faults = sum(row["errors"] + row["wrong"] for row in ours)
    return [
        (
            f"CPU a request at {most} clients <= 1.15 of the loop's",
            _in_words(*cpu),
            cpu[1] <= 1.15,
        ),
        (
            f"images/s at {most} clients >= 0.85 of the loop's",
            _in_words(*share),
            share[1] >= 0.85,
        ),
        (
            f"more images/s than {', '.join(peers)}",
            f"{speeds['Croft']:.0f}, the next is {best} with {peers[best]:.0f}",
            speeds["Croft"] > peers[best],
        ),
        ("p50 of one client <= 1.5 of one image in one thread", f"{alone:.2f}", alone <= 1.5),
        ("no error and no wrong label", f"{faults:.0f}", faults == 0),
    ]


def _in_words(one: float, more: float, floor: float) -> str:
    return f"a process a core {more:.2f}; one process {one:.2f}, the floor {floor:.2f}"


def verdicts(rows: Rows) -> str:
    """Return the targets as a Markdown table."""
    lines = ["| target | found | |", "|---|---|---|"]
    lines += [f"| {asked} | {got} | {'met' if ok else 'MISSED'} |" for asked, got, ok in
              targets(rows)]  # fmt: skip
    return "\n".join(lines)


def _servers(rows: Rows) -> list[str]:
    return list(dict.fromkeys(r["server"] for r in rows))


def _median(rows: Rows, server: str, clients: int, cell: Cell) -> float:
    return median(cell(r) for r in rows if (r["server"], r["clients"]) == (server, clients))


def _per_free_core(row: dict[str, Any]) -> float:
    left = {
        name: max(0.1, row["cores"] - row[name]) for name in ("others_cores", "loop_others_cores")
    }
    served, looped = row["per_second"] / left["others_cores"], row["loop_per_second"]
    return float(served / (looped / left["loop_others_cores"]))
