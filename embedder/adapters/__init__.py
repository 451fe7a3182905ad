"""Models in: one module per kind of adapter, each preparing one object at a time and encoding batches."""
