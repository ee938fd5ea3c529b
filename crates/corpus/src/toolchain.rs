use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::manifest::{Language, Size};
use crate::obfuscate::Obfuscation;
use crate::process;

/// A processor and the kind of file that is built for it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Target {
    #[default]
    X86_64Linux,
    X86Linux,
    Aarch64Linux,
    ArmLinux,
    MipselLinux,
    Riscv64Linux,
    X86_64Windows,
    X86Windows,
    Aarch64Windows,
    X86_64Macos,
    Aarch64Macos,
}

impl Target {
    /// Every target.
    pub const ALL: [Target; 11] = [
        Target::X86_64Linux,
        Target::X86Linux,
        Target::Aarch64Linux,
        Target::ArmLinux,
        Target::MipselLinux,
        Target::Riscv64Linux,
        Target::X86_64Windows,
        Target::X86Windows,
        Target::Aarch64Windows,
        Target::X86_64Macos,
        Target::Aarch64Macos,
    ];

    /// The name in manifests and rows, such as `aarch64-linux`.
    pub fn name(self) -> &'static str {
        match self {
            Target::X86_64Linux => "x86-64-linux",
            Target::X86Linux => "x86-linux",
            Target::Aarch64Linux => "aarch64-linux",
            Target::ArmLinux => "arm-linux",
            Target::MipselLinux => "mipsel-linux",
            Target::Riscv64Linux => "riscv64-linux",
            Target::X86_64Windows => "x86-64-windows",
            Target::X86Windows => "x86-windows",
            Target::Aarch64Windows => "aarch64-windows",
            Target::X86_64Macos => "x86-64-macos",
            Target::Aarch64Macos => "aarch64-macos",
        }
    }

    /// The processor, as the lifter names it.
    pub fn arch(self) -> &'static str {
        let name = self.name();
        name.rsplit_once('-').map_or(name, |(arch, _)| arch)
    }

    /// The kind of file.
    pub fn container(self) -> Container {
        match self.name().rsplit_once('-') {
            Some((_, "windows")) => Container::Pe,
            Some((_, "macos")) => Container::MachO,
            _ => Container::Elf,
        }
    }

    /// What Debian's cross compilers and their folders are called by; none if
    /// there are none.
    pub(crate) fn triplet(self) -> Option<&'static str> {
        Some(match self {
            Target::X86_64Linux => "x86_64-linux-gnu",
            Target::X86Linux => "i686-linux-gnu",
            Target::Aarch64Linux => "aarch64-linux-gnu",
            Target::ArmLinux => "arm-linux-gnueabihf",
            Target::MipselLinux => "mipsel-linux-gnu",
            Target::Riscv64Linux => "riscv64-linux-gnu",
            _ => return None,
        })
    }

    fn zig(self) -> &'static str {
        match self {
            Target::X86_64Linux => "x86_64-linux-gnu",
            Target::X86Linux => "x86-linux-gnu",
            Target::Aarch64Linux => "aarch64-linux-gnu",
            Target::ArmLinux => "arm-linux-gnueabihf",
            Target::MipselLinux => "mipsel-linux-gnueabi",
            Target::Riscv64Linux => "riscv64-linux-gnu",
            Target::X86_64Windows => "x86_64-windows-gnu",
            Target::X86Windows => "x86-windows-gnu",
            Target::Aarch64Windows => "aarch64-windows-gnu",
            Target::X86_64Macos => "x86_64-macos",
            Target::Aarch64Macos => "aarch64-macos",
        }
    }
}

impl From<Target> for String {
    fn from(target: Target) -> String {
        target.name().to_owned()
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(name: String) -> std::result::Result<Target, String> {
        let known = Target::ALL.into_iter().find(|t| t.name() == name);
        known.ok_or_else(|| {
            let names: Vec<&str> = Target::ALL.iter().map(|t| t.name()).collect();
            format!("{name:?} is no target; there are {}", names.join(", "))
        })
    }
}

/// A kind of executable file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Container {
    Elf,
    Pe,
    MachO,
}

impl Container {
    /// `elf`, `pe` or `mach-o`.
    pub fn name(self) -> &'static str {
        match self {
            Container::Elf => "elf",
            Container::Pe => "pe",
            Container::MachO => "mach-o",
        }
    }
}

