"""The processes that are measured, and their turns.

Holds: two sides never compute at the same time; of a round each side is first every other time.
"""

import contextlib
import json
import os
import shlex
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path


PATIENCE = 20 * 60  # seconds for one answer or one job; what takes longer hangs


class BenchError(Exception):
    """A row, or the run, can't go on; in a sentence."""


def environment(threads: int, more: dict[str, str] | None = None) -> dict[str, str]:
    """Pinned threads, nothing from the network, nothing written beside the sources."""
    return (
        os.environ
        | {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "RAYON_NUM_THREADS": str(threads),
            "MEDTRAIN_THREADS": str(threads),
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "TRANSFORMERS_VERBOSITY": "error",
            "TOKENIZERS_PARALLELISM": "false",
            "TRL_EXPERIMENTAL_SILENCE": "1",
            "PYTHONWARNINGS": "ignore",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        | (more or {})
    )


def cause(code: int) -> str:
    return "killed, for memory or for taking too long" if code in (-9, 137) else "its own words are above"


@contextlib.contextmanager
def patience(process: subprocess.Popen):
    """Ends a process that hangs, so that whoever waits for it goes on."""
    timer = threading.Timer(PATIENCE, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Side:
    """A process that takes a step each time it is asked."""

    def __init__(self, name: str, command: list[str], threads: int, more: dict[str, str] | None = None):
        self.name = name
        self.rounds: list[dict] = []
        started = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(threads, more)
        )
        try:
            self.about = self.read()
            self.first = self.ask("step")
        except BaseException:
            self.close()
            raise
        self.seconds_to_first_step = time.perf_counter() - started

    def turn(self) -> dict:
        return self.ask("step")

    def ask(self, question: str) -> dict:
        try:
            self.process.stdin.write(question + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer will be missing
        return self.read()

    def read(self) -> dict:
        with patience(self.process):
            line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise BenchError(f"{self.name} ended with exit code {code} ({cause(code)})")
        return json.loads(line)

    def ticks(self) -> int:
        """CPU time so far, in clock ticks."""
        # utime and stime, counted after the name, which may hold spaces; then those of children that were waited for.
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15])

    def close(self) -> None:
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.stdout.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class PeakRss(threading.Thread):
    """Watches the most RAM that a process had at once. Not by wait4: a child's `ru_maxrss` begins at its parent's."""

    EVERY = 0.02  # seconds

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.status = Path(f"/proc/{pid}/status")
        self.bytes = 0
        self.ended = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.ended.wait(self.EVERY):
            self.look()

    def look(self) -> None:
        try:
            for line in self.status.read_text().splitlines():
                # The last one counts: before the program starts, it is its parent's.
                if line.startswith("VmHWM:"):
                    self.bytes = int(line.split()[1]) * 1024
        except OSError:
            pass  # it has ended

    def end(self) -> int:
        self.look()
        self.ended.set()
        self.join()
        return self.bytes


class Job:
    """A process a turn. Its standard output ends with a line of JSON, or is read up to the line that `until` names.

    `before` and `after` are run outside the time that counts; `own_time` takes the seconds that the process tells
    instead of those from its start to its end, so that what it imports does not count.
    """

    def __init__(self, name, command, threads, *, before=None, after=None, until=None, own_time=False, more=None):
        self.name = name
        self.command = command
        self.environment = environment(threads, more)
        self.before, self.after, self.until, self.own_time = before, after, until, own_time
        self.rounds: list[dict] = []
        self.about: dict = {"versions": {}}
        self.spent = 0.0
        self.seconds_to_first_step = None
        self.first = self.turn()

    def turn(self) -> dict:
        if self.before:
            self.before()
        started = time.perf_counter()
        process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True, env=self.environment)
        peak = PeakRss(process.pid)
        last, seconds = "", None
        with patience(process):
            for line in process.stdout:
                last = line
                if self.until and self.until(line):
                    seconds = time.perf_counter() - started
                    # What comes after the first step is not measured; nothing of it is kept.
                    peak.look()
                    process.kill()
                    break
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        rss = peak.end()
        process.returncode = os.waitstatus_to_exitcode(status)
        self.spent += usage.ru_utime + usage.ru_stime
        if seconds is None:
            seconds = time.perf_counter() - started
            if process.returncode != 0 or self.until:
                code, command = process.returncode, shlex.join(self.command[:3])
                raise BenchError(f"{self.name} ended with exit code {code} ({cause(code)}): {command} …")
        try:
            figures = json.loads(last)
        except ValueError:
            figures = {}
        figures = figures if isinstance(figures, dict) else {}
        self.about["versions"] |= figures.pop("versions", {})
        if not self.own_time:
            figures["seconds"] = seconds
        if self.after:
            figures |= self.after() or {}
        # What the process tells is exact; what was watched may miss its last moments.
        return figures | {"peakRss": max(rss, figures.get("peakRss", 0))}

    def ticks(self) -> int:
        return round(self.spent * os.sysconf("SC_CLK_TCK"))

    def close(self) -> None:
        pass


@dataclass
class Ticks:
    """CPU time so far on the CPUs that this process may use, in clock ticks."""

    busy: int
    total: int
    ours: int
    """Of the sides."""

    @classmethod
    def now(cls, sides: list) -> "Ticks":
        names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
        # user nice system idle iowait irq softirq steal; guest time is in user already
        cpus = [[int(field) for field in line[1:9]] for line in lines if line[0] in names]
        total = sum(map(sum, cpus))
        return cls(total - sum(cpu[3] + cpu[4] for cpu in cpus), total, sum(side.ticks() for side in sides))

    def share_of_others(self, later: "Ticks") -> float:
        """How much of the CPUs went to others from here to `later`, 0 to 1; stolen time counts."""
        others = (later.busy - self.busy) - (later.ours - self.ours)
        return min(max(others / max(later.total - self.total, 1), 0.0), 1.0)


def take_turns(sides: list, warmup: int, rounds: int) -> float:
    """The first turn of each side has been taken; it is the first warm-up round. Returns the CPU share of others."""
    before = Ticks.now(sides)
    for number in range(1, warmup + rounds):
        for side in sides if number % 2 else sides[::-1]:
            figures = side.turn()
            if number >= warmup:
                side.rounds.append(figures)
    return before.share_of_others(Ticks.now(sides))
