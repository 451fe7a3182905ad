# The scorer, the reconciler and the api: faiss, flask, figures; no torch. The command says which.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS requirements
RUN python3 -m venv /venv
WORKDIR /src
# Without README and code, whose changes would install everything again.
COPY constraints.txt pyproject.toml ./
RUN touch README.md LICENSE && /venv/bin/pip install --no-cache-dir --constraint constraints.txt ".[scorer,api]"

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
RUN useradd --uid 10001 --user-group --no-create-home samesky
COPY --from=requirements /venv /venv
COPY --from=code /wheels /wheels
RUN /venv/bin/pip install --no-cache-dir --no-index --no-deps --force-reinstall /wheels/*.whl
# HOME and what may be made again lie outside the root, which is mounted read-only.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp SAMESKY_CACHE_DIR=/tmp/samesky
WORKDIR /tmp
USER 10001:10001
ENTRYPOINT ["samesky"]
CMD ["scorer"]
