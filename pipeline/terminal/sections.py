"""Sections of a report on the terminal."""

from rich.table import Table
from rich.text import Text

from models.figures import Section


def table(section: Section) -> Table:
    """A ``heat``: labels by answers, those that no record has on either side left out."""
    labels = section.head[1:]
    counts = [[int(float(cell)) for cell in row[1:]] for row in section.rows]
    used = [place for place in range(len(labels)) if any(counts[place]) or any(row[place] for row in counts)]
    drawn = Table(box=None, padding=(0, 1), header_style="dim")
    drawn.add_column(section.head[0], style="dim")
    for place in used:
        drawn.add_column(Text(labels[place]), justify="right")
    for right in used:
        cells = [
            (f"{counts[right][got]:,}", "bold green" if right == got else "red" if counts[right][got] else "dim")
            for got in used
        ]
        drawn.add_row(Text(labels[right]), *(Text(*cell) for cell in cells))
    return drawn
