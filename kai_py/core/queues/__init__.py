"""The queue tree: fair shares, the order in which queues are served, and the gates of quota and limit.

Works on queue rows and accounted amounts. Must not know nodes.
"""
