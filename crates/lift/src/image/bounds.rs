//! Where functions end that a table gives only the starts of.

use iced_x86::{Decoder, DecoderOptions, Mnemonic};

use super::Image;
use crate::risc::isa;

/// What fills the space behind a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    /// Instructions without effect, traps or zeroes.
    Any,
    /// Traps or zeroes: Go ends a function that does not return with `nop`.
    Dead,
}

impl Image<'_> {
    /// Starts of functions with their ends: each goes on to the next one, less
    /// the padding between them, and the last to `limit` at most.
    pub(super) fn bounded(
        &self,
        mut starts: Vec<u64>,
        limit: u64,
        padding: Padding,
    ) -> Vec<(u64, u64)> {
        let code = |address: &u64| self.code_region(*address).is_some_and(|r| !r.plt);
        starts.retain(code);
        starts.sort_unstable();
        starts.dedup();
        let ends = starts.iter().copied().skip(1).chain([limit]);
        let bound = |(start, limit): (u64, u64)| {
            let bytes = self.bytes_in(start, limit);
            let length = self.without_padding(bytes, start, padding);
            (start, start.saturating_add(length))
        };
        starts.iter().copied().zip(ends).map(bound).collect()
    }

    /// The length of a function at `start` without what follows it to align the
    /// next one.
    fn without_padding(&self, bytes: &[u8], start: u64, padding: Padding) -> u64 {
        let any = padding == Padding::Any;
        let mut end = 0;
        if let Some(isa) = isa(self.arch) {
            let mut at = 0;
            while let Some(code) = isa.decode(self, &bytes[at..], start.wrapping_add(at as u64)) {
                at = (at + usize::from(code.length.max(1))).min(bytes.len());
                if code.word != 0 && !(any && isa.is_padding(&code)) {
                    end = at;
                }
            }
        } else {
            let mut decoder = Decoder::new(self.arch.bits(), bytes, DecoderOptions::NONE);
            while decoder.can_decode() {
                let at = decoder.position();
                let instruction = decoder.decode();
                let padding = match instruction.mnemonic() {
                    Mnemonic::Nop => any,
                    Mnemonic::Int3 => true,
                    Mnemonic::Add => bytes[at..decoder.position()] == [0, 0],
                    // The last of an odd number of zeroes.
                    Mnemonic::INVALID => bytes[at..] == [0],
                    _ => false,
                };
                if !padding {
                    end = decoder.position();
                }
            }
        }
        if end == 0 {
            bytes.len() as u64
        } else {
            end as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Arch;

    fn check(arch: Arch, bytes: &[u8], padding: Padding, expected: u64) {
        let image = Image {
            arch,
            ..Image::default()
        };
        assert_eq!(image.without_padding(bytes, 0x1000, padding), expected);
    }

    #[test]
    fn padding_is_no_part_of_a_function() {
        let x86 = |bytes: &[u8], expected| check(Arch::X86_64, bytes, Padding::Any, expected);
        // A return; a return before `nop` and zeroes; an immediate with zeroes.
        x86(&[0xc3], 1);
        x86(&[0xc3, 0x66, 0x90, 0, 0, 0, 0], 1);
        x86(&[0xe9, 0, 0, 0, 0, 0xcc, 0xcc], 5);
        x86(&[0xc3, 0, 0, 0], 1);
        x86(&[0x90, 0x90], 2);
        let go = [0xe8, 0, 0, 0, 0, 0x90, 0xcc];
        check(Arch::X86_64, &go, Padding::Dead, 6);
        // `RET`, `NOP`, zeroes.
        let code = [0xc0, 0x03, 0x5f, 0xd6, 0x1f, 0x20, 0x03, 0xd5, 0, 0, 0, 0];
        check(Arch::Aarch64, &code, Padding::Any, 4);
        check(Arch::Aarch64, &code, Padding::Dead, 8);
        check(Arch::Aarch64, &code[4..], Padding::Any, 8);
    }
}
