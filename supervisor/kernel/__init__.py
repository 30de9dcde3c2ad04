"""Mechanism: the only importer of ctypes. Knows no policy word."""
