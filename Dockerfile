# The build needs a C compiler (aws-lc, zstd) and nothing else; the slim image has one. It must be of the same Debian
# release as the final image below: a binary does not run on an older glibc than it was linked with.
ARG RUST=1.95
FROM docker.io/library/rust:${RUST}-slim-bookworm AS build
WORKDIR /build

# Dependencies alone, with empty sources: this layer is rebuilt only when Cargo.toml or Cargo.lock change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches/archive benches/reports benches/throttle \
    && touch src/lib.rs benches/archive/main.rs benches/reports/main.rs benches/throttle/main.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --locked --profile dist

# The sources keep their times of the checkout, older than the empty ones just built: without the touch, cargo would
# take those for up to date.
COPY docs/architecture.md docs/
COPY src src
RUN touch src/lib.rs src/main.rs \
    && cargo build --locked --profile dist --bin feishu-pulse \
    && mkdir /archive

# glibc and libgcc, CA certificates, an unprivileged user; no shell, no package manager. Not `static`: that takes a musl
# target, whose allocator is slow under many threads, for 20 MB less.
FROM gcr.io/distroless/cc-debian12:nonroot

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="feishu-pulse" \
      org.opencontainers.image.description="A caching HTTP proxy and aggregation service in front of Feishu's admin_user_stats API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=build /build/target/dist/feishu-pulse /feishu-pulse

# Where days are archived unless PULSE_ARCHIVE says otherwise. Mount a volume here, or they vanish with the container.
COPY --from=build --chown=65532:65532 /archive /var/lib/feishu-pulse

# As a number, so that Kubernetes can see that it is not root.
USER 65532:65532

# Reachable from outside the container. Started like this it refuses, until it is told that letting everyone in is meant
# (PULSE_ALLOW_ANONYMOUS=true): an image must not be the one to decide that.
ENV PULSE_LISTEN=0.0.0.0:8080 \
    PULSE_ARCHIVE=file:///var/lib/feishu-pulse \
    PULSE_STATE_DIR=/var/lib/feishu-pulse \
    PULSE_LOG_FORMAT=json
EXPOSE 8080

# For engines that look by running a command; Kubernetes asks /livez and /readyz itself.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/feishu-pulse", "check", "--live"]

ENTRYPOINT ["/feishu-pulse"]
CMD ["serve"]
