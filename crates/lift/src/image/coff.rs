//! COFF object files for x86 and AArch64, and what PE files have in common with them:
//! section headers, symbols and names.

use std::borrow::Cow;

use object::LittleEndian as LE;
use object::pe::{
    self, AnonObjectHeader, AnonObjectHeaderBigobj, ImageFileHeader, ImageRelocation,
    ImageSectionHeader, ImageSymbol, ImageSymbolEx, ImportObjectHeader, Machine, RelocationType,
    SectionFlags,
};
use object::pod::Pod;
use object::read::ReadRef;

use super::fix::Fix;
use super::{DataSymbol, FunctionSymbol, Image, Import, MAX_LAYOUT, Region, within};
use crate::program::{Arch, BinaryKind, Format};
use crate::{Error, strings};

const IMPORT: &str = "an entry of an import library";

/// The start of an object file, in either of its two forms.
#[derive(Debug)]
struct Header<'d> {
    machine: Machine,
    sections: &'d [ImageSectionHeader],
    symbols: Symbols<'d>,
}

/// Whether `bytes` are an object file. The format has no magic number, so all
/// of its header must make sense.
pub(super) fn is_object(bytes: &[u8]) -> bool {
    header(bytes).is_some() || special(bytes).is_some()
}

/// Reads an object file.
pub(super) fn parse<'d>(bytes: &'d [u8]) -> Result<Image<'d>, Error> {
    if let Some(kind) = special(bytes) {
        return Err(Error::UnsupportedKind {
            format: Format::Coff,
            kind: kind.into(),
        });
    }
    let header = header(bytes).ok_or(Error::Malformed {
        format: Format::Coff,
        what: "its header makes no sense",
    })?;
    let mut image = Image {
        format: Format::Coff,
        arch: check_machine(Format::Coff, header.machine)?,
        kind: BinaryKind::Relocatable,
        stripped: header.symbols.len() == 0,
        ..Image::default()
    };
    image.load_object(&header, bytes)?;
    Ok(image)
}

/// Whether `bytes` are an entry of an import library: the name of a function and
/// of the library that has it.
pub(crate) fn is_import(bytes: &[u8]) -> bool {
    special(bytes) == Some(IMPORT)
}

/// Files that begin like a large object file but hold no machine code.
fn special(bytes: &[u8]) -> Option<&'static str> {
    let start: &ImportObjectHeader = bytes.read_at(0).ok()?;
    let anonymous = start.sig1.get(LE) == pe::IMAGE_FILE_MACHINE_UNKNOWN
        && start.sig2.get(LE) == 0xffff
        && is_known(start.machine.get(LE));
    match start.version.get(LE) {
        _ if !anonymous => None,
        0 => Some(IMPORT),
        _ => {
            let start: &AnonObjectHeader = bytes.read_at(0).ok()?;
            let big = start.class_id.0 == pe::ANON_OBJECT_HEADER_BIGOBJ_CLASS_ID.0;
            (!big).then_some("intermediate code for a linker")
        }
    }
}

fn header(bytes: &[u8]) -> Option<Header<'_>> {
    let file: &ImageFileHeader = bytes.read_at(0).ok()?;
    let start = size_of::<ImageFileHeader>();
    let machine = file.machine.get(LE);
    if machine != pe::IMAGE_FILE_MACHINE_UNKNOWN {
        let flags = file.characteristics.get(LE);
        let linked = flags.contains(pe::IMAGE_FILE_EXECUTABLE_IMAGE);
        if !is_known(machine) || linked || file.size_of_optional_header.get(LE) != 0 {
            return None;
        }
        let count = file.number_of_sections.get(LE).into();
        return Some(Header {
            machine,
            sections: table(bytes, start, count).filter(|s| !s.is_empty())?,
            symbols: Symbols::of_file(bytes, file)?,
        });
    }
    let big: &AnonObjectHeaderBigobj = bytes.read_at(0).ok()?;
    if big.sig2.get(LE) != 0xffff
        || big.version.get(LE) < 2
        || big.class_id.0 != pe::ANON_OBJECT_HEADER_BIGOBJ_CLASS_ID.0
    {
        return None;
    }
    let start = size_of::<AnonObjectHeaderBigobj>();
    let sections = big.number_of_sections.get(LE) as usize;
    Some(Header {
        machine: big.machine.get(LE),
        sections: table(bytes, start, sections)?,
        symbols: Symbols::new(
            bytes,
            big.pointer_to_symbol_table.get(LE),
            big.number_of_symbols.get(LE),
            true,
        )?,
    })
}

