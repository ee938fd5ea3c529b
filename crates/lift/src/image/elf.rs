//! ELF for x86-64: executables, shared objects, relocatable files.

use std::borrow::Cow;
use std::collections::HashMap;

use iced_x86::{Code, Decoder, DecoderOptions, Instruction};
use object::LittleEndian as LE;
use object::elf::{self, Dyn64, FileHeader64, ProgramHeader64, Rela64, Sym64};
use object::read::SectionIndex;
use object::read::elf::{
    FileHeader, ProgramHeader, Rela, SectionHeader, SectionTable, Sym, SymbolTable,
};

use super::{DataSymbol, FunctionSymbol, Image, Import, MAX_LAYOUT, MAX_REGIONS, Region, within};
use crate::program::{BinaryKind, Format};
use crate::{Error, strings};

/// Entries of the dynamic table that are read; real ones have about 30.
const MAX_DYNAMIC: usize = 4096;

type Header = FileHeader64<LE>;
type Sections<'d> = SectionTable<'d, Header>;
type Symbols<'d> = SymbolTable<'d, Header>;

/// Reads an ELF file.
pub(super) fn parse<'d>(bytes: &'d [u8]) -> Result<Image<'d>, Error> {
    let header = check_header(bytes)?;
    let kind = match header.e_type(LE) {
        elf::ET_EXEC => BinaryKind::Executable,
        elf::ET_DYN => BinaryKind::SharedObject,
        elf::ET_REL => BinaryKind::Relocatable,
        elf::ET_CORE => {
            return Err(Error::UnsupportedKind {
                format: Format::Elf,
                kind: "a core dump".into(),
            });
        }
        other => {
            return Err(Error::UnsupportedKind {
                format: Format::Elf,
                kind: format!("of type {}", other.0),
            });
        }
    };
    let absolute = kind == BinaryKind::Executable;
    let mut image = Image {
        format: Format::Elf,
        kind,
        absolute,
        ..Image::default()
    };
    let segments = match header.program_headers(LE, bytes) {
        Ok(segments) => segments,
        Err(_) if kind == BinaryKind::Relocatable => &[],
        Err(_) => {
            return Err(Error::Truncated {
                format: Format::Elf,
                what: "the table of segments",
                needed: table_end(header.e_phoff.get(LE), header.e_phnum.get(LE), 56),
                available: bytes.len() as u64,
            });
        }
    };
    check_segments(segments, bytes)?;
    let sections = match header.sections(LE, bytes) {
        Ok(sections) => sections,
        Err(_) if kind == BinaryKind::Relocatable => {
            return Err(Error::Truncated {
                format: Format::Elf,
                what: "the table of sections",
                needed: table_end(header.e_shoff.get(LE), header.e_shnum.get(LE), 64),
                available: bytes.len() as u64,
            });
        }
        Err(_) => {
            image.note("the table of sections is unreadable and was ignored".into());
            Sections::default()
        }
    };

    if kind == BinaryKind::Relocatable {
        image.load_relocatable(header, &sections, bytes)?;
    } else {
        let entry = header.e_entry(LE);
        // An executable that may be loaded anywhere has the type of a
        // shared object, and an interpreter.
        let interpreted = segments.iter().any(|s| s.p_type(LE) == elf::PT_INTERP);
        if kind == BinaryKind::SharedObject && interpreted && entry != 0 {
            image.kind = BinaryKind::Executable;
        }
        image.entry = (entry != 0).then_some(entry);
        image.load_linked(header, &sections, segments, bytes);
    }
    Ok(image)
}

impl<'d> Image<'d> {
    // ---- linked files ----------------------------------------------------

