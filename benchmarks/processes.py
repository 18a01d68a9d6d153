"""One process per contender, asked in turns: while one works, the others wait for a line and do nothing."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from contenders import CONTENDERS
from workloads import Workload

__all__ = ["Processes", "Quiet", "own_environment"]

# What makes a library take other kernels than its own choice for the processor.
PINS = {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_DEBUG_CPU_TYPE", "ATEN_CPU_CAPABILITY"}

WORKER = Path(__file__).with_name("worker.py")
# Threads of OpenBLAS and OpenMP go on spinning for about a tenth of a second after their work: wait until they sleep,
# which is when their processes have used no processor time for so many seconds; but not for ever.
IDLE, PATIENCE = 0.03, 1.0
# A round is measured again, so often at most, if other processes used that share of a processor, and more than the few
# hundredths of a second that the system's clock can tell.
TRIES, DISTURBED, NOTICED = 3, 0.1, 0.03


class Contending:
    """A contender's process."""

    def __init__(self, name: str, scratch: Path, threads: int, log: Any) -> None:
        variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BPX_THREADS")
        environment = own_environment() | dict.fromkeys(variables, str(threads)) | dict(CONTENDERS[name].environment)
        self.threads = threads
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), name, str(scratch), str(threads)],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8",
        )  # fmt: skip

    def ask(self, limit: float | None, do: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a command within `limit` seconds; a process that ended, or is too late, gives "failed"."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            if limit is not None and not select.select([self.process.stdout], [], [], limit)[0]:
                self.process.kill()
                return {"failed": f"no answer within {limit:.0f} s ({do})"}
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"failed": f"its process ended with code {self.process.wait()}"}

    def cpu_seconds(self) -> float:
        """Its processor time so far, with that of processes it waited for; 0 where /proc is missing."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return 0.0
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Close its input, and wait until it has ended."""
        self.process.communicate()


def own_environment() -> dict[str, str]:
    """The variables of this process, without those that pin a library's kernels."""
    return {name: value for name, value in os.environ.items() if name not in PINS}


