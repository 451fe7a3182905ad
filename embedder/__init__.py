"""Galaxies in, vectors out: sources, recipes, model adapters and the pipeline. Imports `shared` only."""
