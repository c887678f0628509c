# Everything a newcomer, a developer and CI need. `make` alone prints this list.

GO      ?= go
BIN     := bin
# golangci-lint is run from source at a fixed version, so that nothing has to be installed by hand.
LINT    := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.13.0
# What ships is pure Go: the resolver too, on which the address gate relies.
SHIP    := CGO_ENABLED=0 $(GO)
# What a release says it is. Paths and the checkout's state stay out: the same sources give the same bytes anywhere.
VERSION ?= $(shell git describe --tags --always 2>/dev/null || echo dev)
LDFLAGS := -s -w
RELEASE := -trimpath -buildvcs=false -ldflags '-s -w -buildid= -X main.version=$(VERSION) -X main.invitation=$(INVITATION)'
# A Debian version begins with a digit.
DEBVERSION ?= $(shell echo '$(VERSION)' | sed -E 's/^v([0-9])/\1/; t; s/^/0~git/')
# The race detector needs a C compiler, and is worth one: without it, tests run all the same.
TEST    := $(if $(shell command -v cc gcc clang 2>/dev/null),CGO_ENABLED=1 $(GO) test -race -timeout 20m,CGO_ENABLED=0 $(GO) test -timeout 20m)
# A number of inputs for each target: a time limit makes `go test` fail now and then, when it runs out inside an input.
FUZZTIME ?= 20000x
SOAK    ?= 15m
TARGETS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

# Not in the repository, and not removed by clean: it comes from a registry.
GEO     := .cache/geo

.DEFAULT_GOAL := help
.PHONY: help build test race lint fuzz bench bench-scale bench-peers bench-wan bench-crawl bench-idle soak clients demo check cross geo sdk dist deb reproducible clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build sward and sward-edge into bin/
	$(SHIP) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

test: ## Run every test, under the race detector where there is a C compiler
	$(TEST) ./...

race: ## Run every test under the race detector, or fail without a C compiler
	CGO_ENABLED=1 $(GO) test -race ./...

lint: ## Run go vet and golangci-lint
	$(GO) vet ./...
	$(LINT) run ./...

fuzz: ## Run each fuzz target for FUZZTIME inputs (20000x), or a time (10s)
	@set -e; grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
	  dir=$$(dirname "$$file"); \
	  for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$file"); do \
	    echo "== $$dir $$name"; $(SHIP) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir"; \
	  done; \
	done

bench: ## Measure the whole path over loopback, as ratios, and write bench.txt for benchstat
	$(SHIP) run ./internal/bench/road -out bench.txt

# Peers of the benchmarks that come from source. Others are Debian's (nginx-light squid tinyproxy dante-server), or are
# given by SWARD_BENCH_FRP and the like: docs/benchmarks.md. WRITE="--write docs/benchmarks.md" puts the tables there.
SING_BOX := github.com/sagernet/sing-box/cmd/sing-box@v1.14.1

bin/tools/sing-box:
	GOBIN=$(abspath $(BIN)/tools) $(SHIP) install -tags with_quic,with_utls -ldflags '-s -w' $(SING_BOX)

bench-wan: build bin/tools/sing-box ## Measure goodput over a lossy home line, with its peers (needs Linux and root)
	$(SHIP) build -o $(BIN)/tools/wan ./internal/bench/wan
	$(BIN)/tools/wan $(WRITE)

bench-peers: build bin/tools/sing-box ## Measure the path beside other proxies and tunnels, interleaved (needs Linux and root)
	$(SHIP) build -o $(BIN)/tools/peers ./internal/bench/peers
	$(BIN)/tools/peers $(WRITE)

clients: build .cache/clients/node_modules .cache/clients/curl ## Run real clients against the proxy door (needs Linux and root)
	$(SHIP) build -o $(BIN)/tools/clients ./internal/bench/clients
	$(BIN)/tools/clients $(WRITE)

# Clients in JavaScript. Without npm they are skipped, with a word in the table.
.cache/clients/node_modules: internal/bench/clients/scripts/package.json
	mkdir -p .cache/clients
	cp internal/bench/clients/scripts/package*.json .cache/clients/
	-cd .cache/clients && npm ci --no-audit --no-fund --ignore-scripts

