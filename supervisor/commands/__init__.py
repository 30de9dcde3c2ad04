"""Argument lists -> what a command would do, from data about the tools. Pure."""