    fn load_linked(
        &mut self,
        header: &Header,
        sections: &Sections<'d>,
        segments: &'d [ProgramHeader64<LE>],
        bytes: &'d [u8],
    ) {
        self.base = segments
            .iter()
            .filter(|s| s.p_type(LE) == elf::PT_LOAD)
            .map(|s| s.p_vaddr(LE) & !0xfff)
            .min()
            .unwrap_or(0);
        let names = Names::of_sections(header, sections, bytes);
        let mut eh_frame = None;
        for (index, section) in sections.enumerate().take(MAX_REGIONS) {
            let flags = section.sh_flags(LE);
            let nobits = section.sh_type(LE) == elf::SHT_NOBITS;
            // A thread's zeroes have no place in the address space.
            if !flags.contains(elf::SHF_ALLOC) || (nobits && flags.contains(elf::SHF_TLS)) {
                continue;
            }
            let (start, size) = (section.sh_addr(LE), section.sh_size(LE));
            let data = if nobits {
                &[][..]
            } else {
                section.data(LE, bytes).unwrap_or(&[])
            };
            if !nobits && data.len() as u64 != size {
                self.note(format!("section {} lies outside the file", index.0));
                continue;
            }
            let name = names.get(section.sh_name(LE));
            if name == b".eh_frame" {
                eh_frame = Some(start);
            }
            self.add_region(Region {
                start,
                end: start.saturating_add(size),
                data: Cow::Borrowed(data),
                executable: flags.contains(elf::SHF_EXECINSTR),
                writable: flags.contains(elf::SHF_WRITE),
                plt: name.starts_with(b".plt") || name == b".iplt",
                section: index.0 as u32,
            });
        }
        if !self.regions.iter().any(|r| r.executable) {
            self.regions.clear();
            for segment in segments.iter().take(MAX_REGIONS) {
                if segment.p_type(LE) != elf::PT_LOAD {
                    continue;
                }
                let start = segment.p_vaddr(LE);
                self.add_region(Region {
                    start,
                    end: start.saturating_add(segment.p_memsz(LE)),
                    data: Cow::Borrowed(segment.data(LE, bytes).unwrap_or(&[])),
                    executable: segment.p_flags(LE).contains(elf::PF_X),
                    writable: segment.p_flags(LE).contains(elf::PF_W),
                    plt: false,
                    section: 0,
                });
            }
        }
        self.settle_regions(bytes.len() as u64);
        if eh_frame.is_none() {
            eh_frame = segments
                .iter()
                .find(|s| s.p_type(LE) == elf::PT_GNU_EH_FRAME)
                .and_then(|s| self.eh_frame_of_header(s.p_vaddr(LE)));
        }
        self.eh_frame = eh_frame.and_then(|address| self.locate(address));

        self.stripped = !sections.iter().any(|s| s.sh_type(LE) == elf::SHT_SYMTAB);
        let mut dynamic_seen = false;
        for (kind, dynamic) in [(elf::SHT_SYMTAB, false), (elf::SHT_DYNSYM, true)] {
            match sections.symbols(LE, bytes, kind) {
                Ok(symbols) => {
                    let names = Names::of_symbols(sections, &symbols, bytes);
                    self.read_symbols(symbols.symbols(), names, dynamic);
                    dynamic_seen |= dynamic && !symbols.is_empty();
                }
                Err(_) => self.note("a symbol table is unreadable and was ignored".into()),
            }
        }
        let mut budget = bytes.len() / size_of::<Rela64<LE>>();
        for section in sections.iter().take(MAX_REGIONS) {
            if !section.sh_flags(LE).contains(elf::SHF_ALLOC) {
                continue;
            }
            if let Ok(Some((relocations, link))) = section.rela(LE, bytes) {
                let relocations = within(&mut budget, relocations);
                let symbols = sections
                    .symbol_table_by_index(LE, bytes, link)
                    .unwrap_or_default();
                let names = Names::of_symbols(sections, &symbols, bytes);
                self.read_dynamic_relocations(relocations, symbols.symbols(), names);
            }
        }
        let table = dynamic_table(segments, bytes);
        if !dynamic_seen {
            self.read_dynamic_symbols(table);
        }
        self.settle_objects();
        self.pointers.sort_unstable();
        self.pointers.dedup_by_key(|p| p.0);
        self.read_roots(sections, table);
        self.read_stubs();
    }

    /// What the loader itself goes by, for files without section headers.
    fn read_dynamic_symbols(&mut self, table: &[Dyn64<LE>]) {
        let value = |tag| {
            let entry = table.iter().find(|entry| entry.d_tag.get(LE) == tag);
            entry.map_or(0, |entry| entry.d_val.get(LE))
        };
        let (first, strings) = (value(elf::DT_SYMTAB), value(elf::DT_STRTAB));
        let names = Names(self.mapped(strings, value(elf::DT_STRSZ)));
        // No entry tells how many symbols there are; linkers put their names
        // right behind them.
        let symbols: &[Sym64<LE>] = items(self.mapped(first, strings.saturating_sub(first)));
        self.read_symbols(symbols, names, true);
        for (start, size) in [
            (elf::DT_RELA, elf::DT_RELASZ),
            (elf::DT_JMPREL, elf::DT_PLTRELSZ),
        ] {
            let relocations = items(self.mapped(value(start), value(size)));
            self.read_dynamic_relocations(relocations, symbols, names);
        }
    }

