//! Tar archives: ustar, and the long names of GNU and of pax.

use super::Budget;
use super::compressed::Source;
use crate::Error;

/// Headers and files begin at multiples of this.
pub(super) const BLOCK: usize = 512;
/// Longest name, and longest set of pax records, that is read.
const MAX_NAMES: u64 = 64 << 10;

/// One file of an archive.
pub(super) struct Entry {
    /// Its path, without what leads to the root.
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    /// The same file as another one before it.
    Link(String),
    Symbolic(String),
    /// A directory, a device, a file with holes.
    Other,
}

/// What a header says for the one after it.
#[derive(Default)]
struct Ahead {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

/// A reader of headers and files, in their order.
pub(super) struct Tar<'d> {
    source: Source<'d>,
    /// Bytes of the current file that were not read.
    left: u64,
    /// Bytes that fill its last block.
    padding: u64,
}

impl<'d> Tar<'d> {
    pub(super) fn new(source: Source<'d>) -> Tar<'d> {
        Tar {
            source,
            left: 0,
            padding: 0,
        }
    }

    /// The next file; none at the end of the archive.
    pub(super) fn next(&mut self, budget: &mut Budget) -> Result<Option<Entry>, Error> {
        let mut ahead = Ahead::default();
        loop {
            let missing = self.source.skip(self.left, budget)?;
            if missing > 0 {
                return Err(damaged());
            }
            self.source.skip(self.padding, budget)?;
            (self.left, self.padding) = (0, 0);
            let mut header = [0; BLOCK];
            let length = self.source.fill(&mut header, budget)?;
            if length == 0 || header == [0; BLOCK] {
                return Ok(None);
            }
            if !is_header(&header[..length]) {
                return Err(damaged());
            }
            let stated = number(&header[124..136]).ok_or_else(damaged)?;
            let kind = header[156];
            // Links and devices have no bytes, whatever they say.
            let size = match kind {
                b'1'..=b'6' => 0,
                b'L' | b'K' | b'x' | b'g' => stated,
                _ => ahead.size.unwrap_or(stated),
            };
            self.left = size;
            self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
            match kind {
                b'L' => ahead.name = Some(before_nul(&self.names(budget)?).to_vec()),
                b'K' => ahead.link = Some(before_nul(&self.names(budget)?).to_vec()),
                b'x' => ahead.read(&self.names(budget)?),
                b'g' => {}
                _ => {
                    if kind == b'S' {
                        self.skip_map(&header, budget)?;
                    }
                    return Ok(Some(entry(&header, ahead)));
                }
            }
        }
    }

    /// What a header of names has: longer than any name, it is passed by.
    fn names(&mut self, budget: &mut Budget) -> Result<Vec<u8>, Error> {
        let names = self.source.take(self.left.min(MAX_NAMES), budget)?;
        self.left -= names.len() as u64;
        budget.keep += names.len() as u64;
        Ok(names)
    }

    /// Passes the blocks by in which GNU's sparse files go on with the list of
    /// their parts.
    fn skip_map(&mut self, header: &[u8; BLOCK], budget: &mut Budget) -> Result<(), Error> {
        let mut more = header[482] != 0;
        while more {
            let mut block = [0; BLOCK];
            if self.source.fill(&mut block, budget)? < BLOCK {
                return Err(damaged());
            }
            more = block[504] != 0;
        }
        Ok(())
    }

    /// The first bytes of the current file.
    pub(super) fn head(&mut self, out: &mut [u8], budget: &mut Budget) -> Result<usize, Error> {
        let length = self.left.min(out.len() as u64) as usize;
        let read = self.source.fill(&mut out[..length], budget)?;
        self.left -= read as u64;
        Ok(read)
    }

    /// The current file.
    pub(super) fn file(&mut self, budget: &mut Budget) -> Result<Vec<u8>, Error> {
        if self.left > budget.keep {
            return Err(budget.too_large());
        }
        let file = self.source.take(self.left, budget)?;
        if (file.len() as u64) < self.left {
            return Err(damaged());
        }
        self.left = 0;
        Ok(file)
    }
}

impl Ahead {
    /// Reads pax records: `LENGTH KEY=VALUE\n`, where the length counts itself.
    fn read(&mut self, mut records: &[u8]) {
        while let Some(space) = records.iter().take(20).position(|&b| b == b' ') {
            let length = std::str::from_utf8(&records[..space])
                .ok()
                .and_then(|digits| digits.parse::<usize>().ok());
            let record = length.and_then(|length| records.split_at_checked(length));
            let Some((record, rest)) = record else {
                return;
            };
            records = rest;
            let pair = record.get(space + 1..).unwrap_or(&[]);
            let pair = pair.strip_suffix(b"\n").unwrap_or(pair);
            let Some(equals) = pair.iter().position(|&b| b == b'=') else {
                return;
            };
            let value = &pair[equals + 1..];
            match &pair[..equals] {
                b"path" => self.name = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => {
                    self.size = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
                }
                key => self.sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
    }
}

fn damaged() -> Error {
    Error::Damaged {
        what: "tar archive",
    }
}

/// Whether a block is a header: its sum is right.
pub(super) fn is_header(block: &[u8]) -> bool {
    let Some(header) = block.first_chunk::<BLOCK>() else {
        return false;
    };
    let sum: u32 = header
        .iter()
        .enumerate()
        // The sum itself counts as spaces.
        .map(|(at, &byte)| u32::from(if (148..156).contains(&at) { b' ' } else { byte }))
        .sum();
    header[0] != 0 && number(&header[148..156]) == Some(sum.into())
}

fn entry(header: &[u8; BLOCK], ahead: Ahead) -> Entry {
    let name = ahead.name.unwrap_or_else(|| {
        let name = before_nul(&header[..100]);
        let prefix = before_nul(&header[345..500]);
        // GNU has other things where ustar has the first part of a long name.
        if header[257..263] == *b"ustar\0" && !prefix.is_empty() {
            [prefix, b"/", name].concat()
        } else {
            name.to_vec()
        }
    });
    let link = || {
        let raw = ahead.link.as_deref();
        let link = raw.unwrap_or_else(|| before_nul(&header[157..257]));
        String::from_utf8_lossy(link).into_owned()
    };
    let kind = match header[156] {
        b'0' | 0 | b'7' if !ahead.sparse && !name.ends_with(b"/") => Kind::File,
        b'1' => Kind::Link(link()),
        b'2' => Kind::Symbolic(link()),
        _ => Kind::Other,
    };
    Entry {
        name: plain(&name).to_vec(),
        kind,
    }
}

/// A path without what leads to the root: archives have `./usr` and `/usr`.
fn plain(mut path: &[u8]) -> &[u8] {
    while let Some(rest) = path.strip_prefix(b"./").or(path.strip_prefix(b"/")) {
        path = rest;
    }
    path
}

/// The same for what a user types.
pub(super) fn plain_path(mut path: &str) -> &str {
    while let Some(rest) = path.strip_prefix("./").or(path.strip_prefix('/')) {
        path = rest;
    }
    path
}

fn before_nul(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&b| b == 0);
    &field[..end.unwrap_or(field.len())]
}

/// A number of a header: octal digits, or for large ones bytes after a mark.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, rest @ ..] = field {
        return rest.iter().try_fold(0u64, |number, &byte| {
            Some(number.checked_mul(256)? + u64::from(byte))
        });
    }
    let digits = before_nul(field).trim_ascii();
    if digits.is_empty() {
        return Some(0);
    }
    digits.iter().try_fold(0u64, |number, &digit| {
        matches!(digit, b'0'..=b'7')
            .then(|| number.checked_mul(8))?
            .map(|number| number + u64::from(digit - b'0'))
    })
}
