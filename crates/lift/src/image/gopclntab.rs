//! The function table of Go programs, which their runtime walks stacks by and
//! which no one can strip: the start and the name of each function. It is found
//! by its first bytes, wherever it is, because PE files have no section for it
//! and others lose their section headers.
//!
//! The layouts are those of Go 1.2, 1.16, 1.18 and 1.20 (`debug/gosym`); the
//! last two differ in the magic number alone.

use super::bounds::Padding;
use super::{Image, KnownFunction};
use crate::address::AddressMap;
use crate::program::Source;
use crate::strings;

/// Places that look like the start of a table and are looked at.
const MAX_CANDIDATES: usize = 8;
/// Of the entries, so many in a hundred must lie in code.
const IN_CODE: usize = 95;
/// Where the runtime's description of the program has the address of the code,
/// in words from its pointer to the table; that of the first function precedes.
const TEXT: u64 = 22;
const FIRST: u64 = 20;

/// How a table is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// Everything counts from the start of the table.
    Go12,
    /// The parts of the table are listed in its header.
    Go116,
    /// Addresses count from the start of the code.
    Go118,
}

/// A table whose parts lie inside of its region.
#[derive(Debug)]
struct Table<'a> {
    version: Version,
    /// The byte order.
    big: bool,
    /// Its own address.
    start: u64,
    /// Bytes of a pointer.
    word: u64,
    /// Pairs of the address of a function and the place of its record.
    entries: &'a [u8],
    /// The address of `entries`.
    entries_at: u64,
    /// What places of records count from.
    records: &'a [u8],
    names: &'a [u8],
    /// Address of the code as the header has it.
    text: u64,
}

/// What a table tells.
#[derive(Debug)]
struct Listed {
    starts: Vec<u64>,
    /// Where the last function ends.
    limit: u64,
    names: AddressMap<String>,
}

