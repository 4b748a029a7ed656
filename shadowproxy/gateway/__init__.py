"""The production path: bytes only. Forwards, tees, times and hands over; never parses a body, never waits for a candidate."""
