//! Where jump tables lead.

use std::ops::Range;

use iced_x86::{FlowControl, Instruction, Mnemonic};

use super::{MAX_INSTRUCTIONS, MAX_TABLE, MAX_TABLES};
use crate::address::AddressMap;
use crate::image::Image;
use crate::program::{Arch, Function};
use crate::risc::isa;
use crate::step::{self, Step, Steps};
use crate::strings;

/// Entries of all jump tables of a function that are read.
const MAX_ENTRIES: u64 = 1 << 16;

/// The constant data that code names, and what bounds a jump by it.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// That named last comes last.
    pub(super) tables: Vec<u64>,
    /// How many of them were named before the last comparison.
    before: usize,
    /// What was compared last.
    pub(super) most: Option<u64>,
    /// Bytes of an entry, and whether it has a sign.
    pub(super) entry: u64,
    signed: bool,
    /// How far behind the address that the code has the entries may begin.
    pub(super) offset: i64,
}

impl Named {
    pub(super) fn follow(&mut self, step: &Step) {
        self.compare(step.compares);
        if step.entry > 0 {
            (self.entry, self.signed, self.offset) = (step.entry, false, step.offset);
        }
        self.signed |= step.adds_signed;
        self.name(step.table);
    }

    /// Takes in what is compared with a number.
    fn compare(&mut self, most: Option<u64>) {
        if most.is_some() {
            self.most = most;
            self.before = self.tables.len();
        }
    }

    /// Takes in what may be a table.
    fn name(&mut self, table: Option<u64>) {
        if let Some(table) = table {
            if let Some(known) = self.tables.iter().position(|&known| known == table) {
                self.tables.remove(known);
                self.before -= usize::from(known < self.before);
            }
            if self.tables.len() < MAX_TABLES {
                self.tables.push(table);
            }
        }
    }
}

/// Where the jumps by table of `function` lead, by the address of the jump.
pub(crate) fn targets(image: &Image<'_>, function: &Function) -> AddressMap<Vec<u64>> {
    let mut found = AddressMap::default();
    let mut budget = MAX_ENTRIES;
    let mut left = MAX_INSTRUCTIONS;
    let first = function.ranges.first();
    let copies = first.map_or(0, |first| super::copies(image, first.start, first.end));
    for range in &function.ranges {
        let bytes = image.bytes_in(range.start, range.end);
        let mut named = Named::default();
        for step in Steps::new(image, bytes, range.start, copies).take(left) {
            left -= 1;
            follow(image, &step, range, &mut named, &mut budget, &mut found);
        }
    }
    found
}

/// The same for x86, where the instructions of the function are known.
pub(crate) fn targets_x86(
    image: &Image<'_>,
    function: &Function,
    code: &[Instruction],
) -> AddressMap<Vec<u64>> {
    if image.arch != Arch::X86_64 {
        return targets(image, function);
    }
    let mut found = AddressMap::default();
    let mut budget = MAX_ENTRIES;
    let mut rest = code;
    for range in &function.ranges {
        let inside = rest.iter().take_while(|i| range.contains(&i.ip())).count();
        let (code, behind) = rest.split_at(inside);
        rest = behind;
        let mut named = Named {
            entry: step::X86_ENTRY,
            ..Named::default()
        };
        for instruction in code {
            match instruction.mnemonic() {
                Mnemonic::Cmp | Mnemonic::Sub => named.compare(step::compared(instruction)),
                Mnemonic::Lea | Mnemonic::Mov => named.name(step::jump_table(instruction)),
                Mnemonic::Jmp => {
                    named.name(step::jump_table(instruction));
                    if instruction.flow_control() == FlowControl::IndirectBranch {
                        jump(
                            image,
                            instruction.ip(),
                            range,
                            &named,
                            &mut budget,
                            &mut found,
                        );
                    }
                }
                _ => {}
            }
        }
    }
    found
}

/// Follows an instruction of a function's `range`, and adds to `found` where it
/// leads if it jumps by a table.
fn follow(
    image: &Image<'_>,
    step: &Step,
    range: &Range<u64>,
    named: &mut Named,
    budget: &mut u64,
    found: &mut AddressMap<Vec<u64>>,
) {
    named.follow(step);
    if step.indirect {
        jump(image, step.address, range, named, budget, found);
    }
}

