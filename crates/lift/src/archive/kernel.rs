//! Images of the Linux kernel: a small program and the kernel, compressed.

use super::compressed::Compression;
use crate::Error;

/// The compressed kernel in an image for x86 (`bzImage`, `vmlinuz`) or, where
/// firmware unpacks it, for others (`vmlinuz.efi`). `None` for other files.
pub(super) fn payload(bytes: &[u8]) -> Result<Option<&[u8]>, Error> {
    let Some(range) = boot_protocol(bytes).or_else(|| efi(bytes)) else {
        return Ok(None);
    };
    let payload = bytes
        .get(range.0..)
        .and_then(|rest| rest.get(..range.1))
        .ok_or(Error::Damaged {
            what: "Linux kernel",
        })?;
    if Compression::of(payload).is_none() {
        let name = match payload {
            [0x02, 0x21, 0x4c, 0x18, ..] => "LZ4",
            [0x5d, 0, 0, ..] => "LZMA",
            [0x89, b'L', b'Z', b'O', ..] => "LZO",
            _ => "an unknown method",
        };
        return Err(Error::UnsupportedCompression { name });
    }
    Ok(Some(payload))
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*word) as usize)
}

/// Offset and length by the boot protocol of x86, version 2.08 and later.
fn boot_protocol(bytes: &[u8]) -> Option<(usize, usize)> {
    let header = bytes.get(..0x250)?;
    let version = u16::from_le_bytes([header[0x206], header[0x207]]);
    if header[0x1fe..0x200] != [0x55, 0xaa] || header[0x202..0x206] != *b"HdrS" || version < 0x208 {
        return None;
    }
    // Sectors of the part that runs in real mode, after the first.
    let sectors = match header[0x1f1] {
        0 => 4,
        count => usize::from(count),
    };
    let offset = word(header, 0x248)?.checked_add((sectors + 1) * 512)?;
    Some((offset, word(header, 0x24c)?))
}

/// Offset and length in an image that decompresses itself under EFI.
fn efi(bytes: &[u8]) -> Option<(usize, usize)> {
    bytes.starts_with(b"MZ\0\0zimg").then_some(())?;
    Some((word(bytes, 8)?, word(bytes, 12)?))
}
