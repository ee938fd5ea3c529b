//! Instructions of x86-64 that were met before.
//!
//! Programs say the same again and again: most instructions have the bytes of a
//! recent one. What an instruction is depends on its bytes alone, but for the
//! distances that are counted from it. So those that were decoded lately are
//! kept, and the lines of those whose bytes tell all of it.
//!
//! Both tables are of a fixed size, and what is new drives out what was there: a
//! file whose instructions all differ costs one comparison for each.

use iced_x86::{Instruction, OpKind, Register};

use crate::pen::Pen;
use crate::shape::{Refers, Shape};

/// Instructions that are kept; a power of two.
const DECODED: usize = 1 << 12;
/// Lines that are kept; a power of two.
const WRITTEN: usize = 1 << 12;
/// Bytes of the longest line that is kept.
const LINE: usize = 39;

/// What was decoded and written lately.
pub(crate) struct Memo {
    decoded: Vec<Decoded>,
    written: Vec<Written>,
}

/// The bytes of an instruction, but for a distance, and 0 behind them. They are
/// those of no other instruction, as none begins with all of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Key(u64);

/// How an instruction begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) key: Key,
    pub(crate) length: u32,
    refers: Refers,
    distance: i64,
}

/// What was decoded of an instruction.
#[derive(Clone, Copy)]
pub(crate) struct Decoded {
    key: Key,
    instruction: Instruction,
    /// The key of its line, if it tells all of that.
    pub(crate) line: Key,
    pub(crate) marks: u8,
}

/// A line, or how one begins.
#[derive(Clone, Copy)]
struct Written {
    key: Key,
    text: [u8; LINE],
    length: u8,
}

impl Default for Memo {
    fn default() -> Memo {
        let undecoded = Decoded {
            key: Key::EMPTY,
            instruction: Instruction::default(),
            line: Key::NONE,
            marks: 0,
        };
        let unwritten = Written {
            key: Key::EMPTY,
            text: [0; LINE],
            length: 0,
        };
        Memo {
            decoded: vec![undecoded; DECODED],
            written: vec![unwritten; WRITTEN],
        }
    }
}

impl Key {
    /// Of what is not kept, and of the one instruction whose bytes are all 0.
    pub(crate) const NONE: Key = Key(0);
    /// Of a place where nothing is kept: no instruction begins so.
    const EMPTY: Key = Key(u64::MAX);

    /// Where it is kept in a table of `size`.
    #[inline]
    fn place(self, size: usize) -> usize {
        let spread = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (spread >> 40) as usize & (size - 1)
    }
}

impl Head {
    /// Of the instruction that begins at `ahead`.
    #[inline(always)]
    pub(crate) fn of(ahead: &[u8]) -> Head {
        let code = ahead
            .first_chunk()
            .map_or(0, |code| u64::from_le_bytes(*code));
        match Shape::of(code) {
            Some(shape) if shape.length <= 8 => Head {
                key: Key(code & u64::MAX >> (64 - 8 * shape.length) & !shape.field),
                length: shape.length,
                refers: shape.refers,
                distance: shape.distance,
            },
            _ => Head {
                key: Key::NONE,
                length: 0,
                refers: Refers::Not,
                distance: 0,
            },
        }
    }

    /// Forgets it if it is longer than the bytes that are `left`.
    #[inline(always)]
    pub(crate) fn filter(&mut self, left: usize) {
        if self.length as usize > left {
            self.key = Key::NONE;
        }
    }

    /// Whether it is what was decoded.
    fn fits(&self, instruction: &Instruction) -> bool {
        let to = instruction.next_ip().wrapping_add_signed(self.distance);
        let counted = instruction.is_ip_rel_memory_operand();
        let near = instruction.op0_kind() == OpKind::NearBranch64;
        !instruction.is_invalid()
            && instruction.len() == self.length as usize
            && match self.refers {
                Refers::Not => !counted && !near,
                Refers::ToMemory => {
                    counted
                        && instruction.memory_base() == Register::RIP
                        && instruction.memory_displacement64() == to
                }
                Refers::ToCode => near && instruction.near_branch64() == to,
            }
    }
}

