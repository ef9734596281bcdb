"""Objects to rows: one module per table.

Pure; a malformed object is a ``MalformedObjectError`` that names the field.
"""
