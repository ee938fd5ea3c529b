//! PE for x86, 64 and 32 bits, and AArch64: Windows programs, libraries and
//! drivers.

use std::borrow::Cow;
use std::mem::offset_of;

use object::LittleEndian as LE;
use object::pe::{
    self, ImageArm64RuntimeFunctionEntry, ImageBaseRelocation, ImageDataDirectory,
    ImageDebugDirectory, ImageDelayloadDescriptor, ImageExportDirectory, ImageFileHeader,
    ImageImportDescriptor, ImageLoadConfigDirectory32, ImageLoadConfigDirectory64,
    ImageNtHeaders32, ImageNtHeaders64, ImageRuntimeFunctionEntry, ImageSectionHeader,
};
use object::pod::Pod;
use object::read::ReadRef;
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, ImageThunkData};

use super::coff::{Symbols, check_machine, table};
use super::pdb::Build;
use super::{DataSymbol, FunctionSymbol, Image, Import, KnownFunction, Region};
use crate::program::{Arch, BinaryKind, Format, Source};
use crate::risc::{Op, aarch64};
use crate::{Error, strings};

/// Steps from a part of a function to the function; real ones take a few.
const MAX_CHAIN: usize = 8;
/// From this alignment of sections on, the loader maps each by itself.
const PAGE: u32 = 4096;

/// Unwind information that continues that of another range.
const CHAINED: u8 = 4;
/// Unwind information that names a handler, of exceptions or of their end.
const HANDLER: u8 = 3;
/// AArch64: the unwind code that stands before those of a prologue which
/// another part of the function has run.
const END_C: u8 = 0xe5;

/// Reads a file that begins with `MZ`.
pub(super) fn parse<'d>(bytes: &'d [u8]) -> Result<Image<'d>, Error> {
    let available = bytes.len() as u64;
    let cut = |what, needed| Error::Truncated {
        format: Format::Pe,
        what,
        needed,
        available,
    };
    let start = find_header(bytes)?;
    let header = start + size_of::<u32>();
    let header: &ImageFileHeader = bytes.read_at(header as u64).map_err(|()| {
        cut(
            "the file header",
            (header + size_of::<ImageFileHeader>()) as u64,
        )
    })?;
    let arch = check_machine(Format::Pe, header.machine.get(LE))?;
    match arch.bits() {
        32 => read::<ImageNtHeaders32>(bytes, start, arch),
        _ => read::<ImageNtHeaders64>(bytes, start, arch),
    }
}

