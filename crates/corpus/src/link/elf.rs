//! Programs and libraries for Linux, by GNU's linkers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{
    Architecture, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, SymbolFlags,
    elf,
};

use super::Job;
use crate::error::{Error, Result};
use crate::process;
use crate::toolchain::{Target, Toolchain, Variant};

/// Packages use libraries that need not be installed here, and libraries have
/// no `main`; yet calls out of the package have to go through the PLT under
/// their names, as they do in a real program. So whatever the objects leave
/// undefined is taken from the C library if it is there, and else from a
/// shared library of stand-ins. Objects of a package that has several programs
/// define `main` and others more than once: the first definition gets the
/// name, and the code of all of them stays in.
pub(super) fn link(job: &Job<'_>) -> Result<()> {
    let target = job.toolchain.target;
    let triplet = target.triplet().unwrap_or_default();
    let native = target == Target::default();
    let cross = [format!("{triplet}-gcc-12"), format!("{triplet}-gcc")];
    let names = if native {
        vec!["gcc-12", "gcc"]
    } else {
        cross.iter().map(String::as_str).collect()
    };
    let gcc = job.program(&names, &format!("gcc-{}", triplet.replace('_', "-")))?;
    let symbols = Symbols::of(&job.objects).map_err(|reason| job.fail(reason))?;
    let imports = job.path("libimports.so");
    let stand_ins = job.write("imports.s", &stand_ins(&symbols.imported, target))?;
    job.run(
        Command::new(&gcc)
            .args(["-shared", "-nostdlib", "-Wl,-soname,libimports.so", "-o"])
            .arg(&imports)
            .arg(stand_ins),
    )?;

    let mut command = Command::new(&gcc);
    let variants = &job.toolchain.variants;
    command.arg(if variants.contains(&Variant::Pic) {
        "-shared"
    } else if variants.contains(&Variant::NoPie) {
        "-no-pie"
    } else {
        "-pie"
    });
    command.args(["-nodefaultlibs", "-Wl,-z,muldefs", "-Wl,-z,noexecstack"]);
    if !symbols.has_main {
        command.args(["-nostartfiles", "-Wl,-e,0"]);
    }
    command.arg(format!("@{}", job.list()?.display()));
    if !symbols.hidden.is_empty() {
        // Part of the package did not compile. A hidden symbol cannot come
        // from a library, so its stand-in has to be linked in.
        let text = self::stand_ins(&symbols.hidden, target);
        command.arg(job.write("hidden.s", &text)?);
    }
    command.arg("-Wl,--as-needed");
    if symbols.cpp() {
        // A compiler that is installed without its C++ part answers with the
        // bare name; the stand-ins serve then.
        let asked = process::output(Command::new(&gcc).arg("-print-file-name=libstdc++.so"))?;
        if asked.stdout.contains(&b'/') {
            command.arg("-lstdc++");
        }
    }
    command.args(["-lm", "-lc", "-lgcc"]).arg(&imports);
    job.run(command.arg("-o").arg(job.path("debug")))?;
    let cross = format!("{triplet}-strip");
    let names = if native {
        &["strip"][..]
    } else {
        &[cross.as_str(), "llvm-strip"][..]
    };
    let strip = job.program(names, "binutils")?;
    job.run(
        Command::new(strip)
            .arg("-s")
            .arg("-o")
            .arg(job.path("stripped"))
            .arg(job.path("debug")),
    )
}

/// Turns all that an object defines into its own. Section groups go first: a
/// linker keeps one of those with the same name, and drops the others' code.
pub(super) fn close(toolchain: &Toolchain, object: &Path, into: &Path) -> Result<()> {
    let triplet = toolchain.target.triplet().unwrap_or_default();
    let tool = |name: &str| match toolchain.target == Target::default() {
        true => name.to_owned(),
        false => format!("{triplet}-{name}"),
    };
    let run = |command: &mut Command| {
        let output = process::output(command.env("LC_ALL", "C"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Error::Link {
                unit: toolchain.to_string(),
                reason: process::last_words(&output),
            }),
        }
    };
    run(Command::new(tool("ld"))
        .args(["-r", "--force-group-allocation", "-o"])
        .arg(into)
        .arg(object))?;
    run(Command::new(tool("objcopy"))
        .arg("--keep-global-symbol=none of them")
        .arg(into))
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
    /// Whether any of the objects was C++.
    fn cpp(&self) -> bool {
        let cpp = |name: &String| name.starts_with("_Z") || name == "__gxx_personality_v0";
        self.imported.keys().any(cpp)
    }

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
                    match kind(file.architecture(), r_type) {
                        Some(Kind::Call) => usage.called = true,
                        Some(Kind::Direct) => usage.direct = true,
                        Some(Kind::ThreadLocal) => usage.thread_local = true,
                        None => {}
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
            if plain && !LINKERS_OWN.contains(&name.as_str()) && !defined.contains(&name) {
                let side = if usage.hidden {
                    &mut symbols.hidden
                } else {
                    &mut symbols.imported
                };
                side.insert(name, usage);
            }
        }
        let asks = |name: &&str| symbols.imported.contains_key(*name);
        if !symbols.has_main && ASK_FOR_HANDLE.iter().any(asks) {
            let usage = Use {
                direct: true,
                hidden: true,
                ..Use::default()
            };
            symbols.hidden.insert("__dso_handle".to_owned(), usage);
        }
        Ok(symbols)
    }
}

