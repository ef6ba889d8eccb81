#!/usr/bin/env python3
"""rowmill beside DuckDB and Polars: from a JSONL file to the same aggregates on disk, in one run.

    cargo build --release -p rowmill-cli
    python3 benches/compare/compare.py [--events 1000000] [--rounds 3]

Every contender is a process of its own that starts with nothing and writes into an empty folder. README.md says what is and what
is not alike. Needs Linux, Python 3.10 or later, and PyPI, from which it installs DuckDB and Polars for itself.
"""

import argparse
import collections
import contextlib
import csv
import math
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parents[2]
DUCKDB_VERSION = "2.0.1"
POLARS_VERSION = "2.1.0"
CORES = 2

PIPELINE = """\
[pipeline]
name = "compare"

[event]
user_id    = "userId"
timestamp  = { from = "ts", format = "unix_ms" }
event_type = "page"
event_id   = ["sessionId", "itemInSession"]

[fields]
artist          = { type = "string" }
auth            = { type = "string" }
first_name      = { type = "string" }
gender          = { type = "string", one_of = ["F", "M"] }
item_in_session = { type = "int", min = 0 }
last_name       = { type = "string" }
length          = { type = "float", min = 0, max = 3600 }
level           = { type = "string", one_of = ["free", "paid"], required = true }
location        = { type = "string" }
method          = { type = "string", one_of = ["GET", "PUT"] }
registration    = { type = "timestamp", format = "unix_ms" }
session_id      = { type = "int" }
song            = { type = "string" }
status          = { type = "int", min = 100, max = 599 }
user_agent      = { type = "string" }
unknown         = "keep"

[[aggregates]]
dimension = "event_type"

[[aggregates]]
dimension = "song"

[[aggregates]]
dimension = "user_id"
grains    = ["day", "week"]

[measures.length]
stats = ["sum", "min", "max", "avg", "p50", "p95"]

[distinct]
users    = "user_id"
sessions = "session_id"
"""

# The keys of a record, told to the others so that none has to guess types.
TEXT, INTEGER, FLOAT = "text", "integer", "float"
RECORD = {
    "artist": TEXT,
    "auth": TEXT,
    "firstName": TEXT,
    "gender": TEXT,
    "itemInSession": INTEGER,
    "lastName": TEXT,
    "length": FLOAT,
    "level": TEXT,
    "location": TEXT,
    "method": TEXT,
    "page": TEXT,
    "registration": FLOAT,
    "sessionId": INTEGER,
    "song": TEXT,
    "status": INTEGER,
    "ts": INTEGER,
    "userAgent": TEXT,
    "userId": TEXT,
}
AGGREGATED = ["length", "page", "sessionId", "song", "ts", "userId"]

# What PIPELINE asks for: (dimension, key of the record, grain). The total has no key.
GROUPINGS = [
    (dimension, key, grain)
    for dimension, key, grains in [
        ("_total", None, ["hour", "day", "week"]),
        ("event_type", "page", ["hour", "day", "week"]),
        ("song", "song", ["hour", "day", "week"]),
        ("user_id", "userId", ["day", "week"]),
    ]
    for grain in grains
]

# The columns of `rowmill export aggregates` that are compared.
PERIOD_FORMATS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "week": "%Y-%m-%d"}
KEYS = ["dimension", "value", "grain", "bucket"]
DISTINCT_COUNTS = ["distinct_users", "distinct_sessions"]
MEASURES = ["length_sum", "length_min", "length_max", "length_avg"]
FIGURES = ["count", *DISTINCT_COUNTS, *MEASURES]

# Sums of floats depend on the order of adding.
MEASURE_TOLERANCE = 1e-6
# rowmill's distinct counts are exact up to so many values and estimates beyond, with a standard error of 0.8 percent.
EXACT_DISTINCT_MAX = 2_048
ESTIMATE_TOLERANCE = 0.04
MISMATCHES_SHOWN = 10

Usage = collections.namedtuple("Usage", ["seconds", "megabytes"])
Aggregate = collections.namedtuple("Aggregate", ["count", "distinct", "measures"])


# The contenders' own work. These functions run in the Python of the tools' environment, as `compare.py --worker NAME ...`.


