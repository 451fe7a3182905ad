# The embedder: torch and the model families; no faiss.
#
# TORCH_INDEX_URL: the index torch's wheel is taken from. Empty: the one pip is configured with, whose wheels for Linux may
# bring CUDA, several gigabytes of it. PyTorch's own index of CPU wheels has builds of a tenth of the size.
# EXTRAS: what is installed with the package: embedder, and with commas after it diffusion, light-curves.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS requirements
ARG TORCH_INDEX_URL=
ARG EXTRAS=embedder
RUN python3 -m venv /venv
WORKDIR /src
COPY constraints.txt ./
# Without its own requirements, which that index does not all list; they come with the next step.
RUN if [ -n "$TORCH_INDEX_URL" ]; then \
      /venv/bin/pip install --no-cache-dir --no-deps --retries 1 --timeout 60 \
        --index-url "$TORCH_INDEX_URL" --constraint constraints.txt torch; \
    fi
# Without README and code, whose changes would install everything again.
COPY pyproject.toml ./
RUN touch README.md LICENSE && /venv/bin/pip install --no-cache-dir --constraint constraints.txt ".[${EXTRAS}]"

# The code apart from what it requires: a change of code makes a thin layer, in seconds.
FROM requirements AS code
COPY README.md LICENSE ./
COPY shared ./shared
COPY embedder ./embedder
COPY scorer ./scorer
COPY services ./services
COPY samesky ./samesky
RUN /venv/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ${BASE}
RUN useradd --uid 10001 --user-group --no-create-home samesky && install -d -o samesky -g samesky /cache
COPY --from=requirements /venv /venv
COPY --from=code /wheels /wheels
RUN /venv/bin/pip install --no-cache-dir --no-index --no-deps --force-reinstall /wheels/*.whl
# HOME and what may be made again lie outside the root, which is mounted read-only.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    HF_HOME=/cache/huggingface SAMESKY_CACHE_DIR=/cache/samesky
WORKDIR /tmp
USER 10001:10001
ENTRYPOINT ["samesky"]
CMD ["embedder"]
