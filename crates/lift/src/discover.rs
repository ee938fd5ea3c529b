//! Where the functions are.
//!
//! Symbols and the unwind table come first: on compiled code `.eh_frame` alone
//! misses no function that the compiler made. Entry points and the targets of
//! calls add the hand-written rest, but only outside of bodies that are already
//! known, which is what keeps the union as precise as its best part. A function
//! found in that way has no stated end and is followed as far as its own jumps
//! lead.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::panic::resume_unwind;

use gimli::{BaseAddresses, CallFrameInstruction, CieOrFde, EhFrame, RunTimeEndian, UnwindSection};
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Register};

mod convention;
mod noreturn;
mod read;
mod switch;

use read::Reader;
use switch::Named;
pub(crate) use switch::{targets, targets_x86};

use crate::address::{AddressMap, AddressSet, Sorted};
use crate::image::{FunctionSymbol, Image};
use crate::program::{
    Arch, BinaryKind, Diagnostic, Format, Function, Kind, START, START_FILES, Source,
};
use crate::risc::{Codes, Isa, Op, isa};
use crate::shape::quiet_length;
use crate::skip::ENDBR64;
use crate::step::{self, Reference, Step, Steps, absolute_operand, reference};

/// Longest function that is followed or listed.
pub(crate) const MAX_BYTES: u64 = 1 << 20;
/// Most instructions of a function that are followed or listed.
pub(crate) const MAX_INSTRUCTIONS: usize = 1 << 16;

/// Most entries of a jump table that are read.
const MAX_TABLE: usize = 1024;
/// Jump tables of one function that are told apart.
const MAX_TABLES: usize = 64;
/// Functions are no longer looked for behind others when there are more than
/// so many, and their mean size is less than this.
const MIN_FOLLOWERS: u64 = 1 << 16;
const SMALLEST_MEAN: u64 = 32;
/// Bytes that are passed over between a call that does not return and the next
/// function.
const MAX_PADDING: u64 = 32;
/// `nop` of PowerPC, which follows a call that the linker may send elsewhere.
const POWERPC_NOP: u64 = 0x6000_0000;
/// Bytes of a stub of x86 that jumps to an import.
const STUB: u64 = 6;
/// Functions start at multiples of this, if they are aligned at all.
const ALIGNMENT: u64 = 16;
/// Instructions that must be some for code to be taken for code.
const PLAUSIBLE: usize = 8;
/// Instructions within which code leads back to the rest of its function.
const LEADS_BACK: usize = 256;
/// What the names of the parts have that compilers move away.
const COLD: &str = ".cold";
/// Bytes of code for one reference to elsewhere, at least in most programs.
const CODE_OF_EDGE: u64 = 32;
/// Bytes of code that take longer to read than a thread to begin.
const WORTH_A_THREAD: u64 = 1 << 17;

type Fde<'a> = gimli::FrameDescriptionEntry<gimli::EndianSlice<'a, RunTimeEndian>>;
type Cie<'a> = gimli::CommonInformationEntry<gimli::EndianSlice<'a, RunTimeEndian>>;

/// A function in the making; its start is its key.
#[derive(Debug, Clone, Copy)]
struct Body<'i> {
    end: u64,
    source: Source,
    confidence: f32,
    name: Option<&'i str>,
    /// The file states where it ends.
    bounded: bool,
    /// The stack is not as a call leaves it when this code begins, so that
    /// nothing can call it.
    mid_frame: bool,
}

/// A reference from one body to an address outside of it.
#[derive(Debug, Clone, Copy)]
struct Edge {
    target: u64,
    /// The number of the body in [`Findings::bodies`].
    from: u32,
    how: Reference,
    /// How many of the same it stands for, as far as that is counted.
    times: u8,
}

/// What reading bodies finds.
#[derive(Default)]
struct Findings {
    /// Where each body begins that was read, in that order.
    bodies: Vec<u64>,
    /// Those of one body stand together.
    edges: Vec<Edge>,
    /// What the body that is being read refers to and may be a jump table.
    named: Vec<u64>,
    /// Constant data that functions with an indirect jump refer to.
    tables: Vec<(u64, u64)>,
    diagnostics: Vec<Diagnostic>,
}

/// Which bodies edges join, by index; [`NONE`] where there is none.
struct Joined {
    /// Of each body of [`Findings::bodies`].
    from: Vec<u32>,
    /// Of the target of each edge.
    to: Vec<u32>,
}

/// More bytes than any two functions of `crtbegin.o` that follow each other have.
const MOST_OF_START_FILES: u64 = 256;

/// An index behind all others.
const NONE: u32 = u32::MAX;

impl Joined {
    fn new(found: &Findings, starts: &Sorted) -> Joined {
        let index = |start: u64| starts.find(start).map_or(NONE, |at| at as u32);
        Joined {
            from: found.bodies.iter().map(|&start| index(start)).collect(),
            to: found.edges.iter().map(|edge| index(edge.target)).collect(),
        }
    }
}

struct Discovery<'i, 'd> {
    image: &'i Image<'d>,
    reader: Reader<'i, 'd>,
    /// How many threads read.
    threads: usize,
    bodies: BTreeMap<u64, Body<'i>>,
    /// There may be bodies of which the file does not state where they end.
    unbounded: bool,
    found: Findings,
    /// Where 32-bit code has jump tables with whole addresses, ascending.
    address_tables: Vec<u64>,
    /// Work that may still be done where a file could ask for the same again and
    /// again: bytes of unbounded functions, entries of jump tables.
    budget: u64,
    /// Functions, stubs and slots that calls do not come back from.
    no_return: AddressSet,
    /// Those of them that are known by name.
    declared: AddressSet,
}

/// What is found in a file.
#[derive(Debug)]
pub(crate) struct Found {
    /// Ascending by address.
    pub(crate) functions: Vec<Function>,
    /// Which function calls which, by index, ascending.
    pub(crate) calls: Vec<(u32, u32)>,
    /// Functions, stubs and slots that calls do not come back from.
    pub(crate) no_return: AddressSet,
}

pub(crate) fn functions(image: &mut Image<'_>, threads: usize) -> Found {
    let declared = noreturn::imports(image);
    let mut discovery = Discovery {
        image,
        reader: Reader::new(image),
        threads,
        no_return: declared.clone(),
        declared,
        bodies: BTreeMap::new(),
        unbounded: false,
        found: Findings::default(),
        address_tables: Vec::new(),
        budget: image
            .regions
            .iter()
            .filter(|r| r.executable)
            .map(|r| r.data.len() as u64)
            .sum(),
    };
    let budget = discovery.budget.saturating_mul(8);
    discovery.budget = budget;
    discovery.stated();
    discovery.follow();
    if discovery.spread_no_return() && discovery.followed_too_far() {
        // What was followed past a call that does not come back ends there.
        let noted = discovery.found.diagnostics.len();
        discovery.bodies.clear();
        discovery.stated();
        discovery.found.diagnostics.truncate(noted);
        discovery.found.bodies.clear();
        discovery.found.edges.clear();
        discovery.found.tables.clear();
        discovery.budget = budget;
        discovery.follow();
        discovery.spread_no_return();
    }
    discovery.name_known();
    discovery.name_main();
    discovery.name_start_files();
    let starts = Sorted::new(discovery.bodies.keys().copied().collect());
    discovery.jump_tables(&starts);
    let joined = Joined::new(&discovery.found, &starts);
    let parts = discovery.cold_parts(&starts, &joined);
    let functions = discovery.finish(&parts);
    let calls = discovery.calls(&functions, &starts, &joined);
    let (found, no_return) = (discovery.found, discovery.no_return);
    image.diagnostics.extend(found.diagnostics);
    // The functions have what they tell.
    image.functions = Vec::new();
    image.pdb = Vec::new();
    image.known = Vec::new();
    image.known_names = AddressMap::default();
    Found {
        functions,
        calls,
        no_return,
    }
}

