# The build needs a C compiler (for aws-lc and zstd), which the slim image has. Both stages use the same Debian release,
# because a binary does not run on an older glibc than the one it was linked with.
ARG RUST=1.95
FROM docker.io/library/rust:${RUST}-slim-bookworm AS build
WORKDIR /build

# This layer builds the dependencies with empty sources, so it is rebuilt only if a Cargo.toml or Cargo.lock changes. Cargo
# needs every member of the workspace, but the simulator is not built: the image has no `demo` feature.
COPY Cargo.toml Cargo.lock ./
COPY crates/adaptive-throttle/Cargo.toml crates/adaptive-throttle/
COPY crates/feishu-simulator/Cargo.toml crates/feishu-simulator/
RUN mkdir -p src benches/archive benches/large benches/reports crates/adaptive-throttle/src crates/adaptive-throttle/benches/throttle \
        crates/feishu-simulator/src \
    && touch src/lib.rs benches/archive/main.rs benches/large/main.rs benches/reports/main.rs crates/adaptive-throttle/src/lib.rs \
        crates/adaptive-throttle/benches/throttle/main.rs crates/feishu-simulator/src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cp src/main.rs crates/feishu-simulator/src/main.rs \
    && cargo build --locked --profile dist --package feishu-pulse --no-default-features

# COPY keeps the modification times of the checkout, which are older than the empty sources. Without `touch`, cargo would
# consider the empty build up to date.
COPY docs/*.md docs/
COPY docs/zh docs/zh
COPY crates/adaptive-throttle crates/adaptive-throttle
COPY src src
RUN touch src/lib.rs src/main.rs crates/adaptive-throttle/src/lib.rs \
    && cargo build --locked --profile dist --package feishu-pulse --no-default-features --bin feishu-pulse \
    && mkdir /archive

# This base has glibc, libgcc, CA certificates and an unprivileged user, but no shell and no package manager. The `static`
# base is 20 MB smaller, but it needs a musl target, whose allocator is slow with many threads.
FROM gcr.io/distroless/cc-debian12:nonroot

ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="feishu-pulse" \
      org.opencontainers.image.description="A caching HTTP proxy and aggregation service in front of Feishu's admin_user_stats API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=build /build/target/dist/feishu-pulse /feishu-pulse

# The default location of the archive. Mount a volume here, or the archive is lost with the container.
COPY --from=build --chown=65532:65532 /archive /var/lib/feishu-pulse

# A number, because Kubernetes cannot check `runAsNonRoot` for a name.
USER 65532:65532

# The gateway listens on all interfaces of the container. Without access control it refuses to start until
# PULSE_ALLOW_ANONYMOUS=true is set: an image must not make that decision.
# MIMALLOC_PURGE_DELAY: the allocator returns freed pages after 10 ms, because idle threads would keep them. Returning them at once would make
# the kernel clear new pages for each day that is read.
# MIMALLOC_ALLOW_THP: no huge pages, which stay in memory as long as a part of them is used.
ENV PULSE_LISTEN=0.0.0.0:8080 \
    PULSE_ARCHIVE=file:///var/lib/feishu-pulse \
    PULSE_STATE_DIR=/var/lib/feishu-pulse \
    PULSE_LOG_FORMAT=json \
    MIMALLOC_PURGE_DELAY=10 \
    MIMALLOC_ALLOW_THP=0
EXPOSE 8080

# For container engines that probe with a command. Kubernetes probes /livez and /readyz over HTTP.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/feishu-pulse", "check", "--live"]

ENTRYPOINT ["/feishu-pulse"]
CMD ["serve"]
