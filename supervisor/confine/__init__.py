"""Compiled policy -> confined child: Landlock domains, the process picture, the way into the first exec."""
