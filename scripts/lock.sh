#!/bin/sh
# Resolves pyproject.toml into the three locks: all packages with hashes, for Python 3.11 and newer on any platform.
# UPGRADE=1 upgrades every package; UPGRADE_ONLY="one two" upgrades these, and keeps the others if possible.
set -eu
compile() {
    out=$1
    shift
    for package in ${UPGRADE_ONLY:-}; do
        set -- --upgrade-package "$package" "$@"
    done
    "$UV" pip compile --quiet --universal --python-version 3.11 --generate-hashes ${UPGRADE:+--upgrade} \
        --no-emit-index-url --no-emit-find-links --no-header --output-file "$out" "$@" pyproject.toml
}
compile requirements.lock --extra llm
# The image with traces: the same packages as in requirements.lock, and those of the extra.
compile requirements-otel.lock --extra llm --extra otel --constraint requirements.lock
compile requirements-dev.lock --extra llm --extra otel --extra embedded --extra bench --extra dev --constraint requirements.lock
