# docker build -t croft .                                  the service, on CPU (no torch)
# docker build -t croft-gpu --build-arg RUNTIME=gpu .      the service, on an NVIDIA GPU
# docker build -t croft-training --target training .       every croft command, with torch
# RUNTIME names the extra: cpu (onnxruntime) or gpu (onnxruntime-gpu with CUDA and cuDNN);
# "cpu,heif" adds HEIC photos, whose decoder (libheif, x265) has licences of its own.

FROM python:3.11-slim-bookworm AS base
ENV PATH=/opt/croft/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="Croft" \
      org.opencontainers.image.description="Image classification that refuses what it was not trained on" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0"
RUN useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin croft
WORKDIR /src

FROM base AS training
# Caches go where any uid may write: --user "$(id -u)" owns what it writes into a mounted folder.
ENV HOME=/tmp
COPY pyproject.toml constraints.txt README.md LICENSE ./
# Dependencies first, on an empty package: a change of the code then costs seconds.
RUN python -m venv /opt/croft \
 && mkdir croft && touch croft/__init__.py \
 && /opt/croft/bin/pip install --quiet --constraint constraints.txt '.[service,training,cpu,heif]' \
 && rm -rf croft build *.egg-info
COPY . .
RUN /opt/croft/bin/pip install --quiet --no-deps --force-reinstall . && rm -rf /src/*
WORKDIR /work
RUN chown 10001:10001 /work
USER 10001:10001
ENTRYPOINT ["croft"]
CMD ["--help"]

FROM base AS build
ARG RUNTIME=cpu
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN python -m venv /opt/croft \
 && mkdir croft && touch croft/__init__.py \
 && /opt/croft/bin/pip install --quiet --constraint constraints.txt ".[service,${RUNTIME}]" \
 && rm -rf croft build *.egg-info
COPY . .
RUN /opt/croft/bin/pip install --quiet --no-deps --force-reinstall . \
 && /opt/croft/bin/python -m pip uninstall --quiet --yes setuptools pip

# The last stage is what `docker build .` gives.
FROM base AS service
COPY --from=build /opt/croft /opt/croft
# Others can reach this address, so the service asks for a decision before it starts:
# -e CROFT_KEYS_FILE=..., or -e CROFT_AUTH=off where the port is published on the loopback alone.
ENV CROFT_HOST=0.0.0.0
# As croft serve sets them by itself: memory of large pictures goes back to the system.
ENV MALLOC_MMAP_THRESHOLD_=4194304 MALLOC_TRIM_THRESHOLD_=8388608
WORKDIR /bundles
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["croft", "healthcheck"]
# Without an argument the Toybox bundle that ships with the package is served.
ENTRYPOINT ["croft", "serve"]