impl Decoded {
    /// The instruction at an address, with the distance of `head`.
    #[inline(always)]
    pub(crate) fn at(&self, head: &Head, address: u64) -> Instruction {
        let mut instruction = self.instruction;
        let next = address.wrapping_add(head.length.into());
        instruction.set_next_ip(next);
        match head.refers {
            Refers::Not => {}
            Refers::ToMemory => {
                instruction.set_memory_displacement64(next.wrapping_add_signed(head.distance));
            }
            Refers::ToCode => {
                instruction.set_near_branch64(next.wrapping_add_signed(head.distance));
            }
        }
        instruction
    }
}

impl Memo {
    /// What was decoded of an instruction that begins so, if it is kept.
    #[inline(always)]
    pub(crate) fn decoded(&self, head: &Head) -> Option<&Decoded> {
        let kept = self.decoded.get(head.key.place(DECODED));
        kept.filter(|kept| kept.key == head.key)
    }

    /// Keeps what was decoded where that is what `head` says. Returns the key of
    /// the line.
    pub(crate) fn keep_decoded(
        &mut self,
        head: &Head,
        instruction: &Instruction,
        marks: u8,
        tells_all: bool,
    ) -> Key {
        if head.key == Key::NONE || !head.fits(instruction) {
            return Key::NONE;
        }
        let line = if tells_all { head.key } else { Key::NONE };
        if let Some(kept) = self.decoded.get_mut(head.key.place(DECODED)) {
            *kept = Decoded {
                key: head.key,
                instruction: *instruction,
                line,
                marks,
            };
        }
        line
    }

    /// Writes the line of `key`, or how it begins, if that is kept.
    #[inline]
    pub(crate) fn write(&self, key: Key, out: &mut Pen) -> bool {
        match self.written.get(key.place(WRITTEN)) {
            Some(kept) if kept.key == key => {
                out.block(&kept.text, kept.length.into());
                true
            }
            _ => false,
        }
    }

    /// Keeps what was written for `key`.
    pub(crate) fn keep_written(&mut self, key: Key, text: &[u8]) {
        if key != Key::NONE
            && text.len() <= LINE
            && let Some(kept) = self.written.get_mut(key.place(WRITTEN))
        {
            kept.key = key;
            kept.length = text.len() as u8;
            kept.text[..text.len()].copy_from_slice(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::random;
    use iced_x86::{Decoder, DecoderOptions};

    /// An instruction that is met again is what the decoder says there, whatever
    /// distance it has: for each opcode, with and without prefixes, and each form
    /// of operands, and with random bytes behind them.
    #[test]
    fn what_is_kept_is_what_the_decoder_finds() {
        let mut random = random();
        let decode = |code: &[u8], address| {
            Decoder::with_ip(64, code, address, DecoderOptions::NONE).decode()
        };
        let prefixes: [&[u8]; 12] = [
            &[],
            &[0x66],
            &[0xf2],
            &[0xf3],
            &[0x48],
            &[0x41],
            &[0x66, 0x4c],
            &[0xf3, 0x48],
            &[0xc5, 0xf9],
            &[0xc4, 0xe2, 0x79],
            &[0x0f, 0x38],
            &[0x66, 0x0f, 0x3a],
        ];
        let mut memo = Memo::default();
        let (mut kept, mut moved) = (0, 0);
        for (number, prefix) in prefixes
            .iter()
            .flat_map(|p| (0..=0xffff_u16).map(move |n| (n, p)))
        {
            for second in [&[][..], &[0x0f]] {
                let mut code = [0; 24];
                for part in code.chunks_exact_mut(8) {
                    part.copy_from_slice(&random().to_le_bytes());
                }
                let start = [prefix, second, &number.to_be_bytes()].concat();
                code[..start.len()].copy_from_slice(&start);
                let head = Head::of(&code);
                memo.keep_decoded(&head, &decode(&code, 0x1000), 0, true);
                // The same instruction elsewhere, with another distance.
                if head.refers != Refers::Not {
                    let end = head.length as usize;
                    code[end - 1] ^= 0x55;
                    moved += 1;
                }
                let again = Head::of(&code);
                let Some(found) = memo.decoded(&again) else {
                    continue;
                };
                kept += 1;
                let address = random() >> 8;
                let expected = decode(&code, address);
                assert!(
                    found.at(&again, address).eq_all_bits(&expected),
                    "{code:02x?}"
                );
            }
        }
        assert!(kept > 500_000 && moved > 1000, "{kept} {moved}");
    }
}
