# Souk with its models. Build: docker build -t souk .   Run: docker run -p 50051:50051 souk
# Models of your own: -v /path/to/models:/srv/souk/models:ro

FROM docker.io/library/rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# Before the sources, so that a change of ours downloads nothing.
COPY deploy/libtorch deploy/libtorch
RUN python3 deploy/libtorch/fetch.py --into /opt/libtorch
# The binary's run path is where libtorch was linked: the same folder in both stages.
ENV LIBTORCH=/opt/libtorch
# Also what the allocator is compiled with.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY src src
RUN cargo build --release --locked --bin souk

FROM docker.io/library/debian:bookworm-slim
RUN useradd --system --uid 10001 --no-create-home souk
COPY --from=build /opt/libtorch/lib /opt/libtorch/lib
COPY --from=build /opt/libtorch/licenses /opt/libtorch/licenses
COPY --from=build /build/target/release/souk /usr/local/bin/souk
COPY LICENSE /usr/share/doc/souk/LICENSE
WORKDIR /srv/souk
# Its owner is who serves: a change of who answers is kept beside the models.
COPY --chown=souk models models
USER souk
# From outside the container: requests, and the readiness that probes ask for.
ENV SOUK__SERVER__LISTEN=0.0.0.0:50051 SOUK__SERVER__HTTP_LISTEN=0.0.0.0:9464
EXPOSE 50051 9464
ENTRYPOINT ["souk"]
CMD ["serve"]