/// Names that linkers give values to.
const LINKERS_OWN: [&str; 3] = ["_GLOBAL_OFFSET_TABLE_", "_gp_disp", "__gnu_local_gp"];

/// Functions that glibc links in statically. They ask which library called, by a
/// symbol of the start files, which only programs are linked with here.
const ASK_FOR_HANDLE: [&str; 3] = ["at_quick_exit", "atexit", "pthread_atfork"];

/// What a relocation says of its symbol.
enum Kind {
    /// A call: the symbol is a function.
    Call,
    /// An address that a linker would have to copy data to, if it is data.
    Direct,
    ThreadLocal,
}

fn kind(architecture: Architecture, r_type: elf::RelocationType) -> Option<Kind> {
    use Architecture::{Aarch64, Arm, I386, Mips, Riscv64, X86_64};
    Some(match (architecture, r_type) {
        (X86_64, elf::R_X86_64_PLT32)
        | (I386, elf::R_386_PLT32)
        | (Aarch64, elf::R_AARCH64_CALL26 | elf::R_AARCH64_JUMP26)
        | (
            Arm,
            elf::R_ARM_CALL
            | elf::R_ARM_JUMP24
            | elf::R_ARM_PLT32
            | elf::R_ARM_THM_PC22
            | elf::R_ARM_THM_JUMP24,
        )
        | (Mips, elf::R_MIPS_CALL16 | elf::R_MIPS_26)
        | (Riscv64, elf::R_RISCV_CALL | elf::R_RISCV_CALL_PLT) => Kind::Call,
        (X86_64, elf::R_X86_64_PC32)
        | (I386, elf::R_386_32 | elf::R_386_PC32)
        | (Aarch64, elf::R_AARCH64_ADR_PREL_PG_HI21)
        | (Riscv64, elf::R_RISCV_PCREL_HI20) => Kind::Direct,
        (
            X86_64,
            elf::R_X86_64_TLSGD
            | elf::R_X86_64_TLSLD
            | elf::R_X86_64_GOTTPOFF
            | elf::R_X86_64_TPOFF32,
        )
        | (
            I386,
            elf::R_386_TLS_IE | elf::R_386_TLS_GOTIE | elf::R_386_TLS_GD | elf::R_386_TLS_LE,
        )
        | (Aarch64, elf::R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21 | elf::R_AARCH64_TLSDESC_ADR_PAGE21)
        | (Arm, elf::R_ARM_TLS_IE32 | elf::R_ARM_TLS_GD32 | elf::R_ARM_TLS_LE32)
        | (Mips, elf::R_MIPS_TLS_GD | elf::R_MIPS_TLS_GOTTPREL)
        | (Riscv64, elf::R_RISCV_TLS_GOT_HI20 | elf::R_RISCV_TLS_GD_HI20) => Kind::ThreadLocal,
        _ => return None,
    })
}

/// Assembly that defines the symbols: functions that return, and zeroed data
/// of a size that any pointer or number fits in.
fn stand_ins(symbols: &BTreeMap<String, Use>, target: Target) -> String {
    let returns = match target {
        Target::ArmLinux => "bx lr",
        Target::MipselLinux => "jr $31",
        _ => "ret",
    };
    let mut text = String::new();
    for (name, usage) in symbols {
        let (section, kind, body) = if usage.thread_local {
            (".section .tbss,\"awT\",%nobits", "tls_object", ".zero 64")
        } else if usage.direct && !usage.called {
            (".bss", "object", ".zero 64")
        } else {
            (".text", "function", returns)
        };
        let _ = write!(
            text,
            "{section}\n.balign 8\n.globl {name}\n.type {name}, %{kind}\n{name}:\n {body}\n"
        );
        let _ = writeln!(text, ".size {name}, .-{name}");
    }
    text.push_str(".section .note.GNU-stack,\"\",%progbits\n");
    text
}
