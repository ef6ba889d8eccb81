"""The scenarios: each writes its files, runs the program on them, and compares what came of it with a plain count."""

import filecmp
import shutil
import time

import counts
import emulator
import pipelines
import records
from program import Failed, apart, equal

BUSY_DAY = records.Listens(500_000)
# The emulator takes a minute for what the embedded store does in seconds.
BUSY_DAY_OF_EMULATOR = records.Listens(200_000)
BUSY_DAY_SHUFFLED = records.Listens(500_000, is_shuffled=True)
YEAR_SHUFFLED = records.Listens(1_000_000, days=365, users=400, tracks=200, is_shuffled=True)
DISTINCT = records.Listens(1_000_000, days=10, are_distinct=True)


class Job:
    """A pipeline file and a store in a scenario's folder, and a plain count of its source files."""

    def __init__(self, program, pipeline=None, store="file:store"):
        self.program = program
        self.store = store
        self.dimensions = pipelines.LISTENS_DIMENSIONS
        self.sums = ["seconds"]
        (program.work / "rowmill.toml").write_text(pipeline or pipelines.listens())

    def run(self, step, *words, **limits):
        return self.program.run(step, "--quiet", "--store", self.store, *words, "--format", "json", **limits)

    def interrupt(self, step, *words, **limits):
        self.program.interrupt(step, "--store", self.store, *words, **limits)

    def write(self, listens, name="events.jsonl"):
        path = self.program.work / name
        apart(listens.write, path)
        return path

    def count(self, *paths):
        """Starts a plain count of source files, which goes on beside the program."""
        return self.program.keep(counts.Count(paths, self.program.work / "cells", self.dimensions, self.sums))

    def ingest(self, count, *paths, **limits):
        """Ingests files. Its ledger is that of the plain count."""
        said = self.run("ingest", "ingest", *paths, **limits).json()["ledger"]
        said["rejected"] = sum(said["rejected_by_reason"].values())
        expected = count.ledger()
        equal("the ledger", {name: said[name] for name in expected}, expected)

    def verify(self, written, **limits):
        facts = self.run("verify", "verify", **limits).json()["facts"]
        equal("facts by verify", facts, written)

    def aggregate(self, *words, **limits):
        return self.run(" ".join(["aggregate", *words]), "aggregate", *words, **limits)

    def prove_aggregates(self, count, **limits):
        """The program's own proof, and the plain count."""
        self.run("verify --aggregates", "verify", "--aggregates", **limits)
        export = self.program.work / "aggregates.jsonl"
        self.run("export aggregates", "export", "aggregates", "--out", export, **limits)
        cells, different = count.differences(export)
        if different or not cells:
            raise Failed(f"of {cells} aggregates, a plain count has these otherwise: {'; '.join(different)}")

    def whole(self, path, **limits):
        """Ingest, aggregate and all proofs."""
        count = self.count(path)
        self.ingest(count, path, **limits)
        self.aggregate(**limits)
        self.verify(count.ledger()["written"], **limits)
        self.prove_aggregates(count, **limits)
        return count


def busy_day(program):
    """500,000 events of one day, in order."""
    job = Job(program)
    job.whole(job.write(BUSY_DAY))


def busy_day_shuffled(program):
    """The same in any order; then everything anew from the facts."""
    job = Job(program)
    count = job.whole(job.write(BUSY_DAY_SHUFFLED))
    job.aggregate("--rebuild")
    job.prove_aggregates(count)


def few_descriptors(program):
    """The busy day with 64 file descriptors, and in little address space."""
    job = Job(program)
    few = {"descriptors": 64}
    path = job.write(BUSY_DAY)
    count = job.count(path)
    job.ingest(count, path, **few)
    job.aggregate(**few)
    job.aggregate("--rebuild", **few)
    job.aggregate("--all", "--memory", "1", **few)
    job.aggregate("--all", address_space=900_000 << 10)
    job.verify(count.ledger()["written"], **few)
    job.prove_aggregates(count, **few)


def year(program):
    """A year of 1,000,000 events in any order."""
    job = Job(program)
    job.whole(job.write(YEAR_SHUFFLED))


