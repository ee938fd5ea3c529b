//! ELF of either class and byte order: executables, shared objects, relocatable
//! files.

use std::borrow::Cow;
use std::collections::HashMap;

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, OpKind, Register};
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::SectionIndex;
use object::read::elf::{
    Dyn, FileHeader, ProgramHeader, Rel, Rela, SectionHeader, SectionTable, Sym, SymbolTable,
};
use object::{BigEndian, LittleEndian};

use super::fix::Fix;
use super::relocation::{self, Form, Of, Patch};
use super::{
    DataSymbol, FunctionSymbol, Image, Import, KnownFunction, MAX_LAYOUT, MAX_REGIONS, Region,
    StartFiles, arm, within,
};
use crate::program::{Arch, BinaryKind, Format, Source};
use crate::risc::{Modes, isa};
use crate::step::absolute_operand;
use crate::{Error, strings};

/// Upper halves of addresses that may wait for their lower halves at a time:
/// each of those looks through all of them.
const MAX_HALVES: usize = 256;

/// Entries of the dynamic table that are read; real ones have about 30.
const MAX_DYNAMIC: usize = 4096;

/// The headers of one class and byte order. Each of its tables has types of its
/// own.
trait Header: FileHeader {
    const ORDER: Self::Endian;
}
impl Header for FileHeader32<LittleEndian> {
    const ORDER: LittleEndian = LittleEndian;
}
impl Header for FileHeader64<LittleEndian> {
    const ORDER: LittleEndian = LittleEndian;
}
impl Header for FileHeader32<BigEndian> {
    const ORDER: BigEndian = BigEndian;
}
impl Header for FileHeader64<BigEndian> {
    const ORDER: BigEndian = BigEndian;
}

type Segment<H> = <H as FileHeader>::ProgramHeader;
type Symbol<H> = <H as FileHeader>::Sym;
type Dynamic<H> = <H as FileHeader>::Dyn;

fn wide(word: impl Into<u64>) -> u64 {
    word.into()
}

/// Reads an ELF file.
pub(super) fn parse<'d>(bytes: &'d [u8]) -> Result<Image<'d>, Error> {
    let arch = check_header(bytes)?;
    let mut image = match (arch.bits(), arch.is_big_endian()) {
        (32, false) => read::<FileHeader32<LittleEndian>>(bytes, arch),
        (32, true) => read::<FileHeader32<BigEndian>>(bytes, arch),
        (_, false) => read::<FileHeader64<LittleEndian>>(bytes, arch),
        (_, true) => read::<FileHeader64<BigEndian>>(bytes, arch),
    }?;
    if arch == Arch::Arm {
        image.settle_modes();
    }
    Ok(image)
}

fn read<'d, H: Header>(bytes: &'d [u8], arch: Arch) -> Result<Image<'d>, Error> {
    let header = H::parse(bytes).map_err(|_| Error::Malformed {
        format: Format::Elf,
        what: "its identification is invalid",
    })?;
    let kind = match header.e_type(H::ORDER) {
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
    // MIPS programs are position-independent inside even where they are loaded
    // at one address.
    let mips = matches!(arch, Arch::Mips | Arch::Mipsel);
    let independent = mips && header.e_flags(H::ORDER).contains(elf::EF_MIPS_PIC);
    let absolute = kind == BinaryKind::Executable && !independent;
    let mut image = Image {
        format: Format::Elf,
        arch,
        kind,
        absolute,
        ..Image::default()
    };
    let segments = match header.program_headers(H::ORDER, bytes) {
        Ok(segments) => segments,
        Err(_) if kind == BinaryKind::Relocatable => &[],
        Err(_) => {
            return Err(Error::Truncated {
                format: Format::Elf,
                what: "the table of segments",
                needed: table_end(
                    header.e_phoff(H::ORDER),
                    header.e_phnum(H::ORDER),
                    size_of::<Segment<H>>(),
                ),
                available: bytes.len() as u64,
            });
        }
    };
    check_segments::<H>(segments, bytes)?;
    let sections = match header.sections(H::ORDER, bytes) {
        Ok(sections) => sections,
        Err(_) if kind == BinaryKind::Relocatable => {
            return Err(Error::Truncated {
                format: Format::Elf,
                what: "the table of sections",
                needed: table_end(
                    header.e_shoff(H::ORDER),
                    header.e_shnum(H::ORDER),
                    size_of::<H::SectionHeader>(),
                ),
                available: bytes.len() as u64,
            });
        }
        Err(_) => {
            image.note("the table of sections is unreadable and was ignored".into());
            SectionTable::default()
        }
    };

    if kind == BinaryKind::Relocatable {
        image.load_relocatable(header, &sections, bytes)?;
    } else {
        let entry = wide(header.e_entry(H::ORDER));
        // An executable that may be loaded anywhere has the type of a
        // shared object, and an interpreter.
        let interpreted = segments
            .iter()
            .any(|s| s.p_type(H::ORDER) == elf::PT_INTERP);
        if kind == BinaryKind::SharedObject && interpreted && entry != 0 {
            image.kind = BinaryKind::Executable;
        }
        image.entry = (entry != 0).then_some(entry);
        image.load_linked(header, &sections, segments, bytes);
    }
    Ok(image)
}

impl<'d> Image<'d> {
    // ---- 32-bit ARM ------------------------------------------------------

    /// Finds out what the code is, and takes the bit for its state out of
    /// addresses.
    fn settle_modes(&mut self) {
        self.roots.extend(self.entry);
        for &address in &self.roots {
            self.modes.start(address);
        }
        self.entry = self.entry.map(|entry| self.code_address(entry));
        let stated = self.start_files;
        let even = |address: Option<u64>| address.map(|address| self.code_address(address));
        self.start_files = StartFiles {
            init: even(stated.init),
            fini: even(stated.fini),
            first_init: even(stated.first_init),
            first_fini: even(stated.first_fini),
        };
        self.roots = self
            .roots
            .iter()
            .map(|&root| self.code_address(root))
            .collect();
        let mut pointers = std::mem::take(&mut self.pointers);
        let mut even = Vec::new();
        for (_, target) in &mut pointers {
            if self.code_address(*target) == *target {
                even.push(*target);
            } else {
                self.modes.start(*target);
                *target -= 1;
            }
        }
        self.pointers = pointers;
        self.modes = Modes::infer(self, even);
    }

