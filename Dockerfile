# syntax=docker/dockerfile:1
# The scheduler in an image: built in one stage, run in another that has neither compilers nor pip's caches.
#
#   docker build -t kai-py:dev .
#   docker run --rm kai-py:dev version
#
# What gets in is pinned: packages by their hashes (image-requirements.txt, `make lock`), the base by its exact version.
# The base's digest is not, so that building again brings Debian's security updates; what is deployed is named by the
# digest of its own (`image.digest` of the chart).

ARG PYTHON_VERSION=3.13.5
ARG DEBIAN=bookworm

FROM docker.io/library/python:${PYTHON_VERSION}-slim-${DEBIAN} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/kai-py
# Dependencies change less often than we do: they have a layer of their own.
COPY image-requirements.txt ./
RUN /opt/kai-py/bin/pip install --require-hashes --only-binary :all: -r image-requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY kai_py ./kai_py
RUN /opt/kai-py/bin/pip install --no-index --no-deps --no-build-isolation . \
    && /opt/kai-py/bin/pip check \
    && /opt/kai-py/bin/python -m compileall -q /opt/kai-py/lib \
    && /opt/kai-py/bin/pip uninstall --yes setuptools pip

FROM docker.io/library/python:${PYTHON_VERSION}-slim-${DEBIAN} AS run
LABEL org.opencontainers.image.title="kai-py" \
      org.opencontainers.image.description="A Kubernetes scheduler for AI clusters" \
      org.opencontainers.image.licenses="Apache-2.0"
# Nothing is written while it runs, so the file system may be read-only; bytecode was compiled above.
ENV PATH=/opt/kai-py/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    KAI_PY_PROBES=http://127.0.0.1:8081/healthz
COPY --from=build --chown=0:0 /opt/kai-py /opt/kai-py
# By number, so that Kubernetes can tell that it is not root; the same as in the chart.
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080 8081
# For engines that look here; Kubernetes asks the same endpoint by the chart's probes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=6 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ['KAI_PY_PROBES'], timeout=4)"]
ENTRYPOINT ["kai-py"]
CMD ["run"]