    /// `.eh_frame_hdr` begins with a version, three encodings and a pointer
    /// to `.eh_frame`, in practice always relative to itself and 4 bytes wide.
    fn eh_frame_of_header(&self, header: u64) -> Option<u64> {
        let raw = self.bytes_at(header)?.get(..8)?;
        if raw[0] != 1 || raw[1] != 0x1b {
            return None;
        }
        let offset = i32::from_le_bytes([raw[4], raw[5], raw[6], raw[7]]);
        Some(header.wrapping_add(4).wrapping_add_signed(offset.into()))
    }

    fn read_dynamic_relocations(
        &mut self,
        relocations: &[Rela64<LE>],
        symbols: &[Sym64<LE>],
        names: Names<'d>,
    ) {
        for r in relocations {
            let (slot, addend) = (r.r_offset(LE), r.r_addend(LE));
            let symbol = r.symbol(LE, false).and_then(|index| symbols.get(index.0));
            match r.r_type(LE, false) {
                elf::R_X86_64_RELATIVE | elf::R_X86_64_IRELATIVE => {
                    self.pointers.push((slot, addend as u64));
                }
                elf::R_X86_64_GLOB_DAT | elf::R_X86_64_JUMP_SLOT | elf::R_X86_64_64 => {
                    let Some(symbol) = symbol else { continue };
                    if symbol.st_value(LE) != 0 {
                        let target = symbol.st_value(LE).wrapping_add_signed(addend);
                        self.pointers.push((slot, target));
                    }
                    if let Some(name) = names.symbol(symbol) {
                        self.slots.insert(slot, name);
                    }
                }
                _ => {}
            }
        }
    }

    fn read_roots(&mut self, sections: &Sections<'_>, table: &[Dyn64<LE>]) {
        let mut arrays = vec![(0, 0); 3];
        // A static program has no dynamic table.
        for section in sections.iter().take(MAX_REGIONS) {
            if matches!(
                section.sh_type(LE),
                elf::SHT_INIT_ARRAY | elf::SHT_FINI_ARRAY | elf::SHT_PREINIT_ARRAY
            ) && arrays.len() < 16
            {
                arrays.push((section.sh_addr(LE), section.sh_size(LE)));
            }
        }
        for entry in table {
            let value = entry.d_val.get(LE);
            match entry.d_tag.get(LE) {
                elf::DT_INIT | elf::DT_FINI => self.roots.push(value),
                elf::DT_PREINIT_ARRAY => arrays[0].0 = value,
                elf::DT_PREINIT_ARRAYSZ => arrays[0].1 = value,
                elf::DT_INIT_ARRAY => arrays[1].0 = value,
                elf::DT_INIT_ARRAYSZ => arrays[1].1 = value,
                elf::DT_FINI_ARRAY => arrays[2].0 = value,
                elf::DT_FINI_ARRAYSZ => arrays[2].1 = value,
                _ => {}
            }
        }
        for (start, size) in arrays {
            for offset in (0..size).step_by(8) {
                let Some(target) = self.pointer(start.wrapping_add(offset)) else {
                    break;
                };
                self.roots.push(target);
            }
        }
    }

    /// PLT stubs by their shape: `[endbr64] [bnd] jmp [rip+slot]`. Where no
    /// section is named for them, they are looked for in all code, at multiples
    /// of 8.
    fn read_stubs(&mut self) {
        let named = self.regions.iter().any(|r| r.plt);
        let unnamed = |r: &&Region<'_>| r.executable && r.section == 0 && !named;
        for region in self.regions.iter().filter(|r| r.plt || unnamed(r)) {
            let mut decoder =
                Decoder::with_ip(64, &region.data, region.start, DecoderOptions::NONE);
            let mut instruction = Instruction::default();
            let mut landing = None;
            while decoder.can_decode() {
                decoder.decode_out(&mut instruction);
                match instruction.code() {
                    Code::Endbr64 => landing = Some(instruction.ip()),
                    Code::Jmp_rm64 if instruction.is_ip_rel_memory_operand() => {
                        let slot = instruction.ip_rel_memory_address();
                        let start = landing.take().unwrap_or(instruction.ip());
                        let name = self.slots.get(&slot).filter(|_| start % 8 == 0);
                        if let Some(name) = name.cloned() {
                            self.imports.insert(start, Import { name, stub: true });
                        }
                    }
                    _ => landing = None,
                }
            }
        }
    }

