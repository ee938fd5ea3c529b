//! One function of a corpus, as the tasks see it.

/// One function of one package under one toolchain, with its listing and what
/// is known of its source. The caller makes these from wherever its rows are.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// The source package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Its licence.
    pub license: String,
    /// The source file, within the package.
    pub file: String,
    /// The line of the definition.
    pub line: u32,
    /// `gcc` or `clang`.
    pub compiler: String,
    /// `O0` to `Os`.
    pub level: String,
    /// The function's name in its source.
    pub name: String,
    /// The same for one function under every toolchain.
    pub function_id: String,
    /// The same for equal source bodies.
    pub source_hash: String,
    /// The listing, lines joined by line feeds.
    pub listing: String,
    /// How many instructions it has.
    pub instructions: u32,
    /// The comment above the definition or the prototype.
    pub comment: Option<String>,
}

impl Sample {
    /// Compiler and level, `gcc O2`.
    pub fn toolchain(&self) -> String {
        format!("{} {}", self.compiler, self.level)
    }
}