/// The processor, or a refusal of one that is not read.
pub(super) fn check_machine(format: Format, machine: Machine) -> Result<Arch, Error> {
    if let Some(arch) = arch(machine) {
        return Ok(arch);
    }
    let architecture = match machine_name(machine) {
        Some(name) => name.into(),
        None => format!("an unknown processor (machine {:#x})", machine.0),
    };
    Err(Error::UnsupportedArchitecture {
        format,
        architecture,
    })
}

fn arch(machine: Machine) -> Option<Arch> {
    Some(match machine {
        pe::IMAGE_FILE_MACHINE_AMD64 => Arch::X86_64,
        pe::IMAGE_FILE_MACHINE_I386 => Arch::X86,
        pe::IMAGE_FILE_MACHINE_ARM64 => Arch::Aarch64,
        _ => return None,
    })
}

fn is_known(machine: Machine) -> bool {
    arch(machine).is_some() || machine_name(machine).is_some()
}

fn machine_name(machine: Machine) -> Option<&'static str> {
    Some(match machine {
        pe::IMAGE_FILE_MACHINE_ARM64EC | pe::IMAGE_FILE_MACHINE_ARM64X => {
            "AArch64 beside x86-64 (ARM64EC)"
        }
        pe::IMAGE_FILE_MACHINE_ARM
        | pe::IMAGE_FILE_MACHINE_THUMB
        | pe::IMAGE_FILE_MACHINE_ARMNT => "32-bit ARM",
        pe::IMAGE_FILE_MACHINE_IA64 => "Itanium",
        pe::IMAGE_FILE_MACHINE_EBC => "EFI byte code",
        pe::IMAGE_FILE_MACHINE_RISCV64 => "RISC-V",
        _ => return None,
    })
}

/// `count` items at `offset`, if the file holds all of them.
pub(super) fn table<T: Pod>(bytes: &[u8], offset: usize, count: usize) -> Option<&[T]> {
    let rest = bytes.get(offset..)?;
    object::pod::slice_from_bytes(rest, count)
        .ok()
        .map(|(items, _)| items)
}

// ---- symbols -----------------------------------------------------------------

/// A symbol table and its names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbols<'d> {
    table: Table<'d>,
    /// Offsets of names count from the size that stands before them.
    names: &'d [u8],
}

#[derive(Debug, Clone, Copy)]
enum Table<'d> {
    Small(&'d [ImageSymbol]),
    Big(&'d [ImageSymbolEx]),
}

/// One symbol, whatever the form of its table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    short: [u8; 8],
    pub(super) value: u32,
    /// Section number from 1; 0 is undefined, and less is no place at all.
    section: i32,
    function: bool,
    class: pe::SymbolClass,
    auxiliary: u8,
}

impl<'d> Symbols<'d> {
    pub(super) fn none() -> Self {
        Symbols {
            table: Table::Small(&[]),
            names: &[],
        }
    }

    pub(super) fn of_file(bytes: &'d [u8], file: &ImageFileHeader) -> Option<Self> {
        Symbols::new(
            bytes,
            file.pointer_to_symbol_table.get(LE),
            file.number_of_symbols.get(LE),
            false,
        )
    }

    /// The table, if it lies in the file.
    fn new(bytes: &'d [u8], offset: u32, count: u32, big: bool) -> Option<Self> {
        let (offset, count) = (offset as usize, count as usize);
        if offset == 0 {
            return Some(Symbols::none());
        }
        let (table, size) = if big {
            (Table::Big(table(bytes, offset, count)?), 20)
        } else {
            (Table::Small(table(bytes, offset, count)?), 18)
        };
        Some(Symbols {
            table,
            names: bytes.get(offset + count * size..).unwrap_or(&[]),
        })
    }

    pub(super) fn len(&self) -> usize {
        match self.table {
            Table::Small(table) => table.len(),
            Table::Big(table) => table.len(),
        }
    }

