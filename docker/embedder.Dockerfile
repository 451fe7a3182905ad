# The embedder: torch and the model families; no faiss.
#
# TORCH_INDEX_URL: the index torch's wheel is taken from. The default has builds for CPU, a tenth of the size. Empty: the
# index pip is configured with; PyPI's own wheels for Linux bring CUDA (compose.gpu.yaml).
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE} AS build
ARG TORCH_INDEX_URL=
RUN python3 -m venv /venv
WORKDIR /src
COPY constraints.txt ./
# Without its requirements, which that index does not all list; they come with the next step.
RUN if [ -n "$TORCH_INDEX_URL" ]; then \
      /venv/bin/pip install --no-cache-dir --no-deps --retries 1 --timeout 60 \
        --index-url "$TORCH_INDEX_URL" --constraint constraints.txt torch; \
    fi
# The requirements before the code, so that a change of code builds in seconds.
COPY pyproject.toml README.md LICENSE ./
RUN /venv/bin/pip install --no-cache-dir --constraint constraints.txt ".[embedder]"
COPY shared ./shared
COPY embedder ./embedder
COPY scorer ./scorer
COPY services ./services
COPY samesky ./samesky
RUN /venv/bin/pip install --no-cache-dir --no-deps --force-reinstall .

FROM ${BASE}
RUN useradd --uid 10001 --user-group --no-create-home samesky && install -d -o samesky -g samesky /cache
COPY --from=build /venv /venv
# HOME and what may be made again lie outside the root, which is mounted read-only.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    HF_HOME=/cache/huggingface SAMESKY_CACHE_DIR=/cache/samesky
WORKDIR /tmp
USER 10001:10001
ENTRYPOINT ["samesky"]
CMD ["embedder"]
