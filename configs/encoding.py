"""Encodings of text files, by any of their names."""

import codecs
from typing import Annotated

from pydantic import BeforeValidator

# Names that files are given for what they are in: WHATWG's Encoding Standard, 4.2, reads them likewise.
_MEANT = {
    "iso8859-1": "cp1252",  # has the same letters, and the typographic marks that such files hold
    "shift-jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "utf-8-sig": "utf-8",  # a byte-order mark is never text
    "utf-16-le": "utf-16",
    "utf-16-be": "utf-16",
}
# ASCII, and what encodings that write more than bytes with it would read as something else.
_ASCII = bytes(range(128)) + b".xn--mnchen-3ya \x1b$B!!"


def encoding_name(value: object) -> object:
    """Python's name for an encoding, whose names are spelt in many ways.

    Raises:
      ValueError: there is none of that name, or it is neither UTF-16 nor ASCII with more letters.
    """
    if not isinstance(value, str):
        return value
    try:
        name = codecs.lookup(value).name.replace("_", "-")
        name = _MEANT.get(name, name)
        known = name == "utf-16" or ("escape" not in name and _ASCII.decode(name) == _ASCII.decode("ascii"))
    except (LookupError, ValueError):
        known = False
    if not known:
        raise ValueError(
            f"allowed utf-8, utf-16, cp1252 (Western European), cp949 (Korean) and the others that Python has, such as "
            f"cp1251, cp932, gb18030; received {value[:60]!r}"
        )
    return name


Encoding = Annotated[str, BeforeValidator(encoding_name)]
