"""The parts of the page, one module each: a function of :class:`~shadowproxy.report.contents.Contents` that gives a section. PURE."""