    fn get(&self, index: usize) -> Option<Symbol> {
        Some(match self.table {
            Table::Small(table) => {
                let s = table.get(index)?;
                let number = s.section_number.get(LE);
                Symbol {
                    short: s.name,
                    value: s.value.get(LE),
                    section: if number > pe::IMAGE_SYM_SECTION_MAX {
                        i32::from(number as i16)
                    } else {
                        i32::from(number)
                    },
                    function: s.typ.get(LE).derived_type() == pe::IMAGE_SYM_DTYPE_FUNCTION,
                    class: s.storage_class,
                    auxiliary: s.number_of_aux_symbols,
                }
            }
            Table::Big(table) => {
                let s = table.get(index)?;
                Symbol {
                    short: s.name,
                    value: s.value.get(LE),
                    section: s.section_number.get(LE).0,
                    function: s.typ.get(LE).derived_type() == pe::IMAGE_SYM_DTYPE_FUNCTION,
                    class: s.storage_class,
                    auxiliary: s.number_of_aux_symbols,
                }
            }
        })
    }

    /// The symbols with their index. What follows some of them is about them,
    /// and no symbol.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, Symbol)> {
        let symbols = *self;
        let mut next = 0usize;
        std::iter::from_fn(move || {
            let index = next;
            let symbol = symbols.get(index)?;
            next += 1 + usize::from(symbol.auxiliary);
            Some((index, symbol))
        })
    }

    /// The symbol that stands in for a weak one that nobody defines.
    fn fallback(&self, index: usize, symbol: &Symbol) -> Option<usize> {
        if symbol.class != pe::IMAGE_SYM_CLASS_WEAK_EXTERNAL || symbol.auxiliary == 0 {
            return None;
        }
        // The number of that symbol comes first, where a symbol has its name.
        let about = self.get(index + 1)?.short;
        Some(u32::from_le_bytes([about[0], about[1], about[2], about[3]]) as usize)
    }

    fn raw_name(&self, short: &[u8; 8]) -> Vec<u8> {
        let name = match short {
            [0, 0, 0, 0, offset @ ..] => self.long(u32::from_le_bytes(*offset)),
            _ => strings::terminated(short, 0),
        };
        name.to_vec()
    }

    fn long(&self, offset: u32) -> &'d [u8] {
        strings::terminated(self.names, offset as usize)
    }

    fn name(&self, symbol: &Symbol) -> Option<String> {
        strings::plain_name(&self.raw_name(&symbol.short))
    }

    /// Whether a section is one of unwind entries. Those of single functions
    /// are called `.pdata$name`, which needs more than the 8 bytes that a
    /// section header has for names: `/` and an offset are there instead.
    fn is_exception_table(&self, section: &ImageSectionHeader) -> bool {
        let short = strings::terminated(&section.name, 0);
        let offset = match short {
            [b'/', digits @ ..] => std::str::from_utf8(digits).ok(),
            _ => None,
        };
        let long = offset
            .and_then(|digits| digits.parse().ok())
            .map(|o| self.long(o));
        long.unwrap_or(short).starts_with(b".pdata")
    }
}

impl Symbol {
    fn external(&self) -> bool {
        matches!(
            self.class,
            pe::IMAGE_SYM_CLASS_EXTERNAL
                | pe::IMAGE_SYM_CLASS_EXTERNAL_DEF
                | pe::IMAGE_SYM_CLASS_WEAK_EXTERNAL
        )
    }

    /// Index of the section that it is in.
    pub(super) fn home(&self) -> Option<usize> {
        usize::try_from(self.section).ok()?.checked_sub(1)
    }

    /// A name of a section or of a file, or a mark for the debugger.
    fn bookkeeping(&self) -> bool {
        let section =
            self.class == pe::IMAGE_SYM_CLASS_STATIC && self.auxiliary > 0 && !self.function;
        section || !(self.external() || self.class == pe::IMAGE_SYM_CLASS_STATIC)
    }
}

