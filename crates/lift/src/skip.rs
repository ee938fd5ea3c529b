//! Instructions of x86-64 that need not be decoded.
//!
//! Discovery reads every instruction of a program to find what it refers to.
//! Nearly all are of few shapes, whose length and distance the first bytes
//! tell: of most the opcode and the byte behind it, for which there is one
//! table. The tests compare each with what the decoder says.

use crate::shape::{self, Refers, Shape};
use crate::step::Reference;

/// What an instruction refers to, and how far from the next one that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lead {
    To(Reference, i64),
    /// It reads a pointer there.
    Reads(i64),
    /// The same where its bytes have the address itself.
    ReadsAt(u64),
    /// It takes this for an address, or for a number.
    Takes(u64),
    /// It goes back to the caller.
    Returns,
}

/// Passes by the instructions of `bytes` that refer to nothing, from the one at
/// `at` up to `end`, as long as `each` agrees to the place of the next one.
/// Returns where the instruction begins that is next, and what the last one
/// leads to, if that is what ended it: otherwise the next one must be decoded,
/// or was not agreed to, or begins at the end or behind it.
#[inline(always)]
pub(crate) fn pass(
    bytes: &[u8],
    mut at: usize,
    end: usize,
    absolute: bool,
    mut each: impl FnMut(usize) -> bool,
) -> (usize, Option<Lead>) {
    while at < end {
        let Some(ahead) = bytes.get(at..) else { break };
        let Some(code) = ahead.first_chunk() else {
            break;
        };
        let code = u64::from_le_bytes(*code);
        let (length, lead) = match told(code, absolute) {
            Told::Quiet(length) => {
                if !each(at) {
                    break;
                }
                at += length;
                continue;
            }
            Told::Leads(length, lead) => (length, Some(lead)),
            Told::Not => match length(ahead, absolute) {
                Some(told) => told,
                None => break,
            },
        };
        if at + length > end || !each(at) {
            break;
        }
        at += length;
        if lead.is_some() {
            return (at, lead);
        }
    }
    (at, None)
}

/// What the first bytes of an instruction tell.
enum Told {
    /// It refers to nothing and is so long.
    Quiet(usize),
    Leads(usize, Lead),
    /// It must be looked at more closely.
    Not,
}

#[inline(always)]
fn told(code: u64, absolute: bool) -> Told {
    let rex = usize::from(code as u8 & 0xf0 == 0x40);
    let rest = code >> (8 * rex);
    let pair = PAIRS[usize::from(rest as u16)];
    let length = usize::from(pair & 0x0f) + rex;
    let (byte, word) = (rest as u8, |behind: u32| {
        i64::from((rest >> (8 * behind)) as i32)
    });
    // Most are quiet; of 0 nothing is told.
    if pair.wrapping_sub(1) < 0x0f {
        return Told::Quiet(length);
    }
    let lead = match pair & 0xf0 {
        NEAR if rex == 0 => match byte {
            0xe8 => Lead::To(Reference::Call, word(1)),
            _ => Lead::To(Reference::Jump, word(1)),
        },
        SHORT if rex == 0 => match byte {
            0xeb => Lead::To(Reference::Jump, i64::from((rest >> 8) as i8)),
            _ => Lead::To(Reference::Branch, i64::from((rest >> 8) as i8)),
        },
        NEAR_TWO if rex == 0 => Lead::To(Reference::Branch, word(2)),
        LOADS => Lead::Reads(word(2)),
        PLACES if rex == 1 && code & 8 != 0 => Lead::To(Reference::Address, word(2)),
        RETURNS => Lead::Returns,
        SCALED => {
            let distance = if rest >> 16 & 7 == 5 { 4 } else { 0 };
            return Told::Quiet(length + distance);
        }
        SECOND => {
            let form = shape::FORMS[usize::from((rest >> 16) as u8)];
            return match form & shape::UNUSUAL {
                0 => Told::Quiet(length + usize::from(form)),
                _ => Told::Not,
            };
        }
        HINTS => {
            let form = (rest >> 16) as u8;
            let operands = shape::FORMS[usize::from(form)];
            return match form & 0x38 == 0 && operands & shape::UNUSUAL == 0 {
                true => Told::Quiet(length + usize::from(operands)),
                false => Told::Not,
            };
        }
        PREFIXED if rex == 0 && rest as u32 == u32::from_le_bytes(ENDBR64) => {
            return Told::Quiet(4);
        }
        PREFIXED => {
            let (second, form) = ((rest >> 16) as u8, (rest >> 24) as u8);
            let (info, by) = (SECONDS[usize::from(second)], prefix(byte));
            let operands = shape::FORMS[usize::from(form)];
            let hint = second == HINT && form & 0x38 == 0 && by == 2;
            let quiet = hint || QUIET_TWO[usize::from(second)] & by != 0;
            return match quiet && rex == 0 && info != 0 && operands & shape::UNUSUAL == 0 {
                true => {
                    let behind = usize::from(info & shape::NUMBER) + usize::from(operands);
                    Told::Quiet(length + behind)
                }
                false => Told::Not,
            };
        }
        NUMBERED if !absolute => return Told::Quiet(length),
        LOADED if rex == 0 || code & 8 == 0 => {
            if !absolute {
                return Told::Quiet(length);
            }
            Lead::Takes(u64::from((rest >> 8) as u32))
        }
        _ => return Told::Not,
    };
    Told::Leads(length, lead)
}