/// Reads a file of one width, whose headers begin at `start`.
fn read<'d, H: ImageNtHeaders>(
    bytes: &'d [u8],
    start: usize,
    arch: Arch,
) -> Result<Image<'d>, Error> {
    let cut = |what, needed| Error::Truncated {
        format: Format::Pe,
        what,
        needed: needed as u64,
        available: bytes.len() as u64,
    };
    let malformed = |what| Error::Malformed {
        format: Format::Pe,
        what,
    };
    let end = start + size_of::<H>();
    let headers: &H = bytes
        .read_at(start as u64)
        .map_err(|()| cut("the optional header", end))?;
    let (header, optional) = (headers.file_header(), headers.optional_header());
    let size = usize::from(header.size_of_optional_header.get(LE));
    let room = size.checked_sub(size_of::<H::ImageOptionalHeader>());
    let Some(room) = room.filter(|_| headers.is_valid_optional_magic()) else {
        return Err(malformed(match arch.bits() {
            32 => "its optional header is not that of a 32-bit program",
            _ => "its optional header is not that of a 64-bit program",
        }));
    };
    let base = optional.image_base();
    // Addresses are the base and two numbers of 32 bits at most.
    if base > u64::MAX >> 1 {
        return Err(malformed("its base is no address"));
    }
    let count = usize::from(header.number_of_sections.get(LE));
    let sections: &[ImageSectionHeader] = table(bytes, end + room, count).ok_or_else(|| {
        let end = end + room + count * size_of::<ImageSectionHeader>();
        cut("the table of sections", end)
    })?;
    check_sections(sections, bytes)?;
    let room = room / size_of::<ImageDataDirectory>();
    let directories = (optional.number_of_rva_and_sizes() as usize).min(room);
    let flags = header.characteristics.get(LE);
    let library = flags.contains(pe::IMAGE_FILE_DLL);
    let entry = optional.address_of_entry_point();
    let mut image = Image {
        format: Format::Pe,
        arch,
        kind: if library {
            BinaryKind::SharedObject
        } else {
            BinaryKind::Executable
        },
        base,
        entry: (entry != 0).then(|| base + u64::from(entry)),
        absolute: flags.contains(pe::IMAGE_FILE_RELOCS_STRIPPED),
        ..Image::default()
    };
    image.map_sections(sections, optional.section_alignment(), bytes);
    let symbols = Symbols::of_file(bytes, header).unwrap_or_else(|| {
        image.note("the symbol table lies outside the file and was ignored".into());
        Symbols::none()
    });
    image.stripped = symbols.len() == 0;
    let mut tables = Tables {
        image: &mut image,
        directories: table(bytes, end, directories).unwrap_or(&[]),
        names: bytes.len(),
        slots: bytes.len() / 8,
    };
    tables.imports::<H>();
    tables.delayed_imports::<H>();
    tables.relocations();
    // Code of 32 bits has its addresses in it: what lists none cannot be moved.
    if arch == Arch::X86 && tables.image.address_fields.is_empty() {
        tables.image.absolute = true;
    }
    let exceptions = tables.directory(pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION);
    let exceptions = exceptions.map_or(&[][..], |(start, size)| tables.image.mapped(start, size));
    tables.image.read_exception_table(exceptions);
    tables.image.read_import_stubs();
    tables.exports();
    tables.thread_callbacks();
    tables.load_configuration();
    tables.debug_entries(bytes);
    if tables
        .directory(pe::IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR)
        .is_some()
    {
        image.note("this is a .NET program: its managed code is not read".into());
    }
    for (_, symbol) in symbols.iter() {
        let home = symbol.home().and_then(|home| sections.get(home));
        if let Some(home) = home {
            let offset = u64::from(home.virtual_address.get(LE)) + u64::from(symbol.value);
            image.add_coff_symbol(&symbols, &symbol, base + offset);
        }
    }
    // Compilers count from here to reach tables of 32-bit addresses.
    image.objects.push(DataSymbol {
        address: base,
        size: 0,
        name: "__ImageBase".into(),
    });
    image.settle_objects();
    image.roots.sort_unstable();
    image.roots.dedup();
    Ok(image)
}

/// Offset of the headers. What DOS runs stands before them.
fn find_header(bytes: &[u8]) -> Result<usize, Error> {
    let no_header = Error::NotProgram {
        looks_like: "a DOS program without a PE header",
    };
    let Some(offset) = table::<object::U32<LE>>(bytes, 0x3c, 1).and_then(|t| t.first()) else {
        return Err(no_header);
    };
    let offset = offset.get(LE) as usize;
    match bytes.get(offset..).and_then(|rest| rest.get(..4)) {
        Some(b"PE\0\0") => Ok(offset),
        Some(_) => Err(no_header),
        // Linkers leave about 200 bytes to DOS.
        None if offset < 0x1000 => Err(Error::Truncated {
            format: Format::Pe,
            what: "the PE header",
            needed: offset as u64 + 4,
            available: bytes.len() as u64,
        }),
        None => Err(no_header),
    }
}

/// A section that reaches beyond the file means that the file was cut: the
/// loader would refuse it too.
fn check_sections(sections: &[ImageSectionHeader], bytes: &[u8]) -> Result<(), Error> {
    let available = bytes.len() as u64;
    for section in sections {
        let size = u64::from(section.size_of_raw_data.get(LE));
        let offset = u64::from(section.pointer_to_raw_data.get(LE));
        if offset > 0 && size > 0 && offset + size > available {
            return Err(Error::Truncated {
                format: Format::Pe,
                what: "a section",
                needed: offset + size,
                available,
            });
        }
    }
    Ok(())
}

