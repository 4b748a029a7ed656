"""Captured traffic in files: written by the shadow process, read by replay and by people.

``recording`` turns exchanges into redacted ``records``, ``sink`` takes them off the event loop, ``frames`` and ``segments`` put them on the
disk so that a crash costs the last frame at most, ``shipping`` moves what is finished to an object store, ``reader`` gives the records
back. ``importers`` reads what others have captured.
"""
