# One page of every command. `make` alone lists them.
#
# `make up` and `make test` need Go, make and a shell. The other targets install
# their tools, pinned, into .tools/bin; nothing is installed elsewhere.

GO       ?= go
ARGS     ?=
MODULES  := proto-events pkg services
PACKAGES := $(MODULES:%=./%/...)
TOOLS    := $(CURDIR)/.tools/bin
CONTRACT := services/gateway/openapi.yaml

# What the last release promised; `make baseline` writes both.
RELEASED_HTTP   := services/gateway/testdata/released.yaml
RELEASED_EVENTS := proto-events/testdata/released.binpb

# The private servers of the tests wait more than they compute.
TEST_FLAGS ?= -timeout 15m -parallel 4
MIN_COVER  ?= 80

# Go finds its caches by HOME; a container may have none.
ifeq ($(strip $(HOME)$(XDG_CACHE_HOME)$(GOCACHE)),)
export GOCACHE := $(CURDIR)/.tools/cache/build
endif
ifeq ($(strip $(HOME)$(GOPATH)$(GOMODCACHE)),)
export GOPATH := $(CURDIR)/.tools/cache/path
endif

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 } /^##@ / { print "\n" substr($$0, 5) }' $(MAKEFILE_LIST)

##@ Run

.PHONY: build
build: ## build bin/commandcenter
	@$(GO) build -trimpath -o bin/commandcenter ./services/commandcenter

.PHONY: up
up: build ## start the whole product here (ARGS="--http :8080"); the environment is passed through
	@exec bin/commandcenter up $(ARGS)

.PHONY: up-split
up-split: build ## the same as separate processes: NATS, PostgreSQL, each service
	@exec bin/commandcenter up --split $(ARGS)

.PHONY: up-cluster
up-cluster: build ## three NATS servers, two processes of each service, two gateways
	@exec bin/commandcenter up --cluster $(ARGS)

##@ Test

.PHONY: test
test: ## all tests, with a private PostgreSQL and NATS that they start
	@$(GO) test $(TEST_FLAGS) $(PACKAGES)

.PHONY: pgvector
pgvector: ## build pgvector beside a copy of this machine's PostgreSQL, which CC_PG_BIN then names; changes nothing of the system
	@sh .ci/pgvector.sh .tools/pgvector

