//! Instructions of x86-64 that need not be decoded.
//!
//! Discovery reads every instruction of a program to find what it refers to.
//! Nearly all are of few shapes, whose length and distance the first bytes
//! tell. The test compares each with what the decoder says.

use crate::step::Reference;

/// Bytes that are looked at: of an opcode with its prefixes, operands, and more
/// than the longest of these instructions has.
const WINDOW: usize = 12;

/// What an instruction refers to, and how far from the next one that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lead {
    To(Reference, i64),
    /// It reads a pointer there.
    Reads(i64),
}

/// Length of the instruction at the start of `bytes`, if it is one of those
/// that are common, and what it refers to.
#[inline]
pub(crate) fn length(bytes: &[u8]) -> Option<(usize, Option<Lead>)> {
    let bytes: &[u8; WINDOW] = bytes.first_chunk()?;
    let narrow = bytes[0] == 0x66;
    let mut at = usize::from(narrow);
    let rex = (bytes[at] & 0xf0 == 0x40).then_some(bytes[at]);
    at += usize::from(rex.is_some());
    let wide = rex.is_some_and(|rex| rex & 8 != 0);
    let full = if narrow && !wide { 2 } else { 4 };
    let opcode = bytes[at];
    at += 1;
    let immediate = match opcode {
        // Arithmetic between a register and a register or memory.
        0x00..=0x3f if opcode & 7 < 4 => 0,
        // Arithmetic of the accumulator and a number.
        0x00..=0x3f if opcode & 7 == 4 => return Some((at + 1, None)),
        0x00..=0x3f if opcode & 7 == 5 => return Some((at + full, None)),
        0xa8 => return Some((at + 1, None)),
        0xa9 => return Some((at + full, None)),
        // `push`, `pop`, `nop`, `cdqe`, `cdq`, `retn`, `leave`, `int3`.
        0x50..=0x5f | 0x90 | 0x98 | 0x99 | 0xc3 | 0xc9 | 0xcc if !narrow => {
            return Some((at, None));
        }
        // Jumps that are short, and others.
        0x70..=0x7f | 0xeb if at == 1 => {
            let how = match opcode {
                0xeb => Reference::Jump,
                _ => Reference::Branch,
            };
            return Some((2, Some(Lead::To(how, (bytes[1] as i8).into()))));
        }
        0xe8 if at == 1 => return Some((5, Some(Lead::To(Reference::Call, distance(bytes, 1))))),
        0xe9 if at == 1 => return Some((5, Some(Lead::To(Reference::Jump, distance(bytes, 1))))),
        0x0f if at == 1 && bytes[1] & 0xf0 == 0x80 => {
            return Some((6, Some(Lead::To(Reference::Branch, distance(bytes, 2)))));
        }
        // Loads and addresses that are counted from the code.
        0x8b | 0x8d if bytes[at] & 0xc7 == 5 => {
            let distance = distance(bytes, at + 1);
            let lead = match opcode {
                0x8b => Lead::Reads(distance),
                _ if wide => Lead::To(Reference::Address, distance),
                _ => return None,
            };
            return (!narrow).then_some((at + 5, Some(lead)));
        }
        0x63 | 0x84..=0x8b => 0,
        0x8d if bytes[at] < 0xc0 => 0,
        0x69 | 0x81 => full,
        0x6b | 0x80 | 0x83 => 1,
        0xc0 | 0xc1 if bytes[at] & 0x38 != 0x30 => 1,
        0xd0..=0xd3 if bytes[at] & 0x38 != 0x30 => 0,
        // `test` with a number has another number in place of a register.
        0xf6 | 0xf7 if bytes[at] & 0x30 != 0 => 0,
        0xf6 if bytes[at] & 0x38 == 0 => 1,
        0xf7 if bytes[at] & 0x38 == 0 => full,
        0x0f => {
            let second = bytes[at];
            at += 1;
            match second {
                // `cmov`, `set`, `imul`, `movzx`, `movsx`.
                0x40..=0x4f | 0x90..=0x9f | 0xaf | 0xb6 | 0xb7 | 0xbe | 0xbf => 0,
                // Moves, comparisons, arithmetic and logic of vectors.
                0x10 | 0x11 | 0x28 | 0x29 | 0x2e | 0x2f | 0x54 | 0x57..=0x59 | 0x5c | 0x5e => 0,
                0x1f if bytes[at] & 0x38 == 0 => 0,
                0x6f | 0xd4 | 0xef | 0xfe if narrow => 0,
                _ => return None,
            }
        }
        _ => return None,
    };
    let operands = operands(bytes[at], bytes[at + 1])?;
    Some((at + operands + immediate, None))
}

/// The number of four bytes at a place.
fn distance(bytes: &[u8; WINDOW], at: usize) -> i64 {
    let number = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    number.map_or(0, |number| i32::from_le_bytes(*number).into())
}

/// Bytes of a register or a place in memory, unless that is reached by an
/// address that the code has.
fn operands(form: u8, scaled: u8) -> Option<usize> {
    let (kind, base) = (form >> 6, form & 7);
    let scaled = (kind != 3 && base == 4).then_some(scaled);
    let displacement = match kind {
        0 if scaled.is_some_and(|scaled| scaled & 7 == 5) => return None,
        // Counted from the code.
        0 if base == 5 => 4,
        1 => 1,
        2 => 4,
        _ => 0,
    };
    Some(1 + usize::from(scaled.is_some()) + displacement)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::step::Steps;

    /// Instructions that begin at random bytes, and at each opcode with each
    /// form of operands.
    #[test]
    fn what_is_passed_by_is_what_the_decoder_finds() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let mut codes: Vec<[u8; 16]> = Vec::new();
        for prefix in [&[][..], &[0x66], &[0x48], &[0x41], &[0x66, 0x4c], &[0x0f]] {
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
        const PLACE: u64 = 0x40_1000;
        let mut passed = 0;
        for image in [true, false].map(|absolute| Image {
            absolute,
            ..Image::default()
        }) {
            for code in &codes {
                let Some((length, lead)) = length(code) else {
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
                    None => (None, None),
                };
                assert_eq!(
                    (step.reference, step.reads),
                    (reference, reads),
                    "{code:02x?}"
                );
                let table = reference.filter(|(_, how)| *how == Reference::Address);
                assert_eq!(step.table, table.map(|table| table.0), "{code:02x?}");
            }
        }
        assert!(passed > 100_000, "{passed}");
    }
}
