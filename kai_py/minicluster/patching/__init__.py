"""The four patch languages: JSON patch, merge patch, strategic merge patch, server-side apply.

Pure: an object and a patch in, a new object out. Must not store, default or validate.
"""
