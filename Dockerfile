# syntax=docker/dockerfile:1
# Two stages: the first builds a virtual environment from the hashed lock, the second holds it and Python.
# BASE is a glibc image (wheels of uvloop, orjson and msgspec exist for it); name one by digest to pin it:
#   docker build --build-arg BASE=python@sha256:... --build-arg REVISION=$(git rev-parse HEAD) .
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
COPY requirements/ requirements/
RUN python -m venv --without-pip /opt/kubemirror \
 && python -m pip --python /opt/kubemirror install --require-hashes --only-binary :all: -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY service/ service/
COPY web/ web/
RUN python -m pip install --require-hashes -r requirements/build.txt \
 && python -m hatchling build -t wheel -d /tmp/wheel \
 && python -m pip --python /opt/kubemirror install --no-deps --no-index /tmp/wheel/*.whl \
 && /opt/kubemirror/bin/python -m compileall -q /opt/kubemirror/lib

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="kubemirror" \
      org.opencontainers.image.description="A Kubernetes cluster's state, mirrored in memory, served read-only" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/kubemirror /opt/kubemirror
ENV PATH=/opt/kubemirror/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that Kubernetes' runAsNonRoot can check it; nothing is written, so a read-only root will do.
USER 65532:65532
EXPOSE 8080
# /livez never depends on the API server: a mirror that lost it keeps serving what it holds.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD \
    ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/livez', timeout=2)"]
# One process: more readers are served by more replicas. Listening beyond loopback wants KUBEMIRROR_ACCESS said.
ENTRYPOINT ["kubemirror"]
CMD ["serve"]
