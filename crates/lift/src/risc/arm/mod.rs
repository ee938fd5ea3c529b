//! 32-bit ARM, A32 and T32 (Thumb): what an instruction does to the program's
//! flow, to addresses and to the stack. The state of code is not in its bytes:
//! [`Modes`] says which is which. Encodings: Arm Architecture Reference Manual
//! (DDI 0406C), A5, A6 and A8.
//!
//! The text is written here too, by [`text`] and [`vector`]: the disassembler of
//! the other ARM panics on T32 and knows no vectors.
//!
//! IDA's writing: capital letters, the mnemonic sixteen columns wide,
//! `[SP,#0x20+var_10]` for what is on the stack, `=aUsage` for what a literal
//! pool holds.

use super::{Access, Code, Isa, Moves, Op, Term, Text, field, signed};
use crate::image::Image;

mod modes;
mod text;
mod vector;

use modes::Mode;
pub(crate) use modes::Modes;

const SP: u8 = 13;
const LR: u8 = 14;
const PC: u8 = 15;

/// Bits of [`Code::state`]: T32, and in a block of `IT`, whose condition is in
/// the upper four.
const THUMB: u8 = 1;
const IN_BLOCK: u8 = 2;
/// A condition that always holds.
const ALWAYS: u8 = 14;

#[derive(Debug)]
pub(super) struct Arm;

impl Isa for Arm {
    fn decode(&self, image: &Image<'_>, bytes: &[u8], address: u64) -> Option<Code> {
        let (mode, end) = image.modes.at(address);
        let room = end.saturating_sub(address).min(bytes.len() as u64);
        let thumb = match mode {
            Mode::A32 => false,
            Mode::T32 => true,
            Mode::Data => return data(bytes, address, room),
        };
        let code = decode(image, bytes, address, thumb)?;
        if room < code.length.into() {
            return data(bytes, address, room);
        }
        Some(code)
    }

    /// The low bit of code's address is the state of the code.
    fn code_taken(&self, image: &Image<'_>, address: u64) -> Option<u64> {
        let (code, thumb) = (address & !1, address & 1 == 1);
        let known = (image.modes.at(code).0 == Mode::T32) == thumb;
        (known || image.code_region(code).is_none()).then_some(code)
    }

    /// Counts the instructions of a block of `IT` and makes them conditional.
    fn carry(&self, mut code: Code, carried: &mut u32) -> Code {
        if code.state & THUMB == 0 {
            *carried = 0;
        } else if *carried & 15 != 0 {
            let condition = (*carried >> 4) as u8;
            code.state |= IN_BLOCK | condition << 4;
            if condition < ALWAYS {
                code.op = conditional(code.op);
            }
            // The next bit of the mask is the last one of the condition.
            let shifted = *carried << 1;
            *carried = (*carried & 0xe0) | (shifted & 0x1f);
        } else if code.length == 2 && code.word & 0xff00 == 0xbf00 && code.word & 15 != 0 {
            *carried = code.word & 0xff;
        }
        code
    }

    fn text(&self, code: &Code) -> Option<Text> {
        text::text(code)
    }

    fn stack_pointer(&self) -> u8 {
        SP
    }

    fn frame_pointer(&self) -> Option<u8> {
        Some(11)
    }

    fn frame_pointer_of(&self, code: &Code) -> Option<u8> {
        Some(if code.state & THUMB == 0 { 11 } else { 7 })
    }

    fn argument(&self) -> u8 {
        0
    }

    /// AAPCS32, 6.1.1.
    fn clobbered(&self) -> u32 {
        0x500f
    }

    fn holds(&self, register: u8) -> bool {
        register < SP || register == LR
    }

    fn alignment(&self) -> u64 {
        2
    }

    fn compared(&self, code: &Code) -> Option<u64> {
        compared(code)
    }

    fn indexed_load(&self, _: &Code) -> u64 {
        0
    }

    fn is_nop(&self, code: &Code) -> bool {
        match (code.state & THUMB, code.length) {
            (THUMB, 2) => matches!(code.word, 0xbf00 | 0x46c0),
            (THUMB, _) => code.word == 0xf3af_8000,
            _ => matches!(code.word, 0xe320_f000 | 0xe1a0_0000),
        }
    }