def interrupted(program):
    """Each job, interrupted once in the middle, stops within two seconds, and can be run again."""
    job = Job(program)
    path = job.write(records.Listens(1_000_000, days=30, users=10))
    count = job.count(path)
    job.interrupt("ingest", "ingest", path)
    job.run("ingest, again", "ingest", path)
    job.interrupt("aggregate", "aggregate")
    job.aggregate(peak_mb=340)
    job.interrupt("aggregate --rebuild", "aggregate", "--rebuild")
    job.interrupt("verify", "verify")
    job.interrupt("verify --aggregates", "verify", "--aggregates")
    job.interrupt("export", "export", "facts", "--out", program.work / "facts")
    job.interrupt("store check", "store", "check")
    job.interrupt("store backup", "store", "backup", program.work / "backup", cpu_seconds=0.1)
    backup_is_the_store(job)
    program.interrupt("generate", "generate", "--events", 20_000_000, "--out", program.work / "generated")
    job.verify(count.ledger()["written"])
    job.interrupt("delete", "delete", "--user", "u0", "--yes")
    job.run("delete, again", "delete", "--user", "u0", "--yes")
    job.aggregate(peak_mb=340)
    job.run("verify --aggregates", "verify", "--aggregates")


def backup_is_the_store(job):
    """What is exported of a backup is what is exported of the store."""
    program = job.program
    job.run("store backup, again", "store", "backup", program.work / "backup")
    job.run("store check", "store", "check")
    for name, store in (("of_store", job.store), ("of_backup", f"file:{program.work / 'backup'}")):
        program.run(f"export {name}", "--quiet", "--store", store, "export", "facts", "--out", program.work / name)
    if not filecmp.cmp(program.work / "of_store", program.work / "of_backup", shallow=False):
        raise Failed("a backup has other facts than the store")


def small_files(program):
    """20,000 small files; then again, when there is nothing to do."""
    job = Job(program)
    folder = program.work / "parts"
    apart(records.many_files, folder, 20_000, 5)
    paths = sorted(folder.iterdir())
    count = job.count(*paths)
    job.ingest(count, folder)
    again = job.run("ingest, again", "ingest", folder).json()
    equal("files that are done", again["done_already_count"], len(paths))
    job.aggregate()
    job.verify(count.ledger()["written"])
    job.prove_aggregates(count)


def large_letters(program):
    """200 rejected records of 8 MB."""
    job = Job(program)
    path = program.work / "letters.jsonl"
    apart(records.large_letters, path, 200, 8_000_000)
    job.ingest(job.count(path), path)
    equal("letters", job.run("dlq stats", "dlq", "stats").json()["letters"], 200)
    job.verify(0)
    job.run("dlq list", "dlq", "list", "--limit", 100)
    job.run("dlq export", "dlq", "export", "--out", "/dev/null")
    job.run("dlq what-if", "dlq", "what-if")
    job.run("dlq replay", "dlq", "replay")
    job.run("delete", "delete", "--user", "u7", "--yes")
    # What is deleted is read first, row by row.
    job.run("dlq purge", "dlq", "purge", "--yes", peak_mb=350)
    equal("letters", job.run("dlq stats", "dlq", "stats").json()["letters"], 0)


def small_letters(program):
    """A million rejected records; questions beside them; then they are replayed through a pipeline file that lets them pass."""
    letters = 1_000_000
    job = Job(program)
    path = program.work / "letters.jsonl"
    apart(records.small_letters, path, letters)
    job.ingest(job.count(path), path)
    equal("letters", job.run("dlq stats", "dlq", "stats").json()["letters"], letters)
    job.run("query stats", "query", "stats", "--by", "day", seconds=5)
    job.verify(0)
    (program.work / "rowmill.toml").write_text(pipelines.listens(seconds_min=-1))
    job.interrupt("dlq replay", "dlq", "replay")
    job.run("dlq replay, again", "dlq", "replay", seconds=120)
    equal("letters", job.run("dlq stats", "dlq", "stats").json()["letters"], 0)
    equal("facts", job.run("query count facts", "query", "count", "facts").json()["rows"], letters)


def distinct_values(program):
    """1,000,000 distinct values of a dimension."""
    job = Job(program, pipelines.listens(weeks=False))
    # A fifth of what stands here is the allocator's, and varies.
    job.whole(job.write(DISTINCT), peak_mb=340)


def wide(program):
    """200,000 events by 18 dimensions, with three measures and five distinct counts."""
    job = Job(program, pipelines.wide())
    job.dimensions, job.sums = pipelines.WIDE_NAMES, pipelines.WIDE_SUMS
    path = program.work / "events.jsonl"
    apart(records.wide, path, 200_000, 2)
    job.whole(path, peak_mb=340)


def on_emulator(program):
    """The busy day on the Bigtable emulator."""
    with_emulator(program, busy_day_on)


def busy_day_on(program, bigtable):
    job = Job(program, store="bigtable://scale/busy")
    program.environment["BIGTABLE_EMULATOR_HOST"] = bigtable.host
    job.run("tables create", "tables", "create", "--yes")
    job.whole(job.write(BUSY_DAY_OF_EMULATOR), seconds=120)


