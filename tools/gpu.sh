#!/usr/bin/env bash
# Checks and measures Octavo on a real GPU.
#
#   tools/gpu.sh --package FOLDER         here: builds what the other machine needs, statically, and
#                                         records what the emulator computes
#   FOLDER/gpu.sh OUT [STAGE ...]         there: needs a driver and NVRTC, nothing else; no network
#   FOLDER/gpu.sh --device emulator OUT   a dry run, small, on the emulator
#
# Stages, in this order: conformance fidelity vectors attention prefill compile sanitizer. Each has its own
# time limit. After each, OUT/results.json is whole, with what a stage that was cut off knew;
# OUT/*.tar.gz are what the GPU's instructions computed and OUT/gpu.log what all printed. The exit
# status is 1 where a stage failed.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=(octavo octavo_test_differential fidelity record_vectors benchmark_attention benchmark_prefill benchmark_compile)
vector_rows=1024

fail() {
  echo "gpu.sh: $1" >&2
  exit "${2-3}"
}

package() {
  set -e
  local root=$here/.. folder=$1 build=$here/../build-static
  local emulator=${OCTAVO_EMULATOR_LIBRARY-}
  cmake -S "$root" -B "$build" -G Ninja -DOCTAVO_STATIC=ON -DOCTAVO_EMULATOR=OFF >/dev/null
  cmake --build "$build" --target "${programs[@]}"
  if [[ -z $emulator ]]; then
    cmake -S "$root" -B "$root/build" -G Ninja >/dev/null
    cmake --build "$root/build" --target octavo_emulator
    emulator=$root/build/lib/liboctavo_emulator.so
  fi
  rm -rf "$folder"
  mkdir -p "$folder/bin"
  for program in "${programs[@]}"; do strip -o "$folder/bin/$program" "$build/bin/$program"; done
  cp -r "$root/specs" "$here/gpu.sh" "$folder"
  export OCTAVO_EMULATOR_LIBRARY=$emulator
  "$folder/bin/fidelity" record "$folder/emulated/results" "$folder"/specs/*.yaml --device emulator
  # What the emulator has no instruction for is left out, and said.
  "$folder/bin/record_vectors" "$folder/emulated/vectors" --rows $vector_rows --device emulator ||
    [[ $? == 3 ]]
  du -sh "$folder"
}

# Of a stage, in seconds. A stage writes JSON files into its folder of $work.
declare -A limit=([conformance]=240 [fidelity]=45 [vectors]=60 [attention]=90 [prefill]=240 [compile]=30 [sanitizer]=60)

# Runs a program for as long as its stage may still take.
within() {
  local left=$((deadline - SECONDS))
  ((left > 0)) || return 124
  timeout --kill-after=5 "$left" "$@"
}

stage_conformance() {
  local spec name failed=0
  for spec in "$here"/specs/*.yaml; do
    name=$(basename "$spec" .yaml)
    within "$here/bin/octavo" run "$spec" --device "$device" --context "$context" --queries 3 --batch 2 \
      --check --json >"$work/run" || {
      echo "FAILED: $name"
      failed=1
    }
    [[ ! -s $work/run ]] || mv "$work/run" "$work/conformance/$name.json"
  done
  OCTAVO_TEST_DEVICE=$device within "$here/bin/octavo_test_differential" >"$work/run"
  local status=$?
  cat "$work/run"
  summary "$status" "$work/run" '^\[doctest\] (test cases|assertions)' >"$work/conformance/differential.json"
  return $((failed | (status != 0)))
}

# The exit status of a program, and those of its lines that count.
summary() {
  printf '{"status": %d, "summary": [' "$1"
  grep -E "$3" "$2" | sed -E 's/\x1b\[[0-9;]*m//g; s/["\\]/ /g; s/^=+ //' | awk '{ printf "%s\"%s\"", (NR > 1 ? ", " : ""), $0 }'
  printf ']}\n'
}

stage_fidelity() {
  within "$here/bin/fidelity" compare "$here/emulated/results" "$here"/specs/*.yaml --device "$device" \
    --json "$work/fidelity/results.json"
}

stage_vectors() {
  within "$here/bin/record_vectors" "$work/recorded" --rows $vector_rows --device "$device" "${dense[@]}" \
    --against "$here/emulated/vectors" --json "$work/vectors/instructions.json"
  local status=$? function
  tar czf "$out/vectors.tar.gz" -C "$work/recorded" --exclude=dense .
  for function in "$work"/recorded/dense/*/; do
    [[ ! -d $function ]] || tar czf "$out/$(basename "$function").tar.gz" -C "$function" .
  done
  return $status
}