    fn is_padding(&self, code: &Code) -> bool {
        matches!(code.word, 0 | 0xd4d4 | 0xd4d4_d4d4) || code.op == Op::Data || self.is_nop(code)
    }

    fn saves_return(&self, code: &Code) -> bool {
        match (code.state & THUMB, code.length) {
            (THUMB, 2) => code.word & 0xff00 == 0xb500,
            _ => code.word & 0xffff_4000 == 0xe92d_4000,
        }
    }

    /// The return address is pushed, the stack pointer moved down or kept.
    fn is_prologue(&self, code: &Code) -> bool {
        match (code.state & THUMB, code.length) {
            (THUMB, 2) => {
                code.word & 0xff00 == 0xb500
                    || code.word & 0xff80 == 0xb080
                    || matches!(code.word, 0xb40f | 0xb40e | 0xb40c | 0xb408)
            }
            (THUMB, _) => {
                code.word & 0xffff_4000 == 0xe92d_4000 || code.word & 0xffff_0fff == 0xf84d_0d04
            }
            _ => {
                code.word & 0xffff_4000 == 0xe92d_4000
                    || code.word & 0xffff_0fff == 0xe52d_0004
                    || code.word & 0xffff_f000 == 0xe24d_d000
                    || code.word == 0xe1a0_c00d
            }
        }
    }

    fn stubs(&self, image: &Image<'_>, code: &[u8], start: u64) -> Vec<(u64, u64)> {
        stubs(image, code, start)
    }

    fn column(&self) -> usize {
        16
    }

    fn data(&self, code: &Code) -> String {
        let name = match code.length {
            1 => "DCB",
            2 => "DCW",
            _ => "DCD",
        };
        // The two halves of a T32 instruction stand in their own order.
        let word = match (code.op, code.length, code.state & THUMB) {
            (Op::Data, ..) | (_, 2, _) | (.., 0) => code.word,
            _ => code.word.rotate_left(16),
        };
        format!("{name}             0x{word:X}")
    }

    fn immediate(&self, text: &str) -> String {
        format!("#{text}")
    }

    fn is_memory(&self, operand: &str) -> bool {
        operand.starts_with('[')
    }

    fn memory(&self, base: u8, inside: &str) -> String {
        format!("[{},#{inside}]", text::REGISTERS[usize::from(base & 15)])
    }

    fn memory_low(&self, base: u8, name: &str) -> String {
        self.memory(base, name)
    }

    fn memory_before(&self, base: u8, by: &str, inside: &str) -> String {
        format!(
            "[{},#{by}+{inside}]!",
            text::REGISTERS[usize::from(base & 15)]
        )
    }

    fn memory_after(&self, base: u8, by: &str, inside: &str) -> Vec<String> {
        let base = text::REGISTERS[usize::from(base & 15)];
        vec![format!("[{base}+{inside}]"), format!("#{by}")]
    }

    fn high(&self, name: &str) -> String {
        format!("#(:upper16:{name})")
    }

    fn low(&self, name: &str) -> String {
        format!("#(:lower16:{name})")
    }

    fn names_behind(&self) -> bool {
        true
    }

    /// IDA leaves no space before a shift, nor before what a base moves by.
    fn separator(&self, before: &str, after: &str) -> &'static str {
        let shifts = ["LSL", "LSR", "ASR", "ROR", "RRX"];
        if before.ends_with(']') || shifts.iter().any(|shift| after.starts_with(shift)) {
            ","
        } else {
            ", "
        }
    }
}

/// Data among the code, of which there are `room` bytes.
fn data(bytes: &[u8], address: u64, room: u64) -> Option<Code> {
    let length: u8 = match (address % 4, room) {
        (0, 4..) => 4,
        (0 | 2, 2..) => 2,
        _ => 1,
    };
    let mut raw = [0; 4];
    let taken = bytes.get(..length.into())?;
    raw[..taken.len()].copy_from_slice(taken);
    Some(Code {
        address,
        length,
        word: u32::from_le_bytes(raw),
        state: 0,
        op: Op::Data,
    })
}

