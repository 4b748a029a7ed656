"""The arms that a configuration names, ready to be asked: live by the shadow process, from a journal by ``replay``."""

from __future__ import annotations

import random

from shadowproxy.config import Arm, Candidate, Config, Primary
from shadowproxy.mirror.dispatch import ArmBounds, ArmDispatch
from shadowproxy.mirror.lateness import Lateness
from shadowproxy.mirror.rewrite import ArmRewrite
from shadowproxy.tasks import Tasks
from shadowproxy.upstream.endpoint import endpoint_of
from shadowproxy.upstream.pool import Pool, Timing


def as_candidate(primary: Primary, how: Arm) -> Candidate:
    """The primary as an arm that gets copies: the control is a candidate that happens to be the primary."""
    return Candidate.model_validate({**dict(how), "name": "asked-again", "url": primary.url, "tls": primary.tls})


def dispatch_of(arm: str, target: Candidate, config: Config, tasks: Tasks, lateness: Lateness) -> ArmDispatch:
    """What sends copies to ``target`` under the name ``arm``. ``lateness`` is that of the loop they all run on."""
    endpoint = endpoint_of(target.url, target.tls)
    rewrite = ArmRewrite(
        arm=arm,
        authority=endpoint.authority,
        path_prefix=endpoint.path_prefix,
        model=target.model,
        parameters=target.parameters,
        system=target.prompt.system if target.prompt else "",
        set_headers=tuple((name.lower().encode(), value.encode()) for name, value in target.headers.set.items()),
        remove_headers=frozenset(name.lower().encode() for name in target.headers.remove),
        auth=target.auth.header_line() if target.auth else None,
    )
    # The copy's own deadline bounds everything; the pool's finer ones would only blur which outcome it was.
    timing = Timing(
        connect_s=min(config.primary.connect_timeout_s, target.timeout_s),
        first_byte_s=target.timeout_s,
        idle_s=target.timeout_s,
        keepalive_s=config.primary.keepalive_s,
    )
    pool = Pool(endpoint, timing, tasks, max_idle=target.concurrency, max_header_bytes=config.limits.max_header_bytes)
    bounds = ArmBounds(target.concurrency, target.queue, target.timeout_s, target.max_reply_bytes)
    return ArmDispatch(rewrite, pool, bounds, random.Random(), lateness)  # noqa: S311 - span ids need to differ, not to be secret
