//! One compile, obfuscated on its way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Obfuscation, ObfuscationReport, obfuscate};
use crate::error::{At as _, Result};
use crate::process;

/// A compile of one C file to an object, with passes on its way.
#[derive(Clone, Copy, Debug)]
pub struct ObfuscatedCompile<'a> {
    /// clang, or a program that behaves as clang does.
    pub program: &'a str,
    /// Everything but `-c`, `-o` and the source file. The level is among them.
    pub arguments: &'a [String],
    /// The source file.
    pub file: &'a str,
    /// The directory in which the compiler runs.
    pub cwd: &'a Path,
    /// The passes.
    pub passes: &'a [Obfuscation],
    /// Where their choices come from.
    pub seed: u64,
    /// Processor seconds that each of the compiler's two runs may use.
    pub seconds: u32,
    /// Address space in KiB that it may use.
    pub memory_kib: u64,
}

impl ObfuscatedCompile<'_> {
    /// Writes the object and, for as long as that takes, a file of IR beside
    /// it. The inner result is the compiler's complaint, the outer one says
    /// what is wrong with this machine. The object is written in place: give a
    /// temporary name and rename it where it must be whole.
    pub fn run(&self, object: &Path) -> Result<std::result::Result<ObfuscationReport, String>> {
        let ir = Intermediate::beside(object);
        let mut emit = self.command();
        emit.args(self.arguments).args(["-S", "-emit-llvm"]);
        emit.arg(self.file).arg("-o").arg(&ir.0);
        if let Err(complaint) = finish(&mut emit)? {
            return Ok(Err(complaint));
        }
        // LLVM escapes what is not ASCII, but for identifiers of C.
        let text = fs::read(&ir.0).at(&ir.0)?;
        let text = String::from_utf8_lossy(&text);
        let obfuscated = match obfuscate(&text, self.passes, self.seed) {
            Ok(obfuscated) => obfuscated,
            Err(error) => return Ok(Err(error.to_string())),
        };
        fs::write(&ir.0, obfuscated.ir).at(&ir.0)?;
        let mut generate = self.command();
        generate
            .args(without_dependencies(self.arguments))
            // What is for the preprocessor stays among the arguments.
            .arg("-Wno-unused-command-line-argument")
            .args(["-Xclang", "-disable-llvm-passes", "-c"]);
        generate.arg(&ir.0).arg("-o").arg(object);
        Ok(finish(&mut generate)?.map(|()| obfuscated.report))
    }

    fn command(&self) -> Command {
        let mut command = process::compiler(self.program, self.seconds, self.memory_kib);
        command.current_dir(self.cwd);
        command
    }
}

/// The arguments without those that write a makefile's dependencies: the run
/// over the IR would replace the list of headers by nothing.
fn without_dependencies(arguments: &[String]) -> Vec<&String> {
    let mut kept = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "-MF" | "-MT" | "-MQ" => {
                rest.next();
            }
            other if other.starts_with("-M") => {}
            _ => kept.push(argument),
        }
    }
    kept
}

fn finish(command: &mut Command) -> Result<std::result::Result<(), String>> {
    let output = process::output(command)?;
    Ok(if output.status.success() {
        Ok(())
    } else {
        Err(process::last_words(&output))
    })
}

/// A file of IR that is removed again.
struct Intermediate(PathBuf);

impl Intermediate {
    fn beside(object: &Path) -> Intermediate {
        let mut name = object.as_os_str().to_owned();
        name.push(".ll");
        Intermediate(PathBuf::from(name))
    }
}

impl Drop for Intermediate {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = fs::remove_file(&self.0);
    }
}
