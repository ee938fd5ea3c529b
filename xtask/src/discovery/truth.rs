//! Where the functions of a file with symbols are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use object::{
    Architecture, BinaryFormat, Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind,
    SymbolKind,
};

use super::build::newest;
use crate::Result;
use crate::apt::quietly;

/// The functions of a file.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// Sizes by start.
    pub(super) functions: BTreeMap<u64, Size>,
    /// Starts that are neither right nor wrong: what has a name but no size is
    /// hand-written start-up code or a label.
    neutral: BTreeSet<u64>,
    /// The sections that have functions; what is found elsewhere (`.init`,
    /// `.plt`) is neutral, too.
    sections: Vec<std::ops::Range<u64>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Size {
    Exact(u64),
    /// The file does not say. It reaches at most to the next symbol, and
    /// between may be padding, less than the largest alignment of a function.
    UpTo(u64),
}

/// The largest alignment of a function, of all compilers here (Go's).
const ALIGNMENT: u64 = 32;

impl Size {
    pub(super) fn is(self, size: u64) -> bool {
        match self {
            Size::Exact(exact) => size == exact,
            Size::UpTo(most) => size <= most && most - size < ALIGNMENT,
        }
    }
}

impl Truth {
    /// Of the symbols of a file, or of the PDB beside it.
    pub(super) fn read(path: &Path) -> Result<Truth> {
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        let file = object::File::parse(&*bytes).map_err(|error| error.to_string())?;
        let pdb = path.with_extension("pdb");
        let mut truth = if file.format() == BinaryFormat::Pe && pdb.is_file() {
            of_pdb(&file, &pdb)?
        } else {
            of_symbols(&file)
        };
        truth.sections = file
            .sections()
            .filter(|section| section.kind() == SectionKind::Text)
            .map(|section| section.address()..section.address() + section.size())
            .filter(|range| truth.functions.range(range.clone()).next().is_some())
            .collect();
        Ok(truth)
    }

    /// Whether something found here is counted at all.
    pub(super) fn counts(&self, start: u64) -> bool {
        self.functions.contains_key(&start)
            || !self.neutral.contains(&start) && self.sections.iter().any(|s| s.contains(&start))
    }
}

fn of_symbols(file: &object::File<'_>) -> Truth {
    let mut truth = Truth::default();
    // The lowest bit of a Thumb function's symbol is a mark.
    let mark = u64::from(file.architecture() == Architecture::Arm);
    let mut sizeless = BTreeSet::new();
    for symbol in file.symbols() {
        let name = symbol.name().unwrap_or_default();
        if symbol.kind() != SymbolKind::Text || !symbol.is_definition() || is_part(name) {
            continue;
        }
        let start = symbol.address() & !mark;
        match symbol.size() {
            0 if file.format() == BinaryFormat::Elf => {
                truth.neutral.insert(start);
            }
            0 => {
                sizeless.insert(start);
            }
            size => {
                truth.functions.insert(start, Size::Exact(size));
            }
        }
    }
    if !sizeless.is_empty() {
        up_to_the_next(file, &sizeless, &mut truth);
    }
    truth
        .neutral
        .retain(|start| !truth.functions.contains_key(start));
    truth
}

fn up_to_the_next(file: &object::File<'_>, starts: &BTreeSet<u64>, truth: &mut Truth) {
    for section in file.sections() {
        // Not stubs.
        if section.kind() != SectionKind::Text || section.name() == Ok("__stubs") {
            continue;
        }
        let end = section.address() + section.size();
        let mut inside = starts.range(section.address()..end).peekable();
        while let Some(&start) = inside.next() {
            let next = inside.peek().map_or(end, |next| **next);
            truth.functions.insert(start, Size::UpTo(next - start));
        }
    }
}

/// A part of a function that the compiler moved elsewhere, or a label.
fn is_part(name: &str) -> bool {
    name.ends_with(".cold") || name.contains(".cold.") || name.starts_with("ltmp")
}

/// The procedures of a PDB; its other public symbols are neutral.
fn of_pdb(file: &object::File<'_>, pdb: &Path) -> Result<Truth> {
    let sections: Vec<u64> = file.sections().map(|section| section.address()).collect();
    let address = |line: &str| -> Option<u64> {
        let (_, place) = line.split_once("addr = ")?;
        let (section, offset) = place.split(',').next()?.trim().split_once(':')?;
        let section = section.parse::<usize>().ok()?.checked_sub(1)?;
        Some(sections.get(section)? + offset.parse::<u64>().ok()?)
    };
    let mut truth = Truth::default();
    let dump = quietly(
        Command::new(newest("llvm-pdbutil")?)
            .args(["dump", "-symbols", "-publics"])
            .arg(pdb),
    )?;
    let dump = String::from_utf8_lossy(&dump);
    let mut record = "";
    for line in dump.lines() {
        if let Some((_, rest)) = line.split_once("| S_") {
            record = rest.split(' ').next().unwrap_or_default();
        }
        let Some(address) = address(line) else {
            continue;
        };
        match record {
            "GPROC32" | "LPROC32" | "GPROC32_ID" | "LPROC32_ID" => {
                let size = line.split_once("code size = ").map(|s| s.1.trim());
                if let Some(size) = size.and_then(|size| size.parse().ok()) {
                    truth.functions.insert(address, Size::Exact(size));
                }
            }
            "PUB32" => {
                truth.neutral.insert(address);
            }
            _ => {}
        }
        record = "";
    }
    Ok(truth)
}
