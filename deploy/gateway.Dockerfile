# syntax=docker/dockerfile:1.7
# The gateway's image: Node and 10 MB of packages, no engine. From the repository's root:
#   docker build -f deploy/gateway.Dockerfile -t berth-gateway .
# Tags are exact. Add the digest that your registry shows for them (docker buildx imagetools inspect IMAGE) before you ship.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
# Packages change seldom and code often: only these files decide whether they are installed anew.
COPY package.json package-lock.json ./
COPY gateway/package.json gateway/
COPY shared/package.json shared/
COPY worker/package.json worker/
RUN --mount=type=cache,target=/npm npm ci --omit=dev -w gateway --ignore-scripts --no-audit --no-fund --cache /npm
RUN npm sbom --package-lock-only --sbom-format cyclonedx -w gateway > sbom.cdx.json

FROM ${NODE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="berth-gateway" \
      org.opencontainers.image.description="One LLM endpoint for a whole team: the gateway" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      berth.sbom="/app/sbom.cdx.json"
# Volumes take over owner and mode of the folders that they are mounted on: 1000 is the image's user "node".
RUN install -d -o 1000 -g 1000 -m 0700 /state && install -d -o 1000 -g 1000 -m 0750 /run/berth && \
    ln -s /app/cli/start.mjs /usr/local/bin/berth
ENV NODE_ENV=production GATEWAY_HOST=0.0.0.0 GATEWAY_PORT=8080 STATE_DIR=/state
WORKDIR /app
COPY --from=packages /app/sbom.cdx.json ./
COPY --from=packages /app/node_modules node_modules
COPY package.json ./
COPY shared shared
COPY gateway gateway
# The command line and the one-shot set-up of compose.yaml. They read the worker's settings too; its engine is not here.
COPY worker worker
COPY cli cli
COPY deploy/setup deploy/setup
USER 1000:1000
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.GATEWAY_PORT + '/livez').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# A small young generation: less memory for each open stream (DECISIONS.md).
ENTRYPOINT ["node"]
CMD ["--max-semi-space-size=8", "gateway/start.mjs"]
