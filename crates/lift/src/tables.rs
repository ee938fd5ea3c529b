//! Data that tells an algorithm: the tables of ciphers, hashes, checksums and
//! codecs, known by how they begin.

use std::sync::OnceLock;

use crate::image::Image;
use crate::program::Arch;

/// A table of a well-known algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KnownTable {
    /// Where it is.
    pub address: u64,
    /// What it is: `AES S-box`.
    pub name: &'static str,
    /// The algorithm: `AES`.
    pub algorithm: &'static str,
}

struct Table {
    name: &'static str,
    algorithm: &'static str,
    /// Bytes of an entry, which lie as the processor has its numbers.
    width: usize,
    start: &'static [u64],
    /// Written out in letters.
    text: bool,
}

const fn table(
    algorithm: &'static str,
    name: &'static str,
    width: usize,
    start: &'static [u64],
) -> Table {
    Table {
        name,
        algorithm,
        width,
        start,
        text: false,
    }
}

/// A number that a program has as text, from its entries of a letter each.
const fn text(algorithm: &'static str, name: &'static str, start: &'static [u64]) -> Table {
    Table {
        text: true,
        ..table(algorithm, name, 1, start)
    }
}

/// Letters as entries of a byte.
const fn letters<const N: usize>(text: &[u8; N]) -> [u64; N] {
    let mut entries = [0; N];
    let mut at = 0;
    while at < N {
        entries[at] = text[at] as u64;
        at += 1;
    }
    entries
}

