# `make` lists the targets. They need Go, make and git; every other tool is pinned in go.mod.

SHELL := bash
.SHELLFLAGS := -o errexit -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMAGE ?= portcullis:$(VERSION)

# Sets KUBEBUILDER_ASSETS for the rest of a recipe. Written with && and not with $(shell), so that a failure ends the recipe.
controlplane = assets=$$(e2e/controlplane/ensure) && export KUBEBUILDER_ASSETS="$$assets" &&

# Sets CHROMIUM likewise, for the tests of the HTML report.
chromium = browser=$$(report/chromium/ensure) && export CHROMIUM="$$browser" &&

# Deepcopy functions and CRDs, in a copy of the tree's folders below $(1).
generate = $(GO) tool controller-gen object crd paths=./policies output:object:dir=$(1)/policies output:crd:dir=$(1)/manifests/crds && \
	$(GO) tool controller-gen crd:maxDescLen=0 paths=./report/wgpolicy output:crd:dir=$(1)/manifests/components/policy-reports

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "%-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Show Portcullis at work on a real API server; Ctrl-C ends it
	@$(controlplane) $(GO) build -o bin/demo ./e2e/demo && exec bin/demo

.PHONY: test
test: ## All tests, those on a real API server and in a browser too
	@$(controlplane) $(chromium) set -x && $(GO) test -timeout 10m ./...

.PHONY: e2e
e2e: image ## The suite on a cluster of kind, with IMAGE built as by `make image`; KIND_NODES=3 for three nodes. Needs Docker
	@$(controlplane) export IMAGE=$(IMAGE) && set -x && $(GO) test -tags kind -timeout 40m -parallel 8 -count 1 -v ./e2e/kind

.PHONY: lint
lint: ## go vet, staticcheck, gofumpt, go mod tidy, and whether `make generate` changes anything
	$(GO) vet -tags kind ./...
	$(GO) tool staticcheck -tags kind ./...
	@files=$$($(GO) tool gofumpt -l .) && { [ -z "$$files" ] || { echo "gofumpt -w:" $$files; exit 1; }; }
	$(GO) mod tidy -diff
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && $(call generate,$$fresh) && \
	diff -u policies/zz_generated.deepcopy.go "$$fresh/policies/zz_generated.deepcopy.go" && \
	diff -ru --exclude kustomization.yaml manifests/crds "$$fresh/manifests/crds" && \
	diff -ru --exclude kustomization.yaml manifests/components/policy-reports "$$fresh/manifests/components/policy-reports"

.PHONY: generate
generate: ## Deepcopy functions, CRDs and docs/policies.md from the types in policies/; installations in one file
	$(call generate,.)
	$(GO) run ./policies/reference
	$(GO) run ./e2e/render

.PHONY: bench
bench: ## Benchmarks, then the load generator over TLS
	@packages=$$($(GO) list ./... | grep -v /e2e/) && $(GO) test -run '^$$' -bench . -benchmem $$packages
	@$(controlplane) $(GO) run ./bench/load

.PHONY: controlplane
controlplane: ## Print the folder with etcd, kube-apiserver, kube-controller-manager and kubectl; build what is missing
	@e2e/controlplane/ensure

.PHONY: build
build: ## bin/portcullis, a static binary; GOOS and GOARCH as usual
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/portcullis ./cmd/portcullis

.PHONY: image
image: ## Container image IMAGE; BASE=scratch for an empty base, TARGET=prebuilt to take the binary from `make build`
	$(if $(filter prebuilt,$(TARGET)),GOOS=linux $(MAKE) build)
	docker build --tag $(IMAGE) --build-arg VERSION=$(VERSION) $(if $(BASE),--build-arg BASE=$(BASE)) $(if $(TARGET),--target $(TARGET)) .
