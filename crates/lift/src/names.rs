//! What addresses are called in a listing.

use crate::image::Import;
use crate::listing::Facts;
use crate::pen::{Sink, hex, number, push_all};
use crate::program::Program;
use crate::strings::{self, MAX_NAME};

impl Program<'_> {
    /// Writes the name of what a call or a jump leads to, and remembers it in
    /// `facts`, unless it is known to be there.
    pub(crate) fn code_name(
        &self,
        target: u64,
        call: bool,
        facts: Option<&mut Facts>,
        out: &mut impl Sink,
    ) {
        if let Some(Import { name, stub }) = self.image.imports.get(&target) {
            out.push_str(if *stub { self.image.stub_prefix() } else { "" });
            out.push_str(name);
            if let Some(facts) = facts {
                facts.calls_import(name);
            }
        } else if let Some(function) = self.function_at(target) {
            function.push_name(out);
            if let Some(facts) = facts {
                facts.calls_function(target, || function.display_name());
            }
        } else {
            out.push_str(if call { "sub_" } else { "loc_" });
            hex(out, target);
            if let Some(facts) = facts.filter(|_| call) {
                facts.calls_function(target, || format!("sub_{target:X}"));
            }
        }
    }

    /// The name of an address that is taken, not followed. `length` is that of
    /// the text there, where code says it.
    pub(crate) fn address_name(
        &self,
        address: u64,
        length: Option<u64>,
        out: &mut impl Sink,
        comment: &mut Option<String>,
    ) {
        let image = &self.image;
        if let Some(import) = image.imports.get(&address) {
            out.push_str(if import.stub { image.stub_prefix() } else { "" });
            out.push_str(&import.name);
        } else if let Some(function) = self.function_at(address) {
            function.push_name(out);
        } else if let Some(name) = image.slots.get(&address) {
            push_all(out, [name.as_str(), image.slot_suffix()]);
        } else if let Some((object, inside)) = image.object(address) {
            out.push_str(&object.name);
            if inside > 0 {
                out.push_str("+");
                number(out, inside);
            }
            let whole = (inside == 0).then_some(object.size);
            let text = length.or(whole);
            let text = text.and_then(|length| self.counted_at(address, length));
            let text = text.or_else(|| self.counted_through(address));
            *comment = text.or_else(|| self.string_at(address, 4));
        } else if let Some(text) = length
            .and_then(|length| self.counted_at(address, length))
            .or_else(|| self.string_at(address, 1))
        {
            match strings::auto_name(&text) {
                Some(name) => out.word(&name),
                None => {
                    out.push_str("asc_");
                    hex(out, address);
                }
            }
            *comment = Some(text);
        } else if let Some(text) = self.counted_through(address) {
            out.push_str("off_");
            hex(out, address);
            *comment = Some(text);
        } else if image.code_region(address).is_some() {
            out.push_str("loc_");
            hex(out, address);
        } else {
            out.push_str("unk_");
            hex(out, address);
        }
    }

    /// The string literal at `address`. Short ones are believed only in
    /// constant data and where they can be the start of one.
    pub(crate) fn string_at(&self, address: u64, min: usize) -> Option<String> {
        let region = self.image.region(address).filter(|r| !r.executable)?;
        let inside = (address - region.start) as usize;
        let bytes = region.data.get(inside..)?;
        let before = match inside.checked_sub(1) {
            Some(before) => region.data.get(before),
            None => address
                .checked_sub(1)
                .and_then(|a| self.image.bytes_in(a, address).first()),
        };
        // Those of C lie between counted ones, and have an end.
        let strange = self.image.counted
            && (before.is_some_and(|&b| b != 0)
                || !bytes.iter().take(MAX_COUNTED).any(|&b| b == 0));
        if strange {
            return None;
        }
        // Linkers let a string that is the end of another one share its bytes.
        let starts = before.is_none_or(|b| matches!(b, 0 | b'\t'..=b'\r' | b' '..=b'~'));
        let min = if region.writable || !starts || self.image.counted {
            4.max(min)
        } else {
            min
        };
        let narrow = strings::literal(bytes, min);
        // The first letter of a wide string looks like a string of its own.
        if self.image.is_windows() && narrow.as_ref().is_none_or(|text| text.len() < 4) {
            return strings::wide_literal(bytes, 4).or(narrow);
        }
        narrow
    }

    /// The text of `length` bytes at `address`, in a program whose literals are
    /// counted. The `fmt::Arguments` of a text alone has twice its length and one
    /// in its place; that is tried where `length` bytes are no text.
    pub(crate) fn counted_at(&self, address: u64, length: u64) -> Option<String> {
        if !self.image.counted || length > MAX_COUNTED as u64 {
            return None;
        }
        let region = self.image.region(address).filter(|r| !r.executable)?;
        let behind = region.data.get((address - region.start) as usize..)?;
        let read = |length: u64| strings::counted(behind.get(..length as usize)?);
        let half = || read(length / 2).filter(|_| length % 2 == 1 && length > 8);
        read(length).or_else(half)
    }

    /// The text that a pointer at `address` and the length behind it tell of: a
    /// `&str`, a `string`. That of a `core::panic::Location` has the line and
    /// the column behind it, as panics print them.
    pub(crate) fn counted_through(&self, address: u64) -> Option<String> {
        let image = &self.image;
        let size = image.arch.pointer_size();
        if !image.counted {
            return None;
        }
        let number = |inside: u64, size: u64| {
            let at = address.checked_add(inside)?;
            let bytes = image.bytes_in(at, at.checked_add(size)?);
            (bytes.len() as u64 == size).then(|| image.arch.number(bytes))
        };
        let (start, length) = (image.pointer(address)?, number(size, size)?);
        let text = self.counted_at(start, length)?;
        let path = str::from_utf8(image.bytes_in(start, start.checked_add(length)?)).ok()?;
        let place = number(2 * size, 4).zip(number(2 * size + 4, 4));
        Some(match place {
            Some((line @ 1..=MAX_LINE, column @ 1..=MAX_LINE))
                if path.ends_with(".rs") && path.len() <= MAX_NAME =>
            {
                format!("{path}:{line}:{column}")
            }
            _ => text,
        })
    }
}

/// Bytes of a counted literal that are believed.
const MAX_COUNTED: usize = 4096;
/// Lines of a source file that are believed, and columns of a line.
const MAX_LINE: u64 = 1_000_000;
