//! Compressed data, read as a stream within a [`Budget`].

use std::io::{self, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, FrameHeaderError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::Budget;
use crate::Error;

/// The most that a decompressor may look back, which is memory that it needs.
/// The strongest settings of xz ask for 64 MiB, those of Zstandard, which
/// Linux kernels are compressed with, for 128 MiB.
pub(crate) const MAX_WINDOW: u64 = 128 << 20;
/// What another stream costs: data may be a row of many, even of empty ones,
/// and beginning each takes longer than its bytes say.
const STREAM_COST: u64 = 64 << 10;
/// Bytes that are decompressed at once.
const CHUNK: usize = 64 << 10;

/// How data is compressed, as far as it is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Xz,
    Zstandard,
    Bzip2,
}

impl Compression {
    /// What the first bytes say.
    pub(super) fn of(bytes: &[u8]) -> Option<Compression> {
        match bytes {
            [0x1f, 0x8b, 8, ..] => Some(Compression::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Compression::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstandard),
            [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] => {
                // A block, or the end: numbers that look like pi and its root.
                let mark = rest.first_chunk::<6>()?;
                let block = [0x31, 0x41, 0x59, 0x26, 0x53, 0x59];
                let end = [0x17, 0x72, 0x45, 0x38, 0x50, 0x90];
                (*mark == block || *mark == end).then_some(Compression::Bzip2)
            }
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Xz => "xz",
            Compression::Zstandard => "Zstandard",
            Compression::Bzip2 => "bzip2",
        }
    }

    fn damaged(self) -> Error {
        Error::Damaged {
            what: match self {
                Compression::Gzip => "gzip data",
                Compression::Xz => "xz data",
                Compression::Zstandard => "Zstandard data",
                Compression::Bzip2 => "bzip2 data",
            },
        }
    }
}

