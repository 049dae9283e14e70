"""Signatures of Standard Webhooks
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)."""

import base64
import hashlib
import hmac
from collections.abc import Iterable


def signing_key(secret: str) -> bytes:
    """The key of a secret: `whsec_…` is base64, any other text is taken as it is. Raises ValueError."""
    try:
        key = (
            base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            if secret.startswith("whsec_")
            else secret.encode()
        )
    except ValueError:  # of which binascii.Error is one
        raise ValueError("what follows whsec_ is not base64") from None
    if not key:
        raise ValueError("the secret is empty")
    return key


def signature(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: one of version 1 (HMAC-SHA256) for each of `keys`, in their order."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys
    )
