"""Models of time series, which embed light curves. They need the extra `light-curves`. Imports the row types only."""

from __future__ import annotations

from embedder.catalogue.rows import Family, Size

_CHRONOS_BOLT = Family(
    name="chronos-bolt",
    title="Chronos-Bolt {size}, its encoder",
    adapter="chronos",
    pooling="masked-mean",
    takes="light-curve",
    licence="Apache-2.0",
)

ROWS = _CHRONOS_BOLT.rows(
    Size("tiny", "amazon/chronos-bolt-tiny", 8.65, 2048, 4, dimension=256),
    Size("mini", "amazon/chronos-bolt-mini", 21.2, 1024, 4, dimension=384),
    Size("small", "amazon/chronos-bolt-small", 47.7, 512, 6, dimension=512),
    Size("base", "amazon/chronos-bolt-base", 205, 128, 12, dimension=768),
)
