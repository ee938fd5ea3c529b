#!/usr/bin/env python3
"""Does what is decompiled do what it did? In real programs, function by function.

A package's sources are linked with a program that uses it. Each function that
this program calls is decompiled, compiled again as C, and takes the place of the
original in the running program: a jump is put over its first bytes. It does the
same if the whole program prints what it printed before.

    benches/decompile.py zlib=DIR bzip2=DIR lua=DIR --levels O0,O2,O3,Os --compilers gcc,clang
    benches/decompile.py /usr/bin/gzip /usr/bin/ssh

DIR holds the package's C files. Functions that the program never calls, or that
are shorter than a jump, are not counted. Of a file it is only counted how many of
its functions a compiler takes, of 400 at most, spread over the file.
"""

import argparse
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What of a package is no part of its library.
LEFT_OUT = {
    "zlib": {"example.c", "minigzip.c", "gzread.c", "gzwrite.c", "gzlib.c", "gzclose.c"},
    "bzip2": {"bzip2.c", "bzip2recover.c", "dlltest.c", "spewG.c", "unzcrash.c", "mk251.c"},
    "lua": {"lua.c", "luac.c", "ltests.c", "onelua.c"},
}


def run(command, **more):
    return subprocess.run(command, capture_output=True, timeout=60, **more)


def measure(binscribe, package, folder, compiler, level):
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        program = work / "program"
        sources = sorted(glob.glob(f"{folder}/*.c"))
        sources = [s for s in sources if os.path.basename(s) not in LEFT_OUT[package]]
        # Callers in the same file count on what a function leaves alone, and its
        # replacement is another.
        alike = ["-fno-ipa-ra"] if "gcc" in compiler else []
        flags = ["-w", *alike, f"-{level}", "-fwrapv", "-fno-strict-aliasing", "-no-pie", "-fno-pie"]
        objects = []
        for source in sources:
            made = work / (os.path.basename(source) + ".o")
            subprocess.run([compiler, *flags, "-I", folder, "-c", source, "-o", made], check=True)
            objects.append(made)
        own = [HERE / "decompile" / f"{package}.c", HERE / "decompile" / "patch.c"]
        subprocess.run(
            [compiler, *flags, "-I", folder, "-o", program, *objects, *own, "-ldl", "-lm"], check=True
        )
        expected = run([program]).stdout
        names = set()
        for made in objects:
            for line in run(["nm", made], text=True).stdout.splitlines():
                if line.split()[-2] in "tT":
                    names.add(line.split()[-1])
        listed = json.loads(run([binscribe, "functions", program, "--format", "json"]).stdout)
        functions = {f["name"]: f for f in listed["functions"] if f["name"]}
        plain = lambda name: re.sub(r"\W", "_", name)
        addresses = {plain(name): f["address"] for name, f in functions.items()}

        def one(name):
            function = functions.get(name)
            if not function or function["size"] < 5:
                return None
            address = function["address"]
            asked = dict(os.environ, REPLACE=address)
            if run([program], env=asked).returncode >= 0:
                return None
            told = run([binscribe, "decompile", program, address, "--format", "json"])
            if told.returncode:
                return name, "refused"
            told = json.loads(told.stdout)
            # The types and helpers are those of `--complete`.
            prelude = run([binscribe, "decompile", program, address, "--complete"], text=True).stdout
            source, library = work / f"{name}.c", work / f"{name}.so"
            alias = f'__typeof__({plain(name)}) replacement __attribute__((alias("{plain(name)}")));'
            source.write_text(f"{prelude}\n{alias}\n")
            link = ["gcc", "-w", "-Werror=implicit-function-declaration", "-O1", "-fwrapv", "-fno-strict-aliasing", "-fno-builtin", "-shared",
                    "-fPIC", "-o", library, source]
            link += [f"-Wl,--defsym={g['name']}={g['address']}" for g in told["globals"] if g["address"]]
            link += [f"-Wl,--defsym={c}={addresses[c]}" for c in told["calls"] if c in addresses]
            made = run(link, text=True)
            if made.returncode:
                return name, "not compiled"
            asked["REPLACE"] = f"{address}={library}"
            try:
                answer = run([program], env=asked)
            except subprocess.TimeoutExpired:
                return name, "different"
            same = answer.returncode == 0 and answer.stdout == expected
            return name, "same" if same else "different"

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return [found for found in pool.map(one, sorted(names)) if found]


def takes(binscribe, path):
    """How many functions of a file there are, a compiler takes, are refused; lines; gotos."""
    listed = json.loads(run([binscribe, "functions", path, "--format", "json"]).stdout)
    functions = [f["address"] for f in listed["functions"] if f["size"]]
    functions = functions[:: max(1, -(-len(functions) // 400))]

    def one(address):
        told = run([binscribe, "decompile", path, address, "--complete"], text=True)
        if told.returncode:
            return "refused", 0, 0
        flags = ["-w", "-fno-builtin", "-Werror=implicit-function-declaration", "-fsyntax-only"]
        made = run(["gcc", *flags, "-x", "c", "-"], input=told.stdout, text=True)
        code = told.stdout[told.stdout.rfind("\n{\n") :]
        kind = "not compiled" if made.returncode else "compiled"
        return kind, code.count("\n"), code.count("goto ")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(one, functions))
    kinds = [kind for kind, *_ in found]
    counts = [kinds.count(kind) for kind in ("compiled", "not compiled", "refused")]
    return len(found), *counts, sum(f[1] for f in found), sum(f[2] for f in found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", metavar="NAME=DIR|FILE")
    parser.add_argument("--levels", default="O0,O1,O2,O3,Os")
    parser.add_argument("--compilers", default="gcc,clang")
    parser.add_argument("--binscribe", default=str(HERE.parent / "target/release/binscribe"))
    parser.add_argument("--show", action="store_true", help="name the functions that are not the same")
    args = parser.parse_args()
    files = [package for package in args.packages if "=" not in package]
    if files:
        print("| file | functions | compiled | not compiled | refused | lines | gotos |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for path in files:
            figures = " | ".join(map(str, takes(args.binscribe, path)))
            print(f"| {os.path.basename(path)} | {figures} |", flush=True)
        args.packages = [package for package in args.packages if package not in files]
        if not args.packages:
            return
    print("| package | compiler | level | functions | the same | different | not compiled | refused |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    total = {}
    for package in args.packages:
        name, folder = package.split("=", 1)
        for compiler in args.compilers.split(","):
            for level in args.levels.split(","):
                found = measure(args.binscribe, name, folder, compiler, level)
                counts = {kind: sum(k == kind for _, k in found) for kind in ("same", "different", "not compiled", "refused")}
                for kind, count in counts.items():
                    total[kind] = total.get(kind, 0) + count
                print(f"| {name} | {compiler} | {level} | {len(found)} | " + " | ".join(map(str, counts.values())) + " |", flush=True)
                if args.show:
                    for function, kind in found:
                        if kind != "same":
                            print(f"  {function}: {kind}", file=sys.stderr)
    print(f"| all | | | {sum(total.values())} | " + " | ".join(map(str, total.values())) + " |")


if __name__ == "__main__":
    main()
