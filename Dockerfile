# The image of Portcullis: one static binary, a numeric user, nothing written to
# the root file system. `make image` builds it.
#
#   docker build .                                                  compile here, distroless below
#   docker build --build-arg BASE=scratch .                         compile here, nothing below
#   docker build --build-arg BASE=scratch --target prebuilt .       bin/portcullis of `make build`, pulls no image
#
# The certificates that registries are checked against: Go reads the first bundle
# that it finds, and distroless has one. For a BASE without, the builder's goes
# where Go looks last, so that a bundle in BASE (a company's own, say) counts
# before it. `prebuilt` on scratch has none: mount one at /etc/ssl/cert.pem, or
# every registry is an unknown authority, which is as bad as one that is down.

ARG BUILDER=golang:1.26
ARG BASE=gcr.io/distroless/static:nonroot

FROM ${BASE} AS base
ARG VERSION=dev
LABEL org.opencontainers.image.title="Portcullis" \
      org.opencontainers.image.description="Kubernetes admission webhook that repairs, judges and reports pod templates" \
      org.opencontainers.image.source="https://github.com/portcullis-dev/portcullis" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
# A number, since runAsNonRoot cannot be checked against a name.
USER 65532:65532
ENTRYPOINT ["/portcullis"]

# Before the builder: builders without BuildKit run every stage up to the target.
FROM base AS prebuilt
COPY bin/portcullis /portcullis

FROM ${BUILDER} AS builder
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /portcullis ./cmd/portcullis

FROM base
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/cert.pem
COPY --from=builder /portcullis /portcullis
