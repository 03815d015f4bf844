#!/usr/bin/env bash
# Installs what Octavo lacks on this machine, and builds it: the first half of demo.sh and test.sh,
# which source it. Does nothing that is done already.
#
#   tools/setup.sh               builds into build/
#   tools/setup.sh --sanitize    builds into build-sanitize/ with AddressSanitizer and UBSan
#
# A script that sources this may name what to build in the array `targets`; default: everything.
# OCTAVO_NVRTC_WHEEL=1 takes NVRTC from the pinned wheel even where there is a CUDA toolkit.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
nvrtc_version=13.0.88
nvrtc_sha256=ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575
nvrtc_folder=$root/.deps/nvrtc

say() { echo "setup: $*" >&2; }
fail() {
  say "$1"
  exit 3
}

# Installs those of the Debian packages that are missing.
require_packages() {
  local package missing=()
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
      missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || fail "there is no apt-get here; install these yourself: ${missing[*]}"

  local become=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || fail "run this as root once: apt-get install ${missing[*]}"
    become=(sudo)
  fi
  say "installing ${missing[*]}"
  "${become[@]}" apt-get update -qq >&2 || fail "apt-get update failed; check the network and /etc/apt"
  "${become[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null ||
    fail "apt-get could not install: ${missing[*]}; on Debian 12 all of them exist"
}

# Whether an NVRTC that is new enough, 12.8, is in one of the places where Octavo looks for it.
has_nvrtc() {
  local toolkit folder library folders=()
  for toolkit in "${CUDA_HOME-}" "${CUDA_PATH-}" /usr/local/cuda* /opt/cuda; do
    [[ -z $toolkit ]] || folders+=("$toolkit"/{lib64,lib,targets/x86_64-linux/lib})
  done
  IFS=: read -ra folder <<<"${LD_LIBRARY_PATH-}"
  folders+=("${folder[@]}")
  {
    for folder in "${folders[@]}"; do compgen -G "$folder/libnvrtc.so.*" || true; done
    PATH=$PATH:/sbin:/usr/sbin ldconfig -p | awk '/libnvrtc\.so\.[0-9]/ { print $NF }'
  } | while read -r library; do readlink -f "$library"; done |
    grep -qE 'libnvrtc\.so\.(12\.([89]|[1-9][0-9])|1[3-9]|[2-9][0-9])'
}

# Takes NVRTC from NVIDIA's wheel. The folder appears whole or not at all.
fetch_nvrtc() {
  [[ -d $nvrtc_folder ]] && return
  [[ $(uname -m) == x86_64 ]] ||
    fail "there is no NVRTC here and no pinned wheel for $(uname -m); install a CUDA toolkit"
  require_packages python3-pip
  say "downloading NVRTC $nvrtc_version, 90 MB"
  local part=$root/.deps/nvrtc.part
  rm -rf "$part"
  mkdir -p "$part"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --dest "$part" "nvidia-cuda-nvrtc==$nvrtc_version" >&2 ||
    fail "NVRTC could not be downloaded; check the network, or install a CUDA toolkit and set CUDA_HOME"
  local wheel
  wheel=$(echo "$part"/*.whl)
  echo "$nvrtc_sha256  $wheel" | sha256sum --check --status ||
    fail "$wheel is not the file that was pinned; run this again, or install a CUDA toolkit"
  python3 -m zipfile -e "$wheel" "$part"
  rm -f "$wheel" "$part"/nvidia/cu13/lib/*.alt.*
  mv "$part" "$nvrtc_folder"
}

build() {
  local configure=(cmake -S "$root" -B "$build" -G Ninja "-DOCTAVO_SANITIZE=$sanitizers") log
  say "building in $build"
  mkdir -p "$build"
  log=$build/configure.log
  "${configure[@]}" >"$log" 2>&1 || {
    cat "$log" >&2
    fail "cmake failed; the lines above say why"
  }
  cmake --build "$build" ${targets:+--target "${targets[@]}"} >&2 || fail "the build failed; the lines above say why"
}

build=$root/build
sanitizers=
case ${1-} in
  "") ;;
  --sanitize)
    build=$root/build-sanitize
    sanitizers=address,undefined
    ;;
  *)
    echo "$(basename "$0"): unknown option $1; the only one is --sanitize" >&2
    exit 2
    ;;
esac

require_packages g++ cmake ninja-build ccache llvm-19-dev libfmt-dev libyaml-cpp-dev libcli11-dev \
  nlohmann-json3-dev libboost-context-dev libxxhash-dev libarchive-dev doctest-dev
if [[ ${OCTAVO_NVRTC_WHEEL-} == 1 ]]; then
  fetch_nvrtc
  export OCTAVO_NVRTC=$nvrtc_folder/nvidia/cu13/lib/libnvrtc.so.13
elif [[ -z ${OCTAVO_NVRTC-} ]] && ! has_nvrtc; then
  fetch_nvrtc
fi
build
