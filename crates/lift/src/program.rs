//! A file as we understood it.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::address::{AddressSet, Sorted};
use crate::image::Image;
use crate::pen::{Sink, hex};
use crate::{Error, Listing, demangle, discover, listing, strings};

/// One executable, shared object or relocatable file.
#[derive(Debug)]
pub struct Program<'d> {
    pub(crate) image: Image<'d>,
    functions: Vec<Function>,
    starts: Sorted,
    /// Functions, stubs and slots that calls do not come back from.
    pub(crate) no_return: AddressSet,
    /// Which function calls which, by index, ascending.
    callees: Vec<(u32, u32)>,
    /// The same, by who is called: (callee, caller).
    callers: Vec<(u32, u32)>,
    info: BinaryInfo,
}

/// What kind of file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryInfo {
    /// Its container.
    pub format: Format,
    /// Executable, shared object or relocatable file.
    pub kind: BinaryKind,
    /// Its processor.
    pub arch: Arch,
    /// The address that relative virtual addresses count from.
    pub image_base: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Whether the file has no symbol table (dynamic symbols do not count).
    pub stripped: bool,
    /// Where the program starts.
    pub entry: Option<u64>,
}

/// The container of a program.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Executable and Linkable Format: Linux, BSD and their like.
    #[default]
    Elf,
    /// Portable Executable: Windows programs, libraries and drivers.
    Pe,
    /// Object files of Windows compilers.
    Coff,
    /// macOS and iOS.
    MachO,
    /// Code without any format, as it lies in a device.
    Raw,
}

impl Format {
    /// `elf`, `pe`, `coff`, `macho` or `raw`: the word that JSON has for it.
    pub fn id(self) -> &'static str {
        match self {
            Format::Elf => "elf",
            Format::Pe => "pe",
            Format::Coff => "coff",
            Format::MachO => "macho",
            Format::Raw => "raw",
        }
    }

    /// What a file seems to be by its first four bytes: enough to choose files
    /// from a folder. Object files of Windows have no mark of their own.
    pub fn of_start(start: [u8; 4]) -> Option<Format> {
        match start {
            [0x7f, b'E', b'L', b'F'] => Some(Format::Elf),
            [b'M', b'Z', ..] => Some(Format::Pe),
            [0xcf | 0xce, 0xfa, 0xed, 0xfe] | [0xca, 0xfe, 0xba, 0xbe | 0xbf] => {
                Some(Format::MachO)
            }
            _ => None,
        }
    }

    /// `an ELF file`, for sentences.
    pub(crate) fn with_article(self) -> String {
        let article = if self == Format::Elf { "an" } else { "a" };
        format!("{article} {self}")
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Elf => "ELF file",
            Format::Pe => "PE file",
            Format::Coff => "COFF object file",
            Format::MachO => "Mach-O file",
            Format::Raw => "raw image",
        })
    }
}

/// The processor that a program is for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Arch {
    /// 64-bit x86.
    #[default]
    X86_64,
    /// 32-bit x86.
    X86,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM, A32 and T32 (Thumb).
    Arm,
    /// 64-bit RISC-V.
    Riscv64,
    /// 32-bit MIPS, the most significant byte first.
    Mips,
    /// 32-bit MIPS, the least significant byte first.
    Mipsel,
    /// 32-bit PowerPC, the most significant byte first.
    PowerPc,
    /// 64-bit PowerPC, the most significant byte first.
    PowerPc64,
    /// 64-bit PowerPC, the least significant byte first.
    PowerPc64Le,
}

