#!/usr/bin/env bash
# All that wants measuring when a CUDA machine is at hand for ten minutes: the gpu-marked tests, labelling rounds a
# second with 1 to 4,096 episodes, fine-tuned episodes side by side, and one fine-tuning round against the CPU.
#
#   experiments/benchmarks/gpu.sh OUT [--device cuda] [--corpus NAME] [--model NAME] [--seconds 480] [--tiny]
#
# Writes one folder and stops by itself after SECONDS with whatever it has. PYTHON names the interpreter (default:
# the project's environment, or python3). --tiny tries every part with the smallest sizes.
set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
usage() { echo "usage: gpu.sh OUT [--device cuda] [--corpus NAME] [--model NAME] [--seconds 480] [--tiny]" >&2; exit 2; }

out="" device=cuda corpus=crowd_tweets model=minilm seconds=480 tiny=""
while [ $# -gt 0 ]; do
  case $1 in
    --tiny) tiny=1 ;;
    --device | --corpus | --model | --seconds) [ $# -gt 1 ] || usage; declare "${1#--}=$2"; shift ;;
    -*) usage ;;
    *) [ -z "$out" ] || usage; out=$1 ;;
  esac
  shift
done
[ -n "$out" ] || usage
python=${PYTHON:-$([ -x "$top/.venv/bin/python" ] && echo "$top/.venv/bin/python" || echo python3)}
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2
[ ! -d "$corpus" ] || corpus=$(cd "$corpus" && pwd)
[ ! -d "$model" ] || model=$(cd "$model" && pwd)
cd "$top" || exit 2
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false

begun=$SECONDS
# part NAME MOST COMMAND...: run for at most MOST seconds and never past the end; what it prints goes to NAME.log.
# The smallest sizes are for machines of any speed: of these a part may take as long as there is.
part() {
  local name=$1 most=$2 left=$((seconds - (SECONDS - begun))) before=$SECONDS status
  shift 2
  [ -z "$tiny" ] || most=$left
  if [ "$left" -le 5 ]; then echo "$name: no time left" | tee -a "$out/parts.txt"; return; fi
  timeout --kill-after=5 "$((most < left ? most : left))" "$@" >"$out/$name.log" 2>&1
  status=$?
  [ "$status" -ne 124 ] || status="cut off"
  echo "$name: status $status after $((SECONDS - before)) s" | tee -a "$out/parts.txt"
}

: >"$out/parts.txt"
git rev-parse HEAD >"$out/commit.txt" 2>/dev/null || true
if [ -n "$tiny" ]; then
  tests=tests/encoders/test_neighbours.py
  rounds=(--corpus synthetic --episodes 1 4 --seconds 0)
  together=(--episodes 1 2 --rounds 1 --pool 60 --max-length 16)
  one=(--labels 20 --pool 60 --repeats 1 --max-length 16)
else
  tests=tests
  rounds=(--corpus "$corpus" --episodes 1 16 64 256 1024 4096)
  together=(--episodes 1 8 32 64 128) one=()
fi
same=(--device "$device" --out "$out" --model "$model")
package=react_rl.experiments.benchmarks
part tests 150 "$python" -m pytest -q -m gpu -p no:cacheprovider "$tests"
part rounds 100 "$python" -m $package.device_rounds "${same[@]}" "${rounds[@]}"
part one-round 60 "$python" -m $package.finetune.one_round "${same[@]}" --corpus "$corpus" "${one[@]}"
part together 180 "$python" -m $package.finetune.together "${same[@]}" --corpus "$corpus" "${together[@]}"
if [ "$device" != cpu ]; then
  same[1]=cpu
  cores=$(nproc)
  part one-round-cpu 90 "$python" -m $package.finetune.one_round "${same[@]}" --corpus "$corpus" "${one[@]}" --threads "$cores"
  part rounds-cpu 40 "$python" -m $package.device_rounds "${same[@]}" "${rounds[@]}"
fi
! grep -q "status [1-9]" "$out/parts.txt"
