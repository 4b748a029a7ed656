"""The fault table: every row is played by ``test_faults``, and ``scripts/faults.py`` writes docs/faults.md from it."""

from __future__ import annotations

from tests.faults import candidate_faults, client_faults, machine_faults, primary_faults, process_faults
from tests.faults.fault import Fault

FAULTS: tuple[Fault, ...] = (
    *candidate_faults.FAULTS,
    *primary_faults.FAULTS,
    *client_faults.FAULTS,
    *process_faults.FAULTS,
    *machine_faults.FAULTS,
)