    /// The index of functions for unwinding: pairs of words, of which the first
    /// is how far the function is, in 31 bits. The linker leaves out functions
    /// that are unwound as the one before (Exception Handling ABI for the Arm
    /// Architecture, 5).
    fn read_exception_index(&mut self, start: u64, size: u64) {
        let bytes = self.bytes_in(start, start.saturating_add(size));
        let mut found = Vec::new();
        for (at, entry) in bytes.chunks_exact(8).enumerate() {
            let word = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            let distance = i64::from((word << 1) as i32 >> 1);
            let place = start.wrapping_add(at as u64 * 8);
            found.push(place.wrapping_add_signed(distance) & 0xffff_fffe);
        }
        found.retain(|&address| self.code_region(address).is_some_and(|r| !r.plt));
        self.known
            .extend(found.into_iter().map(|address| KnownFunction {
                address,
                end: None,
                source: Source::UnwindTable,
            }));
    }

    // ---- linked files ----------------------------------------------------

    fn load_linked<H: Header>(
        &mut self,
        header: &H,
        sections: &SectionTable<'d, H>,
        segments: &'d [Segment<H>],
        bytes: &'d [u8],
    ) {
        self.base = segments
            .iter()
            .filter(|s| s.p_type(H::ORDER) == elf::PT_LOAD)
            .map(|s| wide(s.p_vaddr(H::ORDER)) & !0xfff)
            .min()
            .unwrap_or(0);
        let names = Names::of_sections(header, sections, bytes);
        let mut eh_frame = None;
        for (index, section) in sections.enumerate().take(MAX_REGIONS) {
            let flags = section.sh_flags(H::ORDER);
            let nobits = section.sh_type(H::ORDER) == elf::SHT_NOBITS;
            // A thread's zeroes have no place in the address space.
            if !flags.contains(elf::SHF_ALLOC) || (nobits && flags.contains(elf::SHF_TLS)) {
                continue;
            }
            let (start, size) = (
                wide(section.sh_addr(H::ORDER)),
                wide(section.sh_size(H::ORDER)),
            );
            let data = if nobits {
                &[][..]
            } else {
                section.data(H::ORDER, bytes).unwrap_or(&[])
            };
            if !nobits && data.len() as u64 != size {
                self.note(format!("section {} lies outside the file", index.0));
                continue;
            }
            let name = names.get(section.sh_name(H::ORDER));
            if name == b".eh_frame" {
                eh_frame = Some(start);
            }
            self.add_region(Region {
                start,
                end: start.saturating_add(size),
                data: Cow::Borrowed(data),
                executable: flags.contains(elf::SHF_EXECINSTR),
                writable: flags.contains(elf::SHF_WRITE),
                plt: name.starts_with(b".plt")
                    || matches!(name, b".iplt" | b".glink" | b".MIPS.stubs"),
                section: index.0 as u32,
            });
        }
        if !self.regions.iter().any(|r| r.executable) {
            self.regions.clear();
            for segment in segments.iter().take(MAX_REGIONS) {
                if segment.p_type(H::ORDER) != elf::PT_LOAD {
                    continue;
                }
                let start = wide(segment.p_vaddr(H::ORDER));
                self.add_region(Region {
                    start,
                    end: start.saturating_add(wide(segment.p_memsz(H::ORDER))),
                    data: Cow::Borrowed(segment.data(H::ORDER, bytes).unwrap_or(&[])),
                    executable: segment.p_flags(H::ORDER).contains(elf::PF_X),
                    writable: segment.p_flags(H::ORDER).contains(elf::PF_W),
                    plt: false,
                    section: 0,
                });
            }
        }
        self.settle_regions(bytes.len() as u64);
        if eh_frame.is_none() {
            eh_frame = segments
                .iter()
                .find(|s| s.p_type(H::ORDER) == elf::PT_GNU_EH_FRAME)
                .and_then(|s| self.eh_frame_of_header(wide(s.p_vaddr(H::ORDER))));
        }
        self.eh_frame = eh_frame.and_then(|address| self.locate(address));

        if self.arch == Arch::Arm
            && let Some(index) = segments
                .iter()
                .find(|s| s.p_type(H::ORDER) == elf::PT_ARM_EXIDX)
        {
            self.read_exception_index(wide(index.p_vaddr(H::ORDER)), wide(index.p_memsz(H::ORDER)));
        }

        self.stripped = !sections
            .iter()
            .any(|s| s.sh_type(H::ORDER) == elf::SHT_SYMTAB);
        let mut dynamic_seen = false;
        for (kind, dynamic) in [(elf::SHT_SYMTAB, false), (elf::SHT_DYNSYM, true)] {
            match sections.symbols(H::ORDER, bytes, kind) {
                Ok(symbols) => {
                    let names = Names::of_symbols(sections, &symbols, bytes);
                    self.read_symbols(symbols.symbols(), names, dynamic);
                    dynamic_seen |= dynamic && !symbols.is_empty();
                }
                Err(_) => self.note("a symbol table is unreadable and was ignored".into()),
            }
        }
        let mut budget = bytes.len() / size_of::<H::Rel>();
        for section in sections.iter().take(MAX_REGIONS) {
            if !section.sh_flags(H::ORDER).contains(elf::SHF_ALLOC) {
                continue;
            }
            if let Some((relocations, link)) = Relocations::<H>::of(section, bytes, &mut budget) {
                let symbols = sections
                    .symbol_table_by_index(H::ORDER, bytes, link)
                    .unwrap_or_default();
                let names = Names::of_symbols(sections, &symbols, bytes);
                self.read_dynamic_relocations(&relocations, symbols.symbols(), names);
            }
        }
        let table = dynamic_table::<H>(segments, bytes);
        if !dynamic_seen {
            self.read_dynamic_symbols::<H>(table);
        }
        if matches!(self.arch, Arch::Mips | Arch::Mipsel) {
            self.read_mips_slots::<H>(table);
        }
        self.settle_objects();
        // Linkers sort the relocations of each kind, which a stable sort makes
        // use of.
        self.pointers.sort();
        self.pointers.dedup_by_key(|p| p.0);
        self.read_roots(sections, table);
        self.global = isa(self.arch).and_then(|isa| isa.global_value(self));
        self.read_stubs();
    }

