//! The functions of one linked unit, joined with their sources: rows.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use serde::{Deserialize, Serialize};

use crate::comment::pattern;
use crate::dwarf::{self, Place, Subprogram};
use crate::error::{At as _, Error, Result};
use crate::link::Linked;
use crate::manifest::{Binaries, Language, Package};
use crate::obfuscate::Obfuscation;
use crate::prebuilt;
use crate::replay::stable_root;
use crate::row::Row;
use crate::source::{self, Definition, SourceFile};
use crate::toolchain::Toolchain;

/// Below this, a function is too small to tell from others.
const MIN_INSTRUCTIONS: usize = 5;
/// Below this, a definition says no more than its name.
const MIN_SOURCE_LINES: usize = 3;

/// How functions are joined with their sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    /// By the file and line in the debug information.
    #[default]
    Dwarf,
    /// By the name alone, as "Assembly-source masked language modelling" does
    /// in section 3.2: among the definitions of the package, or of its folder
    /// `src` if it has one, and only where one definition and one function of
    /// the program have the name. For a prebuilt program that one source file
    /// has the name of, such as `addr2line`, in that file only.
    Names,
}

impl Align {
    /// The word in rows.
    pub fn name(self) -> &'static str {
        match self {
            Align::Dwarf => "dwarf",
            Align::Names => "names",
        }
    }
}

/// Which functions become rows, and how they are joined with their sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// How functions are joined with their sources.
    #[serde(default)]
    pub align: Align,
    /// Functions of fewer basic blocks are left out; CLAP takes 3.
    #[serde(default)]
    pub min_blocks: u32,
}

impl Rules {
    /// One word for them; the usual ones are named by the alignment alone.
    pub(crate) fn name(self) -> String {
        match self.min_blocks {
            0 => self.align.name().to_owned(),
            blocks => format!("{} {blocks}", self.align.name()),
        }
    }
}

/// What became of the functions of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnitStats {
    /// The toolchain, such as `gcc-12.2.0-O2`.
    pub toolchain: String,
    /// Functions of the package in the unit's debug information.
    pub subprograms: usize,
    /// Those of them that the lifter found in the stripped file.
    pub discovered: usize,
    /// Functions that the lifter found in the stripped file, all told: also
    /// start files, and what it took for a function.
    pub lifted: usize,
    /// Discovered functions whose definition was found in the source, by the
    /// debug information.
    pub aligned: usize,
    /// Discovered functions that the rules for names alone find a definition for.
    #[serde(default)]
    pub named: usize,
    /// Discovered functions for which both find one.
    #[serde(default)]
    pub both: usize,
    /// Those of them for which it is the same.
    #[serde(default)]
    pub agree: usize,
    /// Compiles of the unit that failed.
    #[serde(default)]
    pub failed: usize,
    /// Compiles of the unit that succeeded.
    #[serde(default)]
    pub compiled: usize,
    /// Definitions in the source among which the rules for names look.
    #[serde(default)]
    pub definitions: usize,
    /// Rows that remain without small functions and duplicates.
    pub rows: usize,
}

/// The sources of one package, parsed once for all toolchains.
#[derive(Debug)]
pub(crate) struct Sources {
    root: PathBuf,
    /// What all files are compiled as, if not what they are named as.
    language: Option<Language>,
    prototypes: HashMap<String, String>,
    files: Mutex<HashMap<String, Option<Arc<SourceFile>>>>,
    named: OnceLock<Named>,
}

/// What the rules for names go by.
#[derive(Debug, Default)]
struct Named {
    /// Definitions of the package, or of its folder `src`.
    definitions: usize,
    /// By name: the only definition, or none if there are several.
    unique: HashMap<String, Option<Placed>>,
    /// By name without extension: the source files, those in `src` first.
    programs: HashMap<String, Vec<String>>,
}

/// A definition and the file that it is in.
#[derive(Clone, Debug)]
struct Placed {
    file: String,
    definition: Definition,
}

