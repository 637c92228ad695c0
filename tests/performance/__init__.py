"""Measurements: how fast, what a cell costs and where the time goes, and whether memory stays flat.

`python -m tests.performance` runs them. They print figures and judge none by a clock: a busy machine gives
other figures, never a failure. What does fail a measurement is a wrong verdict.
"""