    /// What the loader itself goes by, for files without section headers.
    fn read_dynamic_symbols<H: Header>(&mut self, table: &[Dynamic<H>]) {
        let value = |tag| {
            let entry = table.iter().find(|entry| entry.d_tag(H::ORDER) == tag);
            entry.map_or(0, |entry| wide(entry.d_val(H::ORDER)))
        };
        let (first, strings) = (value(elf::DT_SYMTAB), value(elf::DT_STRTAB));
        let names = Names(self.mapped(strings, value(elf::DT_STRSZ)));
        // No entry tells how many symbols there are; linkers put their names
        // right behind them.
        let symbols: &[Symbol<H>] = items(self.mapped(first, strings.saturating_sub(first)));
        self.read_symbols(symbols, names, true);
        let with_addends = value(elf::DT_PLTREL) == elf::DT_RELA.0 as u64;
        for (start, size, addends) in [
            (elf::DT_RELA, elf::DT_RELASZ, true),
            (elf::DT_REL, elf::DT_RELSZ, false),
            (elf::DT_JMPREL, elf::DT_PLTRELSZ, with_addends),
        ] {
            let raw = self.mapped(value(start), value(size));
            let relocations = match addends {
                true => Relocations::<H>::Rela(items(raw)),
                false => Relocations::Rel(items(raw)),
            };
            self.read_dynamic_relocations(&relocations, symbols, names);
        }
    }

    /// The global offset table of MIPS has no relocations: its last entries are
    /// those of the last dynamic symbols.
    fn read_mips_slots<H: Header>(&mut self, table: &[Dynamic<H>]) {
        const LOCAL: i64 = 0x7000_000a;
        const COUNT: i64 = 0x7000_0011;
        const FIRST: i64 = 0x7000_0013;
        let value = |tag| {
            let entry = table.iter().find(|entry| entry.d_tag(H::ORDER).0 == tag);
            entry.map_or(0, |entry| wide(entry.d_val(H::ORDER)))
        };
        let (strings, first) = (value(elf::DT_STRTAB.0), value(FIRST));
        let names = Names(self.mapped(strings, value(elf::DT_STRSZ.0)));
        let size = value(COUNT).saturating_mul(size_of::<Symbol<H>>() as u64);
        let symbols: &[Symbol<H>] = items(self.mapped(value(elf::DT_SYMTAB.0), size));
        let got = value(elf::DT_PLTGOT.0).wrapping_add(4 * (value(LOCAL) & 0xffff_ffff));
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        for (index, symbol) in symbols.iter().skip(first).enumerate() {
            let slot = got.wrapping_add(4 * index as u64);
            let address = wide(symbol.st_value(H::ORDER));
            let defined = symbol.st_shndx(H::ORDER) != elf::SHN_UNDEF;
            if defined && address != 0 {
                self.pointers.push((slot, address));
            }
            let Some(name) = names.symbol(symbol) else {
                continue;
            };
            if !defined && self.region(address).is_some() {
                let name = name.clone();
                self.imports.insert(address, Import { name, stub: true });
            }
            self.slots.insert(slot, name);
        }
    }

    /// `.eh_frame_hdr` begins with a version, three encodings and a pointer
    /// to `.eh_frame`, in practice always relative to itself and 4 bytes wide.
    fn eh_frame_of_header(&self, header: u64) -> Option<u64> {
        let raw = self.bytes_at(header)?.get(..8)?;
        if raw[0] != 1 || raw[1] != 0x1b {
            return None;
        }
        let offset = self.arch.signed(&raw[4..]);
        Some(header.wrapping_add(4).wrapping_add_signed(offset))
    }

