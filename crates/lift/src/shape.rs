//! How long instructions of x86-64 are, told from their first bytes.
//!
//! Nearly all instructions are of shapes that two small tables tell. What they
//! say is checked against the decoder before an instruction is kept (see
//! [`crate::memo`]), and by the test of [`crate::skip`].

use crate::skip;

/// The length of an instruction, and what of it is counted from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) length: u32,
    pub(crate) refers: Refers,
    /// The distance of that from the end.
    pub(crate) distance: i64,
    /// The bits of the distance.
    pub(crate) field: u64,
}

/// How an instruction refers to a place at some distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refers {
    Not,
    /// It may read or write there.
    ToMemory,
    /// It may go on there.
    ToCode,
}

/// Of a table: how many bytes a number has, where no prefix tells otherwise.
pub(crate) const NUMBER: u8 = 7;
/// An operand in a register or in memory.
pub(crate) const OPERAND: u8 = 8;
/// The instruction goes on elsewhere.
const BRANCH: u8 = 16;
/// The number has eight bytes in an instruction of 64 bits.
const LONG: u8 = 32;
/// There is a number only where the byte of the operands says so.
pub(crate) const TEST: u8 = 64;
/// The opcode is one of those that are told here.
pub(crate) const KNOWN: u8 = 128;
/// What tells those that need a closer look from most, which are [`KNOWN`].
const UNLIKE_MOST: u8 = KNOWN | BRANCH | LONG | TEST;
const BYTE: u8 = 1;
const PAIR: u8 = 2;
/// Two where a prefix says so.
pub(crate) const FULL: u8 = 4;

/// Opcodes of one byte.
static ONE: [u8; 256] = one();
/// The same of those that refer to nothing, whatever their operands are.
static QUIET: [u8; 256] = quiet();
/// Those of two, by the second.
static TWO: [u8; 256] = two();
/// Bytes of operands by their first: how many, without what a second one adds.
pub(crate) static FORMS: [u8; 256] = forms();
/// Of `FORMS`: it is a place that is counted from the code, or a second byte may
/// tell of a distance.
pub(crate) const UNUSUAL: u8 = 128;

const fn fill(table: &mut [u8; 256], first: usize, last: usize, what: u8) {
    skip::fill(table, first, last, KNOWN | what);
}

pub(crate) const fn one() -> [u8; 256] {
    let mut table = [0; 256];
    let mut row = 0;
    while row < 0x40 {
        fill(&mut table, row, row + 3, OPERAND);
        fill(&mut table, row + 4, row + 4, BYTE);
        fill(&mut table, row + 5, row + 5, FULL);
        row += 8;
    }
    fill(&mut table, 0x50, 0x5f, 0);
    fill(&mut table, 0x63, 0x63, OPERAND);
    fill(&mut table, 0x68, 0x68, FULL);
    fill(&mut table, 0x69, 0x69, OPERAND | FULL);
    fill(&mut table, 0x6a, 0x6a, BYTE);
    fill(&mut table, 0x6b, 0x6b, OPERAND | BYTE);
    fill(&mut table, 0x70, 0x7f, BRANCH | BYTE);
    fill(&mut table, 0x80, 0x80, OPERAND | BYTE);
    fill(&mut table, 0x81, 0x81, OPERAND | FULL);
    fill(&mut table, 0x83, 0x83, OPERAND | BYTE);
    fill(&mut table, 0x84, 0x8f, OPERAND);
    fill(&mut table, 0x90, 0x99, 0);
    fill(&mut table, 0x9b, 0x9f, 0);
    fill(&mut table, 0xa4, 0xa7, 0);
    fill(&mut table, 0xa8, 0xa8, BYTE);
    fill(&mut table, 0xa9, 0xa9, FULL);
    fill(&mut table, 0xaa, 0xaf, 0);
    fill(&mut table, 0xb0, 0xb7, BYTE);
    fill(&mut table, 0xb8, 0xbf, LONG | FULL);
    fill(&mut table, 0xc0, 0xc1, OPERAND | BYTE);
    fill(&mut table, 0xc2, 0xc2, PAIR);
    fill(&mut table, 0xc3, 0xc3, 0);
    fill(&mut table, 0xc6, 0xc6, OPERAND | BYTE);
    fill(&mut table, 0xc7, 0xc7, OPERAND | FULL);
    fill(&mut table, 0xc9, 0xc9, 0);
    fill(&mut table, 0xcc, 0xcc, 0);
    fill(&mut table, 0xcd, 0xcd, BYTE);
    fill(&mut table, 0xd0, 0xd3, OPERAND);
    fill(&mut table, 0xd8, 0xdf, OPERAND);
    fill(&mut table, 0xe8, 0xe9, BRANCH | FULL);
    fill(&mut table, 0xeb, 0xeb, BRANCH | BYTE);
    fill(&mut table, 0xf4, 0xf5, 0);
    fill(&mut table, 0xf6, 0xf6, OPERAND | TEST | BYTE);
    fill(&mut table, 0xf7, 0xf7, OPERAND | TEST | FULL);
    fill(&mut table, 0xf8, 0xfd, 0);
    fill(&mut table, 0xfe, 0xff, OPERAND);
    table
}

