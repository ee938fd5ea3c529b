//! What the instructions themselves say, without a model: which imports a
//! function calls, and which constants of well-known algorithms it holds.

use std::collections::BTreeMap;

use binscribe_lift::Facts;

/// A tag with the fact that it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The tag.
    pub tag: &'static str,
    /// Why: `calls socket, connect`, or `MD5 or SHA-1 initial value 0x67452301`.
    pub why: String,
}

/// Imports by what they are used for: tag, what a function does that calls
/// them, and their names. A `*` at the end stands for any ending.
const IMPORTS: &[(&str, &str, &[&str])] = &[
    (
        "network",
        "talks over the network",
        &[
            "socket",
            "connect",
            "bind",
            "listen",
            "accept",
            "accept4",
            "send",
            "sendto",
            "sendmsg",
            "recv",
            "recvfrom",
            "recvmsg",
            "setsockopt",
            "getsockopt",
            "shutdown",
            "socketpair",
            "getpeername",
            "getsockname",
            "inet_*",
            "htons",
            "ntohs",
        ],
    ),
    (
        "dns",
        "resolves host names",
        &[
            "getaddrinfo",
            "gethostby*",
            "getnameinfo",
            "res_*",
            "__res_*",
            "freeaddrinfo",
        ],
    ),
    ("tls", "speaks TLS", &["SSL_*", "gnutls_*", "TLS_*"]),
    (
        "process",
        "starts other programs",
        &[
            "fork",
            "vfork",
            "exec*",
            "posix_spawn*",
            "system",
            "popen",
            "waitpid",
            "wait",
            "wait4",
            "kill",
        ],
    ),
    (
        "threads",
        "works with threads or locks",
        &["pthread_*", "sem_*", "mtx_*", "thrd_*"],
    ),
    (
        "signals",
        "handles signals",
        &[
            "signal",
            "sigaction",
            "sigprocmask",
            "sigemptyset",
            "sigaddset",
            "raise",
        ],
    ),
    (
        "directory",
        "walks directories",
        &[
            "opendir",
            "fdopendir",
            "readdir*",
            "closedir",
            "scandir*",
            "mkdir*",
            "rmdir",
            "fts_*",
            "nftw",
            "chdir",
            "fchdir",
        ],
    ),
    (
        "file-metadata",
        "looks at or changes file attributes",
        &[
            "stat",
            "stat64",
            "lstat",
            "lstat64",
            "fstat",
            "fstat64",
            "fstatat*",
            "__xstat*",
            "__lxstat*",
            "__fxstat*",
            "statx",
            "chmod",
            "fchmod*",
            "chown",
            "lchown",
            "fchown*",
            "utime*",
            "futimens",
            "access",
            "faccessat",
            "umask",
            "getxattr",
            "setxattr",
            "acl_*",
        ],
    ),
    (
        "copy-file",
        "moves, links or removes files",
        &[
            "rename*",
            "unlink*",
            "link",
            "linkat",
            "symlink*",
            "remove",
            "readlink*",
        ],
    ),
    (
        "file-io",
        "reads or writes files",
        &[
            "open",
            "open64",
            "openat*",
            "creat",
            "read",
            "pread*",
            "write",
            "pwrite*",
            "lseek*",
            "fopen*",
            "fdopen",
            "freopen*",
            "fclose",
            "fread*",
            "fwrite*",
            "fgets*",
            "fgetc",
            "getc",
            "fseek*",
            "ftell*",
            "getline",
            "getdelim",
            "fflush*",
            "ftruncate*",
            "mmap*",
            "munmap",
            "fsync",
            "fputs*",
            "fputc",
            "putc",
            "__overflow",
            "__uflow",
            "putc_unlocked",
            "getc_unlocked",
        ],
    ),
    (
        "format-output",
        "formats text",
        &[
            "printf",
            "__printf_chk",
            "fprintf",
            "__fprintf_chk",
            "sprintf",
            "__sprintf_chk",
            "snprintf",
            "__snprintf_chk",
            "vprintf",
            "vfprintf",
            "__vfprintf_chk",
            "vsnprintf",
            "__vsnprintf_chk",
            "asprintf",
            "__asprintf_chk",
            "vasprintf",
            "puts",
            "putchar",
        ],
    ),
    (
        "error-report",
        "reports errors",
        &[
            "error",
            "error_at_line",
            "perror",
            "strerror*",
            "__xpg_strerror_r",
            "err",
            "errx",
            "warn",
            "warnx",
            "syslog",
            "__syslog_chk",
            "vsyslog",
        ],
    ),
    (
        "memory-allocation",
        "allocates memory",
        &[
            "malloc",
            "calloc",
            "realloc",
            "reallocarray",
            "memalign",
            "posix_memalign",
            "aligned_alloc",
            "strdup",
            "strndup",
        ],
    ),
    ("cleanup", "frees memory", &["free"]),
    (
        "string",
        "handles strings",
        &[
            "strlen",
            "strnlen",
            "strcmp",
            "strncmp",
            "strcasecmp",
            "strncasecmp",
            "strcpy",
            "__strcpy_chk",
            "strncpy",
            "stpcpy",
            "strcat",
            "__strcat_chk",
            "strchr",
            "strrchr",
            "strstr",
            "strpbrk",
            "strspn",
            "strcspn",
            "strtok*",
            "memchr",
            "memrchr",
            "rawmemchr",
        ],
    ),
    (
        "number-parsing",
        "reads numbers from text",
        &[
            "strtol*",
            "strtoul*",
            "strtod*",
            "strtoimax",
            "strtoumax",
            "__isoc99_sscanf",
            "__isoc99_fscanf",
            "__isoc23_*",
            "sscanf",
            "atoi",
            "atol",
            "atof",
        ],
    ),
    (
        "options",
        "parses command-line options",
        &["getopt*", "argp_*"],
    ),
    (
        "date-time",
        "handles dates and times",
        &[
            "time",
            "gettimeofday",
            "clock_gettime",
            "localtime*",
            "gmtime*",
            "mktime*",
            "strftime*",
            "nanosleep",
            "tzset",
            "ctime*",
            "asctime*",
            "timegm",
        ],
    ),
    (
        "locale",
        "handles locales or translations",
        &[
            "setlocale",
            "gettext",
            "dcgettext",
            "dgettext",
            "ngettext",
            "dcngettext",
            "bindtextdomain",
            "textdomain",
            "nl_langinfo",
            "localeconv",
            "strcoll",
        ],
    ),
    (
        "character-encoding",
        "converts characters",
        &[
            "mbrtowc",
            "mbtowc",
            "wcrtomb",
            "mbstowcs",
            "wcstombs",
            "mbsinit",
            "iconv*",
            "mbrtoc32",
            "wcwidth",
            "btowc",
            "mbsrtowcs",
            "iswprint",
            "iswalnum",
        ],
    ),
    (
        "environment",
        "asks about the environment or users",
        &[
            "getenv",
            "secure_getenv",
            "setenv",
            "putenv",
            "unsetenv",
            "getpw*",
            "getgr*",
            "getuid",
            "geteuid",
            "getgid",
            "getegid",
            "getgroups",
            "getlogin",
            "uname",
            "gethostname",
            "sysconf",
        ],
    ),
    (
        "terminal",
        "controls a terminal",
        &[
            "isatty",
            "ioctl",
            "tcgetattr",
            "tcsetattr",
            "ttyname*",
            "tgetent",
            "tgetstr",
            "tgoto",
            "tputs",
            "initscr",
            "wrefresh",
        ],
    ),
    (
        "random",
        "draws random numbers",
        &[
            "rand",
            "random",
            "srand*",
            "srandom",
            "getrandom",
            "arc4random*",
            "getentropy",
            "drand48",
            "lrand48",
        ],
    ),
    ("sorting", "sorts", &["qsort*"]),
    (
        "searching",
        "searches",
        &["bsearch", "lfind", "tsearch", "tfind", "hsearch*"],
    ),
    (
        "regex",
        "matches patterns",
        &[
            "regcomp",
            "regexec",
            "regerror",
            "regfree",
            "re_search*",
            "re_match*",
            "re_compile*",
            "fnmatch",
            "glob",
            "pcre*",
        ],
    ),
    (
        "compression",
        "compresses or decompresses",
        &[
            "deflate*",
            "inflate*",
            "compress*",
            "uncompress*",
            "gz*",
            "lzma_*",
            "BZ2_*",
            "ZSTD_*",
            "LZ4_*",
        ],
    ),
    ("checksum", "computes checksums", &["crc32*", "adler32*"]),
    (
        "hash",
        "computes hashes",
        &[
            "MD5*",
            "SHA1*",
            "SHA2*",
            "SHA5*",
            "EVP_Digest*",
            "EVP_MD*",
            "gcry_md_*",
        ],
    ),
    (
        "cipher",
        "encrypts or decrypts",
        &[
            "EVP_Encrypt*",
            "EVP_Decrypt*",
            "EVP_Cipher*",
            "AES_*",
            "DES_*",
            "gcry_cipher_*",
            "crypt",
            "crypt_r",
        ],
    ),
    (
        "big-number",
        "computes with big numbers",
        &["__gmp*", "BN_*", "gcry_mpi_*"],
    ),
    (
        "database",
        "uses a database",
        &["sqlite3_*", "PQ*", "mysql_*", "gdbm_*", "db_*"],
    ),
    ("xml", "handles XML", &["xml*", "html*", "XML_*"]),
    (
        "math",
        "computes in floating point",
        &[
            "sqrt*", "pow", "powl", "exp", "exp2", "log", "log10", "log2", "sin", "cos", "tan",
            "atan*", "floor*", "ceil*", "fmod*", "ldexp*", "frexp*",
        ],
    ),
];

