#!/usr/bin/env python3
"""Times embedding the functions of a program: binscribe against ONNX Runtime.

Both run the same 8-bit graph of a model directory on the same tokens. The
rounds alternate, so that other work on the machine meets both alike, and each
engine's best and median round is reported in tokens that are not padding, a
second. ONNX Runtime is fed in three ways:

  file order   batches of 32 as they come, padded to the longest: common practice
  sorted       batches of 32 of similar length, padded to the longest
  one by one   no batches and no padding, all threads in one function

    pip install onnxruntime numpy
    benches/embed_vs_onnxruntime.py /usr/bin/diff --model models/default
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parent.parent


class Binscribe:
    def __init__(self, model, program, threads, folder):
        build = "cargo build --release --quiet --package binscribe-model --example embed_bench"
        subprocess.run(build.split(), cwd=ROOT, check=True)
        self.encodings = Path(folder, "encodings.json")
        self.vectors = Path(folder, "vectors.json")
        meta = json.loads(
            subprocess.run(
                "cargo metadata --format-version 1 --no-deps".split(),
                cwd=ROOT, check=True, capture_output=True,
            ).stdout
        )
        example = Path(meta["target_directory"], "release/examples/embed_bench")
        self.process = subprocess.Popen(
            [example, model, program, str(threads), self.encodings, self.vectors],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.process.stdout.readline()  # says that it is ready

    def run(self):
        """Seconds of one round."""
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


class OnnxRuntime:
    def __init__(self, model, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            Path(model, "assembly.int8.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def run(self, batches, count, width):
        """Seconds of one round, and the vectors."""
        vectors = np.zeros((count, width), np.float32)
        start = time.perf_counter()
        for batch in batches:
            longest = max(len(ids) for _, ids, _ in batch)
            shape = (len(batch), longest)
            ids, instructions, mask = (np.zeros(shape, np.int64) for _ in range(3))
            for row, (_, tokens, owners) in enumerate(batch):
                ids[row, : len(tokens)] = tokens
                instructions[row, : len(tokens)] = owners
                mask[row, : len(tokens)] = 1
            inputs = {"input_ids": ids, "instruction_ids": instructions, "attention_mask": mask}
            (out,) = self.session.run(["embedding"], inputs)
            vectors[[index for index, _, _ in batch]] = out
        return time.perf_counter() - start, vectors


def batches_of(functions, size):
    return [functions[i : i + size] for i in range(0, len(functions), size)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("program", help="an ELF file whose functions are embedded")
    parser.add_argument("--model", default=ROOT / "models/default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        binscribe = Binscribe(args.model, args.program, args.threads, folder)
        functions = [(i, *e) for i, e in enumerate(json.loads(binscribe.encodings.read_text()))]
        tokens = sum(len(ids) for _, ids, _ in functions)
        print(f"{len(functions)} functions, {tokens} tokens, {args.threads} threads, "
              f"ONNX Runtime {onnxruntime.__version__}")

        ort = OnnxRuntime(args.model, args.threads)
        by_length = sorted(functions, key=lambda f: len(f[1]))
        feeds = {
            "file order": batches_of(functions, 32),
            "sorted": batches_of(by_length, 32),
            "one by one": batches_of(functions, 1),
        }
        width = json.loads(Path(args.model, "config.json").read_text())["output_size"]
        seconds = {name: [] for name in ["binscribe", *feeds]}
        for _ in range(args.rounds):
            seconds["binscribe"].append(binscribe.run())
            ours = np.array(json.loads(binscribe.vectors.read_text()))
            for name, batches in feeds.items():
                took, theirs = ort.run(batches, len(functions), width)
                seconds[name].append(took)
        # Of the last feed, which quantises what binscribe quantises.
        cosines = (ours * theirs).sum(axis=1)
        print(f"least cosine between the two engines' vectors: {cosines.min():.5f}")

        speed = {n: (tokens / min(s), tokens / statistics.median(s)) for n, s in seconds.items()}
        print(f"{'engine':<28}{'best':>12}{'median':>12}   tokens/s")
        for name, (best, median) in speed.items():
            label = name if name == "binscribe" else f"ONNX Runtime, {name}"
            print(f"{label:<28}{best:>12,.0f}{median:>12,.0f}")
        for name in feeds:
            best, median = (a / b for a, b in zip(speed["binscribe"], speed[name]))
            print(f"binscribe / ONNX Runtime, {name:<12} {best:.2f} (best) {median:.2f} (median)")


if __name__ == "__main__":
    main()