def machine_seconds() -> float:
    """Processor time that all processes of the machine used so far; 0 where /proc is missing."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split()
    except OSError:
        return 0.0
    user, nice, system, _, _, interrupts, soft_interrupts = map(int, fields[1:8])
    return (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")


class Quiet:
    """Tells how much of a processor everything but this process and those it waited for has used.

    Attributes
    ----------
    others : float
        Once it has been left.
    """

    def __enter__(self) -> Quiet:
        self._start = time.perf_counter(), machine_seconds(), self._own()
        return self

    def __exit__(self, *_: object) -> None:
        start, machine, own = self._start
        used = machine_seconds() - machine - (self._own() - own)
        self.others = max(0.0, used) / max(time.perf_counter() - start, 1e-9)

    @staticmethod
    def _own() -> float:
        return sum(os.times()[:4])


class Processes:
    """All contenders' processes of a run; each is started when it is first needed.

    Parameters
    ----------
    scratch : Path
        A folder for files that they share; ``errors.txt`` in it has what they wrote to standard error.
    threads : int
        For each, where a workload does not say another number.
    rounds : int
    quick : bool
        Rounds of one repeat, without warm-up.
    device : str
        ``"cpu"`` or ``"gpu"``.
    tries : int
        How often a round that others disturbed is measured at most.
    limit : callable, optional
        Gives the seconds within which the next answer must come.
    """

    def __init__(
        self,
        scratch: Path,
        threads: int,
        rounds: int,
        quick: bool,
        device: str = "cpu",
        tries: int = TRIES,
        limit: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.scratch, self.threads, self.rounds, self.quick = scratch, threads, rounds, quick
        self.device, self.tries, self.limit = device, tries, limit
        self._log = (scratch / "errors.txt").open("w", encoding="utf-8")
        self._running: dict[str, Contending] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._running):
            self._end(name)
        self._log.close()

    def measure(
        self, workload: Workload, names: Sequence[str], said: Callable[[str], None]
    ) -> tuple[dict[str, dict[str, Any]], float]:
        """Figures by contender, and how much of a processor all other processes of the machine used meanwhile."""
        results: dict[str, dict[str, Any]] = {}
        threads = workload.threads or self.threads
        for name in [name for name, process in self._running.items() if process.threads != threads]:
            self._end(name)
        if self.device == "gpu":
            for name in names:  # they import their libraries side by side
                self._start(name, threads)
        for name in names:
            said(f"{workload.name}: {name}")
            results[name] = {"values": []} | self._prepare(name, workload)
        self._drop_failed(results)
        rounds = min(self.rounds, workload.rounds or self.rounds)
        others = total = 0.0
        for number in range(rounds):
            order = [name for name in results if "failed" not in results[name]]
            for name in order[number % len(order) :] + order[: number % len(order)] if order else ():
                said(f"{workload.name}: {name}, round {number + 1} of {rounds}")
                if workload.fresh and number:
                    results[name] |= self._prepare(name, workload)
                answer, seconds, disturbed = self._turn(name, 1 if workload.fresh else self.tries)
                total, others = total + seconds, others + disturbed
                if "failed" in answer:
                    results[name] = answer
                else:
                    results[name]["values"].append(answer["value"])
                    results[name]["notes"] |= answer["notes"]
                if workload.fresh:
                    self._end(name)
            self._drop_failed(results)
        return {name: _summary(result) for name, result in results.items()}, others / total if total else 0.0

    def _turn(self, name: str, tries: int) -> tuple[dict[str, Any], float, float]:
        """A round's answer, its seconds, and the processor time that others used meanwhile; once more if that is much.

        Whether a round counts does not depend on its figure.
        """
        process = self._running[name]
        for _ in range(tries):
            self._settle()
            machine, own, start = machine_seconds(), process.cpu_seconds(), time.perf_counter()
            answer = process.ask(self.limit(), "round")
            seconds = time.perf_counter() - start
            others = max(0.0, machine_seconds() - machine - (process.cpu_seconds() - own))
            if self.quick or others <= max(NOTICED, DISTURBED * seconds):
                break
        return answer, seconds, others

    def _prepare(self, name: str, workload: Workload) -> dict[str, Any]:
        """Start the contender where it does not run, and have it prepare; what it says of it."""
        if workload.fresh:
            self._end(name)
        self._start(name, workload.threads or self.threads)
        ask = self._running[name].ask
        return ask(self.limit(), "prepare", workload=workload.name, quick=self.quick, device=self.device)

    def _start(self, name: str, threads: int) -> None:
        """Start a process, if it does not run."""
        if name not in self._running:
            self._running[name] = Contending(name, self.scratch, threads, self._log)

    def _settle(self) -> None:
        """Wait until no contender's process works."""
        end = time.perf_counter() + (0.0 if self.quick else PATIENCE)
        before = -1.0
        while time.perf_counter() < end:
            now = sum(process.cpu_seconds() for process in self._running.values())
            if now == before:
                break
            before = now
            time.sleep(IDLE)

    def _drop_failed(self, results: dict[str, dict[str, Any]]) -> None:
        """End the processes of contenders that failed: what state they are in is not known."""
        for name, result in results.items():
            if "failed" in result:
                self._end(name)

    def _end(self, name: str) -> None:
        """End a process, if it runs."""
        process = self._running.pop(name, None)
        if process is not None:
            process.end()


def _summary(result: dict[str, Any]) -> dict[str, Any]:
    """Median, least and most of the rounds, in seconds or bytes per unit."""
    if "failed" in result or not result["values"]:
        return {"failed": result.get("failed", "no round was measured")}
    values = result["values"]
    return {
        "median": median(values), "min": min(values), "max": max(values), "rounds": values,
        "units_per_round": result["units"], "notes": result["notes"],
    }  # fmt: skip