impl<'d> Image<'d> {
    /// Takes in a symbol that has an address.
    pub(super) fn add_coff_symbol(&mut self, symbols: &Symbols<'d>, symbol: &Symbol, address: u64) {
        if symbol.bookkeeping() || self.imports.contains_key(&address) {
            return;
        }
        let Some(name) = symbols.name(symbol) else {
            return;
        };
        if self.code_region(address).is_some() {
            // Assemblers leave the type out; local names without it are labels.
            if symbol.function || symbol.external() {
                self.functions.push(FunctionSymbol {
                    address,
                    size: 0,
                    name,
                    global: symbol.external(),
                    dynamic: false,
                });
            }
        } else if self.region(address).is_some() && !name.starts_with("??_C@") {
            // String literals have names too, which a linked program has lost;
            // the text tells more.
            self.objects.push(DataSymbol {
                address,
                size: 0,
                name,
            });
        }
    }

    // ---- object files ----------------------------------------------------

    fn load_object(&mut self, header: &Header<'d>, bytes: &'d [u8]) -> Result<(), Error> {
        let mut bases = vec![None; header.sections.len()];
        let mut tables = Vec::new();
        let mut next = 0u64;
        for (index, section) in header.sections.iter().enumerate() {
            let flags = section.characteristics.get(LE);
            let loaded = pe::IMAGE_SCN_CNT_CODE.0
                | pe::IMAGE_SCN_CNT_INITIALIZED_DATA.0
                | pe::IMAGE_SCN_CNT_UNINITIALIZED_DATA.0;
            let dropped = pe::IMAGE_SCN_LNK_REMOVE.0
                | pe::IMAGE_SCN_LNK_INFO.0
                | pe::IMAGE_SCN_MEM_DISCARDABLE.0;
            if flags.0 & loaded == 0 || flags.0 & dropped != 0 {
                continue;
            }
            let size = section.size_of_raw_data.get(LE);
            let offset = section.pointer_to_raw_data.get(LE);
            let data = if flags.contains(pe::IMAGE_SCN_CNT_UNINITIALIZED_DATA) || offset == 0 {
                &[][..]
            } else {
                let cut = || Error::Truncated {
                    format: Format::Coff,
                    what: "a section",
                    needed: u64::from(offset) + u64::from(size),
                    available: bytes.len() as u64,
                };
                let rest = bytes.get(offset as usize..).ok_or_else(cut)?;
                rest.get(..size as usize).ok_or_else(cut)?
            };
            let start = next.next_multiple_of(alignment(flags));
            let Some(end) = start
                .checked_add(size.into())
                .filter(|&end| end <= MAX_LAYOUT)
            else {
                self.note(format!(
                    "section {} is too large and was left out",
                    index + 1
                ));
                continue;
            };
            next = end;
            bases[index] = Some(start);
            if header.symbols.is_exception_table(section) {
                tables.push((start, end));
            }
            self.add_region(Region {
                start,
                end,
                data: Cow::Borrowed(data),
                executable: flags.contains(pe::IMAGE_SCN_MEM_EXECUTE)
                    || flags.contains(pe::IMAGE_SCN_CNT_CODE),
                writable: flags.contains(pe::IMAGE_SCN_MEM_WRITE),
                plt: false,
                section: index as u32 + 1,
            });
        }
        self.settle_regions(bytes.len() as u64);
        let places = self.place_symbols(&header.symbols, &bases, next.next_multiple_of(4096));
        let mut budget = bytes.len() / size_of::<ImageRelocation>();
        for (section, base) in header.sections.iter().zip(&bases) {
            if let Some(at) = base.and_then(|base| self.region_index(base)) {
                let relocations = within(&mut budget, relocations(section, bytes));
                let first = section.virtual_address.get(LE);
                self.relocate(at, relocations, first, &places);
            }
        }
        self.pointers.sort_unstable();
        self.pointers.dedup_by_key(|p| p.0);
        // Only now do the tables hold addresses.
        let entries: Vec<u8> = tables
            .iter()
            .flat_map(|&(start, end)| self.bytes_in(start, end))
            .copied()
            .collect();
        self.read_exception_table(&entries);
        self.settle_objects();
        Ok(())
    }

