# The edge as a container: docker build -f compose/edge.Dockerfile -t riser-edge .
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package riser-edge

FROM debian:bookworm-slim
# The numeric user is the same in both images, so that a volume can be handed from one to the other.
RUN groupadd --gid 7420 riser \
 && useradd --uid 7420 --gid riser --no-create-home --home-dir /var/lib/riser --shell /usr/sbin/nologin riser \
 && install -d -o riser -g riser -m 0750 /var/lib/riser /var/lib/riser/edge
COPY --from=build /src/target/release/riser-edge /usr/local/bin/riser-edge
# One heap instead of one for each thread: an edge is small hardware's.
ENV MALLOC_ARENA_MAX=1
USER 7420:7420
VOLUME /var/lib/riser
# MQTT, HTTP and WebSocket. Operations stay on the container's loopback.
EXPOSE 1883 8080
STOPSIGNAL SIGTERM
# Ready means that it takes work; the image has no HTTP client, and bash is one.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9421 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["riser-edge"]
CMD ["serve", "--config", "/etc/riser/edge.toml"]
