"""Text to profile: ``load.load`` reads, checks and merges ``govrun.toml``, packs and decision records.

Reading is the only I/O here; what the rules mean on a given host is ``supervisor.invariants``' business.
"""