/// Source files that are compiled.
const COMPILED: [&str; 6] = ["c", "cc", "cpp", "cxx", "c++", "C"];

impl Sources {
    pub(crate) fn of(root: &Path, language: Option<Language>) -> Sources {
        let mut prototypes = HashMap::new();
        for header in source::files(root, &["h", "hh", "hpp", "hxx"]) {
            if let Ok(bytes) = fs::read(&header) {
                for (name, text) in source::prototypes(&String::from_utf8_lossy(&bytes)) {
                    prototypes.entry(name).or_insert(text);
                }
            }
        }
        Sources {
            root: root.to_owned(),
            language,
            prototypes,
            files: Mutex::default(),
            named: OnceLock::new(),
        }
    }

    /// The folder that the sources lie in.
    pub(crate) fn place(&self) -> &Path {
        &self.root
    }

    fn named(&self) -> &Named {
        self.named.get_or_init(|| {
            let src = self.root.join("src");
            let folder = if src.is_dir() { &src } else { &self.root };
            let mut named = Named::default();
            for path in source::files(&self.root, &COMPILED) {
                let Ok(inside) = path.strip_prefix(&self.root) else {
                    continue;
                };
                let inside = inside.to_string_lossy().into_owned();
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                let programs = named.programs.entry(stem.into_owned()).or_default();
                if !path.starts_with(folder) {
                    programs.push(inside);
                    continue;
                }
                programs.insert(0, inside.clone());
                let Some(file) = self.file(&inside) else {
                    continue;
                };
                named.definitions += file.definitions().len();
                for definition in file.definitions() {
                    let placed = || Placed {
                        file: inside.clone(),
                        definition: definition.clone(),
                    };
                    named
                        .unique
                        .entry(definition.name.clone())
                        .and_modify(|known| *known = None)
                        .or_insert_with(|| Some(placed()));
                }
            }
            named
        })
    }

    /// The definition that the rules for names find for a function of a
    /// program, or of a unit of many.
    fn by_name(&self, name: &str, program: Option<&str>) -> Option<Placed> {
        let named = self.named();
        let Some(file) = program.and_then(|p| self.program_file(named, p)) else {
            return named.unique.get(name)?.clone();
        };
        let source = self.file(file)?;
        let mut all = source.definitions().iter().filter(|d| d.name == name);
        match (all.next(), all.next()) {
            (Some(definition), None) => Some(Placed {
                file: file.to_owned(),
                definition: definition.clone(),
            }),
            _ => None,
        }
    }

    /// The one file that a program has its name from.
    fn program_file<'n>(&self, named: &'n Named, program: &str) -> Option<&'n str> {
        let files = named.programs.get(program)?;
        let inside = |f: &&String| self.root.join("src").is_dir() && f.starts_with("src/");
        let mut src = files.iter().filter(inside);
        match (src.next(), src.next(), files.as_slice()) {
            (Some(only), None, _) => Some(only),
            (None, _, [only]) => Some(only),
            _ => None,
        }
    }

    fn file(&self, path: &str) -> Option<Arc<SourceFile>> {
        let mut files = self.files.lock().ok()?;
        files
            .entry(path.to_owned())
            .or_insert_with(|| {
                let bytes = fs::read(self.root.join(path)).ok()?;
                let languages = match (self.language, Language::of(path)) {
                    (Some(Language::C), _) | (None, Some(Language::C)) => &[Language::C][..],
                    (_, Some(_)) => &[Language::Cpp][..],
                    // Headers do not say.
                    (_, None) => &[Language::C, Language::Cpp][..],
                };
                Some(Arc::new(SourceFile::parse(&bytes, languages)))
            })
            .clone()
    }

    /// What is said of a function above its declaration.
    fn prototype(&self, name: &str) -> Option<String> {
        // Methods of several classes have one name in the text of headers.
        let plain = !name.contains("::");
        self.prototypes.get(name).filter(|_| plain).cloned()
    }
}