impl<'d> Image<'d> {
    fn map_sections(&mut self, sections: &[ImageSectionHeader], alignment: u32, bytes: &'d [u8]) {
        let mut unwind = None;
        for (index, section) in sections.iter().enumerate() {
            let flags = section.characteristics.get(LE);
            let raw = section.size_of_raw_data.get(LE);
            let size = match section.virtual_size.get(LE) {
                0 => raw,
                size => size,
            };
            let offset = section.pointer_to_raw_data.get(LE);
            // The loader takes whole sectors of a disk.
            let first = if alignment >= PAGE {
                offset & !0x1ff
            } else {
                offset
            } as usize;
            let data = match offset {
                0 => &[],
                _ => bytes.get(first..).unwrap_or(&[]),
            };
            let start = self.base + u64::from(section.virtual_address.get(LE));
            // What GCC's and Clang's 32-bit code is unwound by, in programs for
            // Windows with its name cut off.
            if section.name.starts_with(b".eh_fram") {
                unwind = Some(start);
            }
            self.add_region(Region {
                start,
                end: start + u64::from(size),
                data: Cow::Borrowed(&data[..data.len().min(raw.min(size) as usize)]),
                executable: flags.contains(pe::IMAGE_SCN_MEM_EXECUTE),
                writable: flags.contains(pe::IMAGE_SCN_MEM_WRITE),
                plt: false,
                section: index as u32 + 1,
            });
        }
        self.settle_regions(bytes.len() as u64);
        self.eh_frame = unwind.and_then(|address| self.locate(address));
    }

    /// The item at `address`, if the file holds all of it.
    fn item<T: Pod>(&self, address: u64) -> Option<&T> {
        table(self.bytes_at(address)?, 0, 1)?.first()
    }

    /// The address or the size that stands at `address`.
    fn word(&self, address: u64) -> Option<u64> {
        Some(match self.arch.pointer_size() {
            4 => self.item::<object::U32<LE>>(address)?.get(LE).into(),
            _ => self.item::<object::U64<LE>>(address)?.get(LE),
        })
    }

    // ---- unwind information ----------------------------------------------

    /// `.pdata`: where functions begin and end. Entries that continue another
    /// one are parts of its function.
    pub(super) fn read_exception_table(&mut self, entries: &[u8]) {
        match self.arch {
            Arch::X86_64 => self.read_entries_x86_64(entries),
            Arch::Aarch64 => self.read_entries_aarch64(entries),
            // 32-bit code unwinds by chains on the stack.
            _ => {}
        }
    }

    fn read_entries_x86_64(&mut self, entries: &[u8]) {
        let count = entries.len() / size_of::<ImageRuntimeFunctionEntry>();
        let entries: &[ImageRuntimeFunctionEntry] = table(entries, 0, count).unwrap_or(&[]);
        let mut entries: Vec<Entry> = entries.iter().map(Entry::from).collect();
        entries.sort_unstable();
        entries.dedup_by_key(|e| e.start);
        for entry in entries {
            if entry.end <= entry.start {
                continue;
            }
            let (start, end) = (
                self.base + u64::from(entry.start),
                self.base + u64::from(entry.end),
            );
            let unwind = self.unwind(entry.unwind);
            let Some(whole) = unwind.chained else {
                if unwind.mid_frame {
                    self.parts.insert(start, None);
                }
                if let Some(handler) = unwind.handler {
                    self.roots.push(self.base + u64::from(handler));
                }
                self.know(start, end);
                continue;
            };
            let whole = self.base + u64::from(self.whole(whole).start);
            // Most parts stand right behind their function.
            if let Some(last) = self.known.last_mut()
                && last.end == Some(start)
                && (last.address == whole || self.parts.get(&last.address) == Some(&Some(whole)))
            {
                last.end = Some(end);
            } else if start != whole {
                self.parts.insert(start, Some(whole));
                self.know(start, end);
            }
        }
    }