    // ---- relocatable files -----------------------------------------------

    fn load_relocatable(
        &mut self,
        header: &Header,
        sections: &Sections<'d>,
        bytes: &'d [u8],
    ) -> Result<(), Error> {
        let mut bases = vec![None; sections.len().min(MAX_REGIONS)];
        let mut next = 0u64;
        let names = Names::of_sections(header, sections, bytes);
        let mut eh_frame = None;
        for (index, section) in sections.enumerate().take(MAX_REGIONS) {
            let flags = section.sh_flags(LE);
            if !flags.contains(elf::SHF_ALLOC) {
                continue;
            }
            let size = section.sh_size(LE);
            let data = if section.sh_type(LE) == elf::SHT_NOBITS {
                &[][..]
            } else {
                section.data(LE, bytes).map_err(|_| Error::Truncated {
                    format: Format::Elf,
                    what: "a section",
                    needed: section.sh_offset(LE).saturating_add(size),
                    available: bytes.len() as u64,
                })?
            };
            let align = section.sh_addralign(LE).clamp(16, 4096).next_power_of_two();
            let start = next.next_multiple_of(align);
            let Some(end) = start.checked_add(size).filter(|&end| end <= MAX_LAYOUT) else {
                self.note(format!("section {} is too large and was left out", index.0));
                continue;
            };
            next = end;
            bases[index.0] = Some(start);
            if names.get(section.sh_name(LE)) == b".eh_frame" {
                eh_frame = Some(start);
            }
            self.add_region(Region {
                start,
                end,
                data: Cow::Borrowed(data),
                executable: flags.contains(elf::SHF_EXECINSTR),
                writable: flags.contains(elf::SHF_WRITE),
                plt: false,
                section: index.0 as u32,
            });
        }
        self.settle_regions(bytes.len() as u64);
        self.eh_frame = eh_frame.and_then(|address| self.locate(address));

        let symbols = sections
            .symbols(LE, bytes, elf::SHT_SYMTAB)
            .unwrap_or_default();
        self.stripped = symbols.is_empty();
        let mut layout = Layout {
            bases,
            next: next.next_multiple_of(4096),
            ..Layout::default()
        };
        let names = Names::of_symbols(sections, &symbols, bytes);
        self.read_relocatable_symbols(&symbols, names, &mut layout);
        let mut budget = bytes.len() / size_of::<Rela64<LE>>();
        for section in sections.iter().take(MAX_REGIONS) {
            let Ok(Some((relocations, _))) = section.rela(LE, bytes) else {
                continue;
            };
            let target = section.info_link(LE);
            let base = layout.bases.get(target.0).copied().flatten();
            if let Some(at) = base.and_then(|base| self.region_index(base)) {
                self.apply(at, within(&mut budget, relocations), &mut layout);
            }
        }
        self.pointers.sort_unstable();
        self.pointers.dedup_by_key(|p| p.0);
        Ok(())
    }

    fn read_relocatable_symbols(
        &mut self,
        symbols: &Symbols<'d>,
        names: Names<'d>,
        layout: &mut Layout,
    ) {
        for (index, symbol) in symbols.enumerate() {
            let name = names.symbol(symbol);
            let home = symbols.symbol_section(LE, symbol, index).ok().flatten();
            let address = match home {
                Some(SectionIndex(home)) => layout
                    .bases
                    .get(home)
                    .copied()
                    .flatten()
                    .map(|base| base.wrapping_add(symbol.st_value(LE))),
                None if symbol.st_shndx(LE) == elf::SHN_ABS => None,
                // Undefined and common symbols get an address of their own.
                None => name.as_ref().map(|_| layout.reserve()),
            };
            layout.symbols.push(Place {
                address,
                name: name.clone(),
            });
            let (Some(address), Some(name)) = (address, name) else {
                continue;
            };
            if home.is_none() {
                if symbol.is_common(LE) || symbol.st_type() == elf::STT_OBJECT {
                    self.objects.push(DataSymbol {
                        address,
                        size: 8,
                        name,
                    });
                } else {
                    self.imports.insert(address, Import { name, stub: false });
                }
            } else {
                self.add_symbol(symbol, address, name, false);
            }
        }
        self.settle_objects();
    }