/// LLVM IR by the file that was compiled and the function's name.
pub(crate) type Ir = HashMap<(String, String), String>;

/// The rows of one unit, program by program.
#[derive(Debug)]
pub(crate) struct UnitRows<'a> {
    package: &'a Package,
    rules: Rules,
    /// What all rows have in common.
    common: Row,
    rows: Vec<Row>,
    /// Hashes of the listings so far.
    seen: HashSet<String>,
    stats: UnitStats,
}

impl<'a> UnitRows<'a> {
    /// The unit of a package under a toolchain, as yet without rows.
    pub(crate) fn of(package: &'a Package, toolchain: &Toolchain, rules: Rules) -> UnitRows<'a> {
        let common = Row {
            compiler: toolchain.compiler.clone(),
            compiler_version: toolchain.version.clone(),
            level: toolchain.level.clone(),
            arch: toolchain.target.arch().to_owned(),
            format: toolchain.target.container().name().to_owned(),
            variants: toolchain.variants(),
            obfuscation: Obfuscation::join(&toolchain.obfuscation),
            ..Row::default()
        };
        UnitRows::with(package, rules, toolchain.to_string(), common)
    }

    /// The unit of a set of binaries; processor and format are as in each.
    pub(crate) fn prebuilt(
        package: &'a Package,
        binaries: &Binaries,
        rules: Rules,
    ) -> UnitRows<'a> {
        let common = Row {
            compiler: binaries.compiler.clone(),
            compiler_version: binaries.compiler_version.clone(),
            level: binaries.level.clone(),
            obfuscation: binaries.obfuscation.clone(),
            ..Row::default()
        };
        UnitRows::with(package, rules, prebuilt::toolchain(binaries), common)
    }

