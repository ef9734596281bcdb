"""Saying what happened: logs, metrics, Event and condition texts, ``why``.

A metric is declared once, here, with its help sentence; a reason code becomes a sentence once, here. Must not
decide and must not write to the API server.
"""
