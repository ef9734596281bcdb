"""How near nodes are to each other: levels and domains as arrays, the choice of domains, and ranks on nodes.

Works on rows of nodes, on how many pods fit where, and on what they ask for. Must not know queues, podgroups or
transactions: whoever asks says what is free, and takes the places itself.
"""
