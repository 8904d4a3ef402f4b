"""How RapidJSON 1.1.0 reads and writes numbers (reader.h, internal/strtod.h, internal/dtoa.h).

A usual decimal is read as the nearest double, where RapidJSON's fast conversion is up to two units in the last place
off. With 25 digits before the point, or an exponent beyond 22, it is RapidJSON's.
"""

import fractions
import functools
import math
import re
import struct

from serving.errors import ApiError, invalid

INVALID = "Invalid value."
_TOO_BIG = "Number too big to be stored in double."
_USUAL_POWER = 22  # the highest power of ten that is a double
_USUAL_DIGITS = 24
_DIGITS = re.compile(rb"[0-9]*")


def number(body: bytes, start: int) -> tuple[int | float, int]:
    """The number at ``start``, and where it ends: ParseNumber.

    Returns:
      An integer where it is one of 64 bits.

    Raises:
      ApiError: it is no number.
    """
    minus = body.startswith(b"-", start)
    place = start + minus
    if body[place : place + 1] in (b"I", b"N"):
        return _not_finite(body, place, minus)
    end = place + 1 if body.startswith(b"0", place) else end_of(_DIGITS, body, place)
    if end == place:
        raise fault(INVALID, place)
    whole, fraction, exponent = body[place:end], b"", b""
    if len(whole) > 308 and math.isinf(_summed(whole, b"", minus)[0]):
        raise fault(_TOO_BIG, start)
    if body.startswith(b".", end):
        place, end = end + 1, end_of(_DIGITS, body, end + 1)
        if place == end:
            raise fault("Miss fraction part in number.", place)
        fraction = body[place:end]
    if body[end : end + 1] in (b"e", b"E"):
        place = end + 1 + (body[end + 1 : end + 2] in (b"+", b"-"))
        sign, end = body[place - 1 : place], end_of(_DIGITS, body, place)
        if place == end:
            raise fault("Miss exponent in number.", place)
        exponent = body[place:end]
    if not fraction and not exponent and -(2**63) <= (integer := int(body[start:end][:21])) < 2**64:
        return integer, end
    power = int(exponent or b"0") if len(exponent.lstrip(b"0")) < 10 else 10**9
    if len(whole) <= _USUAL_DIGITS and power <= _USUAL_POWER:
        return float(body[start:end]), end
    value, decimals = _summed(whole, fraction, minus)
    if exponent and sign == b"-":
        power = -power
    elif power > 308 + decimals:
        raise fault(_TOO_BIG, start)
    value = _scaled(value, power - decimals)
    return -value if minus else value, end


def _summed(whole: bytes, fraction: bytes, minus: bool) -> tuple[float, int]:
    """What the digits come to, and how many decimals are among them: 53 bits, then up to 17 significant digits.

    Infinity where the sum leaves the doubles.
    """
    limit = 2**63 if minus else 2**64 - 1
    value = int(whole[:19])
    count = 19 if value <= limit else 18
    value = int(whole[:count])
    if count < len(whole) and value * 10 + whole[count] - 48 <= limit:
        value, count = value * 10 + whole[count] - 48, count + 1
    number = float(value)
    if count < len(whole):
        for digit in whole[count:]:
            number = number * 10 + (digit - 48) if number < 1.7976931348623157e307 else math.inf
        return number, 0
    significant, decimals = len(whole) - 1, 0
    while decimals < len(fraction) and value <= 2**53 - 1:
        value, decimals = value * 10 + fraction[decimals] - 48, decimals + 1
        significant += value != 0
    number = float(value)
    for digit in fraction[decimals : decimals + max(0, 17 - significant)]:
        number, decimals = number * 10 + (digit - 48), decimals + 1
    return number, decimals


def _scaled(number: float, power: int) -> float:
    """``number * 10 ** power``: StrtodNormalPrecision."""
    if power >= 0:
        return number * float(f"1e{power}")
    if power < -616:
        return 0.0
    if power < -308:
        number, power = number / 1e308, power + 308
    return number / float(f"1e{-power}")


def _not_finite(body: bytes, place: int, minus: bool) -> tuple[float, int]:
    """``NaN``, ``Inf``, ``Infinity``; and, as RapidJSON goes on where it stopped, ``NaInf``."""
    end = _common(body, place, b"NaN")
    if end == place + 3:
        return float("nan"), end
    end = word(body, end, b"Inf")
    if body.startswith(b"i", end):
        end = word(body, end, b"inity")
    return float("-inf" if minus else "inf"), end


