//! What functions are, by rules over where they stand: the labels that
//! classification is measured against.

use std::path::Path;

use crate::error::Error;
use crate::sample::Sample;
use crate::text;

/// The rules of crypto identification: file and function names that say which
/// algorithm is implemented.
const CRYPTO: &str = include_str!("crypto.tsv");

/// Rules, of which the first that fits a function gives its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    package: Pattern,
    file: Pattern,
    name: Pattern,
    /// None where the rule says that there is no label.
    label: Option<String>,
}

/// Alternatives in each of which `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(Vec<String>);

impl Pattern {
    fn new(text: &str) -> Pattern {
        Pattern(text.to_lowercase().split('|').map(str::to_owned).collect())
    }

    fn fits(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.0.iter().any(|pattern| matches(pattern, &text))
    }
}

/// Whether `text` is `pattern`, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

impl Rules {
    /// Those of crypto identification, for packages of that category.
    pub fn crypto() -> Rules {
        // The table is part of the program, and a test reads it.
        Rules::parse(CRYPTO, Path::new("crypto.tsv")).unwrap_or(Rules(Vec::new()))
    }

    /// Reads lines of four columns with tabs between them: package, file,
    /// function and label; `#` begins a line that says nothing.
    ///
    /// # Errors
    ///
    /// Where a line has another form, or there is none; `path` is named then.
    pub fn parse(text: &str, path: &Path) -> Result<Rules, Error> {
        let wrong = |line: usize, reason: String| Error::Labels {
            path: path.to_owned(),
            line,
            reason,
        };
        let mut rules = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let columns: Vec<&str> = line.split('\t').map(str::trim).collect();
            let [package, file, name, label] = columns[..] else {
                return Err(wrong(number + 1, format!("it has {}", columns.len())));
            };
            if label.is_empty() {
                return Err(wrong(number + 1, "the label is empty".to_owned()));
            }
            rules.push(Rule {
                package: Pattern::new(package),
                file: Pattern::new(file),
                name: Pattern::new(name),
                label: (label != "-").then(|| label.to_owned()),
            });
        }
        if rules.is_empty() {
            return Err(wrong(1, "there is no line".to_owned()));
        }
        Ok(Rules(rules))
    }

    /// The label of a function, if it has one.
    pub fn label(&self, sample: &Sample) -> Option<&str> {
        let file = format!("/{}", sample.file);
        let fits = |rule: &&Rule| {
            rule.package.fits(&sample.package)
                && rule.file.fits(&file)
                && rule.name.fits(&sample.name)
        };
        self.0.iter().find(fits)?.label.as_deref()
    }
}

/// The label of a function of a package that implements `protocols`: the only
/// one there is; else the one that the names of its file and its own say, if
/// they say one.
pub fn protocol<'p>(sample: &Sample, protocols: &'p [String]) -> Option<&'p str> {
    if let [only] = protocols {
        return Some(only);
    }
    let mut words = text::words(&sample.file);
    words.extend(text::words(&sample.name));
    let mut said = protocols.iter().filter(|protocol| words.contains(protocol));
    let first = said.next()?;
    said.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(package: &str, file: &str, name: &str) -> Sample {
        Sample {
            package: package.to_owned(),
            file: file.to_owned(),
            name: name.to_owned(),
            ..Sample::default()
        }
    }

    #[test]
    fn stars_stand_for_anything() {
        let check = |pattern: &str, text: &str| matches(pattern, text);
        assert!(check("*", "") && check("a*c", "abc") && check("a*b*c", "a-b-b-c"));
        assert!(check("*/des.c", "/src/des.c") && check("ab", "ab"));
        assert!(!check("*/des.c", "/src/modes.c") && !check("a*c", "ab") && !check("ab*b", "ab"));
    }

    #[test]
    fn algorithms_of_real_packages() {
        let rules = Rules::crypto();
        let check = |package: &str, file: &str, name: &str, label: Option<&str>| {
            assert_eq!(
                rules.label(&sample(package, file, name)),
                label,
                "{file} {name}"
            );
        };
        check(
            "mbedtls",
            "library/aes.c",
            "mbedtls_aes_setkey_enc",
            Some("AES"),
        );
        check("libgcrypt20", "cipher/rijndael.c", "do_setkey", Some("AES"));
        check(
            "mbedtls",
            "library/arc4.c",
            "mbedtls_arc4_crypt",
            Some("RC4"),
        );
        check(
            "libtomcrypt",
            "src/hashes/sha2/sha256.c",
            "s_sha256_compress",
            Some("SHA-256"),
        );
        check(
            "bearssl",
            "src/int/i31_montmul.c",
            "br_i31_montymul",
            Some("big number"),
        );
        check(
            "mbedtls",
            "library/ecp_curves.c",
            "ecp_mod_p256",
            Some("elliptic curve"),
        );
        check(
            "mbedtls",
            "library/md.c",
            "mbedtls_md_hmac_starts",
            Some("HMAC"),
        );
        check("nettle", "des.c", "DesSmallFipsEncrypt", Some("DES"));
        // What only manages a context, modes, random generators, other files.
        check("mbedtls", "library/aes.c", "mbedtls_aes_free", None);
        check("mbedtls", "library/md5.c", "mbedtls_md5_init", None);
        check("libtomcrypt", "src/hashes/md5.c", "md5_init", Some("MD5"));
        check("mbedtls", "library/aes.c", "mbedtls_aes_crypt_cbc", None);
        check(
            "mbedtls",
            "library/hmac_drbg.c",
            "hmac_drbg_reseed_core",
            None,
        );
        check("mbedtls", "library/ssl_cli.c", "ssl_parse_hello", None);
    }

    #[test]
    fn other_labels_are_read_and_wrong_lines_named() {
        let path = Path::new("mine.tsv");
        let rules = Rules::parse("# mine\nz*\t*\tcrc*\tCRC\n", path).expect("rules");
        assert_eq!(
            rules.label(&sample("zlib", "crc32.c", "CRC32_z")),
            Some("CRC")
        );
        assert_eq!(rules.label(&sample("curl", "crc32.c", "crc32")), None);
        let said = Rules::parse("a\tb\tc\td\na\tb\n", path)
            .expect_err("wrong")
            .to_string();
        assert!(
            said.contains("mine.tsv:2") && said.contains("tabs"),
            "{said}"
        );
        assert!(Rules::parse("# nothing\n", path).is_err());
        assert!(Rules::parse("a\tb\tc\t\n", path).is_err());
    }

    #[test]
    fn protocols_of_a_package_with_several() {
        let all = ["dns".to_owned(), "http".to_owned()];
        let label = |file: &str, name: &str, all: &'_ [String]| {
            protocol(&sample("lwip", file, name), all).map(str::to_owned)
        };
        assert_eq!(
            label("src/core/dns.c", "send", &all).as_deref(),
            Some("dns")
        );
        assert_eq!(label("src/core/mem.c", "alloc", &all), None);
        assert_eq!(label("src/dns.c", "http_lookup", &all), None);
        assert_eq!(
            label("src/core/mem.c", "alloc", &all[..1]).as_deref(),
            Some("dns")
        );
    }
}
