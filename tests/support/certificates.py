"""A certificate authority for tests of TLS: it signs what servers show, and clients may trust it or not."""

import ssl
from pathlib import Path

import trustme


class Authority:
    """`file` is the authority's certificate, to be trusted by a client."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def server_context(self, name: str = "localhost") -> ssl.SSLContext:
        """The TLS settings of a server whose certificate is for `name` (a host name or an address)."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert(name).configure_cert(context)
        return context

    def server_file(self, folder: Path, name: str = "localhost") -> Path:
        """A PEM file with a certificate for `name` and its key, for servers that are programs."""
        file = folder / f"{name}.pem"
        self._authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(str(file))
        return file
