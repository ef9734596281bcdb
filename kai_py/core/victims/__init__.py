"""Who has to make room for whom: candidates in order, rules, bounds that prove "cannot", and the search.

A search ends in one exact simulation in the transaction, or leaves the transaction as it was. Must not decide whom to
search for: that is the actions' business.
"""
