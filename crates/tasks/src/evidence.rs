//! What the instructions themselves say, without a model: which imports a
//! function calls, and which constants of well-known algorithms it holds.

use std::collections::BTreeMap;

use binscribe_lift::{Facts, known_constant};

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
        .filter_map(|table| {
            Some(Fact {
                tag: tag_of(table.algorithm)?,
                why: format!("{} at {:#x}", table.name, table.address),
            })
        })
        .collect()
}

/// The well-known constants that a function holds, once for each meaning.
pub(crate) fn constants(facts: &Facts) -> Vec<Fact> {
    let mut found: Vec<Fact> = Vec::new();
    for known in facts.constants.iter().copied().filter_map(known_constant) {
        if let Some(tag) = tag_of(known.algorithm)
            && !found.iter().any(|fact| fact.why.starts_with(known.name))
        {
            found.push(Fact {
                tag,
                why: format!("{} {:#x}", known.name, known.value),
            });
        }
    }
    found
}

/// The tag of a well-known algorithm, if it is worth one.
fn tag_of(algorithm: &str) -> Option<&'static str> {
    Some(match algorithm {
        "AES"
        | "DES"
        | "Blowfish"
        | "Twofish"
        | "CAST-128"
        | "Camellia"
        | "SM4"
        | "SEED"
        | "RC2"
        | "RC5 or RC6"
        | "ChaCha20 or Salsa20" => "cipher",
        "CRC-16" | "CRC-24" | "CRC-32" | "CRC-32C" | "CRC-64" | "Adler-32" => "checksum",
        "DEFLATE" | "compression" => "compression",
        "JPEG" | "image" => "image",
        "Poly1305" | "GCM" | "SipHash" => "mac",
        "P-224" | "P-256" | "P-384" | "P-521" | "secp256k1" | "Curve25519" | "Diffie-Hellman"
        | "RSA" => "public-key",
        "big number" => "big-number",
        "Base32" | "Base64" => "base64",
        "hash table" => "hash-table",
        "random" => "random",
        "time" => return None,
        _ => "hash",
    })
}

/// What the comments of a listing say of well-known tables and constants, for
/// where there is no more of a function than its listing.
pub(crate) fn known_in_listing(listing: &str) -> Vec<&str> {
    let comments = listing.lines().filter_map(|line| line.rsplit_once("; "));
    comments
        .map(|(_, comment)| comment)
        .filter(|comment| !comment.ends_with('"'))
        .collect()
}
