//! The listing of AArch64 code, as IDA would write it: capital letters, the
//! mnemonic sixteen columns wide, `[SP,#0x20+var_10]` for what is on the stack,
//! `#aUsage@PAGE` and `#aUsage@PAGEOFF` for the halves of an address. Imports
//! have an underscore before their names and jumps go to `INSTRk`, as on x86.

use std::collections::HashMap;
use std::fmt::Write;

use yaxpeax_arch::{Decoder, U8Reader};
use yaxpeax_arm::armv8::a64::InstDecoder;

use super::{Access, FP, Moves, Op, Pages, SP, decode};
use crate::discover::{MAX_BYTES, MAX_INSTRUCTIONS};
use crate::listing::{Call, Facts, Line, Listing, remember};
use crate::program::{Function, Program};
use crate::strings;

/// Instructions that may lie between the two halves of an address.
const APART: usize = 24;

/// Instructions of the longest stub.
const STUB: usize = 6;

struct Code {
    address: u64,
    word: u32,
    op: Op,
    /// The address that the instruction makes whole.
    whole: Option<u64>,
}

pub(crate) fn list(program: &Program<'_>, function: &Function) -> Listing {
    let code = read(program, function);
    let index: HashMap<u64, usize> = code
        .iter()
        .enumerate()
        .map(|(i, c)| (c.address, i))
        .collect();
    let frame = Frame::new(&code);
    let mut writer = Writer {
        program,
        code: &code,
        index: &index,
        frame: &frame,
        facts: Facts::default(),
        parts: HashMap::new(),
    };
    let lines = (0..code.len()).map(|at| writer.line(at)).collect();
    let mut facts = writer.facts;
    facts.instructions = code.len();
    facts.blocks = blocks(&code, &index);
    Listing { lines, facts }
}

fn read(program: &Program<'_>, function: &Function) -> Vec<Code> {
    let mut code = Vec::new();
    let mut pages = Pages::default();
    let mut bytes_left = MAX_BYTES;
    for range in &function.ranges {
        let end = range.end.min(range.start.saturating_add(bytes_left));
        bytes_left -= end - range.start;
        let words = program.image.bytes_in(range.start, end).chunks_exact(4);
        for (at, word) in words.enumerate() {
            if code.len() == MAX_INSTRUCTIONS {
                return code;
            }
            let address = range.start + 4 * at as u64;
            let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            let op = decode(word, address);
            let whole = pages.follow(op, word);
            code.push(Code {
                address,
                word,
                op,
                whole,
            });
        }
    }
    code
}

fn blocks(code: &[Code], index: &HashMap<u64, usize>) -> usize {
    let mut leaders = vec![false; code.len()];
    leaders.iter_mut().take(1).for_each(|first| *first = true);
    for (at, c) in code.iter().enumerate() {
        if let Op::Branch(target) | Op::Conditional(target) = c.op
            && let Some(&target) = index.get(&target)
        {
            leaders[target] = true;
        }
        let ends = matches!(
            c.op,
            Op::Branch(_) | Op::Conditional(_) | Op::Jump(_) | Op::Return | Op::Stop
        );
        if ends && at + 1 < code.len() {
            leaders[at + 1] = true;
        }
    }
    leaders.into_iter().filter(|&leader| leader).count()
}

/// How far the stack pointer is below its value at the entry, before each
/// instruction; and where the frame pointer points.
///
/// Compilers move the stack pointer at the start and before each return. After a
/// return the code goes on as deep as the function ever was.
struct Frame {
    depth: Vec<i64>,
    pointer: Option<i64>,
}

impl Frame {
    fn new(code: &[Code]) -> Frame {
        let (mut now, mut deepest) = (0i64, 0i64);
        let mut frame = Frame {
            depth: Vec::with_capacity(code.len()),
            pointer: None,
        };
        for c in code {
            frame.depth.push(now);
            match c.op {
                Op::Add {
                    to: SP,
                    from: SP,
                    value,
                } => now = now.saturating_sub(value),
                Op::Add {
                    to: SP,
                    from: FP,
                    value,
                } => now = frame.pointer.unwrap_or(now).saturating_sub(value),
                Op::Add {
                    to: FP,
                    from: SP,
                    value,
                } => frame.pointer = frame.pointer.or(Some(now.saturating_sub(value))),
                Op::Memory { access } if access.base == SP && access.moves.is_some() => {
                    now = now.saturating_sub(access.offset);
                }
                Op::Return | Op::Branch(_) | Op::Jump(_) => now = deepest,
                _ => {}
            }
            deepest = deepest.max(now);
        }
        frame
    }

    /// The stack variable at `base` plus `offset`: what IDA writes after `#`.
    fn variable(&self, at: usize, base: u8, offset: i64) -> Option<String> {
        let depth = match base {
            SP => *self.depth.get(at)?,
            FP => self.pointer?,
            _ => return None,
        };
        let place = offset.checked_sub(depth)?;
        let name = if place < 0 {
            format!("var_{:X}", place.unsigned_abs())
        } else {
            format!("arg_{place:X}")
        };
        Some(match (base, depth) {
            (SP, depth) if depth > 0 => format!("{}+{name}", number(depth)),
            _ => name,
        })
    }
}