# The site: Debian's documentation packages, unpacked and not installed.
.cache/docs/%:
	mkdir -p .cache/docs && cd .cache/docs && apt-get download $* && dpkg -x $*_*.deb $* && rm $*_*.deb

bench-crawl: .cache/docs/python3.11-doc .cache/docs/postgresql-doc-15 ## Measure crawls of real sites beside colly, Scrapy and wget (needs apt-get)
	$(SHIP) build -o $(BIN)/tools/crawl ./internal/bench/crawl
	$(BIN)/tools/crawl -site .cache/docs/python3.11-doc/usr/share/doc/python3.11/html
	$(BIN)/tools/crawl -site .cache/docs/postgresql-doc-15/usr/share/doc/postgresql-doc-15/html

bench-idle: build ## Measure what the home agent costs its machine, idle and at 100 Mbit/s (needs Linux and root)
	$(SHIP) build -o $(BIN)/tools/idle ./internal/bench/idle
	$(BIN)/tools/idle $(WRITE)

soak: ## Lend a line for a month in SOAK (15m), with kills, and hold the owner's caps to the byte
	$(SHIP) run ./internal/bench/soak -for $(SOAK)

bench-scale: ## Measure what 10,000 idle edges cost a relay, and how fast 1,000 are back after its restart
	$(SHIP) run ./internal/bench/scale

.cache/clients/curl:
	-sh internal/bench/clients/scripts/newer-curl.sh $@

demo: ## Run the whole network once, start to finish: proxy, crawl, search, points, audit
	$(SHIP) run ./cmd/sward sandbox --tour

check: lint race cross ## Everything CI checks

cross: ## Build for linux, darwin and windows, amd64 and arm64
	@set -e; for target in $(TARGETS); do \
	  echo "== $$target"; \
	  CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build -ldflags '$(LDFLAGS)' -o /dev/null ./cmd/sward; \
	  CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build -ldflags '$(LDFLAGS)' -o /dev/null ./cmd/sward-edge; \
	done

dist: ## Build sward-edge for six systems into dist/, with SHA256SUMS (VERSION=, INVITATION= of one network)
	@rm -rf dist && mkdir dist
	@set -e; for target in $(TARGETS); do \
	  os=$${target%/*} arch=$${target#*/}; out=dist/sward-edge-$$os-$$arch; [ $$os != windows ] || out=$$out.exe; \
	  CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build $(RELEASE) -o $$out ./cmd/sward-edge; \
	done
	@cd dist && sha256sum sward-edge-* > SHA256SUMS && cat SHA256SUMS

deb: ## Build Debian packages of sward-edge into dist/, for amd64 and arm64 (needs dpkg-deb)
	@mkdir -p dist
	@set -e; for arch in amd64 arm64; do \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build $(RELEASE) -o dist/sward-edge-linux-$$arch ./cmd/sward-edge; \
	  SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 0) packaging/deb.sh dist/sward-edge-linux-$$arch '$(DEBVERSION)' $$arch dist/sward-edge_$(DEBVERSION)_$$arch.deb; \
	done; ls -l dist/*.deb

reproducible: ## Build sward-edge twice, in two directories with nothing in common, and compare
	@set -e; a=$$(mktemp -d) b=$$(mktemp -d); trap 'chmod -R u+w '$$a' '$$b'; rm -rf '$$a' '$$b EXIT; \
	for dir in $$a $$b/elsewhere; do mkdir -p $$dir/src; git archive HEAD | tar -x -C $$dir/src; \
	  (cd $$dir/src && GOCACHE=$$dir/cache CGO_ENABLED=0 $(GO) build $(RELEASE) -o ../sward-edge ./cmd/sward-edge); done; \
	sha256sum $$a/sward-edge $$b/elsewhere/sward-edge; cmp $$a/sward-edge $$b/elsewhere/sward-edge && echo "the same bytes"

sdk: ## Run the stock Firecrawl SDK against a sandbox (needs node and npm)
	$(GO) test -run TestFirecrawlClients -v ./internal/testnet/

geo: ## Fetch a free (CC0) set of countries by address, for tests and for relays (needs npm)
	npm install --no-save --no-audit --no-fund --prefix $(GEO) @ip-location-db/geo-whois-asn-country-mmdb
	cp $(GEO)/node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb $(GEO)/country.mmdb

clean: ## Remove what the other targets made
	rm -rf $(BIN) dist bench.txt
