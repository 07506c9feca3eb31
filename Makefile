# The two commands that do everything on a fresh Debian or Ubuntu machine, as root or with sudo.
# All else is in `cargo xtask --help`.

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test setup bootstrap

# Install what is missing, build, start a real cluster with two kernels, apply policies, and watch.
demo: setup
	@cargo xtask demo

# The same set-up, then every test.
test: bootstrap
	@cargo xtask test

setup: bootstrap
	@cargo xtask setup

# What cargo needs to build the program that does the rest.
bootstrap:
	@command -v cargo >/dev/null || { echo "error: there is no cargo; install Rust (https://rustup.rs), then run make again" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "==> installing a linker for cargo" >&2; $(SUDO) apt-get -q update && $(SUDO) apt-get -q -y install --no-install-recommends gcc libc6-dev; }
	@cargo build --package xtask