/// The same for a jump at `address` by one of the tables `named`.
fn jump(
    image: &Image<'_>,
    address: u64,
    range: &Range<u64>,
    named: &Named,
    budget: &mut u64,
    found: &mut AddressMap<Vec<u64>>,
) {
    if *budget > 0 {
        let mut places = cases(image, budget, named, range, |_| u64::MAX);
        places.sort_unstable();
        places.dedup();
        found.insert(address, places);
    }
}

/// Where a jump by one of the tables `named` may lead, inside of `within`;
/// `next_table` tells where another table begins behind one.
pub(super) fn cases(
    image: &Image<'_>,
    budget: &mut u64,
    named: &Named,
    within: &Range<u64>,
    next_table: impl Fn(u64) -> u64,
) -> Vec<u64> {
    // What was named after the comparison is likelier to be the table.
    let outside = |table: &u64| !within.contains(table);
    let (tables, entry) = match &named.tables[named.before..] {
        near if near.iter().any(outside) => (near, named.entry),
        _ => (&named.tables[..], named.entry),
    };
    let most = named
        .most
        .map_or(MAX_TABLE, |most| (most as usize).saturating_add(1));
    let most = most.min(MAX_TABLE);
    let mut found = Vec::new();
    if image.arch == Arch::Aarch64 && matches!(entry, 1 | 2) {
        return short_cases(image, budget, &named.tables, within, most, named);
    }
    let behind = tables.iter().filter(|_| named.offset != 0);
    let behind = behind.map(|table| table.wrapping_add_signed(named.offset));
    for table in tables.iter().copied().chain(behind) {
        let Some(region) = image.region(table) else {
            continue;
        };
        if within.contains(&table) && isa(image.arch).is_some() {
            continue;
        }
        let before = found.len();
        let bytes = image.bytes_at(table).unwrap_or(&[]);
        if entry == 4 && !region.writable {
            let relative = bytes.chunks_exact(4).take(most).map(|entry| {
                let from = match image.arch {
                    Arch::X86 => image.got.unwrap_or(table),
                    Arch::Mips | Arch::Mipsel => image.global.unwrap_or(table),
                    _ => table,
                };
                from.wrapping_add_signed(image.arch.signed(entry))
            });
            found.extend(relative.take_while(|target| within.contains(target)));
        }
        if found.len() == before {
            let size = image.arch.pointer_size();
            // Whole addresses vouch for themselves, and a comparison before a
            // jump that threads an interpreter is of something else.
            let room = next_table(table).saturating_sub(table).div_ceil(size);
            let most = room.min(MAX_TABLE as u64) as usize;
            let targets = image.pointers_from(table).take(most);
            found.extend(targets.take_while(|target| within.contains(target)));
            // Two pointers in a row into one function may be chance.
            if found.len() < before + 3 {
                found.truncate(before);
            }
        }
    }
    *budget = budget.saturating_sub(found.len() as u64);
    found
}

/// The same for tables of one or two bytes an entry, which count in
/// instructions from a label that the code named last. Other data that the
/// function names could be one, too: of those all of whose places lie inside
/// and are not one place, the table is that whose places lie closest.
fn short_cases(
    image: &Image<'_>,
    budget: &mut u64,
    tables: &[u64],
    within: &Range<u64>,
    most: usize,
    named: &Named,
) -> Vec<u64> {
    let entry = named.entry as usize;
    let mut labels = tables.iter().rev();
    let Some(&label) = labels.find(|label| within.contains(label)) else {
        return Vec::new();
    };
    let read = |table: u64| -> Option<Vec<u64>> {
        let bytes = image.bytes_at(table)?.get(..most * entry)?;
        if strings::literal(bytes, 4).is_some() {
            return None;
        }
        let places = bytes.chunks_exact(entry).map(|raw| {
            let count = match *raw {
                [low, high] if named.signed => i16::from_le_bytes([low, high]).into(),
                [low, high] => u16::from_le_bytes([low, high]).into(),
                [low, ..] if named.signed => (low as i8).into(),
                [low, ..] => low.into(),
                [] => 0i64,
            };
            label.wrapping_add_signed(4 * count)
        });
        let places: Vec<u64> = places.collect();
        let one = places.iter().all(|place| Some(place) == places.first());
        (!one && places.iter().all(|place| within.contains(place))).then_some(places)
    };
    *budget = budget.saturating_sub((tables.len() * most) as u64);
    // Behind the label, or on both sides of it.
    let spread = |place: &u64| place.abs_diff(label);
    let outside = tables.iter().filter(|table| !within.contains(table));
    let candidates = outside.filter_map(|&table| read(table));
    candidates
        .min_by_key(|places| places.iter().map(spread).max())
        .unwrap_or_default()
}
