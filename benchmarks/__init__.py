"""Benchmarks: how long things take, measured and printed. Nothing here fails because a machine is slow."""