.PHONY: test-pgvector
test-pgvector: ## the tests of the back ends with pgvector, if it can be built; without it those of pgvector are skipped
	@if built=$$(sh .ci/pgvector.sh .tools/pgvector); then \
		CC_PG_BIN=$${built#*CC_PG_BIN=} $(GO) test $(TEST_FLAGS) ./pkg/pg/... ./services/knowledge/internal/postgres ./services/knowledge/internal/serve; \
	else echo "not tested with pgvector, which could not be built here"; fi

.PHONY: race
race: ## `make test` under the race detector, with coverage and a summary
	@$(MAKE) --no-print-directory test TEST_FLAGS="-json -race $(TEST_FLAGS) -covermode=atomic -coverprofile=coverage.out" | $(GO) run .ci/summary.go

.PHONY: cover
cover: ## pkg and every noun are covered to MIN_COVER per cent (after `make race`)
	@test -f coverage.out || $(MAKE) --no-print-directory race
	@awk -v min=$(MIN_COVER) -f .ci/cover.awk coverage.out

FUZZTIME ?= 60s

.PHONY: fuzz
fuzz: ## attack the running product by its contract for FUZZTIME (make fuzz FUZZTIME=1h); finds are kept in testdata/fuzz
	@CC_TEST_ATTACKS=all $(GO) test -count=1 -timeout 30m -run '^TestNothingIsInjected' ./services/commandcenter
	@$(MAKE) --no-print-directory fuzz-operations

.PHONY: fuzz-operations
fuzz-operations: ## the fuzzer of `make fuzz` alone, for FUZZTIME
	@$(GO) test -timeout 0 -run '^$$' -fuzz '^FuzzOperations$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 20x -parallel 1 ./services/commandcenter

.PHONY: bench
bench: ## the figures of README, each with its baseline
	@$(GO) test -run '^$$' -bench . -benchmem -p 1 -timeout 30m $(PACKAGES) | grep -v 'no test files'

.PHONY: eval
eval: ## how well the product finds its own documents: nDCG@10 of judged questions, on the half for tuning and on the other
	@CC_TEST_MODEL=1 $(GO) test -run '^$$' -bench OwnQuestions -benchtime 1x ./services/commandcenter

ROUNDS ?= 100
SEED   ?= 1
JSON   ?=

.PHONY: torture
torture: ## kill -9 each part in turn under load, and hold it to its promises (ROUNDS=100 SEED=1 JSON=report.json)
	@$(GO) test -count=1 -timeout 3h -v -run TestNoPromiseIsBrokenWhateverIsKilled ./services/commandcenter \
		-torture.rounds=$(ROUNDS) -torture.seed=$(SEED) -torture.json=$(abspath $(JSON))

.PHONY: cluster
cluster: ## lose one NATS server of three ten times for AWAY (60s) under load: how long writes stand still (takes 15 minutes)
	@CC_TEST_CLUSTER=$(or $(AWAY),60s) $(GO) test -v -parallel 1 -run 'OneOfAnything|StartsAgain' -bench ClusterLoss -benchtime 1x -timeout 40m ./services/commandcenter

.PHONY: namespaces
namespaces: ## two products on machines of their own, joined by a cable; needs root and `ip netns`
	@CC_TEST_NAMESPACES=1 $(GO) test -count=1 -timeout 10m -v -run TestTwoMachines ./services/commandcenter

.PHONY: isolation
isolation: ## people of four projects do what comes to mind, and see nothing of each other (STEPS=10000 SEED=1)
	@CC_TEST_STEPS=$(or $(STEPS),10000) CC_TEST_SEED=$(SEED) $(GO) test -count=1 -timeout 1h -v -run TestNothingOfAProjectIsSeenFromAnother ./services/commandcenter

.PHONY: timing
timing: ## what is another project's cannot be told by the time from what is not there (SAMPLES=10000 of each, per operation)
	@$(GO) test -count=1 -timeout 1h -v -run TestForeignAndAbsentTakeTheSameTime ./services/commandcenter -timing.samples=$(or $(SAMPLES),10000)

##@ Check

.PHONY: fmt
fmt: ## format every file
	@gofmt -w $(MODULES) .ci

.PHONY: vet
vet: ## go vet, also with each module on its own
	@$(GO) vet $(PACKAGES)
	@$(GO) vet .ci/summary.go
	@for m in $(MODULES); do (cd $$m && GOWORK=off $(GO) build ./...) || exit 1; done

.PHONY: lint
lint: vet $(TOOLS)/golangci-lint-v2.15.0 ## vet, gofmt and golangci-lint; reasons in .golangci.yml
	@unformatted=$$(gofmt -l $(MODULES) .ci); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	@$(TOOLS)/golangci-lint-v2.15.0 run --timeout 10m --allow-parallel-runners $(PACKAGES)

.PHONY: deployments
deployments: ## containers, manifests, alerts, dashboards and licences agree with the code
	@$(GO) test -count=1 -run 'Deployment|Container|Image|Metrics|Licence|Threat' ./services/commandcenter
	@$(GO) test -count=1 ./services/commandcenter/internal/manifests

.PHONY: gen
gen: $(TOOLS)/buf-v1.75.0 $(TOOLS)/protoc-gen-go-v1.36.12 $(TOOLS)/oapi-codegen-v2.8.2 ## write everything that follows from the two contracts
	@ln -sf protoc-gen-go-v1.36.12 $(TOOLS)/protoc-gen-go
	@cd proto-events && $(TOOLS)/buf-v1.75.0 lint && PATH="$(TOOLS):$$PATH" $(TOOLS)/buf-v1.75.0 generate && $(GO) run ./internal/gen
	@for config in services/*/internal/*/oapi.yaml; do \
		(cd "$$(dirname "$$config")" && $(TOOLS)/oapi-codegen-v2.8.2 -config oapi.yaml $(CURDIR)/$(CONTRACT)) || exit 1; \
	done
	@$(GO) run ./services/gateway/internal/permissions $(CONTRACT) services/gateway/PERMISSIONS.md

GENERATED = find proto-events services \( -name '*.pb.go' -o -name '*.gen.go' -o -path 'proto-events/schemas/*' -o -path 'proto-events/golden/*' \
	-o -path proto-events/EVENTS.md -o -path proto-events/asyncapi.yaml -o -path services/gateway/PERMISSIONS.md \) -type f -exec cksum {} + | sort -k 3

.PHONY: drift
drift: ## what is committed is what `make gen` and `make tidy` write
	@mkdir -p .tools
	@$(GENERATED) > .tools/generated.before
	@$(MAKE) --no-print-directory gen
	@$(GENERATED) > .tools/generated.after
	@diff .tools/generated.before .tools/generated.after || { echo "drift: run make gen and commit what it wrote"; exit 1; }
	@for m in $(MODULES); do (cd $$m && GOWORK=off $(GO) mod tidy -diff) || { echo "drift: run make tidy"; exit 1; }; done

.PHONY: tidy
tidy: ## go.mod and go.sum of each module name what it needs, no more
	@for m in $(MODULES); do (cd $$m && GOWORK=off $(GO) mod tidy) || exit 1; done

.PHONY: breaking
breaking: $(TOOLS)/buf-v1.75.0 $(TOOLS)/oasdiff-v1.37.0 ## neither contract breaks what the last release promised
	@if test -f $(RELEASED_EVENTS); then cd proto-events && $(TOOLS)/buf-v1.75.0 breaking --against $(CURDIR)/$(RELEASED_EVENTS); \
		else echo "breaking: no release of the event contracts yet"; fi
	@if test -f $(RELEASED_HTTP); then $(TOOLS)/oasdiff-v1.37.0 breaking --fail-on ERR $(RELEASED_HTTP) $(CONTRACT); \
		else echo "breaking: no release of the HTTP contract yet"; fi

.PHONY: check-new-service
check-new-service: ## what `make new-service` writes compiles, is tested and is clean
	@trap 'rm -rf services/newcomer' EXIT INT TERM; sh .ci/new-service.sh newcomer > /dev/null && \
		$(GO) vet ./services/newcomer/... && $(GO) test -run "" ./services/newcomer/... && \
		$(TOOLS)/golangci-lint-v2.15.0 run --allow-parallel-runners ./services/newcomer/...

.PHONY: ci
ci: ## everything that must hold before a merge
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory deployments
	@$(MAKE) --no-print-directory drift
	@$(MAKE) --no-print-directory breaking
	@$(MAKE) --no-print-directory check-new-service
	@$(MAKE) --no-print-directory race
	@$(MAKE) --no-print-directory cover
	@$(MAKE) --no-print-directory test-pgvector
	@$(MAKE) --no-print-directory fuzz-operations FUZZTIME=60s

##@ Grow

.PHONY: new-service
new-service: ## write the rooms of a new service: make new-service NAME=radar NOUN=blip
	@sh .ci/new-service.sh "$(NAME)" $(NOUN)

.PHONY: baseline
baseline: $(TOOLS)/buf-v1.75.0 ## at a release: what both contracts promise from now on
	@mkdir -p $(dir $(RELEASED_EVENTS)) $(dir $(RELEASED_HTTP))
	@cd proto-events && $(TOOLS)/buf-v1.75.0 build --exclude-source-info -o $(CURDIR)/$(RELEASED_EVENTS)
	@cp $(CONTRACT) $(RELEASED_HTTP)

.PHONY: release-check
release-check: ## the tree is fit to be tagged: versions agree, changelog written, nothing uncommitted
	@sh .ci/release-check.sh

.PHONY: clean
clean: ## remove what was built here; no data, no caches of Go
	@rm -rf bin .tools coverage.out

# Tools: the version is part of the name, so that a new one is installed when the
# line changes. Built by the Go at hand: a release binary refuses a newer go line.
define tool
$(TOOLS)/$(1)-$(3):
	@mkdir -p $(TOOLS)/.new
	@echo "installing $(1) $(3) into .tools/bin"
	@GOWORK=off GOFLAGS=-mod=mod GOBIN=$(TOOLS)/.new $(GO) install $(2)@$(3)
	@mv $(TOOLS)/.new/$(1) $$@
endef
$(eval $(call tool,buf,github.com/bufbuild/buf/cmd/buf,v1.75.0))
$(eval $(call tool,protoc-gen-go,google.golang.org/protobuf/cmd/protoc-gen-go,v1.36.12))
$(eval $(call tool,oapi-codegen,github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen,v2.8.2))
$(eval $(call tool,oasdiff,github.com/oasdiff/oasdiff,v1.37.0))
$(eval $(call tool,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,v2.15.0))
