# Heddle. `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := bin
# dedupelabels is how Prometheus' code in heddle-observe holds labels: each text once.
GOFLAGS_BUILD := -trimpath -buildvcs=false -tags dedupelabels -ldflags "-s -w"
APISERVER_SOURCES := $(shell find apiserver -name '*.go' -o -name go.mod -o -name go.sum 2>/dev/null)
UI_PAGE := ui/built/page/index.html
UI_SOURCES := $(shell find ui/src ui/public -type f) ui/index.html ui/package.json ui/package-lock.json ui/tsconfig.json ui/vite.config.ts
LINT_VERSION := v2.9.0
LINT := .cache/lint/golangci-lint
VERSION ?= dev
export CGO_ENABLED ?= 0

.PHONY: help build crds images lab lab-down demo test check lint bench bench-observe soak e2e e2e-kube e2e-kube-more ui ui-test interop conformance conformance-gateway skew edits fuzz envoy bpf fmt clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

build: $(BIN)/heddle-apiserver crds ## build the binaries into bin/
	@$(MAKE) --no-print-directory $(UI_PAGE) || echo "build: heddled is built without the dashboard's page"
	@echo "build: heddle, heddled, heddle-proxy, heddle-node, heddle-cni, heddle-observe, heddle-sample"
	@mkdir -p $(BIN)
	@go build $(GOFLAGS_BUILD) -o $(BIN)/ ./cmd/...

$(BIN)/heddle-apiserver: $(APISERVER_SOURCES)
	@mkdir -p $(BIN)
	@echo "build: heddle-apiserver (links the Kubernetes API server: 5 to 7 minutes the first time on two cores, seconds afterwards)"
	@bash apiserver/build.sh $(abspath $@)

ui: $(UI_PAGE) ## build the dashboard's page, which heddled embeds (Node 20.19 or later)

$(UI_PAGE): $(UI_SOURCES)
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || a == 20 && b >= 19 ? 0 : 1)' || { echo "ui: the page needs Node 20.19 or later"; exit 1; }
	@echo "ui: the dashboard's page"
	@cd ui && npm ci --no-audit --no-fund --silent && npm run --silent build >/dev/null

ui-test: ui ## the dashboard in a real browser (installs Debian's chromium, as root); screenshots go to .cache/ui
	@command -v chromium >/dev/null || apt-get install -y --no-install-recommends chromium >/dev/null
	@cd test/ui && npm ci --no-audit --no-fund --silent
	@HEDDLE_UI=1 HEDDLE_UI_SHOTS=$(abspath .cache/ui) go test -count=1 -v ./ui ./test/ui

crds: ## take the definitions of the Istio and Gateway APIs out of their Go modules into the chart
	@cd apiserver && go run ./crdgen ../charts/heddle/crds >/dev/null

images: crds ## build the container images into dist/ as OCI archives, without a container engine (VERSION=dev)
	@bash charts/images.sh $(VERSION)

lab: ## start a real Kubernetes cluster on this machine, as root (LAB=1 LAB_NODES=1); lab-down ends it
	@bash test/lab/cluster/up.sh

lab-down: ## end the cluster of make lab
	@bash test/lab/cluster/down.sh

demo: build ## run a whole mesh with a sample shop on this machine; Ctrl-C ends it
	@exec $(BIN)/heddle up

test: envoy build ## run every test (fast ones with -race; the slow suites have targets of their own)
	@bash test/run.sh

check: ## what CI checks besides the tests: formatting, vet, linter rules, architecture, no tracked file changed
	@bash test/check.sh

lint: $(LINT) ## run the linters of .golangci.yaml (builds golangci-lint into .cache the first time: some minutes)
	@$(LINT) run ./...

$(LINT):
	@echo "lint: building golangci-lint $(LINT_VERSION)"
	@GOBIN=$(abspath $(dir $(LINT))) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

bench: envoy build ## measure against nginx, HAProxy and Envoy on this machine (installs them from Debian)
	@bash test/bench/run.sh

bench-observe: build ## measure heddle-observe with 250,000 series that are scraped every 15 seconds: memory, CPU, queries (OBSERVE=9m)
	@go run ./test/observe -for $${OBSERVE:-9m} -flags "--block 5m --memory-limit 900000000"

e2e: build ## the tour of `heddle up`, as root with network namespaces
	@go test -count=1 -timeout 20m ./test/e2e/...

e2e-kube: crds envoy ## the proof on a real cluster, as root: install, injection, routing, gateways, updates, faults, node agent, Argo Rollouts, removal (below 20 minutes)
	@bash test/kube/run.sh -run 'TestCluster|TestMistakes|TestNode|TestReadme|TestRollouts'

e2e-kube-more: crds envoy $(BIN)/heddle-apiserver ## what else is proven on a real cluster: an API of the mesh's own, NetworkPolicies under each way of capture, datagrams
	@bash test/kube/run.sh -run 'TestHosted|TestPolicies|TestDatagrams'

interop: envoy build ## the fixtures on the compiler, heddle-proxy and stock Envoy side by side
	@go test -count=1 -timeout 20m ./test/interop/...

skew: build ## run proxies of the last release (or SKEW=COMMIT) under this control plane, and the reverse, as root
	@bash test/skew.sh

soak: build ## run a whole mesh under load and churn for SOAK=30m: memory, goroutines and descriptors must not grow, no request may fail
	@go run ./test/soak -length $${SOAK:-30m}

conformance: build envoy crds ## suites of others: h2spec against the codec, heddle-proxy and a mesh; the corpus of request smuggling; clients of others; gRPC's interoperability suite with Java and Node.js; sslscan; what Istio ships; the Gateway API's suite. As root; writes docs/conformance/suites.yaml
	@bash test/conformance/all.sh

conformance-gateway: crds ## the conformance suite of the Gateway API on a real cluster, as root; writes docs/conformance/gateway-api.yaml
	@bash test/conformance/gateway/run.sh

edits: ## 10,000 random edits through snapshots and compilers: what is made step by step is what is made from nothing, and only that is new which differs
	@set -o pipefail; go test -count=1 -v ./control/compile -run 'TestEditsAndTheirReverse|TestIncrementalEqualsScratch' -rapid.checks=1700 | grep -E 'edits|^(---|ok|FAIL)'
	@set -o pipefail; go test -count=1 -v ./control/snapshot -run 'TestDiffNamesExactlyWhatDiffers|TestIncrementalEqualsFromScratch' -rapid.checks=1000 | grep -E 'edits|^(---|ok|FAIL)'

fuzz: ## fuzz every decoder (FUZZCPU=1 CPU minutes each)
	@bash test/fuzz.sh $${FUZZCPU:-1}

envoy: ## fetch the stock Envoy binary into .cache/envoy
	@bash test/envoy/fetch.sh

bpf: ## compile the kernel programs again after a change of their C source (installs clang); the objects are committed
	@bash data/bpf/generate.sh

fmt: ## format the Go code
	@gofmt -l -w $$(git ls-files '*.go')

clean: ## remove what was built
	@rm -rf $(BIN) .cache