impl Arch {
    /// Every processor that is read.
    pub const ALL: &'static [Arch] = &[
        Arch::X86_64,
        Arch::X86,
        Arch::Aarch64,
        Arch::Arm,
        Arch::Riscv64,
        Arch::Mips,
        Arch::Mipsel,
        Arch::PowerPc,
        Arch::PowerPc64,
        Arch::PowerPc64Le,
    ];

    /// `x86-64`, `aarch64`, `mipsel`: the word that JSON and rows have for it.
    pub fn id(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86-64",
            Arch::X86 => "x86",
            Arch::Aarch64 => "aarch64",
            Arch::Arm => "arm",
            Arch::Riscv64 => "riscv64",
            Arch::Mips => "mips",
            Arch::Mipsel => "mipsel",
            Arch::PowerPc => "powerpc",
            Arch::PowerPc64 => "powerpc64",
            Arch::PowerPc64Le => "powerpc64le",
        }
    }

    /// Bits of an address.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Arch::X86 | Arch::Arm | Arch::Mips | Arch::Mipsel | Arch::PowerPc => 32,
            _ => 64,
        }
    }

    /// Bytes that a call puts on the stack.
    pub(crate) fn return_size(self) -> u64 {
        match self {
            Arch::X86_64 => 8,
            Arch::X86 => 4,
            _ => 0,
        }
    }

    /// Whether the most significant byte of a number comes first.
    pub(crate) fn is_big_endian(self) -> bool {
        matches!(self, Arch::Mips | Arch::PowerPc | Arch::PowerPc64)
    }

    /// The number that `bytes` are, of which no more than eight are read.
    pub(crate) fn number(self, bytes: &[u8]) -> u64 {
        // Nearly all are of these sizes.
        match (self.is_big_endian(), bytes) {
            (false, &[a, b, c, d]) => return u32::from_le_bytes([a, b, c, d]).into(),
            (false, &[a, b, c, d, e, f, g, h]) => {
                return u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            }
            _ => {}
        }
        let push = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let bytes = &bytes[..bytes.len().min(8)];
        if self.is_big_endian() {
            bytes.iter().fold(0, push)
        } else {
            bytes.iter().rev().fold(0, push)
        }
    }

    /// The same as a signed number.
    pub(crate) fn signed(self, bytes: &[u8]) -> i64 {
        let unused = 64 - 8 * bytes.len().clamp(1, 8) as u32;
        (self.number(bytes) << unused) as i64 >> unused
    }

    /// Bytes of a pointer.
    pub(crate) fn pointer_size(self) -> u64 {
        u64::from(self.bits() / 8)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// By its [`Arch::id`].
impl FromStr for Arch {
    type Err = Error;

    fn from_str(id: &str) -> Result<Arch, Error> {
        let known = Arch::ALL.iter().find(|arch| arch.id() == id);
        known.copied().ok_or_else(|| Error::UnknownArchitecture {
            id: strings::clean(id.as_bytes()),
        })
    }
}

/// How a file is meant to be used.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryKind {
    /// A program, position-independent or not.
    #[default]
    Executable,
    /// A library loaded at run time.
    SharedObject,
    /// What a compiler made of one source file, before linking.
    Relocatable,
}

impl fmt::Display for BinaryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BinaryKind::Executable => "executable",
            BinaryKind::SharedObject => "shared object",
            BinaryKind::Relocatable => "relocatable",
        })
    }
}

/// Something in the file that could not be read or believed. The rest of the
/// program is unaffected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where, if it has a place in the address space.
    pub address: Option<u64>,
    /// One sentence without a full stop.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = self.address {
            write!(f, "{address:#x}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// One function of a program. Functions never overlap.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Where it starts. In a relocatable file sections are laid out one after
    /// another, so that an address means one function there too.
    pub address: u64,
    /// `address` counted from the image base.
    pub rva: u64,
    /// Bytes of code in all ranges.
    pub size: u64,
    /// The range that starts at `address` comes first; parts that the compiler
    /// moved elsewhere (`.cold`) follow, ascending.
    pub ranges: Vec<Range<u64>>,
    /// Its name, where the file tells it.
    pub name: Option<String>,
    /// Index of the section that it is in, 0 if the file has no sections.
    pub section: u32,
    /// How it was found.
    pub source: Source,
    /// How sure it is that this is a function, from 0 to 1.
    pub confidence: f32,
    /// Whether it has a body of its own.
    pub kind: Kind,
}

