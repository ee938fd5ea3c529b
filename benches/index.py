#!/usr/bin/env python3
"""Times a question to an index of many functions: binscribe against FAISS.

The functions are those of real programs (`binscribe embed`), each again and again
with a little noise until there are N, in programs of 500. binscribe has them in an
index, FAISS in an IndexFlatIP file, which compares all of them exactly, and in an
IndexHNSWFlat file, which does not. What is asked is the same vector, that of one
function of PROGRAM. Timed are whole processes, which start, read their file, and print
the ten nearest, in turn; the files were read before, so that they lie in memory. Of
binscribe's question the same to an index of one program is shown, too: what it takes to
read PROGRAM and the model. Recall is of the exact ten nearest.

    pip install faiss-cpu numpy pyarrow blake3
    benches/index.py --functions 1000000 /usr/bin/gzip 0xc770 --from /usr/bin/ssh
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import blake3
import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
IN_PROGRAM = 500
FAISS = """
import sys, faiss, numpy
faiss.omp_set_num_threads(int(sys.argv[4]))
index = faiss.read_index(sys.argv[1])
if sys.argv[3] != "0":
    index.hnsw.efSearch = int(sys.argv[3])
print(*index.search(numpy.load(sys.argv[2]), 10)[1][0])
"""


def write_program(folder, model, number, vectors):
    """A program of an index, as crates/index/src/program.rs writes it."""
    rows = len(vectors)
    scale = np.abs(vectors).max(axis=1) / 127
    steps = np.round(vectors / scale[:, None]).astype(np.int8)
    address = np.arange(rows, dtype=np.uint64) * 64 + 4096
    name = f"{number:064x}"
    facts = {
        "path": f"program-{number}", "blake3": name, "format": "elf", "arch": "x86-64",
        "image_base": 0, "size": 1, "stripped": True, "functions": rows,
    }
    codes = [(number * IN_PROGRAM + row).to_bytes(16, "big") for row in range(rows)]
    columns = {
        "address": pa.array(address), "rva": pa.array(address),
        "size": pa.array(np.full(rows, 64, np.uint64)),
        "name": [f"f{row}" for row in range(rows)], "symbol": pa.array(np.arange(1, rows + 1, dtype=np.uint64)),
        "own_name": pa.nulls(rows, pa.string()), "source_file": pa.nulls(rows, pa.string()),
        "words": ["some words of it"] * rows, "code": pa.array(codes, pa.binary(16)),
        "scale": pa.array(scale.astype(np.float32)),
        "vector": pa.array([row.tobytes() for row in steps], pa.binary(vectors.shape[1])),
    }
    table = pa.table(columns).replace_schema_metadata({
        "binscribe.schema": "1", "binscribe.model": model, "binscribe.program": json.dumps(facts),
    })
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression={c: "none" if c == "vector" else "zstd" for c in columns},
                   use_dictionary=False)
    data = sink.getvalue().to_pybytes()
    check = blake3.blake3(data).hexdigest()[:16]
    Path(folder, "programs", f"{name}.{check}.parquet").write_bytes(data)


def write_index(folder, model, vectors):
    Path(folder, "programs").mkdir(parents=True)
    meta = {"version": 1, "model": model, "width": vectors.shape[1]}
    Path(folder, "index.json").write_text(json.dumps(meta))
    for number, at in enumerate(range(0, len(vectors), IN_PROGRAM)):
        write_program(folder, model, number, vectors[at : at + IN_PROGRAM])


def timed(command, folder):
    """Wall and CPU seconds, MB at the most, and what was printed."""
    # A child of ours would be said to have had our own memory.
    figures = Path(folder, "time")
    measured = ["/usr/bin/time", "-o", figures, "-f", "%U %S %M", *command]
    start = time.perf_counter()
    said = subprocess.run(measured, check=True, capture_output=True, text=True).stdout
    wall = time.perf_counter() - start
    user, system, memory = map(float, figures.read_text().split())
    return wall, user + system, memory / 1000, said


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("program")
    arguments.add_argument("function")
    arguments.add_argument("--from", dest="source", required=True, help="a file or directory to embed")
    arguments.add_argument("--functions", type=int, default=1_000_000)
    arguments.add_argument("--binscribe", default=ROOT / "target/release/binscribe")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=os.cpu_count())
    args = arguments.parse_args()
    run = lambda *words: subprocess.run([args.binscribe, *words], check=True, capture_output=True, text=True).stdout
    model = json.loads(run("model", "info", "--format", "json"))["model"]["id"]

    with tempfile.TemporaryDirectory() as folder:
        place = lambda name: str(Path(folder, name))
        stacked = lambda file: np.stack(pq.read_table(file)["vector"].to_numpy(zero_copy_only=False))
        run("embed", args.source, "-o", place("some.parquet"))
        some = stacked(place("some.parquet"))
        run("embed", args.program, "-o", place("query.parquet"))
        table = pq.read_table(place("query.parquet"))
        row = table["address"].to_pylist().index(int(args.function, 16))
        query = stacked(place("query.parquet"))[row : row + 1]

        random = np.random.default_rng(1)
        vectors = some[random.integers(len(some), size=args.functions)]
        vectors += random.normal(0, 0.3 / vectors.shape[1] ** 0.5, vectors.shape).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        write_index(place("index"), model, vectors)
        write_index(place("small"), model, vectors[:1])
        np.save(place("query.npy"), query)
        flat = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(vectors)
        exact = set(flat.search(query, 10)[1][0])
        faiss.write_index(flat, place("flat"))
        started = time.perf_counter()
        graph = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
        graph.add(vectors)
        building = time.perf_counter() - started
        faiss.write_index(graph, place("graph"))
        del flat, graph, vectors

        os.environ["RAYON_NUM_THREADS"] = str(args.threads)
        ask = lambda index: [args.binscribe, "similar", args.program, args.function, "--in", place(index), "--format", "json"]
        faiss_ask = lambda index, effort: [sys.executable, "-c", FAISS, place(index), place("query.npy"), effort, str(args.threads)]
        commands = {
            "binscribe": ask("index"), "binscribe, one function": ask("small"),
            "FAISS, exact": faiss_ask("flat", "0"), "FAISS, HNSW": faiss_ask("graph", "64"),
        }
        rounds = {name: [] for name in commands}
        for _ in range(args.rounds + 1):
            for name, command in commands.items():
                rounds[name].append(timed(command, folder))
        size = lambda name: sum(f.stat().st_size for f in [Path(place(name)), *Path(place(name)).rglob("*")] if f.is_file()) / 1e6
        files = {"binscribe": "index", "binscribe, one function": "small", "FAISS, exact": "flat", "FAISS, HNSW": "graph"}
        print(f"{args.functions} functions, {args.threads} threads; FAISS {faiss.__version__}, its graph took {building:.0f} s to make\n")
        print("| | wall, s | CPU, s | peak memory, MB | files, MB | recall of the ten nearest |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for name, found in rounds.items():
            found = found[1:]
            wall, cpu, memory = (statistics.median(r[i] for r in found) for i in range(3))
            said = found[0][3]
            if name.startswith("binscribe"):
                places = {int(m["binary"]["blake3"], 16) * IN_PROGRAM + (int(m["function"]["address"], 16) - 4096) // 64
                          for m in json.loads(said)["matches"]}
            else:
                places = {int(word) for word in said.split()}
            recall = "" if name.endswith("one function") else f"{len(places & exact) / 10:.1f}"
            print(f"| {name} | {wall:.2f} | {cpu:.2f} | {memory:.0f} | {size(files[name]):.0f} | {recall} |")


if __name__ == "__main__":
    main()