/// Length of the instruction at the start of `bytes`, if it is one of those
/// that are common, and what it refers to. Where code is `absolute` its numbers
/// may be addresses.
pub(crate) fn length(bytes: &[u8], absolute: bool) -> Option<(usize, Option<Lead>)> {
    let code = u64::from_le_bytes(*bytes.first_chunk()?);
    match code as u8 {
        THREAD => return of_thread(bytes),
        0x66 if matches!((code >> 8) as u8, 0x2e | 0x66) => {
            return padding(bytes).map(|length| (length, None));
        }
        0xc4 | 0xc5 if !is_quiet_vector(code) => return None,
        _ => {}
    }
    let shape = Shape::of(code)?;
    let length = shape.length as usize;
    let rex = code as u8 & 0xf0 == 0x40;
    let rest = if rex { code >> 8 } else { code };
    let (opcode, form) = (rest as u8, (rest >> 8) as u8);
    let quiet = match QUIET[usize::from(opcode)] {
        ALWAYS => true,
        LOAD => {
            if shape.refers == Refers::ToMemory {
                return Some((length, Some(Lead::Reads(shape.distance))));
            }
            // A table may be read by its address.
            form & 0xc7 != 4 || rest >> 16 & 7 != 5
        }
        TAKES_ADDRESS => {
            if shape.refers == Refers::ToMemory {
                let lead = Lead::To(Reference::Address, shape.distance);
                return (rex && code & 8 != 0).then_some((length, Some(lead)));
            }
            form < 0xc0
        }
        LEADS => {
            let how = match opcode {
                0xe8 => Reference::Call,
                0xe9 | 0xeb => Reference::Jump,
                _ => Reference::Branch,
            };
            return (!rex).then_some((length, Some(Lead::To(how, shape.distance))));
        }
        NUMBERS if absolute => {
            let wide = rex && code & 8 != 0;
            let number = u64::from((rest >> 8) as u32);
            return (!wide && opcode != 0x68).then_some((length, Some(Lead::Takes(number))));
        }
        NUMBERS => true,
        SHIFTS => form & 0x38 != 0x30,
        NEGATES => form & 0x38 != 0x08,
        STORES if absolute && opcode == 0xc7 => {
            let number = bytes.get(length - 4..)?.first_chunk()?;
            let number = match rex && code & 8 != 0 {
                true => i64::from(i32::from_le_bytes(*number)) as u64,
                false => u64::from(u32::from_le_bytes(*number)),
            };
            return (form & 0x38 == 0).then_some((length, Some(Lead::Takes(number))));
        }
        STORES => form & 0x38 == 0,
        VECTOR => !rex,
        COUNTS => {
            // `call` by a register, and by what that points to.
            let calls = form & 0x38 == 0x10 && opcode == 0xff;
            let kind = form & 0xc0;
            let register = kind == 0xc0 || kind != 0 || form & 7 != 4 && form & 7 != 5;
            form & 0x30 == 0 || calls && register
        }
        TWO => {
            if form & 0xf0 == 0x80 {
                let lead = Lead::To(Reference::Branch, shape.distance);
                return (!rex).then_some((length, Some(lead)));
            }
            is_quiet(rest, 1)
        }
        PREFIX => {
            let by = prefix(opcode);
            let rest = rest >> 8;
            let rest = if rest & 0xf0 == 0x40 { rest >> 8 } else { rest };
            let form = (rest >> 8) as u8;
            let narrow = match rest as u8 {
                _ if by != 2 => false,
                0x8b => shape.refers == Refers::Not && form >= 0x40,
                0xc7 => form & 0x38 == 0 && !absolute,
                opcode @ (0x00..=0x4f | 0x69..=0x8a | 0x90) => QUIET[usize::from(opcode)] == ALWAYS,
                _ => false,
            };
            !rex && (narrow || rest as u8 == 0x0f && is_quiet(rest, by))
        }
        _ => false,
    };
    quiet.then_some((length, None))
}

