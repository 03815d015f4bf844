#!/usr/bin/env bash
# Sets Octavo up and does its main job once: quantise a KV cache of 4096 tokens, decode over it, and
# check the result against float64. Without an NVIDIA GPU, on the emulator.
set -euo pipefail
targets=(octavo octavo_emulator)  # the tests can wait for test.sh
# shellcheck source-path=SCRIPTDIR source=setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

cd "$root"
echo '$ build/bin/octavo run specs/llama-3.1-8b.yaml --context 4096 --check' >&2
exec "$build/bin/octavo" run specs/llama-3.1-8b.yaml --context 4096 --check
