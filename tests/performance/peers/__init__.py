"""Contests: the original evaluators and Cupel on the same samples, alternating.

`python -m tests.performance.peers` runs them; docs/peers.md says what is compared and what is not comparable. The
originals are used as their users do: installed from the package index, started by their command lines, read by
their result files. Nothing of them is imported. What a clock says is printed and judged by nobody.
"""
