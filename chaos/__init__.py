"""Chaos: real processes, killed and broken at seeded moments, and what became of their work. `make chaos` runs it.

Beside the house, not in it: nothing imports this package, and it is in no wheel. It may import every room.
"""