/// Beginnings of eight bytes or more that no other data has by chance.
#[rustfmt::skip]
const TABLES: &[Table] = &[
    table("AES", "AES S-box", 1, &[0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5]),
    table("AES", "AES inverse S-box", 1, &[0x52, 0x09, 0x6a, 0xd5, 0x30, 0x36, 0xa5, 0x38]),
    table("AES", "AES table Te0", 4, &[0xc663_63a5, 0xf87c_7c84, 0xee77_7799]),
    table("AES", "AES table Te0", 4, &[0xa563_63c6, 0x847c_7cf8, 0x9977_77ee]),
    table("AES", "AES table Te0", 4, &[0xa563_63c6, 0xa563_63c6, 0x847c_7cf8]),
    table("AES", "AES table Te1", 4, &[0xa5c6_6363, 0x84f8_7c7c, 0x99ee_7777]),
    table("AES", "AES table Te2", 4, &[0x63a5_c663, 0x7c84_f87c, 0x7799_ee77]),
    table("AES", "AES table Te3", 4, &[0x6363_a5c6, 0x7c7c_84f8, 0x7777_99ee]),
    table("AES", "AES table Td0", 4, &[0x51f4_a750, 0x7e41_6553, 0x1a17_a4c3]),
    table("AES", "AES table Td0", 4, &[0x50a7_f451, 0x5365_417e, 0xc3a4_171a]),
    table("AES", "AES table Td0", 4, &[0x50a7_f451, 0x50a7_f451, 0x5365_417e]),
    table("AES", "AES round constants", 4, &[0x0100_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000]),
    table("AES", "AES round constants", 1, &[0x8d, 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b]),
    table("MD5", "MD5 round constants", 4, &[0xd76a_a478, 0xe8c7_b756]),
    table("MD2", "MD2 substitution", 1, &[0x29, 0x2e, 0x43, 0xc9, 0xa2, 0xd8, 0x7c, 0x01]),
    table("MD5 or SHA-1", "MD5, SHA-1 or RIPEMD initial state", 4, &[0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe]),
    table("SHA-224", "SHA-224 initial state", 4, &[0xc105_9ed8, 0x367c_d507]),
    table("SHA-256", "SHA-256 or BLAKE2s initial state", 4, &[0x6a09_e667, 0xbb67_ae85]),
    table("SHA-256", "SHA-256 round constants", 4, &[0x428a_2f98, 0x7137_4491]),
    table("SHA-384", "SHA-384 initial state", 8, &[0xcbbb_9d5d_c105_9ed8, 0x629a_292a_367c_d507]),
    table("SHA-512", "SHA-512 or BLAKE2b initial state", 8, &[0x6a09_e667_f3bc_c908, 0xbb67_ae85_84ca_a73b]),
    table("SHA-512", "SHA-512 round constants", 8, &[0x428a_2f98_d728_ae22, 0x7137_4491_23ef_65cd]),
    table("SHA-3", "Keccak round constants", 8, &[1, 0x8082, 0x8000_0000_0000_808a]),
    table("BLAKE2", "BLAKE2 permutations", 1, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 14, 10, 4, 8]),
    table("RIPEMD-160", "RIPEMD-160 message order", 1, &[7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8]),
    table("Whirlpool", "Whirlpool S-box", 1, &[0x18, 0x23, 0xc6, 0xe8, 0x87, 0xb8, 0x01, 0x4f]),
    table("Whirlpool", "Whirlpool table C0", 8, &[0x1818_6018_c078_30d8, 0x2323_8c23_05af_4626]),
    table("DES", "DES initial permutation", 1, &[58, 50, 42, 34, 26, 18, 10, 2]),
    table("DES", "DES expansion", 1, &[32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9]),
    table("DES", "DES key permutation", 1, &[57, 49, 41, 33, 25, 17, 9, 1]),
    table("DES", "DES S-box", 1, &[14, 4, 13, 1, 2, 15, 11, 8]),
    table("DES", "DES table SP1", 4, &[0x0101_0400, 0x0000_0000, 0x0001_0000, 0x0101_0404]),
    table("DES", "DES table SPtrans", 4, &[0x0208_0800, 0x0008_0000, 0x0200_0002, 0x0208_0802]),
    table("Blowfish", "Blowfish subkeys", 4, &[0x243f_6a88, 0x85a3_08d3]),
    table("Blowfish", "Blowfish S-box", 4, &[0xd131_0ba6, 0x98df_b5ac]),
    table("Twofish", "Twofish permutation", 1, &[0xa9, 0x67, 0xb3, 0xe8, 0x04, 0xfd, 0xa3, 0x76]),
    table("CAST-128", "CAST-128 S-box", 4, &[0x30fb_40d4, 0x9fa0_ff0b]),
    table("Camellia", "Camellia S-box", 1, &[0x70, 0x82, 0x2c, 0xec, 0xb3, 0x27, 0xc0, 0xe5]),
    table("Camellia", "Camellia table SP1110", 4, &[0x7070_7000, 0x8282_8200, 0x2c2c_2c00]),
    table("SM4", "SM4 S-box", 1, &[0xd6, 0x90, 0xe9, 0xfe, 0xcc, 0xe1, 0x3d, 0xb7]),
    table("SEED", "SEED S-box", 4, &[0x2989_a1a8, 0x0585_8184]),
    table("RC2", "RC2 permutation", 1, &[0xd9, 0x78, 0xf9, 0xc4, 0x19, 0xdd, 0xb5, 0xed]),
    table("ChaCha20 or Salsa20", "ChaCha20 or Salsa20 constant", 4, &[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]),
    table("SipHash", "SipHash initial state", 8, &[0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d]),
    table("P-256", "prime of the elliptic curve P-256", 8, &[0xffff_ffff_ffff_ffff, 0xffff_ffff, 0, 0xffff_ffff_0000_0001]),
    table("P-224", "prime of the elliptic curve P-224", 8, &[1, 0xffff_ffff_0000_0000, 0xffff_ffff_ffff_ffff, 0xffff_ffff]),
    table("P-384", "prime of the elliptic curve P-384", 8, &[0xffff_ffff, 0xffff_ffff_0000_0000, 0xffff_ffff_ffff_fffe, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff]),
    table("P-521", "prime of the elliptic curve P-521", 8, &[0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0x1ff]),
    table("secp256k1", "prime of the elliptic curve secp256k1", 8, &[0xffff_fffe_ffff_fc2f, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff]),
    text("P-256", "prime of the elliptic curve P-256", &letters(b"FFFFFFFF00000001000000000000000000000000FFFFFFFF")),
    text("P-256", "prime of the elliptic curve P-256", &letters(b"ffffffff00000001000000000000000000000000ffffffff")),
    text("P-224", "prime of the elliptic curve P-224", &letters(b"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000000000000000000")),
    text("P-224", "prime of the elliptic curve P-224", &letters(b"ffffffffffffffffffffffffffffffff00000000000000000000000")),
    text("P-384", "prime of the elliptic curve P-384", &letters(b"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFF0000000000000000")),
    text("P-384", "prime of the elliptic curve P-384", &letters(b"fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000")),
    text("P-521", "prime of the elliptic curve P-521", &letters(b"1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF")),
    text("P-521", "prime of the elliptic curve P-521", &letters(b"1ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff")),
    text("secp256k1", "prime of the elliptic curve secp256k1", &letters(b"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F")),
    text("secp256k1", "prime of the elliptic curve secp256k1", &letters(b"fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f")),
    table("P-256", "coefficient of the elliptic curve P-256", 8, &[0x3bce_3c3e_27d2_604b, 0x651d_06b0_cc53_b0f6]),
    table("P-256", "coefficient of the elliptic curve P-256", 1, &[0x5a, 0xc6, 0x35, 0xd8, 0xaa, 0x3a, 0x93, 0xe7, 0xb3, 0xeb, 0xbd, 0x55, 0x76, 0x98, 0x86, 0xbc]),
    table("P-256", "base point of the elliptic curve P-256", 8, &[0xf4a1_3945_d898_c296, 0x7703_7d81_2deb_33a0]),
    table("P-256", "base point of the elliptic curve P-256", 1, &[0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2]),
    table("P-256", "order of the elliptic curve P-256", 8, &[0xf3b9_cac2_fc63_2551, 0xbce6_faad_a717_9e84]),
    table("P-384", "coefficient of the elliptic curve P-384", 8, &[0x2a85_c8ed_d3ec_2aef, 0xc656_398d_8a2e_d19d]),
    table("P-384", "coefficient of the elliptic curve P-384", 1, &[0xb3, 0x31, 0x2f, 0xa7, 0xe2, 0x3e, 0xe7, 0xe4, 0x98, 0x8e, 0x05, 0x6b, 0xe3, 0xf8, 0x2d, 0x19]),
    table("P-384", "base point of the elliptic curve P-384", 8, &[0x3a54_5e38_7276_0ab7, 0x5502_f25d_bf55_296c]),
    table("P-384", "base point of the elliptic curve P-384", 1, &[0xaa, 0x87, 0xca, 0x22, 0xbe, 0x8b, 0x05, 0x37, 0x8e, 0xb1, 0xc7, 0x1e, 0xf3, 0x20, 0xad, 0x74]),
    table("P-384", "order of the elliptic curve P-384", 8, &[0xecec_196a_ccc5_2973, 0x581a_0db2_48b0_a77a]),
    table("P-521", "coefficient of the elliptic curve P-521", 8, &[0xef45_1fd4_6b50_3f00, 0x3573_df88_3d2c_34f1]),
    table("P-521", "coefficient of the elliptic curve P-521", 1, &[0x51, 0x95, 0x3e, 0xb9, 0x61, 0x8e, 0x1c, 0x9a, 0x1f, 0x92, 0x9a, 0x21, 0xa0, 0xb6, 0x85, 0x40]),
    table("P-521", "base point of the elliptic curve P-521", 8, &[0xf97e_7e31_c2e5_bd66, 0x3348_b3c1_856a_429b]),
    table("P-521", "base point of the elliptic curve P-521", 1, &[0x00, 0xc6, 0x85, 0x8e, 0x06, 0xb7, 0x04, 0x04, 0xe9, 0xcd, 0x9e, 0x3e, 0xcb, 0x66, 0x23, 0x95, 0xb4]),
    table("P-521", "order of the elliptic curve P-521", 8, &[0xbb6f_b71e_9138_6409, 0x3bb5_c9b8_899c_47ae]),
    table("secp256k1", "base point of the elliptic curve secp256k1", 8, &[0x59f2_815b_16f8_1798, 0x29b_fcdb_2dce_28d9]),
    table("secp256k1", "base point of the elliptic curve secp256k1", 1, &[0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07]),
    table("secp256k1", "order of the elliptic curve secp256k1", 8, &[0xbfd2_5e8c_d036_4141, 0xbaae_dce6_af48_a03b]),
    table("Curve25519", "prime of the elliptic curve Curve25519", 8, &[0xffff_ffff_ffff_ffed, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0x7fff_ffff_ffff_ffff]),
    table("Curve25519", "order of the elliptic curve Curve25519", 8, &[0x5812_631a_5cf5_d3ed, 0x14de_f9de_a2f7_9cd6]),
    table("Curve25519", "coefficient of the elliptic curve Ed25519", 8, &[0x75eb_4dca_1359_78a3, 0x70_0a4d_4141_d8ab]),
    table("Curve25519", "base point of the elliptic curve Ed25519", 8, &[0x6666_6666_6666_6658, 0x6666_6666_6666_6666, 0x6666_6666_6666_6666, 0x6666_6666_6666_6666]),
    table("Curve25519", "base point of the elliptic curve Ed25519", 8, &[0xc956_2d60_8f25_d51a, 0x692c_c760_9525_a7b2]),
    table("Curve25519", "coefficient of the elliptic curve Ed25519", 4, &[0xff59_78b6, 0xd3_7285, 0xff15_6ebd, 0x6a_0a0f]),
    table("Curve25519", "coefficient of the elliptic curve Ed25519", 8, &[0x3_4dca_1359_78a3, 0x1_a828_3b15_6ebd, 0x5_e7a2_6001_c029]),
    table("Diffie-Hellman", "Diffie-Hellman prime (RFC 2409, RFC 3526)", 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc9, 0x0f, 0xda, 0xa2, 0x21, 0x68, 0xc2, 0x34]),
    table("Diffie-Hellman", "Diffie-Hellman prime (RFC 7919)", 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xad, 0xf8, 0x54, 0x58, 0xa2, 0xbb, 0x4a, 0x9a]),
    table("Diffie-Hellman", "Diffie-Hellman prime of group 14 (RFC 3526)", 8, &[0xffff_ffff_ffff_ffff, 0x1572_8e5a_8aac_aa68]),
    table("RSA", "object identifier of PKCS #1 (RSA)", 1, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01]),
    table("RSA", "PKCS #1 prefix of a SHA-1 digest (RSA)", 1, &[0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a]),
    table("RSA", "PKCS #1 prefix of a SHA-256 digest (RSA)", 1, &[0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01]),
    table("P-256", "object identifier of the elliptic curve P-256", 1, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
    table("big number", "small primes (big number tests)", 1, &[2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37]),
    table("big number", "small primes (big number tests)", 1, &[3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37]),
    table("big number", "small primes (big number tests)", 2, &[2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37]),
    table("big number", "small primes (big number tests)", 2, &[3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37]),
    table("big number", "small primes (big number tests)", 4, &[2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37]),
    table("big number", "small primes (big number tests)", 4, &[3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37]),
    table("GCM", "GCM reduction table", 2, &[0, 0x01c2, 0x0384, 0x0246, 0x0708, 0x06ca]),
    table("GCM", "GCM reduction table", 8, &[0, 0x1c20, 0x3840, 0x2460]),
    table("GCM", "GCM reduction table", 8, &[0, 0x1c20_0000_0000_0000, 0x3840_0000_0000_0000, 0x2460_0000_0000_0000]),
    table("CRC-32", "CRC-32 table", 4, &[0, 0x7707_3096, 0xee0e_612c, 0x9909_51ba]),
    table("CRC-32", "CRC-32 table, most significant bit first", 4, &[0, 0x04c1_1db7, 0x0982_3b6e]),
    table("CRC-32C", "CRC-32C table", 4, &[0, 0xf26b_8303, 0xe13b_70f7]),
    table("CRC-16", "CRC-16 table", 2, &[0, 0xc0c1, 0xc181, 0x0140, 0xc301]),
    table("CRC-16", "CRC-16 CCITT table", 2, &[0, 0x1021, 0x2042, 0x3063, 0x4084]),
    table("CRC-16", "CRC-16 CCITT table, least significant bit first", 2, &[0, 0x1189, 0x2312, 0x329b, 0x4624]),
    table("CRC-24", "CRC-24 table of OpenPGP", 4, &[0, 0x0086_4cfb, 0x008a_d50d]),
    table("CRC-64", "CRC-64 table", 8, &[0, 0xb32e_4cbe_03a7_5f6f]),
    table("DEFLATE", "DEFLATE lengths", 2, &[3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17]),
    table("DEFLATE", "DEFLATE lengths", 4, &[3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17]),
    table("DEFLATE", "DEFLATE distances", 2, &[1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33]),
    table("DEFLATE", "DEFLATE distances", 4, &[1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33]),
    table("DEFLATE", "DEFLATE order of code lengths", 1, &[16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4]),
    table("DEFLATE", "DEFLATE order of code lengths", 2, &[16, 17, 18, 0, 8, 7, 9, 6]),
    table("DEFLATE", "DEFLATE order of code lengths", 4, &[16, 17, 18, 0, 8, 7]),
    table("JPEG", "JPEG zigzag order", 1, &[0, 1, 8, 16, 9, 2, 3, 10, 17, 24]),
    table("JPEG", "JPEG zigzag order", 4, &[0, 1, 8, 16, 9, 2, 3, 10]),
    table("Base64", "Base64 alphabet", 1, &[0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x61, 0x62]),
    table("Base32", "Base32 alphabet", 1, &[0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x32, 0x33]),
];

