//! Instructions of x86-64 that need not be decoded.
//!
//! Discovery reads every instruction of a program to find what it refers to.
//! Nearly all are of few shapes, whose length and distance the first bytes
//! tell. The test compares each with what the decoder says.

use crate::shape::{Refers, Shape};
use crate::step::Reference;

/// What an instruction refers to, and how far from the next one that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lead {
    To(Reference, i64),
    /// It reads a pointer there.
    Reads(i64),
    /// It takes this for an address, or for a number.
    Takes(u64),
}

/// Length of the instruction at the start of `bytes`, if it is one of those
/// that are common, and what it refers to. Where code is `absolute` its numbers
/// may be addresses.
#[inline(always)]
pub(crate) fn length(bytes: &[u8], absolute: bool) -> Option<(usize, Option<Lead>)> {
    let code = u64::from_le_bytes(*bytes.first_chunk()?);
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
            let number = u64::from((rest >> 8) as u32);
            return (!rex && opcode != 0x68).then_some((length, Some(Lead::Takes(number))));
        }
        NUMBERS => true,
        SHIFTS => form & 0x38 != 0x30,
        NEGATES => form & 0x38 != 0x08,
        STORES if absolute && opcode == 0xc7 => {
            let number = u64::from((code >> (8 * (length - 4).min(4))) as u32);
            let told = !rex && form & 0x38 == 0 && length <= 8;
            return told.then_some((length, Some(Lead::Takes(number))));
        }
        STORES => form & 0x38 == 0,
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
            let by = match opcode {
                0x66 => 2,
                0xf3 => 4,
                _ => 8,
            };
            let rest = rest >> 8;
            let rest = if rest & 0xf0 == 0x40 { rest >> 8 } else { rest };
            let form = (rest >> 8) as u8;
            let narrow = match rest as u8 {
                _ if by != 2 => false,
                0x8b => shape.refers == Refers::Not && form >= 0x40,
                0xc7 => form & 0x38 == 0 && !absolute,
                opcode @ (0x00..=0x4f | 0x69..=0x8a) => QUIET[usize::from(opcode)] == ALWAYS,
                _ => false,
            };
            !rex && (narrow || rest as u8 == 0x0f && is_quiet(rest, by))
        }
        _ => false,
    };
    quiet.then_some((length, None))
}

/// Whether an opcode of two bytes refers to nothing, with a prefix of a kind.
fn is_quiet(rest: u64, prefix: u8) -> bool {
    let (second, form) = ((rest >> 8) as u8, (rest >> 16) as u8);
    QUIET_TWO[usize::from(second)] & prefix != 0
        || match second {
            0x1e => prefix == 4 && form == 0xfa,
            0x1f => prefix < 4 && form & 0x38 == 0,
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
        let number = |code: &[u8; 16]| code.first_chunk().map_or(0, |c| u64::from_le_bytes(*c));
        const PLACE: u64 = 0x40_1000;
        let mut passed = 0;
        for image in [true, false].map(|absolute| Image {
            absolute,
            ..Image::default()
        }) {
            for code in &codes {
                let found = length(code, image.absolute);
                if let Some(quiet) = quiet_length(number(code)) {
                    assert_eq!(found, Some((quiet, None)), "{code:02x?}");
                }
                let Some((length, lead)) = found else {
                    continue;
                };
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
                    Some(Lead::Takes(number)) => (Some((number, Reference::Address)), None),
                    None => (None, None),
                };
                assert_eq!(
                    (step.reference, step.reads),
                    (reference, reads),
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