impl Image<'_> {
    /// Adds the functions of the table to those that other tables list.
    pub(super) fn read_go_table(&mut self) {
        let found = self
            .go_candidates()
            .into_iter()
            .find_map(|at| self.go_functions(&self.go_table(at)?));
        let Some(Listed {
            starts,
            limit,
            names,
        }) = found
        else {
            return;
        };
        self.counted = true;
        let first = starts.first().copied();
        self.complete = first.map_or(0..0, |first| first..limit);
        let known = self.bounded(starts, limit, Padding::Dead).into_iter();
        let marked = |function: &(u64, u64)| names.get(&function.0).is_some_and(|n| is_mark(n));
        let known = known.filter(|function| !marked(function));
        let known: Vec<_> = known
            .map(|(address, end)| KnownFunction {
                address,
                end: Some(end),
                source: Source::GoTable,
            })
            .collect();
        // It knows more of each than the tables of the system do.
        self.known.splice(..0, known);
        self.known_names.extend(names);
    }

    /// Where a table may start: the magic number, two zeroes, and what the
    /// processor's instructions and pointers count in bytes.
    fn go_candidates(&self) -> Vec<u64> {
        let pointer = self.arch.pointer_size() as u8;
        let mut found = Vec::new();
        for region in &self.regions {
            let skipped = (region.start.wrapping_neg() & 3) as usize;
            let data = region.data.get(skipped..).unwrap_or(&[]);
            for (block, bytes) in data.chunks(BLOCK).enumerate() {
                if !may_have_magic(bytes) {
                    continue;
                }
                for (at, word) in (block * BLOCK..).step_by(4).zip(bytes.chunks_exact(4)) {
                    if version(word).is_some()
                        && let Some(&[0, 0, 1 | 2 | 4, size]) = data[at + 4..].first_chunk()
                        && size == pointer
                    {
                        found.push(region.start + (skipped + at) as u64);
                        if found.len() == MAX_CANDIDATES {
                            return found;
                        }
                    }
                }
            }
        }
        found
    }

    fn go_table(&self, start: u64) -> Option<Table<'_>> {
        let data = self.bytes_at(start)?;
        let (version, big) = version(data)?;
        let word = self.arch.pointer_size();
        let field = |index: u64| self.go_number(start.checked_add(8 + index * word)?, word, big);
        let part = |index: u64| {
            let offset = field(index)?;
            Some((offset, data.get(usize::try_from(offset).ok()?..)?))
        };
        let ((offset, entries), records, names) = match version {
            Version::Go12 => {
                let offset = 8 + word;
                ((offset, data.get(offset as usize..)?), data, data)
            }
            Version::Go116 => (part(6)?, part(6)?.1, part(2)?.1),
            Version::Go118 => (part(7)?, part(7)?.1, part(3)?.1),
        };
        let mut table = Table {
            version,
            big,
            start,
            word,
            entries,
            entries_at: start.checked_add(offset)?,
            records,
            names,
            text: field(2)?,
        };
        let count = field(0).filter(|&count| count > 0)?;
        // The last entry has only an address: where the code ends.
        let size = count.checked_mul(2)?.checked_add(1)?;
        let size = usize::try_from(size.checked_mul(table.width())?).ok()?;
        table.entries = entries.get(..size)?;
        Some(table)
    }

    /// The number of `width` bytes at `address`, or the address that the loader
    /// puts there.
    fn go_number(&self, address: u64, width: u64, big: bool) -> Option<u64> {
        if let Ok(at) = self.pointers.binary_search_by_key(&address, |p| p.0) {
            return Some(self.pointers[at].1);
        }
        number(self.bytes_at(address)?, 0, width, big)
    }

    fn go_functions(&self, table: &Table<'_>) -> Option<Listed> {
        match table.version {
            Version::Go12 | Version::Go116 => self.go_entries(table, 0),
            Version::Go118 => {
                // Since Go 1.26 the header has no address. Where the runtime's
                // own is not found, code begins a section.
                let described = self.go_text(table);
                let stated = (table.text != 0).then_some(table.text);
                let sections = self.regions.iter().filter(|r| r.executable && !r.plt);
                let sections = sections.map(|r| r.start).take(MAX_CANDIDATES);
                let candidates = described.into_iter().chain(stated).chain(sections);
                candidates
                    .into_iter()
                    .find_map(|text| self.go_entries(table, text))
            }
        }
    }

    /// Where the code begins, by the runtime's description of the program: it
    /// begins with a pointer to the table.
    fn go_text(&self, table: &Table<'_>) -> Option<u64> {
        let (word, big) = (table.word, table.big);
        let first = number(table.entries, 0, table.width(), big)?;
        let at = |place: u64, index: u64| {
            self.go_number(place.checked_add(index.checked_mul(word)?)?, word, big)
        };
        let text_of = |place: u64| {
            let text = at(place, TEXT)?;
            let fits = at(place, FIRST)? == text.wrapping_add(first);
            (fits && self.code_region(text).is_some()).then_some(text)
        };
        let moved = self.pointers.iter().filter(|p| p.1 == table.start);
        if let Some(text) = moved.take(MAX_CANDIDATES).find_map(|p| text_of(p.0)) {
            return Some(text);
        }
        let data = self.regions.iter().filter(|r| !r.executable);
        let places = data.flat_map(|region| {
            let skipped = region.start.wrapping_neg() & (word - 1);
            let words = region.data.get(skipped as usize..).unwrap_or(&[]);
            let words = words.chunks_exact(word as usize).enumerate();
            words
                .filter(|(_, raw)| number(raw, 0, word, big) == Some(table.start))
                .map(move |(at, _)| region.start + skipped + at as u64 * word)
        });
        places.take(MAX_CANDIDATES).find_map(text_of)
    }

    fn go_entries(&self, table: &Table<'_>, text: u64) -> Option<Listed> {
        let width = table.width();
        let address = |index: usize| {
            let offset = index as u64 * 2 * width;
            match table.version {
                Version::Go118 => {
                    number(table.entries, offset, width, table.big).map(|o| text.wrapping_add(o))
                }
                _ => self.go_number(table.entries_at.checked_add(offset)?, width, table.big),
            }
        };
        let count = table.entries.len() / (2 * width as usize);
        // A name of half a kilobyte may be that of each function.
        let mut room = table.names.len().saturating_mul(2);
        let (mut starts, mut names) = (Vec::new(), AddressMap::default());
        let mut before = None;
        for index in 0..count {
            let start = address(index)?;
            if before.is_some_and(|before| before > start) {
                return None;
            }
            before = Some(start);
            if self.code_region(start).is_none() {
                continue;
            }
            starts.push(start);
            let name = table.name(index);
            if let Some(name) = name.and_then(strings::plain_name)
                && let Some(left) = room.checked_sub(name.len())
            {
                room = left;
                names.entry(start).or_insert(name);
            }
        }
        let limit = address(count).filter(|&limit| Some(limit) > before)?;
        (starts.len() * 100 >= count * IN_CODE).then_some(Listed {
            starts,
            limit,
            names,
        })
    }
}

impl<'a> Table<'a> {
    /// Bytes of a number in `entries`.
    fn width(&self) -> u64 {
        match self.version {
            Version::Go118 => 4,
            _ => self.word,
        }
    }

