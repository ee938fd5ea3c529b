# Gives functions the names and remarks that binscribe has for them.
#
# `binscribe export FILE --to ida -o names.py` writes this script with DATA filled in;
# by itself it asks for what `binscribe export FILE --to json` wrote. Run it by
# File > Script file, or headless: idat -A -Snames.py FILE. For IDA 7.4 or newer.
#
# Only names that IDA made itself (sub_...) are replaced.

import json

import ida_bytes
import ida_funcs
import ida_kernwin
import ida_nalt
import ida_name

# apply: rename and remark; comment: remark only; show: print only; undo: take back
# what was applied and has not been changed since.
MODE = "apply"
DATA = None

MARK = "binscribe: "


def read_data():
    if DATA is not None:
        return json.loads(DATA)
    path = ida_kernwin.ask_file(False, "*.json", "What `binscribe export FILE --to json` wrote")
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
    before, comment = ida_funcs.get_func_cmt(function, True) or "", "\n".join(lines)
    if comment != before:
        ida_funcs.set_func_cmt(function, comment, True)


def main():
    data = read_data()
    if data is None:
        return
    if data["version"] != 1:
        raise ValueError("this script reads version 1, not %s" % data["version"])
    hashed = ida_nalt.retrieve_input_file_sha256()
    if hashed and hashed.hex() != data["sha256"]:
        raise ValueError("made for another file: %s" % data["binary"]["path"])
    base = ida_nalt.get_imagebase()
    named, kept, missing, refused = 0, 0, 0, 0
    for entry in data["functions"]:
        ea = base + int(entry["rva"], 16)
        function = ida_funcs.get_func(ea)
        if function is None or function.start_ea != ea:
            missing += 1
            continue
        # IDA takes colons for the parts of a C++ name, in demangled ones alone.
        name = (entry["name"] or "").replace(":", "_")
        free = not ida_bytes.has_user_name(ida_bytes.get_flags(ea))
        if MODE == "undo":
            if name and not free and ida_name.get_name(ea) == name:
                ida_name.set_name(ea, "", ida_name.SN_NOWARN)
                named += 1
            remark(function, others(ida_funcs.get_func_cmt(function, True)))
            continue
        if name and not free:
            kept += 1
        if MODE == "show":
            if name and free:
                named += 1
                print("%s %s -> %s" % (entry["address"], ida_name.get_name(ea), name))
            continue
        remark(function, others(ida_funcs.get_func_cmt(function, True)) + remarks(entry))
        if name and free and MODE == "apply":
            if ida_name.set_name(ea, name, ida_name.SN_NOWARN | ida_name.SN_NOCHECK):
                named += 1
            else:
                refused += 1
    done = {"apply": "named", "comment": "named", "show": "would be named", "undo": "taken back"}
    print(
        "binscribe: %d %s, %d kept the name they had, %d names are in use, "
        "%d are no functions here" % (named, done[MODE], kept, refused, missing)
    )


main()