/// The instruction at the start of `bytes` in one of the two states.
fn decode(image: &Image<'_>, bytes: &[u8], address: u64, thumb: bool) -> Option<Code> {
    let half = |at: usize| {
        Some(u32::from(u16::from_le_bytes(
            *bytes.get(at..)?.first_chunk()?,
        )))
    };
    if !thumb {
        let word = u32::from_le_bytes(*bytes.first_chunk()?);
        return Some(Code {
            address,
            length: 4,
            word,
            state: 0,
            op: a32(image, word, address),
        });
    }
    let first = half(0)?;
    let (length, word, op) = match half(2) {
        _ if first < 0xe800 => (2, first, t16(image, first, address)),
        Some(second) => {
            let word = first << 16 | second;
            (4, word, t32(image, word, address))
        }
        None => (2, first, Op::Undefined),
    };
    Some(Code {
        address,
        length,
        word,
        state: THUMB,
        op,
    })
}

/// What is left of `op` if it need not happen.
fn conditional(op: Op) -> Op {
    match op {
        Op::Branch(target) => Op::Conditional(target),
        Op::Switch { .. } => Op::Switch { falls: true },
        Op::Return | Op::Stop | Op::Jump(_) => Op::Other(None),
        Op::Memory { access } if access.moves.is_some() => Op::Other(access.loads),
        Op::Add { to: SP, .. } => Op::Other(None),
        op => op,
    }
}

fn memory(loads: Option<u8>, base: u8, offset: i64, moves: Option<Moves>) -> Op {
    Op::Memory {
        access: Access {
            loads,
            loads_also: None,
            base,
            offset,
            moves,
        },
    }
}

/// The word that a literal pool has at `pool`.
fn literal(image: &Image<'_>, to: u8, pool: u64) -> Op {
    let word = image.bytes_at(pool).and_then(|bytes| bytes.first_chunk());
    match word.map(|raw| u64::from(u32::from_le_bytes(*raw))) {
        Some(value) if to == PC => Op::Branch(value & !1),
        Some(value) => Op::Number {
            to,
            value,
            keep: false,
            pool: Some(pool),
        },
        None if to == PC => Op::Jump(PC),
        None => Op::Other(Some(to)),
    }
}

/// Several registers at a base: pushed, popped, or elsewhere.
fn multiple(word: u32, load: bool, before: bool, up: bool, moves: bool) -> Op {
    let (list, base) = (field(word, 0, 16), field(word, 16, 4) as u8);
    if load && list >> 15 == 1 {
        return if base == SP { Op::Return } else { Op::Jump(PC) };
    }
    let bytes = i64::from(list.count_ones()) * 4;
    if base == SP && moves {
        return match (load, before, up) {
            (true, false, true) => memory(None, SP, bytes, Some(Moves::After)),
            (false, true, false) => memory(None, SP, -bytes, Some(Moves::Before)),
            _ => Op::Others(0),
        };
    }
    let changed = if load { list } else { 0 };
    Op::Others(changed | if moves { 1 << base } else { 0 })
}

fn add(to: u8, from: u8, value: i64, pc: u64) -> Op {
    match (to, from) {
        (PC, _) => Op::Jump(from),
        (_, PC) => Op::Address {
            to,
            address: (pc & !3).wrapping_add_signed(value) & 0xffff_ffff,
        },
        _ => Op::Add { to, from, value },
    }
}

fn term(register: u8, pc: u64) -> Term {
    match register {
        PC => Term::Here(pc),
        register => Term::Register(register),
    }
}

/// A register is moved. Only what the stack needs is followed.
fn moved(to: u8, from: u8) -> Op {
    match (to, from) {
        (PC, LR) => Op::Return,
        (PC, _) => Op::Jump(from),
        (SP, _) | (_, SP) => Op::Add { to, from, value: 0 },
        _ => Op::Other(Some(to)),
    }
}

/// An immediate of A32: eight bits, turned right.
fn a32_immediate(word: u32) -> u32 {
    field(word, 0, 8).rotate_right(2 * field(word, 8, 4))
}

/// An immediate of T32: eight bits, repeated or turned right.
fn t32_immediate(word: u32) -> u32 {
    let low = field(word, 0, 8);
    let kind = field(word, 26, 1) << 3 | field(word, 12, 3);
    match kind {
        0 => low,
        1 => low << 16 | low,
        2 => low << 24 | low << 8,
        3 => low << 24 | low << 16 | low << 8 | low,
        _ => (0x80 | (low & 0x7f)).rotate_right(kind << 1 | low >> 7),
    }
}