impl Findings {
    fn note(&mut self, address: Option<u64>, message: &str) {
        self.diagnostics.push(Diagnostic {
            address,
            message: message.into(),
        });
    }

    /// Nothing yet, with room for about what `bodies` refer to: memory that is
    /// not used is none.
    fn with_room(bodies: &[(u64, u64)]) -> Findings {
        let code: u64 = bodies.iter().map(|(start, end)| end - start).sum();
        Findings {
            edges: Vec::with_capacity((code / CODE_OF_EDGE) as usize),
            ..Findings::default()
        }
    }

    /// Where the body begins that an edge is of.
    fn from(&self, edge: &Edge) -> u64 {
        self.bodies[edge.from as usize]
    }

    /// Adds what was found after it.
    fn add(&mut self, later: Findings) {
        let bodies = self.bodies.len() as u32;
        let moved = |edge: Edge| Edge {
            from: edge.from + bodies,
            ..edge
        };
        self.bodies.extend(later.bodies);
        self.edges.extend(later.edges.into_iter().map(moved));
        self.tables.extend(later.tables);
        self.diagnostics.extend(later.diagnostics);
    }
}

impl<'i> Discovery<'i, '_> {
    /// Takes in the functions that the file lists.
    fn stated(&mut self) {
        self.unwind_table();
        self.known();
        self.symbols();
        self.separate();
    }

    fn unwind_table(&mut self) {
        let Some((region, offset)) = self.image.eh_frame else {
            return;
        };
        let region = &self.image.regions[region];
        let order = match self.image.arch.is_big_endian() {
            true => RunTimeEndian::Big,
            false => RunTimeEndian::Little,
        };
        let mut frame = EhFrame::new(&region.data[offset..], order);
        frame.set_address_size(self.image.arch.pointer_size() as u8);
        let bases = BaseAddresses::default().set_eh_frame(region.start + offset as u64);
        // Many entries share a description, and reading one is not cheap when
        // a hostile file makes it long: each is read once.
        let mut shared: HashMap<usize, Option<Cie<'_>>> = HashMap::new();
        let mut last = None;
        let mut entries = frame.entries(&bases);
        let mut listed: Vec<(u64, u32, u64, bool)> = Vec::new();
        loop {
            let partial = match entries.next() {
                Ok(Some(CieOrFde::Fde(partial))) => partial,
                Ok(Some(CieOrFde::Cie(_))) => continue,
                Ok(None) => break,
                Err(_) => {
                    self.found
                        .note(None, "the unwind table is damaged and was read in part");
                    break;
                }
            };
            let parsed = partial.parse(|section, bases, at| {
                // Nearly always it is that of the entry before.
                if let Some((held, cie)) = &last
                    && *held == at.0
                {
                    return Ok(Cie::clone(cie));
                }
                let read = || section.cie_from_offset(bases, at).ok();
                let cie = shared.entry(at.0).or_insert_with(read).clone();
                let cie = cie.ok_or(gimli::Error::NotCieId(at.0 as u64))?;
                last = Some((at.0, cie.clone()));
                Ok(cie)
            });
            if let Ok(fde) = parsed {
                let order = listed.len() as u32;
                let entry = self.unwind_entry(&frame, &bases, &fde);
                listed.extend(entry.map(|(start, end, mid)| (start, order, end, mid)));
            }
        }
        // Most come in order already. Of several for one function the first
        // counts.
        listed.sort();
        listed.dedup_by_key(|(start, ..)| *start);
        let body = |(start, _, end, mid_frame)| {
            let body = Body {
                end,
                source: Source::UnwindTable,
                confidence: 0.99,
                name: None,
                bounded: true,
                mid_frame,
            };
            (start, body)
        };
        self.bodies = listed.into_iter().map(body).collect();
    }

    /// Where an entry says that a function starts and ends, and whether that is
    /// in the middle of a frame.
    fn unwind_entry(
        &self,
        frame: &EhFrame<gimli::EndianSlice<'_, RunTimeEndian>>,
        bases: &BaseAddresses,
        fde: &Fde<'_>,
    ) -> Option<(u64, u64, bool)> {
        let start = fde.initial_address();
        let region = self.image.code_region(start)?;
        // The linker describes its stubs as one function, whose first 16 bytes
        // lead to the loader.
        let stub = start.saturating_add(16);
        if !self.image.may_start(start) || self.image.imports.contains_key(&stub) {
            return None;
        }
        let end = start.saturating_add(fde.len()).min(region.data_end());
        let mid_frame = starts_mid_frame(frame, bases, fde, self.image.arch.return_size());
        (end > start).then_some((start, end, mid_frame))
    }

    /// Functions that the file lists in another table than its symbols.
    fn known(&mut self) {
        let image = self.image;
        for known in &image.known {
            let Some(region) = image.code_region(known.address) else {
                continue;
            };
            if !image.may_start(known.address) {
                continue;
            }
            let end = known.end.unwrap_or(known.address);
            self.bodies.entry(known.address).or_insert(Body {
                end: end.clamp(known.address, region.data_end()),
                source: known.source,
                confidence: 0.99,
                name: None,
                bounded: end > known.address,
                mid_frame: image.parts.contains_key(&known.address),
            });
        }
    }

    fn symbols(&mut self) {
        let image = self.image;
        self.name(&image.functions, |symbol| match symbol.dynamic {
            true => Source::DynamicSymbol,
            false => Source::Symbol,
        });
        self.name(&image.pdb, |_| Source::Pdb);
    }

    /// Takes in functions that have names; those of later calls win.
    fn name(&mut self, symbols: &'i [FunctionSymbol], source: fn(&FunctionSymbol) -> Source) {
        let image = self.image;
        // Of several names for one address the most public wins, then the one
        // that looks least like an implementation detail.
        let rank = |s: &FunctionSymbol| {
            (
                !s.global,
                s.name.starts_with('_'),
                s.name.contains('.'),
                s.dynamic,
            )
        };
        let mut order: Vec<_> = symbols.iter().map(|s| (s.address, s)).collect();
        order.sort_by_key(|(address, _)| *address);
        let best = order.chunk_by(|a, b| a.0 == b.0).filter_map(|alike| {
            let alike = alike.iter().map(|(_, symbol)| *symbol);
            alike.min_by(|a, b| (rank(a), &a.name).cmp(&(rank(b), &b.name)))
        });
        for symbol in best {
            let address = symbol.address;
            let source = source(symbol);
            if let Some(body) = self.bodies.get_mut(&address) {
                body.name = Some(&symbol.name);
                body.source = source;
                body.confidence = 1.0;
                if !body.bounded && symbol.size > 0 {
                    let end = image.code_region(address).map_or(0, |r| r.data_end());
                    body.end = address.saturating_add(symbol.size).min(end);
                    body.bounded = body.end > address;
                }
                continue;
            }
            let Some(region) = image.code_region(address) else {
                continue;
            };
            let inside = self.around(address).is_some_and(|(_, body)| body.bounded);
            if inside && symbol.size == 0 {
                continue;
            }
            self.bodies.insert(
                address,
                Body {
                    end: address.saturating_add(symbol.size).min(region.data_end()),
                    source,
                    confidence: 1.0,
                    name: Some(&symbol.name),
                    bounded: symbol.size > 0,
                    mid_frame: false,
                },
            );
        }
    }

    /// Ends each body before the next one starts. Bodies that overlap are rare
    /// in real files, and in a hostile one each of thousands could be the whole
    /// program.
    fn separate(&mut self) {
        let mut next = u64::MAX;
        for (&start, body) in self.bodies.iter_mut().rev() {
            body.end = body.end.min(next);
            next = start;
        }
    }

    /// The body that `address` is in.
    fn around(&self, address: u64) -> Option<(u64, &Body<'i>)> {
        let (&start, body) = self.bodies.range(..=address).next_back()?;
        (address < body.end).then_some((start, body))
    }

    /// Reads all bodies, and those that they lead to.
    fn follow(&mut self) {
        let image = self.image;
        // Nothing tells where the code of a raw image ends.
        let data_too = image.format == Format::Raw;
        let mut asked: AddressMap<Source> = AddressMap::default();
        for (&start, body) in &self.bodies {
            if !body.bounded {
                asked.insert(start, body.source);
            }
        }
        self.unbounded = !asked.is_empty();
        for &root in image.entry.iter().chain(&image.roots) {
            asked.insert(root, Source::EntryPoint);
        }
        if image.arch == Arch::X86 {
            self.address_tables = step::tables_of_addresses(image);
        }
        // What it calls comes before what is only pointed at.
        if let Some((isa, entry)) = isa(image.arch).zip(image.entry)
            && let Some(main) = self.main_risc(isa, entry, entry.saturating_add(256))
        {
            asked.insert(main, Source::CallTarget);
        }
        let bounded = self.bodies.iter().filter(|(_, body)| body.bounded);
        let bounded: Vec<_> = bounded.map(|(&start, body)| (start, body.end)).collect();
        let listed = Sorted::new(bounded.iter().map(|body| body.0).collect());
        // Those bodies stay as they are.
        let inside = |address: u64| {
            let (start, end) = bounded[listed.last_up_to(address)?];
            (address < end).then_some(start)
        };
        // What data points to may be the labels of a jump table, too, and comes
        // last: then the functions around those are known.
        let labels = self.slots_of_labels();
        let code = |&(slot, target): &(u64, u64)| {
            let asked = self.reader.is_code(target) && inside(target).is_none();
            asked && !labels.contains(&slot) && !image.modes.is_label(target)
        };
        let stored = image.pointers.iter().copied().filter(code);
        let mut stored: Vec<u64> = stored.map(|(_, target)| target).collect();
        stored.extend(self.linked_pointers());
        stored.sort_unstable();
        stored.dedup();
        let mut unread = Vec::new();
        let mut first = true;
        let mut refused = AddressSet::default();
        let mut waiting: BTreeMap<u64, Source> = BTreeMap::new();
        let scanned = self.without_table();
        let (mut cursor, mut aligned) = (0, false);
        loop {
            let (first_body, first_edge) = (self.found.bodies.len(), self.found.edges.len());
            let end = |start| Some((start, self.bodies.get(&start)?.end));
            let placed: Vec<_> = unread.drain(..).filter_map(end).collect();
            let ends = if first { &bounded } else { &placed };
            first = false;
            self.read(ends);
            let mut own = Vec::new();
            for edge in &self.found.edges[first_edge..] {
                // Most lead to what the file lists, or back from a part that was
                // moved away.
                let start = inside(edge.target);
                match edge.how {
                    Reference::Branch | Reference::Through => continue,
                    Reference::Jump if start == Some(edge.target) => {}
                    _ if start.is_some() => continue,
                    _ => {}
                }
                let from = ends[edge.from as usize - first_body];
                let left_out = self
                    .left_out(from.0, edge)
                    .filter(|end| !refused.contains(end));
                let source = match edge.how {
                    // Between parts of one function, not to another.
                    Reference::Jump if aligned && edge.target % ALIGNMENT != 0 => continue,
                    Reference::Jump
                        if from.1 == edge.target && self.leads_to_padding(from.0, edge.target) =>
                    {
                        continue;
                    }
                    Reference::Jump if self.goes_on_at(edge.target) => {
                        own.push(edge.target);
                        continue;
                    }
                    _ if left_out.is_some() => {
                        own.extend(left_out);
                        continue;
                    }
                    Reference::Call | Reference::Jump => Source::CallTarget,
                    Reference::Address if data_too && !image.looks_like_code(edge.target) => {
                        continue;
                    }
                    Reference::Address => Source::Reference,
                    Reference::Branch | Reference::Through => continue,
                };
                // A listed function: no other body goes on there either.
                if start.is_some() {
                    refused.insert(edge.target);
                    continue;
                }
                // A jump is less than a call; a second look may raise it.
                let held = asked.entry(edge.target).or_insert(source);
                if source == Source::CallTarget && *held == Source::Reference {
                    *held = source;
                }
            }
            own.retain(|&target| refused.insert(target));
            if !own.is_empty() {
                for target in own {
                    // What one leads to may have gone over the next.
                    if self.goes_on_at(target) {
                        unread.extend(self.go_on(target));
                    }
                }
                continue;
            }
            let new = asked.drain().filter(|&(seed, _)| {
                refused.insert(seed)
                    && image.may_start(seed)
                    && !image.complete.contains(&seed)
                    && match self.around(seed) {
                        Some((start, body)) => !body.bounded && (start != seed || body.end == seed),
                        None => true,
                    }
            });
            let mut seeds: BTreeMap<u64, Source> = new.collect();
            // What is called comes first: much that is only referred to will be
            // a label inside.
            let weak = |source: &Source| *source == Source::Reference;
            if seeds.values().any(|source| !weak(source)) {
                waiting.extend(seeds.extract_if(.., |_, source| weak(source)));
            } else {
                seeds.append(&mut waiting);
                // Pointers to labels look like those to functions, but that no
                // function begins there.
                if image.arch == Arch::Arm {
                    let begins = |seed: &u64| {
                        let bytes = image.bytes_at(*seed).unwrap_or(&[]);
                        step::is_prologue(image, bytes, *seed)
                    };
                    if seeds.keys().any(begins) {
                        waiting.extend(seeds.extract_if(.., |seed, _| !begins(seed)));
                    }
                }
                seeds.retain(|&seed, _| {
                    let inside = self.around(seed).is_some_and(|(start, _)| start != seed);
                    image.may_start(seed) && !inside
                });
            }
            if seeds.is_empty() {
                let unknown = std::mem::take(&mut stored).into_iter().filter(|&target| {
                    image.may_start(target)
                        && !image.complete.contains(&target)
                        && self.around(target).is_none()
                        && refused.insert(target)
                });
                seeds.extend(unknown.map(|target| (target, Source::Reference)));
            }
            if seeds.is_empty() {
                // What nothing leads to follows something else.
                if cursor == 0 {
                    aligned = self.are_aligned();
                }
                let Some(seed) = self.next_gap(&scanned, aligned, &mut cursor) else {
                    break;
                };
                if aligned && seed % ALIGNMENT != 0 || self.goes_on_at(seed) {
                    unread.extend(self.go_on(seed));
                    continue;
                }
                seeds.insert(seed, Source::Gap);
                refused.insert(seed);
            }
            // The seeds bound each other, so they are placed before any is
            // followed.
            for (&seed, &source) in &seeds {
                self.place(seed, source);
            }
            for &seed in seeds.keys() {
                let limit = self
                    .bodies
                    .range(seed + 1..)
                    .next()
                    .map_or(u64::MAX, |(&s, _)| s);
                let end = self.extent(seed, limit);
                if let Some(body) = self.bodies.get_mut(&seed) {
                    body.end = end;
                }
                unread.push(seed);
            }
        }
        self.bodies.retain(|&start, body| body.end > start);
    }

    /// Code addresses in the data of a program that is loaded where it says: no
    /// relocation tells of them any more.
    fn linked_pointers(&self) -> impl Iterator<Item = u64> {
        let image = self.image;
        let isa = isa(image.arch);
        let fixed = image.format == Format::Elf
            && image.kind == BinaryKind::Executable
            && image.pointers.len() < 64
            && isa.is_some();
        let regions = image
            .regions
            .iter()
            .filter(move |r| fixed && r.writable && !r.executable);
        let size = image.arch.pointer_size() as usize;
        let words = regions.flat_map(move |r| r.data.chunks_exact(size));
        words
            .map(|word| image.code_address(image.arch.number(word)))
            .filter(move |&word| {
                // Labels of an interpreter's instructions are pointed at too.
                let bytes = image.bytes_in(word, word.saturating_add(64));
                let aligned = isa.is_some_and(|isa| word % isa.alignment() == 0);
                aligned
                    && image.may_start(word)
                    && !image.modes.is_label(word)
                    && step::is_prologue(image, bytes, word)
            })
    }

    /// The slots of jump tables, which lead to places inside of functions.
    fn slots_of_labels(&self) -> AddressSet {
        let image = self.image;
        let mut labels = AddressSet::default();
        for &table in &self.address_tables {
            let first = image.pointers.partition_point(|p| p.0 < table);
            let places = (table..next_table(&self.address_tables, table)).step_by(4);
            let slots = image.pointers[first..].iter().zip(places);
            let entries = slots.take_while(|((slot, target), expected)| {
                slot == expected && image.code_region(*target).is_some()
            });
            labels.extend(entries.map(|((slot, _), _)| *slot));
        }
        labels
    }

    /// The code that no table of functions covers, as far as half of it: such a
    /// table lists all functions, and what lies between them is no code. The
    /// unwind tables of macOS leave out some.
    fn without_table(&self) -> Vec<Range<u64>> {
        let image = self.image;
        // For Windows that is true of x86-64 alone: on AArch64 functions without
        // a frame are left out, and what 32-bit programs have is of one compiler.
        let partial = match image.format {
            Format::MachO => image.stripped && image.known.iter().all(|known| known.end.is_none()),
            _ => image.is_windows() && image.arch != Arch::X86_64,
        };
        let regions = image.regions.iter().filter(|r| r.executable && !r.plt);
        let listed = |region: &Range<u64>| -> u64 {
            let bodies = self.bodies.range(region.clone());
            let bounded = bodies.filter(|(_, body)| body.bounded);
            bounded.map(|(start, body)| body.end - start).sum()
        };
        regions
            .map(|region| region.start..region.data_end())
            .filter(|region| partial || listed(region) * 2 < region.end - region.start)
            .collect()
    }

    /// The next place in `regions`, from `cursor` on, that belongs to no function
    /// and looks like code.
    fn next_gap(&self, regions: &[Range<u64>], aligned: bool, cursor: &mut u64) -> Option<u64> {
        let image = self.image;
        // Code of two bytes a function is no code, and a function takes more
        // memory than that.
        let code: u64 = regions.iter().map(|r| r.end - r.start).sum();
        if self.bodies.len() as u64 > MIN_FOLLOWERS + code / SMALLEST_MEAN {
            return None;
        }
        for region in regions {
            let mut at = region.start.max(*cursor);
            while at < region.end {
                if let Some((_, body)) = self.around(at) {
                    at = body.end;
                    continue;
                }
                // Past a seed that was no code and has no body.
                let next = self.bodies.range(at + 1..).next();
                let next = next.map_or(region.end, |(&start, _)| start.min(region.end));
                let gap = image.bytes_in(at, next);
                let Some(start) = step::after_padding(image, gap, at) else {
                    at = next;
                    continue;
                };
                *cursor = start + 1;
                // A stub between functions, or an entry of a jump table.
                if image.imports.contains_key(&start) {
                    at = match isa(image.arch) {
                        Some(_) => {
                            let last = self.steps(start, next).find(|step| step.ends);
                            last.map_or(next, |last| last.next())
                        }
                        None => start.saturating_add(STUB),
                    };
                    continue;
                }
                if image.arch == Arch::X86 && image.address_fields.contains(&start) {
                    at = start.saturating_add(4);
                    continue;
                }
                // Among aligned functions, code elsewhere is a part of that which it
                // stands right behind.
                let before = self.bodies.range(..start).next_back();
                let behind = before.is_some_and(|(_, body)| body.end == start && !body.bounded);
                if aligned && start % ALIGNMENT != 0 && !behind {
                    at = start.next_multiple_of(ALIGNMENT);
                    continue;
                }
                let mut steps = self.steps(start, next).take(PLAUSIBLE);
                let code = loop {
                    match steps.next() {
                        Some(step) if step.invalid => break false,
                        Some(step) if step.ends => break true,
                        Some(_) => {}
                        None => break true,
                    }
                };
                let code = code && (image.format != Format::Raw || image.looks_like_code(start));
                if code && image.may_start(start) {
                    return Some(start);
                }
                at = (start + 1).next_multiple_of(4);
            }
            *cursor = (*cursor).max(region.end);
        }
        None
    }

    /// Whether nearly all functions start where compilers put them for speed.
    /// Not their cold parts, and not where they save space.
    fn are_aligned(&self) -> bool {
        let (mut all, mut aligned) = (0usize, 0usize);
        for (&start, _) in self.bodies.iter().filter(|(_, b)| b.source != Source::Gap) {
            all += 1;
            aligned += usize::from(start % ALIGNMENT == 0);
        }
        isa(self.image.arch).is_none() && all > 0 && aligned * 10 >= all * 8
    }

    /// Whether a jump leads right behind its own body, where nothing is: what
    /// compilers make of code that is never reached, where they do not optimise.
    fn leads_to_padding(&self, from: u64, target: u64) -> bool {
        let ends = |body: &Body| body.bounded && body.end == target;
        let padding = self
            .image
            .bytes_in(target, target.saturating_add(MAX_PADDING));
        self.bodies.get(&from).is_some_and(ends)
            && step::after_padding(self.image, padding, target) != Some(target)
    }

    /// Whether the code at `seed`, which nothing leads to, belongs to the body
    /// that ends there.
    fn goes_on_at(&self, seed: u64) -> bool {
        if !self.unbounded {
            return false;
        }
        let before = self.bodies.range(..seed).next_back();
        before.is_some_and(|(_, body)| body.end == seed && !body.bounded)
            && convention::cannot_be_called(self.image, seed, |at| self.bodies.contains_key(&at))
    }

    /// Where a body ends that goes on behind its end, as far as the target of one
    /// of its own jumps: the code between is led to by exceptions alone.
    fn left_out(&self, from: u64, edge: &Edge) -> Option<u64> {
        if edge.how != Reference::Jump || !self.unbounded {
            return None;
        }
        let (&start, body) = self.bodies.range(..edge.target).next_back()?;
        let own = start == from && body.end < edge.target;
        (own && self.goes_on_at(body.end)).then_some(body.end)
    }

    /// Adds the code at `seed` to the body that ends there: what only exceptions
    /// lead to, or nothing at all. Returns the start of that body.
    fn go_on(&mut self, seed: u64) -> Option<u64> {
        let next = self.bodies.range(seed..).next();
        let limit = next.map_or(u64::MAX, |(&start, _)| start);
        let end = self.extent(seed, limit);
        let (&start, body) = self.bodies.range_mut(..seed).next_back()?;
        body.end = end;
        // It is read again as a whole, however often there is more.
        self.budget = self.budget.saturating_sub((end - start) / 16);
        Some(start)
    }

    fn place(&mut self, seed: u64, source: Source) {
        if let Some((&start, body)) = self.bodies.range_mut(..seed).next_back()
            && start < seed
        {
            body.end = body.end.min(seed);
        }
        let confidence = match source {
            Source::EntryPoint => 1.0,
            Source::CallTarget => 0.9,
            _ => 0.6,
        };
        self.unbounded = true;
        self.bodies.entry(seed).or_insert(Body {
            end: seed,
            source,
            confidence,
            name: None,
            bounded: false,
            mid_frame: false,
        });
    }

    /// Follows the code at `start` and tells where it ends, at most at `limit`.
    fn extent(&mut self, start: u64, limit: u64) -> u64 {
        let Some(region) = self.image.code_region(start) else {
            return start;
        };
        let limit = limit
            .min(region.data_end())
            .min(start.saturating_add(MAX_BYTES));
        let mut seen = AddressSet::default();
        // Where to go on, and what was compared before.
        let mut open: Vec<(u64, Option<u64>)> = vec![(start, None)];
        // Jumps over code that nothing has led to yet, lowest first.
        let mut held: BTreeMap<u64, bool> = BTreeMap::new();
        let mut named = Named::default();
        let mut end = start;
        let mut by_table = false;
        let copies = self.copies(start, limit);
        // Code that is not optimised has such jumps, but makes a frame first.
        let bytes = self.image.bytes_in(start, limit);
        // Elsewhere leaves have none.
        let frameless =
            self.image.arch == Arch::Aarch64 && !step::is_prologue(self.image, bytes, start);
        loop {
            while let Some((at, most)) = open.pop() {
                if at >= limit || seen.contains(&at) {
                    continue;
                }
                let left = MAX_INSTRUCTIONS.saturating_sub(seen.len());
                let mut restored = false;
                (named.most, named.entry, named.offset) = (most, 0, 0);
                let (mut called, mut calls) = (false, false);
                for step in self.part_steps(at, limit, copies).take(left) {
                    self.budget = self.budget.saturating_sub(step.length);
                    // The call did not return, and the next function follows.
                    let next = called
                        && (step.saves || self.begins_after_call(step.address, limit))
                        || calls && self.is_filled_up(step.address, limit);
                    if next || step.invalid || self.budget == 0 || !seen.insert(step.address) {
                        break;
                    }
                    // 32-bit code takes arguments off the stack after a call.
                    let arguments = called && self.image.arch == Arch::X86;
                    called = matches!(step.reference, Some((_, Reference::Call)));
                    calls = step.calls;
                    end = end.max(step.next());
                    named.follow(&step);
                    if let Some(target) = step.branch_target()
                        && (start..limit).contains(&target)
                        && !self.image.imports.contains_key(&target)
                    {
                        if step.is_jump() && target >= end {
                            // Nobody jumps to what follows anyway, but to a
                            // function that happens to stand there.
                            let leaves = restored || frameless && target == step.next();
                            *held.entry(target).or_insert(true) &= leaves;
                        } else {
                            open.push((target, named.most));
                        }
                    }
                    if let Some(targets) = self.image.modes.targets(step.address) {
                        open.extend(targets.iter().map(|&target| (target, None)));
                    } else if step.indirect {
                        by_table = true;
                        let within = start..limit;
                        let tables = std::mem::take(&mut self.address_tables);
                        let cases =
                            switch::cases(self.image, &mut self.budget, &named, &within, |table| {
                                next_table(&tables, table)
                            });
                        open.extend(cases.into_iter().map(|target| (target, None)));
                        self.address_tables = tables;
                    }
                    restored = step.restores && !arguments;
                    if step.ends || self.leaves(&step, limit) {
                        break;
                    }
                }
            }
            let Some((target, restored)) = held.pop_first() else {
                // What the code has beside it belongs to it.
                return self.with_data(end, limit);
            };
            // A jump to another function is its last deed: the frame is gone, or
            // there never was one and a new one begins there.
            let bytes = self.image.bytes_in(target, limit);
            // In 32-bit code arguments are pushed where a block begins.
            let begins = self.image.arch != Arch::X86 || target % ALIGNMENT == 0;
            let tail = restored
                || begins && step::is_prologue(self.image, bytes, target)
                || frameless && !by_table && self.stands_apart(start, end, target, limit);
            if target < end || !tail {
                open.push((target, None));
            }
        }
    }

    /// Whether the code at `target` is of another function than that from `start`
    /// to `end`, which jumps there over code that nothing leads to: it does not
    /// lead back, as the end of a loop and what two branches share do.
    fn stands_apart(&mut self, start: u64, end: u64, target: u64, limit: u64) -> bool {
        let between = self.image.bytes_in(end, target);
        let padded = step::after_padding(self.image, between, end) != Some(end);
        let leads_back = |step: Step| {
            let target_of = step.branch_target();
            target_of.is_some_and(|to| (start..target).contains(&to))
        };
        let mut count = 0;
        let counted = |_: &Step| count += 1;
        let mut steps = self.steps(target, limit).take(LEADS_BACK).inspect(counted);
        let apart = !padded && !steps.any(leads_back);
        self.budget = self.budget.saturating_sub(4 * count);
        apart
    }

    /// The end of code together with the data that follows, which may be
    /// aligned.
    fn with_data(&self, end: u64, limit: u64) -> u64 {
        if matches!(self.image.arch, Arch::PowerPc64 | Arch::PowerPc64Le)
            && let Some(end) = self.with_traceback(end, limit)
        {
            return end;
        }
        let modes = &self.image.modes;
        let mut at = end;
        if let Some(isa) = isa(self.image.arch) {
            let bytes = self.image.bytes_in(end, limit.min(end.saturating_add(8)));
            let codes = Codes::new(isa, self.image, bytes, end);
            for (code, _) in codes.take_while(|(code, _)| isa.is_nop(code)) {
                at = code.address + u64::from(code.length);
            }
        }
        if !modes.is_data(at) {
            return end;
        }
        while at < limit && modes.is_data(at) {
            at = modes.at(at).1.min(limit);
        }
        at
    }

    /// The end of a function of 64-bit PowerPC together with its traceback table:
    /// a word that is no instruction, and two that LLVM leaves empty. A call that
    /// does not come back has its `nop`, a jump to another function one more zero
    /// before them.
    fn with_traceback(&self, end: u64, limit: u64) -> Option<u64> {
        let words: Vec<u64> = self
            .image
            .bytes_in(end, limit.min(end.saturating_add(20)))
            .chunks_exact(4)
            .map(|word| self.image.arch.number(word))
            .collect();
        let nops = usize::from(words.first() == Some(&POWERPC_NOP));
        let zeros = words.iter().skip(nops).take(4);
        let zeros = zeros.take_while(|word| **word == 0).count();
        (zeros >= 3).then(|| end + 4 * (nops + zeros) as u64)
    }

    /// Whether only traps lie between a call and where the next function may
    /// begin, as some linkers and compilers fill up with: no code goes on with one.
    fn is_filled_up(&self, address: u64, limit: u64) -> bool {
        let aligned = address.checked_next_multiple_of(ALIGNMENT).unwrap_or(limit);
        let filled = aligned.min(limit).saturating_sub(address) as usize;
        let padding = self.image.bytes_in(address, limit).get(..filled);
        isa(self.image.arch).is_none()
            && filled > 0
            && padding.is_some_and(|b| b.iter().all(|b| *b == 0xcc))
    }

    /// Whether another function begins behind a call, which then does not return.
    fn begins_after_call(&self, address: u64, limit: u64) -> bool {
        let (image, arch) = (self.image, self.image.arch);
        let padding = image.bytes_in(address, limit.min(address.saturating_add(MAX_PADDING)));
        let Some(start) = step::after_padding(image, padding, address) else {
            return false;
        };
        // Code for x86 pushes arguments after a call, and aligns its functions.
        let apart = match arch {
            Arch::X86_64 => start % 16 == 0,
            Arch::X86 => start % 16 == 0 && start > address,
            _ => true,
        };
        apart && step::is_prologue(image, image.bytes_in(start, limit), start)
    }

    /// Whether a call does not come back. The compiler knows that of functions
    /// that are declared so; of others only where it looked: then another
    /// function follows.
    fn leaves(&self, step: &Step, limit: u64) -> bool {
        let Some((target, Reference::Call | Reference::Through)) = step.reference else {
            return false;
        };
        if !self.no_return.contains(&target) {
            return false;
        }
        let next = step.next();
        let bytes = self.image.bytes_in(next, limit);
        self.declared.contains(&target)
            || step::after_padding(self.image, bytes, next) != Some(next)
            || step::is_prologue(self.image, bytes, next)
    }

    /// The instructions from `start` to `end`.
    fn steps(&self, start: u64, end: u64) -> Steps<'i> {
        self.part_steps(start, end, 0)
    }

    /// The same inside of a function that has copies of the global register.
    fn part_steps(&self, start: u64, end: u64, copies: u32) -> Steps<'i> {
        let image = self.image;
        Steps::new(image, image.bytes_in(start, end), start, copies)
    }

    /// The registers in which the function at `start` copies the global one.
    fn copies(&self, start: u64, end: u64) -> u32 {
        copies(self.image, start, end)
    }

    /// Notes what bodies refer to outside of themselves. Threads share them, and
    /// what they find is put together in the order of the bodies.
    fn read(&mut self, bodies: &[(u64, u64)]) {
        let (reader, no_return) = (&self.reader, &self.no_return);
        let read = |bodies: &[(u64, u64)]| {
            let mut found = Findings::with_room(bodies);
            for &(start, end) in bodies {
                found.read(reader, no_return, start, end);
            }
            found
        };
        let code: u64 = bodies.iter().map(|(start, end)| end - start).sum();
        let threads = self.threads.min((code / WORTH_A_THREAD) as usize);
        if threads < 2 {
            if self.found.edges.is_empty() {
                self.found.edges = Findings::with_room(bodies).edges;
            }
            for &(start, end) in bodies {
                self.found.read(reader, no_return, start, end);
            }
            return;
        }
        let parts = in_parts(bodies, code / threads as u64 + 1);
        let (own, others) = parts.split_first().unwrap_or((&bodies, &[]));
        let parts = std::thread::scope(|scope| {
            let begin = |&part| {
                let thread = std::thread::Builder::new();
                (part, thread.spawn_scoped(scope, move || read(part)))
            };
            let others: Vec<_> = others.iter().map(begin).collect();
            let own = read(own);
            let others = others.into_iter().map(|(part, thread)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // The system has no more threads.
                Err(_) => read(part),
            });
            std::iter::once(own).chain(others).collect::<Vec<_>>()
        });
        parts.into_iter().for_each(|part| self.found.add(part));
    }

    /// Follows jump tables to parts of a function that nothing else leads to.
    /// A table holds distances from itself in position-independent code, and
    /// addresses otherwise; it ends where an entry leads to neither the function
    /// nor the start of another body, of which `starts` are all.
    fn jump_tables(&mut self, starts: &Sorted) {
        let mut tables = std::mem::take(&mut self.found.tables);
        tables.sort_unstable();
        tables.dedup();
        for (from, table) in tables {
            let Some(end) = self.bodies.get(&from).map(|b| b.end) else {
                continue;
            };
            let bytes = self.image.bytes_at(table).unwrap_or(&[]);
            let relative = bytes
                .chunks_exact(4)
                .map(|entry| table.wrapping_add_signed(self.image.arch.signed(entry)));
            let absolute = self.image.pointers_from(table).take(MAX_TABLE);
            let mut entries: Vec<u64> = Vec::new();
            let inside = |target: u64| (from..end).contains(&target);
            let wanted = |target: &u64| inside(*target) || starts.find(*target).is_some();
            entries.extend(relative.take(MAX_TABLE).take_while(wanted));
            entries.extend(absolute.take_while(wanted));
            // Many references could lead to one long table.
            if self.budget < entries.len() as u64 {
                return;
            }
            self.budget -= entries.len() as u64;
            let outside = entries.into_iter().filter(|&target| !inside(target));
            let body = self.found.bodies.len() as u32;
            self.found.bodies.push(from);
            self.found.edges.extend(outside.map(|target| Edge {
                target,
                from: body,
                how: Reference::Branch,
                times: 1,
            }));
        }
    }

    /// Names that other tables than the symbols have.
    fn name_known(&mut self) {
        for (start, body) in &mut self.bodies {
            let known = || self.image.known_names.get(start).map(String::as_str);
            body.name = body.name.or_else(known);
        }
    }

    /// `_start` of the C library hands `main` to a function that never
    /// returns: `lea rdi, main` (or `mov`), `call`, `hlt`.
    fn name_main(&mut self) {
        if let Some((entry, name)) = self.image.entry.zip(self.image.entry_name) {
            if let Some(body) = self.bodies.get_mut(&entry) {
                body.name.get_or_insert(name);
            }
            return;
        }
        let elf = self.image.format == Format::Elf;
        let Some(entry) = self.image.entry.filter(|_| elf) else {
            return;
        };
        let Some(body) = self.bodies.get_mut(&entry) else {
            return;
        };
        body.name.get_or_insert(START);
        let end = body.end;
        if let Some(isa) = isa(self.image.arch) {
            let main = self.main_risc(isa, entry, end);
            if let Some(body) = main.and_then(|main| self.bodies.get_mut(&main)) {
                body.name.get_or_insert("main");
            }
            return;
        }
        let bytes = self.image.bytes_in(entry, body.end);
        let mut main = None;
        let mut called = false;
        let bits = self.image.arch.bits();
        for instruction in &mut Decoder::with_ip(bits, bytes, entry, DecoderOptions::NONE) {
            match instruction.code() {
                Code::Lea_r64_m if instruction.op0_register() == Register::RDI => {
                    main = reference(&instruction, self.image.absolute);
                }
                Code::Mov_rm64_imm32 if instruction.op0_register() == Register::RDI => {
                    main = reference(&instruction, self.image.absolute);
                }
                // 32-bit: the last that is pushed is the first argument.
                Code::Pushd_imm32 => main = reference(&instruction, self.image.absolute),
                Code::Hlt if called => {
                    if let Some(body) = main.and_then(|(main, _)| self.bodies.get_mut(&main)) {
                        body.name.get_or_insert("main");
                    }
                    break;
                }
                _ => {}
            }
            called = instruction.flow_control() == FlowControl::Call
                || instruction.flow_control() == FlowControl::IndirectCall;
        }
    }

    /// The functions that GCC's start files add to every program. Those of
    /// `crtbegin.o` lie one behind the other; the last two are the first of the
    /// arrays that the loader runs, and lead to the others.
    fn name_start_files(&mut self) {
        let stated = self.image.start_files;
        let (Some(dummy), Some(dtors)) = (stated.first_init, stated.first_fini) else {
            return;
        };
        let near = |low: u64, high: u64| low < high && high - low <= MOST_OF_START_FILES;
        if !near(dtors, dummy) {
            return;
        }
        let edges = &self.found.edges;
        let targets_of = |body: u64| {
            let from = self.found.bodies.iter().rposition(|&start| start == body);
            let of = edges
                .iter()
                .filter(move |edge| Some(edge.from as usize) == from);
            of.filter(|edge| edge.how != Reference::Address)
                .map(|edge| edge.target)
                .filter(|target| self.bodies.contains_key(target))
        };
        let Some(register) = targets_of(dummy).find(|&target| near(target, dtors)) else {
            return;
        };
        // 32-bit code may call what tells it where it is before.
        let called = targets_of(dtors).filter(|&target| near(target, register));
        let Some(deregister) = called.max() else {
            return;
        };
        let crtbegin = [deregister, register, dtors, dummy].map(Some);
        let starts = [stated.init, stated.fini].into_iter().chain(crtbegin);
        for (start, name) in starts.zip(START_FILES) {
            if let Some(body) = start.and_then(|start| self.bodies.get_mut(&start)) {
                body.name.get_or_insert(name);
            }
        }
    }

    /// What `_start` has in the register of the first argument when it first
    /// calls.
    fn main_risc(&self, isa: &'static dyn Isa, entry: u64, end: u64) -> Option<u64> {
        let bytes = self.image.bytes_in(entry, end);
        let mut main = None;
        for (code, whole) in Codes::new(isa, self.image, bytes, entry) {
            let table = isa.main_table();
            let second = |table: u64| {
                let size = self.image.arch.pointer_size();
                self.image.pointer(table.wrapping_add(size))
            };
            match code.op {
                Op::Address { to, .. }
                | Op::Add { to, .. }
                | Op::Number { to, .. }
                | Op::Sum { to, .. }
                    if to == isa.argument() =>
                {
                    main = whole.map(|main| self.image.code_address(main));
                }
                Op::Add { to, .. } if Some(to) == table => main = whole.and_then(second),
                Op::SumMemory { loads, .. } if loads == Some(isa.argument()) => {
                    main = whole.and_then(|slot| self.image.pointer(slot));
                }
                Op::Memory { access } if access.loads == Some(isa.argument()) => {
                    main = whole.and_then(|slot| self.image.pointer(slot));
                }
                Op::Memory { access } if access.loads.is_some() && access.loads == table => {
                    main = whole
                        .and_then(|slot| self.image.pointer(slot))
                        .and_then(second);
                }
                _ => {}
            }
            let callee = match code.op {
                Op::Call(target) => Some(target),
                Op::Branch(target) if table.is_some() => Some(target),
                Op::CallRegister(_) | Op::CallAt { .. } => whole,
                _ => None,
            };
            if let Some(callee) = callee {
                let import = self.image.imports.get(&callee).map(|import| &import.name);
                // The global register may be set by a function of its own.
                if let Some(name) = import.or_else(|| self.image.slots.get(&callee)) {
                    return main.filter(|_| name.contains("libc_start_main"));
                }
            }
        }
        None
    }

    /// Parts of functions that the compiler moved away because they rarely run,
    /// each with the function that it belongs to. They have unwind entries of
    /// their own, but are reached only by jumps from one other function. `starts`
    /// are those of the bodies.
    fn cold_parts(&self, starts: &Sorted, joined: &Joined) -> AddressMap<u64> {
        #[derive(Default, Clone)]
        struct Seen {
            parent: Option<u64>,
            other_parents: bool,
            taken: bool,
            /// By a jump on a condition, as to a part more often than to a function.
            branched: bool,
            /// A jump leads back into the middle of the parent.
            returns: bool,
        }
        let edges = &self.found.edges;
        let mut incoming = vec![Seen::default(); self.bodies.len()];
        for (edge, &to) in edges.iter().zip(&joined.to) {
            let Some(seen) = incoming.get_mut(to as usize) else {
                continue;
            };
            match edge.how {
                Reference::Call | Reference::Address => seen.taken = true,
                Reference::Jump | Reference::Branch => {
                    let from = self.found.from(edge);
                    seen.branched |= edge.how == Reference::Branch;
                    seen.other_parents |= seen.parent.is_some_and(|parent| parent != from);
                    seen.parent.get_or_insert(from);
                }
                Reference::Through => {}
            }
        }
        let stored = self.image.pointers.iter();
        for at in stored.filter_map(|&(_, target)| starts.find(target)) {
            incoming[at].taken = true;
        }
        // Where the names say that a body is a part.
        let whole = |body: &Body<'i>| {
            // Few names have a dot at all.
            let name = body.name.filter(|name| name.contains('.'))?;
            Some(name.split_once(COLD)?.0)
        };
        if self.bodies.values().any(|body| whole(body).is_some()) {
            let names: HashMap<&str, u64> = self
                .bodies
                .iter()
                .filter_map(|(&start, b)| Some((b.name?, start)))
                .collect();
            for (seen, body) in incoming.iter_mut().zip(self.bodies.values()) {
                let named = || names.get(whole(body)?).copied();
                seen.parent = seen.parent.or_else(named);
            }
        }
        // The body that an edge is of, and the parent of that.
        let (mut from, mut part) = (NONE, None);
        let jumps = |edge: &&Edge| matches!(edge.how, Reference::Jump | Reference::Branch);
        for edge in edges.iter().filter(jumps) {
            if from != edge.from {
                from = edge.from;
                let at = joined.from[from as usize] as usize;
                let parent = incoming.get(at).and_then(|seen| seen.parent);
                part = parent.and_then(|parent| Some((at, parent, self.bodies.get(&parent)?.end)));
            }
            if let Some((at, parent, end)) = part {
                incoming[at].returns |= parent < edge.target && edge.target < end;
            }
        }
        // Compilers align functions but not their cold parts, except where they
        // save space and align nothing.
        let alignment_tells = self.are_aligned();
        let mut parts = AddressMap::default();
        for ((&start, body), seen) in self.bodies.iter().zip(&incoming) {
            // Some files say so themselves.
            if let Some(&Some(parent)) = self.image.parts.get(&start)
                && self.bodies.contains_key(&parent)
            {
                parts.insert(start, parent);
                continue;
            }
            let Some(parent) = seen.parent else {
                continue;
            };
            let cold_name = whole(body).is_some();
            if !cold_name && (seen.taken || seen.other_parents || body.name.is_some()) {
                continue;
            }
            let unaligned = alignment_tells && start % ALIGNMENT != 0 && parent % ALIGNMENT == 0;
            let unwound = body.bounded && (body.mid_frame || unaligned);
            let unlisted = body.source == Source::Gap && (seen.branched || unaligned);
            if cold_name || unwound || unlisted || seen.returns {
                parts.insert(start, parent);
            }
        }
        parts
    }

    fn finish(&self, parts: &AddressMap<u64>) -> Vec<Function> {
        // A part of a part belongs to the function of the latter. The walk is
        // bounded because a file could make a circle of parts: those stand on
        // their own.
        let owner = |start: u64| -> Option<u64> {
            let mut owner = *parts.get(&start)?;
            for _ in 0..8 {
                match parts.get(&owner) {
                    Some(&next) => owner = next,
                    None => return Some(owner),
                }
            }
            None
        };
        let mut moved: Vec<(u64, Range<u64>)> = Vec::with_capacity(parts.len());
        let mut whole = Vec::with_capacity(self.bodies.len());
        for (&start, body) in &self.bodies {
            match owner(start) {
                Some(owner) => moved.push((owner, start..body.end)),
                None => whole.push((start, body)),
            }
        }
        // Those of one function keep their order.
        moved.sort_by_key(|part| part.0);
        let mut moved = moved.into_iter().peekable();
        let mut functions = Vec::with_capacity(whole.len());
        for (start, body) in whole {
            // Of those of no function there are none, or they are passed over.
            while moved.next_if(|part| part.0 < start).is_some() {}
            let parts = std::iter::from_fn(|| moved.next_if(|part| part.0 == start));
            let main = start..body.end;
            let mut ranges = vec![main];
            ranges.extend(parts.map(|part| part.1));
            functions.push(Function {
                address: start,
                rva: start.wrapping_sub(self.image.base),
                size: ranges.iter().map(|r| r.end - r.start).sum(),
                kind: self.kind(start, body.end),
                ranges,
                name: body.name.map(str::to_owned),
                section: self.image.code_region(start).map_or(0, |r| r.section),
                source: body.source,
                confidence: body.confidence,
            });
        }
        functions
    }

    /// Which of `functions` calls which, or jumps to it. `starts` are those of
    /// the bodies.
    fn calls(&self, functions: &[Function], starts: &Sorted, joined: &Joined) -> Vec<(u32, u32)> {
        let mut owners = vec![None; self.bodies.len()];
        for (index, function) in (0u32..).zip(functions) {
            for range in &function.ranges {
                if let Some(body) = starts.find(range.start) {
                    owners[body] = Some(index);
                }
            }
        }
        let owner = |body: u32| *owners.get(body as usize)?;
        let mut calls = Vec::with_capacity(self.found.edges.len());
        for (edge, &to) in self.found.edges.iter().zip(&joined.to) {
            if matches!(
                edge.how,
                Reference::Call | Reference::Jump | Reference::Branch
            ) && let Some(to) = owner(to)
                && let Some(from) = owner(joined.from[edge.from as usize])
                && from != to
            {
                calls.push((from, to));
            }
        }
        let by_callee = turned(&calls, functions.len());
        let mut calls = turned(&by_callee, functions.len());
        calls.dedup();
        calls
    }

    fn kind(&self, start: u64, end: u64) -> Kind {
        if let Some(isa) = isa(self.image.arch) {
            return self.kind_risc(isa, start, end);
        }
        let bytes = self
            .image
            .bytes_in(start, end.min(start.saturating_add(32)));
        let bits = self.image.arch.bits();
        // What refers to nothing need not be decoded.
        let first = bytes.strip_prefix(&ENDBR64).unwrap_or(bytes).first_chunk();
        if bits == 64 && first.is_some_and(|code| quiet_length(u64::from_le_bytes(*code)).is_some())
        {
            return Kind::Normal;
        }
        for instruction in &mut Decoder::with_ip(bits, bytes, start, DecoderOptions::NONE) {
            match instruction.code() {
                Code::Endbr64 | Code::Endbr32 => {}
                Code::Jmp_rel32_64 | Code::Jmp_rel8_64 | Code::Jmp_rel32_32 | Code::Jmp_rel8_32 => {
                    let target = instruction.near_branch_target();
                    return if (start..end).contains(&target) {
                        Kind::Normal
                    } else {
                        Kind::Thunk
                    };
                }
                Code::Jmp_rm64 | Code::Jmp_rm32 => match absolute_operand(&instruction) {
                    Some(slot) if self.image.slots.contains_key(&slot) => return Kind::Plt,
                    Some(_) => return Kind::Thunk,
                    None => return Kind::Normal,
                },
                _ => return Kind::Normal,
            }
        }
        Kind::Normal
    }

    fn kind_risc(&self, isa: &'static dyn Isa, start: u64, end: u64) -> Kind {
        let bytes = self.image.bytes_in(start, end);
        let mut slot = None;
        for (code, whole) in Codes::new(isa, self.image, bytes, start).take(6) {
            match code.op {
                Op::Branch(target) if !(start..end).contains(&target) => return Kind::Thunk,
                Op::Memory { .. } if whole.is_some() => slot = whole,
                Op::Jump(_) | Op::JumpAt { .. }
                    if slot.is_some_and(|slot| self.image.slots.contains_key(&slot)) =>
                {
                    return Kind::Plt;
                }
                Op::JumpAt { .. } if whole.is_some() => return Kind::Thunk,
                Op::Page { .. } | Op::Upper { .. } | Op::AddUpper { .. } | Op::Add { .. } => {}
                _ if isa.is_nop(&code) => {}
                _ => return Kind::Normal,
            }
        }
        Kind::Normal
    }
}

