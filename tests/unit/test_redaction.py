"""No address is shown with its password."""

import pytest
from pymongo.errors import BulkWriteError, OperationFailure, ServerSelectionTimeoutError

from mtrigger.redaction import brief, redact_uri, redact_url


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mongodb://user:hunter2@host/db", "mongodb://user:***@host/db"),
        ("mongodb://user:hun%40ter2@a:27017,b:27017/?x=1", "mongodb://user:***@a:27017,b:27017/?x=1"),
        ("mongodb+srv://user:hun@ter/2@host", "mongodb+srv://user:***@host"),
        ("mongodb://user:12345/x@host", "mongodb://user:***@host"),
        ("at smtps://u:hunter2@h:465 and smtp://u:hunter2@h", "at smtps://u:***@h:465 and smtp://u:***@h"),
        ("mongodb://host/?tlsCertificateKeyFilePassword=hunter2&w=1", "mongodb://host/?tlsCertificateKeyFilePassword=***&w=1"),
        ("mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:hunter2", "mongodb://h/?authMechanismProperties=***"),
        ("mongodb://user@host", "mongodb://user@host"),
        ("mongodb://127.0.0.1:27017/?replicaSet=rs0", "mongodb://127.0.0.1:27017/?replicaSet=rs0"),
        ("nothing to hide", "nothing to hide"),
    ],
)  # fmt: skip
def test_passwords_in_addresses_are_replaced(text: str, shown: str) -> None:
    """Also those that were not encoded as they should be."""
    assert redact_uri(text) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:hunter2@h:8443/p?token=hunter2#hunter2", "https://h:8443/p"),
        ("https://hunter2@h/", "https://h/"),
        ("http://[::1", "(an address that cannot be read)"),
    ],
)
def test_a_webhooks_address_is_shown_without_user_and_query(url: str, shown: str) -> None:
    """Either may be a key."""
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ValueError("two\nlines"), "two lines"),
        (OperationFailure("no room", 8, {"errmsg": "no room", "op": {"card": "4711"}}), "no room"),
        (
            BulkWriteError({"writeErrors": [{"errmsg": "no room", "op": {"card": "4711"}}]}),
            "no room",
        ),
        (
            BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"errmsg": "replication is slow"}]}),
            "replication is slow",
        ),
        (
            ServerSelectionTimeoutError("mongodb://u:4711@h refused, Timeout: 10s"),
            "mongodb://u:***@h refused",
        ),
    ],
)
def test_an_error_is_told_without_documents_topology_and_passwords(error: Exception, shown: str) -> None:
    """What a driver appends is for debuggers."""
    assert brief(error) == shown
