"""The admin surface: what the supervisor shows of itself over HTTP. Starts in ``app``."""
