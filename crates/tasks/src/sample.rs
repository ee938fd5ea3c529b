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
    /// `gcc`, `clang` or `zig`.
    pub compiler: String,
    /// `O0` to `Os`.
    pub level: String,
    /// The processor, such as `aarch64`.
    pub arch: String,
    /// `elf`, `pe` or `mach-o`.
    pub format: String,
    /// What the build did differently; mostly empty.
    pub variants: String,
    /// Passes that obfuscated it; mostly empty.
    pub obfuscation: String,
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
    /// Compiler and level, `gcc O2`; where it is not plain code of x86-64 Linux,
    /// what sets it apart too: `gcc O2 aarch64`, `zig O2 x86-64 pe`,
    /// `clang O2 flatten`.
    pub fn toolchain(&self) -> String {
        let mut name = format!("{} {}", self.compiler, self.level);
        let (arch, format) = (self.arch.as_str(), self.format.as_str());
        let elf = matches!(format, "" | "elf");
        let parts = [
            (!matches!(arch, "" | "x86-64") || !elf, arch),
            (!elf, format),
            (!self.variants.is_empty(), &self.variants),
            (!self.obfuscation.is_empty(), &self.obfuscation),
        ];
        for (_, part) in parts.iter().filter(|(shown, _)| *shown) {
            name.push(' ');
            name.push_str(part);
        }
        name
    }

    /// Container and processor, as models name what they have learned from:
    /// `macho aarch64`.
    pub fn platform(&self) -> String {
        let format = match self.format.as_str() {
            "" => "elf",
            "mach-o" => "macho",
            other => other,
        };
        let arch = match self.arch.as_str() {
            "" => "x86-64",
            other => other,
        };
        format!("{format} {arch}")
    }

    /// Whether this is plain code of x86-64 Linux.
    pub fn is_plain(&self) -> bool {
        matches!(self.arch.as_str(), "" | "x86-64")
            && matches!(self.format.as_str(), "" | "elf")
            && self.variants.is_empty()
            && self.obfuscation.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toolchains_are_told_apart() {
        let plain = Sample {
            compiler: "clang".to_owned(),
            level: "O2".to_owned(),
            arch: "x86-64".to_owned(),
            format: "elf".to_owned(),
            ..Sample::default()
        };
        let check = |sample: &Sample, expected: &str| {
            assert_eq!(sample.toolchain(), expected);
            assert_eq!(sample.is_plain(), expected == "clang O2");
        };
        check(&plain, "clang O2");
        let arm = Sample {
            arch: "arm".to_owned(),
            ..plain.clone()
        };
        check(&arm, "clang O2 arm");
        let windows = Sample {
            format: "pe".to_owned(),
            ..plain.clone()
        };
        check(&windows, "clang O2 x86-64 pe");
        assert_eq!(windows.platform(), "pe x86-64");
        assert_eq!(Sample::default().platform(), plain.platform());
        let flat = Sample {
            obfuscation: "flatten".to_owned(),
            ..plain
        };
        check(&flat, "clang O2 flatten");
    }
}
