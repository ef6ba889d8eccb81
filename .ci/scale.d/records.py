"""Makes files of made-up events. The same arguments give the same bytes: all choices follow from a seed."""

import json
import pathlib
import random
from dataclasses import dataclass

FIRST_MS = 1_740_960_000_000  # 2025-03-03, a Monday
DAY_MS = 86_400_000
KINDS = ("play", "play", "play", "skip", "home")
# One of so many records is rejected, or comes twice in a row.
REJECTED_EVERY = 101
TWICE_EVERY = 97


@dataclass
class Listens:
    """A file of listens: how many, over how many days, by how many users, of how many tracks."""

    events: int
    days: int = 1
    users: int = 5_000
    tracks: int = 20_000
    is_shuffled: bool = False
    # Each event has a track of its own.
    are_distinct: bool = False
    seed: int = 1

    def write(self, path):
        random_numbers = random.Random(self.seed)
        lines = [self.line(index, random_numbers) for index in range(self.events)]
        if self.is_shuffled:
            random_numbers.shuffle(lines)
        with open(path, "w") as file:
            for index, line in enumerate(lines):
                file.write(line * 2 if index % TWICE_EVERY == 0 else line)

    def line(self, index, random_numbers):
        # Squares make some users and tracks many times as frequent as others.
        user = int(random_numbers.random() ** 2 * self.users)
        track = index if self.are_distinct else int(random_numbers.random() ** 2 * self.tracks)
        at = FIRST_MS + index * self.days * DAY_MS // self.events
        seconds = -1 if index % REJECTED_EVERY == 50 else int(random_numbers.random() * 600_000) / 1000
        kind = KINDS[index % len(KINDS)]
        return f'{{"id":"e{index}","user":"u{user}","at":{at},"kind":"{kind}","track":"t{track}","seconds":{seconds}}}\n'


def many_files(folder, files, events_of_each):
    """Small files in one folder, each of some minutes."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    source = Listens(files * events_of_each, days=7, users=500, tracks=300)
    random_numbers = random.Random(source.seed)
    for number in range(files):
        first = number * events_of_each
        lines = [source.line(index, random_numbers) for index in range(first, first + events_of_each)]
        (folder / f"part-{number:06}.jsonl").write_text("".join(lines))


def large_letters(path, letters, letter_bytes):
    """Events that are rejected and long. Text of which a part comes again and again is stored in little room."""
    random_numbers = random.Random(2)
    piece = random_numbers.randbytes(2_000).hex()
    with open(path, "w") as file:
        for index in range(letters):
            head = f'{{"id":"l{index}","user":"u{index}","at":{FIRST_MS + index},"kind":"play","track":"t1","seconds":-1,"note":"'
            length = letter_bytes - len(head) - 2
            file.write(head + (piece * (length // len(piece) + 1))[:length] + '"}\n')


def small_letters(path, letters):
    """Events that are rejected and short, of two hours."""
    with open(path, "w") as file:
        for index in range(letters):
            at = FIRST_MS + index * 7
            file.write(f'{{"id":"l{index}","user":"u{index % 1000}","at":{at},"kind":"play","track":"t{index % 100}","seconds":-1}}\n')


WIDE_DIMENSIONS = 18
WIDE_MEASURES = 3
WIDE_DISTINCT = 5


def wide(path, events, days):
    """Events with many dimensions: of some hundred values, of some thousands, of one for every fifth event."""
    random_numbers = random.Random(3)
    with open(path, "w") as file:
        for index in range(events):
            record = {"id": f"w{index}", "user": f"u{index % 3_000}", "at": FIRST_MS + index * days * DAY_MS // events}
            for dimension in range(WIDE_DIMENSIONS):
                values = (5, 100, 2_000, events // 5)[dimension % 4]
                record[f"d{dimension}"] = f"v{int(random_numbers.random() * values)}"
            for measure in range(WIDE_MEASURES):
                record[f"m{measure}"] = int(random_numbers.random() * 100_000) / 1000
            file.write(json.dumps(record) + "\n")