/// Length of the long `nop` that assemblers fill space with.
fn padding(bytes: &[u8]) -> Option<usize> {
    let prefixes = bytes.iter().take_while(|byte| **byte == 0x66).count();
    let rest = bytes[prefixes..].starts_with(&[0x2e, 0x0f, HINT, 0x84, 0]);
    (rest && prefixes < 7).then_some(prefixes + 9)
}

/// Whether an instruction with a prefix for vectors (VEX) refers to nothing, and
/// is valid with any registers.
fn is_quiet_vector(code: u64) -> bool {
    let (map, rest) = match code as u8 {
        0xc5 => (1, code >> 8),
        _ => (code >> 8 & 0x1f, code >> 16),
    };
    let (control, opcode, form) = (rest as u8, (rest >> 8) as u8, (rest >> 16) as u8);
    let by = 1 << (control & 3);
    // Two operands only, and of 128 bits or general registers.
    let (pair, short) = (control & 0x78 == 0x78, control & 4 == 0);
    match map {
        1 => {
            let three = matches!(
                opcode,
                0x14 | 0x15 | 0x54..=0x59 | 0x5c..=0x5f | 0x60..=0x6d | 0x74..=0x76
                    | 0xd1..=0xd5 | 0xd8..=0xe5 | 0xe8..=0xef | 0xf1..=0xf6 | 0xf8..=0xfe
            );
            let two = match opcode {
                0x28 | 0x29 => by < 4,
                0x6f | 0x7f => by == 2 || by == 4,
                0x70 => by != 1,
                _ => false,
            };
            by == 2 && (three || shifts(opcode, form)) || pair && two
        }
        2 => match opcode {
            0x00..=0x0b | 0x28 | 0x29 | 0x2b | 0x37..=0x40 | 0xdc..=0xdf => by == 2,
            0xf2 => by == 1 && short,
            0xf6 => by == 8 && short,
            0xf7 => short,
            _ => false,
        },
        3 => match opcode {
            0x0f => by == 2,
            0xf0 => by == 8 && pair && short,
            _ => false,
        },
        _ => false,
    }
}

/// Whether an opcode of two bytes shifts a vector register by a number.
fn shifts(second: u8, form: u8) -> bool {
    let kind = form >> 3 & 7;
    form >= 0xc0
        && match second {
            0x71 | 0x72 => matches!(kind, 2 | 4 | 6),
            0x73 => matches!(kind, 2 | 3 | 6 | 7),
            _ => false,
        }
}

/// What stands before an instruction that reads data of its thread.
const THREAD: u8 = 0x64;

