//! Numbers that tell an algorithm or a file format.

/// A number that few functions hold by accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KnownConstant {
    /// The number, unsigned, as wide as it is used.
    pub value: u64,
    /// What it is: `SHA-256 or BLAKE2s initial state`.
    pub name: &'static str,
    /// The algorithm: `SHA-256`.
    pub algorithm: &'static str,
}

/// Numbers of an algorithm that mean the same.
type Group = (&'static str, &'static str, &'static [u64]);

/// What a processor of 32 bits, or a compiler that fills two fields at once,
/// makes of some is there, too.
#[rustfmt::skip]
const GROUPS: &[Group] = &[
    ("MD5 or SHA-1", "MD5, SHA-1 or RIPEMD initial state", &[
        0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476,
        0xefcd_ab89_6745_2301, 0x1032_5476_98ba_dcfe,
    ]),
    ("MD5", "MD5 round constant", &[0xd76a_a478, 0xf61e_2562, 0xfffa_3942, 0xf429_2244]),
    ("SHA-1", "SHA-1 or RIPEMD initial state", &[0xc3d2_e1f0]),
    ("SHA-1", "SHA-1, RIPEMD or MD4 round constant", &[0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc]),
    ("SHA-1", "SHA-1 round constant", &[0xca62_c1d6]),
    ("RIPEMD", "RIPEMD round constant", &[
        0xa953_fd4e, 0x50a2_8be6, 0x5c4d_d124, 0x6d70_3ef3, 0x7a6d_76e9,
    ]),
    ("SHA-224", "SHA-224 initial state", &[
        0xc105_9ed8, 0x367c_d507, 0x3070_dd17, 0xf70e_5939, 0xffc0_0b31, 0x6858_1511,
        0x64f9_8fa7, 0xbefa_4fa4, 0x367c_d507_c105_9ed8,
    ]),
    ("SHA-256", "SHA-256 or BLAKE2s initial state", &[
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c,
        0x1f83_d9ab, 0x5be0_cd19, 0xbb67_ae85_6a09_e667,
    ]),
    ("SHA-256", "SHA-256 round constant", &[0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf]),
    ("SHA-384", "SHA-384 initial state", &[
        0xcbbb_9d5d_c105_9ed8, 0x629a_292a_367c_d507, 0x9159_015a_3070_dd17,
        0x152f_ecd8_f70e_5939, 0x6733_2667_ffc0_0b31, 0x8eb4_4a87_6858_1511,
        0xdb0c_2e0d_64f9_8fa7, 0x47b5_481d_befa_4fa4, 0xcbbb_9d5d, 0x629a_292a,
    ]),
    ("SHA-512", "SHA-512 or BLAKE2b initial state", &[
        0x6a09_e667_f3bc_c908, 0xbb67_ae85_84ca_a73b, 0x3c6e_f372_fe94_f82b,
        0xa54f_f53a_5f1d_36f1, 0x510e_527f_ade6_82d1, 0x9b05_688c_2b3e_6c1f,
        0x1f83_d9ab_fb41_bd6b, 0x5be0_cd19_137e_2179, 0xf3bc_c908, 0x84ca_a73b,
    ]),
    ("SHA-512", "SHA-512 round constant", &[0x428a_2f98_d728_ae22, 0x7137_4491_23ef_65cd]),
    ("SHA-3", "SHA-3 round constant", &[0x8000_0000_8000_8008]),
    ("SM3", "SM3 initial state", &[0x7380_166f, 0x4914_b2b9, 0x1724_42d7, 0xda8a_0600]),
    ("AES", "AES table", &[0xc663_63a5]),
    ("AES", "AES multiplication", &[0x1b1b_1b1b, 0x1b1b_1b1b_1b1b_1b1b]),
    ("ChaCha20 or Salsa20", "ChaCha20 or Salsa20 constant", &[
        0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574, 0x3120_646e, 0x7962_2d36,
        0x3320_646e_6170_7865, 0x6b20_6574_7962_2d32,
    ]),
    ("Poly1305", "Poly1305 mask", &[
        0x0fff_fffc_0fff_fffc, 0x0fff_fffc_0fff_ffff, 0x03ff_ff03, 0x03ff_c0ff,
        0x03f0_3fff, 0xffc_0fff_ffff, 0xfff_ffc0_ffff, 0xf_ffff_fc0f,
    ]),
    ("GCM", "GCM polynomial", &[0xe100_0000_0000_0000, 0xc200_0000_0000_0000]),
    ("Blowfish", "Blowfish constant (pi)", &[0x243f_6a88]),
    ("Camellia", "Camellia constant", &[0xa09e_667f, 0xa09e_667f_3bcc_908b]),
    ("RC5 or RC6", "RC5 or RC6 constant", &[0xb7e1_5163]),
    ("SM4", "SM4 constant", &[0xa3b1_bac6]),
    ("Curve25519", "Curve25519 constant", &[121_665, 121_666]),
    ("SipHash", "SipHash initial state", &[
        0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261,
        0x7465_6462_7974_6573,
    ]),
    ("CRC-32", "CRC-32 polynomial", &[0xedb8_8320, 0x04c1_1db7]),
    ("CRC-32C", "CRC-32C polynomial", &[0x82f6_3b78]),
    ("CRC-64", "CRC-64 polynomial", &[0xc96c_5795_d787_0f42]),
    ("Adler-32", "Adler-32 modulus, by multiplication", &[0x8007_8071]),
    ("hash table", "golden ratio constant (TEA, hash functions)", &[0x9e37_79b9]),
    ("hash table", "golden ratio constant", &[0x9e37_79b9_7f4a_7c15]),
    ("hash table", "FNV-1 offset", &[0x811c_9dc5, 0xcbf2_9ce4_8422_2325]),
    ("hash table", "FNV-1 prime", &[0x0100_0193, 0x0100_0000_01b3]),
    ("hash table", "MurmurHash3 constant", &[
        0xcc9e_2d51, 0x1b87_3593, 0xe654_6b64, 0x85eb_ca6b, 0xc2b2_ae35,
        0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53,
    ]),
    ("hash table", "MurmurHash2 constant", &[0x5bd1_e995]),
    ("hash table", "xxHash prime", &[
        0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1,
        0x9e37_79b1_85eb_ca87, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9,
        0x85eb_ca77_c2b2_ae63, 0x27d4_eb2f_1656_67c5,
    ]),
    ("random", "linear congruential generator", &[0x41c6_4e6d, 0x5851_f42d_4c95_7f2d]),
    ("random", "Mersenne Twister constant", &[0x6c07_8965, 0x9908_b0df, 0x9d2c_5680]),
    ("compression", "ZIP signature", &[0x0403_4b50, 0x0201_4b50, 0x0605_4b50]),
    ("compression", "Zstandard signature", &[0xfd2f_b528]),
    ("compression", "LZ4 signature", &[0x184d_2204]),
    ("image", "PNG signature", &[0x474e_5089]),
    ("time", "seconds of a day", &[86_400]),
    ("time", "nanoseconds of a second", &[1_000_000_000]),
    ("time", "Windows time of the Unix epoch", &[0x019d_b1de_d53e_8000]),
];

/// What is known of a number. One of 32 bits may have been extended by its sign
/// into an operand of 64.
///
/// ```
/// let known = binscribe_lift::known_constant(0xffff_ffff_edb8_8320);
/// assert_eq!(known.map(|k| (k.value, k.name)), Some((0xedb8_8320, "CRC-32 polynomial")));
/// assert!(binscribe_lift::known_constant(0x1_edb8_8320).is_none());
/// ```
pub fn known_constant(value: u64) -> Option<KnownConstant> {
    let narrow = value as u32;
    let extended = narrow as i32 as i64 as u64 == value;
    let value = if extended { narrow.into() } else { value };
    let &(algorithm, name, _) = GROUPS.iter().find(|group| group.2.contains(&value))?;
    Some(KnownConstant {
        value,
        name,
        algorithm,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_has_two_meanings() {
        let mut all: Vec<u64> = GROUPS.iter().flat_map(|group| group.2.to_vec()).collect();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
