# BERT on your text. `make help` lists the targets; each does the set-up that it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)
EXPERIMENT ?= sentiment

.PHONY: help run serve soak test conformance compile-kubeflow compile-vertex image image-test docs lint types format setup data lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup data ## raw text to a blessed, pushed model (EXPERIMENT=from_scratch for another)
	@tfx-bert run $(EXPERIMENT)

serve: setup ## the pushed model over TensorFlow Serving's REST API, and a page: http://127.0.0.1:8501
	@tfx-bert serve $(EXPERIMENT)

test: setup data ## every test
	@python -m pytest

conformance: setup ## the REST API's tests against another server: make conformance SERVER=host:port (docs/serving.md)
	@CONFORMANCE_SERVER=$(SERVER) python -m pytest tests/serving/test_rest_api.py tests/serving/test_recorded_requests.py

compile-kubeflow: setup data ## build/EXPERIMENT-kubeflow.yaml, for Kubeflow Pipelines (docs/deploy.md)
	@tfx-bert compile $(EXPERIMENT) --env kubeflow

compile-vertex: setup data ## build/EXPERIMENT-vertex.yaml, for Vertex AI Pipelines
	@tfx-bert compile $(EXPERIMENT) --env vertex

image: ## pipeline-cpu and -gpu, with docker, podman or buildah (IMAGE=registry.example.org/tfx-bert names them)
	@scripts/image

image-test: setup data ## as root: builds pipeline-cpu with buildah and debootstrap, and runs a pipeline in it
	@scripts/image-test

soak: setup ## ten minutes of full load on the embedded server, a new version every 5 seconds
	@python -m benchmarks.soak

lint: setup ## formatting, rules, and which layer imports which
	@ruff format --check . && ruff check . && lint-imports

types: setup ## mypy, strict
	@mypy

format: setup ## formats the code
	@ruff format . && ruff check --fix .

docs: setup ## the documents as a site with search: build/site/index.html
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet && echo build/site/index.html

setup: ## .venv from the locked requirements; a second call does nothing
	@scripts/setup

data: setup ## the demo data, by version and SHA-256
	@tfx-bert data fetch

lock: setup ## resolves requirements/*.in again
	@scripts/lock

clean: ## removes what runs and builds left; keeps .venv and data
	@rm -rf runs build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