const fn quiet() -> [u8; 256] {
    let (all, mut table) = (one(), [0; 256]);
    let mut opcode = 0;
    while opcode < 256 {
        let quiet = matches!(
            opcode,
            0x00..=0x5f | 0x63 | 0x69 | 0x6b | 0x80..=0x8b | 0x90 | 0x98 | 0x99 | 0xa8 | 0xa9
        );
        if quiet {
            table[opcode] = all[opcode];
        }
        opcode += 1;
    }
    table
}

pub(crate) const fn two() -> [u8; 256] {
    let mut table = [0; 256];
    fill(&mut table, 0x05, 0x05, 0);
    fill(&mut table, 0x0b, 0x0b, 0);
    fill(&mut table, 0x0d, 0x0d, OPERAND);
    fill(&mut table, 0x10, 0x1f, OPERAND);
    fill(&mut table, 0x28, 0x2f, OPERAND);
    fill(&mut table, 0x31, 0x31, 0);
    fill(&mut table, 0x40, 0x6f, OPERAND);
    fill(&mut table, 0x70, 0x73, OPERAND | BYTE);
    fill(&mut table, 0x74, 0x76, OPERAND);
    fill(&mut table, 0x77, 0x77, 0);
    fill(&mut table, 0x7c, 0x7f, OPERAND);
    fill(&mut table, 0x90, 0x9f, OPERAND);
    fill(&mut table, 0xa2, 0xa2, 0);
    fill(&mut table, 0xa3, 0xa3, OPERAND);
    fill(&mut table, 0xa4, 0xa4, OPERAND | BYTE);
    fill(&mut table, 0xa5, 0xa5, OPERAND);
    fill(&mut table, 0xab, 0xab, OPERAND);
    fill(&mut table, 0xac, 0xac, OPERAND | BYTE);
    fill(&mut table, 0xad, 0xb1, OPERAND);
    fill(&mut table, 0xb3, 0xb3, OPERAND);
    fill(&mut table, 0xb6, 0xb8, OPERAND);
    fill(&mut table, 0xba, 0xba, OPERAND | BYTE);
    fill(&mut table, 0xbb, 0xc1, OPERAND);
    fill(&mut table, 0xc2, 0xc2, OPERAND | BYTE);
    fill(&mut table, 0xc3, 0xc3, OPERAND);
    fill(&mut table, 0xc4, 0xc6, OPERAND | BYTE);
    fill(&mut table, 0xc7, 0xc7, OPERAND);
    fill(&mut table, 0xc8, 0xcf, 0);
    fill(&mut table, 0xd0, 0xfe, OPERAND);
    table
}

pub(crate) const fn forms() -> [u8; 256] {
    let mut table = [0; 256];
    let mut form = 0;
    while form < 256 {
        let (kind, base) = (form >> 6, form & 7);
        let displacement = match kind {
            0 if base == 5 => UNUSUAL | 4,
            1 => 1,
            2 => 4,
            _ => 0,
        };
        let scaled = match base == 4 {
            true if kind == 0 => UNUSUAL | 1,
            true if kind < 3 => 1,
            _ => 0,
        };
        table[form] = 1 + displacement + scaled;
        form += 1;
    }
    table
}

/// Length of an instruction of 64 bits that refers to nothing, if it is one of
/// the most common.
#[inline(always)]
pub(crate) fn quiet_length(code: u64) -> Option<usize> {
    let rex = code as u8 & 0xf0 == 0x40;
    let rest = if rex { code >> 8 } else { code };
    let info = QUIET[usize::from(rest as u8)];
    let form = FORMS[usize::from((rest >> 8) as u8)];
    let operands = if info & OPERAND != 0 { form } else { 0 };
    let at = usize::from(rex) + 1;
    let unusual = (info ^ KNOWN | operands) & UNUSUAL != 0;
    (!unusual).then_some(at + usize::from(operands) + usize::from(info & NUMBER))
}

/// Length of an instruction of 64 bits, if it is of the most common shape, which
/// has no distance.
#[inline(always)]
pub(crate) fn plain_length(code: u64) -> Option<u32> {
    let rex = code as u8 & 0xf0 == 0x40;
    let rest = if rex { code >> 8 } else { code };
    let info = ONE[usize::from(rest as u8)];
    let form = FORMS[usize::from((rest >> 8) as u8)];
    // Without conditions, which would be guessed wrong for many.
    let operands = form & ((info / OPERAND) & 1).wrapping_neg();
    let unlike = info & UNLIKE_MOST ^ KNOWN | operands & UNUSUAL;
    let plain = unlike == 0;
    plain.then(|| u32::from(rex) + 1 + u32::from(operands) + u32::from(info & NUMBER))
}