/// What the instructions for floating point and vectors do, which are alike in
/// both states.
fn vectors(word: u32) -> Op {
    let base = field(word, 16, 4) as u8;
    let offset = i64::from(field(word, 0, 8)) * 4;
    let up = field(word, 23, 1) == 1;
    if word & 0x0f20_0e00 == 0x0d00_0a00 {
        return match base {
            PC => Op::Other(None),
            _ => memory(None, base, if up { offset } else { -offset }, None),
        };
    }
    if word & 0x0fff_0e00 == 0x0d2d_0a00 {
        return memory(None, SP, -offset, Some(Moves::Before));
    }
    if word & 0x0fff_0e00 == 0x0cbd_0a00 {
        return memory(None, SP, offset, Some(Moves::After));
    }
    // VMOV and VMRS to registers.
    if word & 0x0f10_0e10 == 0x0e10_0a10 {
        return Op::Other(Some(field(word, 12, 4) as u8).filter(|&to| to < PC));
    }
    if word & 0x0ff0_0e00 == 0x0c50_0a00 {
        return Op::Others(1 << field(word, 12, 4) | 1 << base);
    }
    Op::Other(None)
}

fn a32(image: &Image<'_>, word: u32, address: u64) -> Op {
    let pc = address.wrapping_add(8) & 0xffff_ffff;
    let condition = (word >> 28) as u8;
    let near = |more: i64| pc.wrapping_add_signed(signed(word, 0, 24) * 4 + more) & 0xffff_ffff;
    if condition == 15 {
        return match word >> 25 {
            0x7d => Op::Call(near(i64::from(field(word, 24, 1)) * 2)),
            _ => Op::Other(None),
        };
    }
    if word == 0 {
        return Op::Undefined;
    }
    let op = match field(word, 25, 3) {
        0 | 1 => a32_arithmetic(word, pc),
        3 if field(word, 4, 1) == 1 => {
            if word & 0x0ff0_00f0 == 0x07f0_00f0 {
                Op::Stop
            } else {
                // Multiplications have their result higher up.
                let high = word & 0x0f80_0000 == 0x0700_0000;
                Op::Other(Some(field(word, if high { 16 } else { 12 }, 4) as u8))
            }
        }
        2 | 3 => a32_memory(image, word, pc),
        4 => {
            let bit = |at| field(word, at, 1) == 1;
            multiple(word, bit(20), bit(24), bit(23), bit(21))
        }
        5 if field(word, 24, 1) == 1 => Op::Call(near(0)),
        5 => Op::Branch(near(0)),
        _ if field(word, 24, 4) == 15 => Op::Other(None),
        _ => vectors(word),
    };
    if condition < ALWAYS {
        conditional(op)
    } else {
        op
    }
}

fn a32_arithmetic(word: u32, pc: u64) -> Op {
    let is = |mask: u32, value: u32| word & mask == value;
    let register = |low| field(word, low, 4) as u8;
    let (to, from) = (register(12), register(16));
    if is(0x0fff_ffd0, 0x012f_ff10) {
        return match register(0) {
            _ if field(word, 5, 1) == 1 => Op::CallRegister(register(0)),
            LR => Op::Return,
            from => Op::Jump(from),
        };
    }
    if is(0x0e00_0090, 0x0000_0090) {
        // Multiplications, and loads and stores of halves and pairs.
        let kind = field(word, 5, 2);
        if kind == 0 {
            let high = field(word, 24, 1) == 0;
            return Op::Other(Some(if high { from } else { to }));
        }
        let loads = field(word, 20, 1) == 1 || kind == 2;
        let loads = loads.then_some(to);
        let before = field(word, 24, 1) == 1;
        let moves = match (before, field(word, 21, 1)) {
            (false, _) => Some(Moves::After),
            (true, 1) => Some(Moves::Before),
            _ => None,
        };
        if field(word, 22, 1) == 0 || from == PC {
            return Op::Other(loads);
        }
        let offset = i64::from(field(word, 8, 4) << 4 | field(word, 0, 4));
        let offset = if field(word, 23, 1) == 1 {
            offset
        } else {
            -offset
        };
        let mut op = memory(loads, from, offset, moves);
        if let Op::Memory { access } = &mut op
            && field(word, 20, 1) == 0
            && kind == 2
        {
            access.loads_also = Some(to | 1);
        }
        return op;
    }
    if is(0x0fb0_0000, 0x0300_0000) {
        let value = u64::from(field(word, 16, 4) << 12 | field(word, 0, 12));
        let keep = field(word, 22, 1) == 1;
        let value = if keep { value << 16 } else { value };
        return Op::Number {
            to,
            value,
            keep,
            pool: None,
        };
    }
    // Comparisons, and what only moves the flags.
    if is(0x0d90_0000, 0x0110_0000) {
        return Op::Other(None);
    }
    if is(0x0d90_0000, 0x0100_0000) {
        let halves = is(0x0f90_0090, 0x0100_0080);
        return Op::Other(Some(if halves { from } else { to }));
    }
    let immediate = field(word, 25, 1) == 1;
    match field(word, 21, 4) {
        4 if immediate => add(to, from, a32_immediate(word).into(), pc),
        2 if immediate => add(to, from, -i64::from(a32_immediate(word)), pc),
        13 if immediate => Op::Number {
            to,
            value: a32_immediate(word).into(),
            keep: false,
            pool: None,
        },
        4 if to == PC => Op::Switch { falls: false },
        4 if field(word, 4, 8) == 0 => Op::Sum {
            to,
            terms: [term(from, pc), term(register(0), pc)],
        },
        13 if field(word, 4, 8) == 0 => moved(to, register(0)),
        _ if to == PC => Op::Jump(register(0)),
        _ => Op::Other(Some(to)),
    }
}

