"""Frozen values that every room shares: no I/O, no policy logic, no serialisation."""
