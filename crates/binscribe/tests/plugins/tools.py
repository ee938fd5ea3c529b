"""Runs an exported script as Ghidra, IDA or Binary Ninja would.

    tools.py TOOL SCRIPT DATABASE.json

None of the three can be installed for a test. What stands here of each does what its
documentation says of the calls that the scripts make, and nothing else: a call that
is not here fails the test. DATABASE.json is what the tool knows of a file, and is
written again: {"sha256", "path", "base", "functions": {"0x...": {"name", "by",
"comment"}}}, by `tool` for a name that it made itself.
"""

import json
import sys
import types


class Database:
    def __init__(self, path):
        self.path = path
        with open(path) as file:
            data = json.load(file)
        self.sha256, self.file, self.base = data["sha256"], data["path"], data["base"]
        self.functions = {int(at, 16): found for at, found in data["functions"].items()}

    def own_name(self, at):
        return self.prefix + "%x" % at

    def write(self):
        functions = {hex(at): found for at, found in self.functions.items()}
        data = {"sha256": self.sha256, "path": self.file, "base": self.base}
        with open(self.path, "w") as file:
            json.dump({**data, "functions": functions}, file)


def ghidra(database):
    """https://ghidra.re/ghidra_docs/api: FlatProgramAPI, Function, Symbol, Program."""
    database.prefix = "FUN_"
    source = types.SimpleNamespace(DEFAULT="DEFAULT", ANALYSIS="ANALYSIS", USER_DEFINED="USER")
    symbol = types.ModuleType("ghidra.program.model.symbol")
    symbol.SourceType = source
    for name in ["ghidra", "ghidra.program", "ghidra.program.model"]:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["ghidra.program.model.symbol"] = symbol
    by = {"tool": source.DEFAULT, "script": source.ANALYSIS, "person": source.USER_DEFINED}

    class Address:
        def __init__(self, offset):
            self.offset = offset

        def add(self, more):
            return Address(self.offset + more)

    class Function:
        def __init__(self, at):
            self.at, self.found = at, database.functions[at]

        def getSymbol(self):
            return types.SimpleNamespace(getSource=lambda: by[self.found["by"]])

        def getName(self):
            return self.found["name"]

        def setName(self, name, kind):
            if kind == source.DEFAULT:
                assert name is None
                self.found.update(name=database.own_name(self.at), by="tool")
            else:
                assert kind == source.ANALYSIS and name and " " not in name
                self.found.update(name=name, by="script")

        def getComment(self):
            return self.found["comment"]

        def setComment(self, comment):
            self.found["comment"] = comment

    program = types.SimpleNamespace(
        getExecutableSHA256=lambda: database.sha256,
        getImageBase=lambda: Address(database.base),
    )

    def function_at(address):
        return Function(address.offset) if address.offset in database.functions else None

    return {"currentProgram": program, "getFunctionAt": function_at}


def ida(database):
    """https://python.docs.hex-rays.com: ida_bytes, ida_funcs, ida_name, ida_nalt."""
    database.prefix = "sub_"
    functions = database.functions

    def set_name(ea, name, flags):
        assert flags & 0x100, "would stop at a dialog"
        if name == "":
            functions[ea].update(name=database.own_name(ea), by="tool")
            return True
        if any(found["name"] == name for found in functions.values()):
            return False
        # There is one kind of name that was given.
        functions[ea].update(name=name, by="person")
        return True

    def get_func(ea):
        return types.SimpleNamespace(start_ea=ea) if ea in functions else None

    modules = {
        "ida_bytes": {
            "get_flags": lambda ea: ea,
            "has_user_name": lambda flags: functions[flags]["by"] != "tool",
        },
        "ida_funcs": {
            "get_func": get_func,
            "get_func_cmt": lambda function, repeatable: functions[function.start_ea]["comment"],
            "set_func_cmt": lambda function, text, repeatable: functions[function.start_ea].update(
                comment=text or None
            ),
        },
        "ida_kernwin": {},
        "ida_nalt": {
            "get_imagebase": lambda: database.base,
            "retrieve_input_file_sha256": lambda: bytes.fromhex(database.sha256),
        },
        "ida_name": {
            "SN_NOCHECK": 0x01,
            "SN_NOWARN": 0x100,
            "get_name": lambda ea: functions[ea]["name"],
            "set_name": set_name,
        },
    }
    for name, members in modules.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        sys.modules[name] = module
    return {}


def binaryninja(database):
    """https://api.binary.ninja: BinaryView, Function."""
    database.prefix = "sub_"

    class Function:
        def __init__(self, at):
            self.at, self.found = at, database.functions[at]

        @property
        def symbol(self):
            return types.SimpleNamespace(auto=self.found["by"] == "tool")

        @property
        def name(self):
            return self.found["name"]

        @name.setter
        def name(self, name):
            if name is None:
                self.found.update(name=database.own_name(self.at), by="tool")
            else:
                self.found.update(name=name, by="person")

        @property
        def comment(self):
            return self.found["comment"] or ""

        @comment.setter
        def comment(self, comment):
            self.found["comment"] = comment or None

    class Raw:
        def __init__(self):
            with open(database.file, "rb") as file:
                self.bytes = file.read()
            self.length = len(self.bytes)

        def read(self, at, length):
            return self.bytes[at : at + length]

    def function_at(at):
        return Function(at) if at in database.functions else None

    view = types.SimpleNamespace(
        start=database.base,
        file=types.SimpleNamespace(raw=Raw()),
        get_function_at=function_at,
    )
    return {"bv": view}


def main(tool, script, path):
    database = Database(path)
    names = {"ghidra": ghidra, "ida": ida, "binaryninja": binaryninja}[tool](database)
    with open(script) as file:
        text = file.read()
    exec(compile(text, script, "exec"), {"__name__": "__main__", **names})
    database.write()


main(*sys.argv[1:])
