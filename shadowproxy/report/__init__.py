"""What people read of a verdict: one HTML file, Markdown for a pull request, JUnit XML for a CI system. PURE but for ``writing``.

``pairs`` turns a compared pair into what is shown of it, ``gathering`` adds up any number of them in bounded memory, ``contents`` puts the
verdict document beside it with personal data masked, ``html``, ``markdown`` and ``junit`` render that, ``writing`` writes the files.

Pages are built by :func:`~shadowproxy.report.markup.tag` and not by a template engine: half of a page is pictures, which are computed,
and what is text and what is markup is then told apart by type, under mypy, instead of by a filter that a template may forget.
"""
