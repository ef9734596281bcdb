"""The one ConfigMap: YAML text to typed settings with all faults at once, and settings to core options.

Must not watch or reload (that is ``operators``).
"""
