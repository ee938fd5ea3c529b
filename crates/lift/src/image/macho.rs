//! Mach-O for x86-64 and AArch64: programs, libraries, bundles, kernel extensions, object
//! files, and the universal files that hold several of them.
//!
//! Object files keep the addresses that their sections have: those never
//! overlap, and what refers to a section is right without being touched.

use std::borrow::Cow;
use std::collections::HashMap;

use iced_x86::{Code, Decoder, DecoderOptions};
use object::macho::{
    self, DataInCodeEntry, DyldInfoCommand, DysymtabCommand, LinkeditDataCommand, MachHeader64,
    Nlist64, Relocation, Section64, SegmentCommand64,
};
use object::read::macho::{
    BindIterator, DyldChainedFixups, FatArch, Fixup, MachHeader, MachOFatFile, Section, Segment,
};
use object::{LittleEndian as LE, U32};

use super::bounds::Padding;
use super::fix::Fix;
use super::{
    DataSymbol, FunctionSymbol, Image, Import, KnownFunction, MAX_LAYOUT, MAX_REGIONS, Region,
    objc, within,
};
use crate::program::{Arch, BinaryKind, Format, Source};
use crate::risc::{Codes, Op, isa};
use crate::{Error, strings};

/// Segments that are read; real files have at most a few dozen.
const MAX_SEGMENTS: usize = 128;
/// Bytes of the longest stub.
const MAX_STUB: u64 = 32;
/// A universal file and a Java class begin alike; then the one has the number
/// of its parts and the other its version, which is no smaller than this.
const FIRST_JAVA_VERSION: u32 = 45;
/// Parts of a universal file that are looked at; real ones have five at most.
const MAX_PARTS: usize = 64;
/// AArch64 with signed pointers.
const ARM64E: u32 = 2;

type Header = MachHeader64<LE>;

/// Whether `bytes` begin like a Mach-O file for any processor.
pub(super) fn is_macho(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|magic| {
        matches!(
            u32::from_le_bytes(*magic),
            macho::MH_MAGIC | macho::MH_CIGAM | macho::MH_MAGIC_64 | macho::MH_CIGAM_64
        )
    })
}

/// One program of a universal file, or one library.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'d> {
    /// Its processor as `lipo` has it.
    pub(crate) name: &'static str,
    pub(crate) bytes: &'d [u8],
}

/// The parts of a universal file that can be read, the one that is read where
/// none is named before the others. `None` for any other file.
pub(crate) fn parts(bytes: &[u8]) -> Result<Option<Vec<Part<'_>>>, Error> {
    let word = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let (Some(magic), Some(count)) = (word(0), word(4)) else {
        return Ok(None);
    };
    match magic {
        macho::FAT_MAGIC if count < FIRST_JAVA_VERSION => {
            parts_by::<macho::FatArch32>(bytes, count).map(Some)
        }
        macho::FAT_MAGIC_64 => parts_by::<macho::FatArch64>(bytes, count).map(Some),
        _ => Ok(None),
    }
}

/// The part of a universal file that is read where none is named; other bytes
/// as they are.
pub(crate) fn first_part(bytes: &[u8]) -> Result<&[u8], Error> {
    let parts = parts(bytes)?;
    Ok(parts.map_or(bytes, |parts| parts[0].bytes))
}

fn parts_by<F: FatArch>(bytes: &[u8], count: u32) -> Result<Vec<Part<'_>>, Error> {
    let cut = |what, needed| Error::Truncated {
        format: Format::MachO,
        what,
        needed,
        available: bytes.len() as u64,
    };
    let file = MachOFatFile::<F>::parse(bytes).map_err(|_| {
        let table = u64::from(count) * size_of::<F>() as u64;
        cut("the table of architectures", 8 + table)
    })?;
    let mut parts: Vec<(usize, Part<'_>)> = Vec::new();
    let mut others: Vec<&'static str> = Vec::new();
    let mut first_cut = None;
    for part in file.arches().iter().take(MAX_PARTS) {
        let place = match (
            part.cputype(),
            part.cpusubtype().0 & !macho::CPU_SUBTYPE_MASK,
        ) {
            (macho::CPU_TYPE_X86_64, _) => 0,
            (macho::CPU_TYPE_ARM64, ARM64E) => 2,
            (macho::CPU_TYPE_ARM64, _) => 1,
            (cpu, _) => {
                let name = processor(cpu);
                if !others.contains(&name) {
                    others.push(name);
                }
                continue;
            }
        };
        let name = ["x86_64", "arm64", "arm64e"][place];
        match part.data(bytes) {
            Ok(bytes) => parts.push((place, Part { name, bytes })),
            Err(_) => {
                let (offset, size): (u64, u64) = part.file_range();
                first_cut.get_or_insert(cut("a part", offset.saturating_add(size)));
            }
        }
    }
    parts.sort_by_key(|part| part.0);
    parts.dedup_by_key(|part| part.0);
    if !parts.is_empty() {
        return Ok(parts.into_iter().map(|(_, part)| part).collect());
    }
    Err(match (first_cut, others.is_empty()) {
        (Some(cut), _) => cut,
        (None, true) => Error::Malformed {
            format: Format::MachO,
            what: "it is universal and has no parts",
        },
        (None, false) => Error::UnsupportedArchitecture {
            format: Format::MachO,
            architecture: others.join(" and "),
        },
    })
}

fn processor(cpu: macho::CpuType) -> &'static str {
    match cpu {
        macho::CPU_TYPE_X86 => "32-bit x86",
        macho::CPU_TYPE_ARM => "32-bit ARM",
        macho::CPU_TYPE_ARM64_32 => "AArch64 with 32-bit pointers",
        macho::CPU_TYPE_POWERPC => "PowerPC",
        macho::CPU_TYPE_POWERPC64 => "64-bit PowerPC",
        _ => "an unknown processor",
    }
}

fn check_header(bytes: &[u8]) -> Result<(&Header, Arch), Error> {
    let word = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    let cut = Error::Truncated {
        format: Format::MachO,
        what: "the file header",
        needed: size_of::<Header>() as u64,
        available: bytes.len() as u64,
    };
    let (Some(magic), Some(cpu)) = (word(0), word(4)) else {
        return Err(cut);
    };
    let little = magic[0] >= 0xce;
    let cpu = macho::CpuType(if little {
        u32::from_le_bytes(*cpu)
    } else {
        u32::from_be_bytes(*cpu)
    });
    let arch = match cpu {
        macho::CPU_TYPE_X86_64 => Arch::X86_64,
        macho::CPU_TYPE_ARM64 => Arch::Aarch64,
        other => {
            return Err(Error::UnsupportedArchitecture {
                format: Format::MachO,
                architecture: processor(other).into(),
            });
        }
    };
    if u32::from_le_bytes(*magic) != macho::MH_MAGIC_64 {
        return Err(Error::Malformed {
            format: Format::MachO,
            what: "its header is not that of a 64-bit little-endian file",
        });
    }
    let header = Header::parse(bytes, 0).map_err(|_| cut)?;
    Ok((header, arch))
}

