# What spoils an edge's network: docker build -f compose/chaos.Dockerfile -t riser-chaos compose
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends nftables && rm -rf /var/lib/apt/lists/*
COPY chaos.sh /usr/local/bin/chaos.sh
# The only container that runs as root: it changes packet filters, in the network of the edge that it shares.
USER 0:0
ENTRYPOINT ["bash", "/usr/local/bin/chaos.sh"]
