use std::fmt;
use std::process::Command;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::process;

/// A compiler at one optimisation level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Toolchain {
    /// `gcc` or `clang`.
    pub compiler: String,
    /// What the compiler says its version is, such as `12.2.0`.
    pub version: String,
    /// `O0`, `O1`, `O2`, `O3` or `Os`.
    pub level: String,
    /// The program that is run.
    pub program: String,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.compiler, self.version, self.level)
    }
}

/// The optimisation levels that every package is built at.
pub const LEVELS: [&str; 5] = ["O0", "O1", "O2", "O3", "Os"];

/// The compilers that every package is built with.
pub const COMPILERS: [(&str, &str); 2] = [("gcc", "gcc-12"), ("clang", "clang-14")];

impl Toolchain {
    /// gcc 12 and clang 14 at the five levels, as installed on this machine.
    pub fn installed() -> Result<Vec<Toolchain>> {
        let mut all = Vec::new();
        for (compiler, program) in COMPILERS {
            let version = version(program)?;
            for level in LEVELS {
                all.push(Toolchain {
                    compiler: compiler.to_owned(),
                    version: version.clone(),
                    level: level.to_owned(),
                    program: program.to_owned(),
                });
            }
        }
        Ok(all)
    }
}

fn version(program: &str) -> Result<String> {
    let output = process::output(Command::new(program).args(["-dumpfullversion", "-dumpversion"]))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let word = text
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    if !output.status.success() || word.is_empty() {
        return Err(Error::Manifest(format!(
            "{program} does not tell its version"
        )));
    }
    Ok(word)
}