/// Reads a Mach-O file for one processor.
pub(super) fn parse<'d>(bytes: &'d [u8]) -> Result<Image<'d>, Error> {
    let (header, arch) = check_header(bytes)?;
    let unsupported = |kind: String| Error::UnsupportedKind {
        format: Format::MachO,
        kind,
    };
    let kind = match header.filetype(LE) {
        macho::MH_EXECUTE | macho::MH_PRELOAD | macho::MH_DYLINKER => BinaryKind::Executable,
        macho::MH_DYLIB | macho::MH_BUNDLE | macho::MH_KEXT_BUNDLE | macho::MH_FVMLIB => {
            BinaryKind::SharedObject
        }
        macho::MH_OBJECT => BinaryKind::Relocatable,
        macho::MH_CORE => return Err(unsupported("a core dump".into())),
        macho::MH_DSYM => return Err(unsupported("the debugging symbols of one".into())),
        macho::MH_DYLIB_STUB => return Err(unsupported("a library without its contents".into())),
        macho::MH_FILESET => return Err(unsupported("a collection of files".into())),
        other => return Err(unsupported(format!("of type {}", other.0))),
    };
    let mut loader = Loader::new(header, arch, kind, bytes);
    loader.read_commands()?;
    loader.check_segments()?;
    loader.map()?;
    loader.read_entry();
    loader.read_symbols();
    loader.relocate();
    loader.read_fixups();
    loader.read_indirect_symbols();
    loader.read_roots();
    loader.image.pointers.sort_unstable();
    loader.image.pointers.dedup_by_key(|p| p.0);
    loader.read_objc();
    Ok(loader.image)
}

/// An image that is being filled, and the tables that it is filled from.
#[derive(Debug)]
struct Loader<'d> {
    image: Image<'d>,
    bytes: &'d [u8],
    header: &'d Header,
    segments: Vec<&'d SegmentCommand64<LE>>,
    /// Each with the index of its segment.
    sections: Vec<(usize, &'d Section64<LE>)>,
    symbols: &'d [Nlist64<LE>],
    strings: &'d [u8],
    dynamic: Option<&'d DysymtabCommand<LE>>,
    opcodes: Option<&'d DyldInfoCommand<LE>>,
    chains: Option<&'d LinkeditDataCommand<LE>>,
    starts: &'d [u8],
    /// `__unwind_info`.
    unwind: &'d [u8],
    data_in_code: &'d [DataInCodeEntry<LE>],
    /// Offset of the entry point in the file.
    main: Option<u64>,
    /// Addresses of symbols that relocations refer to.
    places: Vec<Option<u64>>,
    /// GOT slots of an object file by symbol index.
    got: HashMap<u32, u64>,
    /// The next address behind all sections.
    next: u64,
    /// Bytes of names that may still be kept. A name of half a kilobyte may
    /// belong to each of thousands of slots.
    names: usize,
    /// Entries that may still be read of tables that a file could have read
    /// again and again.
    budget: usize,
}

impl<'d> Loader<'d> {
    fn new(header: &'d Header, arch: Arch, kind: BinaryKind, bytes: &'d [u8]) -> Self {
        let position_independent = header.flags(LE).contains(macho::MH_PIE);
        Loader {
            image: Image {
                format: Format::MachO,
                arch,
                kind,
                absolute: kind == BinaryKind::Executable && !position_independent,
                ..Image::default()
            },
            bytes,
            header,
            segments: Vec::new(),
            sections: Vec::new(),
            symbols: &[],
            strings: &[],
            dynamic: None,
            opcodes: None,
            chains: None,
            starts: &[],
            unwind: &[],
            data_in_code: &[],
            main: None,
            places: Vec::new(),
            got: HashMap::new(),
            next: 0,
            names: bytes.len().saturating_mul(8),
            budget: bytes.len(),
        }
    }

    fn relocatable(&self) -> bool {
        self.image.kind == BinaryKind::Relocatable
    }

    fn truncated(&self, what: &'static str, needed: u64) -> Error {
        Error::Truncated {
            format: Format::MachO,
            what,
            needed,
            available: self.bytes.len() as u64,
        }
    }

    // ---- load commands ---------------------------------------------------

