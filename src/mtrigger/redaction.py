"""Keeps out of messages what must not be shown: secrets in addresses, documents in a driver's errors."""

import re
from urllib.parse import urlsplit

_USER_INFO = re.compile(r"(?<=://)([^\s:/?#@\"']*):[^\s\"']*@")
_SECRET_OPTION = re.compile(
    r"(?i)([?&;](?:[a-z0-9_.-]*(?:password|passwd|secret|token|apikey|api_key|signature)[a-z0-9_.-]*"
    r"|authMechanismProperties|key|sig)=)[^&\s\"']+"
)


def redact_uri(text: str) -> str:
    """`text` with the passwords of all addresses in it replaced by `***`.

    The user's name stays, since it tells which account was meant. A password that was not percent-encoded
    (`p@ss/word`) goes as a whole: everything up to the last `@` of the address counts as password. Values of
    options that hold secrets (`tlsCertificateKeyFilePassword=…`) go too.
    """
    return _SECRET_OPTION.sub(r"\1***", _USER_INFO.sub(r"\1:***@", text))


def redact_url(url: str) -> str:
    """An HTTP address without its user, query and fragment: what may be shown of a webhook's address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(an address that cannot be read)"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def brief(error: BaseException) -> str:
    """The text of `error` in one line, without what a driver appends: the server's whole reply, which may
    hold documents, and the topology. Of a bulk write, the first of its errors."""
    text = str(error)
    details = getattr(error, "details", None)
    if isinstance(details, dict):
        errors = [*(details.get("writeErrors") or ()), *(details.get("writeConcernErrors") or ())]
        if errors and isinstance(errors[0], dict) and "errmsg" in errors[0]:
            text = str(errors[0]["errmsg"])
    for end in (", full error:", ", Timeout:"):
        text = text.partition(end)[0]
    return redact_uri(" ".join(text.split()))
