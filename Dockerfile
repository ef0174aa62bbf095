# syntax=docker/dockerfile:1
#
# One image for every role: docker-compose.yml picks the role by its command.
#
#   docker build --tag dewpond .
#   docker run --rm --init --volume dewpond:/lake dewpond site add shop --lake /lake
#   docker run --rm --init --volume dewpond:/lake --publish 8080:8080 dewpond \
#     collector --lake /lake --listen 0.0.0.0:8080

FROM rust:1.95-slim-bookworm AS builder
WORKDIR /build

# The C parts (ring, zstd, jemalloc, blake3) build with the gcc that the image brings; jemalloc's also need
# make. No cmake, C++ or libssl: a crate that asks for one of those should be looked at before this file is.
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
COPY . .

# The caches outlive the layer, so a change of one line does not compile DataFusion again. They are not part
# of the image: the binary has to be copied out within the same step. Cargo detects changes by modification time, and
# the files of a checkout may be older than a build in the cache, so all of them are touched first.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=dewpond-target,target=/build/target,sharing=locked \
    find . -path ./target -prune -o -type f -exec touch {} + \
    && cargo build --release --locked --package dewpond \
    && install -D target/release/dewpond /out/dewpond \
    && scripts/fewer-names /out/dewpond \
    && mkdir /out/lake

# The same Debian as the builder: the binary needs a glibc at least as new as the one it was linked with. Besides that
# library there are only certificates, for object stores that speak https, and time zones: no shell and no packages.
FROM gcr.io/distroless/cc-debian12

# By number, so that Kubernetes' runAsNonRoot can tell that it is not root. /lake is for a lake on a local disk: a fresh
# volume mounted there takes over this owner.
COPY --from=builder --chown=10001:10001 /out/lake /lake
COPY --from=builder /out/dewpond /usr/local/bin/dewpond
COPY queries/ /queries/

# The default, `queries`, is relative to the repository.
ENV DEWPOND_QUERIES=/queries

USER 10001:10001
WORKDIR /lake

# No HEALTHCHECK: the image also runs commands that come to an end, such as `dewpond query`. Whoever starts a
# role knows its admin port, and asks it with `dewpond health --admin 127.0.0.1:9090`.
ENTRYPOINT ["dewpond"]
CMD ["--help"]
