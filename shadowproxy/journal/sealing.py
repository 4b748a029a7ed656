"""Encryption at rest with age (the extra ``age``: pyrage, 2 MB). Each frame is sealed alone, so that segments stay appendable.

age rather than Fernet: it has two keys. The process that writes knows the public one only, so nobody can read a journal with what a
stolen pod, volume or configuration holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from shadowproxy.errors import InputError, StartError

_REMEDY = "pip install 'llm-shadowproxy[age]'"


def sealer(recipients: Sequence[str]) -> Callable[[bytes], bytes]:
    """Encrypts for all ``recipients``. Raises :class:`StartError` where one is no public key, or where pyrage is missing."""
    try:
        from pyrage import RecipientError, encrypt, x25519
    except ImportError as exc:
        raise StartError(f"journal.recipients: pyrage is not installed; {_REMEDY}") from exc
    try:
        keys = [x25519.Recipient.from_str(each) for each in recipients]
    except RecipientError as exc:
        raise StartError(f"journal.recipients: {exc}; write public keys of age, as age-keygen shows them (age1…)") from exc
    return lambda data: bytes(encrypt(data, keys))


def unsealer(identity_files: Sequence[Path]) -> Callable[[bytes], bytes] | None:
    """Decrypts with any of the identities in files as age-keygen writes them; None without files. What comes out raises ``ValueError``
    where none fits. Raises :class:`InputError` where a file cannot be used."""
    if not identity_files:
        return None
    try:
        from pyrage import DecryptError, decrypt
    except ImportError as exc:
        raise StartError(f"--identity: pyrage is not installed; {_REMEDY}") from exc
    identities = [each for file in identity_files for each in _identities(file)]

    def unseal(data: bytes) -> bytes:
        try:
            return bytes(decrypt(data, identities))
        except DecryptError as exc:
            raise ValueError(f"cannot be opened with the identities given ({exc})") from exc

    return unseal


def _identities(file: Path) -> list[object]:
    from pyrage import IdentityError, x25519

    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        return [x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except OSError as exc:
        raise InputError(f"{file}: cannot be read ({exc.strerror}); give a file that age-keygen wrote") from exc
    except (IdentityError, UnicodeDecodeError) as exc:
        raise InputError(f"{file}: holds no identity of age ({exc}); give a file that age-keygen wrote") from exc