    /// A record begins with the address of its function, as wide as in
    /// `entries`, and the place of its name.
    fn name(&self, index: usize) -> Option<&'a [u8]> {
        let width = self.width();
        let place = (2 * index as u64 + 1) * width;
        let place = number(self.entries, place, width, self.big)?;
        let name = number(self.records, place.checked_add(width)?, 4, self.big)?;
        Some(strings::terminated(self.names, usize::try_from(name).ok()?))
    }
}

/// What the linker puts among the functions to know a place by.
fn is_mark(name: &str) -> bool {
    let name = name.strip_prefix("go:").or(name.strip_prefix("go."));
    name.is_some_and(|name| name == "buildid" || name.starts_with("textfips"))
}

/// Bytes that are searched for a magic number at a time.
const BLOCK: usize = 256;

/// Whether a word may be a magic number, in either order of bytes: all words are
/// looked at, which takes less time than to stop at the first.
fn may_have_magic(bytes: &[u8]) -> bool {
    let words = bytes.chunks_exact(4).map(|word| match word.first_chunk() {
        Some(word) => u32::from_le_bytes(*word),
        None => 0,
    });
    // What the lowest or the highest byte is all of them have in common.
    let magic =
        |word: u32| (word & 0xffff_fff4 == 0xffff_fff0) | (word & 0xf4ff_ffff == 0xf0ff_ffff);
    words.fold(false, |found, word| found | magic(word))
}

/// The layout that a magic number stands for, and whether the first byte of
/// each number is the highest.
fn version(magic: &[u8]) -> Option<(Version, bool)> {
    let (low, big) = match *magic.first_chunk()? {
        [low, 0xff, 0xff, 0xff] => (low, false),
        [0xff, 0xff, 0xff, low] => (low, true),
        _ => return None,
    };
    let version = match low {
        0xfb => Version::Go12,
        0xfa => Version::Go116,
        0xf0 | 0xf1 => Version::Go118,
        _ => return None,
    };
    Some((version, big))
}

/// The number of `width` bytes at `offset`.
fn number(bytes: &[u8], offset: u64, width: u64, big: bool) -> Option<u64> {
    let rest = bytes.get(usize::try_from(offset).ok()?..)?;
    let (size, mut raw) = (width as usize, [0; 8]);
    raw[..size].copy_from_slice(rest.get(..size)?);
    Some(match big {
        false => u64::from_le_bytes(raw),
        true => u64::from_be_bytes(raw) >> (64 - 8 * width),
    })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::image::Region;
    use crate::program::Arch;

    #[test]
    fn no_magic_number_is_passed_over() {
        for word in 0..=0xffff_u32 {
            for word in [word << 16 | 0xffff, 0xffff_0000 | word] {
                let bytes = word.to_le_bytes();
                assert!(version(&bytes).is_none() || may_have_magic(&bytes));
            }
        }
        assert!(!may_have_magic(&[0xff, 0xff, 0xff, 0xff]));
    }

    /// Both byte orders and both sizes of pointers, for two functions of 8 bytes.
    #[test]
    fn any_processor() {
        for (big, arch) in [
            (false, Arch::X86),
            (true, Arch::X86),
            (false, Arch::X86_64),
            (true, Arch::X86_64),
        ] {
            let size = arch.pointer_size() as usize;
            let put = |value: u64, size: usize| match big {
                false => value.to_le_bytes()[..size].to_vec(),
                true => value.to_be_bytes()[8 - size..].to_vec(),
            };
            let mut table = put(0xffff_fff0, 4);
            table.extend([0, 0, 4, size as u8]);
            let names = 8 + 8 * size as u64;
            for field in [2, 0, 0x1000, names, 0, 0, 0, names + 4] {
                table.extend(put(field, size));
            }
            table.extend(b"f\0g\0");
            for field in [0, 20, 8, 28, 16, 0, 0, 8, 2] {
                table.extend(put(field, 4));
            }
            let region = |start: u64, data: Vec<u8>, executable| Region {
                start,
                end: start + data.len() as u64,
                data: Cow::Owned(data),
                executable,
                writable: false,
                plt: false,
                section: 1,
            };
            let mut image = Image {
                arch,
                regions: vec![
                    region(0x1000, vec![0x90; 16], true),
                    region(0x2000, table, false),
                ],
                ..Image::default()
            };
            image.read_go_table();
            let known: Vec<_> = image.known.iter().map(|k| (k.address, k.end)).collect();
            assert_eq!(known, [(0x1000, Some(0x1008)), (0x1008, Some(0x1010))]);
            assert_eq!(image.known_names[&0x1000], "f");
            assert_eq!(image.known_names[&0x1008], "g");
            assert_eq!(image.complete, 0x1000..0x1010);
        }
    }
}
