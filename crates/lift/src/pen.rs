//! Text that is put together of short words.
//!
//! A listing is made of millions of words of a few letters. Each is held in a
//! block of one size, which is copied as a whole, two moves for most; only the
//! count of letters differs.

use iced_x86::{FormatterOutput, FormatterTextKind};

/// Bytes of a block.
const BLOCK: usize = 16;

/// What ends a line.
pub(crate) const LINE_FEED: Word = Word::of("\n");

/// A word of up to 16 bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Word {
    block: [u8; BLOCK],
    length: u8,
}

impl Word {
    /// Letters beyond the block are cut off; see [`Word::fits`].
    pub(crate) const fn of(text: &str) -> Word {
        let text = text.as_bytes();
        let mut word = Word {
            block: [0; BLOCK],
            length: 0,
        };
        while (word.length as usize) < BLOCK && (word.length as usize) < text.len() {
            word.block[word.length as usize] = text[word.length as usize];
            word.length += 1;
        }
        word
    }

    /// The same, where it can hold all of the text.
    pub(crate) fn fits(text: &str) -> Option<Word> {
        (text.len() <= BLOCK).then(|| Word::of(text))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.block[..usize::from(self.length)]).unwrap_or_default()
    }

    /// Digits of a number in hexadecimal, in capital letters.
    #[inline]
    pub(crate) fn hex(value: u64) -> Word {
        let count = (67 - (value | 1).leading_zeros()) / 4;
        let shifted = value << (64 - 4 * count);
        let mut block = [0; BLOCK];
        block[..8].copy_from_slice(&hex_digits((shifted >> 32) as u32));
        block[8..].copy_from_slice(&hex_digits(shifted as u32));
        Word {
            block,
            length: count as u8,
        }
    }
}

