"""kai-py: a Kubernetes scheduler for AI clusters.

A functional core in an async shell: the core turns a snapshot into decisions and nothing else; the shell
watches, applies and tells. ``docs/architecture.md`` draws the house.
"""
