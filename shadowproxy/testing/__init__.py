"""Fakes that ship with the package: a server of recorded LLM answers, an upstream that echoes, one that misbehaves, and a manual clock.

Nothing here runs in production.
"""