/// The same for such an instruction: nearly all compare or read what guards the
/// stack, at an address that the instruction has.
fn of_thread(bytes: &[u8]) -> Option<(usize, Option<Lead>)> {
    let code = u64::from_le_bytes(*bytes.get(1..)?.first_chunk()?);
    let address = bytes.get(5..)?.first_chunk()?;
    let address = i64::from(i32::from_le_bytes(*address)) as u64;
    // A number of 64 bits, without a register in its place.
    let plain = code & 0xffc7_00fb == 0x2504_0048;
    match (code >> 8) as u8 {
        0x03 | 0x2b | 0x33 | 0x3b if plain => Some((9, None)),
        0x8b if plain => Some((9, Some(Lead::ReadsAt(address)))),
        _ => None,
    }
}

/// Whether an opcode of two bytes refers to nothing, with a prefix of a kind.
fn is_quiet(rest: u64, prefix: u8) -> bool {
    let (second, form) = ((rest >> 8) as u8, (rest >> 16) as u8);
    QUIET_TWO[usize::from(second)] & prefix != 0
        || match second {
            0x1e => prefix == 4 && form == 0xfa,
            HINT => prefix < 4 && form & 0x38 == 0,
            0x71..=0x73 => prefix == 2 && shifts(second, form),
            0xba => prefix == 1 && form & 0x20 != 0,
            _ => false,
        }
}

const ALWAYS: u8 = 1;
const LOAD: u8 = 2;
const TAKES_ADDRESS: u8 = 3;
const LEADS: u8 = 4;
const NUMBERS: u8 = 5;
const SHIFTS: u8 = 6;
const NEGATES: u8 = 7;
const STORES: u8 = 8;
const COUNTS: u8 = 9;
const TWO: u8 = 10;
const PREFIX: u8 = 11;
const VECTOR: u8 = 12;

/// What opcodes of one byte may refer to; 0 where the decoder is asked.
static QUIET: [u8; 256] = {
    let mut table = [0; 256];
    let mut row = 0;
    while row < 0x40 {
        fill(&mut table, row, row + 5, ALWAYS);
        row += 8;
    }
    fill(&mut table, 0x0f, 0x0f, TWO);
    fill(&mut table, 0x50, 0x5f, ALWAYS);
    fill(&mut table, 0x63, 0x63, ALWAYS);
    fill(&mut table, 0x66, 0x66, PREFIX);
    fill(&mut table, 0x68, 0x68, NUMBERS);
    fill(&mut table, 0x69, 0x6b, ALWAYS);
    fill(&mut table, 0x70, 0x7f, LEADS);
    fill(&mut table, 0x80, 0x81, ALWAYS);
    fill(&mut table, 0x83, 0x8a, ALWAYS);
    fill(&mut table, 0x8b, 0x8b, LOAD);
    fill(&mut table, 0x8d, 0x8d, TAKES_ADDRESS);
    fill(&mut table, 0x90, 0x90, ALWAYS);
    fill(&mut table, 0x98, 0x99, ALWAYS);
    fill(&mut table, 0xa8, 0xa9, ALWAYS);
    fill(&mut table, 0xb0, 0xb7, ALWAYS);
    fill(&mut table, 0xb8, 0xbf, NUMBERS);
    fill(&mut table, 0xc0, 0xc1, SHIFTS);
    fill(&mut table, 0xc3, 0xc3, ALWAYS);
    fill(&mut table, 0xc4, 0xc5, VECTOR);
    fill(&mut table, 0xc6, 0xc7, STORES);
    fill(&mut table, 0xc9, 0xc9, ALWAYS);
    fill(&mut table, 0xcc, 0xcc, ALWAYS);
    fill(&mut table, 0xd0, 0xd3, SHIFTS);
    fill(&mut table, 0xe8, 0xe9, LEADS);
    fill(&mut table, 0xeb, 0xeb, LEADS);
    fill(&mut table, 0xf2, 0xf3, PREFIX);
    fill(&mut table, 0xf6, 0xf7, NEGATES);
    fill(&mut table, 0xfe, 0xff, COUNTS);
    table
};

