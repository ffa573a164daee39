#!/usr/bin/env bash
# Starts vLLM as the gateway wants it. Everything that differs from site to site is a variable; every flag says why.
#
#   MODEL=Qwen/Qwen3-8B VLLM_API_KEY=... deploy/vllm/serve.sh
#
# The key is read from VLLM_API_KEY by vLLM itself: on the command line, `ps` would show it.
set -euo pipefail

MODEL="${MODEL:-Qwen/Qwen3-8B}"               # a name on the hub, or a folder
MODEL_REVISION="${MODEL_REVISION:-}"          # a commit of the hub: without it, a restart may load other weights
SERVED_NAME="${SERVED_NAME:-$MODEL}"          # `model` in the models file
HOST="${HOST:-0.0.0.0}"
PORT="${PORT:-8000}"
TENSOR_PARALLEL="${TENSOR_PARALLEL:-1}"       # GPUs that share the model; divides its attention heads
GPU_MEMORY="${GPU_MEMORY:-0.90}"
MAX_MODEL_LEN="${MAX_MODEL_LEN:-16384}"       # `context_tokens` in the models file
MAX_SEQUENCES="${MAX_SEQUENCES:-256}"
TOOL_PARSER="${TOOL_PARSER:-hermes}"          # how this family writes tool calls (Qwen: hermes); see `vllm serve --help`
REASONING_PARSER="${REASONING_PARSER-qwen3}"  # how it marks its thinking; empty: it does not think

flags=(
  --host "$HOST" --port "$PORT"

  # The name that requests use stays when the weights move to another folder.
  --served-model-name "$SERVED_NAME"

  # The weights are split over so many GPUs of this node. More is faster a token and holds larger models, but every layer
  # waits for the links between them: over PCIe, two copies with a GPU each answer more requests than one over two.
  --tensor-parallel-size "$TENSOR_PARALLEL"

  # The share of each GPU's memory for weights and KV cache. The rest is for CUDA graphs and fragmentation: above 0.95,
  # a burst of long prompts can run out of memory and end the process.
  --gpu-memory-utilization "$GPU_MEMORY"

  # Prompt and answer together. Left out, it is the model's own limit, for which the KV cache may be too small to start.
  # The gateway does not send what is longer than the models file's `context_tokens`: keep the two the same.
  --max-model-len "$MAX_MODEL_LEN"

  # Requests that are computed together (continuous batching). More answers in all, each of them slower; the others wait.
  --max-num-seqs "$MAX_SEQUENCES"

  # The KV blocks of a prompt's beginning are kept and shared by all requests that begin alike. Our prompts are written
  # for it: rules and role first, what changes last (docs/gateway.md). On by default, said here because we count on it.
  --enable-prefix-caching

  # `usage` tells how many of the prompt's tokens came from that cache.
  --enable-prompt-tokens-details

  # Long prompts are computed in pieces between the others' tokens, so that one does not make all streams stutter.
  --enable-chunked-prefill

  # Guided decoding for `response_format: json_schema`. Never off: the gateway repairs an answer that is no JSON by asking
  # again, which costs a whole call. "xgrammar" and not "auto", because only a named one takes the next flag.
  --structured-outputs-config.backend xgrammar

  # Between two fields any white space would be allowed, and weak models write it until their tokens are used up.
  --structured-outputs-config.disable_any_whitespace true

  # `tools` in a request: the model may choose to call one, and its own notation is parsed.
  --enable-auto-tool-choice --tool-call-parser "$TOOL_PARSER"

  # Sampling as the request says and vLLM's own defaults for the rest; not what the model's folder happens to name.
  --generation-config vllm

  # The same request with the same seed gives the same answer, as far as batching lets it.
  --seed 0
)
if [[ -n "$REASONING_PARSER" ]]; then
  flags+=(--reasoning-parser "$REASONING_PARSER")
fi
if [[ -n "$MODEL_REVISION" ]]; then
  flags+=(--revision "$MODEL_REVISION")
fi

# Left out on purpose: --trust-remote-code (runs Python that comes with the weights) and --enable-log-requests (writes
# prompts to the log). "$@" adds flags of the site's own, which win over those above.
exec vllm serve "$MODEL" "${flags[@]}" "$@"
