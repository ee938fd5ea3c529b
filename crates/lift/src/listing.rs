//! A function as text, and the facts that are found on the way.
//!
//! The dialect is IDA's, because that is what the published models of the field
//! were trained on (CLAP, section 3: "rebased assembly"; jTrans, section 4.1).
//! `iced-x86` writes mnemonics, registers and numbers; operands that name
//! something — a function, a variable on the stack, a string — are written
//! here.

use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};

use crate::address::{AddressMap, ByAddress};
use crate::constants::known_constant;
use crate::discover::{self, MAX_BYTES, MAX_INSTRUCTIONS};
use crate::flow::{Block, Flow, Scratch};
use crate::frame::{self, Frame, Pointer, Slot};
use crate::masm::{Masm, Place};
use crate::memo::{Access, Gap, Head, Memo, Site};
use crate::pen::{LINE_FEED, Pen, Sink, Word, decimal, hex, number, numbered, push_all};
use crate::program::{Arch, Function, Program};
use crate::risc;
use crate::shape::plain_length;
use crate::stdcall;
use crate::step::absolute_operand;
use crate::strings;
use crate::tables::{self, KnownTable};

/// A function as text.
///
/// The instructions are in program order: the range of the entry first, then
/// the parts that the compiler moved away.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// All lines, joined by line feeds.
    text: String,
    places: Vec<Spot>,
    flow: Flow,
    /// What the function calls and mentions.
    pub facts: Facts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spot {
    address: u64,
    /// Where its line ends in the text.
    end: u32,
    len: u8,
}

/// One instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'l> {
    /// Where it is.
    pub address: u64,
    /// Bytes of machine code.
    pub len: u8,
    /// The text: `mov     eax, [rbp+var_18]`.
    pub text: &'l str,
}

/// What a function calls and mentions. Each thing is there once, in the order
/// of its first mention.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Number of instructions.
    pub instructions: usize,
    /// Number of basic blocks.
    pub blocks: usize,
    /// Functions called or jumped to.
    pub calls: Vec<Call>,
    /// String literals mentioned, unescaped: whoever shows them must not trust
    /// them.
    pub strings: Vec<String>,
    /// Immediates from 0x10000 that are no addresses and not just one bit or
    /// one mask: what tells a hash or a cipher apart.
    pub constants: Vec<u64>,
    /// Tables of well-known algorithms mentioned.
    pub tables: Vec<KnownTable>,
}

/// A function that another one calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Call {
    /// Its name, without the underscore that listings put before an import.
    pub name: String,
    /// Its address, unless it is outside of the file.
    pub address: Option<u64>,
    /// Whether it is outside of the file.
    pub import: bool,
}

/// Facts of each kind that are kept for one function.
const MAX_FACTS: usize = 256;

impl Facts {
    /// Notes a call of what lies outside of the file.
    pub(crate) fn calls_import(&mut self, name: &str) {
        let is_new = !self.calls.iter().any(|c| c.import && c.name == name);
        if is_new && self.calls.len() < MAX_FACTS {
            self.calls.push(Call {
                name: name.into(),
                address: None,
                import: true,
            });
        }
    }

    /// Notes a call of the function at `address`.
    pub(crate) fn calls_function(&mut self, address: u64, name: impl FnOnce() -> String) {
        let is_new = !self.calls.iter().any(|c| c.address == Some(address));
        if is_new && self.calls.len() < MAX_FACTS {
            self.calls.push(Call {
                name: name(),
                address: Some(address),
                import: false,
            });
        }
    }
}

impl Listing {
    pub(crate) fn with_capacity(instructions: usize) -> Listing {
        Listing {
            text: String::with_capacity(32 * instructions),
            places: Vec::with_capacity(instructions),
            flow: Flow::default(),
            facts: Facts::default(),
        }
    }

    /// Appends an instruction whose text is what `write` writes.
    pub(crate) fn push(&mut self, address: u64, len: u8, write: impl FnOnce(&mut String)) {
        if !self.places.is_empty() {
            self.text.push('\n');
        }
        write(&mut self.text);
        self.places.push(Spot {
            address,
            end: self.text.len() as u32,
            len,
        });
    }

    /// Number of instructions.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none, as in a function without bytes in the file.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The instructions.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = Line<'_>> {
        let mut start = 0;
        self.places.iter().map(move |place| {
            let text = &self.text[start..place.end as usize];
            start = place.end as usize + 1;
            Line {
                address: place.address,
                len: place.len,
                text,
            }
        })
    }

    /// The basic blocks, and how control flows between them: the control-flow
    /// graph. The first one is the entry.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = Block<'_>> {
        self.flow.blocks()
    }

    /// Notes how control flows.
    pub(crate) fn set_flow(&mut self, flow: Flow) {
        self.facts.blocks = flow.len();
        self.flow = flow;
    }

    /// The lines joined by line feeds: the form that rows store and models
    /// read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text alone.
    pub fn into_text(self) -> String {
        self.text
    }

    /// The object that CLAP's tokenizer reads: `{"1": "endbr64", "2": …}`.
    pub fn to_clap_json(&self) -> serde_json::Value {
        let numbered = self.lines().enumerate();
        let object: serde_json::Map<_, _> = numbered
            .map(|(at, line)| ((at + 1).to_string(), line.text.into()))
            .collect();
        object.into()
    }
}

pub(crate) fn list(program: &Program<'_>, function: &Function) -> Listing {
    if let Some(isa) = risc::isa(program.image.arch) {
        return risc::listing::list(isa, program, function);
    }
    let mut desk = DESK.take().unwrap_or_default();
    desk.decode(program, function);
    desk.find_jumps(program);
    let mut scratch = std::mem::take(&mut desk.flow);
    let flow = flow(program, function, &desk, &mut scratch);
    desk.flow = scratch;
    /// Bytes of most lines, and some more.
    const LINE: usize = 36;
    let mut pen = Pen::with_capacity(LINE * desk.code.sites.len());
    let mut writer = Writer::new(program, &mut desk, &mut pen);
    let places = writer.lines();
    let facts = Facts {
        instructions: places.len(),
        // Room for no more than there are.
        calls: writer.facts.calls.drain(..).collect(),
        strings: writer.facts.strings.drain(..).collect(),
        constants: writer.facts.constants.drain(..).collect(),
        tables: writer.facts.tables.drain(..).collect(),
        ..Facts::default()
    };
    let mut listing = Listing {
        text: pen.finish_lines(),
        places,
        flow: Flow::default(),
        facts,
    };
    listing.set_flow(flow);
    DESK.set(Some(desk));
    listing
}

