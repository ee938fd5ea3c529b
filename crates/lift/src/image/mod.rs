//! A file as an address space: bytes, names and pointers by address.
//!
//! One module for each format fills an [`Image`]; everything after works on
//! addresses alone. Object files, which have none, are laid out as a linker
//! would: each section gets addresses of its own, undefined symbols and pointer
//! slots get addresses behind them, and relocations are applied to copies of
//! the sections.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

use crate::address::{AddressMap, AddressSet};
use crate::program::{Arch, BinaryKind, Diagnostic, Format, Source};
use crate::risc::Modes;
use crate::{Error, archive};

mod arm;
mod bounds;
pub(crate) mod coff;
mod elf;
mod fix;
mod gopclntab;
pub(crate) mod macho;
mod objc;
mod pdb;
mod pe;
mod raw;
mod relocation;

/// A mapped section, or a segment where a file has no sections.
#[derive(Debug)]
pub(crate) struct Region<'d> {
    pub(crate) start: u64,
    /// End of the addresses, which reach beyond `data` where memory is zero.
    pub(crate) end: u64,
    pub(crate) data: Cow<'d, [u8]>,
    pub(crate) executable: bool,
    pub(crate) writable: bool,
    /// A section of PLT stubs.
    pub(crate) plt: bool,
    pub(crate) section: u32,
}

impl Region<'_> {
    /// Where the bytes of the file end.
    pub(crate) fn data_end(&self) -> u64 {
        self.start + self.data.len() as u64
    }
}

/// A function symbol.
#[derive(Debug, Clone)]
pub(crate) struct FunctionSymbol {
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) name: String,
    pub(crate) global: bool,
    pub(crate) dynamic: bool,
}

/// A named object in data.
#[derive(Debug)]
pub(crate) struct DataSymbol {
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) name: String,
}

#[derive(Debug, Default)]
pub(crate) struct Image<'d> {
    pub(crate) format: Format,
    pub(crate) arch: Arch,
    pub(crate) kind: BinaryKind,
    pub(crate) base: u64,
    pub(crate) entry: Option<u64>,
    /// What code at the entry point is called, where the format tells.
    pub(crate) entry_name: Option<&'static str>,
    pub(crate) start_files: StartFiles,
    pub(crate) stripped: bool,
    /// Ascending, never overlapping.
    pub(crate) regions: Vec<Region<'d>>,
    pub(crate) functions: Vec<FunctionSymbol>,
    /// Functions by the file of names that the linker wrote beside the program.
    pub(crate) pdb: Vec<FunctionSymbol>,
    /// Which such file that is.
    pub(crate) build: Option<pdb::Build>,
    /// Functions by other tables than the symbols.
    pub(crate) known: Vec<KnownFunction>,
    /// Names of functions by other tables than the symbols.
    pub(crate) known_names: AddressMap<String>,
    /// Code in which `known` has every function.
    pub(crate) complete: Range<u64>,
    /// Those of `known` that are parts of another function, by their start, and
    /// the function where the table tells it.
    pub(crate) parts: AddressMap<Option<u64>>,
    /// Ascending by address, one for each address.
    pub(crate) objects: Vec<DataSymbol>,
    /// Pointer slots that the loader fills with a symbol's address.
    pub(crate) slots: AddressMap<String>,
    /// PLT stubs, and in a relocatable file undefined symbols, by address.
    pub(crate) imports: AddressMap<Import>,
    /// Slots that the loader fills with an address of this file: (slot,
    /// address), ascending.
    pub(crate) pointers: Vec<(u64, u64)>,
    /// Address and bytes of the unwind table: index into `regions` and offset.
    pub(crate) eh_frame: Option<(usize, usize)>,
    /// Where the global offset table begins, which 32-bit code counts from.
    pub(crate) got: Option<u64>,
    /// What the register holds that code counts its data from, where it has
    /// the same value everywhere.
    pub(crate) global: Option<u64>,
    /// Literals are counted, as those of Rust and Go: no NUL ends them, and their
    /// lengths stand in code, or behind pointers to them.
    pub(crate) counted: bool,
    /// The program is loaded where it says, so that immediates are addresses.
    pub(crate) absolute: bool,
    /// Where the code of a relocatable file has absolute addresses.
    pub(crate) address_fields: AddressSet,
    /// What the bytes of the code are, for a processor of several states.
    pub(crate) modes: Modes,
    /// Code that the loader calls: `DT_INIT`, `.init_array` and their like.
    pub(crate) roots: Vec<u64>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Code of the C start files, where an ELF file states it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct StartFiles {
    /// `DT_INIT`.
    pub(crate) init: Option<u64>,
    /// `DT_FINI`.
    pub(crate) fini: Option<u64>,
    /// The first of `.init_array`.
    pub(crate) first_init: Option<u64>,
    /// The first of `.fini_array`.
    pub(crate) first_fini: Option<u64>,
}

