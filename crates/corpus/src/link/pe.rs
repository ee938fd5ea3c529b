//! Programs for Windows, by the linker that comes with zig.

use std::process::Command;

use super::{Job, Names};
use crate::error::Result;
use crate::toolchain::{Target, zig};

/// Whatever the objects leave undefined is imported from one library, as
/// programs import their C runtime; nothing else is linked in. The stripped
/// program is linked again without debug information, which comes behind the
/// code and so moves none of it.
pub(super) fn link(job: &Job<'_>) -> Result<()> {
    let (zig, first) = zig().ok_or_else(|| job.fail("zig is not installed".to_owned()))?;
    let run = |tool: &str| {
        let mut command = Command::new(&zig);
        command.args(&first).arg(tool);
        command
    };
    let (machine, arch) = match job.toolchain.target {
        Target::X86Windows => ("x86", "i386"),
        Target::Aarch64Windows => ("arm64", "arm64"),
        _ => ("x64", "i386:x86-64"),
    };
    // 32-bit code writes an underscore before every name.
    let decorated = machine == "x86";
    let plain = |name: &str| match name.strip_prefix('_') {
        Some(rest) if decorated => rest.to_owned(),
        _ => name.to_owned(),
    };
    let names = Names::of(&job.objects).map_err(|reason| job.fail(reason))?;
    let mut exports = String::from("LIBRARY runtime.dll\nEXPORTS\n");
    for name in &names.undefined {
        let name = name.strip_prefix("__imp_").unwrap_or(name);
        exports.push_str(&plain(name));
        exports.push('\n');
    }
    let definitions = job.write("runtime.def", &exports)?;
    let library = job.path("runtime.lib");
    job.run(
        run("dlltool")
            .args(["-m", arch, "-D", "runtime.dll", "-d"])
            .arg(definitions)
            .arg("-l")
            .arg(&library),
    )?;
    let main = names.defined.iter().find(|n| plain(n) == "main");
    let entry = main.or_else(|| names.defined.first());
    let entry = entry.map(|n| plain(n)).unwrap_or_default();
    let list = job.list()?;
    for (output, debug) in [("debug", "-debug:dwarf"), ("stripped", "-debug:none")] {
        job.run(
            run("lld-link")
                .args(["-lldmingw", "-subsystem:console", "-opt:noref,noicf"])
                .args(["-force:unresolved", "-force:multiple", "-ignore:4217"])
                .arg(format!("-machine:{machine}"))
                .arg(format!("-entry:{entry}"))
                .arg(debug)
                .arg(format!("-out:{}", job.path(output).display()))
                .arg(format!("@{}", list.display()))
                .arg(&library),
        )?;
    }
    Ok(())
}
