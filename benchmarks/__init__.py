"""Benchmarks: how long things take, beside other frameworks. Nothing here fails because a machine is slow."""
