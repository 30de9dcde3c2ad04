"""The record of a run: append-only, hash-chained, written before the act; and the folder it lives in."""