/// Eight digits at a time, each in a byte of its own.
#[inline]
fn hex_digits(value: u32) -> [u8; 8] {
    let mut nibbles = u64::from(value);
    nibbles = (nibbles << 16 | nibbles) & 0x0000_ffff_0000_ffff;
    nibbles = (nibbles << 8 | nibbles) & 0x00ff_00ff_00ff_00ff;
    nibbles = (nibbles << 4 | nibbles) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = (nibbles + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    let digits = nibbles + 0x3030_3030_3030_3030 + letters * u64::from(b'A' - b'9' - 1);
    digits.to_be_bytes()
}

/// What text is appended to.
pub(crate) trait Sink {
    fn push_str(&mut self, text: &str);

    fn word(&mut self, word: &Word) {
        self.push_str(word.as_str());
    }
}

impl Sink for String {
    fn push_str(&mut self, text: &str) {
        String::push_str(self, text);
    }
}

/// Text in the making.
#[derive(Debug, Default)]
pub(crate) struct Pen {
    bytes: Vec<u8>,
}

impl Pen {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The text behind the first `start` bytes.
    pub(crate) fn since(&self, start: usize) -> &[u8] {
        self.bytes.get(start..).unwrap_or(&[])
    }

    /// The same as a text of its own, which is taken off.
    pub(crate) fn split_off(&mut self, start: usize) -> String {
        let text = String::from_utf8_lossy(self.since(start)).into_owned();
        self.truncate(start);
        text
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Begins a text that will have about so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Pen {
        Pen {
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// All of the text, without the line feed at its end.
    pub(crate) fn finish_lines(mut self) -> String {
        if self.bytes.ends_with(b"\n") {
            self.bytes.pop();
        }
        self.finish()
    }

    /// All of the text, with no room behind it.
    pub(crate) fn finish(mut self) -> String {
        self.bytes.shrink_to_fit();
        // Only text was appended.
        String::from_utf8(self.bytes).unwrap_or_default()
    }

    /// Appends the first `length` bytes of `block`, which are text.
    #[inline(always)]
    pub(crate) fn block<const N: usize>(&mut self, block: &[u8; N], length: usize) {
        let end = self.bytes.len() + length;
        self.bytes.extend_from_slice(block);
        self.bytes.truncate(end);
    }

    /// What lies at `start`, with 0 behind the end of the text.
    pub(crate) fn block_at<const N: usize>(&mut self, start: usize) -> [u8; N] {
        let end = self.bytes.len();
        self.bytes.extend_from_slice(&[0; N]);
        let rest = self.bytes.get(start..);
        let block = rest.and_then(|rest| rest.first_chunk());
        let block = *block.unwrap_or(&[0; N]);
        self.bytes.truncate(end);
        block
    }
}

impl Sink for Pen {
    #[inline]
    fn push_str(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    #[inline]
    fn word(&mut self, word: &Word) {
        self.block(&word.block, word.length.into());
    }
}

impl FormatterOutput for Pen {
    fn write(&mut self, text: &str, _: FormatterTextKind) {
        self.push_str(text);
    }
}

pub(crate) fn push_all<const N: usize>(out: &mut impl Sink, parts: [&str; N]) {
    parts.iter().for_each(|part| out.push_str(part));
}

/// Digits of a number in hexadecimal, in capital letters.
#[inline]
pub(crate) fn hex(out: &mut impl Sink, value: u64) {
    out.word(&Word::hex(value));
}

/// Appends `INSTR` and a number to the base 10.
#[inline]
pub(crate) fn numbered(out: &mut impl Sink, number: u32) {
    let mut block = *b"INSTR0\0\0\0\0\0\0\0\0\0\0";
    let length = 6 + number.checked_ilog10().unwrap_or(0) as usize;
    let mut rest = number;
    for place in block[5..length].iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.word(&Word {
        block,
        length: length as u8,
    });
}

/// Digits of a number to the base 10.
pub(crate) fn decimal(out: &mut impl Sink, mut value: u64) {
    // The largest has 20.
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.push_str(str::from_utf8(&digits[first..]).unwrap_or_default());
}

/// A number as MASM writes it: `9`, `0Ah`, `28h`.
#[inline]
pub(crate) fn number(out: &mut impl Sink, value: u64) {
    const ZERO: Word = Word::of("0");
    const H: Word = Word::of("h");
    let digits = Word::hex(value);
    if digits.block[0] > b'9' {
        out.word(&ZERO);
    }
    out.word(&digits);
    if value > 9 {
        out.word(&H);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_by_the_formatter() {
        let mut text = String::new();
        for value in [0, 9, 10, 109, 65_536, u64::MAX] {
            decimal(&mut text, value);
            assert_eq!(std::mem::take(&mut text), value.to_string());
        }
        for value in [0, 9, 10, 15, 16, 0x28, 0xff, 0x9000, 0xa000, u64::MAX] {
            number(&mut text, value);
            text.push(' ');
        }
        assert_eq!(
            text,
            "0 9 0Ah 0Fh 10h 28h 0FFh 9000h 0A000h 0FFFFFFFFFFFFFFFFh "
        );
        for digits in 1..=16 {
            for value in [u64::MAX, u64::MAX / 15] {
                let value = value >> (64 - 4 * digits);
                text.clear();
                number(&mut text, value);
                let plain = format!("{value:X}h");
                let zero = if plain.starts_with(char::is_alphabetic) {
                    "0"
                } else {
                    ""
                };
                let expected = format!("{zero}{plain}");
                assert_eq!(
                    text,
                    if value > 9 {
                        &expected
                    } else {
                        plain.trim_end_matches('h')
                    }
                );
            }
        }
        for value in [1, 10, 99, 1_000, 65_537, u32::MAX] {
            text.clear();
            numbered(&mut text, value);
            assert_eq!(text, format!("INSTR{value}"));
        }
        for value in [0x1_0000_0000, 0x0123_4567_89ab_cdef, 0x9abc_def0] {
            text.clear();
            hex(&mut text, value);
            assert_eq!(text, format!("{value:X}"));
        }
    }

    #[test]
    fn pens_hold_what_is_written() {
        let mut pen = Pen::default();
        let mut expected = String::new();
        for number in 0..5000 {
            pen.word(&Word::hex(number));
            pen.push_str(", a longer text than a block; ");
            expected.push_str(&format!("{number:X}, a longer text than a block; "));
        }
        assert_eq!(pen.split_off(expected.len() - 2), "; ");
        expected.truncate(expected.len() - 2);
        assert_eq!(pen.block_at(expected.len() - 5), *b"block\0\0");
        pen.word(&LINE_FEED);
        assert_eq!(pen.finish_lines(), expected);
    }
}
