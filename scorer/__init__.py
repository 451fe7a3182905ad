"""Vectors in, scores out: pairing, neighbours, metrics and their statistics. Imports `shared` only."""
