"""Slow and obvious versions of what the core does fast. Written from the rules, never from the core's code."""