    fn read_dynamic_relocations<H: Header>(
        &mut self,
        relocations: &Relocations<'_, H>,
        symbols: &[Symbol<H>],
        names: Names<'d>,
    ) {
        for r in relocations.iter() {
            let slot = r.offset;
            let symbol = r.symbol.and_then(|index| symbols.get(index));
            let width = self.arch.pointer_size();
            let fix = match fix(self.arch, r.kind) {
                Some(Fix::RelativeOrSlot) if symbol.is_none() => Some(Fix::Relative),
                Some(Fix::RelativeOrSlot) => Some(Fix::Slot),
                fix => fix,
            };
            match fix {
                Some(Fix::Relative) => {
                    let addend = r.addend.or_else(|| self.number_at(slot, width));
                    if let Some(addend) = addend {
                        self.pointers.push((slot, addend as u64));
                    }
                }
                Some(Fix::Slot | Fix::Absolute) => {
                    let Some(symbol) = symbol else { continue };
                    let value = wide(symbol.st_value(H::ORDER));
                    if value != 0 {
                        let target = value.wrapping_add_signed(r.addend.unwrap_or(0));
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

    /// The number of `width` bytes that stands at `address`.
    fn number_at(&self, address: u64, width: u64) -> Option<i64> {
        let raw = self.bytes_at(address)?.get(..width as usize)?;
        Some(self.arch.signed(raw))
    }

    fn read_roots<H: Header>(&mut self, sections: &SectionTable<'_, H>, table: &[Dynamic<H>]) {
        let mut arrays = vec![(0, 0); 3];
        // A static program has no dynamic table.
        for section in sections.iter().take(MAX_REGIONS) {
            let kind = section.sh_type(H::ORDER);
            if matches!(
                kind,
                elf::SHT_INIT_ARRAY | elf::SHT_FINI_ARRAY | elf::SHT_PREINIT_ARRAY
            ) && arrays.len() < 16
            {
                let array = (
                    wide(section.sh_addr(H::ORDER)),
                    wide(section.sh_size(H::ORDER)),
                );
                match kind {
                    elf::SHT_INIT_ARRAY => arrays[1] = array,
                    elf::SHT_FINI_ARRAY => arrays[2] = array,
                    _ => {}
                }
                arrays.push(array);
            }
        }
        for entry in table {
            let value = wide(entry.d_val(H::ORDER));
            match entry.d_tag(H::ORDER) {
                elf::DT_INIT => self.start_files.init = Some(value),
                elf::DT_FINI => self.start_files.fini = Some(value),
                elf::DT_PLTGOT => self.got = Some(value),
                elf::DT_PREINIT_ARRAY => arrays[0].0 = value,
                elf::DT_PREINIT_ARRAYSZ => arrays[0].1 = value,
                elf::DT_INIT_ARRAY => arrays[1].0 = value,
                elf::DT_INIT_ARRAYSZ => arrays[1].1 = value,
                elf::DT_FINI_ARRAY => arrays[2].0 = value,
                elf::DT_FINI_ARRAYSZ => arrays[2].1 = value,
                _ => {}
            }
        }
        let first = |(start, size): (u64, u64)| (size > 0).then(|| self.pointer(start)).flatten();
        let (init, fini) = (first(arrays[1]), first(arrays[2]));
        self.start_files.first_init = init;
        self.start_files.first_fini = fini;
        let stated = [self.start_files.init, self.start_files.fini];
        self.roots.extend(stated.into_iter().flatten());
        for (start, size) in arrays {
            for offset in (0..size).step_by(self.arch.pointer_size() as usize) {
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
        if let Some(isa) = isa(self.arch) {
            let mut found = Vec::new();
            let loose = |r: &&Region<'_>| r.executable && isa.has_loose_stubs();
            for region in &self.regions {
                if !(region.plt || unnamed(&region) || loose(&region)) {
                    continue;
                }
                found.extend(isa.stubs(self, &region.data, region.start));
            }
            for (start, slot) in found {
                if let Some(name) = self.slots.get(&slot).cloned() {
                    self.imports.insert(start, Import { name, stub: true });
                }
            }
            return;
        }
        for region in self.regions.iter().filter(|r| r.plt || unnamed(r)) {
            let mut decoder = Decoder::with_ip(
                self.arch.bits(),
                &region.data,
                region.start,
                DecoderOptions::NONE,
            );
            let mut instruction = Instruction::default();
            let mut landing = None;
            while decoder.can_decode() {
                decoder.decode_out(&mut instruction);
                match instruction.code() {
                    Code::Endbr64 | Code::Endbr32 => landing = Some(instruction.ip()),
                    Code::Jmp_rm64 | Code::Jmp_rm32 if instruction.op0_kind() == OpKind::Memory => {
                        // Position-independent 32-bit stubs count from the GOT.
                        let by_got = (instruction.memory_base() == Register::EBX).then(|| {
                            let offset = instruction.memory_displacement32();
                            self.got
                                .map(|got| got.wrapping_add(offset.into()) & 0xffff_ffff)
                        });
                        let slot = by_got.flatten().or_else(|| absolute_operand(&instruction));
                        let Some(slot) = slot else {
                            landing = None;
                            continue;
                        };
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

    fn load_relocatable<H: Header>(
        &mut self,
        header: &H,
        sections: &SectionTable<'d, H>,
        bytes: &'d [u8],
    ) -> Result<(), Error> {
        let mut bases = vec![None; sections.len().min(MAX_REGIONS)];
        let mut next = 0u64;
        let names = Names::of_sections(header, sections, bytes);
        let mut eh_frame = None;
        for (index, section) in sections.enumerate().take(MAX_REGIONS) {
            let flags = section.sh_flags(H::ORDER);
            if !flags.contains(elf::SHF_ALLOC) {
                continue;
            }
            let size = wide(section.sh_size(H::ORDER));
            let data = if section.sh_type(H::ORDER) == elf::SHT_NOBITS {
                &[][..]
            } else {
                section
                    .data(H::ORDER, bytes)
                    .map_err(|_| Error::Truncated {
                        format: Format::Elf,
                        what: "a section",
                        needed: wide(section.sh_offset(H::ORDER)).saturating_add(size),
                        available: bytes.len() as u64,
                    })?
            };
            let align = wide(section.sh_addralign(H::ORDER))
                .clamp(16, 4096)
                .next_power_of_two();
            let start = next.next_multiple_of(align);
            let Some(end) = start.checked_add(size).filter(|&end| end <= MAX_LAYOUT) else {
                self.note(format!("section {} is too large and was left out", index.0));
                continue;
            };
            next = end;
            bases[index.0] = Some(start);
            if names.get(section.sh_name(H::ORDER)) == b".eh_frame" {
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
            .symbols(H::ORDER, bytes, elf::SHT_SYMTAB)
            .unwrap_or_default();
        self.stripped = symbols.is_empty();
        let mut layout = Layout {
            bases,
            next: next.next_multiple_of(4096),
            ..Layout::default()
        };
        let got = layout.reserve();
        self.got = Some(got);
        self.global = isa(self.arch).and_then(|isa| isa.global_value(self));
        let names = Names::of_symbols(sections, &symbols, bytes);
        self.read_relocatable_symbols(&symbols, names, &mut layout);
        let mut budget = bytes.len() / size_of::<H::Rel>();
        for section in sections.iter().take(MAX_REGIONS) {
            let Some((relocations, _)) = Relocations::<H>::of(section, bytes, &mut budget) else {
                continue;
            };
            let target = section.info_link(H::ORDER);
            let base = layout.bases.get(target.0).copied().flatten();
            if let Some(at) = base.and_then(|base| self.region_index(base)) {
                self.apply(at, &relocations, &mut layout);
            }
        }
        self.pointers.sort_unstable();
        self.pointers.dedup_by_key(|p| p.0);
        Ok(())
    }

    fn read_relocatable_symbols<H: Header>(
        &mut self,
        symbols: &SymbolTable<'d, H>,
        names: Names<'d>,
        layout: &mut Layout,
    ) {
        for (index, symbol) in symbols.enumerate() {
            let name = names.symbol(symbol);
            let home = symbols
                .symbol_section(H::ORDER, symbol, index)
                .ok()
                .flatten();
            let address = match home {
                Some(SectionIndex(home)) => layout
                    .bases
                    .get(home)
                    .copied()
                    .flatten()
                    .map(|base| base.wrapping_add(wide(symbol.st_value(H::ORDER)))),
                None if symbol.st_shndx(H::ORDER) == elf::SHN_ABS => None,
                // Undefined and common symbols get an address of their own.
                None => name.as_ref().map(|_| layout.reserve()),
            };
            layout.symbols.push(Place {
                address,
                name: name.clone(),
                local: symbol.is_local(),
            });
            if let Some(address) = address.filter(|_| home.is_some()) {
                self.mark(symbol, address, names);
            }
            let (Some(address), Some(name)) = (address, name) else {
                continue;
            };
            if home.is_none() {
                if symbol.is_common(H::ORDER) || symbol.st_type() == elf::STT_OBJECT {
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
    fn apply<H: Header>(
        &mut self,
        at: usize,
        relocations: &Relocations<'_, H>,
        layout: &mut Layout,
    ) {
        let (start, in_code) = (self.regions[at].start, self.regions[at].executable);
        let got = self.got.unwrap_or(0);
        let mut halves = Halves::default();
        for r in relocations.iter() {
            let field = start.wrapping_add(r.offset);
            if let Some(patch) = relocation::patch(self.arch, r.kind) {
                self.patch(at, &r, patch, layout, &mut halves);
                continue;
            }
            let Some(fix) = fix(self.arch, r.kind) else {
                continue;
            };
            let width = width(self.arch, r.kind);
            let Some(index) = r.symbol else { continue };
            let Some(place) = layout.symbols.get(index) else {
                continue;
            };
            let target = place.address;
            let addend = match r.addend {
                Some(addend) => addend,
                None => match (fix, self.number_at(field, width as u64)) {
                    (Fix::Arm(form, _), Some(word)) => form.addend(word as u32),
                    (_, Some(addend)) => addend,
                    (_, None) => continue,
                },
            };
            let value = match (fix, target) {
                (Fix::GotBase, _) => got.wrapping_sub(field),
                (Fix::Absolute, Some(target)) => {
                    let value = target.wrapping_add_signed(addend);
                    if in_code {
                        self.address_fields.insert(field);
                    } else if width as u64 == self.arch.pointer_size() {
                        self.pointers.push((field, value));
                    }
                    target
                }
                (Fix::Distance, Some(target)) => target.wrapping_sub(field),
                (Fix::Arm(form, distance), Some(target)) => {
                    let state = u64::from(form.is_code() && self.code_address(target) != target);
                    if distance {
                        target.wrapping_sub(state).wrapping_sub(field)
                    } else {
                        self.address_fields.insert(field);
                        target
                    }
                }
                (Fix::FromGot, Some(target)) => target.wrapping_sub(got),
                (
                    Fix::Words { .. } | Fix::Page { got: false } | Fix::Low { got: false, .. },
                    Some(target),
                ) => target,
                (
                    Fix::GotDistance
                    | Fix::GotOffset
                    | Fix::Page { got: true }
                    | Fix::Low { got: true, .. },
                    Some(target),
                ) => {
                    let slot = self.slot(index, target, layout);
                    match fix {
                        Fix::GotOffset => slot.wrapping_sub(got),
                        Fix::GotDistance => slot.wrapping_sub(field),
                        _ => slot,
                    }
                }
                _ => continue,
            };
            let mut value = value.wrapping_add_signed(addend);
            if let Some(word) = self.number_at(field, 4)
                && let Some(word) = fix.instruction(word as u32, value, field)
            {
                value = word.into();
            }
            self.write(at, r.offset, width, value);
        }
        halves.finish(self, at);
    }

    /// The slot of the GOT that holds a symbol's address.
    fn slot(&mut self, symbol: usize, target: u64, layout: &mut Layout) -> u64 {
        if let Some(&slot) = layout.slots.get(&symbol) {
            return slot;
        }
        let slot = layout.reserve();
        layout.slots.insert(symbol, slot);
        self.pointers.push((slot, target));
        let name = layout
            .symbols
            .get(symbol)
            .and_then(|place| place.name.clone());
        self.slots.extend(name.map(|name| (slot, name)));
        slot
    }

    /// Puts a number into a region's copy of the file.
    fn write(&mut self, at: usize, offset: u64, width: usize, value: u64) {
        let big = self.arch.is_big_endian();
        let data = &mut self.regions[at].data;
        let Some(end) = usize::try_from(offset)
            .ok()
            .and_then(|offset| offset.checked_add(width))
            .filter(|&end| end <= data.len())
        else {
            return;
        };
        let bytes = &mut data.to_mut()[end - width..end];
        if big {
            bytes.copy_from_slice(&value.to_be_bytes()[8 - width..]);
        } else {
            bytes.copy_from_slice(&value.to_le_bytes()[..width]);
        }
    }

    /// Applies a relocation whose field is a part of an instruction.
    fn patch(
        &mut self,
        at: usize,
        r: &Relocation,
        patch: Patch,
        layout: &mut Layout,
        halves: &mut Halves,
    ) -> Option<()> {
        let field = self.regions[at].start.wrapping_add(r.offset);
        let width = patch.form.width(self.arch);
        let bits = self.arch.number(self.bytes_at(field)?.get(..width)?);
        let symbol = r.symbol?;
        let place = layout.symbols.get(symbol)?;
        let (target, local) = (place.address?, place.local);
        let addend = match r.addend {
            // It tells which register the stub of a linker would count from.
            Some(_) if self.arch == Arch::PowerPc && r.kind == elf::R_PPC_PLTREL24.0 => 0,
            Some(addend) => addend,
            None => patch.form.addend(bits),
        };
        let whole = target.wrapping_add_signed(addend);
        let global = self.global.unwrap_or(0);
        // The upper half of MIPS is only known by the lower one, which follows.
        let paged = patch.of == Of::Slot && local;
        if r.addend.is_none() && (patch.form == Form::High || paged) {
            let upper = if paged {
                (bits & 0xffff) << 16
            } else {
                addend as u64
            };
            if halves.uppers.len() < MAX_HALVES {
                halves.uppers.push(Half {
                    offset: r.offset,
                    symbol,
                    paged,
                    upper,
                });
            }
            return None;
        }
        if r.addend.is_none() && patch.form == Form::Low && patch.of == Of::Address {
            let mut uppers = std::mem::take(&mut halves.uppers);
            uppers.retain(|half| {
                if half.symbol == symbol {
                    let value = whole.wrapping_add(half.upper);
                    self.upper_half(at, half, value, layout);
                }
                half.symbol != symbol
            });
            halves.uppers = uppers;
        }
        let value = match patch.of {
            Of::Address => {
                self.address_fields.insert(field & !3);
                whole
            }
            Of::Distance => whole.wrapping_sub(field),
            Of::Global => whole.wrapping_sub(global),
            Of::SlotDistance => self.slot(symbol, target, layout).wrapping_sub(field),
            Of::Slot => self.slot(symbol, target, layout).wrapping_sub(global),
            Of::Lower => {
                halves.lowers.push((r.offset, target, patch.form));
                return None;
            }
            Of::Sum => bits.wrapping_add(whole),
            Of::Difference => bits.wrapping_sub(whole),
        };
        if matches!(patch.of, Of::Distance | Of::SlotDistance) && patch.form == Form::Upper {
            halves.distances.insert(field, value);
        }
        self.write(at, r.offset, width, patch.form.put(bits, value));
        Some(())
    }

    /// Writes the upper half of the address `value`, or the place of a slot that
    /// holds it.
    fn upper_half(&mut self, at: usize, half: &Half, value: u64, layout: &mut Layout) {
        let field = self.regions[at].start.wrapping_add(half.offset);
        let Some(bits) = self.number_at(field, 4) else {
            return;
        };
        let bits = bits as u64;
        let bits = if half.paged {
            let page = value.wrapping_add(0x8000) & 0xffff_0000;
            let slot = match layout.pages.get(&page) {
                Some(&slot) => slot,
                None => {
                    let slot = layout.reserve();
                    layout.pages.insert(page, slot);
                    self.pointers.push((slot, page));
                    slot
                }
            };
            Form::Low.put(bits, slot.wrapping_sub(self.global.unwrap_or(0)))
        } else {
            self.address_fields.insert(field);
            Form::High.put(bits, value)
        };
        self.write(at, half.offset, 4, bits);
    }

    // ---- symbols ---------------------------------------------------------

    fn read_symbols<S: Sym>(&mut self, symbols: &[S], names: Names<'d>, dynamic: bool) {
        for symbol in symbols {
            let home = symbol.st_shndx(S::Endian::default());
            if home == elf::SHN_UNDEF || home == elf::SHN_ABS {
                continue;
            }
            self.mark(symbol, wide(symbol.st_value(S::Endian::default())), names);
            if let Some(name) = names.symbol(symbol) {
                self.add_symbol(
                    symbol,
                    wide(symbol.st_value(S::Endian::default())),
                    name,
                    dynamic,
                );
            }
        }
    }

    /// Remembers what a symbol tells of the code's states.
    fn mark<S: Sym>(&mut self, symbol: &S, address: u64, names: Names<'d>) {
        if self.arch == Arch::Arm {
            if symbol.st_type() == elf::STT_NOTYPE {
                let name = names.get(symbol.st_name(S::Endian::default()));
                self.modes.mark(name, address);
            } else if symbol.st_type() == elf::STT_FUNC {
                self.modes.start(address);
            }
        }
    }

    fn add_symbol<S: Sym>(&mut self, symbol: &S, address: u64, name: String, dynamic: bool) {
        let size = wide(symbol.st_size(S::Endian::default()));
        let address = self.code_address(address);
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
            elf::STT_OBJECT if !self.is_compilers_own(&name) => self.objects.push(DataSymbol {
                address,
                size,
                name,
            }),
            _ => {}
        }
    }

    /// Whether a label is the compiler's, which says less than what is there.
    /// Assemblers of these processors keep them for the linker.
    fn is_compilers_own(&self, name: &str) -> bool {
        let kept = !matches!(
            self.arch,
            Arch::X86_64 | Arch::X86 | Arch::Aarch64 | Arch::Arm
        );
        kept && (name.starts_with(".L") || name.starts_with('$'))
    }
}

/// A string table, read with [`strings::terminated`] because `object` looks for
/// the end of a name as far as the table goes.
#[derive(Debug, Clone, Copy)]
struct Names<'d>(&'d [u8]);

impl<'d> Names<'d> {
    fn new<H: Header>(
        sections: &SectionTable<'d, H>,
        index: SectionIndex,
        bytes: &'d [u8],
    ) -> Self {
        let table = sections
            .section(index)
            .ok()
            .and_then(|s| s.data(H::ORDER, bytes).ok());
        Names(table.unwrap_or(&[]))
    }

    fn of_sections<H: Header>(header: &H, sections: &SectionTable<'d, H>, bytes: &'d [u8]) -> Self {
        let index = header.shstrndx(H::ORDER, bytes).unwrap_or(0);
        Names::new(sections, SectionIndex(index as usize), bytes)
    }

    fn of_symbols<H: Header>(
        sections: &SectionTable<'d, H>,
        symbols: &SymbolTable<'d, H>,
        bytes: &'d [u8],
    ) -> Self {
        Names::new(sections, symbols.string_section(), bytes)
    }

    fn get(self, offset: u32) -> &'d [u8] {
        strings::terminated(self.0, offset as usize)
    }

    fn symbol<S: Sym>(self, symbol: &S) -> Option<String> {
        strings::symbol_name(self.get(symbol.st_name(S::Endian::default())))
    }
}

/// `bytes` as a table.
fn items<T: object::pod::Pod>(bytes: &[u8]) -> &[T] {
    let items = object::pod::slice_from_bytes(bytes, bytes.len() / size_of::<T>());
    items.map_or(&[], |(items, _)| items)
}

/// The entries of the dynamic segment.
fn dynamic_table<'d, H: Header>(segments: &[Segment<H>], bytes: &'d [u8]) -> &'d [Dynamic<H>] {
    let table = segments
        .iter()
        .find_map(|s| s.dynamic(H::ORDER, bytes).ok().flatten());
    table.map_or(&[], |entries| &entries[..entries.len().min(MAX_DYNAMIC)])
}

/// The relocations of one section, with addends of their own or in the place
/// that they are for.
#[derive(Debug)]
enum Relocations<'d, H: Header> {
    Rel(&'d [H::Rel]),
    Rela(&'d [H::Rela]),
}

struct Relocation {
    offset: u64,
    symbol: Option<usize>,
    kind: u32,
    addend: Option<i64>,
}

impl<'d, H: Header> Relocations<'d, H> {
    fn of(
        section: &H::SectionHeader,
        bytes: &'d [u8],
        budget: &mut usize,
    ) -> Option<(Self, SectionIndex)> {
        if let Ok(Some((items, link))) = section.rela(H::ORDER, bytes) {
            return Some((Relocations::Rela(within(budget, items)), link));
        }
        let (items, link) = section.rel(H::ORDER, bytes).ok()??;
        Some((Relocations::Rel(within(budget, items)), link))
    }

    fn iter(&self) -> impl Iterator<Item = Relocation> {
        let (rel, rela) = match self {
            Relocations::Rel(items) => (*items, &[][..]),
            Relocations::Rela(items) => (&[][..], *items),
        };
        let without = rel.iter().map(|r| Relocation {
            offset: wide(r.r_offset(H::ORDER)),
            symbol: r.symbol(H::ORDER).map(|index| index.0),
            kind: r.r_type(H::ORDER).0,
            addend: None,
        });
        let with = rela.iter().map(|r| Relocation {
            offset: wide(r.r_offset(H::ORDER)),
            symbol: r.symbol(H::ORDER, false).map(|index| index.0),
            kind: r.r_type(H::ORDER, false).0,
            addend: Some(r.r_addend(H::ORDER).into()),
        });
        without.chain(with)
    }
}

fn fix(arch: Arch, kind: u32) -> Option<Fix> {
    let kind = elf::RelocationType(kind);
    Some(match arch {
        Arch::X86_64 => match kind {
            elf::R_X86_64_RELATIVE | elf::R_X86_64_IRELATIVE => Fix::Relative,
            elf::R_X86_64_GLOB_DAT | elf::R_X86_64_JUMP_SLOT => Fix::Slot,
            elf::R_X86_64_64 | elf::R_X86_64_32 | elf::R_X86_64_32S => Fix::Absolute,
            elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 | elf::R_X86_64_PC64 => Fix::Distance,
            elf::R_X86_64_GOTPCREL
            | elf::R_X86_64_GOTPCRELX
            | elf::R_X86_64_REX_GOTPCRELX
            | elf::R_X86_64_GOTTPOFF
            | elf::R_X86_64_TLSGD => Fix::GotDistance,
            _ => return None,
        },
        Arch::X86 => match kind {
            elf::R_386_RELATIVE | elf::R_386_IRELATIVE => Fix::Relative,
            elf::R_386_GLOB_DAT | elf::R_386_JMP_SLOT => Fix::Slot,
            elf::R_386_32 => Fix::Absolute,
            elf::R_386_PC32 | elf::R_386_PLT32 => Fix::Distance,
            elf::R_386_GOT32 | elf::R_386_GOT32X => Fix::GotOffset,
            elf::R_386_GOTPC => Fix::GotBase,
            elf::R_386_GOTOFF => Fix::FromGot,
            _ => return None,
        },
        Arch::Aarch64 => match kind {
            elf::R_AARCH64_RELATIVE | elf::R_AARCH64_IRELATIVE => Fix::Relative,
            elf::R_AARCH64_GLOB_DAT | elf::R_AARCH64_JUMP_SLOT => Fix::Slot,
            elf::R_AARCH64_ABS64 | elf::R_AARCH64_ABS32 => Fix::Absolute,
            elf::R_AARCH64_PREL32 | elf::R_AARCH64_PREL64 => Fix::Distance,
            elf::R_AARCH64_CALL26 | elf::R_AARCH64_JUMP26 => Fix::Words { low: 0, bits: 26 },
            elf::R_AARCH64_CONDBR19 | elf::R_AARCH64_LD_PREL_LO19 => {
                Fix::Words { low: 5, bits: 19 }
            }
            elf::R_AARCH64_TSTBR14 => Fix::Words { low: 5, bits: 14 },
            elf::R_AARCH64_ADR_PREL_PG_HI21 | elf::R_AARCH64_ADR_PREL_PG_HI21_NC => {
                Fix::Page { got: false }
            }
            elf::R_AARCH64_ADR_GOT_PAGE => Fix::Page { got: true },
            elf::R_AARCH64_ADD_ABS_LO12_NC | elf::R_AARCH64_LDST8_ABS_LO12_NC => Fix::low(0, false),
            elf::R_AARCH64_LDST16_ABS_LO12_NC => Fix::low(1, false),
            elf::R_AARCH64_LDST32_ABS_LO12_NC => Fix::low(2, false),
            elf::R_AARCH64_LDST64_ABS_LO12_NC => Fix::low(3, false),
            elf::R_AARCH64_LDST128_ABS_LO12_NC => Fix::low(4, false),
            elf::R_AARCH64_LD64_GOT_LO12_NC => Fix::low(3, true),
            _ => return None,
        },
        Arch::Arm => match kind {
            elf::R_ARM_RELATIVE | elf::R_ARM_IRELATIVE => Fix::Relative,
            elf::R_ARM_GLOB_DAT | elf::R_ARM_JUMP_SLOT => Fix::Slot,
            elf::R_ARM_ABS32 | elf::R_ARM_TARGET1 => Fix::Absolute,
            elf::R_ARM_REL32 => Fix::Distance,
            elf::R_ARM_GOT_PREL | elf::R_ARM_TARGET2 => Fix::GotDistance,
            elf::R_ARM_GOT32 => Fix::GotOffset,
            elf::R_ARM_GOTPC => Fix::GotBase,
            elf::R_ARM_GOTOFF => Fix::FromGot,
            kind => {
                let (form, distance) = arm::field(kind)?;
                Fix::Arm(form, distance)
            }
        },
        Arch::Riscv64 => match kind {
            elf::R_RISCV_RELATIVE | elf::R_RISCV_IRELATIVE => Fix::Relative,
            elf::R_RISCV_JUMP_SLOT => Fix::Slot,
            elf::R_RISCV_64 | elf::R_RISCV_32 => Fix::Absolute,
            _ => return None,
        },
        Arch::Mips | Arch::Mipsel => match kind {
            elf::R_MIPS_JUMP_SLOT => Fix::Slot,
            elf::R_MIPS_32 => Fix::Absolute,
            elf::R_MIPS_REL32 => Fix::RelativeOrSlot,
            _ => return None,
        },
        Arch::PowerPc => match kind {
            elf::R_PPC_RELATIVE | elf::R_PPC_IRELATIVE => Fix::Relative,
            elf::R_PPC_GLOB_DAT | elf::R_PPC_JMP_SLOT => Fix::Slot,
            elf::R_PPC_ADDR32 => Fix::Absolute,
            elf::R_PPC_REL32 => Fix::Distance,
            _ => return None,
        },
        Arch::PowerPc64 | Arch::PowerPc64Le => match kind {
            elf::R_PPC64_RELATIVE | elf::R_PPC64_IRELATIVE => Fix::Relative,
            elf::R_PPC64_GLOB_DAT | elf::R_PPC64_JMP_SLOT => Fix::Slot,
            elf::R_PPC64_ADDR64 | elf::R_PPC64_ADDR32 => Fix::Absolute,
            elf::R_PPC64_REL32 | elf::R_PPC64_REL64 => Fix::Distance,
            _ => return None,
        },
    })
}

/// Bytes of the field that a relocation is for.
fn width(arch: Arch, kind: u32) -> usize {
    match (arch, elf::RelocationType(kind)) {
        (Arch::X86_64, elf::R_X86_64_64 | elf::R_X86_64_PC64) => 8,
        (Arch::Aarch64, elf::R_AARCH64_ABS64 | elf::R_AARCH64_PREL64) => 8,
        (Arch::Riscv64, elf::R_RISCV_64) => 8,
        (Arch::PowerPc64 | Arch::PowerPc64Le, elf::R_PPC64_ADDR64 | elf::R_PPC64_REL64) => 8,
        _ => 4,
    }
}

/// Halves of addresses that wait for the other half, in one section.
#[derive(Debug, Default)]
struct Halves {
    uppers: Vec<Half>,
    /// RISC-V: distances by the address of their upper half.
    distances: HashMap<u64, u64>,
    /// RISC-V: where the lower half goes, and the address of the upper one.
    lowers: Vec<(u64, u64, Form)>,
}

#[derive(Debug)]
struct Half {
    offset: u64,
    symbol: usize,
    /// The address is in a slot of the GOT.
    paged: bool,
    upper: u64,
}

impl Halves {
    fn finish(self, image: &mut Image<'_>, at: usize) {
        for (offset, upper, form) in self.lowers {
            let field = image.regions[at].start.wrapping_add(offset);
            if let (Some(bits), Some(&value)) =
                (image.number_at(field, 4), self.distances.get(&upper))
            {
                image.write(at, offset, 4, form.put(bits as u64, value));
            }
        }
    }
}

/// Addresses given out while a relocatable file is laid out.
#[derive(Debug, Default)]
struct Layout {
    bases: Vec<Option<u64>>,
    symbols: Vec<Place>,
    /// GOT slots by symbol index.
    slots: HashMap<usize, u64>,
    /// GOT slots of MIPS that hold the upper half of an address, by that.
    pages: HashMap<u64, u64>,
    next: u64,
}

#[derive(Debug)]
struct Place {
    address: Option<u64>,
    name: Option<String>,
    local: bool,
}

impl Layout {
    fn reserve(&mut self) -> u64 {
        let address = self.next;
        self.next += 8;
        address
    }
}

fn table_end(offset: impl Into<u64>, count: u16, entry: usize) -> u64 {
    wide(offset).saturating_add(u64::from(count) * entry as u64)
}

/// A segment that reaches beyond the file means that the file was cut: the
/// loader would refuse it too.
fn check_segments<H: Header>(segments: &[Segment<H>], bytes: &[u8]) -> Result<(), Error> {
    for segment in segments
        .iter()
        .filter(|s| s.p_type(H::ORDER) == elf::PT_LOAD)
    {
        let needed =
            wide(segment.p_offset(H::ORDER)).saturating_add(wide(segment.p_filesz(H::ORDER)));
        if needed > bytes.len() as u64 {
            let available = bytes.len() as u64;
            return Err(Error::Truncated {
                format: Format::Elf,
                what: "a segment",
                needed,
                available,
            });
        }
        if wide(segment.p_vaddr(H::ORDER))
            .checked_add(wide(segment.p_memsz(H::ORDER)))
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

fn check_header(bytes: &[u8]) -> Result<Arch, Error> {
    let available = bytes.len() as u64;
    let cut = |needed| Error::Truncated {
        format: Format::Elf,
        what: "the file header",
        needed,
        available,
    };
    let Some(identity) = bytes.get(..20) else {
        return Err(cut(64));
    };
    let little = identity[5] == 1;
    let machine = if little {
        u16::from_le_bytes([identity[18], identity[19]])
    } else {
        u16::from_be_bytes([identity[18], identity[19]])
    };
    let class = identity[4];
    let known = match (machine, little, class) {
        (62, true, 2) => Some(Arch::X86_64),
        (3, true, 1) => Some(Arch::X86),
        (183, true, 2) => Some(Arch::Aarch64),
        (40, true, 1) => Some(Arch::Arm),
        (243, true, 2) => Some(Arch::Riscv64),
        (8, true, 1) => Some(Arch::Mipsel),
        (8, false, 1) => Some(Arch::Mips),
        (20, false, 1) => Some(Arch::PowerPc),
        (21, true, 2) => Some(Arch::PowerPc64Le),
        (21, false, 2) => Some(Arch::PowerPc64),
        _ => None,
    };
    if let Some(arch) = known {
        let needed = if class == 2 { 64 } else { 52 };
        return match available >= needed {
            true => Ok(arch),
            false => Err(cut(needed)),
        };
    }
    let architecture = match machine {
        62 => "x86-64 with 32-bit pointers (x32)".into(),
        3 => "x86 in the other byte order".into(),
        183 => "AArch64 in the other byte order, or with 32-bit pointers".into(),
        40 => "32-bit ARM in the other byte order".into(),
        243 => "RISC-V of 32 bits".into(),
        8 => "64-bit MIPS".into(),
        20 => "PowerPC in the other byte order".into(),
        21 => "64-bit PowerPC".into(),
        22 => "S/390".into(),
        43 => "SPARC".into(),
        247 => "BPF".into(),
        258 => "LoongArch".into(),
        other => format!("an unknown processor (machine {other})"),
    };
    Err(Error::UnsupportedArchitecture {
        format: Format::Elf,
        architecture,
    })
}