/// What a listing is made with, kept for the next one: a formatter is costly to
/// make, as functions go, and so is memory.
#[derive(Default)]
struct Desk {
    masm: Masm,
    code: Instructions,
    memo: Memo,
    /// The instructions that may go on elsewhere than at the next, ascending.
    exits: Vec<u32>,
    /// The addresses of each range, and its instructions.
    ranges: Vec<(Range<u64>, Range<usize>)>,
    frame: Frame,
    flow: Scratch,
    widths: Widths,
    called: Called,
    /// Those of the listing in the making.
    facts: Facts,
}

thread_local! {
    static DESK: Cell<Option<Box<Desk>>> = const { Cell::new(None) };
}

/// The instructions of a function.
#[derive(Default)]
struct Instructions {
    sites: Vec<Site>,
    /// Those that are not kept. Of 32-bit code that is all.
    unkept: Vec<Instruction>,
    /// What any of them does to the stack and to the flow.
    marks: u16,
}

impl Instructions {
    /// Adds those of a range that begins with `ahead`; notes which are exits.
    #[inline(never)]
    fn decode(
        &mut self,
        memo: &mut Memo,
        ahead: &[u8],
        mut decoder: Decoder<'_>,
        exits: &mut Vec<u32>,
    ) {
        let Instructions { sites, unkept, .. } = self;
        let mut all_marks = 0;
        let (size, start) = (decoder.max_position(), decoder.ip());
        let mut place = 0;
        while place < size {
            let at = sites.len();
            if at == MAX_INSTRUCTIONS {
                break;
            }
            let address = start.wrapping_add(place as u64);
            let code = ahead.get(place..).and_then(|ahead| ahead.first_chunk());
            let code = code.map_or(0, |code| u64::from_le_bytes(*code));
            let left = size - place;
            // Each on its own, because nothing is to be worked out for most.
            let (head, kept) = match plain_length(code) {
                Some(length) => {
                    let head = Head::plain(code, length);
                    (head, memo.add_site(head, address, left, sites))
                }
                None => {
                    let head = Head::not_plain(code);
                    (head, memo.add_site(head, address, left, sites))
                }
            };
            let (length, marks) = match kept {
                Some(kept) => kept,
                None => {
                    // The position is one inside of the bytes.
                    if decoder.set_position(place).is_ok() {
                        decoder.set_ip(address);
                    }
                    let site = decode_new(&mut decoder, head, memo, unkept);
                    sites.push(site);
                    (usize::from(site.length), site.marks)
                }
            };
            if marks & frame::EXIT != 0 {
                exits.push(at as u32);
            }
            all_marks |= marks;
            place += length;
        }
        self.marks |= all_marks;
    }

    /// The instruction at an index.
    fn get(&self, memo: &Memo, program: &Program<'_>, at: usize) -> Instruction {
        let site = &self.sites[at];
        match site.target() {
            Err(number) => self.unkept[number],
            Ok(_) => memo.instruction(site).unwrap_or_else(|| {
                // It was driven out meanwhile.
                let image = &program.image;
                let bytes = image.bytes_in(site.address, site.next());
                let bits = image.arch.bits();
                Decoder::with_ip(bits, bytes, site.address, DecoderOptions::NONE).decode()
            }),
        }
    }

    /// Where the direct jump or call at an index leads.
    #[inline]
    fn target(&self, at: usize) -> u64 {
        let target = self.sites[at].target();
        target.unwrap_or_else(|number| self.unkept[number].near_branch_target())
    }
}

impl Desk {
    /// The instructions of a function, up to the limits: beyond them is data that
    /// was taken for code, and [`Program::diagnostics`] says so.
    fn decode(&mut self, program: &Program<'_>, function: &Function) {
        let bits = program.image.arch.bits();
        self.code.sites.clear();
        self.code.unkept.clear();
        self.code.marks = 0;
        self.exits.clear();
        self.ranges.clear();
        let mut bytes_left = MAX_BYTES;
        for range in &function.ranges {
            let end = range.end.min(range.start.saturating_add(bytes_left));
            bytes_left -= end - range.start;
            let bytes = program.image.bytes_in(range.start, end);
            let decoder = Decoder::with_ip(bits, bytes, range.start, DecoderOptions::NONE);
            // Only those of 64 bits are kept.
            let ahead = match bits {
                64 => program.image.bytes_at(range.start).unwrap_or(&[]),
                _ => &[],
            };
            let (memo, exits) = (&mut self.memo, &mut self.exits);
            let first = self.code.sites.len();
            self.code.decode(memo, ahead, decoder, exits);
            let last = range.start.saturating_add(bytes.len() as u64);
            let added = first..self.code.sites.len();
            self.ranges.push((range.start..last, added));
        }
    }

    fn find_jumps(&mut self, program: &Program<'_>) {
        for exit in 0..self.exits.len() {
            let at = self.exits[exit] as usize;
            let site = &self.code.sites[at];
            let near = site.marks & LEADS != 0;
            match site.flow {
                FlowControl::UnconditionalBranch
                | FlowControl::ConditionalBranch
                | FlowControl::XbeginXabortXend
                    if near =>
                {
                    if let Some(index) = self.find(self.code.target(at)) {
                        self.code.sites[at].set_jump(index);
                    }
                }
                FlowControl::Call | FlowControl::IndirectCall => {
                    let callee = match near {
                        true => Some(self.code.target(at)),
                        false => absolute_operand(&self.code.get(&self.memo, program, at)),
                    };
                    let asks = near && callee == Some(site.next());
                    let leaves = callee.is_some_and(|to| program.no_return.contains(&to));
                    let mark = |told: bool, mark: u16| if told { mark } else { 0 };
                    self.code.sites[at].marks |=
                        mark(asks, frame::ASKS) | mark(leaves, frame::LEAVES);
                }
                _ => {}
            }
        }
    }

    /// Index of the instruction at an address.
    fn find(&self, address: u64) -> Option<usize> {
        let holds = |(range, _): &&(Range<u64>, _)| range.contains(&address);
        let (_, sites) = self.ranges.iter().find(holds)?;
        let (first, sites) = (sites.start, &self.code.sites[sites.clone()]);
        let found = sites.binary_search_by_key(&address, |site| site.address);
        found.ok().map(|at| first + at)
    }
}