/// Opcodes of two bytes that refer to nothing, by the second: without a prefix
/// (1), and with 66 (2), F3 (4) and F2 (8).
static QUIET_TWO: [u8; 256] = {
    let mut table = [0; 256];
    fill(&mut table, 0x10, 0x11, 15);
    fill(&mut table, 0x14, 0x15, 3);
    fill(&mut table, 0x28, 0x29, 3);
    fill(&mut table, 0x2a, 0x2a, 15);
    fill(&mut table, 0x2c, 0x2d, 15);
    fill(&mut table, 0x2e, 0x2f, 3);
    fill(&mut table, 0x40, 0x4f, 3);
    fill(&mut table, 0x51, 0x51, 15);
    fill(&mut table, 0x54, 0x57, 3);
    fill(&mut table, 0x58, 0x5a, 15);
    fill(&mut table, 0x5b, 0x5b, 7);
    fill(&mut table, 0x5c, 0x5f, 15);
    fill(&mut table, 0x60, 0x6b, 3);
    fill(&mut table, 0x6c, 0x6d, 2);
    fill(&mut table, 0x6e, 0x6e, 3);
    fill(&mut table, 0x6f, 0x6f, 7);
    fill(&mut table, 0x70, 0x70, 15);
    fill(&mut table, 0x74, 0x76, 3);
    fill(&mut table, 0x7e, 0x7f, 7);
    fill(&mut table, 0x90, 0x9f, 3);
    fill(&mut table, 0xa3, 0xa5, 3);
    fill(&mut table, 0xab, 0xad, 3);
    fill(&mut table, 0xaf, 0xb1, 3);
    fill(&mut table, 0xb3, 0xb3, 3);
    fill(&mut table, 0xb6, 0xb7, 3);
    fill(&mut table, 0xb8, 0xb8, 4);
    fill(&mut table, 0xbb, 0xbb, 3);
    fill(&mut table, 0xbc, 0xbd, 7);
    fill(&mut table, 0xbe, 0xc1, 3);
    fill(&mut table, 0xc6, 0xc6, 3);
    fill(&mut table, 0xc8, 0xcf, 1);
    fill(&mut table, 0xd1, 0xd5, 3);
    fill(&mut table, 0xd8, 0xe5, 3);
    fill(&mut table, 0xe8, 0xef, 3);
    fill(&mut table, 0xf1, 0xf6, 3);
    fill(&mut table, 0xf8, 0xfe, 3);
    table
};

/// What an opcode and the byte behind it tell, by the opcode in the low byte: the
/// length of both and of all that follows, which is never more than 15, and in
/// the high bits what else there is to it. 0 where more must be looked at.
static PAIRS: [u8; 1 << 16] = pairs();
/// It goes back.
const RETURNS: u8 = 0x10;
/// It goes elsewhere, by a byte, by four, and by four behind two of opcode.
const SHORT: u8 = 0x20;
const NEAR: u8 = 0x30;
const NEAR_TWO: u8 = 0x40;
/// It reads a pointer at a distance from the code, or takes the place itself.
const LOADS: u8 = 0x50;
const PLACES: u8 = 0x60;
/// There are four bytes more where the third byte says so.
const SCALED: u8 = 0x70;
/// The operands are told by the third byte.
const SECOND: u8 = 0x80;
/// There is a number, which may be an address.
const NUMBERED: u8 = 0x90;
/// The same right behind the opcode, which has eight bytes in an instruction of
/// 64 bits.
const LOADED: u8 = 0xa0;

/// A prefix and the first byte of an opcode of two, which is not counted in.
const PREFIXED: u8 = 0xb0;

/// A `nop` with operands.
const HINTS: u8 = 0xc0;

/// The second byte of that.
const HINT: u8 = 0x1f;
/// `endbr64`, which a jump through a pointer may lead to.
pub(crate) const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// Opcodes of two bytes that have operands, by the second: what follows them. 0
/// for all others.
static SECONDS: [u8; 256] = {
    let mut table = shape::two();
    let mut opcode = 0;
    while opcode < 256 {
        if table[opcode] & shape::OPERAND == 0 {
            table[opcode] = 0;
        }
        opcode += 1;
    }
    table
};

