"""The process that holds the offline model; `chat.engines.local` starts it, nothing imports it.

Run as a script. Its first line of input is a JSON object `{model, slots, context, threads,
key}`; its one line of output `{"address": ...}` or `{"error": ...}`. It serves until its input
ends, which happens however the parent dies, SIGKILL included.
"""

import json
import os
import sys

import xllamacpp

# A closed connection is noticed only when something is written to it: with `return_progress`
# (see chat.engines.local) that is once per batch of the prompt, and it takes effect after the next.
# Measured on two quiet cores, a cancelled question of 1,100 tokens went on for 3.9 s without it,
# for 0.8 s with batches of 128, 0.4 s with 64, 0.2 s with 32. Reading costs little: 220, 200 and 180
# tokens/s. On a busy machine all of it takes several times as long, hence the small one.
PROMPT_BATCH = 32
# Prompts of earlier turns kept for the next one; the default is 8 GiB.
PROMPT_CACHE_MIB = 256


def main() -> None:
    """Loads the model, says where it listens, waits for the end of input."""
    # llama.cpp prints as it likes: keep the real output for our one line.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        # Bound, not dropped: the server ends with its last reference.
        server = xllamacpp.Server(_params(json.loads(sys.stdin.readline())))
        said = {"address": server.listening_address}
    except Exception as error:  # whatever it is, the parent must hear of it
        said = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(said), file=answer, flush=True)  # our protocol with the parent
    if "address" in said:
        sys.stdin.read()


def _params(options: dict[str, object]) -> xllamacpp.CommonParams:
    slots, context = int(str(options["slots"])), int(str(options["context"]))
    # One CPU is left to the server: llama.cpp's threads wait for each other hundreds of times in a
    # batch, and on two busy cores two of them read 50 tokens/s where one alone reads 100.
    threads = int(str(options["threads"])) or max(1, (os.cpu_count() or 1) - 1)
    params = xllamacpp.CommonParams()
    params.model.path = str(options["model"])
    params.model_alias = {"local"}
    # Each slot has its share of the whole context.
    params.n_parallel, params.n_ctx = slots, slots * context
    params.n_batch = params.n_ubatch = PROMPT_BATCH
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = PROMPT_CACHE_MIB
    # Loopback is open to every account of the machine: only we know the key.
    # Threads for each slot's answer and for counting tokens meanwhile.
    params.n_threads_http = slots + 4
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [str(options["key"])]
    params.ui, params.verbosity = False, -1
    # A comment every few seconds while a long prompt is read, so that nobody takes it for dead.
    params.sse_ping_interval = 5
    return params


if __name__ == "__main__":
    main()