/// Decodes an instruction that is not kept, and keeps it if it can be.
#[inline(never)]
fn decode_new(
    decoder: &mut Decoder<'_>,
    head: Head,
    memo: &mut Memo,
    unkept: &mut Vec<Instruction>,
) -> Site {
    let instruction = decoder.decode();
    let mark = mark(&instruction);
    memo.keep(head, &instruction, mark).unwrap_or_else(|| {
        unkept.push(instruction);
        Site::unkept(unkept.len() - 1, &instruction, mark)
    })
}

/// What an instruction does to the stack and to the flow.
fn mark(instruction: &Instruction) -> u16 {
    let leads = match instruction.flow_control() {
        FlowControl::Next => 0,
        FlowControl::IndirectBranch => frame::EXIT | BY_TABLE,
        _ if near(instruction) => frame::EXIT | LEADS,
        _ => frame::EXIT,
    };
    let tells = match instruction.mnemonic() {
        Mnemonic::Lea => instruction.is_ip_rel_memory_operand(),
        Mnemonic::Cmp | Mnemonic::Sub | Mnemonic::Jmp => true,
        Mnemonic::Mov => {
            instruction.memory_index() != Register::None
                && instruction.memory_base() == Register::None
        }
        _ => false,
    };
    frame::mark(instruction) | leads | if tells { TELLS_TABLE } else { 0 }
}

/// Mark of a jump or a call whose line ends with where it leads.
const LEADS: u16 = 8;
/// Mark of a jump that may be by a table.
const BY_TABLE: u16 = 512;
/// Mark of an instruction that may tell where such a table is, or how long, as
/// [`discover::targets_x86`] reads them.
const TELLS_TABLE: u16 = 1024;

/// How control flows from block to block.
fn flow(program: &Program<'_>, function: &Function, desk: &Desk, scratch: &mut Scratch) -> Flow {
    let Desk {
        code, memo, exits, ..
    } = desk;
    let exits = exits.iter().map(|&at| at as usize);
    let tables = match code.marks & BY_TABLE != 0 {
        true => {
            let told = |at: &usize| code.sites[*at].marks & TELLS_TABLE != 0;
            let told = (0..code.sites.len()).filter(told);
            let told: Vec<_> = told.map(|at| code.get(memo, program, at)).collect();
            discover::targets_x86(&program.image, function, &told)
        }
        false => AddressMap::default(),
    };
    let exit = |at: usize, found: &mut Vec<u32>| {
        let site = &code.sites[at];
        let falls = match site.flow {
            FlowControl::ConditionalBranch => true,
            // A transaction goes on, or begins again elsewhere.
            FlowControl::XbeginXabortXend if site.marks & LEADS != 0 => true,
            _ if site.marks & frame::LEAVES != 0 => false,
            flow if ends_block(flow) => false,
            _ => return None,
        };
        found.extend(site.jump().map(|to| to as u32));
        if site.flow == FlowControl::IndirectBranch
            && let Some(table) = tables.get(&site.address)
        {
            let lines = table.iter().filter_map(|&target| desk.find(target));
            found.extend(lines.map(|line| line as u32));
        }
        Some(falls)
    };
    let fills = |at: usize| code.sites[at].marks & frame::FILLS != 0;
    Flow::new(scratch, code.sites.len(), exits, exit, fills)
}

/// Functions that are known to be among the facts: most are called again soon.
struct Called([u64; 128]);

impl Default for Called {
    fn default() -> Called {
        Called([0; 128])
    }
}

impl Called {
    fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Whether `target` was added, and not driven out by another.
    fn add(&mut self, target: u64) -> bool {
        let place = (target ^ target >> 7) as usize % self.0.len();
        let held = std::mem::replace(&mut self.0[place], target);
        held == target && target != 0
    }
}

/// Width of each stack variable: that of its first access, as in IDA.
#[derive(Default)]
struct Widths {
    /// Of those near the base, by kind and offset, and 1 more; 0 where none is
    /// known.
    near: [Vec<u16>; 2],
    /// Which of them are known.
    known: Vec<(u8, u16)>,
    far: HashMap<Slot, u16, ByAddress>,
}

impl Widths {
    /// Offsets that are near.
    const NEAR: usize = 1024;

    fn clear(&mut self) {
        for (kind, offset) in self.known.drain(..) {
            self.near[usize::from(kind)][usize::from(offset)] = 0;
        }
        // Clearing takes as long as the largest function had variables.
        match self.far.capacity() {
            0..4096 => self.far.clear(),
            _ => self.far = HashMap::default(),
        }
    }

    /// The width of `slot`, which is `width` if it has none yet.
    fn of(&mut self, slot: Slot, width: u16) -> u16 {
        let (kind, offset) = match slot {
            Slot::Local(offset) => (0, offset),
            Slot::Argument(offset) => (1, offset),
        };
        if offset >= Self::NEAR as u64 {
            return *self.far.entry(slot).or_insert(width);
        }
        let near = &mut self.near[usize::from(kind)];
        if near.is_empty() {
            near.resize(Self::NEAR, 0);
        }
        let held = &mut near[offset as usize];
        if *held == 0 {
            *held = width + 1;
            self.known.push((kind, offset as u16));
        }
        *held - 1
    }
}

struct Writer<'a, 'd> {
    program: &'a Program<'d>,
    masm: &'a mut Masm,
    out: &'a mut Pen,
    code: &'a Instructions,
    memo: &'a mut Memo,
    /// The instruction whose line is written.
    at: usize,
    frame: &'a Frame,
    /// Lines may be kept, and those that are kept are right. Not where only
    /// relocations tell which numbers are addresses.
    keeps: bool,
    /// In 32-bit position-independent code, the registers that hold the address
    /// of the global offset table, and that address.
    got: Option<(Vec<Register>, u64)>,
    widths: &'a mut Widths,
    /// Registers that hold the address of an import.
    held: Vec<(Register, String)>,
    called: &'a mut Called,
    facts: &'a mut Facts,
    /// The string that the instruction mentions.
    comment: Option<String>,
    /// What an operand of the line leads to or is, where that is well known.
    known: Option<&'static str>,
    windows: bool,
}

