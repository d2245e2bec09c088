# syntax=docker/dockerfile:1
# The release binary with all its parts, on an image without a shell, as nobody.
FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock rust-toolchain* ./
COPY src src
COPY schema schema
COPY benches benches
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/* \
 && cargo build --profile dist --locked --features full --bin loadgate

# For CI systems whose jobs are lines of shell: `docker build --target ci`.
FROM debian:bookworm-slim AS ci
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/dist/loadgate /usr/local/bin/loadgate
USER 65532:65532

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/dist/loadgate /usr/local/bin/loadgate
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["/usr/local/bin/loadgate"]