fn a32_memory(image: &Image<'_>, word: u32, pc: u64) -> Op {
    let (to, base) = (field(word, 12, 4) as u8, field(word, 16, 4) as u8);
    let (before, write) = (field(word, 24, 1) == 1, field(word, 21, 1) == 1);
    let load = field(word, 20, 1) == 1;
    let loads = load.then_some(to);
    if field(word, 25, 1) == 1 {
        let index = field(word, 0, 4) as u8;
        if loads == Some(PC) {
            return Op::Switch { falls: false };
        }
        if before && !write && field(word, 4, 8) == 0 && field(word, 23, 1) == 1 {
            return Op::SumMemory {
                loads,
                terms: [term(base, pc), term(index, pc)],
            };
        }
        let moved = if before && !write { 0 } else { 1 << base };
        return Op::Others(moved | loads.map_or(0, |to| 1 << to));
    }
    let offset = i64::from(field(word, 0, 12));
    let offset = if field(word, 23, 1) == 1 {
        offset
    } else {
        -offset
    };
    if base == PC && load && field(word, 22, 1) == 0 {
        return literal(image, to, pc.wrapping_add_signed(offset) & 0xffff_ffff);
    }
    if loads == Some(PC) {
        return if base == SP {
            Op::Return
        } else {
            Op::Jump(base)
        };
    }
    if base == PC {
        return Op::Other(loads);
    }
    let moves = match (before, write) {
        (false, _) => Some(Moves::After),
        (true, true) => Some(Moves::Before),
        _ => None,
    };
    memory(loads, base, offset, moves)
}