impl Shape {
    /// Of the instruction that begins with the eight bytes of `code`, the first
    /// one lowest, if it is of a common shape.
    #[inline(always)]
    pub(crate) fn of(code: u64) -> Option<Shape> {
        match plain_length(code) {
            Some(length) => Some(Shape::plain(length)),
            None => Shape::not_plain(code),
        }
    }

    /// The same of one that has no [`plain_length`].
    #[inline(always)]
    pub(crate) fn not_plain(code: u64) -> Option<Shape> {
        let rex = code as u8 & 0xf0 == 0x40;
        let rest = if rex { code >> 8 } else { code };
        let info = ONE[usize::from(rest as u8)];
        if info & UNLIKE_MOST != KNOWN {
            return Shape::rare(code);
        }
        // Its operands are unusual.
        Shape::with_unusual(code, u32::from(rex) + 1, info & NUMBER)
    }

    #[inline(always)]
    pub(crate) fn plain(length: u32) -> Shape {
        Shape {
            length,
            refers: Refers::Not,
            distance: 0,
            field: 0,
        }
    }

    /// With operands at a byte and a number of so many bytes.
    #[inline(always)]
    fn with_unusual(code: u64, at: u32, number: u8) -> Option<Shape> {
        let rest = code >> (8 * at);
        let form = FORMS[usize::from(rest as u8)];
        let length = at + u32::from(form & !UNUSUAL) + u32::from(number);
        if form & UNUSUAL == 0 {
            return Some(Shape::plain(length));
        }
        if rest & 7 == 5 {
            let shift = 8 * (at + 1);
            // The longest of these begin with four bytes or fewer.
            return (shift <= 32).then(|| Shape {
                length,
                refers: Refers::ToMemory,
                distance: i64::from((code >> shift) as i32),
                field: 0xffff_ffff << shift,
            });
        }
        let distance = if rest >> 8 & 7 == 5 { 4 } else { 0 };
        Some(Shape::plain(length + distance))
    }

    /// The same for what is less common than most.
    #[inline(always)]
    fn rare(code: u64) -> Option<Shape> {
        match code as u8 {
            0x70..=0x7f | 0xe8 | 0xe9 | 0xeb => {
                Some(Shape::branch(code, 1, ONE[usize::from(code as u8)]))
            }
            0x0f if (code >> 8) as u8 & 0xf0 == 0x80 => Some(Shape::branch(code, 2, FULL)),
            _ => Shape::with_prefix(code),
        }
    }

    /// With an opcode of so many bytes and a distance of others.
    #[inline(always)]
    fn branch(code: u64, opcode: u32, info: u8) -> Shape {
        let rest = code >> (8 * opcode);
        let (distance, field) = match info & NUMBER {
            BYTE => (i64::from(rest as i8), 0xff),
            _ => (i64::from(rest as i32), 0xffff_ffff),
        };
        Shape {
            length: opcode + u32::from(info & NUMBER),
            refers: Refers::ToCode,
            distance,
            field: field << (8 * opcode),
        }
    }

    fn with_prefix(code: u64) -> Option<Shape> {
        let (mut rest, mut at) = (code, 0);
        let narrow = rest as u8 == 0x66;
        if narrow || matches!(rest as u8, 0xf2 | 0xf3) {
            rest >>= 8;
            at += 1;
        }
        let rex = rest as u8 & 0xf0 == 0x40;
        let wide = rex && rest & 8 != 0;
        if rex {
            rest >>= 8;
            at += 1;
        }
        let (info, opcode) = match rest as u8 {
            0x0f => match (rest >> 8) as u8 {
                0x38 => (KNOWN | OPERAND, 3),
                0x3a => (KNOWN | OPERAND | BYTE, 3),
                second => (TWO[usize::from(second)], 2),
            },
            0xc5 if at == 0 => (TWO[usize::from((rest >> 16) as u8)], 3),
            0xc4 if at == 0 => match rest >> 8 & 0x1f {
                1 => (TWO[usize::from((rest >> 24) as u8)], 4),
                2 => (KNOWN | OPERAND, 4),
                3 => (KNOWN | OPERAND | BYTE, 4),
                _ => return None,
            },
            first => (ONE[usize::from(first)], 1),
        };
        at += opcode;
        if info & (KNOWN | BRANCH) != KNOWN {
            return None;
        }
        let form = code >> (8 * at) & 0xff;
        let number = match info & NUMBER {
            _ if info & TEST != 0 && form & 0x30 != 0 => 0,
            FULL if info & LONG != 0 && wide => 8,
            FULL if narrow && !wide => PAIR,
            number => number,
        };
        match info & OPERAND {
            0 => Some(Shape::plain(at + u32::from(number))),
            _ => Shape::with_unusual(code, at, number),
        }
    }
}

/// Numbers for tests that try instructions, always the same.
#[cfg(test)]
pub(crate) fn random() -> impl FnMut() -> u64 {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    }
}
