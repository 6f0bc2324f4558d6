"""What a run says: figures of a row, the table, the machine."""

import itertools
import os
import platform
import re
import statistics
import subprocess
from pathlib import Path

from rows import MIB, Row

ROOT = Path(__file__).resolve().parents[2]


def amount(row: Row, figures: dict) -> float:
    """What a turn has done, in the row's unit times seconds."""
    if "tokens" in figures and row.unit == "tok/s":
        return figures["tokens"]
    return getattr(row, "size", 0) / 1e6 or 1


def speeds(row: Row, side) -> list[float]:
    return [amount(row, figures) / figures["seconds"] for figures in side.rounds]


def of(row: Row, side) -> dict:
    found = {
        "speed": statistics.median(speeds(row, side)),
        "peakRss": max(figures["peakRss"] for figures in side.rounds),
        "secondsToFirstStep": side.seconds_to_first_step,
        "seconds": [figures["seconds"] for figures in side.rounds],
        "losses": [figures["loss"] for figures in side.rounds if "loss" in figures],
    }
    if (trained := side.about.get("trainedParameters")) is not None:
        found["trainedParameters"] = trained
    return found


def beside(row: Row, ours, peer) -> dict:
    """A peer's figures; ratios are medtrain's speed over the peer's in the same round."""
    ratios = [a / b for a, b in zip(speeds(row, ours), speeds(row, peer), strict=True)]
    found = of(row, peer) | {
        "ratio": statistics.median(ratios),
        "ratioLowest": min(ratios),
        "ratioHighest": max(ratios),
    }
    target = row.peers[peer.name].target
    if target:
        rss = max(figures["peakRss"] for figures in ours.rounds)
        found["target"] = target.speed
        found["met"] = found["ratio"] >= target.speed
        limit = target.rss if target.rss is not None else (target.rss_share or 0) * found["peakRss"]
        if limit:
            found |= {"rssTarget": round(limit), "rssMet": rss <= limit}
    return found


def summary(row: Row, ours, peers: list) -> dict:
    return {
        "row": row.name,
        "unit": row.unit,
        "medtrain": of(row, ours),
        "peers": {peer.name: beside(row, ours, peer) for peer in peers},
    }


def number(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def against(met: bool | None, text: str) -> str:
    return "" if met is None else f"{text} {'yes' if met else 'no'}"


def table(results: list[dict]) -> str:
    head = ["row", "peer", "unit", "medtrain", "peer", "ratio", "lowest–highest", "target", "medtrain MiB", "peer MiB"]
    head += ["MiB target", "others"]
    lines = [head, ["---"] * 3 + ["---:"] * (len(head) - 3)]
    for result in results:
        if "failed" in result:
            lines.append([result["row"], f"failed: {result['failed']}"] + [""] * (len(head) - 2))
            continue
        ours = result["medtrain"]
        for name, peer in result["peers"].items():
            limit = peer.get("rssTarget", 0) / MIB
            lines.append(
                [
                    result["row"],
                    name,
                    result["unit"],
                    number(ours["speed"]),
                    number(peer["speed"]),
                    f"{peer['ratio']:.2f}",
                    f"{peer['ratioLowest']:.2f}–{peer['ratioHighest']:.2f}",
                    against(peer.get("met"), f"≥ {peer.get('target', 0):g}"),
                    f"{ours['peakRss'] / MIB:.0f}",
                    f"{peer['peakRss'] / MIB:.0f}",
                    against(peer.get("rssMet"), f"≤ {limit:.0f}"),
                    f"{result['shareOfOthers']:.0%}",
                ]
            )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def roofline(found: dict, seconds: float) -> dict:
    """What bench_step's `roofline` means for a step of `seconds`; `found` is its answer."""
    products = sum(found["seconds"].values())
    return found | {
        "shareOfProducts": products / seconds,
        "shareOfPeak": found["flops"] / seconds / found["peakFlopsPerSecond"],
    }


def rooflines(results: list[dict]) -> str:
    """A line a training row: where its time goes."""
    head = ["row", "s a step", "GFLOP a step", "of the peak", "in products", "layers", "head", "LoRA", "attention"]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for result in results:
        if not (found := result.get("roofline")):
            continue
        seconds = statistics.median(result["medtrain"]["seconds"])
        parts = [f"{found['seconds'][part] / seconds:.0%}" for part in ("layers", "head", "lora", "attention")]
        lines.append(
            [
                result["row"],
                f"{seconds:.2f}",
                f"{found['flops'] / 1e9:.0f}",
                f"{found['shareOfPeak']:.0%} of {found['peakFlopsPerSecond'] / 1e9:.0f} GFLOP/s",
                f"{found['shareOfProducts']:.0%}",
                *parts,
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) if len(lines) > 2 else ""


def growth(peaks: dict[int, int]) -> dict:
    """Of most RAM by tokens: bytes for each further token, from one length to the next. Linear: the same everywhere."""
    lengths = sorted(peaks)
    further = [round((peaks[b] - peaks[a]) / (b - a)) for a, b in itertools.pairwise(lengths)]
    return {"peakRss": {str(length): peaks[length] for length in lengths}, "bytesAToken": further}


def growths(results: list[dict]) -> list[str]:
    lines = []
    for result in results:
        if found := result.get("growth"):
            peaks = ", ".join(f"{rss / MIB:.0f} at {length}" for length, rss in found["peakRss"].items())
            further = ", ".join(f"{bytes / 1024:.0f}" for bytes in found["bytesAToken"])
            lines.append(f"{result['row']}: MiB by tokens {peaks}; KiB for each further token {further}")
    return lines


def machine(threads: int) -> dict:
    """Where the numbers come from."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    name = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "cpu": name[1] if name else platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "threads": threads,
        "memory": int(memory[1]) * 1024,
        "system": platform.platform(),
    }


def commit() -> str:
    """Of the working tree; with `-dirty` where it differs."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
