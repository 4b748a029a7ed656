"""Exchanges from whoever saw them to the shadow process: bounded, never blocking; full or gone means drop and count."""
