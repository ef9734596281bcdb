"""The shell: kopf handlers and loops that translate, call and apply.

An ``if`` about scheduling here wants to live a layer lower.
"""
