"""How figures are written, everywhere alike."""

import math


def clock(seconds: float) -> str:
    """``6:48``; ``1:02:03`` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def plain(value: float) -> str:
    """Three digits: ``.881``, ``−.002``, ``3.12``; a figure over nothing is ``none``."""
    if not math.isfinite(value):
        return "none"
    size_of = abs(value)
    digits = f"{size_of:.{3 if size_of < 1 else 2 if size_of < 10 else 1}f}"
    return ("−" if value < 0 and float(digits) else "") + (digits[1:] if digits.startswith("0.") else digits)


def size(count: float) -> str:
    """Bytes: ``84 MB``."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def share(value: float) -> str:
    """``61 %``."""
    return f"{value:.0%}".replace("%", " %")


def scientific(value: float) -> str:
    """``2.1e-5``."""
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits}e{int(exponent)}"
