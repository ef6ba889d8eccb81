"""The table: a row for each command, and a line for each failure."""

from dataclasses import dataclass


@dataclass
class Row:
    scenario: str
    step: str
    seconds: float
    peak_mb: float
    bound_mb: float
    is_ok: bool


class Report:
    def __init__(self):
        self.scenario = ""
        self.rows = []
        self.failures = []

    def begin(self, scenario):
        self.scenario = scenario

    def add(self, step, seconds, peak_mb, bound_mb, is_ok):
        row = Row(self.scenario, step, seconds, peak_mb, bound_mb, is_ok)
        self.rows.append(row)
        print(f"   {self.line(row)}", flush=True)

    def fail(self, why):
        self.failures.append(f"{self.scenario}: {why}")
        print(f"   FAIL {self.scenario}: {why}", flush=True)

    def skip(self, why):
        print(f"   skipped: {self.scenario} ({why})", flush=True)

    @staticmethod
    def line(row):
        ok = "ok" if row.is_ok else "FAIL"
        return f"{row.scenario:12} {row.step:28} {row.seconds:8.2f} {row.peak_mb:8.0f} {row.bound_mb:8.0f}  {ok}"

    def show(self):
        print(f"\n{'scenario':12} {'step':28} {'seconds':>8} {'peak MB':>8} {'bound MB':>8}")
        for row in self.rows:
            print(self.line(row))
        for failure in self.failures:
            print(f"FAIL {failure}")
        failed = sum(not row.is_ok for row in self.rows)
        print(f"{len(self.rows) - failed} commands as they should be, {failed} not, {len(self.failures)} failures")