    /// Entries of 8 bytes, which hold all of their unwind information where it
    /// is simple. Long functions have several, and parts that the compiler
    /// moved away have their own.
    fn read_entries_aarch64(&mut self, entries: &[u8]) {
        let count = entries.len() / size_of::<ImageArm64RuntimeFunctionEntry>();
        let entries: &[ImageArm64RuntimeFunctionEntry] = table(entries, 0, count).unwrap_or(&[]);
        let mut entries: Vec<(u32, u32)> = entries
            .iter()
            .map(|e| (e.begin_address.get(LE), e.unwind_data.get(LE)))
            .collect();
        entries.sort_unstable();
        entries.dedup_by_key(|e| e.0);
        for (start, data) in entries {
            let start = self.base + u64::from(start);
            let Some(range) = self.range_aarch64(data) else {
                continue;
            };
            let end = start + range.size;
            if let Some(handler) = range.handler {
                self.roots.push(self.base + u64::from(handler));
            }
            if range.part {
                let runs_on = self.runs_on_to(start);
                if let Some(last) = self.known.last_mut()
                    && last.end == Some(start)
                    && runs_on
                {
                    last.end = Some(end);
                    continue;
                }
                self.parts.insert(start, None);
            }
            if range.size > 0 {
                self.know(start, end);
            }
        }
    }

    /// Whether the instruction before `address` is followed by that at it.
    fn runs_on_to(&self, address: u64) -> bool {
        let before = address.saturating_sub(4);
        let word = self.item(before).map(|w: &object::U32<LE>| w.get(LE));
        let op = word.map(|word| aarch64::decode(word, before));
        op.is_some_and(|op| {
            !matches!(
                op,
                Op::Branch(_) | Op::Jump(_) | Op::Return | Op::Stop | Op::Undefined
            )
        })
    }

    /// What the second word of an entry says: how long the range is, or where
    /// that is told.
    fn range_aarch64(&self, data: u32) -> Option<Range> {
        let words = |count: u32| u64::from(count) * 4;
        match data & 3 {
            0 => {}
            1 | 2 => {
                return Some(Range {
                    size: words(data >> 2 & 0x7ff),
                    part: data & 3 == 2,
                    handler: None,
                });
            }
            _ => return None,
        }
        let address = self.base + u64::from(data);
        let word = |at: u64| self.item(at).map(|w: &object::U32<LE>| w.get(LE));
        let header = word(address)?;
        let (mut scopes, mut codes) = (header >> 22 & 0x1f, header >> 27);
        let mut at = address + 4;
        if scopes == 0 && codes == 0 {
            let extended = word(at)?;
            (scopes, codes) = (extended & 0xffff, extended >> 16 & 0xff);
            at += 4;
        }
        // With this flag the number is something else: the only epilogue stands
        // at the end.
        if header >> 21 & 1 == 0 {
            at += words(scopes);
        }
        let first: Option<&u8> = self.item(at);
        let handler = word(at + words(codes)).filter(|_| header >> 20 & 1 == 1);
        Some(Range {
            size: words(header & 0x3_ffff),
            part: first == Some(&END_C),
            handler,
        })
    }

    fn know(&mut self, address: u64, end: u64) {
        self.known.push(KnownFunction {
            address,
            end: Some(end),
            source: Source::ExceptionTable,
        });
    }

    /// The entry that a chain leads to.
    fn whole(&self, first: Entry) -> Entry {
        let mut entry = first;
        for _ in 0..MAX_CHAIN {
            match self.unwind(entry.unwind).chained {
                Some(next) => entry = next,
                None => break,
            }
        }
        entry
    }

