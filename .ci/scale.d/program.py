"""Runs the program. The operating system says of each process how much memory it took, and when it ended."""

import concurrent.futures
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import time
from dataclasses import dataclass

# README and ARCHITECTURE promise memory that options bound: groups of `aggregate` take 128 MiB by default, all else of a job less.
PEAK_MB = 300
# What a job may take to stop, once it was asked to.
STOP_SECONDS = 2.0
INTERRUPTED = 130
# As much as the longest result takes that is read here: of `verify`, a ledger for each of 20,000 files.
END_BYTES = 8 << 20
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A scenario cannot go on."""


@dataclass
class Ended:
    code: int
    seconds: float
    peak_mb: float
    stdout: str
    stderr: str

    def json(self):
        if not self.stdout.strip():
            raise Failed(f"nothing on standard output; {self.said()}")
        return json.loads(self.stdout.strip().splitlines()[-1])

    def said(self):
        return (self.stderr + self.stdout).strip()[-600:]


def end_of(path):
    """The text at a file's end: all of what programs read, and some of what is long."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - END_BYTES))
        return file.read().decode(errors="replace")


class Running:
    """A process that was started. Whoever starts it ends it."""

    def __init__(self, command, work, environment, limits):
        self.out, self.err = work / "stdout", work / "stderr"

        def limit():
            for what, most in limits.items():
                resource.setrlimit(what, (most, most))

        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=work, env=environment, preexec_fn=limit if limits else None)
        self.begun = time.monotonic()
        self.ended = None

    def poll(self):
        """What became of it, or none while it runs."""
        if self.ended is None:
            pid, status, used = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                said = [end_of(path) for path in (self.out, self.err)]
                peak_mb = used.ru_maxrss * 1024 / 1e6
                self.ended = Ended(self.process.returncode, time.monotonic() - self.begun, peak_mb, *said)
        return self.ended

    def wait(self, seconds):
        """Waits for its end; none if it does not come in time."""
        deadline = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.ended

    def kill(self):
        if self.poll() is None:
            self.process.kill()
            self.wait(30)

    def cpu_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def wait_until_busy(self, cpu_seconds):
        """Waits until it has worked for a while; false if it ended before."""
        while self.poll() is None:
            if self.cpu_seconds() >= cpu_seconds:
                return True
            time.sleep(0.005)
        return False


class Program:
    """The program, in a scenario's folder."""

    def __init__(self, binary, work, report):
        self.binary = binary
        self.work = work
        self.report = report
        self.kept = []
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(("ROWMILL_", "BIGTABLE_", "STORAGE_"))}

    def keep(self, what):
        """Ends this with the scenario."""
        self.kept.append(what)
        return what

    def end(self):
        for what in self.kept:
            what.end()

    def start(self, *words, descriptors=None, address_space=None):
        limits = {resource.RLIMIT_NOFILE: descriptors, resource.RLIMIT_AS: address_space}
        limits = {what: most for what, most in limits.items() if most}
        return Running([self.binary, *map(str, words)], self.work, self.environment, limits)

    def run(self, step, *words, seconds=90, peak_mb=PEAK_MB, expect=0, **limits):
        """Runs a command to its end. The scenario ends if it hangs or gives another exit code; too much memory is a row that failed."""
        running = self.start(*words, **limits)
        try:
            ended = running.wait(seconds)
        finally:
            running.kill()
        is_right = ended is not None and ended.code == expect
        ended = ended or running.ended
        self.report.add(step, ended.seconds, ended.peak_mb, peak_mb, is_right and ended.peak_mb <= peak_mb)
        if ended.seconds >= seconds:
            raise Failed(f"{step}: did not end in {seconds} s; {ended.said()}")
        if not is_right:
            raise Failed(f"{step}: exit {ended.code} instead of {expect}: {ended.said()}")
        return ended

    def interrupt(self, step, *words, cpu_seconds=0.5, peak_mb=PEAK_MB):
        """Starts a job, and interrupts it once in the middle: it must stop soon, and say by its exit code that it was interrupted."""
        running = self.start(*words)
        try:
            if not running.wait_until_busy(cpu_seconds):
                raise Failed(f"{step}: ended before it was interrupted; {running.ended.said()}")
            asked = time.monotonic()
            running.process.send_signal(signal.SIGINT)
            ended = running.wait(60)
            stopping = time.monotonic() - asked
        finally:
            running.kill()
        is_right = ended is not None and ended.code == INTERRUPTED and stopping <= STOP_SECONDS
        ended = ended or running.ended
        self.report.add(f"{step}: stops", stopping, ended.peak_mb, peak_mb, is_right and ended.peak_mb <= peak_mb)
        if not is_right:
            self.report.fail(f"{step}: stopped after {stopping:.2f} s with exit {ended.code}: {ended.said()}")


def apart(function, *arguments):
    """Calls a function in a process of its own, and gives what it gives: the memory that it takes is not counted as a later child's."""
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def equal(what, found, expected):
    if found != expected:
        raise Failed(f"{what}: {found}, but a plain count says {expected}")
