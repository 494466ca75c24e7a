"""Drawing: what the computations found, as pictures and in words. Nothing here runs an optimizer."""