/// The table that begins at `address`, or that a structure there points to, unless
/// code lies there.
pub(crate) fn at(image: &Image<'_>, address: u64) -> Option<KnownTable> {
    let here = begins_at(image, address).map(|table| table.at(address));
    here.or_else(|| through(image, address))
}

/// Fields of a structure that are looked at for a pointer: programs keep the
/// parameters of a group so, or, as text, those of a curve behind its name.
const FIELDS: u64 = 4;
/// So many may lead to what is no text: farther behind is the next structure.
const FIRST_FIELDS: u64 = 2;

/// The first table that one of the first fields of a structure leads to.
fn through(image: &Image<'_>, address: u64) -> Option<KnownTable> {
    let size = image.arch.pointer_size();
    // Code may begin behind a short field.
    let start = address.checked_next_multiple_of(size)?;
    let end = start.checked_add(FIELDS * size)?;
    // Most of what code refers to lies before all pointers or behind them.
    let (first, last) = image.pointers.first().zip(image.pointers.last()).unzip();
    let filled = first.is_some_and(|p| p.0 < end) && last.is_some_and(|p| p.0 >= start);
    if !filled && !image.absolute {
        return None;
    }
    (0..FIELDS).find_map(|field| {
        let target = image.pointer(start + field * size)?;
        let found = begins_at(image, target)?;
        (found.text || field < FIRST_FIELDS).then(|| found.at(target))
    })
}

