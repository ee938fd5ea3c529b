//! PDB: the names that a linker of Windows puts into a file of its own.
//!
//! A PDB is a container of streams, each scattered over blocks of the file. What
//! is read: which build it belongs to, the procedures of each object file with
//! their lengths, data, and the public symbols of what was compiled without
//! debug information. Everything else (types, lines, inlining) is left alone.
//! The layout is that of Microsoft's microsoft-pdb repository.
//!
//! Streams of a real file share no block, so that all of them together hold no
//! more bytes than the file. Here that is a bound.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use object::LittleEndian as LE;
use object::pe::{self, ImageDebugDirectory};

use super::coff::table;
use super::{DataSymbol, FunctionSymbol, Image};
use crate::program::Format;
use crate::{Error, strings};

const MAGIC: &[u8] = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0";
/// The stream that says which build the file belongs to.
const IDENTITY: usize = 1;
/// The stream that lists the object files and where their symbols are.
const MODULES: usize = 3;
/// Bytes before the first module of [`MODULES`].
const MODULES_HEADER: usize = 64;
/// Bytes of a module before its names.
const MODULE_HEADER: usize = 64;
/// The number that stands for no stream.
const NO_STREAM: u16 = 0xffff;

/// Public symbols that are functions.
const PUBLIC_FUNCTION: u32 = 2;

/// Which build a program or a PDB is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Build {
    guid: [u8; 16],
    age: u32,
}

impl std::fmt::Display for Build {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The first three numbers are little-endian, the rest are bytes.
        for at in [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15] {
            if matches!(at, 5 | 7 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02X}", self.guid[at])?;
        }
        write!(f, " age {}", self.age)
    }
}

impl Build {
    /// What the debug directory of a program says, if its entry is of that kind.
    pub(super) fn of_program(entry: &ImageDebugDirectory, bytes: &[u8]) -> Option<Build> {
        if entry.typ.get(LE) != pe::IMAGE_DEBUG_TYPE_CODEVIEW {
            return None;
        }
        let at = entry.pointer_to_raw_data.get(LE) as usize;
        let data = bytes.get(at..)?.strip_prefix(b"RSDS")?;
        let (&guid, rest) = data.split_first_chunk()?;
        let age = u32::from_le_bytes(*rest.first_chunk()?);
        Some(Build { guid, age })
    }
}

