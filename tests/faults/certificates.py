"""Certificates made on the spot by openssl, also such as nobody should show."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path


def certificate(folder: Path, name: str, *, is_expired: bool = False) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(cert), "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    _run([*command, "-days", "2"])
    if is_expired:
        # Only ``openssl x509`` of version 3.4 takes dates; a request signed by ``openssl ca`` works everywhere.
        _sign_in_the_past(folder, name, cert, key)
    return cert, key


def _sign_in_the_past(folder: Path, name: str, cert: Path, key: Path) -> None:
    ago = [datetime.now(UTC) - timedelta(days=days) for days in (3, 1)]
    start, end = (each.strftime("%y%m%d%H%M%SZ") for each in ago)
    config, request = folder / f"{name}.cnf", folder / f"{name}.csr"
    (folder / f"{name}.index").touch()
    config.write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/{name}.index\nnew_certs_dir={folder}\nrand_serial=yes\n"
        "default_md=sha256\npolicy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n[x]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n"
    )
    _run(["openssl", "req", "-new", "-key", str(key), "-out", str(request), "-subj", f"/CN={name}"])
    command = ["openssl", "ca", "-config", str(config), "-batch", "-selfsign", "-keyfile", str(key), "-in", str(request)]
    _run([*command, "-out", str(cert), "-notext", "-startdate", start, "-enddate", end])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)
