//! Where the functions are.
//!
//! Symbols and the unwind table come first: on compiled code `.eh_frame` alone
//! misses no function that the compiler made. Entry points and the targets of
//! calls add the hand-written rest, but only outside of bodies that are already
//! known, which is what keeps the union as precise as its best part. A function
//! found in that way has no stated end and is followed as far as its own jumps
//! lead.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use gimli::{BaseAddresses, CallFrameInstruction, CieOrFde, EhFrame, RunTimeEndian, UnwindSection};
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Register};

use crate::image::Image;
use crate::program::{Arch, BinaryKind, Diagnostic, Format, Function, Kind, Source};
use crate::risc::{Codes, Isa, Op, isa};
use crate::step::{self, Reference, Steps, absolute_operand, reference};

/// Longest function that is followed or listed.
pub(crate) const MAX_BYTES: u64 = 1 << 20;
/// Most instructions of a function that are followed or listed.
pub(crate) const MAX_INSTRUCTIONS: usize = 1 << 16;

/// Most entries of a jump table that are read.
const MAX_TABLE: usize = 1024;
/// Jump tables of one function that are told apart.
const MAX_TABLES: usize = 64;
/// Instructions that must be some for code to be taken for code.
const PLAUSIBLE: usize = 8;

type Fde<'a> = gimli::FrameDescriptionEntry<gimli::EndianSlice<'a, RunTimeEndian>>;
type Cie<'a> = gimli::CommonInformationEntry<gimli::EndianSlice<'a, RunTimeEndian>>;

/// A function in the making; its start is its key.
#[derive(Debug)]
struct Body {
    end: u64,
    source: Source,
    confidence: f32,
    name: Option<String>,
    /// The file states where it ends.
    bounded: bool,
    /// The stack is not as a call leaves it when this code begins, so that
    /// nothing can call it.
    mid_frame: bool,
}

/// A reference from one body to an address outside of it.
#[derive(Debug, Clone, Copy)]
struct Edge {
    from: u64,
    target: u64,
    how: Reference,
}

struct Discovery<'i, 'd> {
    image: &'i Image<'d>,
    bodies: BTreeMap<u64, Body>,
    edges: Vec<Edge>,
    /// Constant data that functions with an indirect jump refer to.
    tables: Vec<(u64, u64)>,
    /// Work that may still be done where a file could ask for the same again and
    /// again: bytes of unbounded functions, entries of jump tables.
    budget: u64,
    diagnostics: Vec<Diagnostic>,
}

pub(crate) fn functions(image: &mut Image<'_>) -> Vec<Function> {
    let mut discovery = Discovery {
        image,
        bodies: BTreeMap::new(),
        edges: Vec::new(),
        tables: Vec::new(),
        budget: image
            .regions
            .iter()
            .filter(|r| r.executable)
            .map(|r| r.data.len() as u64)
            .sum(),
        diagnostics: Vec::new(),
    };
    discovery.budget = discovery.budget.saturating_mul(8);
    discovery.unwind_table();
    discovery.known();
    discovery.symbols();
    discovery.separate();
    discovery.follow();
    discovery.name_main();
    discovery.jump_tables();
    let parts = discovery.cold_parts();
    let functions = discovery.finish(&parts);
    let diagnostics = discovery.diagnostics;
    image.diagnostics.extend(diagnostics);
    functions
}

