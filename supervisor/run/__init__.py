"""The loop and the composition root."""