impl Image<'_> {
    /// Takes in the names of a PDB that was made together with the program.
    pub(crate) fn add_pdb(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.format != Format::Pe {
            return Err(Error::PdbNotTaken {
                format: self.format,
            });
        }
        let wanted = self.build.ok_or(Error::PdbNotNamed)?;
        let mut file = Streams::new(bytes)?;
        let malformed = |what| Error::MalformedPdb { what };
        let identity = file.stream(IDENTITY, "the stream with its identity")?;
        let modules = file.stream(MODULES, "the list of its modules")?;
        let guid = identity.get(12..).and_then(|rest| rest.first_chunk());
        let (Some(&guid), Some(age), Some(linked)) =
            (guid, number(&identity, 8), number(&modules, 8))
        else {
            return Err(malformed("it does not say which build it belongs to"));
        };
        // Tools that change a PDB later raise the first number alone.
        let builds = [Build { guid, age: linked }, Build { guid, age }];
        if !builds.contains(&wanted) {
            return Err(Error::OtherPdb {
                pdb: builds[0].to_string(),
                program: wanted.to_string(),
            });
        }
        let sections = self.regions.iter().map(|r| (r.section, r.start..r.end));
        let sections: HashMap<u32, Range<u64>> = sections.collect();
        let size = number(&modules, 24).unwrap_or(0) as usize;
        let list = modules.get(MODULES_HEADER..).unwrap_or(&[]);
        let mut damaged = size > list.len();
        for module in Modules(&list[..size.min(list.len())]) {
            let symbols = match module.stream {
                NO_STREAM => continue,
                stream => file.stream(stream.into(), "the symbols of a module"),
            };
            let symbols = symbols.unwrap_or_default();
            damaged |= symbols.len() < module.size;
            // A number comes first.
            let symbols = &symbols[..module.size.min(symbols.len())];
            self.add_records(symbols.get(4..).unwrap_or(&[]), &sections);
        }
        let known: HashSet<u64> = self.pdb.iter().map(|symbol| symbol.address).collect();
        if let Some(public) = half(&modules, 20).filter(|&stream| stream != NO_STREAM) {
            let records = file.stream(public.into(), "the public symbols");
            damaged |= records.is_err();
            let first = self.pdb.len();
            self.add_records(&records.unwrap_or_default(), &sections);
            // The names of procedures are those of the source.
            let public = self.pdb.split_off(first);
            let public = public.into_iter().filter(|s| !known.contains(&s.address));
            self.pdb.extend(public);
        }
        if damaged {
            self.note("the PDB is damaged and was read in part".into());
        }
        self.settle_objects();
        Ok(())
    }

    /// Takes in what symbol records name.
    fn add_records(&mut self, records: &[u8], sections: &HashMap<u32, Range<u64>>) {
        for record in Records(records) {
            let Some(section) = sections.get(&record.section.into()) else {
                continue;
            };
            let address = section.start + u64::from(record.offset);
            let Some(name) = strings::plain_name(record.name) else {
                continue;
            };
            let code = self.code_region(address).is_some();
            match record.what {
                What::Function { size } if code && !self.imports.contains_key(&address) => {
                    self.pdb.push(FunctionSymbol {
                        address,
                        size: size.into(),
                        name,
                        global: record.global,
                        dynamic: false,
                    });
                }
                What::Data
                    if !code
                        && section.contains(&address)
                        && !self.slots.contains_key(&address)
                        && !name.starts_with("??_C@") =>
                {
                    self.objects.push(DataSymbol {
                        address,
                        size: 0,
                        name,
                    });
                }
                _ => {}
            }
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

// ---- container ---------------------------------------------------------------

/// The streams of a file.
#[derive(Debug)]
struct Streams<'d> {
    bytes: &'d [u8],
    /// Bytes of a block.
    block: usize,
    /// Size of each stream, and where in `blocks` its own begin.
    streams: Vec<(usize, usize)>,
    /// Numbers of blocks.
    blocks: Vec<u32>,
    /// Bytes that may still be copied.
    budget: usize,
}

impl<'d> Streams<'d> {
    fn new(bytes: &'d [u8]) -> Result<Self, Error> {
        let malformed = |what| Error::MalformedPdb { what };
        if !bytes.starts_with(MAGIC) {
            return Err(Error::NotPdb);
        }
        let word = |at| number(bytes, at).map(|word| word as usize);
        let (Some(block), Some(size), Some(map)) = (word(32), word(44), word(52)) else {
            return Err(malformed("its header is cut off"));
        };
        if !(512..=65_536).contains(&block) || !block.is_power_of_two() {
            return Err(malformed("its blocks are of no usual size"));
        }
        let mut file = Streams {
            bytes,
            block,
            streams: Vec::new(),
            blocks: Vec::new(),
            // Both the directory and its own list of blocks count.
            budget: bytes.len().saturating_mul(2),
        };
        let cut = || malformed("its directory lies outside the file");
        let map = map.checked_mul(block).and_then(|at| bytes.get(at..));
        let count = size.div_ceil(block);
        let blocks: &[object::U32<LE>] =
            map.and_then(|map| table(map, 0, count)).ok_or_else(cut)?;
        let blocks: Vec<u32> = blocks.iter().map(|block| block.get(LE)).collect();
        let directory = file.copy(&blocks, size).ok_or_else(cut)?;
        let words: &[object::U32<LE>] =
            table(&directory, 0, directory.len() / 4).unwrap_or_default();
        let (count, words) = words.split_first().ok_or_else(cut)?;
        let (sizes, blocks) = words
            .split_at_checked(count.get(LE) as usize)
            .ok_or_else(cut)?;
        file.blocks = blocks.iter().map(|block| block.get(LE)).collect();
        let mut first = 0usize;
        for size in sizes {
            // All ones mean that there is none.
            let size = match size.get(LE) {
                u32::MAX => 0,
                size => size as usize,
            };
            file.streams.push((size, first));
            first = first.saturating_add(size.div_ceil(block));
        }
        Ok(file)
    }

    /// The bytes of one stream.
    fn stream(&mut self, index: usize, what: &'static str) -> Result<Vec<u8>, Error> {
        let missing = Error::MalformedPdb { what };
        let Some(&(size, first)) = self.streams.get(index) else {
            return Err(missing);
        };
        let end = first.saturating_add(size.div_ceil(self.block));
        let Some(blocks) = self.blocks.get(first..end).map(<[u32]>::to_vec) else {
            return Err(missing);
        };
        self.copy(&blocks, size).ok_or(missing)
    }

    fn copy(&mut self, blocks: &[u32], size: usize) -> Option<Vec<u8>> {
        self.budget = self.budget.checked_sub(size)?;
        let mut copy = Vec::new();
        for &block in blocks {
            let left = size - copy.len();
            let at = (block as usize).checked_mul(self.block)?;
            let rest = self.bytes.get(at..)?;
            copy.extend(rest.get(..left.min(self.block))?);
        }
        (copy.len() == size).then_some(copy)
    }
}

// ---- symbols -----------------------------------------------------------------

/// An object file: its stream, and how much of that are symbols.
#[derive(Debug)]
struct Module {
    stream: u16,
    size: usize,
}

/// The entries of the list of modules.
struct Modules<'s>(&'s [u8]);

