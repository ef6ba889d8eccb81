#!/usr/bin/env python3
"""rowmill's Bigtable client beside cbt and Google's Python client, on the emulator, in one run.

    cargo build --release -p rowmill-cli && cargo build --release -p rowmill-benches --example bigtable-bench
    python3 -m venv venv && venv/bin/pip install google-cloud-bigtable==2.50.2
    venv/bin/python benches/bigtable/compare.py [--events 100000] [--rounds 5]

Each contender is a process of its own, so that its CPU is told apart from the emulator's. What is compared are ratios of one run.
"""

import argparse
import csv
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SDK = ["/usr/lib/google-cloud-sdk", "/usr/share/google-cloud-sdk", "/opt/google-cloud-sdk"]
TABLE = "events_fact"
FAMILIES = ["event_data", "metadata", "quality"]


def emulator_program():
    places = [os.environ.get("CBTEMULATOR"), shutil.which("cbtemulator")]
    places += [f"{sdk}/platform/bigtable-emulator/cbtemulator" for sdk in SDK]
    for place in places:
        if place and os.path.exists(place):
            return place
    sys.exit("there is no cbtemulator")


class Emulator:
    """A fresh emulator, for as long as the block lasts."""

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [emulator_program(), "-host=127.0.0.1", f"-port={port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.01)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def measure(command, address=None):
    """Runs a command to its end: wall seconds, CPU seconds, peak memory in MB, standard output."""
    environment = dict(os.environ)
    if address:
        environment["BIGTABLE_EMULATOR_HOST"] = address
    started = time.monotonic()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"failed: {command}")
    return {
        "wall": time.monotonic() - started,
        "cpu": usage.ru_utime + usage.ru_stime,
        "mb": usage.ru_maxrss / 1024,
        "output": output.decode(),
    }


def python_write(address, file):
    """Google's Python client: a loop of `mutate_rows` in batches of 100, of the rows of the CSV file."""
    from google.cloud.bigtable.data import BigtableDataClient, RowMutationEntry, SetCell

    os.environ["BIGTABLE_EMULATOR_HOST"] = address
    with open(file, newline="", encoding="latin-1") as text:
        reader = csv.reader(text)
        families, qualifiers = next(reader), next(reader)
        for index in range(2, len(families)):
            families[index] = families[index] or families[index - 1]
        columns = [(f, q.encode("latin-1")) for f, q in zip(families, qualifiers)]
        with BigtableDataClient(project="p") as client:
            table = client.get_table("i", TABLE)
            batch = []
            for row in reader:
                cells = [
                    SetCell(*columns[at], value.encode("latin-1"), timestamp_micros=1_764_547_200_000_000)
                    for at, value in enumerate(row)
                    if at and value
                ]
                batch.append(RowMutationEntry(row[0].encode("latin-1"), cells))
                if len(batch) == 100:
                    table.bulk_mutate_rows(batch)
                    batch = []
            if batch:
                table.bulk_mutate_rows(batch)


def python_scan(address):
    """Google's Python client: all rows of the table."""
    from google.cloud.bigtable.data import BigtableDataClient, ReadRowsQuery

    os.environ["BIGTABLE_EMULATOR_HOST"] = address
    with BigtableDataClient(project="p") as client:
        table = client.get_table("i", TABLE)
        rows = cells = 0
        for row in table.read_rows_stream(ReadRowsQuery()):
            rows += 1
            cells += len(row.cells)
        print(json.dumps({"rows": rows, "cells": cells}))