impl<'a, 'd> Writer<'a, 'd> {
    fn new(program: &'a Program<'d>, desk: &'a mut Desk, out: &'a mut Pen) -> Self {
        let Desk {
            masm,
            code,
            memo,
            exits,
            frame: stack,
            widths,
            called,
            facts,
            ..
        } = desk;
        widths.clear();
        called.clear();
        let image = &program.image;
        let word = image.arch.pointer_size() as i64;
        let narrow = image.arch == Arch::X86;
        let purges = |at: usize| match narrow {
            true => stdcall::purged(program, &code.unkept, at),
            false => 0,
        };
        let instruction = |at: usize| code.get(memo, program, at);
        if code.marks & frame::VARIABLE != 0 {
            stack.follow(&code.sites, exits, word, instruction, purges);
        }
        Writer {
            program,
            masm,
            out,
            got: narrow
                .then(|| got_registers(program, &code.unkept))
                .flatten(),
            code,
            memo,
            at: 0,
            frame: stack,
            keeps: image.absolute || image.address_fields.is_empty(),
            widths,
            held: Vec::new(),
            called,
            facts,
            comment: None,
            known: None,
            windows: image.is_windows(),
        }
    }

    /// Writes all instructions, each with a line feed.
    fn lines(&mut self) -> Vec<Spot> {
        let sites = self.code.sites.iter().enumerate();
        let lines = sites.map(|(at, site)| {
            let start = self.out.len();
            self.at = at;
            let kept = match self.keeps {
                true => self.memo.write(site, self.out),
                false => None,
            };
            match kept {
                Some(Gap::Nothing) => {}
                Some(gap) => self.fill(at, site, gap, start),
                None => self.new_line(at, site),
            }
            if self.windows {
                self.through_register(at);
            }
            Spot {
                address: site.address,
                end: self.out.len() as u32 - 1,
                len: site.length,
            }
        });
        lines.collect()
    }

    /// Writes what is in the gap of a line that is kept, which begins at `start`, and
    /// what is behind.
    fn fill(&mut self, at: usize, site: &Site, gap: Gap, start: usize) {
        match gap {
            Gap::Nothing => {}
            Gap::Code => {
                self.target(at, site);
                self.out.word(&LINE_FEED);
            }
            Gap::Global(access) => {
                let address = site.target().unwrap_or_default();
                self.global(site.flow, access, address, "cs:");
                self.memo.write_tail(site, self.out);
                self.remarks();
            }
            Gap::Stack(access, offset) => {
                self.fill_stack(at, site, access, Pointer::Stack(offset), start);
            }
            Gap::Frame(access, offset) => {
                self.fill_stack(at, site, access, Pointer::Frame(offset), start);
            }
        }
    }

    fn fill_stack(
        &mut self,
        at: usize,
        site: &Site,
        access: Access,
        pointer: Pointer,
        start: usize,
    ) {
        match self.frame.slot(at, pointer) {
            Some((slot, distance)) => {
                self.stack(access, slot, distance, None);
                self.memo.write_tail(site, self.out);
            }
            None => {
                self.out.truncate(start);
                self.new_line(at, site);
            }
        }
    }

    /// Writes an instruction whose line is not kept, and keeps it if that can be.
    fn new_line(&mut self, at: usize, site: &Site) {
        let instruction = self.code.get(self.memo, self.program, at);
        let start = self.out.len();
        let kept = match instruction.is_invalid() {
            true => {
                self.bytes(&instruction);
                None
            }
            false => self.write(at, &instruction),
        };
        self.out.word(&LINE_FEED);
        if let Some((gap, filled)) = kept.filter(|_| self.keeps) {
            let filled = match gap {
                Gap::Nothing => self.out.len()..self.out.len(),
                _ => filled,
            };
            self.memo.keep_line(site, gap, self.out, start, filled);
        }
        self.remarks();
    }

    /// Writes what is said behind the instruction.
    #[inline]
    fn remarks(&mut self) {
        if self.comment.is_some() || self.known.is_some() {
            self.write_remarks();
        }
    }

    #[inline(never)]
    fn write_remarks(&mut self) {
        self.out.truncate(self.out.len() - 1);
        if let Some(text) = self.comment.take() {
            self.out.push_str("; ");
            strings::quote(self.out, &text);
            remember(&mut self.facts.strings, text);
        }
        if let Some(name) = self.known.take() {
            push_all(self.out, ["; ", name]);
        }
        self.out.word(&LINE_FEED);
    }

    fn bytes(&mut self, instruction: &Instruction) {
        let ip = instruction.ip();
        self.out.push_str("db      ");
        let bytes = self.program.image.bytes_in(ip, instruction.next_ip());
        for (i, byte) in bytes.iter().enumerate() {
            self.out.push_str(if i > 0 { ", " } else { "" });
            number(self.out, (*byte).into());
        }
    }

    /// Writes an instruction. Returns what its bytes do not tell of the line, and
    /// where that is; `None` if it is more than one place.
    fn write(&mut self, at: usize, instruction: &Instruction) -> Option<(Gap, Range<usize>)> {
        const COMMA: Word = Word::of(", ");
        let form = self.masm.form(instruction);
        let count = self.masm.mnemonic(form, instruction, self.out);
        let (mut gap, mut filled) = (Some(Gap::Nothing), 0..0);
        for operand in 0..count {
            if operand > 0 {
                self.out.word(&COMMA);
            }
            let native = self.masm.native(form, instruction, operand);
            let place = Place {
                form,
                operand,
                native,
            };
            match native.map(|n| instruction.op_kind(n)) {
                Some(OpKind::NearBranch64 | OpKind::NearBranch32 | OpKind::NearBranch16) => {
                    self.distance(instruction);
                    let start = self.out.len();
                    let site = self.code.sites[at];
                    self.target(at, &site);
                    filled = start..self.out.len();
                    gap = gap.and(Some(Gap::Code));
                }
                Some(OpKind::Memory) => {
                    let start = self.out.len();
                    let told = self.memory(at, instruction, place);
                    filled = start..self.out.len();
                    gap = gap.and(told);
                }
                Some(OpKind::Immediate32 | OpKind::Immediate64 | OpKind::Immediate32to64) => {
                    let value = native.map_or(0, |n| instruction.immediate(n));
                    self.immediate(instruction, place, value);
                    gap = gap.filter(|_| is_small(value));
                }
                kind => {
                    self.masm.operand(instruction, place, self.out);
                    let far = matches!(kind, Some(OpKind::FarBranch16 | OpKind::FarBranch32));
                    gap = gap.filter(|_| !far);
                }
            }
        }
        Some((gap?, filled))
    }