    fn unwind(&self, at: u32) -> Unwind {
        // An odd address is that of the entry that is continued.
        if at & 1 == 1 {
            let entry = self.item(self.base + u64::from(at - 1));
            return Unwind {
                chained: entry.map(|e: &ImageRuntimeFunctionEntry| e.into()),
                ..Unwind::default()
            };
        }
        let address = self.base + u64::from(at);
        let Some(&[first, prologue, codes, _]) = self.item::<[u8; 4]>(address) else {
            return Unwind::default();
        };
        let (version, flags) = (first & 7, first >> 3);
        // Codes take two bytes each, and an even number of places.
        let tail = address + 4 + 2 * (u64::from(codes) + u64::from(codes & 1));
        if flags & CHAINED != 0 {
            let entry = self.item(tail);
            return Unwind {
                chained: entry.map(|e: &ImageRuntimeFunctionEntry| e.into()),
                ..Unwind::default()
            };
        }
        let handler = self.item(tail).filter(|_| flags & HANDLER != 0);
        Unwind {
            chained: None,
            handler: handler.map(|h: &object::U32<LE>| h.get(LE)),
            mid_frame: version == 1 && prologue == 0 && codes > 0,
        }
    }

    // ---- stubs -----------------------------------------------------------

    /// `jmp cs:slot`, which the linker puts among the functions wherever code
    /// calls an import as if it were in the file. Inside of a function it is a
    /// tail call.
    fn read_import_stubs(&mut self) {
        let mut found = Vec::new();
        for region in self.regions.iter().filter(|r| r.executable) {
            let step = if self.arch == Arch::Aarch64 { 4 } else { 1 };
            for offset in (0..region.data.len()).step_by(step) {
                let address = region.start + offset as u64;
                let slot = stub(self.arch, &region.data[offset..], address);
                let Some(name) = slot.and_then(|slot| self.slots.get(&slot)) else {
                    continue;
                };
                let before = self.known.partition_point(|k| k.address <= address);
                let around = before.checked_sub(1).map(|at| &self.known[at]);
                if around.is_none_or(|k| k.end.is_none_or(|end| end <= address)) {
                    found.push((address, name.clone()));
                }
            }
        }
        for (address, name) in found {
            self.imports.insert(address, Import { name, stub: true });
        }
    }
}

/// The slot that the code at `address` jumps through, if it does nothing else:
/// `jmp cs:slot`, or `ADRP X16`, `LDR X16, [X16,…]`, `BR X16`.
fn stub(arch: Arch, code: &[u8], address: u64) -> Option<u64> {
    if arch == Arch::Aarch64 {
        let words: &[object::U32<LE>; 3] = table(code, 0, 1)?.first()?;
        let [page, load, jump] = words.map(|word| aarch64::decode(word.get(LE), address));
        let Op::Page { to: 16, address } = page else {
            return None;
        };
        let Op::Memory { access } = load else {
            return None;
        };
        let whole = access.loads == Some(16) && access.base == 16 && access.moves.is_none();
        return (whole && jump == Op::Jump(16)).then(|| address.wrapping_add_signed(access.offset));
    }
    let &[0xff, 0x25, a, b, c, d] = code.first_chunk()? else {
        return None;
    };
    let number = u32::from_le_bytes([a, b, c, d]);
    Some(match arch {
        Arch::X86 => number.into(),
        _ => address
            .wrapping_add(6)
            .wrapping_add_signed(i64::from(number as i32)),
    })
}

/// What the unwind information of an AArch64 range says about it.
#[derive(Debug, Clone, Copy)]
struct Range {
    size: u64,
    /// Another range of the function has run before this one.
    part: bool,
    handler: Option<u32>,
}

/// A range of `.pdata`, by relative addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    start: u32,
    end: u32,
    unwind: u32,
}

impl From<&ImageRuntimeFunctionEntry> for Entry {
    fn from(entry: &ImageRuntimeFunctionEntry) -> Self {
        Entry {
            start: entry.begin_address.get(LE),
            end: entry.end_address.get(LE),
            unwind: entry.unwind_info_address_or_data.get(LE),
        }
    }
}

