//! Programs for macOS, by LLVM's linker.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use super::{Job, Names};
use crate::error::Result;
use crate::toolchain::Target;

/// Whatever the objects leave undefined is looked up when the program is
/// loaded. The linker takes no name twice, so an object that defines a name
/// again, as each `main` of a package with several programs, is left out. Its
/// debug information stays in the objects, to which the unstripped twin refers.
pub(super) fn link(job: &Job<'_>) -> Result<()> {
    // Version 14 leaves local symbols in.
    let linkers = ["ld64.lld-19", "ld64.lld-16", "ld64.lld-15"];
    let linker = job.program(&linkers, "lld-19 or lld-16")?;
    let arch = match job.toolchain.target {
        Target::Aarch64Macos => "arm64",
        _ => "x86_64",
    };
    let mut seen = BTreeSet::new();
    let mut objects: Vec<&PathBuf> = Vec::new();
    for object in &job.objects {
        let names = Names::of(std::slice::from_ref(object)).map_err(|reason| job.fail(reason))?;
        if names.defined.is_disjoint(&seen) {
            seen.extend(names.defined);
            objects.push(object);
        }
    }
    let lines: String = objects
        .iter()
        .map(|o| format!("{}\n", o.display()))
        .collect();
    let list = job.write("objects", &lines)?;
    let none = job.write("exports", "")?;
    for (output, strip) in [("debug", &[][..]), ("stripped", &["-S", "-x"][..])] {
        job.run(
            Command::new(&linker)
                .args(["-dylib", "-arch", arch])
                .args(["-platform_version", "macos", "13.0", "13.0"])
                .args(["-undefined", "dynamic_lookup"])
                .arg("-exported_symbols_list")
                .arg(&none)
                .args(strip)
                .arg("-filelist")
                .arg(&list)
                .arg("-o")
                .arg(job.path(output)),
        )?;
    }
    Ok(())
}
