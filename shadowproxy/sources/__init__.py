"""Where a judge that runs by itself gets its counts: Prometheus, or the admin surface of one ``serve``.

``reading`` is what one look brings, ``prometheus`` and ``admin`` bring it, ``promql`` is the question that Prometheus is asked, and
``sums`` adds readings up to the totals that ``judging`` works from, and says where they cannot be trusted.
"""
