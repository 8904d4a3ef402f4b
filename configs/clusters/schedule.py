"""Cron expressions, as Kubeflow (robfig/cron) and Vertex read them."""

import re
import zoneinfo

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "second": (0, 59, ()),
    "minute": (0, 59, ()),
    "hour": (0, 23, ()),
    "day": (1, 31, ()),
    "month": (1, 12, _MONTHS),
    "weekday": (0, 6, _DAYS),
}
_PART = re.compile(r"(?:[*?]|(\w+)(?:-(\w+))?)(?:/[1-9]\d*)?")
_EXAMPLE = "'0 3 * * MON' is every Monday at 03:00"


def fault(expression: str, *, seconds: bool, zone: bool) -> str | None:
    """What is wrong with a cron expression; None where nothing is.

    Args:
      expression: minute, hour, day of the month, month, day of the week.
      seconds: whether a second may come before them.
      zone: whether ``TZ=Asia/Seoul`` may, or ``CRON_TZ=``.
    """
    fields = expression.split()
    if zone and fields and (named := re.fullmatch(r"(?:CRON_)?TZ=(.*)", fields[0])):
        if named[1] not in zoneinfo.available_timezones():
            return f"there is no time zone {named[1]!r}; one is Asia/Seoul, as in 'TZ=Asia/Seoul 0 3 * * MON'"
        del fields[0]
    if len(fields) != 5 and not (seconds and len(fields) == 6):
        more = ", a second before them where wanted" if seconds else ", a time zone before them where wanted"
        return f"takes minute, hour, day, month and weekday{more}: {_EXAMPLE}; received {expression!r}"
    for name, field in zip(list(_FIELDS)[-len(fields) :], fields, strict=True):
        first, last, words = _FIELDS[name]
        if not all(_sound(part, first, last, words) for part in field.split(",")):
            named_too = f" or {words[0]} to {words[-1]}" if words else ""
            return f"a {name} is * or {first} to {last}{named_too}: {_EXAMPLE}; received {field!r} in {expression!r}"
    return None


def _sound(part: str, first: int, last: int, words: tuple[str, ...]) -> bool:
    """Whether ``part`` is all, a number or a range of them, perhaps every so many."""
    numbers = {word: number for number, word in enumerate(words, first)}
    found = _PART.fullmatch(part.upper())
    ends = [numbers.get(end, int(end) if end.isdecimal() else -1) for end in found.groups() if end] if found else [-1]
    return ends == sorted(ends) and all(first <= end <= last for end in ends)
