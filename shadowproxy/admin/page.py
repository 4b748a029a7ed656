"""The page for people: one self-contained file, and the policy that keeps it so.

What it shows (answers above all) was written by strangers. The page puts it into text nodes only, and its content security policy lets
nothing run or load but the script and style it came with. It holds no data itself, so it may be given to those who have no token yet.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from importlib.resources import files

from aiohttp import web

_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Page:
    """The page's text, with ``{{nonce}}`` where a reply's nonce goes."""

    text: str

    @staticmethod
    def load() -> Page:
        return Page((files("shadowproxy.admin") / "dashboard.html").read_text(encoding="utf-8"))

    def reply(self) -> web.Response:
        """The page with a nonce of its own."""
        nonce = secrets.token_urlsafe(16)
        policy = {"content-security-policy": _POLICY.format(nonce=nonce)}
        return web.Response(text=self.text.replace("{{nonce}}", nonce), content_type="text/html", headers=policy)