    /// `call edi ; DeleteDC`, where an import was loaded before. Compilers for
    /// Windows do that where they call one twice.
    fn through_register(&mut self, at: usize) {
        let instruction = &self.code.get(self.memo, self.program, at);
        if instruction.is_invalid() {
            return;
        }
        let flow = instruction.flow_control();
        let register = (instruction.op0_kind() == OpKind::Register)
            .then(|| instruction.op0_register().full_register());
        match flow {
            FlowControl::IndirectCall | FlowControl::IndirectBranch => {
                let held = self.held.iter().find(|(held, _)| Some(*held) == register);
                if let Some((_, name)) = held {
                    self.out.truncate(self.out.len() - 1);
                    push_all(self.out, [" ; ", name, "\n"]);
                    self.facts.calls_import(name);
                }
            }
            _ => {}
        }
        if matches!(flow, FlowControl::Call | FlowControl::IndirectCall) {
            // What a call may change in all conventions of Windows.
            self.held.retain(|(register, _)| {
                !matches!(
                    register,
                    Register::RAX
                        | Register::RCX
                        | Register::RDX
                        | Register::R8
                        | Register::R9
                        | Register::R10
                        | Register::R11
                )
            });
            return;
        }
        let keeps = matches!(
            instruction.mnemonic(),
            Mnemonic::Push | Mnemonic::Cmp | Mnemonic::Test
        );
        let Some(register) = register.filter(|_| !keeps) else {
            return;
        };
        self.held.retain(|(held, _)| *held != register);
        let loads = matches!(instruction.code(), Code::Mov_r32_rm32 | Code::Mov_r64_rm64);
        let slot = absolute_operand(instruction).filter(|_| loads);
        if let Some(name) = slot.and_then(|slot| self.program.image.slots.get(&slot)) {
            self.held.push((register, name.clone()));
        }
    }

    /// Writes how far a jump can lead, where that is not far.
    fn distance(&mut self, instruction: &Instruction) {
        if instruction.len() <= 3
            && instruction.op0_kind() != OpKind::NearBranch16
            && is_short(instruction)
        {
            self.out.word(&const { Word::of("short ") });
        }
    }

    /// Writes where a jump or a call leads.
    fn target(&mut self, at: usize, site: &Site) {
        if let Some(index) = site.jump() {
            numbered(self.out, index as u32 + 1);
            return;
        }
        if site.marks & frame::ASKS != 0 {
            // No call: it only asks where the code is.
            self.out.push_str("$+");
            decimal(self.out, site.length.into());
            return;
        }
        let target = self.code.target(at);
        let call = site.flow == FlowControl::Call;
        let noted = self.called.add(target);
        let facts = (!noted).then_some(&mut *self.facts);
        self.program.code_name(target, call, facts, self.out);
    }

    /// Writes an operand in memory. Returns what the bytes of the instruction do not
    /// tell of it.
    #[inline(never)]
    fn memory(&mut self, at: usize, instruction: &Instruction, place: Place) -> Option<Gap> {
        let base = instruction.memory_base();
        let index = instruction.memory_index();
        if base == Register::RIP {
            let (flow, access) = (instruction.flow_control(), Access::of(instruction));
            self.global(flow, access, instruction.ip_rel_memory_address(), "cs:");
            return Some(Gap::Global(access));
        }
        let pointer = Pointer::of(instruction);
        if let Some(pointer) = pointer
            && let Some((slot, distance)) = self.frame.slot(at, pointer)
        {
            let access = Access::of(instruction);
            let indexed = (index != Register::None).then_some(instruction);
            self.stack(access, slot, distance, indexed);
            return match pointer {
                _ if indexed.is_some() => None,
                Pointer::Stack(offset) => Some(Gap::Stack(access, offset)),
                Pointer::Frame(offset) => Some(Gap::Frame(access, offset)),
            };
        }
        let displacement = instruction.memory_displacement64();
        if let Some((registers, got)) = &self.got
            && registers.contains(&base)
        {
            let (got, image) = (*got, &self.program.image);
            let address = got.wrapping_add(displacement) & 0xffff_ffff;
            // A register may be used again: a small distance is believed where it
            // leads to a pointer that the loader fills.
            let slot = image.slots.contains_key(&address)
                || image
                    .pointers
                    .binary_search_by_key(&address, |p| p.0)
                    .is_ok();
            let far = instruction.memory_displ_size() == 4;
            if slot || (far && image.region(address).is_some()) {
                self.counted_from_got(instruction, address, got);
                return None;
            }
        }
        let thread = matches!(instruction.segment_prefix(), Register::FS | Register::GS);
        let wide = matches!(instruction.memory_displ_size(), 4 | 8);
        if wide && !thread && self.is_address(instruction, displacement, false) {
            let based = base != Register::None;
            let segment = if based {
                ""
            } else {
                self.segment(instruction, displacement)
            };
            let (flow, access) = (instruction.flow_control(), Access::of(instruction));
            self.global(flow, access, displacement, segment);
            if based || index != Register::None {
                self.out.push_str("[");
                if based {
                    self.masm.register(base, self.out);
                }
                if index != Register::None {
                    self.out.push_str(if based { "+" } else { "" });
                    self.scaled_index(instruction);
                }
                self.out.push_str("]");
            }
            return None;
        }
        if is_lea(instruction) && instruction.memory_displ_size() >= 4 {
            // `lea eax, [rbx+rax+5A827999h]` adds three numbers at once.
            self.constant(instruction, displacement);
        }
        let start = self.out.len();
        self.masm.operand(instruction, place, self.out);
        if thread && base == Register::None && index == Register::None {
            self.without_brackets(start);
        } else if displacement == 0
            && matches!(base, Register::RBP | Register::R13 | Register::EBP)
            && instruction.memory_displ_size() != 0
            && self.out.since(start).ends_with(b"]")
        {
            self.out.truncate(self.out.len() - 1);
            self.out.push_str("+0]");
        }
        let narrow = instruction.memory_displ_size() < 4;
        let told = pointer.is_none()
            && !instruction.is_ip_rel_memory_operand()
            && (narrow || is_small(displacement));
        told.then_some(Gap::Nothing)
    }

    /// IDA writes `fs:28h`, where others put the number between brackets.
    fn without_brackets(&mut self, start: usize) {
        let operand = self.out.since(start);
        let Some(bracket) = operand.iter().position(|&byte| byte == b'[') else {
            return;
        };
        let inner = self.out.split_off(start + bracket);
        self.out.push_str(inner.trim_matches(['[', ']']));
    }

