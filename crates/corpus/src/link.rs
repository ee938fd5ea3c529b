//! All objects of a unit linked into one real program, so that its listings
//! look exactly like those of a user's stripped file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, SymbolFlags, elf,
};

use crate::error::{At as _, Error, Result};
use crate::process;

/// A linked unit: with debug information, and stripped.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) debug: PathBuf,
    pub(crate) stripped: PathBuf,
}

/// Links `objects` into `DIR/NAME.debug` and strips a copy to `DIR/NAME.elf`.
///
/// Packages use libraries that need not be installed here, and libraries have
/// no `main`; yet calls out of the package have to go through the PLT under
/// their names, as they do in a real program. So whatever the objects leave
/// undefined is taken from the C library if it is there, and else from a
/// shared library of stand-ins. Objects of a package that has several programs
/// define `main` and others more than once: the first definition gets the
/// name, and the code of all of them stays in.
pub(crate) fn link(unit: &str, objects: &[PathBuf], dir: &Path) -> Result<Linked> {
    fs::create_dir_all(dir).at(dir)?;
    if objects.is_empty() {
        let reason = "none of its files could be compiled".to_owned();
        return Err(Error::Link {
            unit: unit.to_owned(),
            reason,
        });
    }
    let fail = |reason: String| Error::Link {
        unit: unit.to_owned(),
        reason,
    };
    let symbols = Symbols::of(objects).map_err(&fail)?;

    let work = tempfile::Builder::new()
        .prefix(".link")
        .tempdir_in(dir)
        .at(dir)?;
    let path = |name: &str| work.path().join(name);
    let run = |command: &mut Command| -> Result<()> {
        let output = process::output(command.env("LC_ALL", "C"))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(fail(process::last_words(&output)))
        }
    };

    let imports = path("libimports.so");
    fs::write(path("imports.s"), stand_ins(&symbols.imported)).at(&path("imports.s"))?;
    run(Command::new("gcc-12")
        .args(["-shared", "-nostdlib", "-Wl,-soname,libimports.so", "-o"])
        .arg(&imports)
        .arg(path("imports.s")))?;

    // Objects by list: hundreds of long paths do not fit a command line.
    let mut list = String::new();
    for object in objects {
        let object = std::path::absolute(object).at(object)?;
        let _ = writeln!(list, "\"{}\"", object.display());
    }
    fs::write(path("objects"), list).at(&path("objects"))?;

    let mut command = Command::new("gcc-12");
    command.args([
        "-pie",
        "-nodefaultlibs",
        "-Wl,-z,muldefs",
        "-Wl,-z,noexecstack",
    ]);
    if !symbols.has_main {
        command.args(["-nostartfiles", "-Wl,-e,0"]);
    }
    command.arg(format!("@{}", path("objects").display()));
    if !symbols.hidden.is_empty() {
        // Part of the package did not compile. A hidden symbol cannot come
        // from a library, so its stand-in has to be linked in.
        fs::write(path("hidden.s"), stand_ins(&symbols.hidden)).at(&path("hidden.s"))?;
        command.arg(path("hidden.s"));
    }
    command
        .args(["-Wl,--as-needed", "-lm", "-lc", "-lgcc"])
        .arg(&imports);
    run(command.arg("-o").arg(path("debug")))?;
    run(Command::new("strip")
        .arg("-s")
        .arg("-o")
        .arg(path("stripped"))
        .arg(path("debug")))?;

    let linked = Linked {
        debug: dir.join(format!("{unit}.debug")),
        stripped: dir.join(format!("{unit}.elf")),
    };
    fs::rename(path("debug"), &linked.debug).at(&linked.debug)?;
    fs::rename(path("stripped"), &linked.stripped).at(&linked.stripped)?;
    Ok(linked)
}

/// How the objects use a symbol that none of them defines.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    called: bool,
    direct: bool,
    thread_local: bool,
    hidden: bool,
}

#[derive(Debug, Default)]
struct Symbols {
    has_main: bool,
    imported: BTreeMap<String, Use>,
    hidden: BTreeMap<String, Use>,
}

impl Symbols {
    fn of(objects: &[PathBuf]) -> std::result::Result<Symbols, String> {
        let mut defined = BTreeSet::new();
        let mut wanted: BTreeMap<String, Use> = BTreeMap::new();
        for path in objects {
            let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
            let file =
                object::File::parse(&*bytes).map_err(|e| format!("{}: {e}", path.display()))?;
            for symbol in file
                .symbols()
                .filter(|s| s.is_global() && !s.is_undefined())
            {
                defined.extend(symbol.name().map(str::to_owned));
            }
            let relocations = file.sections().flat_map(|s| s.relocations());
            for (_, relocation) in relocations {
                let object::RelocationTarget::Symbol(index) = relocation.target() else {
                    continue;
                };
                let Ok(symbol) = file.symbol_by_index(index) else {
                    continue;
                };
                let (true, Ok(name)) = (symbol.is_undefined(), symbol.name()) else {
                    continue;
                };
                let usage = wanted.entry(name.to_owned()).or_default();
                if let SymbolFlags::Elf { st_other, .. } = symbol.flags() {
                    usage.hidden |= st_other.visibility() != elf::STV_DEFAULT;
                }
                if let RelocationFlags::Elf { r_type } = relocation.flags() {
                    match r_type {
                        elf::R_X86_64_PLT32 => usage.called = true,
                        elf::R_X86_64_PC32 => usage.direct = true,
                        elf::R_X86_64_TLSGD
                        | elf::R_X86_64_TLSLD
                        | elf::R_X86_64_GOTTPOFF
                        | elf::R_X86_64_TPOFF32 => usage.thread_local = true,
                        _ => {}
                    }
                }
            }
        }
        let mut symbols = Symbols {
            has_main: defined.contains("main"),
            ..Symbols::default()
        };
        for (name, usage) in wanted {
            let plain = name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_$.".contains(&b));
            if plain && name != "_GLOBAL_OFFSET_TABLE_" && !defined.contains(&name) {
                let side = if usage.hidden {
                    &mut symbols.hidden
                } else {
                    &mut symbols.imported
                };
                side.insert(name, usage);
            }
        }
        Ok(symbols)
    }
}

/// Assembly that defines the symbols: functions that return, and zeroed data
/// of a size that any pointer or number fits in.
fn stand_ins(symbols: &BTreeMap<String, Use>) -> String {
    let mut text = String::new();
    for (name, usage) in symbols {
        let (section, kind, body) = if usage.thread_local {
            (".section .tbss,\"awT\",@nobits", "tls_object", ".zero 64")
        } else if usage.direct && !usage.called {
            (".bss", "object", ".zero 64")
        } else {
            (".text", "function", "ret")
        };
        let _ = write!(
            text,
            "{section}\n.globl {name}\n.type {name}, @{kind}\n{name}:\n {body}\n"
        );
        let _ = writeln!(text, ".size {name}, .-{name}");
    }
    text.push_str(".section .note.GNU-stack,\"\",@progbits\n");
    text
}