def emptied_emulator(program):
    """An emulator that is started anew, empty, in the middle of an ingest, which must not report success."""
    with_emulator(program, emptied_on)


def emptied_on(program, bigtable):
    job = Job(program, store="bigtable://scale/emptied")
    program.environment["BIGTABLE_EMULATOR_HOST"] = bigtable.host
    job.run("tables create", "tables", "create", "--yes")

    def empty():
        bigtable.stop()
        bigtable.start()
        job.run("tables create, again", "tables", "create", "--yes")

    must_notice(job, job.write(BUSY_DAY), empty, "has lost data")


def emptied_folder(program):
    """A folder that is emptied in the middle of an ingest, which must not report success."""
    job = Job(program)
    must_notice(job, job.write(BUSY_DAY), lambda: shutil.rmtree(program.work / "store", ignore_errors=True))


def must_notice(job, path, empty, said=""):
    """Ingests a file, empties the store meanwhile, and wants exit code 1 and a word about it."""
    running = job.program.start("--store", job.store, "ingest", path)
    try:
        if not running.wait_until_busy(0.5):
            raise Failed(f"ingest ended before the store was emptied: {running.ended.said()}")
        empty()
        ended = running.wait(120)
    finally:
        running.kill()
    is_right = ended is not None and ended.code == 1 and said in ended.stderr
    ended = ended or running.ended
    job.program.report.add("ingest, emptied", ended.seconds, ended.peak_mb, 300, is_right)
    if not is_right:
        raise Failed(f"an ingest whose store was emptied ended with exit {ended.code}: {ended.said()}")


def with_emulator(program, scenario):
    binary = emulator.find()
    if binary is None:
        if emulator.is_required():
            raise Failed("there is no cbtemulator, and CBTEMULATOR_REQUIRED=1")
        program.report.skip("there is no cbtemulator")
        return
    bigtable = emulator.Emulator(binary)
    try:
        scenario(program, bigtable)
    finally:
        bigtable.stop()


def missing_files(program):
    """A small store, of which each file is missing in turn: an answer is right or an error, and what is left is left."""
    job = Job(program)
    path = job.write(records.Listens(20_000, days=2))
    count = job.count(path)
    job.ingest(count, path)
    job.aggregate()
    store = program.work / "store"
    whole = program.work / "whole"
    shutil.copytree(store, whole)
    export = program.work / "export"
    job.run("export facts", "export", "facts", "--out", export)
    files = sorted(file.relative_to(whole) for file in whole.rglob("*") if file.is_file())
    begun = time.monotonic()
    for file in files:
        for words in (["query", "count", "facts"], ["verify"], ["export", "facts", "--out", program.work / "again"], ["aggregate", "--all"]):
            shutil.rmtree(store)
            shutil.copytree(whole, store)
            (store / file).unlink()
            without(job, file, words, count.ledger()["written"], export)
    program.report.add(f"{len(files)} files in turn", time.monotonic() - begun, 0, 0, True)


def without(job, file, words, written, export):
    """One command on a store that lacks a file."""
    store, whole = job.program.work / "store", job.program.work / "whole"
    running = job.program.start("--quiet", "--store", job.store, *words, "--format", "json")
    try:
        ended = running.wait(30)
    finally:
        running.kill()
    what = f"{' '.join(map(str, words[:2]))} without {file}"
    if ended is None or ended.code not in (0, 1, 2, 4):
        raise Failed(f"{what}: {'hangs' if ended is None else f'exit {ended.code}'}: {running.ended.said()}")
    if ended.code == 0 and words[0] == "query":
        equal(what, ended.json()["rows"], written)
    if ended.code == 0 and words[0] == "verify":
        equal(what, ended.json()["facts"], written)
    if ended.code == 0 and words[0] == "export" and not filecmp.cmp(job.program.work / "again", export, shallow=False):
        raise Failed(f"{what}: exit 0, and other facts than the whole store has")
    kept = [path for path in whole.rglob("*") if path.is_file() and path.relative_to(whole) != file]
    gone = [str(path.relative_to(whole)) for path in kept if not (store / path.relative_to(whole)).exists()]
    if gone and ended.code != 0:
        raise Failed(f"{what}: exit {ended.code}, and it removed {' '.join(gone[:5])}")


ALL = {
    "busy": busy_day,
    "shuffled": busy_day_shuffled,
    "descriptors": few_descriptors,
    "year": year,
    "interrupted": interrupted,
    "files": small_files,
    "large-letters": large_letters,
    "small-letters": small_letters,
    "distinct": distinct_values,
    "wide": wide,
    "emulator": on_emulator,
    "emptied": emptied_folder,
    "emptied-bt": emptied_emulator,
    "missing": missing_files,
}
