"""The families of models, one module per kind: each gives its `ROWS`, family by family, small to large."""
