"""The gateway's own certificate: loaded at start, loaded again when its files change, so that renewals need no restart."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from shadowproxy.config import ServerTls
from shadowproxy.errors import StartError

_log = logging.getLogger(__name__)

#: X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_BY_DATE = (9, 10)

#: A handshake takes two to three flights each way.
_FLIGHTS = 6


class Certificate:
    """A server-side TLS context over files that somebody renews."""

    def __init__(self, files: ServerTls) -> None:
        self._files = files
        self._state = _state_of(files)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        if files.client_ca_file is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
        try:
            self._load(self.context)
        except (OSError, ssl.SSLError) as exc:
            raise StartError(f"cannot load tls.cert_file {files.cert_file}: {_reason(exc)}; give PEM files that belong together") from exc

    def look(self) -> None:
        """Load changed files. A pair that does not load (half written, say), or that clients would refuse for its dates, changes nothing:
        the old one goes on serving."""
        state = _state_of(self._files)
        if state == self._state:
            return
        self._state = state
        try:
            trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # a failed load would leave the live context half changed
            self._load(trial)
            _check_dates(trial, self._files.cert_file)
            self._load(self.context)
        except (OSError, ssl.SSLError) as exc:
            _log.error("the changed certificate does not load, the old one stays: %s", _reason(exc))
        else:
            _log.info("certificate loaded anew from %s", self._files.cert_file)

    def _load(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self._files.cert_file, self._files.key_file)
        if self._files.client_ca_file is not None:
            context.load_verify_locations(self._files.client_ca_file)


def _check_dates(server: ssl.SSLContext, cert_file: Path) -> None:
    """Raise :class:`ssl.SSLCertVerificationError` where the certificate has expired or is not valid yet.

    The standard library reads no dates out of a file, but a client does: one is played here, in memory, that trusts this very chain.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cert_file)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    for _ in range(_FLIGHTS):
        for side in tuple(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as exc:
                if exc.verify_code in _BY_DATE:
                    raise
                return  # whom clients trust is their matter
            sides.remove(side)


def _state_of(files: ServerTls) -> tuple[tuple[int, int] | None, ...]:
    """What changes when a file is rewritten or a mounted Secret's symlink is swapped."""
    return tuple(_stamp(path) for path in (files.cert_file, files.key_file, files.client_ca_file) if path is not None)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _reason(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"TLS: {exc.verify_message}".lower()
    if isinstance(exc, ssl.SSLError):
        return f"TLS: {exc.reason or exc}".lower()
    return (exc.strerror or str(exc)).lower()
