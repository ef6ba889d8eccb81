"""The plain count: what the same files say, without the program. Runs in processes of its own."""

import collections
import datetime
import itertools
import json
from decimal import Decimal


def lines(paths):
    for path in paths:
        with open(path) as file:
            yield from file


def day_of(milliseconds):
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=milliseconds)).strftime("%Y-%m-%d")


def ledger(paths):
    """How many records are read, written, duplicate and rejected."""
    read, rejected, seen, repeated = 0, 0, set(), 0
    for line in lines(paths):
        record = json.loads(line)
        read += 1
        if record.get("seconds", 0) < 0:
            rejected += 1
        elif record["id"] in seen:
            repeated += 1
        else:
            seen.add(record["id"])
    return {"read": read, "written": len(seen), "duplicate": repeated, "rejected": rejected}


def days_and_values(paths, dimensions, measures):
    """Count, and sums in thousandths, of each day and each value of each dimension. `_total` is a dimension of one value."""
    cells = collections.defaultdict(lambda: [0] * (1 + len(measures)))
    seen, days = set(), {}
    for line in lines(paths):
        record = json.loads(line)
        if record.get("seconds", 0) < 0 or record["id"] in seen:
            continue
        seen.add(record["id"])
        number = record["at"] // 86_400_000
        day = days.get(number) or days.setdefault(number, day_of(record["at"]))
        sums = [round(record[measure] * 1000) for measure in measures]
        values = [("_total", "all"), *((dimension, record[name]) for dimension, name in dimensions.items())]
        for dimension, value in values:
            cell = cells[day, dimension, value]
            cell[0] += 1
            for index, thousandths in enumerate(sums, 1):
                cell[index] += thousandths
    return cells


def exported(path, measures):
    """The same of what `rowmill export aggregates` wrote."""
    for line in lines([path]):
        row = json.loads(line, parse_float=Decimal)
        if row["grain"] == "day":
            key = (row["bucket"], row["dimension"], row["value"])
            yield key, [row["count"], *(int(row[f"{measure}_sum"] * 1000) for measure in measures)]


def differences(paths, path, dimensions, measures):
    """How many cells there are by the plain count, and the first of those that the export has otherwise."""
    expected = days_and_values(paths, dimensions, measures)
    count = len(expected)
    found = (f"{key}: {cells}, not {expected.get(key)}" for key, cells in exported(path, measures) if expected.pop(key, None) != cells)
    wrong = list(itertools.islice(found, 5))
    missing = [f"{key} is missing" for key in itertools.islice(expected, 5)] if not wrong else []
    return count, wrong + missing
