"""What we read and write on the API server, as types.

Slim msgspec structs for the kinds that come by the thousand, pydantic models for our own CRDs, and every label and
annotation key exactly once. Must not know arrays, and must not talk to anybody.
"""