/// How a function was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// In the symbol table.
    Symbol,
    /// In the dynamic symbol table.
    DynamicSymbol,
    /// In the PDB that belongs to a PE file.
    Pdb,
    /// In the unwind table, `.eh_frame`.
    UnwindTable,
    /// In the exception table of a PE file, `.pdata`.
    ExceptionTable,
    /// In the list of function starts of a Mach-O file.
    FunctionStarts,
    /// In the compact unwind table of a Mach-O file.
    CompactUnwind,
    /// In the table that the runtime of a Go program walks stacks by.
    GoTable,
    /// Started by the loader: the entry point, `.init_array` and their like.
    EntryPoint,
    /// Called or jumped to by a known function.
    CallTarget,
    /// Its address is taken by code or stored in data.
    Reference,
    /// It follows the end of another function, where no table lists them.
    Gap,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Symbol => "symbol",
            Source::DynamicSymbol => "dynamic symbol",
            Source::Pdb => "pdb",
            Source::UnwindTable => "eh_frame",
            Source::ExceptionTable => "pdata",
            Source::FunctionStarts => "function starts",
            Source::CompactUnwind => "unwind info",
            Source::GoTable => "pclntab",
            Source::EntryPoint => "entry",
            Source::CallTarget => "call",
            Source::Reference => "reference",
            Source::Gap => "gap",
        })
    }
}

/// What a function is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A function with a body.
    Normal,
    /// A single jump to another function.
    Thunk,
    /// A single jump through a slot of the procedure linkage table. Stubs in
    /// sections of that purpose are no functions: calls show their name.
    Plt,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Normal => "normal",
            Kind::Thunk => "thunk",
            Kind::Plt => "plt",
        })
    }
}

/// Where a program begins, in the compiler's start files.
pub(crate) const START: &str = "_start";
/// The other functions of GCC's: what the loader runs first and last, and those of
/// `crtbegin.o` in the order in which they lie.
pub(crate) const START_FILES: [&str; 6] = [
    "_init",
    "_fini",
    "deregister_tm_clones",
    "register_tm_clones",
    "__do_global_dtors_aux",
    "frame_dummy",
];

impl Function {
    /// The name, or the `sub_401A30` that stands for it in listings.
    pub fn display_name(&self) -> String {
        // Room for any address.
        let room = self.name.as_ref().map_or(20, String::len);
        let mut name = String::with_capacity(room);
        self.push_name(&mut name);
        name
    }

    /// Writes the same.
    pub(crate) fn push_name(&self, out: &mut impl Sink) {
        match &self.name {
            Some(name) => out.push_str(name),
            None => {
                out.push_str("sub_");
                hex(out, self.address);
            }
        }
    }

    /// The name as its writer knows it, where the file has it mangled.
    pub fn demangled(&self) -> Option<String> {
        demangle(self.name.as_deref()?)
    }

    /// The name for people: demangled, or as the file has it, or `sub_401A30`.
    pub fn readable_name(&self) -> String {
        self.demangled().unwrap_or_else(|| self.display_name())
    }

    /// Whether it is of the compiler's start files, by its name, which discovery
    /// gives it in stripped programs, too: the same in every program.
    pub fn is_start_file(&self) -> bool {
        self.name
            .as_deref()
            .is_some_and(|name| name == START || START_FILES.contains(&name))
    }

    /// Whether `address` is in one of the ranges.
    pub fn contains(&self, address: u64) -> bool {
        self.ranges.iter().any(|r| r.contains(&address))
    }
}