def compare(events, rounds):
    rowmill = ROOT / "target/release/rowmill"
    bench = ROOT / "target/release/examples/bigtable-bench"
    store = ["--store", "bigtable://p/i", "--config", ROOT / "examples/listens.toml"]
    results = {}

    def note(name, result):
        results.setdefault(name, []).append(result)
        print(f"{name}: {result['wall']:.2f} s, {result['cpu']:.2f} s CPU, {result['mb']:.0f} MB", file=sys.stderr)

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        file, requests, facts = folder / "events.jsonl", folder / "requests", folder / "facts.csv"
        measure([rowmill, "generate", "--events", events, "--out", file])
        measure([bench, "record", file, requests])
        for round_number in range(rounds):
            with Emulator() as emulator:
                measure([rowmill, "tables", "create", *store], emulator.address)
                note("prebuilt requests", measure([bench, "replay", emulator.address, requests]))
            with Emulator() as emulator:
                measure([rowmill, "tables", "create", *store], emulator.address)
                note("rowmill ingest", measure([rowmill, "ingest", file, *store], emulator.address))
                note("rowmill scan", measure([bench, "scan", emulator.address]))
                if round_number == 0:
                    measure([bench, "csv", emulator.address, facts])
                    note("Python read_rows", measure([sys.executable, __file__, "scan", emulator.address]))
        scans = {json.loads(results[name][0]["output"])["cells"] for name in ["rowmill scan", "Python read_rows"]}
        assert len(scans) == 1, f"the scans saw different cells: {scans}"
        for name, command in [
            ("cbt import", ["cbt", "-project=p", "-instance=i", "import", TABLE, facts, "batch-size=500", "workers=4"]),
            ("Python mutate_rows", [sys.executable, __file__, "write", "{address}", facts]),
        ]:
            with Emulator() as emulator:
                measure([rowmill, "tables", "create", *store], emulator.address)
                command = [emulator.address if part == "{address}" else part for part in command]
                note(name, measure(command, emulator.address))
        busy = json.loads(measure([bench, "busy", file])["output"])
        slow = subprocess.Popen([bench, "slow", "--delay-ms", "100"], stdout=subprocess.PIPE)
        try:
            address = json.loads(slow.stdout.readline())["address"]
            note("rowmill ingest, 100 ms a request", measure([rowmill, "ingest", file, *store], address))
        finally:
            slow.kill()
            slow.wait()
    report(results, busy)


def report(results, busy):
    print("| contender | wall, s | CPU, s | peak memory, MB | runs |\n|---|---:|---:|---:|---:|")
    median = {}
    for name, runs in results.items():
        median[name] = {what: statistics.median(run[what] for run in runs) for what in ["wall", "cpu", "mb"]}
        line = median[name]
        print(f"| {name} | {line['wall']:.2f} | {line['cpu']:.2f} | {line['mb']:.0f} | {len(runs)} |")
    pairs = zip(results["prebuilt requests"], results["rowmill ingest"])
    rates = sorted(prebuilt["wall"] / ours["wall"] for prebuilt, ours in pairs)
    cpu = lambda name: median[name]["cpu"]
    print("\n| ratio | asked for | measured |\n|---|---:|---:|")
    print(f"| rate of ingest to that of prebuilt requests, median of pairs | at least 0.85 | {statistics.median(rates):.2f} ({rates[0]:.2f} to {rates[-1]:.2f}) |")
    print(f"| CPU of ingest to that of cbt import | at most 0.50 | {cpu('rowmill ingest') / cpu('cbt import'):.2f} |")
    print(f"| CPU of ingest to that of Python mutate_rows | at most 0.10 | {cpu('rowmill ingest') / cpu('Python mutate_rows'):.3f} |")
    print(f"| CPU of scan to that of Python read_rows | at most 0.33 | {cpu('rowmill scan') / cpu('Python read_rows'):.3f} |")
    print(f"| peak memory while a request takes 100 ms, MB | under 200 | {median['rowmill ingest, 100 ms a request']['mb']:.0f} |")
    print(f"| in-flight budget in use while a request takes 10 ms | at least 0.90 | {busy['budget_used']:.2f} |")


def main():
    if sys.argv[1:2] == ["write"]:
        return python_write(*sys.argv[2:])
    if sys.argv[1:2] == ["scan"]:
        return python_scan(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    compare(arguments.events, arguments.rounds)


if __name__ == "__main__":
    main()
