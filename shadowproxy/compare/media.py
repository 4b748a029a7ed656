"""Pictures and sounds of two answers, known by their digests: the same, or not. PURE.

What a picture shows is not looked at. Models that draw make another picture each time, so a difference is worth a line and no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shadowproxy.compare.kinds import Found, divergence
from shadowproxy.exchange import Media, Severity


def compare_media(primary: Sequence[Media], other: Sequence[Media]) -> Found:
    """Whether two answers carry as many things of each kind. The score is the share that only one side has; None where neither has any."""
    if not primary and not other:
        return Found()
    ours, theirs = Counter(each.kind for each in primary), Counter(each.kind for each in other)
    if ours != theirs:
        found = divergence("media.count", Severity.MAJOR, _counted(ours), _counted(theirs))
        return Found(((ours - theirs) + (theirs - ours)).total() / (ours + theirs).total(), (found,))
    digests = [sorted(each.sha256 for each in side) for side in (primary, other)]
    if digests[0] != digests[1]:
        return Found(0.0, (divergence("media.content", Severity.INFO, _sizes(primary), _sizes(other)),))
    return Found(0.0)


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"


def _sizes(media: Sequence[Media]) -> str:
    return ", ".join(f"{each.kind} of {each.size_bytes} bytes, sha256 {each.sha256[:12]}" for each in media[:8])
