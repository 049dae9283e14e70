"""Takes secrets out of addresses before they are shown, logged or put into an error."""

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