    /// `(aUsage - 3FF4h)[ebx]`: a global that is reached from the table's
    /// address, which IDA subtracts again.
    fn counted_from_got(&mut self, instruction: &Instruction, address: u64, got: u64) {
        let start = self.out.len();
        let (flow, access) = (instruction.flow_control(), Access::of(instruction));
        self.global(flow, access, address, "");
        let name = self.out.split_off(start);
        let width = name.rfind(' ').map_or(0, |space| space + 1);
        self.out.push_str(&name[..width]);
        if !is_lea(instruction) {
            self.out.push_str("ds:");
        }
        push_all(self.out, ["(", &name[width..], " - "]);
        number(self.out, got);
        self.out.push_str(")[");
        self.masm.register(instruction.memory_base(), self.out);
        if instruction.memory_index() != Register::None {
            self.out.push_str("+");
            self.scaled_index(instruction);
        }
        self.out.push_str("]");
    }

    /// What IDA writes before a global that no register leads to. In 32-bit code
    /// only what is jumped to through a pointer has a segment.
    fn segment(&self, instruction: &Instruction, address: u64) -> &'static str {
        let image = &self.program.image;
        let indirect = matches!(
            instruction.flow_control(),
            FlowControl::IndirectBranch | FlowControl::IndirectCall
        );
        match image.arch {
            Arch::X86 if !indirect && !image.slots.contains_key(&address) => "",
            _ => "ds:",
        }
    }

    /// Operands in memory that are reached by address: `cs:stderr`, and after
    /// `lea` just the name.
    fn global(&mut self, flow: FlowControl, access: Access, address: u64, segment: &str) {
        self.table(address);
        if access.is_lea() {
            let length = self.length_beside(address);
            self.program
                .address_name(address, length, self.out, &mut self.comment);
            return;
        }
        let width = access.width();
        let indirect = matches!(
            flow,
            FlowControl::IndirectBranch | FlowControl::IndirectCall
        );
        let image = &self.program.image;
        if let Some(name) = image.slots.get(&address) {
            push_all(self.out, [segment, name, image.slot_suffix()]);
            if indirect {
                self.facts.calls_import(name);
            }
            return;
        }
        if let Some(import) = image.imports.get(&address) {
            push_all(self.out, [segment, &import.name]);
            return;
        }
        if let Some((object, inside)) = image.object(address) {
            // Some files do not say how large an object is.
            let differs = object.size != 0 && object.size != width as u64;
            if inside > 0 || differs {
                self.out.push_str(width_name(width));
            }
            push_all(self.out, [segment, &object.name]);
            if inside > 0 {
                self.out.push_str("+");
                number(self.out, inside);
            }
            return;
        }
        let pointer_size = image.arch.pointer_size();
        let pointer = (width as u64 == pointer_size)
            .then(|| image.pointer(address))
            .flatten();
        self.out.push_str(segment);
        if let Some(target) = pointer.filter(|&target| target != 0) {
            self.out.push_str("off_");
            hex(self.out, address);
            let text = self.program.counted_through(address);
            self.comment = text.or_else(|| self.program.string_at(target, 4));
            return;
        }
        self.out.push_str(match width {
            1 => "byte_",
            2 => "word_",
            4 => "dword_",
            8 => "qword_",
            10 => "tbyte_",
            16 => "xmmword_",
            32 => "ymmword_",
            _ => "unk_",
        });
        hex(self.out, address);
    }

    /// Writes a variable on the stack, with the index of `indexed`.
    fn stack(
        &mut self,
        access: Access,
        slot: Slot,
        distance: Option<u64>,
        indexed: Option<&Instruction>,
    ) {
        let width = access.width();
        if !access.is_lea() && usize::from(self.widths.of(slot, width as u16)) != width {
            self.out.push_str(width_name(width));
        }
        let (pointer, frame) = match self.program.image.arch {
            Arch::X86 => const { (Word::of("[esp"), Word::of("[ebp")) },
            _ => const { (Word::of("[rsp"), Word::of("[rbp")) },
        };
        self.out.word(match distance {
            Some(_) => &pointer,
            None => &frame,
        });
        if let Some(instruction) = indexed {
            self.out.push_str("+");
            self.scaled_index(instruction);
        }
        if let Some(distance) = distance.filter(|&d| d > 0) {
            self.out.word(&const { Word::of("+") });
            number(self.out, distance);
        }
        let (kind, offset) = match slot {
            Slot::Local(offset) => (const { Word::of("+var_") }, offset),
            Slot::Argument(offset) => (const { Word::of("+arg_") }, offset),
        };
        self.out.word(&kind);
        hex(self.out, offset);
        self.out.word(&const { Word::of("]") });
    }

    /// How long the text at `address` is, which the line is the first to take: a
    /// number that is moved beside it, best into the register of the argument behind
    /// it or into the word behind the one that it is stored in.
    fn length_beside(&self, address: u64) -> Option<u64> {
        /// Instructions that may lie between.
        const NEAR: usize = 6;
        if !self.program.image.counted {
            return None;
        }
        let (at, count) = (self.at, self.code.sites.len());
        let get = |at: usize| self.code.get(self.memo, self.program, at);
        let plain = |i: &Instruction| i.flow_control() == FlowControl::Next;
        let after = (at + 1..count).take(NEAR).map(get).take_while(plain);
        let before = (0..at).rev().take(NEAR).map(get).take_while(plain);
        let around: Vec<Instruction> = after.chain(before).collect();
        let told = |length: &u64| self.program.counted_at(address, *length).is_some();

        let line = get(at);
        let to = line.op0_register().full_register();
        let follow = arguments_behind(to);
        let moves = around.iter().filter(|i| i.code() == Code::Mov_r32_imm32);
        let mut beside = moves.filter(|i| follow.contains(&i.op0_register().full_register()));
        let is_store = |i: &Instruction| i.op0_kind() == OpKind::Memory;
        let stored = || {
            // It takes the address to its place itself, or another one does.
            let put = |i: &&Instruction| i.code() == Code::Mov_rm64_r64 && i.op1_register() == to;
            let mut stores = around.iter().filter(|i| is_store(i));
            let place = match line.code() {
                Code::Mov_rm32_imm32 => &line,
                _ => stores.clone().find(put)?,
            };
            let word = self.program.image.arch.pointer_size();
            let behind = place.memory_displacement64().wrapping_add(word);
            let length = stores.find(|i| {
                matches!(i.code(), Code::Mov_rm64_imm32 | Code::Mov_rm32_imm32)
                    && i.memory_base() == place.memory_base()
                    && i.memory_displacement64() == behind
            })?;
            Some(length.immediate(1))
        };
        let next = || {
            let before = at.checked_sub(1).map(get);
            let pushed = before.filter(|i| {
                line.mnemonic() == Mnemonic::Push
                    && matches!(i.code(), Code::Pushd_imm8 | Code::Pushd_imm32)
            });
            let after = (at + 1 < count).then(|| get(at + 1));
            let neighbours = [after, before].into_iter().flatten();
            let moved = neighbours.filter(|i| i.code() == Code::Mov_r32_imm32);
            let mut numbers = pushed.map(|i| i.immediate(0)).into_iter();
            let mut moved = moved.map(|i| i.immediate(1));
            numbers.find(told).or_else(|| moved.find(told))
        };
        beside
            .find_map(|i| Some(i.immediate(1)).filter(told))
            .or_else(|| stored().filter(told))
            .or_else(next)
    }

    fn scaled_index(&mut self, instruction: &Instruction) {
        self.masm.register(instruction.memory_index(), self.out);
        if instruction.memory_index_scale() > 1 {
            self.out.push_str("*");
            decimal(self.out, instruction.memory_index_scale().into());
        }
    }

    #[inline(never)]
    fn immediate(&mut self, instruction: &Instruction, place: Place, value: u64) {
        if self.is_address(instruction, value, true) {
            self.out.push_str("offset ");
            self.table(value);
            let length = self.length_beside(value);
            self.program
                .address_name(value, length, self.out, &mut self.comment);
            return;
        }
        self.masm.operand(instruction, place, self.out);
        self.constant(instruction, value);
    }

    /// Notes the table that an operand leads to.
    fn table(&mut self, address: u64) {
        if let Some(table) = tables::at(&self.program.image, address) {
            self.known = Some(table.name);
            remember(&mut self.facts.tables, table);
        }
    }

    /// Notes a number that says what a function computes.
    fn constant(&mut self, instruction: &Instruction, value: u64) {
        if let Some(value) = distinctive(instruction, value) {
            self.known = known_constant(value).map(|known| known.name).or(self.known);
            remember(&mut self.facts.constants, value);
        }
    }

    /// Whether a number in the code is an address. In position-independent
    /// code none is, and relocatable code says where they are.
    fn is_address(&self, instruction: &Instruction, value: u64, immediate: bool) -> bool {
        let image = &self.program.image;
        if !image.absolute {
            if image.address_fields.is_empty() {
                return false;
            }
            let bytes = image.bytes_in(instruction.ip(), instruction.next_ip());
            let (bits, ip) = (image.arch.bits(), instruction.ip());
            let mut decoder = Decoder::with_ip(bits, bytes, ip, DecoderOptions::NONE);
            let again = decoder.decode();
            let offsets = decoder.get_constant_offsets(&again);
            let field = if immediate {
                offsets.immediate_offset()
            } else {
                offsets.displacement_offset()
            };
            return image
                .address_fields
                .contains(&(instruction.ip() + field as u64));
        }
        let moved = matches!(
            instruction.code(),
            Code::Mov_r32_imm32
                | Code::Mov_rm64_imm32
                | Code::Mov_rm32_imm32
                | Code::Mov_r64_imm64
                | Code::Pushq_imm32
                | Code::Pushd_imm32
                | Code::Cmp_rm32_imm32
                | Code::Cmp_EAX_imm32
                | Code::Cmp_rm64_imm32
                | Code::Cmp_RAX_imm32
        );
        (moved || !immediate) && value >= 0x10000 && image.region(value).is_some()
    }
}

