"""The child processes of ``serve``, one module each: configuration in, wired services out. ``app`` composes the supervisor.

Each is a composition root of its own, so that a process carries in memory only what it runs. They are started by the supervisor with their
specification on standard input, so that no secret shows in a process list.
"""
