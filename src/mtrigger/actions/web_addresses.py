"""Addresses of web servers: whether a request can go there, and what may be shown of them."""

import re
from functools import lru_cache
from urllib.parse import urlsplit

BAD_URL = "the address must be http://host/… or https://host/…"


@lru_cache(1_000)
def url_problem(url: str) -> str | None:
    """What is wrong with a rendered address, without the address: it may hold a secret."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        return BAD_URL
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        return "the address holds spaces or control characters; pass values through | urlencode"
    return None


def host_alone(url: str) -> str:
    """What may be shown of an address whose path is a secret: `https://hooks.example.com/…`."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(an address that cannot be read)"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…"