struct Writer<'a, 'd> {
    program: &'a Program<'d>,
    code: &'a [Code],
    index: &'a HashMap<u64, usize>,
    frame: &'a Frame,
    facts: Facts,
    /// Numbers that `MOV` and `MOVK` put together, by register.
    parts: HashMap<u8, u64>,
}

impl Writer<'_, '_> {
    fn line(&mut self, at: usize) -> Line {
        let c = &self.code[at];
        let mut comment = None;
        let mut text = String::with_capacity(48);
        match InstDecoder::default().decode(&mut U8Reader::new(&c.word.to_le_bytes())) {
            Ok(instruction) if c.op != Op::Undefined => {
                let plain = instruction.to_string();
                self.write(at, &plain, &mut text, &mut comment);
            }
            _ => {
                let _ = write!(text, "DCD             0x{:X}", c.word);
            }
        }
        if let Some(string) = comment {
            text.push_str("; ");
            strings::quote(&mut text, &string);
            remember(&mut self.facts.strings, string);
        }
        self.constants(at);
        Line {
            address: c.address,
            len: 4,
            text,
        }
    }

    fn write(&mut self, at: usize, plain: &str, out: &mut String, comment: &mut Option<String>) {
        let c = &self.code[at];
        let (mnemonic, rest) = plain.split_once(' ').unwrap_or((plain, ""));
        out.push_str(&mnemonic.to_ascii_uppercase());
        if rest.is_empty() {
            return;
        }
        let padding = 16usize.saturating_sub(out.len()).max(1);
        out.push_str(&"                "[..padding]);
        let mut operands = operands(rest);
        match c.op {
            Op::Branch(target) | Op::Conditional(target) | Op::Call(target) => {
                if let Some(last) = operands.last_mut() {
                    *last = self.target(target, matches!(c.op, Op::Call(_)));
                }
            }
            Op::Page { to, .. } => {
                if let Some((address, taken)) = self.meant(at, to) {
                    let name = match taken {
                        true => self.name(address, &mut None),
                        false => self.slot(address, &mut None),
                    };
                    if let Some(last) = operands.last_mut() {
                        *last = format!("#{name}@PAGE");
                    }
                }
            }
            Op::Address { address, .. } | Op::Literal { address, .. } => {
                if let Some(last) = operands.last_mut() {
                    *last = self.name(address, comment);
                }
            }
            Op::Add { from, value, .. } => {
                if let (Some(address), Some(last)) = (c.whole, operands.last_mut()) {
                    *last = format!("#{}@PAGEOFF", self.name(address, comment));
                } else if let Some(variable) = self.frame.variable(at, from, value)
                    && operands.len() == 3
                    && !matches!(c.op, Op::Add { to: SP | FP, .. })
                    && let Some(last) = operands.last_mut()
                {
                    *last = format!("#{variable}");
                }
            }
            Op::Memory { access } => {
                if let Some(place) = operands.iter().position(|o| o.starts_with('[')) {
                    self.memory(at, access, &mut operands, place, comment);
                }
            }
            _ => {}
        }
        for (number, operand) in operands.iter().enumerate() {
            if number > 0 {
                // IDA leaves no space before the shift of the operand before, nor
                // before what a base moves by.
                let moves = operands[number - 1].ends_with(']');
                out.push_str(if moves || is_shift(operand) {
                    ","
                } else {
                    ", "
                });
            }
            out.push_str(operand);
        }
    }

    fn memory(
        &mut self,
        at: usize,
        access: Access,
        operands: &mut Vec<String>,
        place: usize,
        comment: &mut Option<String>,
    ) {
        let base = register(access.base);
        if let Some(address) = self.code[at].whole {
            if let Some(name) = self.program.image.slots.get(&address)
                && access.loads.is_some_and(|loads| self.is_called(at, loads))
            {
                let call = Call {
                    name: name.clone(),
                    address: None,
                    import: true,
                };
                remember(&mut self.facts.calls, call);
            }
            operands[place] = format!("[{base},#{}@PAGEOFF]", self.slot(address, comment));
            return;
        }
        let moved_before = access.moves == Some(Moves::Before);
        let offset = if access.moves == Some(Moves::After) {
            0
        } else {
            access.offset
        };
        let Some(variable) = self.frame.variable(at, access.base, offset) else {
            return;
        };
        match access.moves {
            None => operands[place] = format!("[{base},#{variable}]"),
            Some(_) if moved_before => {
                let name = variable.rsplit('+').next().unwrap_or(&variable);
                operands[place] = format!("[{base},#{}+{name}]!", number(access.offset));
            }
            Some(_) => {
                operands[place] = format!("[{base}+{variable}]");
                operands.truncate(place + 1);
                operands.push(format!("#{}", number(access.offset)));
            }
        }
    }

