//! AArch64: what an instruction does to the program's flow, to addresses and to
//! the stack. Only the forms that compilers use for these are told apart; the
//! text of all others is the disassembler's. Encodings: Arm Architecture
//! Reference Manual (DDI 0487), C4.1.
//!
//! IDA's writing: capital letters, the mnemonic sixteen columns wide,
//! `[SP,#0x20+var_10]` for what is on the stack, `#aUsage@PAGE` and
//! `#aUsage@PAGEOFF` for the halves of an address.

use std::fmt::Write;

use yaxpeax_arch::{Decoder, U8Reader};
use yaxpeax_arm::armv8::a64::InstDecoder;

use super::{Access, Code, Codes, Isa, Moves, Op, Text, field, signed};
use crate::image::Image;

/// The stack pointer, or the zero register where that is meant.
const SP: u8 = 31;
const FP: u8 = 29;
const BTI_C: u32 = 0xd503_245f;

#[derive(Debug)]
pub(super) struct Aarch64;

impl Isa for Aarch64 {
    fn decode(&self, _: &Image<'_>, bytes: &[u8], address: u64) -> Option<Code> {
        let word = u32::from_le_bytes(*bytes.first_chunk()?);
        Some(Code {
            address,
            length: 4,
            word,
            state: 0,
            op: decode(word, address),
        })
    }

    fn text(&self, code: &Code) -> Option<Text> {
        let instruction = InstDecoder::default()
            .decode(&mut U8Reader::new(&code.word.to_le_bytes()))
            .ok()?;
        let plain = instruction.to_string();
        let (mnemonic, rest) = plain.split_once(' ').unwrap_or((&plain, ""));
        Some(Text {
            mnemonic: mnemonic.to_ascii_uppercase(),
            operands: operands(rest),
        })
    }

    fn stack_pointer(&self) -> u8 {
        SP
    }

    fn frame_pointer(&self) -> Option<u8> {
        Some(FP)
    }

    fn argument(&self) -> u8 {
        0
    }

    /// AAPCS64, 6.1.1.
    fn clobbered(&self) -> u32 {
        (1 << 19) - 1
    }

    /// GCC reaches the constants of a file from the first of them.
    fn keeps(&self) -> bool {
        true
    }

    fn compared(&self, code: &Code) -> Option<u64> {
        let word = code.word;
        if word & 0x7fc0_0000 == 0x7100_0000 {
            return Some(field(word, 10, 12).into());
        }
        // `AND` with the lowest bits bounds a number as well.
        let lowest = word & 0x7f80_0000 == 0x1200_0000 && field(word, 16, 6) == 0;
        let ones = field(word, 10, 6) + 1;
        (lowest && ones < 16).then(|| (1 << ones) - 1)
    }

    fn indexed_load(&self, code: &Code) -> u64 {
        if code.word & 0x3f20_0c00 == 0x3820_0800 && field(code.word, 22, 2) != 0 {
            1 << field(code.word, 30, 2)
        } else {
            0
        }
    }

    /// `ADD Xd, Xn, Wm, SXTB #2`, `SXTH #2`.
    fn adds_signed(&self, code: &Code) -> bool {
        code.word & 0xffe0_0000 == 0x8b20_0000 && matches!(field(code.word, 13, 3), 4 | 5)
    }

    /// The hints, `BTI C` and `NOP` among them.
    fn is_nop(&self, code: &Code) -> bool {
        code.word & 0xffff_f01f == 0xd503_201f
    }

    /// Nothing, `NOP`, `BRK #1`.
    fn is_padding(&self, code: &Code) -> bool {
        matches!(code.word, 0 | 0xd503_201f | 0xd420_0020)
    }

    /// A landing pad, a signed return address, a pair that is pushed, a stack
    /// pointer that is moved down.
    fn is_prologue(&self, code: &Code) -> bool {
        matches!(code.word, BTI_C | 0xd503_233f | 0xd503_237f)
            || match code.op {
                Op::Memory { access } => access.base == SP && access.moves == Some(Moves::Before),
                Op::Add {
                    to: SP,
                    from: SP,
                    value,
                } => value < 0,
                _ => false,
            }
    }

    /// `[BTI C]`, `ADRP X16`, `LDR X17, [X16,…]`, `ADD X16`, `BR X17`.
    fn stubs(&self, image: &Image<'_>, code: &[u8], start: u64) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        let mut begun: Option<u64> = None;
        let mut slot = None;
        for (code, whole) in Codes::new(&Aarch64, image, code, start) {
            match code.op {
                Op::Page { to: 16, .. } => begun = Some(begun.unwrap_or(code.address)),
                Op::Memory { access } if access.loads == Some(17) => slot = whole,
                Op::Add { to: 16, .. } => {}
                Op::Jump(17) => {
                    found.extend(begun.take().zip(slot.take()));
                }
                _ => {
                    slot = None;
                    begun = (code.word == BTI_C).then_some(code.address);
                }
            }
        }
        found
    }

    fn column(&self) -> usize {
        16
    }

    fn data(&self, code: &Code) -> String {
        format!("DCD             0x{:X}", code.word)
    }

    fn immediate(&self, text: &str) -> String {
        format!("#{text}")
    }

    fn is_memory(&self, operand: &str) -> bool {
        operand.starts_with('[')
    }

    fn memory(&self, base: u8, inside: &str) -> String {
        format!("[{},#{inside}]", register(base))
    }