    fn with(package: &'a Package, rules: Rules, toolchain: String, common: Row) -> UnitRows<'a> {
        UnitRows {
            package,
            rules,
            common: Row {
                package: package.name.clone(),
                version: package.shown_version().to_owned(),
                license: package.license.clone(),
                split: package.split.to_string(),
                ..common
            },
            rows: Vec::new(),
            seen: HashSet::new(),
            stats: UnitStats {
                toolchain,
                ..UnitStats::default()
            },
        }
    }

    /// [`UnitRows::add`] for a program that we linked.
    pub(crate) fn list(&mut self, linked: &Linked, sources: &Sources, ir: &Ir) -> Result<()> {
        let root = stable_root(&self.package.name);
        self.add(linked, Place::Root(&root), None, sources, ir)
    }

    /// Lists a stripped program and joins its functions with their sources. One
    /// that has a name of its own may lack debug information.
    pub(crate) fn add(
        &mut self,
        linked: &Linked,
        place: Place<'_>,
        named: Option<&str>,
        sources: &Sources,
        ir: &Ir,
    ) -> Result<()> {
        let unit = format!("{} under {}", self.package.name, self.stats.toolchain);
        let fail = |reason: String| Error::Unit {
            unit: unit.clone(),
            reason,
        };
        let debug = fs::read(&linked.debug).at(&linked.debug)?;
        let mut subprograms = dwarf::subprograms(&debug, place).map_err(fail)?;
        let mut align = self.rules.align;
        if subprograms.is_empty() && named.is_some() {
            subprograms = dwarf::by_symbols(&debug).map_err(fail)?;
            align = Align::Names;
        }
        let bytes = fs::read(&linked.stripped).at(&linked.stripped)?;
        let program = binscribe_lift::Program::parse(&bytes).map_err(|e| fail(e.to_string()))?;
        let functions: HashMap<u64, &binscribe_lift::Function> =
            program.functions().iter().map(|f| (f.address, f)).collect();
        if named.is_some() {
            let info = program.info();
            self.common.arch = info.arch.id().to_owned();
            self.common.format = match info.format {
                binscribe_lift::Format::MachO => "mach-o".to_owned(),
                format => format.id().to_owned(),
            };
        }

        self.stats.lifted += functions.len();
        self.stats.definitions = sources.named().definitions;
        let mut bearers: HashMap<&str, usize> = HashMap::new();
        for subprogram in subprograms.iter().filter(|s| s.whole) {
            *bearers.entry(&subprogram.name).or_default() += 1;
        }
        for subprogram in subprograms.iter().filter(|s| s.whole) {
            self.stats.subprograms += 1;
            let Some(function) = functions.get(&subprogram.address) else {
                continue;
            };
            self.stats.discovered += 1;
            let Subprogram {
                name, file, line, ..
            } = subprogram;
            let by_line = sources.file(file).and_then(|f| f.find(name, *line));
            let by_name = match bearers.get(name.as_str()) {
                Some(1) => sources.by_name(name, named),
                _ => None,
            };
            self.stats.aligned += usize::from(by_line.is_some());
            self.stats.named += usize::from(by_name.is_some());
            if let (Some(by_line), Some(by_name)) = (&by_line, &by_name) {
                self.stats.both += 1;
                self.stats.agree += usize::from(by_line.hash == by_name.definition.hash);
            }
            let found = match align {
                Align::Dwarf => by_line.map(|d| (file.clone(), *line, d)),
                Align::Names => by_name.map(|n| (n.file, n.definition.line, n.definition)),
            };
            let Some((file, line, definition)) = found else {
                continue;
            };
            let lines = definition
                .text
                .lines()
                .filter(|l| !l.trim().is_empty())
                .count();
            let listing = program.listing(function);
            if listing.facts.instructions < MIN_INSTRUCTIONS
                || lines < MIN_SOURCE_LINES
                || listing.facts.blocks < self.rules.min_blocks as usize
            {
                continue;
            }
            let text = listing.text();
            let listing_hash = listing_hash(text);
            if !self.seen.insert(listing_hash.clone()) {
                continue;
            }
            let comment = definition.comment.clone();
            let ir = ir.get(&(subprogram.unit.clone(), subprogram.symbol.clone()));
            self.rows.push(Row {
                alignment: align.name().to_owned(),
                ir: ir.cloned(),
                function_id: hash16(&[&self.package.name, &file, &line.to_string(), name]),
                name: name.clone(),
                file,
                line,
                listing: text.to_owned(),
                instructions: listing.facts.instructions as u32,
                blocks: listing.facts.blocks as u32,
                source: definition.text,
                comment: comment.or_else(|| sources.prototype(name)),
                source_hash: definition.hash,
                listing_hash,
                ..self.common.clone()
            });
        }
        Ok(())
    }

    /// The rows, and what became of the functions.
    pub(crate) fn finish(mut self) -> (Vec<Row>, UnitStats) {
        self.stats.rows = self.rows.len();
        (self.rows, self.stats)
    }
}

/// Hash of a listing in which addresses and columns do not count.
pub(crate) fn listing_hash(listing: &str) -> String {
    let names = pattern!(
        r"\b(sub|loc|locret|unk|byte|word|dword|qword|xmmword|ymmword|off|stru|asc|flt|dbl)_[0-9A-F]+\b"
    );
    let text = names.replace_all(listing, "${1}_");
    hash16(&[&text.split_whitespace().collect::<Vec<_>>().join(" ")])
}

fn hash16(parts: &[&str]) -> String {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update(part.as_bytes()).update(b"\0");
    }
    hash.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_do_not_count_in_a_listing_hash() {
        let hash = listing_hash("call    sub_401A30\nmov     eax, cs:dword_4040C0");
        assert_eq!(listing_hash("call  sub_77\nmov eax, cs:dword_1F"), hash);
        assert_ne!(listing_hash("call  sub_77\nmov ebx, cs:dword_1F"), hash);
        assert_ne!(listing_hash("call  _sub_x\nmov eax, cs:dword_1F"), hash);
    }
}
