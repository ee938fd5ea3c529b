//! Instructions of x86-64 that were met before.
//!
//! Programs say the same again and again: most instructions have the bytes of a
//! recent one. What an instruction is depends on its bytes alone, but for the
//! distances that are counted from it. So those that were decoded lately are
//! kept, and the lines of those whose bytes tell all of it, or all but a part.
//!
//! The tables are of a fixed size, and what is new drives out what was there: a
//! file whose instructions all differ costs one comparison for each.

use std::ops::Range;

use iced_x86::{Code, FlowControl, Instruction, OpKind, Register};

use crate::pen::Pen;
use crate::shape::{Refers, Shape};

/// Instructions that are kept; a power of two.
const KEPT: usize = 1 << 12;
/// Bytes of the longest line that is kept.
const LINE: usize = 46;
/// Where a line goes on behind its gap.
const TAIL: usize = 30;

/// What was decoded and written lately. What is at one place of each table is of
/// one instruction.
pub(crate) struct Memo {
    known: Box<[Known; KEPT]>,
    instructions: Box<[Instruction; KEPT]>,
    lines: Box<[Line; KEPT]>,
}

/// The bytes of an instruction, but for a distance, and 0 behind them. They are
/// those of no other instruction, as none begins with all of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Key(u64);

/// How an instruction begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    key: Key,
    length: u32,
    refers: Refers,
    distance: i64,
}

/// An instruction of a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    pub(crate) address: u64,
    key: Key,
    /// The place that it refers to, if it is kept; else its number among those
    /// that are not.
    target: u64,
    /// Index of the instruction that it jumps to, or [`OUTSIDE`].
    jump: u32,
    pub(crate) length: u8,
    /// What it does to the stack and to the flow.
    pub(crate) marks: u16,
    pub(crate) flow: FlowControl,
}

const OUTSIDE: u32 = u32::MAX;

/// What all need to know of an instruction.
#[derive(Clone, Copy)]
struct Known {
    key: Key,
    marks: u16,
    flow: FlowControl,
    refers: Refers,
}

/// What the bytes of an instruction do not tell of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    Nothing,
    /// Where it goes on.
    Code,
    /// The place in memory that it refers to.
    Global(Access),
    /// The variable at a distance from the stack pointer.
    Stack(Access, i32),
    /// The same from the frame pointer.
    Frame(Access, i32),
}

/// How an instruction uses its operand in memory: so many bytes of it, or only
/// its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access(u16);

impl Access {
    const ADDRESS: Access = Access(u16::MAX);

    pub(crate) fn of(instruction: &Instruction) -> Access {
        match instruction.code() {
            Code::Lea_r64_m | Code::Lea_r32_m => Access::ADDRESS,
            // None reads as much as 64 KB.
            _ => Access(instruction.memory_size().size() as u16),
        }
    }

    /// Whether it only takes the address.
    pub(crate) fn is_lea(self) -> bool {
        self == Access::ADDRESS
    }

    /// Bytes that are read or written.
    pub(crate) fn width(self) -> usize {
        self.0.into()
    }
}

/// A line: what is before the gap, and from [`TAIL`] what is behind.
#[derive(Clone, Copy)]
struct Line {
    key: Key,
    gap: Gap,
    text: [u8; LINE],
    head: u8,
    tail: u8,
}

/// A table that is full of the same.
fn table<T: Clone, const SIZE: usize>(item: T) -> Box<[T; SIZE]> {
    match vec![item; SIZE].into_boxed_slice().try_into() {
        Ok(table) => table,
        Err(_) => unreachable!("it was made of this size"),
    }
}

impl Default for Memo {
    fn default() -> Memo {
        Memo {
            known: table(Known {
                key: Key::EMPTY,
                marks: 0,
                flow: FlowControl::Next,
                refers: Refers::Not,
            }),
            instructions: table(Instruction::default()),
            lines: table(Line {
                key: Key::EMPTY,
                gap: Gap::Nothing,
                text: [0; LINE],
                head: 0,
                tail: 0,
            }),
        }
    }
}

impl Key {
    /// Of what is not kept, and of the one instruction whose bytes are all 0.
    const NONE: Key = Key(0);
    /// Of a place where nothing is kept: no instruction begins so.
    const EMPTY: Key = Key(u64::MAX);