/// Pairs of numbers below `count`, each the other way round, ascending by what
/// then comes first; those that are alike in that keep their order.
pub(crate) fn turned(pairs: &[(u32, u32)], count: usize) -> Vec<(u32, u32)> {
    // Where those of each number go.
    let mut places = vec![0u32; count + 1];
    for pair in pairs {
        places[pair.1 as usize + 1] += 1;
    }
    let mut sum = 0;
    for place in &mut places {
        sum += *place;
        *place = sum;
    }
    let mut turned = vec![(0, 0); pairs.len()];
    for &(first, second) in pairs {
        let place = &mut places[second as usize];
        turned[*place as usize] = (second, first);
        *place += 1;
    }
    turned
}

/// `bodies` in parts of about so many bytes of code.
fn in_parts(bodies: &[(u64, u64)], size: u64) -> Vec<&[(u64, u64)]> {
    let mut left = size;
    let full = |body: &(u64, u64)| {
        let bytes = body.1 - body.0;
        let ends = bytes >= left;
        left = if ends { size } else { left - bytes };
        ends
    };
    bodies.split_inclusive(full).collect()
}

/// The registers in which the function from `start` to `end` copies the global
/// one.
fn copies(image: &Image<'_>, start: u64, end: u64) -> u32 {
    isa(image.arch).map_or(0, |isa| {
        Codes::new(isa, image, image.bytes_in(start, end), start).copies()
    })
}

