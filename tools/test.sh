#!/usr/bin/env bash
# Sets Octavo up and runs all of its tests.
#
#   tools/test.sh               in build/
#   tools/test.sh --sanitize    in build-sanitize/, with AddressSanitizer and UBSan
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

exec ctest --test-dir "$build" --output-on-failure --no-tests=error