    /// The address of each symbol by its index. Symbols of other files get
    /// addresses from `next` on.
    fn place_symbols(
        &mut self,
        symbols: &Symbols<'d>,
        bases: &[Option<u64>],
        mut next: u64,
    ) -> Vec<Option<u64>> {
        let mut places = vec![None; symbols.len()];
        for (index, symbol) in symbols.iter() {
            if let Some(home) = symbol.home() {
                let base = bases.get(home).copied().flatten();
                let address = base.map(|base| base + u64::from(symbol.value));
                places[index] = address;
                if let Some(address) = address {
                    self.add_coff_symbol(symbols, &symbol, address);
                }
            }
        }
        for (index, symbol) in symbols.iter() {
            if symbol.section != 0 || !symbol.external() {
                continue;
            }
            let fallback = symbols.fallback(index, &symbol);
            if let Some(address) = fallback.and_then(|at| places.get(at).copied().flatten()) {
                places[index] = Some(address);
                self.add_coff_symbol(symbols, &symbol, address);
                continue;
            }
            let Some(name) = symbols.name(&symbol) else {
                continue;
            };
            let address = next;
            next += 8;
            places[index] = Some(address);
            if let Some(function) = name.strip_prefix("__imp_").filter(|f| !f.is_empty()) {
                let function = match self.arch {
                    Arch::X86 => undecorated(function),
                    _ => function,
                };
                self.slots.insert(address, function.into());
            } else if symbol.value > 0 {
                // Its value is the size of what the linker makes room for.
                self.objects.push(DataSymbol {
                    address,
                    size: symbol.value.into(),
                    name,
                });
            } else {
                self.imports.insert(address, Import { name, stub: false });
            }
        }
        places
    }

    /// Applies the relocations of one section to a copy of it.
    fn relocate(
        &mut self,
        at: usize,
        relocations: &[ImageRelocation],
        first: u32,
        places: &[Option<u64>],
    ) {
        let (arch, region) = (self.arch, &mut self.regions[at]);
        let (start, in_code) = (region.start, region.executable);
        for r in relocations {
            let index = r.symbol_table_index.get(LE) as usize;
            let Some(target) = places.get(index).copied().flatten() else {
                continue;
            };
            let Some(Field { width, value }) = field(arch, r.typ.get(LE)) else {
                continue;
            };
            let offset = r.virtual_address.get(LE).wrapping_sub(first) as usize;
            let Some(end) = offset
                .checked_add(width)
                .filter(|&end| end <= region.data.len())
            else {
                continue;
            };
            let field = start + offset as u64;
            let mut held = [0; 8];
            held[..width].copy_from_slice(&region.data[offset..end]);
            let held = u64::from_le_bytes(held);
            let addend = if width == 8 {
                held as i64
            } else {
                i64::from(held as i32)
            };
            let place = target.wrapping_add_signed(addend);
            let value = match value {
                Value::Address => {
                    if in_code {
                        self.address_fields.insert(field);
                    } else if width as u64 == arch.pointer_size() {
                        self.pointers.push((field, place));
                    }
                    place
                }
                // Addresses count from 0 here, as from the base of an image.
                Value::Relative => place,
                Value::Distance(behind) => place.wrapping_sub(field).wrapping_sub(behind),
                Value::Instruction(fix) => {
                    let word = held as u32;
                    let fix = fix.unwrap_or_else(|| Fix::low(access_size(word), false));
                    let place = target.wrapping_add_signed(fix.addend(word));
                    match fix.instruction(word, place, field) {
                        Some(word) => word.into(),
                        None => continue,
                    }
                }
            };
            region.data.to_mut()[offset..end].copy_from_slice(&value.to_le_bytes()[..width]);
        }
    }
}

/// What a relocation is for.
#[derive(Debug, Clone, Copy)]
struct Field {
    /// Its bytes.
    width: usize,
    value: Value,
}

/// What a relocation puts into its field.
#[derive(Debug, Clone, Copy)]
enum Value {
    Address,
    /// An address that counts from the base of the image.
    Relative,
    /// How far the symbol is from so many bytes behind the start of the field.
    Distance(u64),
    /// Some bits of an instruction. Which they are, a load or a store tells
    /// itself.
    Instruction(Option<Fix>),
}