fn t16(image: &Image<'_>, word: u32, address: u64) -> Op {
    let pc = address.wrapping_add(4) & 0xffff_ffff;
    let low = |at| field(word, at, 3) as u8;
    let byte = i64::from(field(word, 0, 8));
    let near = |distance: i64| pc.wrapping_add_signed(distance) & 0xffff_ffff;
    let to_high = (field(word, 7, 1) << 3 | field(word, 0, 3)) as u8;
    let from_high = field(word, 3, 4) as u8;
    match word >> 11 {
        3 if field(word, 10, 1) == 1 => {
            let value = i64::from(field(word, 6, 3));
            let value = if field(word, 9, 1) == 1 {
                -value
            } else {
                value
            };
            add(low(0), low(3), value, pc)
        }
        0..=3 => Op::Other(Some(low(0))),
        4 => Op::Number {
            to: low(8),
            value: byte as u64,
            keep: false,
            pool: None,
        },
        5 => Op::Other(None),
        6 => add(low(8), low(8), byte, pc),
        7 => add(low(8), low(8), -byte, pc),
        // TST, CMP, CMN.
        8 if field(word, 10, 1) == 0 => match field(word, 6, 4) {
            8 | 10 | 11 => Op::Other(None),
            _ => Op::Other(Some(low(0))),
        },
        8 => match field(word, 8, 2) {
            0 if to_high == PC => Op::Jump(from_high),
            0 if to_high == SP => Op::Other(Some(SP)),
            0 => Op::Sum {
                to: to_high,
                terms: [term(to_high, pc), term(from_high, pc)],
            },
            1 => Op::Other(None),
            2 => moved(to_high, from_high),
            _ if field(word, 7, 1) == 1 => Op::CallRegister(from_high),
            _ => match from_high {
                LR => Op::Return,
                PC => Op::Branch(pc & !3),
                from => Op::Jump(from),
            },
        },
        9 => literal(image, low(8), near(byte * 4) & !3),
        10 | 11 => match field(word, 9, 3) {
            0..=2 => Op::Other(None),
            4 => Op::SumMemory {
                loads: Some(low(0)),
                terms: [term(low(3), pc), term(low(6), pc)],
            },
            _ => Op::Other(Some(low(0))),
        },
        12..=17 => {
            let scale = match word >> 12 {
                6 => 4,
                7 => 1,
                _ => 2,
            };
            let loads = (field(word, 11, 1) == 1).then_some(low(0));
            memory(loads, low(3), i64::from(field(word, 6, 5)) * scale, None)
        }
        18 | 19 => {
            let loads = (field(word, 11, 1) == 1).then_some(low(8));
            memory(loads, SP, byte * 4, None)
        }
        20 => add(low(8), PC, byte * 4, pc),
        21 => add(low(8), SP, byte * 4, pc),
        22 | 23 => match field(word, 8, 4) {
            0 => {
                let value = i64::from(field(word, 0, 7)) * 4;
                add(
                    SP,
                    SP,
                    if field(word, 7, 1) == 1 {
                        -value
                    } else {
                        value
                    },
                    pc,
                )
            }
            4 | 5 => {
                let count = field(word, 0, 9).count_ones();
                memory(None, SP, -4 * i64::from(count), Some(Moves::Before))
            }
            12 | 13 if field(word, 8, 1) == 1 => Op::Return,
            12 => memory(
                None,
                SP,
                4 * i64::from(field(word, 0, 8).count_ones()),
                Some(Moves::After),
            ),
            1 | 3 | 9 | 11 => {
                let distance = field(word, 9, 1) << 6 | field(word, 3, 5) << 1;
                Op::Conditional(near(distance.into()))
            }
            2 | 10 => Op::Other(Some(low(0))),
            _ => Op::Other(None),
        },
        24 => Op::Others(1 << low(8)),
        25 => Op::Others(1 << low(8) | field(word, 0, 8)),
        26 | 27 => match field(word, 8, 4) {
            14 => Op::Stop,
            15 => Op::Other(None),
            _ => Op::Conditional(near(signed(word, 0, 8) * 2)),
        },
        _ => Op::Branch(near(signed(word, 0, 11) * 2)),
    }
}

fn t32(image: &Image<'_>, word: u32, address: u64) -> Op {
    let pc = address.wrapping_add(4) & 0xffff_ffff;
    let is = |mask: u32, value: u32| word & mask == value;
    let register = |low| field(word, low, 4) as u8;
    let from = register(16);
    if is(0xfe40_0000, 0xe800_0000) {
        let bit = |at| field(word, at, 1) == 1;
        return multiple(word, bit(20), bit(24), bit(23), bit(21));
    }
    if is(0xfff0_ffe0, 0xe8d0_f000) {
        return Op::Switch { falls: false };
    }
    if is(0xfe40_0000, 0xe840_0000) {
        return t32_pair(word);
    }
    if is(0xec00_0000, 0xec00_0000) {
        return vectors(word);
    }
    if is(0xf800_8000, 0xf000_8000) {
        return t32_branch(word, pc);
    }
    if is(0xf800_8000, 0xf000_0000) {
        return t32_immediates(word, pc);
    }
    let to = register(8);
    if is(0xfe00_0000, 0xea00_0000) {
        let shift = word & 0x70f0;
        return match (field(word, 21, 4), shift) {
            (0 | 4 | 8 | 13, _) if to == PC => Op::Other(None),
            (8, 0) => Op::Sum {
                to,
                terms: [term(from, pc), term(register(0), pc)],
            },
            (2, 0) if from == PC => moved(to, register(0)),
            _ => Op::Other(Some(to)),
        };
    }
    if is(0xfe00_0000, 0xf800_0000) {
        return t32_memory(image, word, pc);
    }
    // Long multiplications have two results.
    if is(0xff80_0000, 0xfb80_0000) {
        return Op::Others(1 << to | 1 << register(12));
    }
    Op::Other(Some(to))
}