/// The table that begins at `address`.
fn begins_at(image: &Image<'_>, address: u64) -> Option<&'static Table> {
    let region = image.region(address).filter(|r| !r.executable)?;
    let bytes = region.data.get((address - region.start) as usize..)?;
    let known = heads(image.arch.is_big_endian());
    let head = *bytes.first_chunk()?;
    let (place, bit) = Heads::mark(&head);
    if known.marks[place] & bit == 0 {
        return None;
    }
    let first = known.heads.partition_point(|known| known.0 < head);
    known.heads[first..]
        .iter()
        .take_while(|known| known.0 == head)
        .map(|&(_, table)| &TABLES[table])
        .find(|table| begins(image.arch, table, bytes))
}

impl Table {
    fn at(&self, address: u64) -> KnownTable {
        KnownTable {
            address,
            name: self.name,
            algorithm: self.algorithm,
        }
    }
}

/// The first eight bytes of a table as they lie in memory, and which it is.
type Head = ([u8; 8], usize);

/// Those of all tables.
struct Heads {
    /// Ascending.
    heads: Vec<Head>,
    /// A bit for what the first bytes are: most of what code refers to is no
    /// table, which these tell at once.
    marks: [u64; 64],
}

impl Heads {
    /// Which bit that is.
    fn mark(head: &[u8; 8]) -> (usize, u64) {
        let first = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        let spread = first.wrapping_mul(0x9e37_79b9) >> 20;
        ((spread / 64) as usize, 1 << (spread % 64))
    }
}

fn heads(big_endian: bool) -> &'static Heads {
    static HEADS: [OnceLock<Heads>; 2] = [OnceLock::new(), OnceLock::new()];
    HEADS[usize::from(big_endian)].get_or_init(|| {
        let mut heads: Vec<_> = TABLES
            .iter()
            .enumerate()
            .map(|(at, table)| (head(table, big_endian), at))
            .collect();
        heads.sort_unstable();
        let mut marks = [0; 64];
        for (head, _) in &heads {
            let (place, bit) = Heads::mark(head);
            marks[place] |= bit;
        }
        Heads { heads, marks }
    })
}