/// Code that lives elsewhere.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) name: String,
    /// Reached through a stub of this file.
    pub(crate) stub: bool,
}

/// A function that a table of the file other than its symbols tells of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownFunction {
    pub(crate) address: u64,
    /// Where it ends, if the table says so.
    pub(crate) end: Option<u64>,
    pub(crate) source: Source,
}

/// Files may claim more sections than this; we read no more.
const MAX_REGIONS: usize = 65_536;
/// Bound of an object file's addresses: relocations are 32 bits wide.
const MAX_LAYOUT: u64 = 1 << 30;

impl<'d> Image<'d> {
    /// Reads a file of any format that is known.
    pub(crate) fn parse(bytes: &'d [u8]) -> Result<Image<'d>, Error> {
        let bytes = macho::first_part(bytes)?;
        let mut image = if bytes.starts_with(b"\x7fELF") {
            elf::parse(bytes)?
        } else if macho::is_macho(bytes) {
            macho::parse(bytes)?
        } else if bytes.starts_with(b"MZ") {
            pe::parse(bytes)?
        } else if coff::is_object(bytes) {
            coff::parse(bytes)?
        } else if archive::is_archive(bytes) {
            let members = archive::members(bytes)?.len();
            return Err(Error::Archive { members });
        } else {
            return Err(Error::NotProgram {
                looks_like: looks_like(bytes),
            });
        };
        if !image
            .regions
            .iter()
            .any(|r| r.executable && !r.data.is_empty())
        {
            return Err(Error::NoCode {
                format: image.format,
            });
        }
        image.read_go_table();
        image.counted |= image.is_of_rust();
        Ok(image)
    }

    /// Whether there is code of Rust. Its libraries come compiled, and say in
    /// their panics where they were.
    fn is_of_rust(&self) -> bool {
        let constant = self.regions.iter().filter(|r| !r.executable && !r.writable);
        let mut constant = constant.map(|region| &*region.data);
        let finder = memmem::Finder::new(b"/rustc/");
        constant.any(|data| finder.find(data).is_some())
    }

    /// A file of Windows, where other habits of writing rule.
    pub(crate) fn is_windows(&self) -> bool {
        matches!(self.format, Format::Pe | Format::Coff)
    }

    /// What stands before the name of an import that is reached by a stub.
    pub(crate) fn stub_prefix(&self) -> &'static str {
        if self.is_windows() { "" } else { "_" }
    }