/// Where the next of `tables` begins, which ends that at `table`.
fn next_table(tables: &[u64], table: u64) -> u64 {
    let next = tables.partition_point(|&t| t <= table);
    tables.get(next).copied().unwrap_or(u64::MAX)
}

/// Whether an unwind entry begins with the stack in another state than a call
/// leaves it in: it then says so before it first advances. The shared
/// description, which all entries start from, is taken to be the usual one.
fn starts_mid_frame(
    frame: &EhFrame<gimli::EndianSlice<'_, RunTimeEndian>>,
    bases: &BaseAddresses,
    fde: &Fde<'_>,
    word: u64,
) -> bool {
    let mut instructions = fde.instructions(frame, bases);
    for _ in 0..16 {
        match instructions.next() {
            Ok(Some(CallFrameInstruction::DefCfaOffset { offset })) => return offset != word,
            Ok(Some(
                CallFrameInstruction::DefCfa { .. }
                | CallFrameInstruction::DefCfaRegister { .. }
                | CallFrameInstruction::DefCfaExpression { .. },
            )) => return true,
            Ok(Some(CallFrameInstruction::AdvanceLoc { .. })) | Ok(None) | Err(_) => return false,
            Ok(Some(_)) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_turned_and_keep_their_order() {
        let pairs = [(3, 1), (0, 2), (2, 1), (3, 0)];
        let by_second = turned(&pairs, 4);
        assert_eq!(by_second, [(0, 3), (1, 3), (1, 2), (2, 0)]);
        let sorted = turned(&by_second, 4);
        assert_eq!(sorted, [(0, 2), (2, 1), (3, 0), (3, 1)]);
        assert!(turned(&[], 0).is_empty());
    }
}
