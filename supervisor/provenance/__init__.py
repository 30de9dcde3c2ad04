"""From what a run did to notes on the commits it made."""
