//! Where the functions of a file with symbols are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use object::macho::{self, DataInCodeEntry};
use object::read::macho::{LoadCommandVariant, MachOFile64};
use object::{
    Architecture, BinaryFormat, Endianness, Object as _, ObjectSection as _, ObjectSegment as _,
    ObjectSymbol as _, ReadRef as _, SectionKind, SymbolKind,
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
            of_symbols(&file, &data_in_code(&bytes))
        };
        truth.sections = file
            .sections()
            .filter(|section| section.kind() == SectionKind::Text)
            .map(|section| section.address()..section.address() + section.size())
            .filter(|range| truth.functions.range(range.clone()).next().is_some())
            .collect();
        Ok(truth)
    }

    /// Whether an instruction here is one of a function. Elsewhere are padding and
    /// data, which a disassembler without a plan reads as code.
    pub(super) fn is_code(&self, address: u64) -> bool {
        let before = self.functions.range(..=address).next_back();
        before.is_some_and(|(start, size)| match *size {
            Size::Exact(size) | Size::UpTo(size) => address - start < size,
        })
    }

    /// Whether something found here is counted at all.
    pub(super) fn counts(&self, start: u64) -> bool {
        self.functions.contains_key(&start)
            || !self.neutral.contains(&start) && self.sections.iter().any(|s| s.contains(&start))
    }
}

fn of_symbols(file: &object::File<'_>, data: &BTreeSet<u64>) -> Truth {
    let mut truth = Truth::default();
    let code: Vec<_> = file
        .sections()
        .filter(|section| section.kind() == SectionKind::Text)
        .map(|section| section.index())
        .collect();
    let is_function = |symbol: &object::Symbol<'_, '_>| match file.format() {
        // Go says of all its symbols there that they are structures.
        BinaryFormat::Pe => symbol.section_index().is_some_and(|at| code.contains(&at)),
        _ => symbol.kind() == SymbolKind::Text,
    };
    // Go counts what it aligns the next function with, where it aligns to 16.
    let padded = file.architecture() == Architecture::Aarch64
        && file.section_by_name(".gopclntab").is_some();
    // What LLVM's linker makes to reach imports has sizes like functions.
    let stubs = file.architecture() == Architecture::PowerPc64;
    // The lowest bit of a Thumb function's symbol is a mark.
    let mark = u64::from(file.architecture() == Architecture::Arm);
    let mut sizeless = BTreeSet::new();
    for symbol in file.symbols() {
        let name = symbol.name().unwrap_or_default();
        if !is_function(&symbol) || !symbol.is_definition() || is_part(name) {
            continue;
        }
        let start = symbol.address() & !mark;
        match symbol.size() {
            _ if stubs && name.starts_with("__plt_") => {
                truth.neutral.insert(start);
            }
            0 if file.format() == BinaryFormat::Elf => {
                truth.neutral.insert(start);
            }
            0 => {
                sizeless.insert(start);
            }
            size if padded => {
                truth.functions.insert(start, Size::UpTo(size));
            }
            size => {
                truth.functions.insert(start, Size::Exact(size));
            }
        }
    }
    if !sizeless.is_empty() {
        up_to_the_next(file, &sizeless, data, &mut truth);
    }
    truth
        .neutral
        .retain(|start| !truth.functions.contains_key(start));
    truth
}

fn up_to_the_next(
    file: &object::File<'_>,
    starts: &BTreeSet<u64>,
    data: &BTreeSet<u64>,
    truth: &mut Truth,
) {
    for section in file.sections() {
        // Not stubs.
        if section.kind() != SectionKind::Text || section.name() == Ok("__stubs") {
            continue;
        }
        let end = section.address() + section.size();
        let mut inside = starts.range(section.address()..end).peekable();
        while let Some(&start) = inside.next() {
            let next = inside.peek().map_or(end, |next| **next);
            // Jump tables stand behind the function that jumps by them.
            let next = data.range(start..next).next().copied().unwrap_or(next);
            truth.functions.insert(start, Size::UpTo(next - start));
        }
    }
}

/// A part of a function that the compiler moved elsewhere, or a label.
fn is_part(name: &str) -> bool {
    name.ends_with(".cold")
        || name.contains(".cold.")
        || name.starts_with("ltmp")
        || matches!(name, "runtime.text" | "runtime.etext")
}

/// Where data begins among the code of a Mach-O file, as it says itself.
fn data_in_code(bytes: &[u8]) -> BTreeSet<u64> {
    entries_of_data(bytes).unwrap_or_default()
}

fn entries_of_data(bytes: &[u8]) -> object::Result<BTreeSet<u64>> {
    let file = MachOFile64::<Endianness>::parse(bytes)?;
    let order = file.endian();
    // Where the file's header is loaded to.
    let text = file.segments().find(|s| s.name() == Ok(Some("__TEXT")));
    let base = text.map_or(0, |text| text.address());
    let mut starts = BTreeSet::new();
    let mut commands = file.macho_load_commands()?;
    while let Some(command) = commands.next()? {
        if let LoadCommandVariant::LinkeditData(list) = command.variant()?
            && list.cmd.get(order) == macho::LC_DATA_IN_CODE
        {
            let count =
                list.datasize.get(order) as usize / size_of::<DataInCodeEntry<Endianness>>();
            let entries = bytes.read_slice_at(list.dataoff.get(order).into(), count);
            let entries: &[DataInCodeEntry<Endianness>] = entries.unwrap_or_default();
            starts.extend(
                entries
                    .iter()
                    .map(|e| base + u64::from(e.offset.get(order))),
            );
        }
    }
    Ok(starts)
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
