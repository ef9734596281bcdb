"""What a podgroup needs next: its minimum, its subgroups, its elastic growth, and the order among podgroups.

Must not know nodes or queues' shares.
"""
