"""Runtimes: how workers come to be. One module for each."""