/// What the unwind information of a range says about it.
#[derive(Debug, Default)]
struct Unwind {
    chained: Option<Entry>,
    handler: Option<u32>,
    /// The stack is in use although the range has not begun to build a frame:
    /// a part that the compiler moved away.
    mid_frame: bool,
}

/// Reads what the directories of a mapped file lead to.
struct Tables<'i, 'd> {
    image: &'i mut Image<'d>,
    directories: &'d [ImageDataDirectory],
    /// Bytes of names that may still be copied: in a hostile file many entries
    /// could share a long one.
    names: usize,
    /// Entries of tables that may still be read, for the same reason.
    slots: usize,
}

impl<'d> Tables<'_, 'd> {
    /// Address and size of a table.
    fn directory(&self, index: usize) -> Option<(u64, u64)> {
        let directory = self.directories.get(index)?;
        let start = directory.virtual_address.get(LE);
        let address = self.image.base + u64::from(start);
        (start != 0).then(|| (address, directory.size.get(LE).into()))
    }

    /// The items from a relative address to the end of the section.
    fn items<T: Pod>(&self, start: u32, most: usize) -> &'d [T] {
        let size = size_of::<T>() as u64;
        let most = (most as u64).saturating_mul(size);
        let bytes = self.image.mapped(self.image.base + u64::from(start), most);
        table(bytes, 0, bytes.len() / size as usize).unwrap_or(&[])
    }

    fn text(&mut self, address: u64) -> &'d [u8] {
        let most = self.names.min(strings::MAX_NAME) as u64;
        let text = strings::terminated(self.image.mapped(address, most), 0);
        self.names = self.names.saturating_sub(text.len() + 1);
        text
    }

    // ---- imports ---------------------------------------------------------

    fn imports<H: ImageNtHeaders>(&mut self) {
        let Some((start, _)) = self.directory(pe::IMAGE_DIRECTORY_ENTRY_IMPORT) else {
            return;
        };
        let rva = (start - self.image.base) as u32;
        for library in self.items::<ImageImportDescriptor>(rva, usize::MAX) {
            let (name, slots) = (library.name.get(LE), library.first_thunk.get(LE));
            if name == 0 || slots == 0 || self.slots == 0 {
                break;
            }
            let names = match library.original_first_thunk.get(LE) {
                0 => slots,
                names => names,
            };
            self.import::<H::ImageThunkData>(name, slots, names);
        }
    }

    fn delayed_imports<H: ImageNtHeaders>(&mut self) {
        let Some((start, _)) = self.directory(pe::IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT) else {
            return;
        };
        let rva = (start - self.image.base) as u32;
        for library in self.items::<ImageDelayloadDescriptor>(rva, usize::MAX) {
            // The oldest compilers wrote addresses that did not count from the
            // base.
            let whole = library.attributes.get(LE) & 1 == 0;
            let base = if whole { self.image.base as u32 } else { 0 };
            let [name, slots, names] = [
                library.dll_name_rva,
                library.import_address_table_rva,
                library.import_name_table_rva,
            ]
            .map(|field| match field.get(LE) {
                0 => 0,
                address => address.wrapping_sub(base),
            });
            if name == 0 || slots == 0 || self.slots == 0 {
                break;
            }
            self.import::<H::ImageThunkData>(name, slots, names);
        }
    }

    /// The slots of one library: a table of names beside that of the slots.
    fn import<T: ImageThunkData>(&mut self, library: u32, slots: u32, names: u32) {
        self.slots -= 1;
        let base = self.image.base;
        let library = self.text(base + u64::from(library));
        let end = library.iter().rposition(|&b| b == b'.');
        let library = &library[..end.unwrap_or(library.len())];
        let mut slot = base + u64::from(slots);
        let names: &[T] = self.items(names, self.slots);
        for &name in names {
            if name.raw() == 0 || self.slots == 0 {
                break;
            }
            self.slots -= 1;
            let name = if name.is_ordinal() {
                let library = &library[..library.len().min(self.names)];
                self.names -= library.len();
                strings::plain_name(library).map(|l| format!("{l}_{}", name.ordinal()))
            } else {
                // A hint for the loader comes first.
                strings::plain_name(self.text(base + u64::from(name.address()) + 2))
            };
            if let Some(name) = name {
                self.image.slots.insert(slot, name);
            }
            slot += size_of::<T>() as u64;
        }
    }

    // ---- exports ---------------------------------------------------------

    fn exports(&mut self) {
        let Some((start, size)) = self.directory(pe::IMAGE_DIRECTORY_ENTRY_EXPORT) else {
            return;
        };
        let base = self.image.base;
        let Some(&table) = self.image.item::<ImageExportDirectory>(start) else {
            self.image
                .note("the table of exports is unreadable and was ignored".into());
            return;
        };
        let functions: &[object::U32<LE>] = self.items(
            table.address_of_functions.get(LE),
            table.number_of_functions.get(LE) as usize,
        );
        let count = table.number_of_names.get(LE) as usize;
        let names: &[object::U32<LE>] = self.items(table.address_of_names.get(LE), count);
        let ordinals: &[object::U16<LE>] =
            self.items(table.address_of_name_ordinals.get(LE), count);
        // What lies in the table itself is the name of a function elsewhere.
        let place = |function: &object::U32<LE>| {
            let address = base + u64::from(function.get(LE));
            let forwarded = (start..start + size).contains(&address);
            (address != base && !forwarded).then_some(address)
        };
        for (name, ordinal) in names.iter().zip(ordinals) {
            let function = functions.get(usize::from(ordinal.get(LE)));
            let Some(address) = function.and_then(place) else {
                continue;
            };
            let name = self.text(base + u64::from(name.get(LE)));
            let Some(name) = strings::plain_name(name) else {
                continue;
            };
            if self.image.imports.contains_key(&address) {
                continue;
            }
            if self.image.code_region(address).is_some() {
                self.image.functions.push(FunctionSymbol {
                    address,
                    size: 0,
                    name,
                    global: true,
                    dynamic: true,
                });
            } else if self.image.region(address).is_some() {
                self.image.objects.push(DataSymbol {
                    address,
                    size: 0,
                    name,
                });
            }
        }
        // Some have only a number.
        let addresses = functions.iter().filter_map(place);
        let code = addresses.filter(|&address| self.image.code_region(address).is_some());
        let code: Vec<u64> = code.collect();
        self.image.roots.extend(code);
    }

    // ---- pointers --------------------------------------------------------

    /// Where the loader would correct addresses if it moved the program.
    fn relocations(&mut self) {
        let Some((start, size)) = self.directory(pe::IMAGE_DIRECTORY_ENTRY_BASERELOC) else {
            return;
        };
        let mut rest = self.image.mapped(start, size);
        while let Some(block) = table::<ImageBaseRelocation>(rest, 0, 1).and_then(|t| t.first()) {
            let size = block.size_of_block.get(LE) as usize;
            let Some(entries) = rest.get(size_of::<ImageBaseRelocation>()..size) else {
                break;
            };
            let page = self.image.base + u64::from(block.virtual_address.get(LE));
            for entry in entries.chunks_exact(2) {
                let entry = u16::from_le_bytes([entry[0], entry[1]]);
                let kind = pe::BaseRelocationType(entry >> 12);
                if matches!(
                    kind,
                    pe::IMAGE_REL_BASED_DIR64 | pe::IMAGE_REL_BASED_HIGHLOW
                ) {
                    self.pointer(page + u64::from(entry & 0xfff));
                }
            }
            rest = &rest[size..];
        }
        self.image.pointers.sort_unstable();
        self.image.pointers.dedup_by_key(|p| p.0);
    }

    fn pointer(&mut self, slot: u64) {
        let Some(value) = self.image.word(slot) else {
            return;
        };
        if self.image.region(value).is_none() {
            return;
        }
        if self.image.code_region(slot).is_some() {
            self.image.address_fields.insert(slot);
        } else {
            self.image.pointers.push((slot, value));
        }
    }

    fn debug_entries(&mut self, bytes: &[u8]) {
        let Some((start, size)) = self.directory(pe::IMAGE_DIRECTORY_ENTRY_DEBUG) else {
            return;
        };
        let rva = (start - self.image.base) as u32;
        let count = size as usize / size_of::<ImageDebugDirectory>();
        let entries: &[ImageDebugDirectory] = self.items(rva, count);
        self.image.build = entries
            .iter()
            .find_map(|entry| Build::of_program(entry, bytes));
    }

    fn thread_callbacks(&mut self) {
        let Some((start, _)) = self.directory(pe::IMAGE_DIRECTORY_ENTRY_TLS) else {
            return;
        };
        // Three other addresses come before that of the list.
        let size = self.image.arch.pointer_size();
        let Some(first) = self.image.word(start + 3 * size) else {
            return;
        };
        let callbacks = (0..self.slots as u64)
            .map_while(|at| self.image.word(first.checked_add(at.checked_mul(size)?)?))
            .take_while(|&callback| callback != 0);
        let callbacks: Vec<u64> = callbacks.collect();
        self.image.roots.extend(callbacks);
    }

    /// Places that the loader fills for the compiler's sake, and the functions
    /// that Control Flow Guard lets pointers lead to.
    fn load_configuration(&mut self) {
        let Some((start, _)) = self.directory(pe::IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG) else {
            return;
        };
        let image = &self.image;
        let width = image.arch.pointer_size();
        macro_rules! offset {
            ($field:ident) => {
                match width {
                    4 => offset_of!(ImageLoadConfigDirectory32, $field),
                    _ => offset_of!(ImageLoadConfigDirectory64, $field),
                }
            };
        }
        // Older tables are shorter, and what follows them is something else.
        let size = image.item::<object::U32<LE>>(start);
        let size = size.map_or(0, |size| size.get(LE) as usize);
        let word = |at: usize| {
            let word = image.word(start + at as u64)?;
            (at + width as usize <= size).then_some(word)
        };
        let named = [
            (offset!(security_cookie), "__security_cookie"),
            (
                offset!(guard_cf_check_function_pointer),
                "__guard_check_icall_fptr",
            ),
            (
                offset!(guard_cf_dispatch_function_pointer),
                "__guard_dispatch_icall_fptr",
            ),
        ];
        let named = named.map(|(at, name)| (word(at).unwrap_or(0), name));
        let flags = offset!(guard_flags);
        let flags = image
            .item::<object::U32<LE>>(start + flags as u64)
            .filter(|_| flags + 4 <= size);
        let mut targets = Vec::new();
        let mut list = |first, count, extra: usize| {
            let (Some(first), Some(count)) = (word(first), word(count)) else {
                return;
            };
            let width = 4 + extra;
            let bytes = image.mapped(first, count.saturating_mul(width as u64));
            for entry in bytes.chunks_exact(width).take(self.slots) {
                let target = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
                targets.push(image.base + u64::from(target));
            }
        };
        if let Some(flags) = flags {
            // Each address may have bytes of flags behind it.
            let extra = (flags.get(LE) & pe::IMAGE_GUARD_CF_FUNCTION_TABLE_SIZE_MASK)
                >> pe::IMAGE_GUARD_CF_FUNCTION_TABLE_SIZE_SHIFT;
            list(
                offset!(guard_cf_function_table),
                offset!(guard_cf_function_count),
                extra as usize,
            );
        }
        // The handlers of exceptions that 32-bit code may have.
        if width == 4 {
            list(
                offset_of!(ImageLoadConfigDirectory32, sehandler_table),
                offset_of!(ImageLoadConfigDirectory32, sehandler_count),
                0,
            );
        }
        self.image.roots.extend(targets);
        for (address, name) in named {
            if self.image.region(address).is_some() {
                self.image.objects.push(DataSymbol {
                    address,
                    size: width,
                    name: name.into(),
                });
            }
        }
    }
}