/// The bit of `QUIET_TWO` for a prefix.
#[inline(always)]
const fn prefix(byte: u8) -> u8 {
    match byte {
        0x66 => 2,
        0xf3 => 4,
        _ => 8,
    }
}

const fn pairs() -> [u8; 1 << 16] {
    let (one, two, forms) = (shape::one(), shape::two(), shape::forms());
    let mut table = [0; 1 << 16];
    let mut pair = 0;
    while pair < 1 << 16 {
        let (opcode, behind) = (pair & 0xff, pair >> 8);
        table[pair] = match QUIET[opcode] {
            TWO => second(behind, two[behind]),
            PREFIX if behind == 0x0f => PREFIXED | 3,
            PREFIX if pair & 0xff == 0x66 => narrow(behind, one[behind]),
            what => first(opcode, what, behind as u8, one[opcode], forms[behind]),
        };
        pair += 1;
    }
    table
}

/// What there is to an opcode, of which the tables say `what` and `info`, with
/// operands at a byte.
const fn first(opcode: usize, what: u8, form: u8, info: u8, operands: u8) -> u8 {
    let register = form & 7;
    let number = match info & shape::NUMBER {
        _ if info & shape::TEST != 0 && form & 0x30 != 0 => 0,
        number => number,
    };
    let unusual = info & shape::OPERAND != 0 && operands & shape::UNUSUAL != 0;
    let length = match info & shape::OPERAND {
        0 => 1 + number,
        _ => 1 + (operands & !shape::UNUSUAL) + number,
    };
    let quiet = match what {
        ALWAYS => true,
        LEADS => return if number == 1 { SHORT } else { NEAR } | length,
        NUMBERS if opcode == 0x68 => return NUMBERED | length,
        NUMBERS => return LOADED | length,
        LOAD if unusual && register == 5 => return LOADS | length,
        TAKES_ADDRESS if unusual && register == 5 => return PLACES | length,
        LOAD => !unusual,
        TAKES_ADDRESS => form < 0xc0,
        SHIFTS => form & 0x38 != 0x30,
        NEGATES => form & 0x38 != 0x08,
        STORES if unusual && register == 4 => false,
        STORES if opcode == 0xc7 && form & 0x38 == 0 => return NUMBERED | length,
        STORES => form & 0x38 == 0,
        COUNTS => form & 0x30 == 0 || opcode == 0xff && form & 0x38 == 0x10 && !unusual,
        _ => false,
    };
    match quiet {
        false => 0,
        true if opcode == 0xc3 => RETURNS | length,
        true if unusual && register == 4 => SCALED | length,
        true => length,
    }
}

/// The same for an opcode behind the prefix for 16 bits.
const fn narrow(opcode: usize, info: u8) -> u8 {
    let number = match info & shape::NUMBER {
        shape::FULL => 2,
        number => number,
    };
    match (QUIET[opcode], info & shape::OPERAND) {
        (ALWAYS, shape::OPERAND) => SECOND | (2 + number),
        (ALWAYS, _) if opcode < 0x40 || opcode == 0x90 => 2 + number,
        _ => 0,
    }
}

/// The same for an opcode of two bytes, by the second.
const fn second(opcode: usize, info: u8) -> u8 {
    let length = 2 + (info & shape::NUMBER);
    if opcode & 0xf0 == 0x80 {
        return NEAR_TWO | 6;
    }
    if opcode == HINT as usize {
        return HINTS | 2;
    }
    if QUIET_TWO[opcode] & 1 == 0 || info & shape::KNOWN == 0 {
        return 0;
    }
    if info & shape::OPERAND != 0 {
        SECOND | length
    } else {
        length
    }
}

