"""Where objects come from: one module per kind of source, each satisfying `embedder.samples.Source`."""
