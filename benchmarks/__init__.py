"""Benchmarks: how close mtrigger comes to what the same machine can do at most.

`python -m benchmarks` (`make bench`) runs every comparison and prints one table; each module runs alone as
`python -m benchmarks.NAME`. mtrigger and its limit always take turns in one run, so that a busy machine slows
both: what counts is the ratio.
"""
