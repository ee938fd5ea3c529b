//! The functions of one linked unit, joined with their sources: rows.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::comment::pattern;
use crate::dwarf::{self, Subprogram};
use crate::error::{At as _, Error, Result};
use crate::link::Linked;
use crate::manifest::Package;
use crate::replay::stable_root;
use crate::row::Row;
use crate::source::{self, SourceFile};
use crate::toolchain::Toolchain;

/// Below this, a function is too small to tell from others.
const MIN_INSTRUCTIONS: usize = 5;
/// Below this, a definition says no more than its name.
const MIN_SOURCE_LINES: usize = 3;

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
    /// Discovered functions whose definition was found in the source.
    pub aligned: usize,
    /// Rows that remain without small functions and duplicates.
    pub rows: usize,
}

/// The sources of one package, parsed once for all toolchains.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    root: &'a Path,
    prototypes: HashMap<String, String>,
    files: Mutex<HashMap<String, Option<Arc<SourceFile>>>>,
}

impl<'a> Sources<'a> {
    pub(crate) fn of(root: &'a Path) -> Sources<'a> {
        let mut prototypes = HashMap::new();
        for header in source::files(root, "h") {
            if let Ok(bytes) = fs::read(&header) {
                for (name, text) in source::prototypes(&String::from_utf8_lossy(&bytes)) {
                    prototypes.entry(name).or_insert(text);
                }
            }
        }
        Sources {
            root,
            prototypes,
            files: Mutex::default(),
        }
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

/// Lists the stripped unit and joins its functions with their sources.
pub(crate) fn rows(
    package: &Package,
    toolchain: &Toolchain,
    linked: &Linked,
    sources: &Sources<'_>,
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
        let Some(definition) = sources.file(file).and_then(|f| f.find(name, *line)) else {
            continue;
        };
        stats.aligned += 1;
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
            arch: "x86-64".to_owned(),
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
