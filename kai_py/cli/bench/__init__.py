"""``kai-py bench``: how fast, how much memory, with which command on which machine.

``decide`` measures the core alone, in processes of their own; ``fill``, ``gang`` and ``bind`` measure the whole way on
a live API server, as a user sees it: from a watch. What is measured is written down in ``docs/benchmarks.md``. Numbers
are reported as they were measured, never judged here.
"""
