# The images of tetragon-rs: static programs and nothing else.
#
#   docker build --target tetragon -t tetragon .
#   docker build --target tetragon-operator -t tetragon-operator .
#
# --platform linux/amd64 or linux/arm64 sets TARGETARCH; without it the image is for the machine's own.
# BINARIES=build compiles from this repository; BINARIES=prebuilt takes the programs of target/dist
# (`cargo xtask dist`), and needs no network.
ARG BINARIES=build

# Compiles on the machine's own architecture, for the other one too.
FROM --platform=$BUILDPLATFORM rust:1.95-bookworm AS build
ARG TARGETARCH
# Lints are for those who develop.
ENV CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER=""
WORKDIR /src
COPY . .
RUN arch="${TARGETARCH:-$(dpkg --print-architecture)}" \
    && case "$arch" in \
        amd64) machine=x86_64 ;; \
        arm64) machine=aarch64 ;; \
        *) echo "TARGETARCH $arch: amd64 and arm64 are built" >&2; exit 1 ;; \
    esac \
    && target=$machine-unknown-linux-gnu && tools= \
    && variable=$(echo "CARGO_TARGET_$target" | tr 'a-z-' 'A-Z_') \
    && if [ "$(uname -m)" != "$machine" ]; then \
        # On a machine of the other kind.
        gcc=$(echo "$machine-linux-gnu" | tr _ -) && tools=$machine-linux-gnu- \
        && apt-get -q update && apt-get -q -y install --no-install-recommends "gcc-$gcc" "libc6-dev-$arch-cross" \
        && rustup target add "$target" \
        && export "${variable}_LINKER=${tools}gcc"; fi \
    && cargo build --release --locked --target "$target" \
        --package tetragon-agent --package tetragon-operator --package tetra \
    && mkdir -p target/dist \
    && for program in tetragon tetragon-operator tetra; do \
        "${tools}strip" -o "target/dist/$program" "target/$target/release/$program" || exit; done \
    && cat /usr/share/ca-certificates/mozilla/*.crt > target/dist/ca-certificates.crt

# The same folder, from the build context.
FROM scratch AS prebuilt
COPY target/dist/ /src/target/dist/

FROM ${BINARIES} AS binaries

# Runs as root: it loads eBPF. The certificates are Mozilla's, for the export to Elasticsearch.
FROM scratch AS tetragon
COPY --from=binaries /src/target/dist/tetragon /src/target/dist/tetra /usr/bin/
COPY --from=binaries /src/target/dist/ca-certificates.crt /etc/ssl/certs/
ENV PATH=/usr/bin
ENTRYPOINT ["/usr/bin/tetragon"]

FROM scratch AS tetragon-operator
COPY --from=binaries /src/target/dist/tetragon-operator /usr/bin/
ENV PATH=/usr/bin
USER 65532:65532
ENTRYPOINT ["/usr/bin/tetragon-operator"]
CMD ["serve"]