/// One stream of compressed data, and what follows it.
enum Stream<'d> {
    Gzip(Box<GzDecoder<&'d [u8]>>),
    Xz(Box<XzReader<&'d [u8]>>),
    Zstandard(Box<StreamingDecoder<&'d [u8], FrameDecoder>>),
    Bzip2(Box<BzDecoder<&'d [u8]>>),
    /// Bytes as they are.
    Plain(&'d [u8]),
}

impl<'d> Stream<'d> {
    fn new(bytes: &'d [u8]) -> Result<Stream<'d>, Error> {
        Ok(match Compression::of(bytes) {
            None => Stream::Plain(bytes),
            Some(Compression::Gzip) => Stream::Gzip(Box::new(GzDecoder::new(bytes))),
            Some(Compression::Xz) => {
                // The decoder needs a little more than its window.
                let kibibytes = (MAX_WINDOW >> 10) as u32 + 1024;
                let reader = XzReader::new_mem_limit(bytes, false, kibibytes);
                Stream::Xz(Box::new(reader))
            }
            Some(Compression::Zstandard) => {
                let decoder = StreamingDecoder::new_with_max_window_size(bytes, MAX_WINDOW);
                let decoder = decoder.map_err(|error| match error {
                    FrameDecoderError::WindowSizeTooBig { .. }
                    | FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig {
                        ..
                    }) => Error::Window {
                        name: Compression::Zstandard.name(),
                    },
                    _ => Compression::Zstandard.damaged(),
                })?;
                Stream::Zstandard(Box::new(decoder))
            }
            Some(Compression::Bzip2) => Stream::Bzip2(Box::new(BzDecoder::new(bytes))),
        })
    }

    fn reader(&mut self) -> &mut dyn Read {
        match self {
            Stream::Gzip(reader) => reader,
            Stream::Xz(reader) => reader,
            Stream::Zstandard(reader) => reader,
            Stream::Bzip2(reader) => reader,
            Stream::Plain(bytes) => bytes,
        }
    }

    /// What follows a stream that has ended.
    fn rest(&self) -> &'d [u8] {
        match self {
            Stream::Gzip(reader) => reader.get_ref(),
            Stream::Xz(reader) => reader.inner(),
            Stream::Zstandard(reader) => reader.get_ref(),
            Stream::Bzip2(reader) => reader.get_ref(),
            Stream::Plain(_) => &[],
        }
    }
}

/// Bytes that may be compressed, read one after the other.
pub(super) struct Source<'d> {
    stream: Stream<'d>,
    compression: Option<Compression>,
    ended: bool,
}

impl<'d> Source<'d> {
    pub(super) fn new(bytes: &'d [u8]) -> Result<Source<'d>, Error> {
        let compression = Compression::of(bytes);
        Ok(Source {
            stream: Stream::new(bytes)?,
            compression,
            ended: false,
        })
    }

    /// The next bytes, at least one; none at the end. Streams that follow one
    /// another count as one, and what follows the last is passed by.
    fn some(&mut self, out: &mut [u8], budget: &mut Budget) -> Result<usize, Error> {
        while !self.ended && !out.is_empty() {
            let count = match self.stream.reader().read(out) {
                Ok(count) => count,
                Err(error) => {
                    // A decompressor that has failed must not be asked again.
                    self.ended = true;
                    return Err(self.why(&error));
                }
            };
            if count > 0 {
                budget.read(count as u64)?;
                return Ok(count);
            }
            let rest = after_padding(self.compression, self.stream.rest());
            if self.compression.is_none() || Compression::of(rest) != self.compression {
                self.ended = true;
            } else {
                budget.read(STREAM_COST)?;
                self.ended = true;
                self.stream = Stream::new(rest)?;
                self.ended = false;
            }
        }
        Ok(0)
    }

    fn why(&self, error: &io::Error) -> Error {
        match self.compression {
            Some(compression) if error.kind() == io::ErrorKind::OutOfMemory => Error::Window {
                name: compression.name(),
            },
            Some(compression) => compression.damaged(),
            None => Error::Damaged { what: "data" },
        }
    }

    /// Fills `out` as far as there are bytes.
    pub(super) fn fill(&mut self, out: &mut [u8], budget: &mut Budget) -> Result<usize, Error> {
        let mut filled = 0;
        while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.some(rest, budget)? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }

    /// Passes `count` bytes by, and tells how many were missing.
    pub(super) fn skip(&mut self, mut count: u64, budget: &mut Budget) -> Result<u64, Error> {
        let mut chunk = [0; 4096];
        while count > 0 {
            let wanted = count.min(chunk.len() as u64) as usize;
            match self.some(&mut chunk[..wanted], budget)? {
                0 => break,
                read => count -= read as u64,
            }
        }
        Ok(count)
    }

    /// The next `count` bytes, or those up to the end. Memory follows what is
    /// there, whatever `count` is.
    pub(super) fn take(&mut self, count: u64, budget: &mut Budget) -> Result<Vec<u8>, Error> {
        let mut taken: Vec<u8> = Vec::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            let left = count.saturating_sub(taken.len() as u64);
            let wanted = left.min(CHUNK as u64) as usize;
            let read = self.some(&mut chunk[..wanted], budget)?;
            if read == 0 {
                break;
            }
            budget.keep(read as u64)?;
            if taken.capacity() - taken.len() < read {
                // Twice as much, but no more than there may come.
                let most = left.min(budget.keep.saturating_add(read as u64));
                let more = (taken.len().max(CHUNK) as u64).min(most) as usize;
                taken.reserve_exact(more.max(read));
            }
            taken.extend_from_slice(&chunk[..read]);
        }
        taken.shrink_to_fit();
        Ok(taken)
    }

    /// All that is left.
    pub(super) fn whole(mut self, budget: &mut Budget) -> Result<Vec<u8>, Error> {
        self.take(u64::MAX, budget)
    }
}

/// What follows the zero bytes that may stand between streams of xz, and the
/// frames of Zstandard that hold no data.
fn after_padding(compression: Option<Compression>, mut rest: &[u8]) -> &[u8] {
    match compression {
        Some(Compression::Xz) => {
            while let [0, 0, 0, 0, after @ ..] = rest {
                rest = after;
            }
        }
        Some(Compression::Zstandard) => {
            while let [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d, after @ ..] = rest {
                let size = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
                rest = after.get(size..).unwrap_or(&[]);
            }
        }
        _ => {}
    }
    rest
}
