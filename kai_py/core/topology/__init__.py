"""How near nodes are to each other: the choice of domains, and ranks on nodes. Levels and domains are in the tables.

Works on rows of nodes, on how many pods fit where, and on what they ask for. Must not know queues, podgroups or
transactions: whoever asks says what is free, and takes the places itself.
"""
