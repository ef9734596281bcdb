"""The API server's door: client, reflector, writer, event recorder, leader election.

The only importer of kubernetes_asyncio. Must not know what a queue or a gang is.
"""
