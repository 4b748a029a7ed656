"""What the shadow process tells an OpenTelemetry collector: spans and metrics by the GenAI semantic conventions. Off by default.

``loading`` decides whether there is anything to tell; ``otel`` holds the SDK and is imported only then; ``facts``, ``parents`` and
``content`` say what is told. Fed with compared requests by ``shadow``; nothing waits for it.
"""
