# The image of the DaemonSet: the four executables of dist/ on a plain Debian, which has the glibc and libgcc_s that
# they need and nothing else of ours. Build dist/ first: ./run build && docker build -t novanet .
FROM debian:12-slim

ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="novanet" \
      org.opencontainers.image.description="Kubernetes network plugin with an eBPF dataplane" \
      org.opencontainers.image.version="${VERSION}"

COPY --chmod=0755 dist/novanet-dataplane dist/novanet-agent dist/novanet-cni dist/novanetctl /usr/local/bin/

# Programs, maps and sockets are the node's, so the daemons run as root; the DaemonSet says with which capabilities.
USER 0:0
ENTRYPOINT ["/usr/local/bin/novanet-agent"]