/// Constants that few functions hold by accident.
const CONSTANTS: &[(u64, &str, &str)] = &[
    (0x6745_2301, "hash", "MD5 or SHA-1 initial value"),
    (0xefcd_ab89, "hash", "MD5 or SHA-1 initial value"),
    (0xefcd_ab89_6745_2301, "hash", "MD5 or SHA-1 initial value"),
    (0x1032_5476_98ba_dcfe, "hash", "MD5 or SHA-1 initial value"),
    (0xc3d2_e1f0, "hash", "SHA-1 initial value"),
    (0xd76a_a478, "hash", "MD5 round constant"),
    (0x5a82_7999, "hash", "SHA-1 round constant"),
    (0x6ed9_eba1, "hash", "SHA-1 round constant"),
    (0x6a09_e667, "hash", "SHA-256 initial value"),
    (0xbb67_ae85, "hash", "SHA-256 initial value"),
    (0xbb67_ae85_6a09_e667, "hash", "SHA-256 initial value"),
    (0xc105_9ed8, "hash", "SHA-224 initial value"),
    (0x428a_2f98, "hash", "SHA-256 round constant"),
    (
        0x6a09_e667_f3bc_c908,
        "hash",
        "SHA-512 or BLAKE2b initial value",
    ),
    (0xcbbb_9d5d_c105_9ed8, "hash", "SHA-384 initial value"),
    (0x428a_2f98_d728_ae22, "hash", "SHA-512 round constant"),
    (0x8000_0000_8000_8008, "hash", "SHA-3 round constant"),
    (0x50a2_8be6, "hash", "RIPEMD round constant"),
    (0x5c4d_d124, "hash", "RIPEMD round constant"),
    (0x7380_166f, "hash", "SM3 initial value"),
    (0xc663_63a5, "cipher", "AES table"),
    (0x6170_7865, "cipher", "ChaCha20 or Salsa20 constant"),
    (0x6b20_6574, "cipher", "ChaCha20 or Salsa20 constant"),
    (
        0x3320_646e_6170_7865,
        "cipher",
        "ChaCha20 or Salsa20 constant",
    ),
    (0x243f_6a88, "cipher", "Blowfish constant (pi)"),
    (0xa09e_667f, "cipher", "Camellia constant"),
    (0xa09e_667f_3bcc_908b, "cipher", "Camellia constant"),
    (0xb7e1_5163, "cipher", "RC5 or RC6 constant"),
    (0xa3b1_bac6, "cipher", "SM4 constant"),
    (0x0fff_fffc_0fff_fffc, "mac", "Poly1305 mask"),
    (0x0fff_fffc_0fff_ffff, "mac", "Poly1305 mask"),
    (0x736f_6d65_7073_6575, "hash", "SipHash constant"),
    (0xedb8_8320, "checksum", "CRC-32 polynomial"),
    (0x04c1_1db7, "checksum", "CRC-32 polynomial"),
    (0x82f6_3b78, "checksum", "CRC-32C polynomial"),
    (0xc96c_5795_d787_0f42, "checksum", "CRC-64 polynomial"),
    (
        0x8007_8071,
        "checksum",
        "Adler-32 modulus, by multiplication",
    ),
    (
        0x9e37_79b9,
        "hash-table",
        "golden ratio constant (TEA, hash functions)",
    ),
    (0x9e37_79b9_7f4a_7c15, "hash-table", "golden ratio constant"),
    (0x811c_9dc5, "hash-table", "FNV-1 offset"),
    (0x0100_0193, "hash-table", "FNV-1 prime"),
    (0xcbf2_9ce4_8422_2325, "hash-table", "FNV-1 offset"),
    (0x0100_0000_01b3, "hash-table", "FNV-1 prime"),
    (0xcc9e_2d51, "hash-table", "MurmurHash3 constant"),
    (0x5bd1_e995, "hash-table", "MurmurHash2 constant"),
    (0x9e37_79b1, "hash-table", "xxHash prime"),
    (0x85eb_ca77, "hash-table", "xxHash prime"),
    (0x41c6_4e6d, "random", "linear congruential generator"),
    (
        0x5851_f42d_4c95_7f2d,
        "random",
        "linear congruential generator",
    ),
    (0x6c07_8965, "random", "Mersenne Twister constant"),
    (0x9908_b0df, "random", "Mersenne Twister constant"),
    (0x0403_4b50, "compression", "ZIP signature"),
    (0xfd2f_b528, "compression", "Zstandard signature"),
    (0x184d_2204, "compression", "LZ4 signature"),
    (0x474e_5089, "image", "PNG signature"),
];

