"""Comparisons with other engines: ``python -m benchmarks``, from the root of the source.

Every module of this package that has a list ``COMPARISONS`` takes part. Each comparison runs in a process of
its own, in which all its contenders take turns, so that a busy machine disturbs them alike; what counts is
the ratio within each turn. Peers come with ``pip install autobp[bench]``; a missing one leaves a blank cell.
"""