/// `LDRD` and `STRD`, and those that are alone with memory.
fn t32_pair(word: u32) -> Op {
    let (to, second, base) = (
        field(word, 12, 4) as u8,
        field(word, 8, 4) as u8,
        field(word, 16, 4) as u8,
    );
    let (before, write) = (field(word, 24, 1) == 1, field(word, 21, 1) == 1);
    let load = field(word, 20, 1) == 1;
    if !before && !write || base == PC {
        return Op::Others(1 << to | 1 << second | 1 << field(word, 0, 4));
    }
    let offset = i64::from(field(word, 0, 8)) * 4;
    let offset = if field(word, 23, 1) == 1 {
        offset
    } else {
        -offset
    };
    Op::Memory {
        access: Access {
            loads: load.then_some(to),
            loads_also: load.then_some(second),
            base,
            offset,
            moves: match (before, write) {
                (false, _) => Some(Moves::After),
                (true, true) => Some(Moves::Before),
                _ => None,
            },
        },
    }
}

fn t32_branch(word: u32, pc: u64) -> Op {
    let near = |distance: i64| pc.wrapping_add_signed(distance) & 0xffff_ffff;
    let sign = field(word, 26, 1);
    // Two bits are turned over where the sign is not set.
    let bit = |low| 1 ^ field(word, low, 1) ^ sign;
    let far = sign << 24
        | bit(13) << 23
        | bit(11) << 22
        | field(word, 16, 10) << 12
        | field(word, 0, 11) << 1;
    let far = signed(far, 0, 25);
    match (field(word, 14, 1), field(word, 12, 1)) {
        (1, 1) => Op::Call(near(far)),
        (1, _) => Op::Call((pc & !3).wrapping_add_signed(far & !3) & 0xffff_ffff),
        (_, 1) => Op::Branch(near(far)),
        _ if field(word, 23, 3) < 7 => {
            let distance = sign << 20
                | field(word, 11, 1) << 19
                | field(word, 13, 1) << 18
                | field(word, 16, 6) << 12
                | field(word, 0, 11) << 1;
            Op::Conditional(near(signed(distance, 0, 21)))
        }
        _ if word & 0xfff0_f000 == 0xf7f0_a000 => Op::Stop,
        // SUBS PC, LR: the end of an exception.
        _ if word & 0xffff_ff00 == 0xf3de_8f00 => Op::Return,
        // MRS.
        _ if word & 0xffe0_f000 == 0xf3e0_8000 => Op::Other(Some(field(word, 8, 4) as u8)),
        _ => Op::Other(None),
    }
}

fn t32_immediates(word: u32, pc: u64) -> Op {
    let (to, from) = (field(word, 8, 4) as u8, field(word, 16, 4) as u8);
    let flags = field(word, 20, 1) == 1;
    let opcode = field(word, 21, 4);
    if field(word, 25, 1) == 1 {
        let plain = field(word, 26, 1) << 11 | field(word, 12, 3) << 8 | field(word, 0, 8);
        let half = u64::from(from) << 12 | u64::from(plain);
        return match opcode {
            0 => add(to, from, plain.into(), pc),
            5 => add(to, from, -i64::from(plain), pc),
            2 | 6 => Op::Number {
                to,
                value: if opcode == 6 { half << 16 } else { half },
                keep: opcode == 6,
                pool: None,
            },
            _ => Op::Other(Some(to)),
        };
    }
    let value = t32_immediate(word);
    match opcode {
        0 | 4 | 8 | 13 if to == PC && flags => Op::Other(None),
        2 if from == PC => Op::Number {
            to,
            value: value.into(),
            keep: false,
            pool: None,
        },
        8 => add(to, from, value.into(), pc),
        13 => add(to, from, -i64::from(value), pc),
        _ => Op::Other(Some(to)),
    }
}