/// Sets the entries from `first` to `last`.
pub(crate) const fn fill(table: &mut [u8; 256], first: usize, last: usize, what: u8) {
    let mut at = first;
    while at <= last {
        table[at] = what;
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::shape::{quiet_length, random};
    use crate::step::Steps;

    /// Instructions that begin at random bytes, and at each opcode with each
    /// form of operands.
    #[test]
    fn what_is_passed_by_is_what_the_decoder_finds() {
        let mut random = random();
        let mut codes: Vec<[u8; 16]> = Vec::new();
        for prefix in [
            &[][..],
            &[0x66],
            &[0xf2],
            &[0xf3],
            &[0x48],
            &[0x41],
            &[0x66, 0x4c],
            &[0xf3, 0x41],
            &[0x0f],
            &[0x64, 0x48],
            &[0x64, 0x4c],
            &[0x66, 0x2e],
            &[0x66, 0x66],
            &[0xc5],
            &[0xc4, 0xe1],
            &[0xc4, 0x42],
            &[0xc4, 0xe3],
        ] {
            for opcode in 0..=0xffff_u16 {
                let mut code = [0; 16];
                code[..8].copy_from_slice(&random().to_le_bytes());
                code[8..].copy_from_slice(&random().to_le_bytes());
                code[..prefix.len()].copy_from_slice(prefix);
                code[prefix.len()..][..2].copy_from_slice(&opcode.to_be_bytes());
                codes.push(code);
                // The same with two bytes of opcode.
                code[prefix.len()] = 0x0f;
                code[prefix.len() + 1..][..2].copy_from_slice(&opcode.to_be_bytes());
                codes.push(code);
            }
        }
        // What random bytes seldom are.
        let known: [&[u8]; 6] = [
            &[0xf3, 0x0f, 0x1e, 0xfa],
            &[0x64, 0x48, 0x8b, 0x04, 0x25, 0x28],
            &[0x64, 0x4c, 0x2b, 0x3c, 0x25, 0x28],
            &[0x66, 0x2e, 0x0f, 0x1f, 0x84],
            &[0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84],
            &[0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84],
        ];
        for known in known {
            let mut code = [0; 16];
            code[..known.len()].copy_from_slice(known);
            assert!(length(&code, true).is_some(), "{code:02x?}");
            codes.push(code);
        }
        let number = |code: &[u8; 16]| code.first_chunk().map_or(0, |c| u64::from_le_bytes(*c));
        const PLACE: u64 = 0x40_1000;
        let mut passed = 0;
        for image in [true, false].map(|absolute| Image {
            absolute,
            ..Image::default()
        }) {
            for code in &codes {
                let mut first = true;
                let only = |_| std::mem::take(&mut first);
                let (length, lead) = pass(code, 0, code.len(), image.absolute, only);
                if let Some(quiet) = quiet_length(number(code)) {
                    assert_eq!((length, lead), (quiet, None), "{code:02x?}");
                }
                if length == 0 {
                    continue;
                }
                passed += 1;
                let step = Steps::new(&image, code, PLACE, 0).next();
                let step = step.unwrap_or_else(|| panic!("{code:02x?}"));
                assert_eq!(step.length, length as u64, "{code:02x?}");
                assert!(!step.invalid, "{code:02x?}");
                assert!(!step.indirect, "{code:02x?}");
                let place = |by| PLACE.wrapping_add(length as u64).wrapping_add_signed(by);
                let (reference, reads) = match lead {
                    Some(Lead::To(how, by)) => (Some((place(by), how)), None),
                    Some(Lead::Reads(by)) => (None, Some(place(by))),
                    Some(Lead::ReadsAt(slot)) => (None, Some(slot)),
                    Some(Lead::Takes(number)) => (Some((number, Reference::Address)), None),
                    Some(Lead::Returns) | None => (None, None),
                };
                assert_eq!(
                    (step.reference, step.reads),
                    (reference, reads),
                    "{code:02x?}"
                );
                let jumps = matches!(reference, Some((_, Reference::Jump)));
                assert_eq!(
                    step.ends,
                    jumps || lead == Some(Lead::Returns),
                    "{code:02x?}"
                );
                let counted = matches!(lead, Some(Lead::To(Reference::Address, _)));
                let table = reference.filter(|_| counted);
                assert_eq!(step.table, table.map(|table| table.0), "{code:02x?}");
            }
        }
        assert!(passed > 100_000, "{passed}");
    }
}