    /// Whether what `register` holds after instruction `at` is called: programs
    /// for Windows reach their imports so.
    fn is_called(&self, at: usize, register: u8) -> bool {
        for c in self.code[at + 1..].iter().take(APART) {
            match c.op {
                Op::CallRegister(called) | Op::Jump(called) => return called == register,
                Op::Call(_) | Op::Return => return false,
                Op::Memory { access } if access.loads == Some(register) => return false,
                _ => {}
            }
        }
        false
    }

    /// The address that the page in `register` will be part of, and whether the
    /// address itself is taken, not what lies there.
    fn meant(&self, at: usize, register: u8) -> Option<(u64, bool)> {
        for c in self.code[at + 1..].iter().take(APART) {
            let uses = match c.op {
                Op::Add { from, .. } => from == register,
                Op::Memory { access } => access.base == register,
                _ => false,
            };
            if uses && let Some(whole) = c.whole {
                return Some((whole, matches!(c.op, Op::Add { .. })));
            }
            if matches!(c.op, Op::Page { to, .. } if to == register) {
                return None;
            }
        }
        None
    }

    fn target(&mut self, target: u64, call: bool) -> String {
        if !call && let Some(at) = self.index.get(&target) {
            return format!("INSTR{}", at + 1);
        }
        let mut name = String::new();
        self.program
            .code_name(target, call, &mut self.facts, &mut name);
        name
    }

    fn name(&self, address: u64, comment: &mut Option<String>) -> String {
        let mut name = String::new();
        self.program.address_name(address, &mut name, comment);
        name
    }

    /// What lies at an address that is read or written.
    fn slot(&mut self, address: u64, comment: &mut Option<String>) -> String {
        let image = &self.program.image;
        if let Some(name) = image.slots.get(&address) {
            // A function of a few instructions that ends in a jump is a stub.
            let jumps = matches!(self.code.last().map(|c| c.op), Some(Op::Jump(_)));
            if jumps && self.code.len() <= STUB {
                let call = Call {
                    name: name.clone(),
                    address: None,
                    import: true,
                };
                remember(&mut self.facts.calls, call);
            }
            return format!("{name}_ptr");
        }
        if let Some(target) = image.pointer(address).filter(|&target| target != 0) {
            *comment = self.program.string_at(target, 4);
            return format!("off_{address:X}");
        }
        match image.object(address) {
            Some(_) => self.name(address, comment),
            None => format!("qword_{address:X}"),
        }
    }

    /// Remembers a number that says what a function computes.
    fn constants(&mut self, at: usize) {
        let Op::Move { to, value, keep } = self.code[at].op else {
            return;
        };
        let whole = match keep {
            true => self.parts.get(&to).copied().unwrap_or(0) | value,
            false => value,
        };
        self.parts.insert(to, whole);
        let more = self.code[at + 1..]
            .iter()
            .take(4)
            .any(|c| matches!(c.op, Op::Move { to: t, keep: true, .. } if t == to));
        let mask = |v: u64| v & v.wrapping_add(1) == 0;
        let plain = whole < 0x10000 || whole.is_power_of_two() || mask(whole) || mask(!whole);
        if !more && !plain {
            remember(&mut self.facts.constants, whole);
        }
    }
}

fn register(number: u8) -> String {
    match number {
        SP => "SP".to_owned(),
        number => format!("X{number}"),
    }
}

/// `0x10`, `8`, `-0x20`: small numbers are decimal.
fn number(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    match value.unsigned_abs() {
        small @ 0..10 => format!("{sign}{small}"),
        large => format!("{sign}0x{large:X}"),
    }
}

fn is_shift(operand: &str) -> bool {
    let shifts = [
        "LSL#", "LSR#", "ASR#", "ROR#", "MSL#", "SXT", "UXT", "LSL", "ROR",
    ];
    shifts.iter().any(|shift| operand.starts_with(shift))
}

/// The operands of the disassembler's text in IDA's writing.
fn operands(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut part = String::new();
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(std::mem::take(&mut part));
        } else if c == ' ' {
            // Only a shift has a space inside: `lsl #2`.
        } else {
            part.push(c);
        }
    }
    parts.push(part);
    parts.iter().map(|part| plain_numbers(part)).collect()
}

/// Upper case but for the `x` of hexadecimal numbers, and small numbers decimal.
fn plain_numbers(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find("0x") {
        out.push_str(&rest[..at].to_ascii_uppercase());
        let digits = &rest[at + 2..];
        let end = digits
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(digits.len());
        match u64::from_str_radix(&digits[..end], 16) {
            Ok(small @ 0..10) => {
                let _ = write!(out, "{small}");
            }
            _ => {
                out.push_str("0x");
                out.push_str(&digits[..end].to_ascii_uppercase());
            }
        }
        rest = &digits[end..];
    }
    out.push_str(&rest.to_ascii_uppercase());
    out
}