    fn memory_low(&self, base: u8, name: &str) -> String {
        format!("[{},#{name}@PAGEOFF]", register(base))
    }

    fn memory_before(&self, base: u8, by: &str, inside: &str) -> String {
        format!("[{},#{by}+{inside}]!", register(base))
    }

    fn memory_after(&self, base: u8, by: &str, inside: &str) -> Vec<String> {
        vec![format!("[{}+{inside}]", register(base)), format!("#{by}")]
    }

    fn high(&self, name: &str) -> String {
        format!("#{name}@PAGE")
    }

    fn low(&self, name: &str) -> String {
        format!("#{name}@PAGEOFF")
    }

    /// IDA leaves no space before the shift of the operand before, nor before
    /// what a base moves by.
    fn separator(&self, before: &str, after: &str) -> &'static str {
        if before.ends_with(']') || is_shift(after) {
            ","
        } else {
            ", "
        }
    }
}

pub(crate) fn decode(word: u32, address: u64) -> Op {
    let is = |mask: u32, value: u32| word & mask == value;
    let to = field(word, 0, 5) as u8;
    let from = field(word, 5, 5) as u8;
    let jump = |low, bits| address.wrapping_add_signed(signed(word, low, bits) * 4);
    if is(0xfc00_0000, 0x1400_0000) {
        return Op::Branch(jump(0, 26));
    }
    if is(0xfc00_0000, 0x9400_0000) {
        return Op::Call(jump(0, 26));
    }
    if is(0xff00_0000, 0x5400_0000) || is(0x7e00_0000, 0x3400_0000) {
        return Op::Conditional(jump(5, 19));
    }
    if is(0x7e00_0000, 0x3600_0000) {
        return Op::Conditional(jump(5, 14));
    }
    // With or without a check of the pointer.
    if is(0xfe00_0000, 0xd600_0000) {
        return match field(word, 21, 3) {
            0 => Op::Jump(from),
            1 => Op::CallRegister(from),
            2 | 4 => Op::Return,
            _ => Op::Other(Some(to)),
        };
    }
    if is(0xffe0_001f, 0xd420_0000) || is(0xffe0_001f, 0xd440_0000) {
        return Op::Stop;
    }
    if is(0xffff_0000, 0) {
        return Op::Undefined;
    }
    if is(0x1f00_0000, 0x1000_0000) {
        let distance = signed(word, 5, 19) * 4 + i64::from(field(word, 29, 2));
        return if word >> 31 == 0 {
            let address = address.wrapping_add_signed(distance);
            Op::Address { to, address }
        } else {
            let address = (address & !0xfff).wrapping_add_signed(distance * 0x1000);
            Op::Page { to, address }
        };
    }
    if is(0xff80_0000, 0x9100_0000) || is(0xff80_0000, 0xd100_0000) {
        let value = i64::from(field(word, 10, 12)) << (12 * field(word, 22, 1));
        let value = if word >> 30 == 3 { -value } else { value };
        return Op::Add { to, from, value };
    }
    if is(0x7f80_0000, 0x5280_0000) || is(0x7f80_0000, 0x7280_0000) {
        let value = u64::from(field(word, 5, 16)) << (16 * field(word, 21, 2));
        let keep = field(word, 29, 1) == 1;
        return Op::Move { to, value, keep };
    }
    if is(0x3b00_0000, 0x1800_0000) {
        let address = jump(5, 19);
        return Op::Literal { to, address };
    }
    memory(word, to, from).map_or(Op::Other(Some(to)), |access| Op::Memory { access })
}

fn memory(word: u32, to: u8, base: u8) -> Option<Access> {
    let is = |mask: u32, value: u32| word & mask == value;
    let vector = field(word, 26, 1) == 1;
    // Pairs: with the base moved after, not at all, or before.
    if is(0x3a00_0000, 0x2800_0000) {
        let moves = match field(word, 23, 2) {
            1 => Some(Moves::After),
            3 => Some(Moves::Before),
            _ => None,
        };
        let size = match (vector, field(word, 30, 2)) {
            (false, 2) => 8,
            (false, _) => 4,
            (true, width) => 4 << width.min(2),
        };
        let loads = field(word, 22, 1) == 1 && !vector;
        return Some(Access {
            loads: loads.then_some(to),
            loads_also: loads.then_some(field(word, 10, 5) as u8),
            base,
            offset: signed(word, 15, 7) * size,
            moves,
        });
    }
    let (size, opcode) = (field(word, 30, 2), field(word, 22, 2));
    let loads = (opcode != 0 && !vector).then_some(to);
    if is(0x3b00_0000, 0x3900_0000) {
        let scale = size + if vector && opcode >= 2 { 4 } else { 0 };
        return Some(Access {
            loads,
            loads_also: None,
            base,
            offset: i64::from(field(word, 10, 12)) << scale,
            moves: None,
        });
    }
    // A distance of nine bits, the base moved or not.
    if is(0x3b20_0000, 0x3800_0000) {
        let moves = match field(word, 10, 2) {
            0 => None,
            1 => Some(Moves::After),
            3 => Some(Moves::Before),
            _ => return None,
        };
        return Some(Access {
            loads,
            loads_also: None,
            base,
            offset: signed(word, 12, 9),
            moves,
        });
    }
    None
}

fn register(number: u8) -> String {
    match number {
        SP => "SP".to_owned(),
        number => format!("X{number}"),
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
    if text.is_empty() {
        return Vec::new();
    }
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