/// Whether a number is no address, nor a constant that is noted or named.
fn is_small(number: u64) -> bool {
    number < 0x10000
}

/// The registers of the argument, or of the half of an answer, behind the one in
/// `register`: by the conventions of most systems, of Windows, and of Go.
fn arguments_behind(register: Register) -> &'static [Register] {
    match register {
        Register::RAX => &[Register::RDX, Register::RBX],
        Register::RBX => &[Register::RCX],
        Register::RDI => &[Register::RSI],
        Register::RSI => &[Register::RDX, Register::R8],
        Register::RDX => &[Register::RCX, Register::R8],
        Register::RCX => &[Register::R8, Register::RDX, Register::RDI],
        Register::R8 => &[Register::R9],
        Register::R9 => &[Register::R10],
        Register::R10 => &[Register::R11],
        _ => &[],
    }
}

fn is_lea(instruction: &Instruction) -> bool {
    matches!(instruction.code(), Code::Lea_r64_m | Code::Lea_r32_m)
}

/// How 32-bit position-independent code finds its data: it asks for its own
/// address, by `call $+5` and `pop ebx` or by a call of a function that returns
/// it, and adds the distance of the global offset table.
///
/// Code that is not optimised keeps that on the stack, and loads it again.
fn got_registers(program: &Program<'_>, code: &[Instruction]) -> Option<(Vec<Register>, u64)> {
    let (register, got, after) = got_register(program, code)?;
    let mut registers = vec![register];
    let saves = |i: &&Instruction| i.code() == Code::Mov_rm32_r32 && i.op1_register() == register;
    if let Some(save) = code[after..].iter().take(2).find(saves) {
        let place = |i: &Instruction| (i.memory_base(), i.memory_displacement32());
        let loads = code.iter().filter(|i| {
            i.code() == Code::Mov_r32_rm32
                && i.op1_kind() == OpKind::Memory
                && i.memory_index() == Register::None
                && place(i) == place(save)
        });
        for load in loads {
            if !registers.contains(&load.op0_register()) {
                registers.push(load.op0_register());
            }
        }
    }
    Some((registers, got))
}