def duckdb_run(events, folder, *, keep_events):
    import duckdb

    types = {TEXT: "VARCHAR", INTEGER: "BIGINT", FLOAT: "DOUBLE"}
    columns = {key: types[RECORD[key]] for key in (RECORD if keep_events else AGGREGATED)}
    kind = "TABLE" if keep_events else "TEMP TABLE"
    with duckdb.connect(os.path.join(folder, "results.duckdb")) as database:
        database.execute(f"PRAGMA threads={CORES}")
        # No one asks for the order of the file; keeping it costs time and memory.
        database.execute("SET preserve_insertion_order = false")
        database.execute(
            f"""CREATE {kind} events AS SELECT epoch_ms(ts) AS time, * EXCLUDE ts
                FROM read_json($file, format = 'newline_delimited', columns = {columns})""",
            {"file": events},
        )
        for dimension, key, grain in GROUPINGS:
            database.execute(duckdb_grouping(dimension, key, grain))
        database.execute("CHECKPOINT")


def duckdb_grouping(dimension, key, grain):
    # Both quantiles in one call share one list of lengths. quantile_cont is exact, and was here no slower than approx_quantile.
    value = f'"{key}"' if key else "'all'"
    return f"""
        CREATE TABLE {dimension}_{grain} AS
        SELECT date_trunc('{grain}', time) AS bucket, {value} AS value, count(*) AS count,
            count(length) AS length_count, sum(length) AS length_sum, min(length) AS length_min, max(length) AS length_max,
            avg(length) AS length_avg, quantile_cont(length, [0.5, 0.95]) AS length_p50_p95,
            count(DISTINCT "userId") AS distinct_users, count(DISTINCT "sessionId") AS distinct_sessions
        FROM events WHERE {value} IS NOT NULL GROUP BY ALL"""


def duckdb_rows(folder):
    import duckdb

    with duckdb.connect(os.path.join(folder, "results.duckdb"), read_only=True) as database:
        for dimension, _, grain in GROUPINGS:
            period = f"strftime(bucket, '{PERIOD_FORMATS[grain]}')"
            query = f"SELECT value, {period}, {', '.join(FIGURES)} FROM {dimension}_{grain}"
            for value, bucket, *figures in database.execute(query).fetchall():
                yield [dimension, value, grain, bucket, *figures]


def polars_run(events, folder, *, keep_events):
    os.environ["POLARS_MAX_THREADS"] = str(CORES)  # read when it is imported
    import polars as pl

    types = {TEXT: pl.String, INTEGER: pl.Int64, FLOAT: pl.Float64}
    schema = {key: types[RECORD[key]] for key in (RECORD if keep_events else AGGREGATED)}
    frame = (
        pl.scan_ndjson(events, schema=schema)
        .with_columns(pl.from_epoch("ts", "ms").alias("time"))
        .drop("ts")
        .collect(engine="streaming")
    )
    if keep_events:
        frame.write_parquet(os.path.join(folder, "events.parquet"))
    for dimension, key, grain in GROUPINGS:
        polars_grouping(frame, key, grain).write_parquet(os.path.join(folder, f"{dimension}_{grain}.parquet"))


def polars_grouping(frame, key, grain):
    import polars as pl

    length = pl.col("length")
    period = pl.col("time").dt.truncate({"hour": "1h", "day": "1d", "week": "1w"}[grain])
    return (
        frame.lazy()
        .with_columns(period.alias("bucket"), (pl.col(key) if key else pl.lit("all")).alias("value"))
        .drop_nulls("value")
        .group_by("bucket", "value")
        .agg(
            pl.len().alias("count"),
            length.count().alias("length_count"),
            length.sum().alias("length_sum"),
            length.min().alias("length_min"),
            length.max().alias("length_max"),
            length.mean().alias("length_avg"),
            length.quantile(0.5, "linear").alias("length_p50"),
            length.quantile(0.95, "linear").alias("length_p95"),
            pl.col("userId").n_unique().alias("distinct_users"),
            pl.col("sessionId").n_unique().alias("distinct_sessions"),
        )
        .collect()
    )


def polars_rows(folder):
    import polars as pl

    for dimension, _, grain in GROUPINGS:
        frame = pl.read_parquet(os.path.join(folder, f"{dimension}_{grain}.parquet"))
        period = pl.col("bucket").dt.strftime(PERIOD_FORMATS[grain])
        for value, bucket, *figures in frame.select("value", period, *FIGURES).iter_rows():
            yield [dimension, value, grain, bucket, *figures]


