# Gives functions the names and remarks that binscribe has for them.
#
# `binscribe export FILE --to ghidra -o names.py` writes this script with DATA filled
# in; by itself it asks for what `binscribe export FILE --to json` wrote. Run it from
# the Script Manager, or headless:
#
#   analyzeHeadless PROJECT NAME -process FILE -postScript names.py
#
# It runs in PyGhidra and in Jython. A name that Ghidra did not make itself is never
# replaced. Names get the source ANALYSIS, so that a person's have precedence.
#@category binscribe

import json

from ghidra.program.model.symbol import SourceType

# apply: rename and remark; comment: remark only; show: print only; undo: take back
# what was applied and has not been changed since.
MODE = "apply"
DATA = None

MARK = "binscribe: "


def read_data():
    if DATA is not None:
        return json.loads(DATA)
    chosen = askFile("What `binscribe export FILE --to json` wrote", "Open")
    with open(chosen.getAbsolutePath()) as file:
        return json.load(file)


def others(comment):
    """The lines of a comment that are not binscribe's."""
    lines = (comment or "").split("\n")
    return [line for line in lines if line and not line.startswith(MARK)]


def remarks(entry):
    return [MARK + line for line in (entry["comment"] or "").split("\n") if line]


def remark(function, lines):
    comment = "\n".join(lines)
    if comment != (function.getComment() or ""):
        function.setComment(comment or None)


def main():
    data = read_data()
    if data["version"] != 1:
        raise ValueError("this script reads version 1, not %s" % data["version"])
    hashed = currentProgram.getExecutableSHA256()
    if hashed and hashed.lower() != data["sha256"]:
        raise ValueError("made for another file: %s" % data["binary"]["path"])
    base = currentProgram.getImageBase()
    named, kept, missing = 0, 0, 0
    for entry in data["functions"]:
        function = getFunctionAt(base.add(int(entry["rva"], 16)))
        if function is None:
            missing += 1
            continue
        name, symbol = entry["name"], function.getSymbol()
        if MODE == "undo":
            if name and symbol.getSource() == SourceType.ANALYSIS and function.getName() == name:
                function.setName(None, SourceType.DEFAULT)
                named += 1
            remark(function, others(function.getComment()))
            continue
        free = symbol.getSource() == SourceType.DEFAULT
        if name and not free:
            kept += 1
        if MODE == "show":
            if name and free:
                named += 1
                print("%s %s -> %s" % (entry["address"], function.getName(), name))
            continue
        remark(function, others(function.getComment()) + remarks(entry))
        if name and free and MODE == "apply":
            function.setName(name, SourceType.ANALYSIS)
            named += 1
    done = {"apply": "named", "comment": "named", "show": "would be named", "undo": "taken back"}
    print(
        "binscribe: %d %s, %d kept the name they had, %d are no functions here"
        % (named, done[MODE], kept, missing)
    )


main()
