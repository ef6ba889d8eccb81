"""The plain count: what the same files say, without the program. It runs beside the program, in processes of its own."""

import collections
import concurrent.futures
import datetime
import itertools
import json
import multiprocessing
import pickle
from decimal import Decimal


def lines(paths):
    for path in paths:
        with open(path) as file:
            yield from file


def day_of(milliseconds):
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=milliseconds)).strftime("%Y-%m-%d")


class Count:
    """A count that goes on in another process. `cells` is a file, because this process must stay small."""

    def __init__(self, paths, cells, dimensions, measures):
        self.cells = cells
        self.measures = measures
        self.pool = concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        self.counted = self.pool.submit(count, paths, cells, dimensions, measures)

    def ledger(self):
        """How many records are read, written, duplicate and rejected."""
        return self.counted.result()

    def differences(self, export):
        """How many aggregates of days there are, and the first of those that the export has otherwise."""
        self.counted.result()
        return self.pool.submit(differences, self.cells, export, self.measures).result()

    def end(self):
        self.pool.shutdown()


def count(paths, path, dimensions, measures):
    """Writes count, and sums in thousandths, of each day and each value of each dimension. `_total` is a dimension of one value."""
    cells = collections.defaultdict(lambda: [0] * (1 + len(measures)))
    read, rejected, seen, days = 0, 0, set(), {}
    for line in lines(paths):
        record = json.loads(line)
        read += 1
        if record.get("seconds", 0) < 0:
            rejected += 1
            continue
        if record["id"] in seen:
            continue
        seen.add(record["id"])
        number = record["at"] // 86_400_000
        day = days.get(number) or days.setdefault(number, day_of(record["at"]))
        sums = [round(record[measure] * 1000) for measure in measures]
        add(cells[day, "_total", "all"], sums)
        for dimension, name in dimensions.items():
            add(cells[day, dimension, record[name]], sums)
    with open(path, "wb") as file:
        pickle.dump(dict(cells), file)
    return {"read": read, "written": len(seen), "duplicate": read - rejected - len(seen), "rejected": rejected}


def add(cell, sums):
    cell[0] += 1
    for index, thousandths in enumerate(sums, 1):
        cell[index] += thousandths


def exported(path, measures):
    """The same of what `rowmill export aggregates` wrote."""
    for line in lines([path]):
        if line.startswith('{"grain":"day"'):
            row = json.loads(line, parse_float=Decimal)
            key = (row["bucket"], row["dimension"], row["value"])
            yield key, [row["count"], *(int(row[f"{measure}_sum"] * 1000) for measure in measures)]


def differences(path, export, measures):
    with open(path, "rb") as file:
        expected = pickle.load(file)
    number = len(expected)
    found = (f"{key}: {cells}, not {expected.get(key)}" for key, cells in exported(export, measures) if expected.pop(key, None) != cells)
    wrong = list(itertools.islice(found, 5))
    missing = [f"{key} is missing" for key in itertools.islice(expected, 5)] if not wrong else []
    return number, wrong + missing