/// What a build can do differently from the usual: position-independent
/// programs without frame pointers or stack protector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// Keeps the frame pointer.
    FramePointer,
    /// A program for a fixed address.
    NoPie,
    /// Code for a shared library, in which functions can be replaced.
    Pic,
    /// Canaries in functions with arrays.
    StackProtector,
}

impl Variant {
    /// The name in manifests and rows.
    pub fn name(self) -> &'static str {
        match self {
            Variant::FramePointer => "frame-pointer",
            Variant::NoPie => "no-pie",
            Variant::Pic => "pic",
            Variant::StackProtector => "stack-protector",
        }
    }
}

/// A compiler at one optimisation level for one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// `gcc`, `clang` or `zig`.
    pub compiler: String,
    /// What the compiler says its version is, such as `12.2.0`.
    pub version: String,
    /// `O0`, `O1`, `O2`, `O3` or `Os`.
    pub level: String,
    /// The program that is run.
    pub program: String,
    /// Its first arguments, which choose the target.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// What it compiles for.
    #[serde(default)]
    pub target: Target,
    /// What it does differently from the usual.
    #[serde(default)]
    pub variants: BTreeSet<Variant>,
    /// What obfuscates it on its way.
    #[serde(default)]
    pub obfuscation: Vec<Obfuscation>,
    /// Whether LLVM IR is kept beside the listings.
    #[serde(default)]
    pub ir: bool,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(
            [&self.compiler, &self.version, &self.level],
            self.target.name(),
            [&self.variants(), &Obfuscation::join(&self.obfuscation)],
        ))
    }
}

/// The name of a toolchain: compiler, version and level; then the target,
/// unless it is the usual one, and what else is unusual.
pub(crate) fn name(compiler: [&str; 3], target: &str, unusual: [&str; 2]) -> String {
    let mut name = compiler.join("-");
    if target != Target::default().name() {
        name.push('-');
        name.push_str(target);
    }
    for part in unusual.into_iter().filter(|part| !part.is_empty()) {
        name.push('+');
        name.push_str(part);
    }
    name
}

/// The optimisation levels that every package is built at.
pub const LEVELS: [&str; 5] = ["O0", "O1", "O2", "O3", "Os"];

/// The compilers that every package is built with.
pub const COMPILERS: [(&str, &str); 2] = [("gcc", "gcc-12"), ("clang", "clang-14")];

/// Toolchains as a manifest lists them: each compiler at each level for each
/// target.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// Programs such as `gcc-12` and `clang-14`, or `zig`.
    pub compilers: Vec<String>,
    /// Optimisation levels [default: all five].
    #[serde(default = "all_levels")]
    pub levels: Vec<String>,
    /// Targets [default: `x86-64-linux`].
    #[serde(default = "native")]
    pub targets: Vec<Target>,
    /// What these do differently, all of it at once.
    #[serde(default)]
    pub variants: BTreeSet<Variant>,
    /// Each of these gives toolchains of its own: passes of ours over LLVM IR,
    /// joined as in `flatten+substitution`.
    #[serde(default)]
    pub obfuscations: Vec<String>,
    /// Whether clang's LLVM IR is kept beside the listings.
    #[serde(default)]
    pub ir: bool,
    /// The smallest corpus that these toolchains belong to.
    #[serde(default)]
    pub size: Size,
}

fn all_levels() -> Vec<String> {
    LEVELS.map(str::to_owned).to_vec()
}

fn native() -> Vec<Target> {
    vec![Target::default()]
}

impl Default for Matrix {
    /// gcc 12 and clang 14 at the five levels.
    fn default() -> Matrix {
        Matrix {
            compilers: COMPILERS.map(|(_, program)| program.to_owned()).to_vec(),
            levels: all_levels(),
            targets: native(),
            variants: BTreeSet::new(),
            obfuscations: Vec::new(),
            ir: false,
            size: Size::default(),
        }
    }
}

