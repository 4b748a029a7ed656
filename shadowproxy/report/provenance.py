"""What was judged, by what, and when, in the order a reader asks. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadowproxy.report.wording import moment
from shadowproxy.verdict.wording import duration


def provenance(document: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """(what, its value, whether that is a digest or id); what is not known is left out."""
    known = document["provenance"]
    rows = [
        ("candidate", document["candidate"], False),
        ("candidate's model", known["candidate_model"], False),
        ("primary's model", known["primary_model"], False),
        ("rollout", document["rollout"], True),
        ("attempt", str(document["rules"]["attempt"] or ""), False),
        ("first pair", moment(known["started_at_s"]), False),
        ("decided", moment(known["decided_at_s"]), False),
        ("time covered", duration(document["age_s"]) if document["age_s"] else "", False),
        ("software", known["software"], False),
        ("configuration, sha256", known["config_digest"], True),
        ("candidate's prompt, sha256", known["prompt_digest"], True),
        ("verdict document, sha256", document["digest"], True),
    ]
    return [row for row in rows if row[1] not in ("", "–")]
