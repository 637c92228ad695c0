"""The files that go into a run and come out of it: samples, rows in general, results."""