    /// What stands behind the name of an import whose slot is read.
    pub(crate) fn slot_suffix(&self) -> &'static str {
        if self.is_windows() { "" } else { "_ptr" }
    }

    fn note(&mut self, message: String) {
        self.diagnostics.push(Diagnostic {
            address: None,
            message,
        });
    }

    fn settle_objects(&mut self) {
        // Where two names share an address, the one that sorts first wins: a
        // choice that does not depend on the order of the file.
        self.objects.sort_by(|a, b| {
            (a.address, a.name.starts_with('_'), &a.name).cmp(&(
                b.address,
                b.name.starts_with('_'),
                &b.name,
            ))
        });
        self.objects.dedup_by_key(|o| o.address);
    }

    // ---- regions ---------------------------------------------------------

    fn add_region(&mut self, region: Region<'d>) {
        if (region.data.len() as u64) <= region.end - region.start && region.end > region.start {
            self.regions.push(region);
        }
    }

    /// Sorts the regions and drops those that overlap another, or that map
    /// the same bytes of the file over and over.
    fn settle_regions(&mut self, file_size: u64) {
        self.regions.sort_by_key(|r| r.start);
        let mut end = 0;
        let mut budget = file_size.saturating_mul(2);
        let before = self.regions.len();
        self.regions.retain(|r| {
            let size = r.data.len() as u64;
            let keep = r.start >= end && size <= budget;
            if keep {
                end = r.end;
                budget -= size;
            }
            keep
        });
        let dropped = before - self.regions.len();
        if dropped > 0 {
            self.note(format!("{dropped} overlapping sections were left out"));
        }
    }

    fn region_index(&self, address: u64) -> Option<usize> {
        let index = self
            .regions
            .partition_point(|r| r.start <= address)
            .checked_sub(1)?;
        (address < self.regions[index].end).then_some(index)
    }

    /// Region and offset of an address that has bytes in the file.
    fn locate(&self, address: u64) -> Option<(usize, usize)> {
        let index = self.region_index(address)?;
        let offset = (address - self.regions[index].start) as usize;
        (offset < self.regions[index].data.len()).then_some((index, offset))
    }

    pub(crate) fn region(&self, address: u64) -> Option<&Region<'d>> {
        Some(&self.regions[self.region_index(address)?])
    }

    /// Whether something lies at `address`, or stands for what lies elsewhere.
    pub(crate) fn is_known(&self, address: u64) -> bool {
        self.region_index(address).is_some()
            || self.imports.contains_key(&address)
            || self.slots.contains_key(&address)
            || self.object(address).is_some()
    }

    /// The executable region around `address`, where it has bytes.
    pub(crate) fn code_region(&self, address: u64) -> Option<&Region<'d>> {
        self.region(address)
            .filter(|r| r.executable && address < r.data_end())
    }

    /// Bytes of the file that a linked file maps at `address`.
    fn mapped(&self, address: u64, size: u64) -> &'d [u8] {
        let Some((index, offset)) = self.locate(address) else {
            return &[];
        };
        match &self.regions[index].data {
            Cow::Borrowed(data) => {
                let rest = &data[offset..];
                &rest[..size.min(rest.len() as u64) as usize]
            }
            Cow::Owned(_) => &[],
        }
    }

    /// The bytes from `address` to the end of its region.
    pub(crate) fn bytes_at(&self, address: u64) -> Option<&[u8]> {
        let (index, offset) = self.locate(address)?;
        Some(&self.regions[index].data[offset..])
    }

    /// Whether a function may start at `address`: there is code, and no stub of
    /// the procedure linkage table.
    pub(crate) fn may_start(&self, address: u64) -> bool {
        self.code_region(address).is_some_and(|r| !r.plt)
            && !self.imports.contains_key(&address)
            && !self.modes.is_data(address)
    }

    /// An address without the bit that tells the state of code.
    pub(crate) fn code_address(&self, address: u64) -> u64 {
        let tells = self.arch == Arch::Arm
            && address & 1 == 1
            && self.code_region(address).is_some()
            && self.modes.may_be_thumb(address - 1);
        if tells { address - 1 } else { address }
    }

    /// The bytes of a range that lies inside one region.
    pub(crate) fn bytes_in(&self, start: u64, end: u64) -> &[u8] {
        let bytes = self.bytes_at(start).unwrap_or(&[]);
        let length = end.saturating_sub(start).min(bytes.len() as u64) as usize;
        &bytes[..length]
    }

    /// The address of this file that a pointer slot will hold.
    pub(crate) fn pointer(&self, slot: u64) -> Option<u64> {
        if let Ok(at) = self.pointers.binary_search_by_key(&slot, |p| p.0) {
            return Some(self.pointers[at].1);
        }
        let size = self.arch.pointer_size() as usize;
        let value = self.arch.number(self.bytes_at(slot)?.get(..size)?);
        self.region(value).map(|_| self.code_address(value))
    }

    /// The addresses that the pointers from `slot` on will hold, as far as each
    /// holds one of this file.
    pub(crate) fn pointers_from(&self, slot: u64) -> impl Iterator<Item = u64> {
        let size = self.arch.pointer_size();
        let bytes = self.bytes_at(slot).unwrap_or(&[]);
        let next = self.pointers.partition_point(|p| p.0 < slot);
        let mut filled = self.pointers[next..].iter().peekable();
        // Nearly all lead to where the one before does.
        let mut around = 0..0;
        let slots = (0..).map_while(move |index: u64| slot.checked_add(index.checked_mul(size)?));
        slots.map_while(move |at| {
            while filled.next_if(|pointer| pointer.0 < at).is_some() {}
            if let Some(&&(_, target)) = filled.peek().filter(|pointer| pointer.0 == at) {
                return Some(target);
            }
            let raw = bytes.get((at - slot) as usize..);
            let Some(raw) = raw.and_then(|raw| raw.get(..size as usize)) else {
                // Another region may follow.
                return self.pointer(at);
            };
            let value = self.arch.number(raw);
            if !around.contains(&value) {
                let region = self.region(value)?;
                around = region.start..region.end;
            }
            Some(self.code_address(value))
        })
    }

    /// The data symbol that covers `address`, and how far inside it is.
    pub(crate) fn object(&self, address: u64) -> Option<(&DataSymbol, u64)> {
        let at = self
            .objects
            .partition_point(|o| o.address <= address)
            .checked_sub(1)?;
        let object = &self.objects[at];
        let inside = address - object.address;
        (inside == 0 || inside < object.size).then_some((object, inside))
    }
}