impl<'d> Program<'d> {
    /// Reads a file and finds its functions.
    pub fn parse(bytes: &'d [u8]) -> Result<Program<'d>, Error> {
        Program::parse_on(bytes, 1)
    }

    /// The same on as many threads, where the file is large enough: what is
    /// found does not depend on how many there are.
    pub fn parse_on(bytes: &'d [u8], threads: usize) -> Result<Program<'d>, Error> {
        Ok(Program::of(Image::parse(bytes)?, bytes.len(), threads))
    }

    /// Reads code without any format, as it lies in the memory of a device: one
    /// region at `base`, for the processor `arch`.
    ///
    /// Nothing in such an image says where code is. Functions are found by calls
    /// and by pointers to them, and where code follows code.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use binscribe_lift::{Arch, Program};
    /// let bytes = std::fs::read("firmware.bin")?;
    /// let program = Program::parse_raw(&bytes, Arch::Aarch64, 0x800_0000)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn parse_raw(bytes: &'d [u8], arch: Arch, base: u64) -> Result<Program<'d>, Error> {
        Ok(Program::of(Image::raw(bytes, arch, base)?, bytes.len(), 1))
    }

    /// Reads a PE file together with the PDB that the linker wrote beside it,
    /// which has the names that the program has lost. It is refused if it
    /// belongs to another build.
    pub fn parse_with_pdb(bytes: &'d [u8], pdb: &[u8]) -> Result<Program<'d>, Error> {
        let mut image = Image::parse(bytes)?;
        image.add_pdb(pdb)?;
        Ok(Program::of(image, bytes.len(), 1))
    }

    fn of(mut image: Image<'d>, size: usize, threads: usize) -> Program<'d> {
        let found = discover::functions(&mut image, threads);
        let functions = found.functions;
        let callers = discover::turned(&found.calls, functions.len());
        let info = BinaryInfo {
            format: image.format,
            kind: image.kind,
            arch: image.arch,
            image_base: image.base,
            size: size as u64,
            stripped: image.stripped,
            entry: image.entry,
        };
        Program {
            image,
            starts: Sorted::new(functions.iter().map(|f| f.address).collect()),
            functions,
            no_return: found.no_return,
            callees: found.calls,
            callers,
            info,
        }
    }

    /// What kind of file it is.
    pub fn info(&self) -> &BinaryInfo {
        &self.info
    }

    /// The functions, ascending by address.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// What could not be read or believed.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.image.diagnostics
    }

    /// The function with this name, or at (or around) this address: `main`,
    /// `sub_401A30`, `0x401a30`. A demangled name will do, without its arguments
    /// where only one function has it.
    pub fn find(&self, name_or_address: &str) -> Option<&Function> {
        let wanted = name_or_address.trim();
        if let Some(named) = self
            .functions
            .iter()
            .find(|f| f.name.as_deref() == Some(wanted))
        {
            return Some(named);
        }
        if wanted.contains("::") || wanted.contains('(') {
            return self.find_demangled(wanted);
        }
        let digits = ["sub_", "0x", "0X"]
            .iter()
            .find_map(|prefix| wanted.strip_prefix(prefix))?;
        let address = u64::from_str_radix(digits, 16).ok()?;
        self.function_at(address)
            .or_else(|| self.functions.iter().find(|f| f.contains(address)))
    }

    fn find_demangled(&self, wanted: &str) -> Option<&Function> {
        let mut without_arguments = Vec::new();
        for function in &self.functions {
            let Some(name) = function.demangled() else {
                continue;
            };
            if name == wanted {
                return Some(function);
            }
            if name
                .strip_prefix(wanted)
                .is_some_and(|rest| rest.starts_with('('))
            {
                without_arguments.push(function);
            }
        }
        match without_arguments[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The functions of this program that `function` calls, or jumps to at its
    /// end: directly, not through a pointer. Ascending by address.
    pub fn callees(&self, function: &Function) -> impl Iterator<Item = &Function> {
        self.along(&self.callees, function)
    }

    /// The functions of this program that call `function` so.
    pub fn callers(&self, function: &Function) -> impl Iterator<Item = &Function> {
        self.along(&self.callers, function)
    }

    fn along<'p>(
        &'p self,
        edges: &'p [(u32, u32)],
        function: &Function,
    ) -> impl Iterator<Item = &'p Function> {
        let at = self.starts.find(function.address);
        let at = at.map_or(u32::MAX, |at| at as u32);
        let first = edges.partition_point(|&(from, _)| from < at);
        let here = edges[first..].iter().take_while(move |edge| edge.0 == at);
        here.filter_map(|&(_, to)| self.functions.get(to as usize))
    }

    /// Whether calls to `function` never come back.
    pub fn never_returns(&self, function: &Function) -> bool {
        self.no_return.contains(&function.address)
    }

    /// The bytes at `address`, up to so many: fewer where the file has no more there.
    /// Those of an object file are as its relocations will have made them, as far as
    /// the file tells.
    pub fn bytes(&self, address: u64, count: u64) -> &[u8] {
        self.image.bytes_in(address, address.saturating_add(count))
    }

    /// The text and the facts of one of this program's functions.
    pub fn listing(&self, function: &Function) -> Listing {
        listing::list(self, function)
    }

    /// The function that starts at `address`.
    pub(crate) fn function_at(&self, address: u64) -> Option<&Function> {
        self.functions.get(self.starts.find(address)?)
    }
}