impl Iterator for Modules<'_> {
    type Item = Module;

    fn next(&mut self) -> Option<Module> {
        let module = Module {
            stream: half(self.0, 34)?,
            size: number(self.0, 36)? as usize,
        };
        // Two names follow, that of the module and that of its file.
        let names = self.0.get(MODULE_HEADER..)?;
        let mut ends = (0..names.len()).filter(|&at| names[at] == 0);
        let end = MODULE_HEADER + ends.nth(1)? + 1;
        self.0 = self.0.get(end.next_multiple_of(4)..).unwrap_or(&[]);
        Some(module)
    }
}

/// A symbol that has a place.
#[derive(Debug)]
struct Record<'s> {
    what: What,
    section: u16,
    offset: u32,
    global: bool,
    name: &'s [u8],
}

#[derive(Debug)]
enum What {
    /// With its size, or 0 where that is not told.
    Function {
        size: u32,
    },
    Data,
}

/// The symbols that have a place, of a stream of records.
struct Records<'s>(&'s [u8]);

impl<'s> Iterator for Records<'s> {
    type Item = Record<'s>;

    fn next(&mut self) -> Option<Record<'s>> {
        loop {
            // The size counts what follows it.
            let size = usize::from(half(self.0, 0)?);
            let record = self.0.get(2..2 + size)?;
            self.0 = &self.0[2 + size..];
            if let Some(record) = read(half(record, 0)?, record.get(2..)?) {
                return Some(record);
            }
        }
    }
}

/// One record behind its kind. The names of the kinds are those of Microsoft's
/// cvinfo.h.
fn read(kind: u16, data: &[u8]) -> Option<Record<'_>> {
    const S_THUNK32: u16 = 0x1102;
    const S_LDATA32: u16 = 0x110c;
    const S_GDATA32: u16 = 0x110d;
    const S_PUB32: u16 = 0x110e;
    const S_LPROC32: u16 = 0x110f;
    const S_GPROC32: u16 = 0x1110;
    const S_LPROC32_ID: u16 = 0x1146;
    const S_GPROC32_ID: u16 = 0x1147;
    // Where the offset is; that of the section and the name come after it.
    let (what, offset, name) = match kind {
        S_LPROC32 | S_GPROC32 | S_LPROC32_ID | S_GPROC32_ID => {
            let size = number(data, 12)?;
            (What::Function { size }, 28, 35)
        }
        S_THUNK32 => {
            let size = half(data, 18)?.into();
            (What::Function { size }, 12, 21)
        }
        S_LDATA32 | S_GDATA32 => (What::Data, 4, 10),
        S_PUB32 if number(data, 0)? & PUBLIC_FUNCTION != 0 => (What::Function { size: 0 }, 4, 10),
        S_PUB32 => (What::Data, 4, 10),
        _ => return None,
    };
    Some(Record {
        what,
        section: half(data, offset + 4)?,
        offset: number(data, offset)?,
        global: matches!(kind, S_GPROC32 | S_GPROC32_ID | S_PUB32),
        name: strings::terminated(data, name),
    })
}
