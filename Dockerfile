# Souk with its models. Build: make image.   Run: docker run --read-only -p 50051:50051 souk
# Models of your own: -v /path/to/models:/srv/souk/models       (README: "Deploy it")
#
# The stages are in the order in which things change: what is above the sources is kept by the builder's cache, so that a
# change of ours compiles our crate alone and downloads nothing.

# Names what the program is made of. Compiled lightly: it runs for a second.
FROM docker.io/library/rust:1.95-bookworm AS cyclonedx
ARG CARGO_CYCLONEDX_VERSION=0.5.9
RUN CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off \
    cargo install --quiet --locked --version $CARGO_CYCLONEDX_VERSION --root /opt/cyclonedx cargo-cyclonedx

# The four packages of Debian that the program needs, without a shell.
FROM docker.io/library/debian:bookworm-slim AS root
COPY deploy/image/root.sh /
RUN /root.sh /image

FROM docker.io/library/rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY deploy/libtorch deploy/libtorch
# A fifth of libtorch is the names of functions that nobody outside can call.
RUN python3 deploy/libtorch/fetch.py --into /opt/libtorch && strip --strip-unneeded /opt/libtorch/lib/lib*torch*.so /opt/libtorch/lib/libc10.so
# The binary's run path is where libtorch was linked: the same folder in both stages. Names of functions stay in the
# program, for backtraces; lines don't.
ENV LIBTORCH=/opt/libtorch CARGO_PROFILE_RELEASE_DEBUG=none CARGO_PROFILE_RELEASE_STRIP=debuginfo
# Also what the allocator is compiled with.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
# All dependencies, around a program that does nothing.
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' | tee src/main.rs >build.rs \
    && cargo build --release --locked --bin souk
COPY --from=cyclonedx /opt/cyclonedx/bin /usr/local/bin
COPY --from=root /image/var/lib/dpkg/status.d /opt/status.d
COPY deploy/image/sbom.py deploy/image/
RUN python3 deploy/image/sbom.py --packages /opt/status.d --out sbom.cdx.json
COPY build.rs ./
COPY proto proto
COPY src src
# cargo tells changes by time, and files of a checkout may be older than those that they replace.
RUN cargo clean --release --package souk && cargo build --release --locked --offline --bin souk

FROM scratch
COPY --from=root /image /
COPY --from=build /opt/libtorch/licenses /usr/share/doc/libtorch
COPY --from=build /opt/libtorch/lib /opt/libtorch/lib
COPY LICENSE /usr/share/doc/souk/LICENSE
COPY --from=build /build/sbom.cdx.json /usr/share/doc/souk/sbom.cdx.json
WORKDIR /srv/souk
# Its owner is who serves: a change of who answers is kept beside the models, where they can be written to.
COPY --chown=10001:10001 models models
COPY --from=build /build/target/release/souk /usr/local/bin/souk
# By its number, so that Kubernetes can see that it is not root.
USER 10001:10001
# From outside the container: requests, and the readiness that probes ask for.
ENV PATH=/usr/local/bin SOUK__SERVER__LISTEN=0.0.0.0:50051 SOUK__SERVER__HTTP_LISTEN=0.0.0.0:9464
EXPOSE 50051 9464
# Each look is a process that loads libtorch: a quarter of a second, 120 MB. By TLS where the settings say so; where they
# want certificates of clients (server.tls.client_auth = "required") it needs one: say so in an image of your own, or in
# Compose (test: [CMD, souk, health, --cert, …, --key, …]); `docker run --health-cmd` needs a shell.
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m CMD ["souk", "health"]
ENTRYPOINT ["souk"]
CMD ["serve"]
# Last, since they differ between any two builds.
ARG VERSION=unknown REVISION=unknown CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="souk" \
      org.opencontainers.image.description="A gRPC model server for e-commerce: merchant GMV forecasts and user portraits" \
      org.opencontainers.image.licenses="Apache-2.0 AND BSD-3-Clause AND LicenseRef-NVIDIA-CUDA" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
