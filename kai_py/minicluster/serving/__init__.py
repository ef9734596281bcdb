"""HTTP: paths, media types, discovery, OpenAPI, tables, watches, faults.

Must not decide anything about objects: it calls the storage's verbs and puts their answers on the wire.
"""