def write_csv(rows, file):
    with open(file, "w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerow([*KEYS, *FIGURES])
        writer.writerows(rows)


WORKERS = {
    "duckdb": lambda events, folder: duckdb_run(events, folder, keep_events=False),
    "duckdb-events": lambda events, folder: duckdb_run(events, folder, keep_events=True),
    "duckdb-csv": lambda folder, file: write_csv(duckdb_rows(folder), file),
    "polars": lambda events, folder: polars_run(events, folder, keep_events=False),
    "polars-events": lambda events, folder: polars_run(events, folder, keep_events=True),
    "polars-csv": lambda folder, file: write_csv(polars_rows(folder), file),
}


# Running and measuring them.


class Bench:
    """A work folder with the events, the tools, and a folder of results for each contender."""

    def __init__(self, work, rowmill):
        self.work = work
        self.rowmill = rowmill
        self.events = work / "events.jsonl"
        self.config = work / "rowmill.toml"
        self.python = work / "venv/bin/python"

    def prepare(self, events):
        self.config.write_text(PIPELINE, encoding="utf-8")
        venv.create(self.work / "venv", with_pip=True)
        tools = [f"duckdb=={DUCKDB_VERSION}", f"polars=={POLARS_VERSION}"]
        pip = [self.python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--only-binary=:all:"]
        self.run([*pip, *tools])
        self.run([self.rowmill, "generate", "--events", events, "--out", self.events])

    def run(self, command):
        """Runs a command to its end; what it prints is shown only if it fails."""
        # Nobody is to pay for what those before have not yet brought to the disk.
        os.sync()
        with tempfile.TemporaryFile() as output:
            started = time.monotonic()
            process = subprocess.Popen([str(part) for part in command], stdout=output, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                output.seek(0)
                sys.exit(f"failed: {process.args}\n{output.read().decode(errors='replace')}")
        return Usage(seconds, usage.ru_maxrss / 1024)

    def results(self, name):
        return self.work / "results" / name

    def empty(self, name):
        folder = self.results(name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def run_worker(self, name, *arguments):
        return self.run([self.python, pathlib.Path(__file__).resolve(), "--worker", name, *arguments])

    def run_rowmill(self, *arguments):
        store = f"file:{self.results('rowmill')}/store"
        return self.run([self.rowmill, "--config", self.config, "--store", store, *arguments, "--quiet"])

    def measure_rowmill(self):
        self.empty("rowmill")
        ingest = self.run_rowmill("ingest", self.events)
        aggregate = self.run_rowmill("aggregate")
        both = Usage(ingest.seconds + aggregate.seconds, max(ingest.megabytes, aggregate.megabytes))
        return {
            ("rowmill", "facts and aggregates"): both,
            ("rowmill", "of which `ingest`"): ingest,
            ("rowmill", "of which `aggregate`"): aggregate,
        }

    def measure_worker(self, system, what, name):
        return {(system, what): self.run_worker(name, self.events, self.empty(name))}

    def measure_all(self, rounds):
        """The usages of each (system, what), in the order of the rounds."""
        turns = [
            self.measure_rowmill,
            lambda: self.measure_worker("DuckDB", "aggregates", "duckdb"),
            lambda: self.measure_worker("DuckDB", "events and aggregates", "duckdb-events"),
            lambda: self.measure_worker("Polars", "aggregates", "polars"),
            lambda: self.measure_worker("Polars", "events and aggregates", "polars-events"),
        ]
        usages = collections.defaultdict(list)
        for number in range(rounds):
            # Each round begins with another, so that nobody always follows the same one.
            first = number % len(turns)
            for turn in turns[first:] + turns[:first]:
                for key, usage in turn().items():
                    usages[key].append(usage)
                    print(f"round {number + 1}: {': '.join(key)}: {usage.seconds:.2f} s", file=sys.stderr)
        return usages

    def aggregates(self, name):
        """What the last round of a contender stored."""
        file = self.work / f"{name}.csv"
        if name == "rowmill":
            self.run_rowmill("export", "aggregates", "--format", "csv", "--out", file)
        else:
            self.run_worker(f"{name.removesuffix('-events')}-csv", self.results(name), file)
        return read_aggregates(file)


# Whether they agree.


def read_aggregates(file):
    aggregates = {}
    with open(file, newline="", encoding="utf-8") as text:
        for row in csv.DictReader(text):
            key = tuple(row[name] for name in KEYS)
            if key in aggregates:
                sys.exit(f"{file}: {key} is there twice")
            aggregates[key] = Aggregate(
                int(row["count"]),
                [int(row[name]) for name in DISTINCT_COUNTS],
                # The sum of no lengths is 0 to Polars and nothing to the others.
                [float(row[name] or 0) for name in MEASURES],
            )
    return aggregates


def agree(exact, found, estimates):
    def distinct_agree(true, counted):
        if estimates and true > EXACT_DISTINCT_MAX:
            return math.isclose(counted, true, rel_tol=ESTIMATE_TOLERANCE)
        return counted == true

    return (
        exact.count == found.count
        and all(map(distinct_agree, exact.distinct, found.distinct))
        and all(math.isclose(a, b, rel_tol=MEASURE_TOLERANCE) for a, b in zip(exact.measures, found.measures))
    )


def check_agreement(bench, events):
    """How many aggregates there are, all of which agreed; or else the end."""
    exact = bench.aggregates("duckdb")
    counted = sum(aggregate.count for key, aggregate in exact.items() if key[0] == "_total" and key[2] == "week")
    if counted != events:
        sys.exit(f"{counted} events were counted, not {events}")
    for name in ["rowmill", "duckdb-events", "polars", "polars-events"]:
        found = bench.aggregates(name)
        estimates = name == "rowmill"
        differing = [
            key
            for key in exact.keys() | found.keys()
            if key not in exact or key not in found or not agree(exact[key], found[key], estimates)
        ]
        if differing:
            lines = [f"{key}: {exact.get(key)} and {found.get(key)}" for key in sorted(differing)[:MISMATCHES_SHOWN]]
            sys.exit("\n".join([f"duckdb and {name} differ in {len(differing)} aggregates:", *lines]))
    return len(exact)


# The report.


def print_table(usages, events):
    baseline = [usage.seconds for usage in usages["rowmill", "facts and aggregates"]]
    print("| system | what is stored | median, s | events/s | time to rowmill's | peak memory, MB |")
    print("|---|---|---:|---:|---:|---:|")
    for (system, what), runs in usages.items():
        seconds = [usage.seconds for usage in runs]
        median = statistics.median(seconds)
        # Taken within each round: the machine's noise is mostly slower than a round.
        ratio = statistics.median(own / rowmill for own, rowmill in zip(seconds, baseline))
        peak = max(usage.megabytes for usage in runs)
        print(f"| {system} | {what} | {median:.2f} | {events / median:,.0f} | {ratio:.2f} | {peak:.0f} |")


def compare(bench, events, rounds):
    bench.prepare(events)
    usages = bench.measure_all(rounds)
    # Afterwards, because a process counts as its own peak the memory of the one that started it.
    aggregates = check_agreement(bench, events)
    print_table(usages, events)
    rowmill = subprocess.run([bench.rowmill, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    print(
        f"\n{rowmill}, DuckDB {DUCKDB_VERSION}, Polars {POLARS_VERSION}, Python {platform.python_version()}; "
        f"{events:,} events, rounds: {rounds}, cores: {CORES}; all agreed on {aggregates:,} aggregates."
    )


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rowmill", type=pathlib.Path, default=ROOT / "target/release/rowmill", help="the program")
    parser.add_argument("--events", type=int, default=1_000_000, help="how many to generate")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender runs")
    parser.add_argument("--work", type=pathlib.Path, help="a folder to work in and keep; else one that is removed")
    arguments = parser.parse_args()
    if not arguments.rowmill.is_file():
        parser.error(f"there is no {arguments.rowmill}; `cargo build --release -p rowmill-cli` makes it")
    if arguments.events < 1 or arguments.rounds < 1:
        parser.error("--events and --rounds are at least 1")
    return arguments


def main():
    if sys.argv[1:2] == ["--worker"]:
        _, _, name, *arguments = sys.argv
        WORKERS[name](*arguments)
        return
    arguments = parse_arguments()
    # All processes inherit it, so everyone has as many cores on any machine.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with contextlib.ExitStack() as cleanup:
        work = arguments.work or cleanup.enter_context(tempfile.TemporaryDirectory(prefix="rowmill-compare-"))
        work = pathlib.Path(work).resolve()
        work.mkdir(parents=True, exist_ok=True)
        compare(Bench(work, arguments.rowmill.resolve()), arguments.events, arguments.rounds)


if __name__ == "__main__":
    main()