fn head(table: &Table, big_endian: bool) -> [u8; 8] {
    let mut head = [0; 8];
    for (place, &entry) in head.chunks_exact_mut(table.width).zip(table.start) {
        match big_endian {
            true => place.copy_from_slice(&entry.to_be_bytes()[8 - table.width..]),
            false => place.copy_from_slice(&entry.to_le_bytes()[..table.width]),
        }
    }
    head
}

fn begins(arch: Arch, table: &Table, bytes: &[u8]) -> bool {
    let mut entries = bytes.chunks_exact(table.width);
    table.start.iter().all(|&wanted| {
        let entry = entries.next();
        entry.is_some_and(|entry| arch.number(entry) == wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_table_is_told_by_less_than_eight_bytes() {
        for table in TABLES {
            let bytes = table.width * table.start.len();
            assert!(bytes >= 8, "{}: {bytes}", table.name);
            let most = u64::MAX >> (64 - 8 * table.width);
            assert!(
                table.start.iter().all(|&entry| entry <= most),
                "{}",
                table.name
            );
        }
    }

    /// A structure that begins with a number and a name has its text in the third
    /// field; what is no text is farther behind that of the next structure.
    #[test]
    fn a_table_is_known_by_a_structure_that_points_to_it() {
        use crate::image::Region;
        use std::borrow::Cow;
        let region = |start: u64, data: Vec<u8>, executable| Region {
            start,
            end: start + data.len() as u64,
            data: Cow::Owned(data),
            executable,
            writable: start == 0x3000,
            plt: false,
            section: 1,
        };
        let prime = b"FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF\0";
        let field = |address: u64| address.to_le_bytes();
        let structure = [field(32), field(0), field(0x2000), field(0), field(0)].concat();
        let mut image = Image {
            arch: Arch::X86_64,
            regions: vec![
                region(0x1000, vec![0; 0x40], true),
                region(0x2000, prime.to_vec(), false),
                region(0x3000, vec![0; 0x40], false),
            ],
            pointers: vec![(0x3008, 0x1000), (0x3010, 0x2000)],
            ..Image::default()
        };
        let name = |image: &Image<'_>, address| at(image, address).map(|table| table.name);
        let known = Some("prime of the elliptic curve P-256");
        assert_eq!(name(&image, 0x3000), known);
        assert_eq!(name(&image, 0x3010), known);
        assert_eq!(name(&image, 0x3004), known);
        assert_eq!(at(&image, 0x3000), at(&image, 0x2000));
        assert_eq!(name(&image, 0x3018), None);
        assert_eq!(name(&image, u64::MAX - 8), None);
        let bytes = [0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5];
        image.regions[1] = region(0x2000, bytes.to_vec(), false);
        assert_eq!(name(&image, 0x3008), Some("AES S-box"));
        assert_eq!(name(&image, 0x3000), None);
        image.regions[1] = region(0x2000, prime.to_vec(), false);
        // The same where the file has addresses.
        image.pointers.clear();
        image.regions[2] = region(0x3000, structure, false);
        assert_eq!(name(&image, 0x3000), None);
        image.absolute = true;
        assert_eq!(name(&image, 0x3000), known);
        assert_eq!(name(&image, 0x3018), None);
    }

    #[test]
    fn no_table_hides_another() {
        for (at, table) in TABLES.iter().enumerate() {
            let bytes: Vec<u8> = table
                .start
                .iter()
                .flat_map(|entry| entry.to_le_bytes()[..table.width].to_vec())
                .collect();
            let first = TABLES
                .iter()
                .position(|other| begins(Arch::X86_64, other, &bytes));
            assert_eq!(first, Some(at), "{}", table.name);
        }
    }
}