stage_attention() {
  within "$here/bin/benchmark_attention" "$here/specs/llama-3.1-8b.yaml" --device "$device" \
    --json "$work/attention/llama-3.1-8b.json" "${sizes[@]}"
}

stage_prefill() {
  local scale
  for scale in head token_head; do
    within "$here/bin/benchmark_prefill" --device "$device" --scale "$scale" \
      --json "$work/prefill/$scale.json" "${prefill[@]}" || return
  done
}

stage_compile() {
  within "$here/bin/benchmark_compile" "$here/specs/llama-3.1-8b.yaml" --device "$device" \
    --json "$work/compile/llama-3.1-8b.json"
}

stage_sanitizer() {
  local tool sanitizer failed=0
  sanitizer=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer) || {
    echo "there is no compute-sanitizer here"
    return
  }
  for tool in memcheck racecheck; do
    within "$sanitizer" --tool $tool --error-exitcode 9 "$here/bin/octavo" run "$here/specs/gpt-oss-20b.yaml" \
      --device "$device" --context 300 --queries 3 --batch 2 --check >"$work/run" 2>&1
    local status=$?
    cat "$work/run"
    ((failed |= status != 0))
    summary $status "$work/run" '^=+ (ERROR|RACECHECK) SUMMARY|^ok' >"$work/sanitizer/$tool.json"
  done
  return $failed
}

# A folder's JSON files as one object, by their names.
object() {
  local file separator=
  printf '{'
  for file in "$1"/*.json; do
    [[ -s $file ]] || continue
    printf '%s\n"%s": ' "$separator" "$(basename "$file" .json)"
    cat "$file"
    separator=,
  done
  printf '}'
}

run_stages() {
  local stage start status stages=() failed=() objects=
  "$here/bin/octavo" doctor --json >"$work/machine"  # fails for want of an emulator
  for stage in "$@"; do
    start=$SECONDS
    deadline=$((start + limit[$stage]))
    echo "== $stage, at most ${limit[$stage]} s"
    mkdir -p "$work/$stage"
    "stage_$stage"
    status=$?
    echo "== $stage: $((SECONDS - start)) s, status $status"
    ((status == 0)) || failed+=("$stage")
    stages+=("{\"stage\": \"$stage\", \"seconds\": $((SECONDS - start)), \"status\": $status}")
    objects+=$(printf ',\n"%s": %s' "$stage" "$(object "$work/$stage")")
    printf '{\n"machine": %s,\n"stages": [%s]%s\n}\n' "$(cat "$work/machine")" \
      "$(IFS=,; echo "${stages[*]}")" "$objects" >"$out/results.json"
  done
  ((${#failed[@]} == 0)) || fail "failed: ${failed[*]}" 1
}

if [[ ${1-} == --help || ${1-} == -h ]]; then
  sed -n '3,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
  exit
fi
if [[ ${1-} == --package ]]; then
  [[ $# == 2 ]] || fail "usage: gpu.sh --package FOLDER" 2
  package "$2"
  exit
fi

device=cuda context=3000 dense=(--dense) sizes=() prefill=()
if [[ ${1-} == --device ]]; then
  device=${2-}
  shift 2 || fail "--device needs a name" 2
fi
if [[ $device == emulator* ]]; then
  context=200 dense=() sizes=(--batch 1 --context 200 --append 70 --ceiling-mib 1)
  prefill=(--dim 64 --tokens 100 --heads 1 --kv-heads 1)
fi
out=${1-}
[[ -n $out ]] || fail "usage: gpu.sh [--device NAME] OUT [STAGE ...]" 2
shift
(($#)) || set -- conformance fidelity vectors attention prefill compile sanitizer
for stage in "$@"; do [[ -n ${limit[$stage]-} ]] || fail "there is no stage $stage: ${!limit[*]}" 2; done
mkdir -p "$out" || fail "cannot make the folder $out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OCTAVO_CACHE_DIR=$work/cache
run_stages "$@" 2>&1 | tee "$out/gpu.log"
