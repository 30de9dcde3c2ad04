"""Accepted versions of what a run changes, and what was taken back."""
