"""Ways into a NATS server with TLS and permissions, and what it says to those who may not."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nkeys
import pytest
from nacl.signing import SigningKey

from mtrigger.actions.brokers import MessageNotTaken
from mtrigger.actions.nats import Nats, NatsConfig
from mtrigger.actions.services import Services
from mtrigger.errors import PermanentError
from mtrigger.templates import Templates
from support.certificates import Authority
from support.mongo_servers import free_port
from support.polling import eventually_sync
from support.works import work_for_document

WORK = work_for_document({"_id": 1})
SEED: str = nkeys.encode_seed(bytes(SigningKey(b"7" * 32)), nkeys.PREFIX_BYTE_USER).decode()

SETTINGS = """
listen: "127.0.0.1:PORT"
jetstream: {store_dir: "FOLDER/store"}
tls: {cert_file: "PEM", key_file: "PEM"}
authorization: {
  users: [
    {user: all, password: "p@ss"}
    {user: few, password: few, permissions: {publish: ["orders.>", "$JS.API.>"]}}
    {nkey: NKEY}
  ]
}
"""


@pytest.fixture
def server(tmp_path: Path, authority: Authority) -> Iterator[str]:
    """Where it is, `localhost:port`; its logins are in `SETTINGS`."""
    program = shutil.which("nats-server")
    if program is None:
        pytest.skip("no program nats-server")
    port = free_port()
    settings = SETTINGS.replace("PORT", str(port)).replace("FOLDER", str(tmp_path))
    settings = settings.replace("PEM", str(authority.server_file(tmp_path)))
    (tmp_path / "nats.conf").write_text(
        settings.replace("NKEY", nkeys.from_seed(SEED.encode()).public_key.decode())
    )
    log = tmp_path / "nats.log"
    process = subprocess.Popen([program, "-c", str(tmp_path / "nats.conf"), "-l", str(log)])
    try:
        eventually_sync(lambda: log.exists() and "Server is ready" in log.read_text())
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    """Closed afterwards."""
    services = Services(Templates(None))
    yield services
    await services.close()


def action(services: Services, url: str, authority: Authority, **settings: object) -> Nats:
    """One that trusts the server."""
    usual = {"url": url, "subject": "orders.new", "tls": {"ca": authority.file}}
    return Nats(NatsConfig.model_validate({**usual, **settings}), services)


async def test_who_may_log_in_and_what_they_may_do(
    services: Services, server: str, authority: Authority
) -> None:
    """By password, in the address or beside it, or by NKey; a message that is not allowed is dead, a login
    that is refused or a certificate that is not trusted is tried again."""
    for login in (
        action(services, f"tls://all:p%40ss@{server}", authority),
        action(services, f"tls://{server}", authority, user="all", password="p@ss"),
        action(services, f"tls://{server}", authority, nkey=SEED),
        action(services, f"tls://few:few@{server}", authority),
    ):
        with pytest.raises(PermanentError, match=r"no stream takes the subject orders\.new"):
            await login.run(WORK)

    forbidden = action(services, f"tls://few:few@{server}", authority, subject="Secret.x")
    with pytest.raises(PermanentError, match=r"the server does not allow it: .*permissions violation"):
        await forbidden.run(WORK)

    with pytest.raises(MessageNotTaken, match=r"cannot log in \(nats: 'Authorization Violation'\)") as raised:
        await action(services, f"tls://all:s3cret@{server}", authority).run(WORK)
    assert "s3cret" not in str(raised.value)

    with pytest.raises(MessageNotTaken, match=r"not trusted: .*give the authority"):
        await action(services, f"tls://all:p%40ss@{server}", authority, tls=None).run(WORK)
