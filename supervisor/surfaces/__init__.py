"""World -> events. Everything that a process controls is copied here once; what is handed on are values and handles."""
