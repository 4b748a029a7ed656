"""One HTML file that stands alone: no script, no font, no image from anywhere. PURE.

Last of the way: ``contents`` in, a page out. Its content security policy forbids everything but its own style sheet, so that even a mistake
in escaping could run nothing and ask nobody.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from shadowproxy.report.contents import Contents
from shadowproxy.report.markup import Markup, joined, tag, text
from shadowproxy.report.sections.closing import left_out_section, provenance_section
from shadowproxy.report.sections.decision import decision_section
from shadowproxy.report.sections.gates import gates_section, slices_section
from shadowproxy.report.sections.kinds import kinds_section
from shadowproxy.report.sections.spread import spread_section
from shadowproxy.report.sections.worst import worst_section
from shadowproxy.report.style import style_sheet
from shadowproxy.report.wording import STATES, headline, moment
from shadowproxy.verdict.wording import count

#: The sections in the order of what a reader wants to know next, with their names in the list at the top.
_SECTIONS = (
    ("decision", "Why", decision_section),
    ("gates", "Gates", gates_section),
    ("slices", "Slices", slices_section),
    ("worst", "Worst pairs", worst_section),
    ("kinds", "What differs", kinds_section),
    ("spread", "Similarity, latency and cost", spread_section),
    ("left-out", "Not compared", left_out_section),
    ("provenance", "Provenance", provenance_section),
)


def page(contents: Contents) -> str:
    """The whole file."""
    sections = [(id_, name, section) for id_, name, make in _SECTIONS if (section := make(contents)) is not None]
    links = (tag("li", tag("a", name, href=f"#{id_}")) for id_, name, _ in sections)
    body = tag(
        "body",
        _header(contents),
        tag("nav", tag("ul", *links), aria_label="Contents"),
        tag("main", *(section for _, _, section in sections)),
        tag("footer", tag("p", _signed(contents))),
    )
    return f"<!doctype html>\n{tag('html', _head(contents), body, lang='en')}\n"


def _head(contents: Contents) -> Markup:
    css = style_sheet()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{contents.document['candidate']}: {headline(contents.document)}"),
        tag("style", Markup(css)),
    )


def _header(contents: Contents) -> Markup:
    document = contents.document
    sign, _ = STATES.get(document["state"], ("", ""))
    mark = tag("span", f"{sign} ", class_="mark", aria_hidden="true")
    known = document["provenance"]
    decided = f", {moment(known['decided_at_s'])}" if known["decided_at_s"] is not None else ""
    models = joined(f" ({' against '.join(named)})") if (named := _models(known)) else None
    about = joined("Candidate ", tag("strong", document["candidate"]), models, f", judged on {count(document['pairs'])} pairs{decided}")
    return tag("header", tag("h1", mark, headline(document)), tag("p", about), class_=document["state"])


def _models(known: Mapping[str, Any]) -> list[str]:
    """The candidate's, then the primary's, as far as anybody said; the primary's alone would read as the candidate's."""
    return [each for each in (known["candidate_model"], known["primary_model"]) if each] if known["candidate_model"] else []


def _signed(contents: Contents) -> Markup:
    software = contents.document["provenance"]["software"] or "shadowproxy"
    masked = "texts shown as they are" if contents.is_raw else "personal data and secrets masked"
    return text(f"Written by {software}; {masked}.")