def word(body: bytes, place: int, letters: bytes) -> int:
    """Where ``letters``, which must stand at ``place``, end."""
    end = _common(body, place, letters)
    if end < place + len(letters):
        raise fault(INVALID, end)
    return end


def _common(body: bytes, place: int, word: bytes) -> int:
    """Where ``word`` ends, or where ``body`` leaves it."""
    for letter in word:
        if body[place : place + 1] != bytes([letter]):
            break
        place += 1
    return place


def end_of(pattern: re.Pattern[bytes], body: bytes, place: int) -> int:
    """Where the match at ``place`` ends, of a pattern that matches nothing too."""
    found = pattern.match(body, place)
    assert found
    return found.end()


def fault(what: str, place: int) -> ApiError:
    """RapidJSON's sentence, and where."""
    return invalid(f"JSON Parse error: {what} at offset: {place}")


def double(value: float) -> str:
    """A finite double: dtoa, whose digits are Grisu2's, which are not always the fewest."""
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    digits, exponent = _grisu2(abs(value))
    sign, point = "-" if value < 0 else "", len(digits) + exponent  # 10^(point-1) <= value < 10^point
    if exponent >= 0 and point <= 21:
        return f"{sign}{digits}{'0' * exponent}.0"
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{point - 1}"


def _grisu2(value: float) -> tuple[str, int]:
    """Digits and the power of ten of the last one (Loitsch, Printing Floating-Point Numbers, 2010; internal/dtoa.h)."""
    significand, power = _parts(value)
    # The borders to the neighbours, and the value, with 64 significant bits and one exponent.
    above = significand * 2 + 1
    shift = 64 - above.bit_length()
    is_power_of_two = significand == 2**52
    below = (significand * 4 - 1 << shift - 1) if is_power_of_two else (significand * 2 - 1 << shift)
    scale, scale_power, decimal = _cached_power(power - 1 - shift)
    high, low = _product(above << shift, scale) - 1, _product(below, scale) + 1
    middle = _product(significand << 64 - significand.bit_length(), scale)
    return _digits(high, high - low, high - middle, -(power - 1 - shift + scale_power + 64), decimal)


def _parts(value: float) -> tuple[int, int]:
    """``significand * 2 ** power``."""
    [bits] = struct.unpack("<Q", struct.pack("<d", value))
    biased, significand = bits >> 52, bits & 2**52 - 1
    return (significand + 2**52, biased - 1075) if biased else (significand, -1074)


def _product(left: int, right: int) -> int:
    """The upper 64 bits, rounded."""
    return (left * right + 2**63) >> 64


@functools.cache
def _cached_power(exponent: int) -> tuple[int, int, int]:
    """A power of ten that brings ``exponent`` into Grisu's range: 64 bits, their exponent; and minus the ten's."""
    ten = -348 + 8 * ((math.ceil((-61 - exponent) * 0.30102999566398114 + 347) >> 3) + 1)
    exact = fractions.Fraction(10) ** ten
    power = exact.numerator.bit_length() - exact.denominator.bit_length() - 63
    while (scaled := round(exact / fractions.Fraction(2) ** power)) < 2**63:
        power -= 1
    return scaled, power, -ten


def _digits(high: int, width: int, distance: int, shift: int, exponent: int) -> tuple[str, int]:
    """DigitGen and GrisuRound: the fewest digits within ``width`` below ``high``, then towards the value."""
    one = 1 << shift
    whole, rest = high >> shift, high & one - 1
    digits, left = "", len(str(whole))
    while left > 0:
        left -= 1
        digit, whole = divmod(whole, 10**left)
        digits = digits + str(digit) if digit or digits else ""
        below = (whole << shift) + rest
        if below <= width:
            return _rounded(digits, width, below, 10**left << shift, distance), exponent + left
    while True:
        rest, width, left = rest * 10, width * 10 & 2**64 - 1, left - 1
        digit = rest >> shift
        digits = digits + str(digit) if digit or digits else ""
        rest &= one - 1
        if rest < width:
            near = distance * 10**-left & 2**64 - 1 if -left < 9 else 0
            return _rounded(digits, width, rest, one, near), exponent + left


def _rounded(digits: str, width: int, rest: int, unit: int, distance: int) -> str:
    last = int(digits[-1])
    while (
        rest < distance
        and width - rest >= unit
        and (rest + unit < distance or distance - rest > rest + unit - distance)
    ):
        last -= 1
        rest += unit
    return digits[:-1] + str(last)
