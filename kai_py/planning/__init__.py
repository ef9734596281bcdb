"""Offline use of the same core: plan, fair share, what-if. No cluster is touched."""