    /// Applies the relocations of one section to a copy of it.
    fn apply(&mut self, at: usize, relocations: &[Rela64<LE>], layout: &mut Layout) {
        let region = &mut self.regions[at];
        let (start, in_code) = (region.start, region.executable);
        for r in relocations {
            let offset = r.r_offset(LE);
            let field = start.wrapping_add(offset);
            let Some(index) = r.symbol(LE, false) else {
                continue;
            };
            let Some(place) = layout.symbols.get(index.0) else {
                continue;
            };
            let Some(target) = place.address else {
                continue;
            };
            let addend = r.r_addend(LE);
            let (value, width) = match r.r_type(LE, false) {
                elf::R_X86_64_64 => {
                    let value = target.wrapping_add_signed(addend);
                    if in_code {
                        self.address_fields.insert(field);
                    } else {
                        self.pointers.push((field, value));
                    }
                    (value, 8)
                }
                elf::R_X86_64_32 | elf::R_X86_64_32S => {
                    if in_code {
                        self.address_fields.insert(field);
                    }
                    (target.wrapping_add_signed(addend), 4)
                }
                elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => {
                    (target.wrapping_add_signed(addend).wrapping_sub(field), 4)
                }
                elf::R_X86_64_PC64 => (target.wrapping_add_signed(addend).wrapping_sub(field), 8),
                elf::R_X86_64_GOTPCREL
                | elf::R_X86_64_GOTPCRELX
                | elf::R_X86_64_REX_GOTPCRELX
                | elf::R_X86_64_GOTTPOFF
                | elf::R_X86_64_TLSGD => {
                    let slot = match layout.slots.get(&index.0) {
                        Some(&slot) => slot,
                        None => {
                            let name = place.name.clone();
                            let slot = layout.reserve();
                            layout.slots.insert(index.0, slot);
                            self.pointers.push((slot, target));
                            self.slots.extend(name.map(|name| (slot, name)));
                            slot
                        }
                    };
                    (slot.wrapping_add_signed(addend).wrapping_sub(field), 4)
                }
                _ => continue,
            };
            let Ok(offset) = usize::try_from(offset) else {
                continue;
            };
            let Some(bytes) = offset
                .checked_add(width)
                .filter(|&end| end <= region.data.len())
                .map(|end| &mut region.data.to_mut()[offset..end])
            else {
                continue;
            };
            bytes.copy_from_slice(&value.to_le_bytes()[..width]);
        }
    }

    // ---- symbols ---------------------------------------------------------

    fn read_symbols(&mut self, symbols: &[Sym64<LE>], names: Names<'d>, dynamic: bool) {
        for symbol in symbols {
            let home = symbol.st_shndx(LE);
            if home == elf::SHN_UNDEF || home == elf::SHN_ABS {
                continue;
            }
            if let Some(name) = names.symbol(symbol) {
                self.add_symbol(symbol, symbol.st_value(LE), name, dynamic);
            }
        }
    }

    fn add_symbol(&mut self, symbol: &Sym64<LE>, address: u64, name: String, dynamic: bool) {
        let size = symbol.st_size(LE);
        match symbol.st_type() {
            elf::STT_FUNC | elf::STT_GNU_IFUNC
                if self.code_region(address).is_some_and(|r| !r.plt) =>
            {
                let global = !symbol.is_local();
                self.functions.push(FunctionSymbol {
                    address,
                    size,
                    name,
                    global,
                    dynamic,
                });
            }
            elf::STT_OBJECT => self.objects.push(DataSymbol {
                address,
                size,
                name,
            }),
            _ => {}
        }
    }
}

/// A string table. `object` looks for the end of a name as far as the table
/// goes, which a table without ends turns into a quadratic search; here a name
/// ends after [`strings::MAX_NAME`] bytes.
#[derive(Debug, Clone, Copy)]
struct Names<'d>(&'d [u8]);

impl<'d> Names<'d> {
    fn new(sections: &Sections<'d>, index: SectionIndex, bytes: &'d [u8]) -> Self {
        let table = sections
            .section(index)
            .ok()
            .and_then(|s| s.data(LE, bytes).ok());
        Names(table.unwrap_or(&[]))
    }

    fn of_sections(header: &Header, sections: &Sections<'d>, bytes: &'d [u8]) -> Self {
        let index = header.shstrndx(LE, bytes).unwrap_or(0);
        Names::new(sections, SectionIndex(index as usize), bytes)
    }