/// How many names of one kind are listed.
const NAMED: usize = 4;

fn fits(name: &str, patterns: &[&str]) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *pattern,
        })
}

/// A name as it was imported, without its version (`free@GLIBC_2.2.5`).
fn plain(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

/// One kind of thing that a function does, by the imports it calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) tag: &'static str,
    pub(crate) phrase: &'static str,
    pub(crate) names: Vec<String>,
}

/// What a function does by the imports it calls, in the order of the table;
/// each import once.
pub(crate) fn actions(facts: &Facts) -> Vec<Action> {
    let mut by_kind: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for call in facts.calls.iter().filter(|call| call.import) {
        let name = plain(&call.name);
        if let Some(kind) = IMPORTS.iter().position(|(_, _, names)| fits(name, names)) {
            let names = by_kind.entry(kind).or_default();
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    }
    by_kind
        .into_iter()
        .map(|(kind, names)| Action {
            tag: IMPORTS[kind].0,
            phrase: IMPORTS[kind].1,
            names,
        })
        .collect()
}

/// The tags that a function's own instructions prove, each with its reason.
pub fn facts(facts: &Facts) -> Vec<Fact> {
    let mut found: Vec<Fact> = actions(facts)
        .into_iter()
        .map(|action| {
            let more = action.names.len().saturating_sub(NAMED);
            let mut why = format!(
                "calls {}",
                action.names[..action.names.len() - more].join(", ")
            );
            if more > 0 {
                why.push_str(&format!(" and {more} more"));
            }
            Fact {
                tag: action.tag,
                why,
            }
        })
        .collect();
    found.extend(constants(facts));
    found.extend(tables(facts));
    found
}

/// The tables of well-known algorithms that a function uses.
pub(crate) fn tables(facts: &Facts) -> Vec<Fact> {
    facts
        .tables
        .iter()
        .map(|table| Fact {
            tag: match table.algorithm {
                "AES"
                | "DES"
                | "Blowfish"
                | "Twofish"
                | "CAST-128"
                | "Camellia"
                | "SM4"
                | "SEED"
                | "RC2"
                | "ChaCha20 or Salsa20" => "cipher",
                "CRC-16" | "CRC-24" | "CRC-32" | "CRC-32C" | "CRC-64" => "checksum",
                "DEFLATE" => "compression",
                "JPEG" => "image",
                "SipHash" => "mac",
                "P-256" => "public-key",
                "Base32" | "Base64" => "base64",
                _ => "hash",
            },
            why: format!("{} at {:#x}", table.name, table.address),
        })
        .collect()
}

/// The well-known constants that a function holds, once for each meaning.
pub(crate) fn constants(facts: &Facts) -> Vec<Fact> {
    meanings(&facts.constants)
}

/// The meanings of the well-known constants among the numbers of a listing, for
/// where there is no more of a function than that.
pub(crate) fn constants_of_listing(listing: &str) -> Vec<String> {
    let words = listing.split(|c: char| !c.is_alphanumeric());
    let number = |word: &str| {
        let digits = word.strip_suffix('h')?;
        let begins = digits.starts_with(|c: char| c.is_ascii_digit());
        begins
            .then(|| u64::from_str_radix(digits, 16).ok())
            .flatten()
    };
    let numbers: Vec<u64> = words.filter_map(number).collect();
    let facts = meanings(&numbers).into_iter();
    facts.map(|fact| fact.why).collect()
}

fn meanings(constants: &[u64]) -> Vec<Fact> {
    let mut found: Vec<Fact> = Vec::new();
    for &(value, tag, meaning) in CONSTANTS {
        // A 32-bit constant may have been sign-extended into a 64-bit operand.
        let extended = value as u32 as i32 as i64 as u64;
        let held = constants
            .iter()
            .any(|&constant| constant == value || (value >> 32 == 0 && constant == extended));
        if held && !found.iter().any(|fact| fact.why.starts_with(meaning)) {
            found.push(Fact {
                tag,
                why: format!("{meaning} {value:#x}"),
            });
        }
    }
    found
}
