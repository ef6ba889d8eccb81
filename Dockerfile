# The binary, the certificates it trusts, and nothing else: no shell, no package manager, no user but one without rights.
# scripts/image-context prepares what is copied here; scripts/build-image builds it.
FROM scratch

LABEL org.opencontainers.image.title="rowmill" \
      org.opencontainers.image.description="An event pipeline on Google Cloud Bigtable" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --chmod=0644 certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# Aggregation spills to temporary files; an embedded store, if somebody wants one, is in /data.
COPY --chown=65532:65532 --chmod=0700 empty /tmp
COPY --chown=65532:65532 --chmod=0700 empty /data
COPY --chmod=0755 rowmill /usr/local/bin/rowmill

USER 65532:65532
WORKDIR /data
# A job is healthy while its binary runs; a job's end is judged by its exit code.
HEALTHCHECK --interval=30s --timeout=5s --retries=3 CMD ["/usr/local/bin/rowmill", "--version"]
ENTRYPOINT ["/usr/local/bin/rowmill"]
CMD ["help"]
