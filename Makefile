# The two commands that do everything on a fresh Debian or Ubuntu machine, as root or with sudo.
# All else is in `cargo xtask --help`.

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test test-long setup bootstrap

# A real kernel with the agent, then a real cluster of two kernels: policies, events, denials.
demo: bootstrap
	@cargo xtask demo

# Every test but the long ones.
test: bootstrap
	@cargo xtask test

# Every test: all cases and scenarios on all kernels, and the parts against two versions of Kubernetes.
test-long: bootstrap
	@cargo xtask test --long

setup: bootstrap
	@cargo xtask setup

# What cargo needs to build the first program. All else is installed by that.
bootstrap:
	@command -v cargo >/dev/null || { echo "error: there is no cargo; install Rust (https://rustup.rs), then run make again" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "==> installing a linker for cargo" >&2; $(SUDO) apt-get -q update && $(SUDO) apt-get -q -y install --no-install-recommends gcc libc6-dev; }
