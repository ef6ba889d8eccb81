"""The pipeline files of the scenarios."""

from records import WIDE_DIMENSIONS, WIDE_DISTINCT, WIDE_MEASURES

LISTENS = """\
[pipeline]
name = "listens"

[event]
user_id    = "user"
timestamp  = { from = "at", format = "unix_ms" }
event_type = "kind"
event_id   = "id"

[fields]
track   = { type = "string" }
seconds = { type = "float", min = SECONDS_MIN, max = 3600 }

[[aggregates]]
dimension = "track"
grains    = ["day", "week"]

[[aggregates]]
dimension = "user_id"
grains    = ["day", "week"]

[[aggregates]]
dimension = "event_type"

[measures.seconds]
stats = ["sum", "max", "p50"]

[distinct]
users = "user_id"
"""

# Dimensions of listens, and the members of a record that they stand for.
LISTENS_DIMENSIONS = {"track": "track", "user_id": "user", "event_type": "kind"}


def listens(seconds_min=0, weeks=True):
    """Listens; those of less than so many seconds are rejected."""
    text = LISTENS.replace("SECONDS_MIN", str(seconds_min))
    return text if weeks else text.replace(', "week"', "")


def wide():
    """18 dimensions, three measures, five distinct counts."""
    lines = ['[pipeline]\nname = "wide"\n\n[event]\nuser_id = "user"\ntimestamp = { from = "at", format = "unix_ms" }\nevent_id = "id"\n\n[fields]']
    lines += [f'd{number} = {{ type = "string" }}' for number in range(WIDE_DIMENSIONS)]
    lines += [f'm{number} = {{ type = "float" }}' for number in range(WIDE_MEASURES)]
    lines += [f'\n[[aggregates]]\ndimension = "d{number}"\ngrains = ["day", "week"]' for number in range(WIDE_DIMENSIONS)]
    lines += [f'\n[measures.m{number}]\nstats = ["sum", "max", "p50"]' for number in range(WIDE_MEASURES)]
    lines += ["\n[distinct]", *(f'distinct{number} = "d{number + 1}"' for number in range(WIDE_DISTINCT))]
    return "\n".join(lines) + "\n"


WIDE_NAMES = {f"d{number}": f"d{number}" for number in range(WIDE_DIMENSIONS)}
WIDE_SUMS = [f"m{number}" for number in range(WIDE_MEASURES)]