impl Matrix {
    /// What is wrong with it, if anything.
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        if let Some(level) = self.levels.iter().find(|l| !LEVELS.contains(&l.as_str())) {
            let levels = LEVELS.join(", ");
            return Err(format!("{level:?} is no level; there are {levels}"));
        }
        for passes in &self.obfuscations {
            Obfuscation::split_names(passes).map_err(|e| e.to_string())?;
        }
        let gcc = self.compilers.iter().any(|c| family(c) == Some("gcc"));
        if gcc && !self.obfuscations.is_empty() {
            return Err("gcc has no LLVM IR to obfuscate".to_owned());
        }
        if let Some(name) = self.compilers.iter().find(|c| family(c).is_none()) {
            return Err(format!(
                "{name:?} is no compiler: name gcc, clang or zig, with a version as in gcc-12"
            ));
        }
        Ok(())
    }

    /// The toolchains of this matrix that are installed, and why others are
    /// left out. gcc and clang are not asked for Windows and macOS.
    pub(crate) fn installed(&self) -> (Vec<Toolchain>, Vec<String>) {
        let (mut all, mut absent) = (Vec::new(), Vec::new());
        for name in &self.compilers {
            // Only zig brings what programs for other systems need.
            let possible = |target: &&Target| target.triplet().is_some() || name.starts_with("zig");
            for &target in self.targets.iter().filter(possible) {
                match Driver::of(name, target) {
                    Ok(driver) => all.extend(self.of(&driver, target)),
                    Err(why) => absent.push(format!("{name} for {}: {why}", target.name())),
                }
            }
        }
        (all, absent)
    }
}

impl Matrix {
    fn of(&self, driver: &Driver, target: Target) -> Vec<Toolchain> {
        let plain = Vec::new();
        let passes: Vec<Vec<Obfuscation>> = match self.obfuscations.as_slice() {
            [] => vec![plain],
            some => some
                .iter()
                .filter_map(|passes| Obfuscation::split_names(passes).ok())
                .collect(),
        };
        let toolchain = |level: &String, passes: &Vec<Obfuscation>| Toolchain {
            compiler: driver.compiler.to_owned(),
            version: driver.version.clone(),
            level: level.clone(),
            program: driver.program.clone(),
            arguments: driver.arguments.clone(),
            target,
            variants: self.variants.clone(),
            obfuscation: passes.clone(),
            // Only LLVM's own compilers have it.
            ir: self.ir && driver.compiler != "gcc",
        };
        let levels = self.levels.iter();
        levels
            .flat_map(|level| passes.iter().map(move |p| toolchain(level, p)))
            .collect()
    }
}

impl Toolchain {
    /// gcc 12 and clang 14 at the five levels, as installed on this machine.
    pub fn installed() -> Result<Vec<Toolchain>> {
        match Matrix::default().installed() {
            (all, absent) if absent.is_empty() => Ok(all),
            (_, absent) => Err(Error::Toolchain(absent.join("; "))),
        }
    }

    /// The same as it is run on this machine. Another version is refused: the
    /// rows of a unit that came from elsewhere would get a wrong name.
    pub(crate) fn here(&self) -> Result<Toolchain> {
        let mut toolchain = self.clone();
        let found = if self.compiler == "zig" {
            let absent = || Error::Toolchain("zig is not installed".to_owned());
            let (program, first) = zig().ok_or_else(absent)?;
            let found = version(
                &program,
                &[first.as_slice(), &["version".to_owned()]].concat(),
            )?;
            let rest = self.arguments.iter().skip_while(|a| *a != "cc").cloned();
            toolchain.arguments = first.into_iter().chain(rest).collect();
            toolchain.program = program;
            found
        } else {
            let arguments = ["-dumpfullversion", "-dumpversion"].map(str::to_owned);
            version(&self.program, &arguments)?
        };
        if found == self.version {
            return Ok(toolchain);
        }
        Err(Error::Toolchain(format!(
            "{self} needs version {}, and here is {found}",
            self.version
        )))
    }

    /// Arguments that follow from level, target and variants.
    pub(crate) fn options(&self) -> Vec<String> {
        let mut options = vec![format!("-{}", self.level)];
        // Debug information is for the alignment, and removed before listing.
        options.push("-g".to_owned());
        if self.target.container() == Container::Elf {
            // Position-independent, as distributions build programs.
            options.push(if self.variants.contains(&Variant::Pic) {
                "-fPIC".to_owned()
            } else if self.variants.contains(&Variant::NoPie) {
                "-fno-pie".to_owned()
            } else {
                "-fPIE".to_owned()
            });
        } else {
            // Windows' own debug information is not read here, and linkers for
            // macOS are behind in reading DWARF.
            options.push("-gdwarf-4".to_owned());
        }
        if self.variants.contains(&Variant::FramePointer) {
            options.push("-fno-omit-frame-pointer".to_owned());
        }
        if self.variants.contains(&Variant::StackProtector) {
            options.push("-fstack-protector-strong".to_owned());
        }
        options.push("-w".to_owned());
        options
    }