    fn read_commands(&mut self) -> Result<(), Error> {
        let (header, bytes) = (self.header, self.bytes);
        let Ok(mut commands) = header.load_commands(LE, bytes, 0) else {
            let needed = size_of::<Header>() as u64 + u64::from(header.sizeofcmds(LE));
            return Err(self.truncated("the table of load commands", needed));
        };
        loop {
            let command = match commands.next() {
                Ok(Some(command)) => command,
                Ok(None) => break,
                Err(_) => {
                    let message = "the load commands are damaged and were read in part";
                    self.image.note(message.into());
                    break;
                }
            };
            if let Ok(Some((segment, rest))) = command.segment_64() {
                self.add_segment(segment, rest);
            } else if let Ok(Some(table)) = command.symtab() {
                let (offset, count) = (table.symoff.get(LE), table.nsyms.get(LE));
                self.symbols = self.table(offset, count);
                self.strings = self.range(table.stroff.get(LE), table.strsize.get(LE));
                if self.symbols.len() < count as usize {
                    let message = "the symbol table is unreadable and was ignored";
                    self.image.note(message.into());
                }
            } else if let Ok(Some(table)) = command.dysymtab() {
                self.dynamic = Some(table);
            } else if let Ok(Some(info)) = command.dyld_info() {
                self.opcodes = Some(info);
            } else if let Ok(Some(fixups)) = command.dyld_chained_fixups() {
                self.chains = Some(fixups);
            } else if let Ok(Some(main)) = command.entry_point() {
                self.main = Some(main.entryoff.get(LE));
            } else if let Ok(Some((_, state))) = command.unix_thread() {
                self.image.entry = entry_of_thread(self.image.arch, state);
            } else {
                match command.cmd() {
                    macho::LC_FUNCTION_STARTS => {
                        if let Ok(data) = command.data::<LinkeditDataCommand<LE>>() {
                            self.starts = self.range(data.dataoff.get(LE), data.datasize.get(LE));
                        }
                    }
                    macho::LC_DATA_IN_CODE => {
                        if let Ok(data) = command.data::<LinkeditDataCommand<LE>>() {
                            let size = size_of::<DataInCodeEntry<LE>>() as u32;
                            let count = data.datasize.get(LE) / size;
                            self.data_in_code = self.table(data.dataoff.get(LE), count);
                        }
                    }
                    macho::LC_ROUTINES_64 => {
                        if let Ok(routines) = command.data::<macho::RoutinesCommand64<LE>>() {
                            self.image.roots.push(routines.init_address.get(LE));
                        }
                    }
                    macho::LC_ENCRYPTION_INFO_64 => {
                        let info = command.data::<macho::EncryptionInfoCommand64<LE>>();
                        if info.is_ok_and(|info| info.cryptid.get(LE) != 0) {
                            let message = "the code is encrypted: what is listed is not what runs";
                            self.image.note(message.into());
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn add_segment(&mut self, segment: &'d SegmentCommand64<LE>, rest: &'d [u8]) {
        if self.segments.len() == MAX_SEGMENTS {
            return;
        }
        let index = self.segments.len();
        self.segments.push(segment);
        match segment.sections(LE, rest) {
            Ok(sections) => {
                let room = MAX_REGIONS - self.sections.len();
                let sections = sections.iter().take(room);
                self.sections
                    .extend(sections.map(|section| (index, section)));
            }
            Err(_) => {
                let message = "the sections of a segment are unreadable and were ignored";
                self.image.note(message.into());
            }
        }
    }

    /// A segment that reaches beyond the file means that the file was cut: the
    /// loader would refuse it too.
    fn check_segments(&self) -> Result<(), Error> {
        for segment in &self.segments {
            let (offset, size) = segment.file_range(LE);
            let needed = offset.saturating_add(size);
            if size > 0 && needed > self.bytes.len() as u64 {
                return Err(self.truncated("a segment", needed));
            }
            let start = segment.vmaddr(LE);
            if start.checked_add(segment.vmsize(LE)).is_none() {
                return Err(Error::Malformed {
                    format: Format::MachO,
                    what: "a segment wraps around the address space",
                });
            }
        }
        Ok(())
    }

    fn range(&self, offset: u32, size: u32) -> &'d [u8] {
        let offset = offset as usize;
        let end = offset.saturating_add(size as usize);
        self.bytes.get(offset..end).unwrap_or(&[])
    }

    fn table<T: object::pod::Pod>(&self, offset: u32, count: u32) -> &'d [T] {
        let rest = self.bytes.get(offset as usize..).unwrap_or(&[]);
        let items = object::pod::slice_from_bytes(rest, count as usize);
        items.map_or(&[], |(items, _)| items)
    }

    // ---- sections --------------------------------------------------------

    fn map(&mut self) -> Result<(), Error> {
        // The segment with the header of the file is what other tables count
        // from.
        let loaded = |s: &&&SegmentCommand64<LE>| s.filesize.get(LE) > 0;
        let first = |s: &&&SegmentCommand64<LE>| s.fileoff.get(LE) == 0;
        let mut segments = self.segments.iter().filter(loaded);
        let home = segments.clone().find(first).or(segments.next());
        if !self.relocatable() {
            self.image.base = home.map_or(0, |s| s.vmaddr(LE));
        }
        let holes = self.holes();
        let mut eh_frame = None;
        for index in 0..self.sections.len() {
            let (segment, section) = self.sections[index];
            let debugging = section.flags(LE).contains(macho::S_ATTR_DEBUG);
            if debugging || section.segment_name() == b"__DWARF" || section.size(LE) == 0 {
                continue;
            }
            let region = match self.region(index, self.segments[segment], section) {
                Ok(region) => region,
                Err(needed) if self.relocatable() => {
                    return Err(self.truncated("a section", needed));
                }
                Err(_) => {
                    let message = format!("section {} lies outside the file", index + 1);
                    self.image.note(message);
                    continue;
                }
            };
            if self.relocatable() && region.end > MAX_LAYOUT {
                let message = format!("section {} is too large and was left out", index + 1);
                self.image.note(message);
                continue;
            }
            if section.name() == b"__eh_frame" {
                eh_frame = Some(region.start);
            }
            if let (b"__unwind_info", Cow::Borrowed(data)) = (section.name(), &region.data) {
                self.unwind = data;
            }
            self.next = self.next.max(region.end);
            self.add_pieces(region, &holes);
        }
        if !self.image.regions.iter().any(|r| r.executable) {
            self.image.regions.clear();
            for segment in &self.segments {
                let start = segment.vmaddr(LE);
                self.image.add_region(Region {
                    start,
                    end: start.saturating_add(segment.vmsize(LE)),
                    data: Cow::Borrowed(segment.data(LE, self.bytes).unwrap_or(&[])),
                    executable: segment.initprot(LE).contains(macho::VM_PROT_EXECUTE),
                    writable: segment.initprot(LE).contains(macho::VM_PROT_WRITE),
                    plt: false,
                    section: 0,
                });
            }
        }
        self.image.settle_regions(self.bytes.len() as u64);
        self.image.eh_frame = eh_frame.and_then(|address| self.image.locate(address));
        // Addresses of undefined symbols follow where there is room for them.
        self.next = match self.next.checked_next_multiple_of(4096) {
            Some(next) if next < u64::MAX / 2 => next,
            _ => u64::MAX / 2,
        };
        Ok(())
    }

    /// The region of a section, or where its bytes should end in the file.
    fn region(
        &self,
        index: usize,
        segment: &SegmentCommand64<LE>,
        section: &'d Section64<LE>,
    ) -> Result<Region<'d>, u64> {
        let (flags, size) = (section.flags(LE), section.size(LE));
        let kind = flags.typ();
        let (segment_name, name) = (section.segment_name(), section.name());
        let data = match section.data(LE, self.bytes, section.offset(LE).into()) {
            Ok(data) => data,
            Err(_) => return Err(u64::from(section.offset(LE)).saturating_add(size)),
        };
        let code =
            flags.intersects(macho::S_ATTR_PURE_INSTRUCTIONS | macho::S_ATTR_SOME_INSTRUCTIONS);
        // An object file has one segment for everything.
        let writable = if self.relocatable() {
            !(segment_name == b"__TEXT" || segment_name == b"__DATA_CONST" || name == b"__const")
        } else {
            // Read-only once the loader is done with it.
            let settled =
                segment.flags(LE).contains(macho::SG_READ_ONLY) || segment_name == b"__DATA_CONST";
            segment.initprot(LE).contains(macho::VM_PROT_WRITE) && !settled
        };
        let start = section.addr(LE);
        Ok(Region {
            start,
            end: start.saturating_add(size),
            data: Cow::Borrowed(data),
            executable: code || (segment_name == b"__TEXT" && name == b"__text"),
            writable,
            plt: kind == macho::S_SYMBOL_STUBS
                || matches!(name, b"__stub_helper" | b"__objc_stubs"),
            section: index as u32 + 1,
        })
    }

    /// Where there is data among the code, ascending and apart.
    fn holes(&self) -> Vec<(u64, u64)> {
        let base = self.image.base;
        let mut holes: Vec<(u64, u64)> = self
            .data_in_code
            .iter()
            .filter(|entry| entry.length.get(LE) > 0)
            .map(|entry| {
                let start = base.wrapping_add(entry.offset.get(LE).into());
                (start, start.saturating_add(entry.length.get(LE).into()))
            })
            .collect();
        holes.sort_unstable();
        holes.dedup_by(|next, held| {
            let joins = next.0 <= held.1;
            if joins {
                held.1 = held.1.max(next.1);
            }
            joins
        });
        holes
    }

    /// Adds a section of code without the data in it, which compilers put
    /// behind the functions that use it. The data are constant regions of their
    /// own, so that none of them is taken for code.
    fn add_pieces(&mut self, region: Region<'d>, holes: &[(u64, u64)]) {
        let Cow::Borrowed(data) = region.data else {
            return;
        };
        let (mut at, end) = (region.start, region.end);
        let piece = |from: u64, to: u64, executable: bool| {
            let cut = |address: u64| (address - region.start).min(data.len() as u64) as usize;
            Region {
                start: from,
                end: to,
                data: Cow::Borrowed(&data[cut(from)..cut(to)]),
                executable,
                ..region
            }
        };
        let inside = holes.partition_point(|hole| hole.1 <= at);
        for &(from, to) in holes[inside..].iter().take_while(|hole| hole.0 < end) {
            // Sections may lie over each other, all with the same data in them.
            if !region.executable || self.image.regions.len() >= 2 * MAX_REGIONS {
                break;
            }
            let (from, to) = (from.max(at), to.min(end));
            self.image.add_region(piece(at, from, true));
            self.image.add_region(piece(from, to, false));
            at = to;
        }
        self.image.add_region(piece(at, end, region.executable));
    }

    // ---- symbols ---------------------------------------------------------

    /// A name as it is in the source: C names have an underscore before them,
    /// and some the variant of the system's interface behind them.
    fn name(&mut self, raw: &[u8]) -> Option<String> {
        const VARIANTS: [&[u8]; 5] = [
            b"$INODE64",
            b"$UNIX2003",
            b"$DARWIN_EXTSN",
            b"$NOCANCEL",
            b"$1050",
        ];
        let raw = &raw[..raw.len().min(strings::MAX_NAME)];
        let mut raw = raw.strip_prefix(b"_").unwrap_or(raw);
        while let Some(rest) = VARIANTS.iter().find_map(|v| raw.strip_suffix(*v)) {
            raw = rest;
        }
        self.names = self.names.checked_sub(raw.len())?;
        strings::symbol_name(raw)
    }

    fn symbol_name(&mut self, symbol: &Nlist64<LE>) -> Option<String> {
        let raw = strings::terminated(self.strings, symbol.n_strx.get(LE) as usize);
        self.name(raw)
    }

    fn read_symbols(&mut self) {
        let relocations = self.dynamic.is_some_and(|table| table.nextrel.get(LE) > 0);
        let keep_places = self.relocatable() || relocations;
        // Labels inside of functions do not bound them.
        let mut bounds = Vec::new();
        let mut local = false;
        for symbol in self.symbols {
            let place = self.read_symbol(symbol, keep_places, &mut bounds, &mut local);
            if keep_places {
                self.places.push(place);
            }
        }
        // What other programs may use stays when a file is stripped, and so may
        // a few functions that the loader binds. The entry point never does.
        let mut functions = self.image.functions.iter();
        self.image.stripped = match self.image.kind {
            BinaryKind::Relocatable => self.symbols.is_empty(),
            BinaryKind::Executable => !functions.any(|f| Some(f.address) == self.image.entry),
            BinaryKind::SharedObject => !local,
        };
        let exported = self.image.stripped && !self.relocatable();
        for function in &mut self.image.functions {
            function.dynamic = exported;
        }
        self.read_function_starts();
        let divisible = self
            .header
            .flags(LE)
            .contains(macho::MH_SUBSECTIONS_VIA_SYMBOLS);
        let whole = if self.relocatable() {
            divisible
        } else {
            local && !self.image.stripped
        };
        if self.image.known.is_empty() && whole {
            let ends: HashMap<u64, u64> = self
                .image
                .bounded(bounds, u64::MAX, Padding::Any)
                .into_iter()
                .collect();
            for function in &mut self.image.functions {
                let end = ends.get(&function.address).copied();
                function.size = end.map_or(0, |end| end - function.address);
            }
        }
        self.image.settle_objects();
        // Symbols have no size. What is between two of them belongs to the
        // first, unless those of the rest were removed.
        if !self.image.stripped {
            let mut next = u64::MAX;
            for at in (0..self.image.objects.len()).rev() {
                let start = self.image.objects[at].address;
                let end = self.image.region(start).map_or(start, |r| r.end);
                self.image.objects[at].size = end.min(next) - start;
                next = start;
            }
        }
    }

    /// Keeps a symbol and tells its address.
    fn read_symbol(
        &mut self,
        symbol: &Nlist64<LE>,
        keep_undefined: bool,
        bounds: &mut Vec<u64>,
        local: &mut bool,
    ) -> Option<u64> {
        const N_TYPE: u8 = 0x0e;
        const N_UNDF: u8 = 0;
        const N_SECT: u8 = 0x0e;
        let flags = symbol.n_type.0;
        if flags & macho::N_STAB != 0 {
            return None;
        }
        match flags & N_TYPE {
            N_SECT => {
                let address = symbol.n_value.get(LE);
                let raw = strings::terminated(self.strings, symbol.n_strx.get(LE) as usize);
                // Names of the compiler's own, which a linker leaves out.
                let own = [&b"L"[..], b"l_", b"ltmp"];
                if own.iter().any(|mark| raw.starts_with(mark)) {
                    return Some(address);
                }
                let name = self.name(raw)?;
                let global = flags & macho::N_EXT.0 != 0 && flags & macho::N_PEXT.0 == 0;
                if self.image.code_region(address).is_some_and(|r| !r.plt) {
                    *local |= !global;
                    if symbol.n_desc.get(LE).0 & macho::N_ALT_ENTRY.0 == 0 {
                        bounds.push(address);
                    }
                    self.image.functions.push(FunctionSymbol {
                        address,
                        size: 0,
                        name,
                        global,
                        dynamic: false,
                    });
                } else if self.image.region(address).is_some_and(|r| !r.executable) {
                    self.image.objects.push(DataSymbol {
                        address,
                        size: 0,
                        name,
                    });
                }
                Some(address)
            }
            N_UNDF if keep_undefined => {
                let name = self.symbol_name(symbol)?;
                let address = self.reserve();
                // Where memory is to be reserved for it, its size is there.
                if symbol.n_value.get(LE) > 0 {
                    self.image.objects.push(DataSymbol {
                        address,
                        size: 8,
                        name,
                    });
                } else {
                    self.image
                        .imports
                        .insert(address, Import { name, stub: false });
                }
                Some(address)
            }
            _ => None,
        }
    }

    fn reserve(&mut self) -> u64 {
        let address = self.next;
        self.next += 8;
        address
    }

    /// The list has each function of the file, as far as linkers tell them
    /// apart, so that one ends where the next one starts.
    fn read_function_starts(&mut self) {
        let mut starts = Vec::new();
        let mut address = self.image.base;
        let (mut delta, mut shift) = (0u64, 0);
        for &byte in self.starts {
            if shift < 64 {
                delta |= u64::from(byte & 0x7f) << shift;
            }
            shift += 7;
            if byte & 0x80 == 0 {
                if delta == 0 {
                    break;
                }
                address = address.wrapping_add(delta);
                starts.push(address);
                (delta, shift) = (0, 0);
            }
        }
        let known = self
            .image
            .bounded(starts, u64::MAX, Padding::Any)
            .into_iter();
        self.image.known = known
            .map(|(address, end)| KnownFunction {
                address,
                end: Some(end),
                source: Source::FunctionStarts,
            })
            .collect();
        if self.image.known.is_empty() {
            self.read_unwind_info();
        }
    }

    /// Starts of functions by the table that exceptions are unwound by. Linkers
    /// leave out functions that are unwound like the one before them, so that
    /// it does not tell where one ends.
    fn read_unwind_info(&mut self) {
        let starts = unwind_starts(self.unwind);
        let starts = starts.map(|offset| self.image.base.wrapping_add(offset.into()));
        self.image.known = starts
            .filter(|&address| self.image.may_start(address))
            .map(|address| KnownFunction {
                address,
                end: None,
                source: Source::CompactUnwind,
            })
            .collect();
    }

    // ---- what the loader changes -----------------------------------------

    fn relocate(&mut self) {
        if self.relocatable() {
            for index in 0..self.sections.len() {
                let (_, section) = self.sections[index];
                let relocations = self.table(section.reloff(LE), section.nreloc(LE));
                self.apply(section.addr(LE), relocations);
            }
        } else if let Some(table) = self.dynamic {
            // Kernel extensions count from their start, what the dynamic loader
            // read in former times from its first writable segment.
            let writable =
                |s: &&&SegmentCommand64<LE>| s.initprot(LE).contains(macho::VM_PROT_WRITE);
            let base = match self.header.filetype(LE) {
                macho::MH_KEXT_BUNDLE => self.image.base,
                _ => (self.segments.iter().find(writable)).map_or(0, |s| s.vmaddr(LE)),
            };
            for (offset, count) in [
                (table.extreloff.get(LE), table.nextrel.get(LE)),
                (table.locreloff.get(LE), table.nlocrel.get(LE)),
            ] {
                let relocations = self.table(offset, count);
                self.apply(base, relocations);
            }
        }
    }

    /// Applies relocations to copies of the sections.
    fn apply(&mut self, base: u64, relocations: &[Relocation<LE>]) {
        let (mut subtrahend, mut addend) = (None, 0);
        for relocation in within(&mut self.budget, relocations) {
            let r = relocation.info(LE);
            let (minus, more) = (subtrahend.take(), std::mem::take(&mut addend));
            let field = base.wrapping_add(r.r_address.into());
            let width = 1 << r.r_length;
            let Some(held) = self.field(field, width) else {
                continue;
            };
            let Some(how) = use_of(self.image.arch, r.r_type, held as u32) else {
                continue;
            };
            if how == Use::Addend {
                addend = i64::from((r.r_symbolnum << 8) as i32 >> 8);
                continue;
            }
            let target = if r.r_extern {
                let place = self.places.get(r.r_symbolnum as usize);
                let Some(target) = place.copied().flatten() else {
                    continue;
                };
                target
            } else {
                0
            };
            let value = match how {
                Use::Addend => continue,
                Use::Subtracted => {
                    subtrahend = Some(target);
                    continue;
                }
                Use::Pointer | Use::SignedPointer => {
                    let held = match how {
                        Use::SignedPointer => held & 0xffff_ffff,
                        _ => held,
                    };
                    let value = target.wrapping_add(held).wrapping_sub(minus.unwrap_or(0));
                    if width == 8 && minus.is_none() {
                        self.keep_pointer(field, value, r.r_extern.then_some(target));
                    }
                    value
                }
                // What refers to a section is right as it is.
                _ if !r.r_extern => continue,
                Use::Distance | Use::GotDistance | Use::GotOffset => {
                    let (to, from) = match how {
                        Use::Distance => (target, field.wrapping_add(4)),
                        Use::GotDistance => {
                            (self.got_slot(r.r_symbolnum, target), field.wrapping_add(4))
                        }
                        _ => (self.got_slot(r.r_symbolnum, target), field),
                    };
                    to.wrapping_add(held).wrapping_sub(from)
                }
                Use::Instruction(fix) => {
                    let to = match fix {
                        Fix::Page { got: true } | Fix::Low { got: true, .. } => {
                            self.got_slot(r.r_symbolnum, target)
                        }
                        _ => target,
                    };
                    let to = to.wrapping_add_signed(more);
                    let word = fix.instruction(held as u32, to, field);
                    word.map_or(held, u64::from)
                }
            };
            self.patch(field, &value.to_le_bytes()[..width]);
        }
    }

    /// What a field of an instruction or a pointer holds, extended by its sign.
    fn field(&self, address: u64, width: usize) -> Option<u64> {
        let bytes = self.image.bytes_at(address)?;
        match width {
            4 => Some(i64::from(i32::from_le_bytes(*bytes.first_chunk()?)) as u64),
            8 => Some(u64::from_le_bytes(*bytes.first_chunk()?)),
            _ => None,
        }
    }

    fn patch(&mut self, address: u64, value: &[u8]) {
        let Some((index, offset)) = self.image.locate(address) else {
            return;
        };
        let data = self.image.regions[index].data.to_mut();
        if let Some(field) = data.get_mut(offset..offset + value.len()) {
            field.copy_from_slice(value);
        }
    }

    /// Notes a pointer to `value`, in which case `symbol` is what it is counted
    /// from.
    fn keep_pointer(&mut self, field: u64, value: u64, symbol: Option<u64>) {
        let import = symbol.and_then(|symbol| self.image.imports.get(&symbol));
        if self.image.code_region(field).is_some() {
            self.image.address_fields.insert(field);
        } else if let Some(import) = import {
            let name = import.name.clone();
            if let Some(left) = self.names.checked_sub(name.len()) {
                self.names = left;
                self.image.slots.insert(field, name);
            }
        } else {
            self.image.pointers.push((field, value));
        }
    }

    fn got_slot(&mut self, index: u32, target: u64) -> u64 {
        if let Some(&slot) = self.got.get(&index) {
            return slot;
        }
        let slot = self.reserve();
        self.got.insert(index, slot);
        self.image.pointers.push((slot, target));
        let symbol = self.symbols.get(index as usize);
        if let Some(name) = symbol.and_then(|symbol| self.symbol_name(symbol)) {
            self.image.slots.insert(slot, name);
        }
        slot
    }

    fn read_fixups(&mut self) {
        if let Some(info) = self.opcodes {
            self.read_rebases(info);
            for binds in [
                info.binds(LE, self.bytes, 8),
                info.weak_binds(LE, self.bytes, 8),
                info.lazy_binds(LE, self.bytes, 8),
            ]
            .into_iter()
            .flatten()
            {
                self.read_binds(binds);
            }
        }
        let chains = self.chains.map(|c| c.chained_fixups(LE, self.bytes));
        match chains {
            Some(Ok(fixups)) => self.read_chains(&fixups),
            Some(Err(_)) => {
                let message = "the fixups of the loader are unreadable and were ignored";
                self.image.note(message.into());
            }
            None => {}
        }
    }

    fn read_rebases(&mut self, info: &'d DyldInfoCommand<LE>) {
        let Ok(mut rebases) = info.rebases(LE, self.bytes, 8) else {
            return;
        };
        // One operation may claim any number of pointers.
        for _ in 0..self.bytes.len() / 8 {
            let Ok(Some(rebase)) = rebases.next() else {
                break;
            };
            let segment = self.segments.get(usize::from(rebase.segment_index));
            let slot = segment.map(|s| s.vmaddr(LE).wrapping_add(rebase.segment_offset));
            if let Some(slot) = slot.filter(|_| rebase.kind == macho::REBASE_TYPE_POINTER)
                && let Some(value) = self.field(slot, 8)
            {
                self.image.pointers.push((slot, value));
            }
        }
    }

    fn read_binds(&mut self, mut binds: BindIterator<'d>) {
        for _ in 0..self.bytes.len() / 8 {
            let Ok(Some(bind)) = binds.next() else { break };
            let segment = self.segments.get(usize::from(bind.segment_index));
            let slot = segment.map(|s| s.vmaddr(LE).wrapping_add(bind.segment_offset));
            if let Some(slot) = slot.filter(|_| bind.kind == macho::BIND_TYPE_POINTER)
                && self.image.region(slot).is_some()
                && let Some(name) = self.name(bind.symbol)
            {
                self.image.slots.insert(slot, name);
            }
        }
    }

    /// Pointers that lead from each to the next one, in place of opcodes.
    fn read_chains(&mut self, fixups: &DyldChainedFixups<'d, LE>) {
        let imports = ChainedImports::new(
            fixups,
            self.chains
                .map_or(&[], |c| self.range(c.dataoff.get(LE), c.datasize.get(LE))),
        );
        let Ok(segments) = fixups.segments(LE) else {
            return;
        };
        let mut left = self.bytes.len() / 4;
        for chained in segments.take(self.segments.len()).flatten() {
            let Some(&segment) = self.segments.get(chained.index() as usize) else {
                continue;
            };
            let data = segment.data(LE, self.bytes).unwrap_or(&[]);
            let mut fixups = chained.fixups(LE, self.image.base, data);
            while let Ok(Some((offset, fixup))) = fixups.next() {
                if left == 0 {
                    return;
                }
                left -= 1;
                let slot = segment.vmaddr(LE).wrapping_add(offset);
                match fixup {
                    Fixup::Rebase(rebase) => {
                        let target = self.image.base.wrapping_add(rebase.target_offset);
                        self.image.pointers.push((slot, target));
                    }
                    Fixup::Bind(bind) => {
                        let raw = imports.name(bind.ordinal);
                        if let Some(name) = raw.and_then(|raw| self.name(raw)) {
                            self.image.slots.insert(slot, name);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Stubs and pointers whose symbols are listed one after another.
    fn read_indirect_symbols(&mut self) {
        let table: &[U32<LE>] = self.dynamic.map_or(&[], |table| {
            self.table(table.indirectsymoff.get(LE), table.nindirectsyms.get(LE))
        });
        for index in 0..self.sections.len() {
            let (_, section) = self.sections[index];
            let kind = section.flags(LE).typ();
            let stubs = kind == macho::S_SYMBOL_STUBS;
            let pointers = matches!(
                kind,
                macho::S_NON_LAZY_SYMBOL_POINTERS | macho::S_LAZY_SYMBOL_POINTERS
            );
            let stride = u64::from(if stubs { section.reserved2(LE) } else { 8 });
            if !(stubs || pointers) || stride == 0 {
                continue;
            }
            let listed = table.get(section.reserved1(LE) as usize..).unwrap_or(&[]);
            for at in 0..section.size(LE) / stride {
                let address = section.addr(LE).wrapping_add(at * stride);
                let listed = listed.get(at as usize);
                if self.budget == 0 || (listed.is_none() && pointers) {
                    break;
                }
                self.budget -= 1;
                // Symbols of the file itself have a number beyond the table.
                let symbol = listed.and_then(|i| self.symbols.get(i.get(LE) as usize));
                let name = symbol.and_then(|symbol| self.symbol_name(symbol));
                if pointers {
                    if self.image.region(address).is_some() {
                        self.image.slots.extend(name.map(|name| (address, name)));
                    }
                } else if self.image.region(address).is_some_and(|r| r.plt) {
                    let name = name.or_else(|| self.name_of_stub(address, stride));
                    let import = name.map(|name| Import { name, stub: true });
                    self.image.imports.extend(import.map(|i| (address, i)));
                }
            }
        }
    }

    /// The name of the slot that a stub of `size` bytes jumps through.
    fn name_of_stub(&mut self, address: u64, size: u64) -> Option<String> {
        let slot = slot_of_stub(&self.image, address, size)?;
        let name = self.image.slots.get(&slot)?.clone();
        self.names = self.names.checked_sub(name.len())?;
        Some(name)
    }

    fn read_entry(&mut self) {
        if let Some(offset) = self.main {
            let home = self.segments.iter().find(|s| {
                let (start, size) = s.file_range(LE);
                offset
                    .checked_sub(start)
                    .is_some_and(|inside| inside < size)
            });
            self.image.entry = home.map(|s| {
                let inside = offset - s.file_range(LE).0;
                s.vmaddr(LE).wrapping_add(inside)
            });
            self.image.entry_name = Some("main");
        } else if self.image.entry.is_some() {
            self.image.entry_name = Some("start");
        }
    }

    /// What the runtime of Objective-C knows.
    fn read_objc(&mut self) {
        let mut budget = objc::Budget {
            entries: self.budget,
            names: self.names,
        };
        for index in 0..self.sections.len() {
            let (_, section) = self.sections[index];
            let start = section.addr(LE);
            let end = start.saturating_add(section.size(LE));
            let image = &mut self.image;
            match section.name() {
                b"__objc_classlist" => image.read_objc_classes(start, end, &mut budget),
                b"__objc_catlist" => image.read_objc_categories(start, end, &mut budget),
                b"__objc_stubs" => image.read_objc_stubs(start, end, &mut budget),
                _ => {}
            }
        }
    }

    /// What the loader calls before and after the program.
    fn read_roots(&mut self) {
        for index in 0..self.sections.len() {
            let (_, section) = self.sections[index];
            let (start, size) = (section.addr(LE), section.size(LE));
            let offsets = match section.flags(LE).typ() {
                macho::S_INIT_FUNC_OFFSETS => true,
                macho::S_MOD_INIT_FUNC_POINTERS | macho::S_MOD_TERM_FUNC_POINTERS => false,
                _ => continue,
            };
            for at in (0..size).step_by(if offsets { 4 } else { 8 }) {
                let slot = start.wrapping_add(at);
                let target = if offsets {
                    let offset = self.field(slot, 4);
                    offset.map(|offset| self.image.base.wrapping_add(offset & 0xffff_ffff))
                } else {
                    self.image.pointer(slot)
                };
                let Some(target) = target.filter(|_| self.budget > 0) else {
                    break;
                };
                self.budget -= 1;
                self.image.roots.push(target);
            }
        }
    }
}

/// Names by the numbers that chained pointers have for them.
#[derive(Debug)]
struct ChainedImports<'d> {
    table: &'d [u8],
    strings: &'d [u8],
    /// Bytes of an entry.
    width: usize,
    count: u32,
}

impl<'d> ChainedImports<'d> {
    fn new(fixups: &DyldChainedFixups<'d, LE>, data: &'d [u8]) -> Self {
        let header = fixups.header();
        let from = |offset: u32| data.get(offset as usize..).unwrap_or(&[]);
        // Compressed names are in no file that was ever seen.
        let plain = header.symbols_format.get(LE) == 0;
        ChainedImports {
            table: from(header.imports_offset.get(LE)),
            strings: from(header.symbols_offset.get(LE)),
            width: match header.imports_format.get(LE) {
                macho::DYLD_CHAINED_IMPORT => 4,
                macho::DYLD_CHAINED_IMPORT_ADDEND => 8,
                _ => 16,
            },
            count: if plain {
                header.imports_count.get(LE)
            } else {
                0
            },
        }
    }

    fn name(&self, ordinal: u32) -> Option<&'d [u8]> {
        if ordinal >= self.count {
            return None;
        }
        let entry = self
            .table
            .get((ordinal as usize).checked_mul(self.width)?..)?;
        let offset = match self.width {
            16 => u64::from_le_bytes(*entry.first_chunk()?) >> 32,
            _ => u64::from(u32::from_le_bytes(*entry.first_chunk()?) >> 9),
        };
        Some(strings::terminated(self.strings, offset as usize))
    }
}

/// The slot that a stub of `size` bytes jumps through.
fn slot_of_stub(image: &Image<'_>, address: u64, size: u64) -> Option<u64> {
    let end = address.checked_add(size.min(MAX_STUB))?;
    let bytes = image.bytes_in(address, end);
    let Some(isa) = isa(image.arch) else {
        let instruction = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode();
        let jump = instruction.code() == Code::Jmp_rm64 && instruction.is_ip_rel_memory_operand();
        return jump.then(|| instruction.ip_rel_memory_address());
    };
    // `ADRP`, `LDR`, `BR`; with signed pointers `ADRP`, `ADD`, `LDR`,
    // `BRAA`; and where the slot is near, `NOP`, `LDR`, `BR`.
    let mut slot = None;
    for (code, whole) in Codes::new(isa, image, bytes, address) {
        match code.op {
            Op::Literal { address, .. } => slot = Some(address),
            Op::Jump(_) => return slot,
            _ => slot = whole.or(slot),
        }
    }
    None
}

/// Offsets of functions from the start of the program, in the order of
/// `__unwind_info`: an index leads to pages of entries, plain ones or ones of
/// four bytes.
fn unwind_starts(table: &[u8]) -> impl Iterator<Item = u32> {
    const REGULAR: u32 = 2;
    const COMPRESSED: u32 = 3;
    const INDEX_ENTRY: usize = 12;
    let word = |bytes: &[u8], at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let half = |bytes: &[u8], at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let index = word(table, 20).and_then(|at| table.get(at as usize..));
    let count = word(table, 24).unwrap_or(0) as usize;
    let index = index.unwrap_or(&[]).chunks_exact(INDEX_ENTRY).take(count);
    // Pages may lie over each other in a file that is made to be slow.
    let mut budget = table.len() / 4;
    let pages = index.map_while(move |entry| {
        let (first, offset) = (word(entry, 0)?, word(entry, 4)?);
        let page = table.get(offset as usize..).filter(|_| offset > 0);
        let page = page.unwrap_or(&[]);
        let kind = word(page, 0).unwrap_or(0);
        let width = if kind == REGULAR { 8 } else { 4 };
        let entries = half(page, 4).and_then(|at| page.get(usize::from(at)..));
        let entries = entries.unwrap_or(&[]).chunks_exact(width);
        let count = match kind {
            REGULAR | COMPRESSED => usize::from(half(page, 6)?).min(budget),
            _ => 0,
        };
        budget -= count;
        Some(entries.take(count).filter_map(move |entry| {
            let value = word(entry, 0)?;
            Some(match kind {
                REGULAR => value,
                _ => first.wrapping_add(value & 0xff_ffff),
            })
        }))
    });
    pages.flatten()
}

/// Where a thread begins: the 17th register of the state of an x86-64 thread,
/// the 33rd of an AArch64 one.
fn entry_of_thread(arch: Arch, state: &[u8]) -> Option<u64> {
    const X86_THREAD_STATE64: u32 = 4;
    const ARM_THREAD_STATE64: u32 = 6;
    let (wanted, register) = match arch {
        Arch::Aarch64 => (ARM_THREAD_STATE64, 32),
        _ => (X86_THREAD_STATE64, 16),
    };
    let flavor = u32::from_le_bytes(*state.first_chunk()?);
    let counter = state.get(8 + register * 8..)?.first_chunk()?;
    (flavor == wanted).then(|| u64::from_le_bytes(*counter))
}

/// What a relocation does with the address of its symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Takes it away from what the next one puts there.
    Subtracted,
    /// Adds to that of the next one.
    Addend,
    Pointer,
    /// A pointer with the data of its signature where the highest bytes are.
    SignedPointer,
    /// How far it is from the end of the field.
    Distance,
    /// How far its slot in the GOT is from the end of the field.
    GotDistance,
    /// How far its slot is from the start of the field.
    GotOffset,
    /// In some bits of an instruction.
    Instruction(Fix),
}

fn use_of(arch: Arch, kind: macho::RelocationType, word: u32) -> Option<Use> {
    // An immediate counts in units of what is loaded or stored.
    let shift = match word {
        word if word & 0x3b00_0000 != 0x3900_0000 => 0,
        word if word & 0xc480_0000 == 0x0480_0000 => 4,
        word => word >> 30,
    };
    Some(match arch {
        Arch::Aarch64 => match kind {
            macho::ARM64_RELOC_UNSIGNED => Use::Pointer,
            macho::ARM64_RELOC_AUTHENTICATED_POINTER => Use::SignedPointer,
            macho::ARM64_RELOC_SUBTRACTOR => Use::Subtracted,
            macho::ARM64_RELOC_ADDEND => Use::Addend,
            macho::ARM64_RELOC_BRANCH26 => Use::Instruction(Fix::Words { low: 0, bits: 26 }),
            macho::ARM64_RELOC_PAGE21 => Use::Instruction(Fix::Page { got: false }),
            macho::ARM64_RELOC_PAGEOFF12 => Use::Instruction(Fix::low(shift, false)),
            macho::ARM64_RELOC_GOT_LOAD_PAGE21 | macho::ARM64_RELOC_TLVP_LOAD_PAGE21 => {
                Use::Instruction(Fix::Page { got: true })
            }
            macho::ARM64_RELOC_GOT_LOAD_PAGEOFF12 | macho::ARM64_RELOC_TLVP_LOAD_PAGEOFF12 => {
                Use::Instruction(Fix::low(shift, true))
            }
            macho::ARM64_RELOC_POINTER_TO_GOT => Use::GotOffset,
            _ => return None,
        },
        _ => match kind {
            macho::X86_64_RELOC_UNSIGNED => Use::Pointer,
            macho::X86_64_RELOC_SUBTRACTOR => Use::Subtracted,
            macho::X86_64_RELOC_SIGNED
            | macho::X86_64_RELOC_SIGNED_1
            | macho::X86_64_RELOC_SIGNED_2
            | macho::X86_64_RELOC_SIGNED_4
            | macho::X86_64_RELOC_BRANCH => Use::Distance,
            macho::X86_64_RELOC_GOT_LOAD | macho::X86_64_RELOC_GOT | macho::X86_64_RELOC_TLV => {
                Use::GotDistance
            }
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs_jump_through_slots() {
        let check = |arch, code: &[u8], expected| {
            let image = Image {
                arch,
                regions: vec![Region {
                    start: 0x1000,
                    end: 0x1000 + code.len() as u64,
                    data: Cow::Borrowed(code),
                    executable: true,
                    writable: false,
                    plt: true,
                    section: 1,
                }],
                ..Image::default()
            };
            assert_eq!(slot_of_stub(&image, 0x1000, code.len() as u64), expected);
        };
        let arm = |words: &[u32], expected| {
            let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            check(Arch::Aarch64, &code, expected);
        };
        check(Arch::X86_64, &[0xff, 0x25, 0xfa, 0x0f, 0, 0], Some(0x2000));
        // `ADRP X16; LDR X16, [X16,#8]; BR X16`
        arm(&[0xb000_0010, 0xf940_0610, 0xd61f_0200], Some(0x2008));
        // `ADRP X17; ADD X17, X17, #16; LDR X16, [X17]; BRAA X16, X17`
        let signed = [0xb000_0011, 0x9100_4231, 0xf940_0230, 0xd71f_0a11];
        arm(&signed, Some(0x2010));
        // `NOP; LDR X16, 0x1104; BR X16`
        arm(&[0xd503_201f, 0x5800_0810, 0xd61f_0200], Some(0x1104));
        // Without its jump.
        arm(&[0xb000_0010, 0xf940_0610], None);
    }

    #[test]
    fn unwind_table_has_pages_of_two_kinds() {
        let words =
            |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
        let mut table = words(&[1, 28, 0, 28, 0, 28, 3]);
        table.extend(words(&[0x400, 64, 0, 0x10_0000, 88, 0, 0x20_0000, 0, 0]));
        // A page of two plain entries.
        table.extend(words(&[2, 8 | 2 << 16, 0x400, 0, 0x480, 7]));
        // One of three short ones.
        table.extend(words(&[3, 12 | 3 << 16, 0, 0, 0x0100_0010, 0x0200_0020]));
        let starts: Vec<u32> = unwind_starts(&table).collect();
        assert_eq!(starts, [0x400, 0x480, 0x10_0000, 0x10_0010, 0x10_0020]);
        // It may be cut anywhere, and all pages may be one.
        for end in 0..table.len() {
            assert!(unwind_starts(&table[..end]).count() <= 5);
        }
        let mut table = words(&[1, 28, 0, 28, 0, 28, u32::MAX]);
        for _ in 0..1000 {
            table.extend(words(&[0, 28 + 12_000, 0]));
        }
        table.extend(words(&[3, 8 | 0xffff << 16]));
        table.extend(words(&[0; 1000]));
        assert!(unwind_starts(&table).count() <= table.len());
    }

    #[test]
    fn thread_begins_at_its_instruction_pointer() {
        let mut state = vec![4, 0, 0, 0, 42, 0, 0, 0];
        state.extend((0..21u64).flat_map(|register| (register * 0x1000).to_le_bytes()));
        assert_eq!(entry_of_thread(Arch::X86_64, &state), Some(0x10000));
        assert_eq!(entry_of_thread(Arch::X86_64, &state[..140]), None);
        state[0] = 7;
        assert_eq!(entry_of_thread(Arch::X86_64, &state), None);
    }

    #[test]
    fn java_class_is_no_universal_file() {
        let class = b"\xca\xfe\xba\xbe\0\0\0\x34rest";
        assert_eq!(first_part(class), Ok(&class[..]));
        let universal = b"\xca\xfe\xba\xbe\0\0\0\x02";
        assert!(matches!(
            first_part(universal),
            Err(Error::Truncated { needed: 48, .. })
        ));
    }
}
