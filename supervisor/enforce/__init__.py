"""Verdict -> world: acts performed on behalf, refusals explained, the run ended."""