fn t32_memory(image: &Image<'_>, word: u32, pc: u64) -> Op {
    let (to, base) = (field(word, 12, 4) as u8, field(word, 16, 4) as u8);
    let load = field(word, 20, 1) == 1;
    let whole = field(word, 21, 2) == 2;
    // Vectors; and hints, which load nothing.
    if word & 0xff10_0000 == 0xf900_0000 || (load && to == PC && !whole) {
        return Op::Other(None);
    }
    let loads = load.then_some(to);
    if base == PC {
        let offset = i64::from(field(word, 0, 12));
        let offset = if field(word, 23, 1) == 1 {
            offset
        } else {
            -offset
        };
        let place = (pc & !3).wrapping_add_signed(offset) & 0xffff_ffff;
        return match whole && load {
            true => literal(image, to, place),
            false => Op::Other(loads),
        };
    }
    let (offset, moves) = if field(word, 23, 1) == 1 {
        (i64::from(field(word, 0, 12)), None)
    } else if field(word, 11, 1) == 1 {
        let offset = i64::from(field(word, 0, 8));
        let offset = if field(word, 9, 1) == 1 {
            offset
        } else {
            -offset
        };
        let moves = match (field(word, 10, 1), field(word, 8, 1)) {
            (0, _) => Some(Moves::After),
            (_, 1) => Some(Moves::Before),
            _ => None,
        };
        (offset, moves)
    } else {
        let index = field(word, 0, 4) as u8;
        return match loads {
            Some(PC) => Op::Switch { falls: false },
            _ if field(word, 4, 8) == 0 && whole => Op::SumMemory {
                loads,
                terms: [term(base, pc), term(index, pc)],
            },
            loads => Op::Other(loads),
        };
    };
    if loads == Some(PC) {
        return if base == SP {
            Op::Return
        } else {
            Op::Jump(base)
        };
    }
    memory(loads, base, offset, moves)
}

fn compared(code: &Code) -> Option<u64> {
    let word = code.word;
    match (code.state & THUMB, code.length) {
        (THUMB, 2) => (word & 0xf800 == 0x2800).then(|| field(word, 0, 8).into()),
        (THUMB, _) => (word & 0xfbf0_8f00 == 0xf1b0_0f00).then(|| u64::from(t32_immediate(word))),
        _ => (word & 0x0ff0_0000 == 0x0350_0000).then(|| u64::from(a32_immediate(word))),
    }
}

/// Stubs of the linkers: `ADD R12, PC`, `ADD R12, R12`, `LDR PC, [R12,…]!`, with
/// `BX PC`, `NOP` before it for callers in T32; or a distance behind the stub,
/// loaded and added.
fn stubs(image: &Image<'_>, code: &[u8], start: u64) -> Vec<(u64, u64)> {
    const BX_PC_NOP: u32 = 0x46c0_4778;
    let mut found = Vec::new();
    let mut begun: Option<u64> = None;
    let mut value: u64 = 0;
    let mut before = None;
    for (at, raw) in code.chunks_exact(4).enumerate() {
        let word = u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
        let address = start.wrapping_add(at as u64 * 4);
        let pc = address.wrapping_add(8);
        let offset = u64::from(field(word, 0, 12));
        let slot = match word & 0xffff_f000 {
            0xe28f_c000 => {
                (begun, value) = (Some(address), pc.wrapping_add(a32_immediate(word).into()));
                None
            }
            0xe28c_c000 if begun.is_some() => {
                value = value.wrapping_add(a32_immediate(word).into());
                None
            }
            0xe5bc_f000 | 0xe59c_f000 => Some(value.wrapping_add(offset)),
            0xe59f_c000 => {
                begun = Some(address);
                let pool = image.bytes_at(pc.wrapping_add(offset));
                let pool = pool.and_then(|bytes| bytes.first_chunk());
                value = pool.map_or(0, |raw| u32::from_le_bytes(*raw).into());
                None
            }
            _ if matches!(word, 0xe08c_c00f | 0xe08f_c00c) => {
                value = value.wrapping_add(pc);
                None
            }
            _ => {
                begun = None;
                None
            }
        };
        if let (Some(slot), Some(begun)) = (slot, begun.take_if(|_| slot.is_some())) {
            let slot = slot & 0xffff_ffff;
            found.push((begun, slot));
            found.extend(
                before
                    .filter(|&(_, after)| after == begun)
                    .map(|(at, _)| (at, slot)),
            );
        }
        if word == BX_PC_NOP {
            before = Some((address, address.wrapping_add(4)));
        }
    }
    found
}