    fn of_symbols(sections: &Sections<'d>, symbols: &Symbols<'d>, bytes: &'d [u8]) -> Self {
        Names::new(sections, symbols.string_section(), bytes)
    }

    fn get(self, offset: u32) -> &'d [u8] {
        let rest = self.0.get(offset as usize..).unwrap_or(&[]);
        let window = &rest[..rest.len().min(strings::MAX_NAME)];
        let end = window.iter().position(|&b| b == 0).unwrap_or(window.len());
        &window[..end]
    }

    fn symbol(self, symbol: &Sym64<LE>) -> Option<String> {
        strings::symbol_name(self.get(symbol.st_name(LE)))
    }
}

/// `bytes` as a table.
fn items<T: object::pod::Pod>(bytes: &[u8]) -> &[T] {
    let items = object::pod::slice_from_bytes(bytes, bytes.len() / size_of::<T>());
    items.map_or(&[], |(items, _)| items)
}

/// The entries of the dynamic segment.
fn dynamic_table<'d>(segments: &[ProgramHeader64<LE>], bytes: &'d [u8]) -> &'d [Dyn64<LE>] {
    let table = segments
        .iter()
        .find_map(|s| s.dynamic(LE, bytes).ok().flatten());
    table.map_or(&[], |entries| &entries[..entries.len().min(MAX_DYNAMIC)])
}

/// Addresses given out while a relocatable file is laid out.
#[derive(Debug, Default)]
struct Layout {
    bases: Vec<Option<u64>>,
    symbols: Vec<Place>,
    /// GOT slots by symbol index.
    slots: HashMap<usize, u64>,
    next: u64,
}

#[derive(Debug)]
struct Place {
    address: Option<u64>,
    name: Option<String>,
}

impl Layout {
    fn reserve(&mut self) -> u64 {
        let address = self.next;
        self.next += 8;
        address
    }
}

fn table_end(offset: u64, count: u16, entry: u64) -> u64 {
    offset.saturating_add(u64::from(count) * entry)
}

/// A segment that reaches beyond the file means that the file was cut: the
/// loader would refuse it too.
fn check_segments(segments: &[ProgramHeader64<LE>], bytes: &[u8]) -> Result<(), Error> {
    for segment in segments.iter().filter(|s| s.p_type(LE) == elf::PT_LOAD) {
        let needed = segment.p_offset(LE).saturating_add(segment.p_filesz(LE));
        if needed > bytes.len() as u64 {
            let available = bytes.len() as u64;
            return Err(Error::Truncated {
                format: Format::Elf,
                what: "a segment",
                needed,
                available,
            });
        }
        if segment
            .p_vaddr(LE)
            .checked_add(segment.p_memsz(LE))
            .is_none()
        {
            return Err(Error::Malformed {
                format: Format::Elf,
                what: "a segment wraps around the address space",
            });
        }
    }
    Ok(())
}

fn check_header(bytes: &[u8]) -> Result<&Header, Error> {
    let available = bytes.len() as u64;
    let cut = Error::Truncated {
        format: Format::Elf,
        what: "the file header",
        needed: 64,
        available,
    };
    let Some(identity) = bytes.get(..20) else {
        return Err(cut);
    };
    let little = identity[5] == 1;
    let machine = if little {
        u16::from_le_bytes([identity[18], identity[19]])
    } else {
        u16::from_be_bytes([identity[18], identity[19]])
    };
    let architecture = match machine {
        62 if identity[4] == 1 => "x86-64 with 32-bit pointers (x32)".into(),
        62 if little => String::new(),
        3 => "32-bit x86".into(),
        183 => "AArch64".into(),
        40 => "32-bit ARM".into(),
        243 => "RISC-V".into(),
        8 => "MIPS".into(),
        20 => "PowerPC".into(),
        21 => "64-bit PowerPC".into(),
        22 => "S/390".into(),
        43 => "SPARC".into(),
        247 => "BPF".into(),
        258 => "LoongArch".into(),
        other => format!("an unknown processor (machine {other})"),
    };
    if !architecture.is_empty() {
        return Err(Error::UnsupportedArchitecture {
            format: Format::Elf,
            architecture,
        });
    }
    if bytes.len() < 64 {
        return Err(cut);
    }
    Header::parse(bytes).map_err(|_| Error::Malformed {
        format: Format::Elf,
        what: "its identification is invalid",
    })
}
