# make demo    the lab: a client, two load balancers, backends, real traffic
# make test    everything that must pass
# make bench   the measurements of perf/RESULTS.md

BUILD_PACKAGES := libdpdk-dev dpdk-dev libclang-dev pkg-config gcc
LAB_PACKAGES := iproute2 iputils-ping ethtool curl nginx-light wrk iperf3 tcpdump tshark libusrsctp-examples \
  frr bird2 keepalived prometheus nftables

.PHONY: build demo test nic-test lint virtual unit lab api-fuzz instructions accept-instructions tables compare contest bench \
    build-packages lab-packages

build: build-packages
	cargo build --release

# A real PCI network card under vfio, in a virtual machine. Debian 12 has a QEMU with such a card in bookworm-backports only,
# which must be among its sources.
nic-test: build-packages lab-packages
	@lab/install busybox-static cpio kmod
	@qemu-system-x86_64 -device help 2>/dev/null | grep -q '"igb"' || { . /etc/os-release; apt-get -qq update; \
	  apt-get -qq install -y --no-install-recommends qemu-system-x86/$$VERSION_CODENAME-backports || \
	  apt-get -qq install -y --no-install-recommends qemu-system-x86; }
	HITLESS_NIC_TEST=1 cargo test --test nic -- --nocapture

build-packages:
	@lab/install $(BUILD_PACKAGES)

lab-packages:
	@lab/install $(LAB_PACKAGES)

# Failover beside FRR and keepalived, timed by packets. Needs root.
contest: build lab-packages
	cargo build --release --package hitless-lab
	target/release/contest

demo: build lab-packages
	cargo build --release --package hitless-lab
	target/release/demo

test: lint virtual lab instructions

lint: build-packages
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	cargo clippy --quiet --all-targets --no-default-features -- -D warnings

# Every test that needs no network and no time but its own.
VIRTUAL := $(filter-out lab nic,$(patsubst tests/%.rs,%,$(wildcard tests/*.rs)) $(patsubst tests/%/main.rs,%,$(wildcard tests/*/main.rs)))

virtual: build-packages
	@lab/install prometheus
	cargo test --quiet --workspace --lib --bins $(VIRTUAL:%=--test %)

# The same on a machine without DPDK and without root; `lint` has seen that it compiles.
unit:
	cargo test --quiet --no-default-features

# Real programs in network namespaces. Needs root.
lab: build-packages lab-packages
	cargo test --quiet --test lab -- --test-threads=1

# A schema-driven fuzzer against the API of a node in memory. Needs python3 with venv, and PyPI.
api-fuzz: build-packages
	@lab/install python3-venv
	@test -x target/fuzz/bin/schemathesis || { python3 -m venv target/fuzz && target/fuzz/bin/pip -q install schemathesis; }
	HITLESS_SCHEMATHESIS=$(CURDIR)/target/fuzz/bin/schemathesis \
	  cargo test --quiet --no-default-features --test api fuzz -- --ignored --nocapture

# Instructions of the data path's parts; fails when one has risen by more than 3 %.
instructions:
	@lab/install valgrind
	cargo bench --quiet --no-default-features --bench instructions

accept-instructions:
	@lab/install valgrind
	cargo bench --quiet --no-default-features --bench instructions -- --accept

# The session table beside DPDK's, hashbrown and open addressing. Takes 12 GiB.
tables: build-packages
	cargo bench --quiet --bench tables
	cc -O3 -march=native perf/rte_hash.c -o target/rte_hash $$(pkg-config --cflags --libs libdpdk)
	target/rte_hash

# The worker beside dpdk-testpmd, both on the same captures.
compare: build
	perf/compare

# Every figure of perf/RESULTS.md and its plots. Needs root for the peers in network namespaces.
bench: build lab-packages
	@lab/install jq haproxy nftables libnginx-mod-stream
	perf/bench