impl<'i> Discovery<'i, '_> {
    fn note(&mut self, address: Option<u64>, message: &str) {
        self.diagnostics.push(Diagnostic {
            address,
            message: message.into(),
        });
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
        let mut entries = frame.entries(&bases);
        loop {
            let partial = match entries.next() {
                Ok(Some(CieOrFde::Fde(partial))) => partial,
                Ok(Some(CieOrFde::Cie(_))) => continue,
                Ok(None) => break,
                Err(_) => {
                    self.note(None, "the unwind table is damaged and was read in part");
                    break;
                }
            };
            let parsed = partial.parse(|section, bases, at| {
                shared
                    .entry(at.0)
                    .or_insert_with(|| section.cie_from_offset(bases, at).ok())
                    .clone()
                    .ok_or(gimli::Error::NotCieId(at.0 as u64))
            });
            if let Ok(fde) = parsed {
                self.unwind_entry(&frame, &bases, &fde);
            }
        }
    }

    fn unwind_entry(
        &mut self,
        frame: &EhFrame<gimli::EndianSlice<'_, RunTimeEndian>>,
        bases: &BaseAddresses,
        fde: &Fde<'_>,
    ) {
        let start = fde.initial_address();
        let Some(region) = self.image.code_region(start) else {
            return;
        };
        // The linker describes its stubs as one function, whose first 16 bytes
        // lead to the loader.
        let stub = start.saturating_add(16);
        if !self.image.may_start(start) || self.image.imports.contains_key(&stub) {
            return;
        }
        let end = start.saturating_add(fde.len()).min(region.data_end());
        if end > start {
            self.bodies.entry(start).or_insert(Body {
                end,
                source: Source::UnwindTable,
                confidence: 0.99,
                name: None,
                bounded: true,
                mid_frame: starts_mid_frame(frame, bases, fde, self.image.arch.return_size()),
            });
        }
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
        // Of several names for one address the most public wins, then the one
        // that looks least like an implementation detail.
        let mut best: BTreeMap<u64, &crate::image::FunctionSymbol> = BTreeMap::new();
        let rank = |s: &crate::image::FunctionSymbol| {
            (
                !s.global,
                s.name.starts_with('_'),
                s.name.contains('.'),
                s.dynamic,
            )
        };
        for symbol in &image.functions {
            best.entry(symbol.address)
                .and_modify(|held| {
                    let (new, old) = (rank(symbol), rank(held));
                    if (new, symbol.name.as_str()) < (old, held.name.as_str()) {
                        *held = symbol;
                    }
                })
                .or_insert(symbol);
        }
        for (&address, symbol) in &best {
            let source = if symbol.dynamic {
                Source::DynamicSymbol
            } else {
                Source::Symbol
            };
            if let Some(body) = self.bodies.get_mut(&address) {
                body.name = Some(symbol.name.clone());
                body.source = source;
                body.confidence = 1.0;
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
                    name: Some(symbol.name.clone()),
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
    fn around(&self, address: u64) -> Option<(u64, &Body)> {
        let (&start, body) = self.bodies.range(..=address).next_back()?;
        (address < body.end).then_some((start, body))
    }

    /// Reads all bodies, and those that they lead to.
    fn follow(&mut self) {
        let image = self.image;
        let mut seeds: BTreeMap<u64, Source> = BTreeMap::new();
        for (&start, body) in &self.bodies {
            if !body.bounded {
                seeds.insert(start, body.source);
            }
        }
        for &root in image.entry.iter().chain(&image.roots) {
            seeds.insert(root, Source::EntryPoint);
        }
        for &(_, target) in &image.pointers {
            seeds.entry(target).or_insert(Source::Reference);
        }
        // What it calls comes before what is only pointed at.
        if let Some((isa, entry)) = isa(image.arch).zip(image.entry)
            && let Some(main) = self.main_risc(isa, entry, entry.saturating_add(256))
        {
            seeds.insert(main, Source::CallTarget);
        }
        for target in self.linked_pointers() {
            seeds.entry(target).or_insert(Source::Reference);
        }
        let mut unread: Vec<u64> = self
            .bodies
            .iter()
            .filter(|(_, b)| b.bounded)
            .map(|(&start, _)| start)
            .collect();
        let mut refused = HashSet::new();
        let mut waiting: BTreeMap<u64, Source> = BTreeMap::new();
        let scanned = self.without_table();
        let mut cursor = 0;
        loop {
            let first_edge = self.edges.len();
            for start in unread.drain(..) {
                if let Some(body) = self.bodies.get(&start) {
                    let end = body.end;
                    self.read(start, end);
                }
            }
            for edge in &self.edges[first_edge..] {
                let source = match edge.how {
                    Reference::Call | Reference::Jump => Source::CallTarget,
                    Reference::Address => Source::Reference,
                    Reference::Branch => continue,
                };
                // A jump is less than a call; a second look may raise it.
                let held = seeds.entry(edge.target).or_insert(source);
                if source == Source::CallTarget && *held == Source::Reference {
                    *held = source;
                }
            }
            seeds.retain(|&seed, _| refused.insert(seed));
            seeds.retain(|&seed, _| {
                image.may_start(seed)
                    && match self.around(seed) {
                        Some((start, body)) => !body.bounded && (start != seed || body.end == seed),
                        None => true,
                    }
            });
            // What is called comes first: much that is only referred to will be
            // a label inside.
            let weak = |source: &Source| *source == Source::Reference;
            if seeds.values().any(|source| !weak(source)) {
                waiting.extend(seeds.extract_if(.., |_, source| weak(source)));
            } else {
                seeds.append(&mut waiting);
                seeds.retain(|&seed, _| {
                    let inside = self.around(seed).is_some_and(|(start, _)| start != seed);
                    image.may_start(seed) && !inside
                });
            }
            if seeds.is_empty() {
                // What nothing leads to follows something else.
                let Some(seed) = self.next_gap(&scanned, &mut cursor) else {
                    break;
                };
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
            seeds.clear();
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
            .map(|word| image.arch.number(word))
            .filter(move |&word| {
                // Labels of an interpreter's instructions are pointed at too.
                let bytes = image.bytes_in(word, word.saturating_add(64));
                let aligned = isa.is_some_and(|isa| word % isa.alignment() == 0);
                aligned && image.may_start(word) && step::is_prologue(image, bytes, word)
            })
    }

    /// The code that no table of functions covers, as far as half of it: such a
    /// table lists all functions, and what lies between them is no code.
    fn without_table(&self) -> Vec<Range<u64>> {
        let image = self.image;
        let regions = image.regions.iter().filter(|r| r.executable && !r.plt);
        let listed = |region: &Range<u64>| -> u64 {
            let bodies = self.bodies.range(region.clone());
            let bounded = bodies.filter(|(_, body)| body.bounded);
            bounded.map(|(start, body)| body.end - start).sum()
        };
        regions
            .map(|region| region.start..region.data_end())
            .filter(|region| listed(region) * 2 < region.end - region.start)
            .collect()
    }

    /// The next place in `regions`, from `cursor` on, that belongs to no function
    /// and looks like code.
    fn next_gap(&self, regions: &[Range<u64>], cursor: &mut u64) -> Option<u64> {
        let image = self.image;
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
                // A stub between functions.
                if image.imports.contains_key(&start) {
                    let last = self.steps(start, next).find(|step| step.ends);
                    at = last.map_or(next, |last| last.next());
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
                if code && image.may_start(start) {
                    return Some(start);
                }
                at = (start + 1).next_multiple_of(4);
            }
            *cursor = (*cursor).max(region.end);
        }
        None
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
        let mut seen = HashSet::new();
        let mut open = vec![start];
        // Jumps over code that nothing has led to yet, lowest first.
        let mut held: BTreeMap<u64, bool> = BTreeMap::new();
        let mut tables: Vec<u64> = Vec::new();
        let mut end = start;
        let copies = self.copies(start, limit);
        loop {
            while let Some(at) = open.pop() {
                if at >= limit || seen.contains(&at) {
                    continue;
                }
                let left = MAX_INSTRUCTIONS.saturating_sub(seen.len());
                let (mut restored, mut most, mut entry) = (false, None, (0, 0));
                for step in self.part_steps(at, limit, copies).take(left) {
                    self.budget = self.budget.saturating_sub(step.length);
                    if step.invalid || self.budget == 0 || !seen.insert(step.address) {
                        break;
                    }
                    end = end.max(step.next());
                    most = step.compares.or(most);
                    if step.entry > 0 {
                        entry = (step.entry, step.offset);
                    }
                    if let Some(table) = step.table.filter(|table| !tables.contains(table))
                        && tables.len() < MAX_TABLES
                    {
                        tables.push(table);
                    }
                    if let Some(target) = step.branch_target()
                        && (start..limit).contains(&target)
                        && !self.image.imports.contains_key(&target)
                    {
                        if step.is_jump() && target >= end {
                            *held.entry(target).or_insert(true) &= restored;
                        } else {
                            open.push(target);
                        }
                    }
                    if step.indirect {
                        let within = start..limit;
                        open.extend(self.cases(&tables, &within, most, entry));
                    }
                    restored = step.restores;
                    if step.ends {
                        break;
                    }
                }
            }
            let Some((target, restored)) = held.pop_first() else {
                return end;
            };
            // A jump to another function is its last deed: the frame is gone, or
            // there never was one and a new one begins there.
            let bytes = self.image.bytes_in(target, limit);
            let tail = restored || step::is_prologue(self.image, bytes, target);
            if target < end || !tail {
                open.push(target);
            }
        }
    }

    /// Where a jump by one of `tables` may lead, inside of `within`: at most to
    /// `most` + 1 places, by entries of so many bytes, which begin at the table or
    /// so far behind it.
    fn cases(
        &mut self,
        tables: &[u64],
        within: &Range<u64>,
        most: Option<u64>,
        (entry, offset): (u64, i64),
    ) -> Vec<u64> {
        let image = self.image;
        let most = most.map_or(MAX_TABLE, |most| (most as usize).saturating_add(1));
        let most = most.min(MAX_TABLE);
        let mut found = Vec::new();
        let behind = tables.iter().filter(|_| offset != 0);
        let behind = behind.map(|table| table.wrapping_add_signed(offset));
        for table in tables.iter().copied().chain(behind) {
            let Some(region) = image.region(table) else {
                continue;
            };
            if within.contains(&table) && isa(image.arch).is_some() {
                continue;
            }
            let before = found.len();
            let bytes = image.bytes_at(table).unwrap_or(&[]);
            if entry == 4 && !region.writable {
                let relative = bytes.chunks_exact(4).take(most).map(|entry| {
                    let from = match image.arch {
                        Arch::X86 => image.got.unwrap_or(table),
                        Arch::Mips | Arch::Mipsel => image.global.unwrap_or(table),
                        _ => table,
                    };
                    from.wrapping_add_signed(image.arch.signed(entry))
                });
                found.extend(relative.take_while(|target| within.contains(target)));
            } else if image.arch == Arch::Aarch64 && matches!(entry, 1 | 2) {
                // Counted in instructions, from a label that the code names too.
                let labels = tables.iter().filter(|label| within.contains(label));
                for &label in labels {
                    let entries = bytes.chunks_exact(entry as usize).take(most);
                    let targets = entries.map(|raw| {
                        let high = raw.get(1).copied().unwrap_or(0);
                        label + 4 * u64::from(u16::from_le_bytes([raw[0], high]))
                    });
                    found.extend(targets.take_while(|target| within.contains(target)));
                }
            }
            if found.len() == before {
                let size = image.arch.pointer_size();
                // Whole addresses vouch for themselves, and a comparison before a
                // jump that threads an interpreter is of something else.
                let slots = (0..MAX_TABLE as u64).map(|entry| table.wrapping_add(entry * size));
                let targets = slots.map_while(|slot| image.pointer(slot));
                found.extend(targets.take_while(|target| within.contains(target)));
                // Two pointers in a row into one function may be chance.
                if found.len() < before + 3 {
                    found.truncate(before);
                }
            }
        }
        self.budget = self.budget.saturating_sub(found.len() as u64);
        found
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
        let image = self.image;
        isa(image.arch).map_or(0, |isa| {
            Codes::new(isa, image, image.bytes_in(start, end), start).copies()
        })
    }

    /// Notes what a body refers to outside of itself.
    fn read(&mut self, start: u64, end: u64) {
        let mut count = 0;
        let mut tables = Vec::new();
        let mut switches = false;
        for step in self.steps(start, end) {
            count += 1;
            switches |= step.indirect;
            if let Some(table) = step.table
                && self
                    .image
                    .region(table)
                    .is_some_and(|r| !r.executable && !r.writable)
            {
                tables.push(table);
            }
            if let Some((target, how)) = step.reference
                && !(start..end).contains(&target)
                && self.image.code_region(target).is_some()
            {
                self.edges.push(Edge {
                    from: start,
                    target,
                    how,
                });
            }
        }
        if end - start > MAX_BYTES || count > MAX_INSTRUCTIONS {
            self.note(
                Some(start),
                "this function is too long and is listed in part",
            );
        }
        if switches {
            self.tables
                .extend(tables.into_iter().map(|table| (start, table)));
        }
    }

    /// Follows jump tables to parts of a function that nothing else leads to.
    /// A table holds distances from itself in position-independent code, and
    /// addresses otherwise; it ends where an entry leads to neither the function
    /// nor the start of another body.
    fn jump_tables(&mut self) {
        let mut tables = std::mem::take(&mut self.tables);
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
            let size = self.image.arch.pointer_size();
            let slots = (0..MAX_TABLE as u64).map(|entry| table.wrapping_add(entry * size));
            let absolute = slots.map_while(|slot| self.image.pointer(slot));
            let mut entries: Vec<u64> = Vec::new();
            let inside = |target: u64| (from..end).contains(&target);
            let wanted = |target: &u64| inside(*target) || self.bodies.contains_key(target);
            entries.extend(relative.take(MAX_TABLE).take_while(wanted));
            entries.extend(absolute.take_while(wanted));
            // Many references could lead to one long table.
            if self.budget < entries.len() as u64 {
                return;
            }
            self.budget -= entries.len() as u64;
            let outside = entries.into_iter().filter(|&target| !inside(target));
            self.edges.extend(outside.map(|target| Edge {
                from,
                target,
                how: Reference::Jump,
            }));
        }
    }

    /// `_start` of the C library hands `main` to a function that never
    /// returns: `lea rdi, main` (or `mov`), `call`, `hlt`.
    fn name_main(&mut self) {
        if let Some((entry, name)) = self.image.entry.zip(self.image.entry_name) {
            if let Some(body) = self.bodies.get_mut(&entry) {
                body.name.get_or_insert_with(|| name.into());
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
        body.name.get_or_insert_with(|| "_start".into());
        let end = body.end;
        if let Some(isa) = isa(self.image.arch) {
            let main = self.main_risc(isa, entry, end);
            if let Some(body) = main.and_then(|main| self.bodies.get_mut(&main)) {
                body.name.get_or_insert_with(|| "main".into());
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
                        body.name.get_or_insert_with(|| "main".into());
                    }
                    break;
                }
                _ => {}
            }
            called = instruction.flow_control() == FlowControl::Call
                || instruction.flow_control() == FlowControl::IndirectCall;
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
                Op::Address { to, .. } | Op::Add { to, .. } if to == isa.argument() => main = whole,
                Op::Add { to, .. } if Some(to) == table => main = whole.and_then(second),
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
    /// their own, but are reached only by jumps from one other function.
    fn cold_parts(&self) -> HashMap<u64, u64> {
        #[derive(Default)]
        struct Seen {
            parent: Option<u64>,
            other_parents: bool,
            taken: bool,
        }
        let mut incoming: HashMap<u64, Seen> = HashMap::new();
        for edge in &self.edges {
            let seen = incoming.entry(edge.target).or_default();
            match edge.how {
                Reference::Jump | Reference::Branch => match seen.parent {
                    None => seen.parent = Some(edge.from),
                    Some(parent) => seen.other_parents |= parent != edge.from,
                },
                Reference::Call | Reference::Address => seen.taken = true,
            }
        }
        for &(_, target) in &self.image.pointers {
            incoming.entry(target).or_default().taken = true;
        }
        // A jump into the middle of the parent is a way back.
        let mut returns = HashSet::new();
        for edge in &self.edges {
            if matches!(edge.how, Reference::Jump | Reference::Branch)
                && let Some((start, _)) = self.around(edge.target)
                && start != edge.target
            {
                returns.insert((edge.from, start));
            }
        }
        // Compilers align functions but not their cold parts, except where they
        // save space and align nothing.
        let aligned = self.bodies.keys().filter(|&&start| start % 16 == 0).count();
        // On 64-bit PowerPC local functions are not aligned either.
        let arch = self.image.arch;
        let alignment_tells = aligned * 10 >= self.bodies.len() * 8
            && !matches!(arch, Arch::PowerPc64 | Arch::PowerPc64Le);
        let names: HashMap<&str, u64> = self
            .bodies
            .iter()
            .filter_map(|(&start, b)| Some((b.name.as_deref()?, start)))
            .collect();
        let unseen = Seen::default();
        let mut parts = HashMap::new();
        for (&start, body) in &self.bodies {
            // Some files say so themselves.
            if let Some(&Some(parent)) = self.image.parts.get(&start)
                && self.bodies.contains_key(&parent)
            {
                parts.insert(start, parent);
                continue;
            }
            let named = body.name.as_deref();
            let whole = named
                .and_then(|name| name.split_once(".cold"))
                .map(|(whole, _)| whole);
            let seen = incoming.get(&start);
            let parent = seen.and_then(|seen| seen.parent);
            let Some(parent) = parent.or_else(|| names.get(whole?).copied()) else {
                continue;
            };
            let (cold_name, seen) = (whole.is_some(), seen.unwrap_or(&unseen));
            if !cold_name && (seen.taken || seen.other_parents || named.is_some()) {
                continue;
            }
            let unaligned = alignment_tells && start % 16 != 0 && parent % 16 == 0;
            let unwound = body.bounded && (body.mid_frame || unaligned);
            if cold_name || unwound || returns.contains(&(start, parent)) {
                parts.insert(start, parent);
            }
        }
        parts
    }

    fn finish(&self, parts: &HashMap<u64, u64>) -> Vec<Function> {
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
        let mut moved: HashMap<u64, Vec<Range<u64>>> = HashMap::new();
        for (&start, body) in &self.bodies {
            if let Some(owner) = owner(start) {
                moved.entry(owner).or_default().push(start..body.end);
            }
        }
        let mut functions = Vec::with_capacity(self.bodies.len());
        for (&start, body) in &self.bodies {
            if owner(start).is_some() {
                continue;
            }
            let parts = moved.remove(&start).into_iter().flatten();
            let ranges: Vec<_> = std::iter::once(start..body.end).chain(parts).collect();
            functions.push(Function {
                address: start,
                rva: start.wrapping_sub(self.image.base),
                size: ranges.iter().map(|r| r.end - r.start).sum(),
                kind: self.kind(start, body.end),
                ranges,
                name: body.name.clone(),
                section: self.image.code_region(start).map_or(0, |r| r.section),
                source: body.source,
                confidence: body.confidence,
            });
        }
        functions
    }

    fn kind(&self, start: u64, end: u64) -> Kind {
        if let Some(isa) = isa(self.image.arch) {
            return self.kind_risc(isa, start, end);
        }
        let bytes = self
            .image
            .bytes_in(start, end.min(start.saturating_add(32)));
        let bits = self.image.arch.bits();
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
