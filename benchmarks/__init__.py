"""Benchmarks: each measures plateflow beside its peers and limits in one run. `python -m benchmarks --help`."""
