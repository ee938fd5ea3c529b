#!/usr/bin/env python3
"""Times reading code: binscribe's lifter against disassemblers.

Each program takes the same files whole: the two objdumps disassemble linearly,
radare2 and smda find functions and analyse them, and binscribe's lifter reads
the file, finds the functions and makes every listing with its facts. The rounds
alternate, so that other work on the machine meets all alike. CPU seconds (user
and system) are the kernel's count for the process (wait4), peak resident memory
that of GNU time in one run more, a small parent: a child of this program inherits
its peak. Reported are the medians of the rounds, and how many times binscribe's CPU
seconds each program takes in the same run; "cores" are CPU seconds by wall
seconds, which other work on the machine lowers. A program that takes longer
than --limit seconds is not asked again about that file; the sums over all files
are of those that took all.

Every llvm-objdump of the path is taken (llvm-objdump-14, llvm-objdump-19), and
the radare2 and smda that `cargo xtask discovery` has fetched, if there are no
others.

    apt-get install time binutils llvm
    benches/lift.py /usr/bin/ssh /usr/lib/x86_64-linux-gnu/libcrypto.so.3
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SMDA = """
import sys
from smda.Disassembler import Disassembler
Disassembler().disassembleFile(sys.argv[1])
"""


def example():
    build = "cargo build --release --quiet --package binscribe-lift --example lift_bench"
    subprocess.run(build.split(), cwd=ROOT, check=True)
    meta = json.loads(
        subprocess.run(
            "cargo metadata --format-version 1 --no-deps".split(),
            cwd=ROOT, check=True, capture_output=True,
        ).stdout
    )
    return Path(meta["target_directory"], "release/examples/lift_bench")


def llvm_objdumps(names):
    """Those that are named, or all of the path, by their names."""
    if not names:
        folders = [Path(folder) for folder in os.get_exec_path() if Path(folder).is_dir()]
        names = {path.name for folder in folders for path in folder.glob("llvm-objdump-[0-9]*")}
    # Links to one program are one.
    found = {}
    for name in [*sorted(names), "llvm-objdump"]:
        if path := shutil.which(name):
            found.setdefault(os.path.realpath(path), name)
    return {name: path for path, name in found.items()}


def radare2(command):
    if command:
        return command.split()
    fetched = ROOT / "target/discovery/radare2/usr"
    libraries = fetched / "lib/x86_64-linux-gnu"
    if (fetched / "bin/radare2").exists():
        loader = libraries / "ld-linux-x86-64.so.2"
        return [str(loader), "--library-path", str(libraries), str(fetched / "bin/radare2")]
    installed = shutil.which("radare2")
    return [installed] if installed else None


def python_with_smda(python):
    for python in filter(None, [python, ROOT / "target/discovery/smda/bin/python", sys.executable]):
        if shutil.which(python):
            if subprocess.run([python, "-c", "import smda"], capture_output=True).returncode == 0:
                return str(python)
    return None


def tools(args):
    """Name and command of each program that is here."""
    lifter = str(example())
    found = {"binscribe": [lifter], "binscribe, 2 threads": [lifter, "--threads", "2"]}
    for name, path in llvm_objdumps(args.llvm_objdump).items():
        found[name] = [path, "-d", "--x86-asm-syntax=intel"]
    if objdump := shutil.which("objdump"):
        found["objdump"] = [objdump, "-d", "-M", "intel"]
    if command := radare2(args.radare2):
        found["radare2"] = [*command, "-q", "-2", "-N", "-e", "scr.color=0", "-c", "aaa;aflq"]
    if python := python_with_smda(args.python):
        found["smda"] = [python, "-c", SMDA]
    return found


def once(command, limit):
    """CPU seconds, wall seconds and output; None when it takes too long."""
    with tempfile.TemporaryFile() as text:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=text if is_lifter(command) else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, process_group=0,
        )
        timer = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode == -signal.SIGKILL:
            return None
        if process.returncode != 0:
            sys.exit(f"{command}: {process.returncode}")
        text.seek(0)
        return usage.ru_utime + usage.ru_stime, wall, text.read().decode()


def is_lifter(command):
    return command[0].endswith("lift_bench")


def on(command, file):
    # binscribe's options follow the file, those of the others precede it.
    return [command[0], file, *command[1:]] if is_lifter(command) else [*command, file]


def peak(command):
    """Peak bytes."""
    with tempfile.NamedTemporaryFile() as told:
        command = ["time", "--quiet", "-f", "%M", "-o", told.name, *command]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return int(Path(told.name).read_text().split()[-1]) * 1024


def measure(file, found, args):
    """Rounds of each program, in turn."""
    rounds = {name: [] for name in found}
    left = dict(found)
    for _ in range(args.rounds):
        for name, command in list(left.items()):
            result = once(on(command, file), args.limit)
            if result is None:
                del left[name]
            else:
                rounds[name].append(result)
            # A slow program would make the run hours long.
            if result and result[1] > args.limit / 10:
                del left[name]
    return rounds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=120, help="seconds (120)")
    parser.add_argument("--llvm-objdump", action="append", help="one of them; all of the path otherwise")
    parser.add_argument("--radare2", help="command that starts it, if not on the path")
    parser.add_argument("--python", help="the Python that has smda")
    args = parser.parse_args()
    found = tools(args)
    print("| file | MB | program | CPU s | times binscribe's | wall s | cores | MB of code / CPU s | peak, of file size |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    sums = {name: [] for name in found}
    for file in args.files:
        rounds = measure(file, found, args)
        size = os.path.getsize(file)
        lines = [result[2].split() for result in rounds["binscribe"]]
        functions, instructions, code, text = (int(number) for number in lines[-1][2:])
        parse, listing = (statistics.median(float(line[at]) for line in lines) for at in (0, 1))
        medians = {
            name: [statistics.median(column) for column in list(zip(*results))[:2]]
            for name, results in rounds.items() if results
        }
        reference = medians["binscribe"][0]
        for name in found:
            head = f"| {Path(file).name} | {size / 1e6:.1f} | {name} "
            if name not in medians:
                print(f"{head}| > {args.limit:.0f} | > {args.limit / reference:.0f} | | | | |")
                continue
            cpu, wall = medians[name]
            sums[name].append(cpu)
            most = peak(on(found[name], file)) / size
            print(
                f"{head}| {cpu:.2f} | {cpu / reference:.1f} | {wall:.2f} | {cpu / wall:.2f} "
                f"| {code / cpu / 1e6:.1f} | {most:.2f} |",
                flush=True,
            )
        print(
            f"{Path(file).name}: {functions} functions, {instructions} instructions, "
            f"{code / 1e6:.2f} MB of code, {text / 1e6:.1f} MB of text; one thread, medians of CPU seconds: "
            f"{parse:.3f} to read and discover, {listing:.3f} for the listings: "
            f"{code / listing / 1e6:.1f} MB of code a second and core",
            file=sys.stderr,
        )
    for name, seconds in sums.items():
        if len(seconds) == len(args.files):
            times = sum(seconds) / sum(sums["binscribe"])
            print(f"| all | | {name} | {sum(seconds):.2f} | {times:.1f} | | | | |")


if __name__ == "__main__":
    main()
