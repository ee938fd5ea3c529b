# Gives functions the names and remarks that binscribe has for them.
#
# `binscribe export FILE --to binaryninja -o names.py` writes this script with DATA
# filled in; by itself it asks for what `binscribe export FILE --to json` wrote. Run
# it by File > Run Script..., which gives it the open file as `bv`.
#
# Only names that Binary Ninja made itself (sub_...) are replaced.

import hashlib
import json

# apply: rename and remark; comment: remark only; show: print only; undo: take back
# what was applied and has not been changed since.
MODE = "apply"
DATA = None

MARK = "binscribe: "


def read_data():
    if DATA is not None:
        return json.loads(DATA)
    from binaryninja.interaction import get_open_filename_input

    path = get_open_filename_input("What `binscribe export FILE --to json` wrote", "*.json")
    if not path:
        return None
    with open(path) as file:
        return json.load(file)


def others(comment):
    """The lines of a comment that are not binscribe's."""
    lines = (comment or "").split("\n")
    return [line for line in lines if line and not line.startswith(MARK)]


def remarks(entry):
    return [MARK + line for line in (entry["comment"] or "").split("\n") if line]


def remark(function, lines):
    comment = "\n".join(lines)
    if comment != (function.comment or ""):
        function.comment = comment


def main(view):
    data = read_data()
    if data is None:
        return
    if data["version"] != 1:
        raise ValueError("this script reads version 1, not %s" % data["version"])
    raw = view.file.raw
    if raw is not None and raw.length:
        if hashlib.sha256(raw.read(0, raw.length)).hexdigest() != data["sha256"]:
            raise ValueError("made for another file: %s" % data["binary"]["path"])
    named, kept, missing = 0, 0, 0
    for entry in data["functions"]:
        function = view.get_function_at(view.start + int(entry["rva"], 16))
        if function is None:
            missing += 1
            continue
        name = entry["name"]
        free = function.symbol.auto and function.name.startswith("sub_")
        if MODE == "undo":
            if name and not function.symbol.auto and function.name == name:
                function.name = None
                named += 1
            remark(function, others(function.comment))
            continue
        if name and not free:
            kept += 1
        if MODE == "show":
            if name and free:
                named += 1
                print("%s %s -> %s" % (entry["address"], function.name, name))
            continue
        remark(function, others(function.comment) + remarks(entry))
        if name and free and MODE == "apply":
            function.name = name
            named += 1
    done = {"apply": "named", "comment": "named", "show": "would be named", "undo": "taken back"}
    print(
        "binscribe: %d %s, %d kept the name they had, %d are no functions here"
        % (named, done[MODE], kept, missing)
    )


main(bv)