/// The register that first holds the table's address, that address, and the
/// index of the instruction after.
fn got_register(program: &Program<'_>, code: &[Instruction]) -> Option<(Register, u64, usize)> {
    /// Schedulers put so many instructions between the parts.
    const NEAR: usize = 6;
    if program.image.arch != Arch::X86 {
        return None;
    }
    let asks = code
        .iter()
        .enumerate()
        .take(MAX_PROLOGUE)
        .filter(|(_, i)| i.flow_control() == FlowControl::Call && near(i));
    for (at, call) in asks {
        let here = call.next_ip();
        let target = call.near_branch_target();
        let after = &code[at + 1..code.len().min(at + 1 + NEAR)];
        let register = if target == here {
            let pop = after.first().filter(|i| i.code() == Code::Pop_r32)?;
            pop.op0_register()
        } else {
            match returned_address(program, target) {
                Some(register) => register,
                None => continue,
            }
        };
        let adds = |i: &&Instruction| {
            matches!(
                i.code(),
                Code::Add_rm32_imm32 | Code::Add_rm32_imm8 | Code::Add_EAX_imm32
            ) && i.op0_register() == register
        };
        if let Some(place) = after.iter().position(|i| adds(&i)) {
            let distance = after[place].immediate(1);
            let got = here.wrapping_add(distance) & 0xffff_ffff;
            return Some((register, got, at + 1 + place + 1));
        }
    }
    None
}

/// Instructions of a function within which it looks for its data.
const MAX_PROLOGUE: usize = 64;

/// The register in which the function at `address` returns where it was called
/// from: `mov ebx, [esp]`, `retn`.
fn returned_address(program: &Program<'_>, address: u64) -> Option<Register> {
    let bytes = program.image.bytes_at(address)?.get(..4)?;
    let mut decoder = Decoder::with_ip(32, bytes, address, DecoderOptions::NONE);
    let (first, second) = (decoder.decode(), decoder.decode());
    let reads = first.code() == Code::Mov_r32_rm32
        && first.memory_base() == Register::ESP
        && first.memory_displacement32() == 0;
    (reads && second.code() == Code::Retnd).then(|| first.op0_register())
}

fn width_name(width: usize) -> &'static str {
    match width {
        1 => "byte ptr ",
        2 => "word ptr ",
        4 => "dword ptr ",
        8 => "qword ptr ",
        10 => "tbyte ptr ",
        16 => "xmmword ptr ",
        32 => "ymmword ptr ",
        64 => "zmmword ptr ",
        _ => "",
    }
}

/// An immediate that tells something about what a function computes, as wide as
/// it is encoded. Small numbers of either sign, single bits and masks (bits all
/// at one end) are in every program.
fn distinctive(instruction: &Instruction, value: u64) -> Option<u64> {
    let full = instruction.code() == Code::Mov_r64_imm64;
    let value = if full { value } else { value & 0xffff_ffff };
    let inverse = if full { !value } else { !value & 0xffff_ffff };
    let mask = |v: u64| v & v.wrapping_add(1) == 0;
    let plain = value < 0x10000
        || inverse < 0x10000
        || value.is_power_of_two()
        || mask(value)
        || mask(inverse);
    (!plain).then_some(value)
}

/// Adds what is new, up to a bound: a hostile function could mention a million
/// things.
pub(crate) fn remember<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if list.len() < MAX_FACTS && !list.contains(&item) {
        list.push(item);
    }
}

pub(crate) fn near(instruction: &Instruction) -> bool {
    let kind = instruction.op0_kind();
    matches!(
        kind,
        OpKind::NearBranch64 | OpKind::NearBranch32 | OpKind::NearBranch16
    )
}

fn is_short(instruction: &Instruction) -> bool {
    instruction.is_jcc_short()
        || instruction.is_jmp_short()
        || instruction.is_jcx_short()
        || instruction.is_loop()
        || instruction.is_loopcc()
}

fn ends_block(flow: FlowControl) -> bool {
    !matches!(
        flow,
        FlowControl::Next
            | FlowControl::Call
            | FlowControl::IndirectCall
            | FlowControl::Interrupt
            | FlowControl::XbeginXabortXend
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::random;

    /// What was listed before does not change a listing: each function is listed as
    /// by a thread that has listed nothing.
    #[test]
    fn what_is_kept_changes_no_listing() {
        const FUNCTIONS: u32 = 96;
        const SIZE: u32 = 256;
        let mut random = random();
        let start = |function: u32| 1024 + function * SIZE;
        // The first calls the others.
        let mut code = Vec::new();
        for function in 0..FUNCTIONS {
            code.push(0xe8);
            code.extend((start(function) - 5 * (function + 1)).to_le_bytes());
        }
        code.push(0xc3);
        for function in 0..FUNCTIONS {
            code.resize(start(function) as usize, 0xcc);
            while code.len() < start(function + 1) as usize - 40 {
                let bytes = random().to_le_bytes();
                let [few, number, ..] = bytes;
                let (near, next) = (few & 0x38, number & 1);
                let instruction: &[u8] = match few % 16 {
                    0 => &[0x48, 0x83, 0xec, near],
                    1 => &[0x48, 0x83, 0xc4, near],
                    2 => &[0x48, 0x8b, 0x44, 0x24, near],
                    3 => &[0x89, 0x5c, 0x24, near],
                    4 => &[0x48, 0x8d, 0x3d, number, next, 0, 0],
                    5 => &[0x83, 0x3d, number, next, 0, 0, 7],
                    6 => &[0x75, number & 0x1f],
                    7 => &[0x0f, 0x84, number, 0, 0, 0],
                    8 => &[0xe8, near, next, 0, 0],
                    9 => &[0x55, 0x48, 0x89, 0xe5],
                    10 => &[0x48, 0x89, 0x45, 0u8.wrapping_sub(near)],
                    11 => &[0x48, 0x8b, 0x43, near],
                    12 => &[0xf2, 0x0f, 0x10, 0x44, 0x24, near],
                    13 => &[0xc7, 0x44, 0x24, near, 0x78, 0x56, number, 0x12],
                    14 => &bytes,
                    _ => &[0xb8, number, 0, 0, near],
                };
                code.extend(instruction);
            }
            code.extend([0xc9, 0xc3]);
        }
        let program = Program::parse_raw(&code, Arch::X86_64, 0x40_1000);
        let program = program.expect("a region of code");
        let (mut lines, mut stack) = (0, 0);
        for function in program.functions() {
            let fresh = std::thread::scope(|scope| {
                let thread = scope.spawn(|| program.listing(function));
                thread.join().expect("a listing")
            });
            assert_eq!(program.listing(function), fresh);
            assert_eq!(program.listing(function), fresh);
            lines += fresh.len();
            stack += fresh.text().matches("+var_").count();
        }
        assert!(lines > 2000 && stack > 50, "{lines} {stack}");
    }
}
