# A published image that has no shell and no HTTP client, with one small client added for its
# healthcheck. BASE is the image, with its exact tag; docker-compose.yml gives it.
ARG BASE
FROM busybox:1.37.0-musl AS probe
FROM ${BASE}
COPY --from=probe /bin/busybox /bin/wget
