"""Prints what `make parity` compared: a line for each quantity, of its comparison that is nearest to the tolerance.

Reads a file with a line of JSON for each comparison (trainer/src/parity.rs, check_artifacts.py): quantity, case, how
many values it stands for, ours, theirs, difference, tolerance. Exits with 1 if a difference is beyond its tolerance.
A tolerance of 0 means: the same to the bit, or the same text; `ours` and `theirs` then count what is.
"""

import argparse
import json
import math
from pathlib import Path

COLUMNS = ("quantity", "values", "worst case", "ours", "theirs", "difference", "tolerance")


def read(line: str) -> dict:
    """A comparison; JSON has no word for what is no number but null."""
    return {key: math.nan if value is None else value for key, value in json.loads(line).items()}


def nearness(note: dict) -> float:
    """How much of the tolerance is used; beyond 1 it is exceeded. What is no number exceeds any."""
    if not math.isfinite(note["difference"]):
        return math.inf
    if note["tolerance"] > 0:
        return note["difference"] / note["tolerance"]
    return math.inf if note["difference"] > 0 else 0.0


def lines(notes: list[dict]) -> list[tuple[str, ...]]:
    """The table's lines in the order of their names."""
    groups: dict[str, list[dict]] = {}
    for note in notes:
        groups.setdefault(note["quantity"], []).append(note)
    table = []
    for quantity, group in sorted(groups.items()):
        compared = sum(note["compared"] for note in group)
        worst = max(group, key=nearness)
        if worst["tolerance"] == 0 and worst["difference"] == 0:
            shown = ("", f"{compared}", f"{compared}", "none", "same")
        else:
            numbers = (f"{worst[key]:.7g}" for key in ("ours", "theirs"))
            shown = (worst["case"], *numbers, f"{worst['difference']:.1e}", f"{worst['tolerance']:.1e}")
        table.append((quantity, f"{compared}", *shown))
    return table


def printed(table: list[tuple[str, ...]]) -> str:
    """Columns of equal width; long cases are cut."""
    cut = [[cell if len(cell) <= 44 else f"{cell[:43]}…" for cell in line] for line in (COLUMNS, *table)]
    widths = [max(len(line[at]) for line in cut) for at in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cut)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notes", type=Path)
    notes = [read(line) for line in parser.parse_args().notes.read_text().splitlines()]
    print(printed(lines(notes)))
    beyond = [note for note in notes if nearness(note) > 1]
    print(f"{len(notes)} comparisons, {len(beyond)} beyond their tolerance")
    for note in beyond:
        print(f"beyond: {note['quantity']}, {note['case']}: {note['ours']}, {note['theirs']} there")
    return int(bool(beyond) or not notes)


if __name__ == "__main__":
    raise SystemExit(main())