fn field(arch: Arch, kind: RelocationType) -> Option<Field> {
    let value = match arch {
        Arch::X86_64 => match kind {
            pe::IMAGE_REL_AMD64_ADDR64 | pe::IMAGE_REL_AMD64_ADDR32 => Value::Address,
            pe::IMAGE_REL_AMD64_ADDR32NB => Value::Relative,
            // The number says how far the instruction goes on behind the field.
            _ => {
                let last = pe::IMAGE_REL_AMD64_REL32_5.0;
                let relative = (pe::IMAGE_REL_AMD64_REL32.0..=last).contains(&kind.0);
                Value::Distance(relative.then(|| u64::from(kind.0))?)
            }
        },
        Arch::X86 => match kind {
            pe::IMAGE_REL_I386_DIR32 => Value::Address,
            pe::IMAGE_REL_I386_DIR32NB => Value::Relative,
            pe::IMAGE_REL_I386_REL32 => Value::Distance(4),
            _ => return None,
        },
        Arch::Aarch64 => match kind {
            pe::IMAGE_REL_ARM64_ADDR64 | pe::IMAGE_REL_ARM64_ADDR32 => Value::Address,
            pe::IMAGE_REL_ARM64_ADDR32NB => Value::Relative,
            pe::IMAGE_REL_ARM64_REL32 => Value::Distance(4),
            pe::IMAGE_REL_ARM64_PAGEOFFSET_12L => Value::Instruction(None),
            _ => Value::Instruction(Some(match kind {
                pe::IMAGE_REL_ARM64_BRANCH26 => Fix::Words { low: 0, bits: 26 },
                pe::IMAGE_REL_ARM64_BRANCH19 => Fix::Words { low: 5, bits: 19 },
                pe::IMAGE_REL_ARM64_BRANCH14 => Fix::Words { low: 5, bits: 14 },
                pe::IMAGE_REL_ARM64_REL21 => Fix::Near,
                pe::IMAGE_REL_ARM64_PAGEBASE_REL21 => Fix::Page { got: false },
                pe::IMAGE_REL_ARM64_PAGEOFFSET_12A => Fix::low(0, false),
                _ => return None,
            })),
        },
        _ => return None,
    };
    let wide = match arch {
        Arch::X86_64 => kind == pe::IMAGE_REL_AMD64_ADDR64,
        Arch::Aarch64 => kind == pe::IMAGE_REL_ARM64_ADDR64,
        _ => false,
    };
    let width = if wide { 8 } else { 4 };
    Some(Field { width, value })
}

/// The number of bits that the offset of an AArch64 load or store leaves out.
fn access_size(word: u32) -> u32 {
    let vector = word & 0x0480_0000 == 0x0480_0000;
    (word >> 30) + if vector { 4 } else { 0 }
}

/// What a name of 32-bit code stands for: `_WinMain@16` is `WinMain`.
fn undecorated(name: &str) -> &str {
    let Some(plain) = name.strip_prefix(['_', '@']) else {
        return name;
    };
    match plain.rsplit_once('@') {
        Some((plain, digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => plain,
        _ => plain,
    }
}

fn alignment(flags: SectionFlags) -> u64 {
    // The number of the bit plus one; 0 stands for 16 bytes.
    match flags.align().0 >> 20 {
        0 => 16,
        bit => 1u64 << (bit - 1).clamp(4, 12),
    }
}

fn relocations<'d>(section: &ImageSectionHeader, bytes: &'d [u8]) -> &'d [ImageRelocation] {
    let offset = section.pointer_to_relocations.get(LE) as usize;
    let count = usize::from(section.number_of_relocations.get(LE));
    let flags = section.characteristics.get(LE);
    let overflow = flags.contains(pe::IMAGE_SCN_LNK_NRELOC_OVFL) && count == 0xffff;
    if offset == 0 {
        return &[];
    }
    if !overflow {
        return table(bytes, offset, count).unwrap_or(&[]);
    }
    // The first of them counts them all, itself too.
    let first = table::<ImageRelocation>(bytes, offset, 1).and_then(|t| t.first());
    let count = first.map_or(0, |f| f.virtual_address.get(LE) as usize);
    table(bytes, offset, count).map_or(&[], |all| all.get(1..).unwrap_or(&[]))
}