/// As many of `items` as the budget allows. Sections may lie over each other,
/// so that a small file could have the same table read thousands of times.
fn within<'a, T>(budget: &mut usize, items: &'a [T]) -> &'a [T] {
    let count = items.len().min(*budget);
    *budget -= count;
    &items[..count]
}

/// What bytes that are not ELF seem to be.
fn looks_like(bytes: &[u8]) -> &'static str {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if bytes.is_empty() {
        "an empty file"
    } else if starts(b"\x7f") && b"\x7fELF".starts_with(bytes) {
        "the first bytes of one"
    } else if starts(b"\xca\xfe\xba\xbe") {
        "a Java class or a universal macOS program"
    } else if starts(b"\0asm") {
        "a WebAssembly module"
    } else if starts(b"#!") {
        "a script"
    } else if starts(b"\x1f\x8b")
        || starts(b"\xfd7zXZ")
        || starts(b"BZh")
        || starts(b"\x28\xb5\x2f\xfd")
    {
        "compressed data"
    } else if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
        "a ZIP archive (zip, apk, jar): unpack it and name a program in it"
    } else if starts(b"\xed\xab\xee\xdb") {
        "an RPM package: unpack it and name a program in it"
    } else if starts(b"7z\xbc\xaf\x27\x1c") {
        "a 7-Zip archive: unpack it and name a program in it"
    } else if starts(b"070701") || starts(b"070702") {
        "a cpio archive: unpack it and name a program in it"
    } else if starts(b"hsqs") {
        "a squashfs file system: unpack it and name a program in it"
    } else if starts(b"\x02\x21\x4c\x18") || starts(b"\x04\x22\x4d\x18") {
        "LZ4 data: unpack it first"
    } else if starts(b"dex\n") {
        "an Android (DEX) program"
    } else if bytes
        .iter()
        .take(4096)
        .all(|&b| matches!(b, b'\t'..=b'\r' | b' '..=b'~' | 0x80..))
    {
        "text"
    } else {
        "data of an unknown kind"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pointers as they lie in the file, as the loader makes them, and on in the
    /// region behind, up to a number that is no address.
    #[test]
    fn pointers_in_a_row() {
        let region = |start: u64, words: &[u64]| {
            let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            Region {
                start,
                end: start + data.len() as u64,
                data: Cow::Owned(data),
                executable: false,
                writable: false,
                plt: false,
                section: 1,
            }
        };
        let image = Image {
            regions: vec![
                region(0x1000, &[0x1008, 0, 0x1010]),
                region(0x1018, &[0x1018, 0x1007, 0x2000, 0x1000]),
            ],
            pointers: vec![(0x1004, 0x1001), (0x1008, 0x1002)],
            ..Image::default()
        };
        let from = |slot| image.pointers_from(slot).collect::<Vec<_>>();
        assert_eq!(from(0x1000), [0x1008, 0x1002, 0x1010, 0x1018, 0x1007]);
        assert_eq!(from(0x1030), [0x1000]);
        assert!(from(0x1028).is_empty() && from(u64::MAX).is_empty());
        for slot in 0x1000..0x1040 {
            assert_eq!(image.pointers_from(slot).next(), image.pointer(slot));
        }
    }
}
