# The scorer, the reconciler and the api: faiss, flask, figures; no torch. The command says which.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE} AS build
RUN python3 -m venv /venv
WORKDIR /src
# The requirements before the code, so that a change of code builds in seconds.
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN /venv/bin/pip install --no-cache-dir --constraint constraints.txt ".[scorer,api]"
COPY shared ./shared
COPY embedder ./embedder
COPY scorer ./scorer
COPY services ./services
COPY samesky ./samesky
RUN /venv/bin/pip install --no-cache-dir --no-deps --force-reinstall .

FROM ${BASE}
RUN useradd --uid 10001 --user-group --no-create-home samesky
COPY --from=build /venv /venv
# HOME and what may be made again lie outside the root, which is mounted read-only.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp SAMESKY_CACHE_DIR=/tmp/samesky
WORKDIR /tmp
USER 10001:10001
ENTRYPOINT ["samesky"]
CMD ["scorer"]
