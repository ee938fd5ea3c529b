//! What addresses are called in a listing.

use crate::image::Import;
use crate::listing::Facts;
use crate::pen::{Sink, hex, number, push_all};
use crate::program::Program;
use crate::strings;

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

    /// The name of an address that is taken, not followed.
    pub(crate) fn address_name(
        &self,
        address: u64,
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
            *comment = self.string_at(address, 4);
        } else if let Some(text) = self.string_at(address, 1) {
            match strings::auto_name(&text) {
                Some(name) => out.word(&name),
                None => {
                    out.push_str("asc_");
                    hex(out, address);
                }
            }
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
        // Linkers let a string that is the end of another one share its bytes.
        let starts = before.is_none_or(|b| matches!(b, 0 | b'\t'..=b'\r' | b' '..=b'~'));
        let min = if region.writable || !starts {
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
}
