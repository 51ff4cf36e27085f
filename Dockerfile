# syntax=docker/dockerfile:1
# Two stages: the first makes a virtual environment from the hashed lock, the second holds it and Python. Every step
# is a script of deploy/image that the tests run too, and start what comes out on a read-only tree.
# BASE is a slim glibc image (wheels of uvloop, orjson and msgspec exist for it); name one by digest to pin it:
#   docker build --build-arg BASE=python@sha256:... --build-arg REVISION=$(git rev-parse HEAD) .
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
# What is locked changes rarely: a layer of its own.
COPY deploy/image/dependencies.sh deploy/image/
COPY requirements/ requirements/
RUN deploy/image/dependencies.sh /opt/kubemirror
COPY pyproject.toml README.md LICENSE ./
COPY deploy/image/ deploy/image/
COPY service/ service/
COPY web/ web/
RUN deploy/image/package.sh /opt/kubemirror

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="kubemirror" \
      org.opencontainers.image.description="A Kubernetes cluster's state, mirrored in memory, served read-only" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN --mount=from=build,source=/source/deploy/image,target=/image /image/strip.sh
COPY --from=build /opt/kubemirror /opt/kubemirror
ENV PATH=/opt/kubemirror/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that Kubernetes' runAsNonRoot can check it; nothing is written, so a read-only root will do.
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "/opt/kubemirror/healthy.py"]
# One process: more readers are served by more replicas. Listening beyond loopback wants KUBEMIRROR_ACCESS said.
ENTRYPOINT ["kubemirror"]
CMD ["serve"]
