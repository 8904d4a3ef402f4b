"""Tables in the folder that a test is in."""

import csv
from pathlib import Path


def write(name, rows):
    with Path(name).open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def reviews(name, count, start=0):
    write(
        name,
        [("text", "label", "city"), *((f"review {n}", "xy"[n % 2], "ab"[n % 2]) for n in range(start, start + count))],
    )