    /// Its first arguments for a language: compilers go by the file's name,
    /// but zig only brings its C++ library where it is asked for C++.
    pub(crate) fn arguments_for(&self, language: Language) -> Vec<String> {
        let mut arguments = self.arguments.clone();
        if language == Language::Cpp && self.compiler == "zig" {
            let cc = arguments.iter_mut().find(|a| *a == "cc");
            cc.into_iter().for_each(|a| *a = "c++".to_owned());
        }
        arguments
    }

    /// The variants as one word, empty without any.
    pub fn variants(&self) -> String {
        let names: Vec<&str> = self.variants.iter().map(|v| v.name()).collect();
        names.join("+")
    }
}

/// `gcc`, `clang` or `zig`, of the name of a program.
fn family(name: &str) -> Option<&'static str> {
    let plain = name.split_once('-').map_or(name, |(family, _)| family);
    ["gcc", "clang", "zig"].into_iter().find(|f| *f == plain)
}

/// How a compiler is run for a target.
struct Driver {
    compiler: &'static str,
    version: String,
    program: String,
    arguments: Vec<String>,
}

impl Driver {
    fn of(name: &str, target: Target) -> std::result::Result<Driver, String> {
        let native = target == Target::default();
        let compiler = family(name).ok_or("no compiler of this name is known")?;
        let triplet = target.triplet();
        let linux = triplet.ok_or_else(|| "only zig compiles for it".to_owned());
        let (program, arguments) = match compiler {
            "gcc" if native => (name.to_owned(), vec![]),
            "gcc" => (format!("{}-{name}", linux?), vec![]),
            "clang" if native => (name.to_owned(), vec![]),
            "clang" => {
                let triplet = linux?;
                let include = format!("/usr/{triplet}/include");
                if !Path::new(&include).is_dir() {
                    return Err(format!("no headers of its C library in {include}"));
                }
                let mut arguments = vec![format!("--target={triplet}")];
                arguments.extend(["-isystem".to_owned(), include]);
                (name.to_owned(), arguments)
            }
            _ => {
                let (program, mut arguments) = zig().ok_or("zig is not installed")?;
                let target = target.zig();
                arguments.extend(["cc", "-target", target].map(str::to_owned));
                // Its default in debug builds: traps that no other compiler makes.
                arguments.push("-fno-sanitize=undefined".to_owned());
                (program, arguments)
            }
        };
        let version = match compiler {
            "zig" => version(
                &program,
                &[&arguments[..arguments.len() - 4], &["version".to_owned()]].concat(),
            ),
            _ => version(
                &program,
                &["-dumpfullversion", "-dumpversion"].map(str::to_owned),
            ),
        };
        let version = version.map_err(|error| error.to_string())?;
        Ok(Driver {
            compiler,
            version,
            program,
            arguments,
        })
    }
}

/// How zig is run: as a program, or as a package of Python, which takes long to
/// start; so it is looked for once.
pub(crate) fn zig() -> Option<(String, Vec<String>)> {
    static FOUND: LazyLock<Option<(String, Vec<String>)>> = LazyLock::new(find_zig);
    FOUND.clone()
}

fn find_zig() -> Option<(String, Vec<String>)> {
    let runs = |program: &str, arguments: &[String]| version(program, arguments).is_ok();
    let module = ["-m", "ziglang"].map(str::to_owned).to_vec();
    let candidates = [("zig".to_owned(), vec![]), ("python3".to_owned(), module)];
    candidates.into_iter().find(|(program, arguments)| {
        runs(
            program,
            &[arguments.as_slice(), &["version".to_owned()]].concat(),
        )
    })
}

fn version(program: &str, arguments: &[String]) -> Result<String> {
    let output = process::output(Command::new(program).args(arguments))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let word = text
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    if !output.status.success() || word.is_empty() {
        return Err(Error::Toolchain(format!(
            "{program} does not tell its version"
        )));
    }
    Ok(word)
}
