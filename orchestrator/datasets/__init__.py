"""Datasets: one module per format, each turning files into problems and completions into samples."""
