"""Sizes in bytes, as they are written and read on the command line: `500MB`, `1.5 GB`. Pure."""

import re

_UNITS = ("B", "kB", "MB", "GB", "TB")
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?) ?([kKMGT]?B)", re.ASCII)


def size_text(size: int) -> str:
    """Bytes in the largest unit that they fill: `512 B`, `1.5 MB`."""
    number, unit = float(size), 0
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.3g} {_UNITS[unit]}"


def parse_size(text: str) -> int:
    """Bytes in `500kB`, `1GB` or `1.5 GB`. Raises ValueError (a sentence without the text)."""
    match = _WRITTEN.fullmatch(text)
    size = 0 if match is None else int(float(match[1]) * 1000 ** _UNITS.index(match[2].replace("K", "k")))
    if size < 1:
        raise ValueError("a size is a number above 0 and its unit: 500kB, 200MB or 1.5GB")
    return size
