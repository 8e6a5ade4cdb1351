# syntax=docker/dockerfile:1
# sfsync as a container: everything is installed by hash in the first stage, and only the result is kept.
#
#   docker build --tag sfsync .
#   docker compose up

FROM python:3.13-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/sfsync \
    && /opt/sfsync/bin/pip install --require-hashes --only-binary :all: --requirement requirements.lock \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --only-binary :all: --requirement requirements-build.lock
COPY pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY salesforce salesforce
COPY config config
COPY src src
# The wheel is built without asking any registry, and installed beside exactly what the lock names.
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /opt/build/dist \
    && /opt/sfsync/bin/pip install --no-index --no-deps /opt/build/dist/*.whl \
    && /opt/sfsync/bin/pip uninstall --yes pip \
    && /opt/sfsync/bin/sfsync --help > /dev/null

FROM python:3.13-slim
LABEL org.opencontainers.image.title="sfsync" \
      org.opencontainers.image.description="Keeps storefront stock equal to a Salesforce org's ledger" \
      org.opencontainers.image.licenses="Apache-2.0"
# A number, not a name, so that Kubernetes can see that it is not root.
RUN install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/sfsync \
    && install --directory /etc/sfsync
COPY --from=build /opt/sfsync /opt/sfsync
# These win over the settings file, so that one file serves beside the container too.
ENV PATH=/opt/sfsync/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SFSYNC_WEB__HOST=0.0.0.0 \
    SFSYNC_WEB__PORT=8181 \
    SFSYNC_STORE__URL=sqlite:////var/lib/sfsync/sfsync.db
USER 10001:10001
WORKDIR /var/lib/sfsync
# The only place that is written to: everything else may be mounted read-only.
VOLUME /var/lib/sfsync
EXPOSE 8181
# Intake stops first and work in hand is finished; compose.yaml leaves time for it.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8181/healthz', timeout=4)"]
ENTRYPOINT ["sfsync"]
CMD ["run", "--config", "/etc/sfsync/sfsync.toml"]
