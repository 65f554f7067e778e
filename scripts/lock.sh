#!/bin/sh
# Resolves pyproject.toml into the two locks: all packages with hashes, for Python 3.11 and newer on any platform.
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
compile requirements-dev.lock --extra llm --extra embedded --extra bench --extra dev --constraint requirements.lock
