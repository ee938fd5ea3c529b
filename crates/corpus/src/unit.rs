//! The functions of one linked unit, joined with their sources: rows.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use serde::{Deserialize, Serialize};

use crate::comment::pattern;
use crate::dwarf::{self, Subprogram};
use crate::error::{At as _, Error, Result};
use crate::link::Linked;
use crate::manifest::Package;
use crate::obfuscate::Obfuscation;
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
    /// `src` if it has one, and only where one definition has the name.
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
    /// Definitions of functions in the package's sources.
    #[serde(default)]
    pub definitions: usize,
    /// Compiles of the unit that failed.
    #[serde(default)]
    pub failed: usize,
    /// Rows that remain without small functions and duplicates.
    pub rows: usize,
}

/// The sources of one package, parsed once for all toolchains.
#[derive(Debug)]
pub(crate) struct Sources {
    root: PathBuf,
    prototypes: HashMap<String, String>,
    files: Mutex<HashMap<String, Option<Arc<SourceFile>>>>,
    named: OnceLock<Named>,
}

/// The definitions that the rules for names look at.
#[derive(Debug, Default)]
struct Named {
    /// How many there are.
    definitions: usize,
    /// By name: the only definition, or none if there are several.
    only: HashMap<String, Option<Definition>>,
}

impl Sources {
    pub(crate) fn of(root: &Path) -> Sources {
        let mut prototypes = HashMap::new();
        for header in source::files(root, "h") {
            if let Ok(bytes) = fs::read(&header) {
                for (name, text) in source::prototypes(&String::from_utf8_lossy(&bytes)) {
                    prototypes.entry(name).or_insert(text);
                }
            }
        }
        Sources {
            root: root.to_owned(),
            prototypes,
            files: Mutex::default(),
            named: OnceLock::new(),
        }
    }

    /// The definition that the rules for names find.
    fn by_name(&self, name: &str) -> Option<&Definition> {
        self.named().only.get(name)?.as_ref()
    }

    fn named(&self) -> &Named {
        self.named.get_or_init(|| {
            let src = self.root.join("src");
            let folder = if src.is_dir() { &src } else { &self.root };
            let mut named = Named::default();
            for path in source::files(folder, "c") {
                let Ok(inside) = path.strip_prefix(&self.root) else {
                    continue;
                };
                let Some(file) = self.file(&inside.to_string_lossy()) else {
                    continue;
                };
                for definition in file.definitions() {
                    named.definitions += 1;
                    named
                        .only
                        .entry(definition.name.clone())
                        .and_modify(|known| *known = None)
                        .or_insert_with(|| Some(definition.clone()));
                }
            }
            named
        })
    }

    fn file(&self, path: &str) -> Option<Arc<SourceFile>> {
        let mut files = self.files.lock().ok()?;
        files
            .entry(path.to_owned())
            .or_insert_with(|| {
                let bytes = fs::read(self.root.join(path)).ok()?;
                Some(Arc::new(SourceFile::parse(&bytes)))
            })
            .clone()
    }
}

/// LLVM IR by the file that was compiled and the function's name.
pub(crate) type Ir = HashMap<(String, String), String>;

/// Lists the stripped unit and joins its functions with their sources.
pub(crate) fn rows(
    package: &Package,
    toolchain: &Toolchain,
    align: Align,
    linked: &Linked,
    sources: &Sources,
    ir: &Ir,
) -> Result<(Vec<Row>, UnitStats)> {
    let fail = |reason: String| Error::Unit {
        unit: format!("{} under {toolchain}", package.name),
        reason,
    };
    let debug = fs::read(&linked.debug).at(&linked.debug)?;
    let subprograms = dwarf::subprograms(&debug, &stable_root(&package.name)).map_err(fail)?;
    let bytes = fs::read(&linked.stripped).at(&linked.stripped)?;
    let program = binscribe_lift::Program::parse(&bytes).map_err(|e| fail(e.to_string()))?;
    let functions: HashMap<u64, &binscribe_lift::Function> =
        program.functions().iter().map(|f| (f.address, f)).collect();

    let mut stats = UnitStats {
        toolchain: toolchain.to_string(),
        lifted: functions.len(),
        definitions: sources.named().definitions,
        ..UnitStats::default()
    };
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    for subprogram in subprograms.iter().filter(|s| s.whole) {
        stats.subprograms += 1;
        let Some(function) = functions.get(&subprogram.address) else {
            continue;
        };
        stats.discovered += 1;
        let Subprogram {
            name, file, line, ..
        } = subprogram;
        let by_line = sources.file(file).and_then(|f| f.find(name, *line));
        let by_name = sources.by_name(name);
        stats.aligned += usize::from(by_line.is_some());
        stats.named += usize::from(by_name.is_some());
        if let (Some(by_line), Some(by_name)) = (&by_line, by_name) {
            stats.both += 1;
            stats.agree += usize::from(by_line.hash == by_name.hash);
        }
        let definition = match align {
            Align::Dwarf => by_line,
            Align::Names => by_name.cloned(),
        };
        let Some(definition) = definition else {
            continue;
        };
        let lines = definition
            .text
            .lines()
            .filter(|l| !l.trim().is_empty())
            .count();
        let listing = program.listing(function);
        if listing.facts.instructions < MIN_INSTRUCTIONS || lines < MIN_SOURCE_LINES {
            continue;
        }
        let text = listing.text();
        let listing_hash = listing_hash(text);
        if !seen.insert(listing_hash.clone()) {
            continue;
        }
        let comment = definition
            .comment
            .clone()
            .or_else(|| sources.prototypes.get(name).cloned());
        rows.push(Row {
            package: package.name.clone(),
            version: package.version.clone(),
            license: package.license.clone(),
            split: package.split.to_string(),
            compiler: toolchain.compiler.clone(),
            compiler_version: toolchain.version.clone(),
            level: toolchain.level.clone(),
            arch: toolchain.target.arch().to_owned(),
            format: toolchain.target.container().name().to_owned(),
            variants: toolchain.variants(),
            obfuscation: Obfuscation::join(&toolchain.obfuscation),
            alignment: align.name().to_owned(),
            ir: ir.get(&(subprogram.unit.clone(), name.clone())).cloned(),
            function_id: hash16(&[&package.name, file, &line.to_string(), name]),
            name: name.clone(),
            file: file.clone(),
            line: *line,
            listing: text.to_owned(),
            instructions: listing.facts.instructions as u32,
            blocks: listing.facts.blocks as u32,
            source: definition.text,
            comment,
            source_hash: definition.hash,
            listing_hash,
        });
    }
    stats.rows = rows.len();
    Ok((rows, stats))
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