    /// Where it is kept.
    #[inline(always)]
    fn place(self) -> usize {
        let spread = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (spread >> 40) as usize % KEPT
    }
}

impl Head {
    /// Of the instruction that begins with the eight bytes of `code`, the first one
    /// lowest, which has this [`plain_length`].
    #[inline(always)]
    pub(crate) fn plain(code: u64, length: u32) -> Head {
        Head::with(code, Shape::plain(length))
    }

    /// The same of one that has none.
    #[inline(always)]
    pub(crate) fn not_plain(code: u64) -> Head {
        Head::with(
            code,
            Shape::not_plain(code).unwrap_or(Shape::plain(u32::MAX)),
        )
    }

    #[inline(always)]
    fn with(code: u64, shape: Shape) -> Head {
        let key = match shape.length {
            1..=8 => Key(code & u64::MAX >> (64 - 8 * shape.length) & !shape.field),
            _ => Key::NONE,
        };
        Head {
            key,
            length: shape.length,
            refers: shape.refers,
            distance: shape.distance,
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

impl Site {
    /// Of the instruction that is the `number`th of those that are not kept.
    pub(crate) fn unkept(number: usize, instruction: &Instruction, marks: u16) -> Site {
        Site {
            address: instruction.ip(),
            key: Key::NONE,
            target: number as u64,
            jump: OUTSIDE,
            length: instruction.len() as u8,
            marks,
            flow: instruction.flow_control(),
        }
    }

    /// The address of the next one.
    pub(crate) fn next(&self) -> u64 {
        self.address.wrapping_add(self.length.into())
    }

    /// The place that it refers to, if it was kept and refers to one; else its
    /// number among those that are not kept.
    pub(crate) fn target(&self) -> Result<u64, usize> {
        match self.key {
            Key::NONE => Err(self.target as usize),
            _ => Ok(self.target),
        }
    }

    /// Index of the instruction of the same function that it jumps to.
    #[inline]
    pub(crate) fn jump(&self) -> Option<usize> {
        (self.jump != OUTSIDE).then_some(self.jump as usize)
    }

    pub(crate) fn set_jump(&mut self, index: usize) {
        self.jump = index as u32;
    }
}

impl Memo {
    /// Adds the instruction at `address` that begins so to `sites`, if it is kept
    /// and no longer than the bytes that are `left`. Returns its length and marks.
    #[inline(always)]
    pub(crate) fn add_site(
        &self,
        head: Head,
        address: u64,
        left: usize,
        sites: &mut Vec<Site>,
    ) -> Option<(usize, u16)> {
        let known = &self.known[head.key.place()];
        let length = head.length as usize;
        if known.key != head.key || length > left {
            return None;
        }
        let next = address.wrapping_add(head.length.into());
        sites.push(Site {
            address,
            key: head.key,
            target: next.wrapping_add_signed(head.distance),
            jump: OUTSIDE,
            length: head.length as u8,
            marks: known.marks,
            flow: known.flow,
        });
        Some((length, known.marks))
    }

    /// Keeps what was decoded where that is what `head` says.
    pub(crate) fn keep(
        &mut self,
        head: Head,
        instruction: &Instruction,
        marks: u16,
    ) -> Option<Site> {
        if head.key == Key::NONE || !head.fits(instruction) {
            return None;
        }
        let (place, flow) = (head.key.place(), instruction.flow_control());
        self.instructions[place] = *instruction;
        self.known[place] = Known {
            key: head.key,
            marks,
            flow,
            refers: head.refers,
        };
        Some(Site {
            address: instruction.ip(),
            key: head.key,
            target: instruction.next_ip().wrapping_add_signed(head.distance),
            jump: OUTSIDE,
            length: head.length as u8,
            marks,
            flow,
        })
    }

    /// What was decoded at a site, if it is still kept.
    pub(crate) fn instruction(&self, site: &Site) -> Option<Instruction> {
        let place = site.key.place();
        let known = &self.known[place];
        if known.key != site.key {
            return None;
        }
        let mut instruction = self.instructions[place];
        instruction.set_next_ip(site.next());
        match known.refers {
            Refers::Not => {}
            Refers::ToMemory => instruction.set_memory_displacement64(site.target),
            Refers::ToCode => instruction.set_near_branch64(site.target),
        }
        Some(instruction)
    }

    /// Writes the line of a site up to its gap, if it is kept, and tells what that
    /// is.
    #[inline(always)]
    pub(crate) fn write(&self, site: &Site, out: &mut Pen) -> Option<Gap> {
        let line = &self.lines[site.key.place()];
        if line.key != site.key {
            return None;
        }
        out.block(&line.text, line.head.into());
        Some(line.gap)
    }

    /// Writes what is behind the gap.
    #[inline]
    pub(crate) fn write_tail(&self, site: &Site, out: &mut Pen) {
        let line = &self.lines[site.key.place()];
        if let Some(tail) = line.text.last_chunk::<{ LINE - TAIL }>() {
            out.block(tail, line.tail.into());
        }
    }

    /// Keeps the line of a site: that from `start` to the end of `text`, without
    /// what fills its gap.
    pub(crate) fn keep_line(
        &mut self,
        site: &Site,
        gap: Gap,
        text: &mut Pen,
        start: usize,
        filled: Range<usize>,
    ) {
        let (head, tail) = (filled.start - start, text.len() - filled.end);
        let room = if tail == 0 { LINE } else { TAIL };
        if site.key == Key::NONE || head > room || tail > LINE - TAIL {
            return;
        }
        let line = &mut self.lines[site.key.place()];
        line.text = text.block_at(start);
        if let Some(behind) = line.text.last_chunk_mut::<{ LINE - TAIL }>()
            && tail > 0
        {
            *behind = text.block_at(filled.end);
        }
        (line.key, line.gap) = (site.key, gap);
        (line.head, line.tail) = (head as u8, tail as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pen::Sink;
    use crate::shape::{plain_length, random};
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
                let head = |code: &[u8; 24]| {
                    let code = code.first_chunk();
                    let code = code.map_or(0, |code| u64::from_le_bytes(*code));
                    plain_length(code)
                        .map_or_else(|| Head::not_plain(code), |length| Head::plain(code, length))
                };
                let first = head(&code);
                memo.keep(first, &decode(&code, 0x1000), 0);
                // The same instruction elsewhere, with another distance.
                if first.refers != Refers::Not {
                    let end = first.length as usize;
                    code[end - 1] ^= 0x55;
                    moved += 1;
                }
                let address = random() >> 8;
                let mut sites = Vec::new();
                memo.add_site(head(&code), address, code.len(), &mut sites);
                let Some(site) = sites.first() else {
                    continue;
                };
                kept += 1;
                let expected = decode(&code, address);
                let found = memo.instruction(site);
                assert!(
                    found.is_some_and(|found| found.eq_all_bits(&expected)),
                    "{code:02x?}"
                );
            }
        }
        assert!(kept > 500_000 && moved > 1000, "{kept} {moved}");
    }

    /// A line is written as it was, with whatever fills its gap; one that is too long
    /// is not kept.
    #[test]
    fn lines_are_written_as_they_were_kept() {
        let code = [0x48, 0x8b, 0x44, 0x24, 8, 0, 0, 0];
        let mut memo = Memo::default();
        let instruction = Decoder::with_ip(64, &code, 0x1000, DecoderOptions::NONE).decode();
        let number = u64::from_le_bytes(code);
        let head = Head::plain(number, plain_length(number).unwrap_or_default());
        let site = memo.keep(head, &instruction, 0).expect("it is short");
        let mut pen = Pen::default();
        assert_eq!(memo.write(&site, &mut pen), None);

        pen.push_str("before\nmov     rax, [rsp+8]\n");
        let gap = Gap::Stack(Access::of(&instruction), 8);
        memo.keep_line(&site, gap, &mut pen, 7, 20..26);
        assert_eq!(memo.write(&site, &mut pen), Some(gap));
        pen.push_str("var");
        memo.write_tail(&site, &mut pen);
        let kept = b"before\nmov     rax, [rsp+8]\nmov     rax, var]\n";
        assert_eq!(pen.since(0), kept);

        pen.push_str(&"x".repeat(LINE + 1));
        let end = pen.len();
        memo.keep_line(&site, Gap::Nothing, &mut pen, kept.len(), end..end);
        assert_eq!(memo.write(&site, &mut pen), Some(gap));
    }
}
