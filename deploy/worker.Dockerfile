# syntax=docker/dockerfile:1.7
# The worker's image, for NVIDIA GPUs unless told otherwise. From the repository's root:
#   docker build -f deploy/worker.Dockerfile -t berth-worker .
#   docker build -f deploy/worker.Dockerfile --target cpu -t berth-worker:cpu .
# Tags are exact. Add the digest that your registry shows for them (docker buildx imagetools inspect IMAGE) before you ship.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim
ARG CUDA_IMAGE=nvidia/cuda:13.0.2-runtime-ubuntu24.04

# The three libraries that the engine's CUDA build is linked with, under the names that it asks for, and nothing else of
# CUDA's gigabytes. The driver (libcuda.so.1) comes from the host.
FROM ${CUDA_IMAGE} AS cuda-libraries
RUN mkdir /cuda && cp -L /usr/local/cuda/lib64/libcudart.so.13 /usr/local/cuda/lib64/libcublas.so.13 \
    /usr/local/cuda/lib64/libcublasLt.so.13 /cuda/

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json ./
COPY gateway/package.json gateway/
COPY shared/package.json shared/
COPY worker/package.json worker/
RUN --mount=type=cache,target=/npm npm ci --omit=dev -w worker --ignore-scripts --no-audit --no-fund --cache /npm
RUN npm sbom --package-lock-only --sbom-format cyclonedx -w worker > sbom.cdx.json

# The engine comes built for everything; each image keeps what it can run.
FROM packages AS packages-cpu
RUN rm -rf node_modules/@node-llama-cpp/*-cuda node_modules/@node-llama-cpp/*-cuda-ext node_modules/@node-llama-cpp/*-vulkan

FROM packages AS packages-cuda
RUN rm -rf node_modules/@node-llama-cpp/*-cuda-ext node_modules/@node-llama-cpp/*-vulkan

FROM ${NODE_IMAGE} AS base
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="berth-worker" \
      org.opencontainers.image.description="One LLM endpoint for a whole team: the worker of one GPU" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      berth.sbom="/app/sbom.cdx.json"
# Volumes take over owner and mode of the folders that they are mounted on: 1000 is the image's user "node".
RUN install -d -o 1000 -g 1000 -m 0750 /run/berth && install -d -o 1000 -g 1000 -m 0700 /cache
ENV NODE_ENV=production WORKER_HOST=0.0.0.0 WORKER_PORT=9400
WORKDIR /app
COPY --from=packages /app/sbom.cdx.json ./
COPY package.json ./
COPY shared shared
COPY worker worker
USER 1000:1000
EXPOSE 9400
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.WORKER_PORT + '/livez').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node"]
CMD ["worker/start.mjs"]

FROM base AS cpu
ENV GPU=cpu
COPY --from=packages-cpu /app/node_modules node_modules

FROM base AS cuda
# CUDA compiles kernels for a card that it has no code for at the first load: kept, that happens once.
ENV GPU=cuda LD_LIBRARY_PATH=/usr/local/lib/cuda NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    CUDA_CACHE_PATH=/cache CUDA_CACHE_MAXSIZE=4294967296
COPY --from=cuda-libraries /cuda /usr/local/lib/cuda
COPY --from=packages-cuda /app/node_modules node_modules
