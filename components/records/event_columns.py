"""Which columns of a file of events say who did what, and when: guesses, each of them told to the person."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from components.records.head import Guess
from components.records.values import seconds

# What columns of events are called, the surest first, behind RecBole's types (``user_id:token``) and without ``_id``.
_USERS = (
    *("user", "customer", "client", "visitor", "account", "member", "person", "buyer", "shopper", "reviewer", "uid"),
    "session",
)
_ITEMS = (
    *("item", "product", "movie", "film", "article", "track", "song", "book", "sku", "asin", "parent_asin", "business"),
    *("video", "show", "game", "course", "recipe", "listing", "news", "isbn", "content", "page", "artist"),
)
_TIMES = (
    *("timestamp", "time", "datetime", "date", "ts", "event_time", "unix_time", "unixreviewtime", "unix_review_time"),
    *("created_at", "created", "at", "when"),
)
_TITLES = ("title", "name")
_TEXTS = ("text", "review", "comment", "tweet", "sentence", "message", "body")
_SENTENCE = 8  # mean words of a column past which it is a text to learn from
_SAYS = {"user": "who", "item": "what", "time": "when"}


def guess(columns: Mapping[str, Sequence[str]], named: Mapping[str, str]) -> Guess | None:
    """See ``Kind.guess``."""
    if not {"user", "item"} & named.keys() and any(_text(*column) for column in columns.items()):
        return None  # reviews, say: their text is what there is to learn from
    found, assumed = dict(named), []
    for key, names in (("user", _USERS), ("item", _ITEMS), ("time", _TIMES)):
        if key not in found and (column := _called(columns, names, taken=found.values())):
            found[key] = column
            assumed.append(f"{column!r} says {_SAYS[key]}")
    if not {"user", "item"} <= found.keys():
        return None
    if "time" in found and any(cell and seconds(cell) is None for cell in columns[found["time"]]):
        if "time" not in named:
            assumed[-1] = f"{found['time']!r} is no time that can be read; the rows are taken to be in order"
            del found["time"]
    elif "time" not in found:
        assumed.append("no column says when; the rows are taken to be in order")
    return Guess(found, tuple(assumed))


def title(columns: Mapping[str, Sequence[str]], item: str) -> str | None:
    """The column of a catalogue that says what its items are called; None where there is none."""
    others = [column for column in columns if column != item]
    called = next((column for name in _TITLES for column in others if name in column.lower()), None)
    return called or max(others, key=lambda column: sum(map(len, columns[column])), default=None)


def _called(columns: Iterable[str], names: Collection[str], taken: Collection[str]) -> str | None:
    """The column of one of ``names``: ``user_id:token``, ``userId`` and ``User`` are all ``user``."""
    spelt = {column: _plain(column) for column in columns if column not in taken}
    return next((column for name in names for column, plain in spelt.items() if name in plain), None)


def _plain(column: str) -> set[str]:
    """What a column may be called short; ``bought_at`` is a time too."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.partition(":")[0]).lower().replace(" ", "_").replace("-", "_")
    last = {part for part in [plain.rpartition("_")[2]] if part in ("at", "time", "date", "timestamp")}
    return {plain, plain.removesuffix("id"), re.sub(r"_(id|key|no|number|code)$", "", plain), *last}


def _text(column: str, cells: Sequence[str]) -> bool:
    words = sum(len(cell.split()) for cell in cells) / max(1, len(cells))
    return words > (2 if any(name in column.lower() for name in _TEXTS) else _SENTENCE)
