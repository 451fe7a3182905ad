"""The contracts both services sign: names, specifications, keys, vectors, the object store."""
