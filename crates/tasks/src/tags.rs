//! Zero-shot tags: short descriptions that a function is compared with.
//!
//! A raw cosine means little by itself: some descriptions are near to
//! everything. So each is measured against its own background, its cosines with
//! the whole reference set, and the score is how many standard deviations a
//! function lies above that.

use crate::compact::Compact;
use crate::matrix::Matrix;
use crate::text;

/// A tag: what it is called, what a function that deserves it is described as,
/// and the words by which a comment or a name shows that it does (used to
/// calibrate and to measure, never to answer).
#[derive(Debug, Clone, Copy)]
pub struct Tag {
    /// What it is called.
    pub name: &'static str,
    /// English that describes such a function, as its author might.
    pub prompts: &'static [&'static str],
    /// Words of a comment or a name; one is enough. A `*` at the end stands for
    /// any ending.
    pub words: &'static [&'static str],
}

const fn tag(
    name: &'static str,
    prompts: &'static [&'static str],
    words: &'static [&'static str],
) -> Tag {
    Tag {
        name,
        prompts,
        words,
    }
}

/// The tags that every function is compared with.
pub const TAGS: &[Tag] = &[
    tag(
        "hash",
        &[
            "Compute a cryptographic hash, a message digest such as MD5 or SHA-256",
            "Process a block of data for the hash state",
        ],
        &[
            "sha*",
            "md4",
            "md5",
            "digest",
            "hash",
            "ripemd*",
            "rmd*",
            "whirlpool",
            "keccak*",
            "blake*",
        ],
    ),
    tag(
        "cipher",
        &[
            "Encrypt or decrypt a block of data with a symmetric cipher such as AES or DES",
            "Set up the key schedule of a block cipher",
        ],
        &[
            "encrypt*", "decrypt*", "cipher*", "aes", "des", "rijndael", "blowfish", "twofish",
            "chacha*", "rc4", "ecb", "cbc", "ctr", "gcm",
        ],
    ),
    tag(
        "mac",
        &["Compute a message authentication code, HMAC or CMAC"],
        &["hmac", "mac", "cmac", "omac", "poly1305", "pmac"],
    ),
    tag(
        "public-key",
        &[
            "Public key cryptography: RSA or elliptic curve signature, key exchange",
            "Sign or verify a signature with a private or public key",
        ],
        &[
            "rsa",
            "dsa",
            "ecc",
            "ecdsa",
            "ecdh",
            "signature",
            "curve",
            "dh",
            "ecp",
            "x509",
        ],
    ),
    tag(
        "big-number",
        &[
            "Multi-precision arithmetic on big integers",
            "Modular exponentiation of large numbers",
        ],
        &[
            "bignum",
            "mpi",
            "mp",
            "montgomery",
            "bigint",
            "multiprecision",
            "exptmod",
        ],
    ),
    tag(
        "random",
        &[
            "Generate random numbers",
            "Seed the pseudo random number generator",
        ],
        &["random*", "rand", "prng", "entropy", "seed", "nonce"],
    ),
    tag(
        "compression",
        &[
            "Compress data with deflate or LZ",
            "Decompress a stream of compressed data",
            "Huffman coding of literals and matches",
        ],
        &[
            "compress*",
            "decompress*",
            "deflate*",
            "inflate*",
            "huffman",
            "lzma*",
            "lz",
            "gzip",
            "unpack",
        ],
    ),
    tag(
        "checksum",
        &["Compute a checksum such as CRC32 or Adler-32 of a buffer"],
        &["crc*", "checksum*", "adler*"],
    ),
    tag(
        "string",
        &[
            "Copy, concatenate or compare character strings",
            "Find a substring or a character in a string",
        ],
        &["string*", "str*", "substring", "concat*"],
    ),
    tag(
        "format-output",
        &[
            "Format output like printf",
            "Append formatted text to a buffer",
        ],
        &["printf*", "format*", "vprintf*", "snprintf*", "sprintf*"],
    ),
    tag(
        "number-parsing",
        &[
            "Convert a string to a number",
            "Parse a decimal or hexadecimal integer from text",
        ],
        &["strto*", "atoi", "integer", "xstrto*", "number"],
    ),
    tag(
        "parser",
        &[
            "Parse the input according to a grammar",
            "Read the next token from the input",
        ],
        &["pars*", "token*", "lexer", "grammar", "syntax"],
    ),
    tag(
        "json",
        &["Parse or write JSON: objects, arrays and values"],
        &["json"],
    ),
    tag(
        "xml",
        &[
            "Parse an XML or HTML document: elements, attributes, namespaces",
            "Handle a node of the XML tree",
        ],
        &["xml*", "html*", "sax*", "xpath*", "dtd", "element"],
    ),
    tag(
        "url",
        &["Parse a URL or URI: scheme, host, port, path and query"],
        &["url*", "uri*"],
    ),
    tag(
        "http",
        &[
            "Handle an HTTP request or response: headers, status line, body",
            "Parse HTTP headers",
        ],
        &["http*", "header*", "cookie*"],
    ),
    tag(
        "tls",
        &[
            "Perform the TLS or SSL handshake",
            "Verify a certificate of the peer",
        ],
        &["tls", "ssl", "handshake", "certificate*", "x509"],
    ),
    tag(
        "dns",
        &["Resolve a host name: DNS query and reply, resource records"],
        &["dns", "resolv*", "hostname", "nameserver*", "addrinfo"],
    ),
    tag(
        "network",
        &[
            "Open a network socket, connect, send and receive data",
            "Accept a connection from a client",
        ],
        &[
            "socket*",
            "connect*",
            "recv*",
            "network",
            "tcp",
            "udp",
            "sockaddr*",
        ],
    ),
    tag(
        "file-io",
        &[
            "Open a file and read or write its contents",
            "Close the file descriptor or stream",
        ],
        &["file*", "fopen", "fread", "fwrite", "fd", "fclose"],
    ),
    tag(
        "directory",
        &[
            "Walk a directory tree and visit each file",
            "Read the entries of a directory",
        ],
        &["director*", "dir", "readdir", "opendir", "fts", "mkdir"],
    ),
    tag(
        "path",
        &["Handle a file name: base name, directory name, extension, canonical path"],
        &["path*", "basename", "dirname", "filename*"],
    ),
    tag(
        "file-metadata",
        &["Get or set the permissions, owner, size or times of a file"],
        &[
            "stat",
            "permission*",
            "chmod",
            "chown",
            "utime*",
            "mode",
            "inode",
            "acl",
        ],
    ),
    tag(
        "memory-allocation",
        &[
            "Allocate memory, and fail if there is none left",
            "Grow a dynamically allocated array",
        ],
        &[
            "alloc*", "malloc*", "xmalloc*", "realloc*", "calloc*", "memory",
        ],
    ),
    tag(
        "cleanup",
        &[
            "Free all memory that belongs to the structure",
            "Release resources and close",
        ],
        &[
            "free*", "destroy*", "cleanup", "release*", "dispose*", "finalize",
        ],
    ),
    tag(
        "initialisation",
        &[
            "Initialize the structure with default values",
            "Create a new object and set its fields",
        ],
        &["init*", "setup", "initialise*", "create*", "new"],
    ),
    tag(
        "sorting",
        &["Sort an array of elements", "Merge two sorted sequences"],
        &["sort*", "qsort", "mergesort", "heapsort"],
    ),
    tag(
        "comparison",
        &["Compare two elements and return less than, equal or greater than zero"],
        &["compar*", "cmp", "strcmp", "memcmp", "equal"],
    ),
    tag(
        "searching",
        &[
            "Search a table for an entry, binary search",
            "Look up an item by its key",
        ],
        &["search*", "lookup", "find", "bsearch"],
    ),
    tag(
        "hash-table",
        &[
            "Insert or look up an entry in a hash table",
            "Grow the hash table and rehash all entries",
        ],
        &["hashtable", "hash_*", "bucket*", "rehash"],
    ),
    tag(
        "list",
        &["Insert or remove an element of a linked list"],
        &["list", "linked", "append", "prepend", "queue"],
    ),
    tag(
        "tree",
        &[
            "Insert, delete or balance a node of a binary tree",
            "Walk the nodes of the tree",
        ],
        &["tree", "btree", "avl", "rbtree", "node", "subtree"],
    ),
    tag(
        "usage-text",
        &["Print the usage message and the list of options and exit"],
        &["usage", "help"],
    ),
    tag(
        "options",
        &["Parse the command line options and arguments"],
        &["option*", "getopt*", "argv", "argument*"],
    ),
    tag(
        "error-report",
        &[
            "Report an error message to the user and exit",
            "Write a message to the log",
        ],
        &[
            "error*", "warn*", "log", "diagnos*", "perror", "fatal", "message",
        ],
    ),
    tag(
        "date-time",
        &[
            "Convert, parse or print a date and time",
            "Get the current time",
        ],
        &["time*", "date", "clock", "calendar", "timezone", "timespec"],
    ),
    tag(
        "character-encoding",
        &["Convert between character encodings, decode UTF-8 multibyte characters"],
        &[
            "utf*",
            "unicode",
            "encoding*",
            "charset",
            "multibyte",
            "wchar*",
            "iconv",
            "mbrtowc",
        ],
    ),
    tag(
        "base64",
        &["Encode or decode binary data as base64 or hexadecimal text"],
        &["base64*", "base32*", "hex"],
    ),
    tag(
        "asn1",
        &["Encode or decode ASN.1 DER data"],
        &["asn1", "der", "pem", "pkcs*", "oid"],
    ),
    tag(
        "locale",
        &["Translate messages, set the locale"],
        &["locale*", "gettext*", "translat*"],
    ),
    tag(
        "quoting",
        &["Quote or escape special characters in a string for output"],
        &["quot*", "escap*", "unescape*"],
    ),
    tag(
        "threads",
        &["Lock a mutex, start or join a thread"],
        &[
            "thread*",
            "mutex*",
            "lock*",
            "unlock*",
            "pthread*",
            "semaphore",
        ],
    ),
    tag(
        "signals",
        &["Install or handle a signal handler"],
        &["signal*", "sigaction", "sighandler"],
    ),
    tag(
        "process",
        &[
            "Start another program and wait for it to finish",
            "Fork a child process and execute a command",
        ],
        &[
            "process*",
            "fork*",
            "exec*",
            "spawn*",
            "child",
            "waitpid",
            "subprocess",
        ],
    ),
    tag(
        "environment",
        &[
            "Read or set an environment variable",
            "Look up the user or group in the system database",
        ],
        &["getenv", "environment", "setenv", "passwd", "uid", "gid"],
    ),
    tag(
        "terminal",
        &["Write to the terminal, set colours or the cursor, get the window size"],
        &["terminal", "tty", "cursor", "screen", "colour*", "color*"],
    ),
    tag(
        "database",
        &[
            "Execute an SQL statement, access rows of a database table",
            "Read or write a page of the database file",
        ],
        &[
            "sql*", "database", "query", "cursor", "pager", "vdbe", "table",
        ],
    ),
    tag(
        "virtual-machine",
        &["Generate or execute bytecode of an interpreter"],
        &["vdbe*", "bytecode", "opcode*", "interpreter", "vm"],
    ),
    tag(
        "regex",
        &[
            "Compile or match a regular expression",
            "Match a file name against a glob pattern",
        ],
        &["regex*", "regexp", "pattern", "glob", "fnmatch", "match"],
    ),
    tag(
        "image",
        &["Read or write an image: rows of pixels, colour conversion, PNG chunks"],
        &["image*", "png*", "pixel*", "gamma", "palette", "jpeg"],
    ),
    tag(
        "math",
        &["Compute a mathematical function in floating point"],
        &[
            "math", "sqrt", "float*", "double", "sin", "cos", "exp", "matrix",
        ],
    ),
    tag(
        "accessor",
        &[
            "Return the value of a field",
            "Set a field of the structure to the given value",
        ],
        &["get", "set", "getter", "setter", "accessor"],
    ),
    tag(
        "buffer",
        &[
            "Append data to a growing buffer",
            "Fill or flush the input or output buffer",
        ],
        &["buffer*", "buf", "flush"],
    ),
    tag(
        "copy-file",
        &["Copy or move a file to another place, keeping its attributes"],
        &["copy", "rename", "move", "backup*"],
    ),
    tag(
        "diff",
        &["Compare two files or sequences and report their differences"],
        &["diff*", "hunk", "edit"],
    ),
];

impl Tag {
    /// Whether a function's name or comment says that it deserves this tag.
    pub fn is_said_by(&self, name: &str, comment: &str) -> bool {
        let mut said = text::words(name);
        said.extend(text::words(comment));
        self.words.iter().any(|word| match word.strip_suffix('*') {
            Some(start) => said.iter().any(|said| said.starts_with(start)),
            None => said
                .iter()
                .any(|said| said == word || said.strip_suffix('s') == Some(word)),
        })
    }
}

/// The prompts of all tags, in order; what [`TagVectors::new`] wants the
/// vectors of.
pub fn prompts() -> Vec<String> {
    TAGS.iter()
        .flat_map(|tag| tag.prompts)
        .map(|prompt| (*prompt).to_owned())
        .collect()
}

/// Descriptions as vectors, with the background of each.
#[derive(Debug, Clone)]
pub struct Backgrounds {
    vectors: Matrix,
    /// Mean and standard deviation of the cosines with the reference set.
    statistics: Vec<(f32, f32)>,
}

impl Backgrounds {
    /// Measures each description (a unit vector in a row) against `background`,
    /// the vectors of the reference set.
    pub fn new(descriptions: Matrix, background: &Compact) -> Backgrounds {
        let statistics = background.against(&descriptions, |_, cosines| {
            let n = cosines.len().max(1) as f32;
            let mean = cosines.iter().sum::<f32>() / n;
            let variance = cosines.iter().map(|c| (c - mean).powi(2)).sum::<f32>() / n;
            // Without a background the cosine itself is all there is to go by.
            let deviation = if cosines.len() < 2 {
                1.0
            } else {
                variance.sqrt().max(1e-4)
            };
            (mean, deviation)
        });
        Backgrounds {
            vectors: descriptions,
            statistics,
        }
    }

    /// How many standard deviations each function (a row) lies above each
    /// description's background.
    pub fn scores(&self, functions: &Matrix) -> Vec<Vec<f32>> {
        let above = self.above(functions);
        above
            .iter()
            .map(|above| self.in_deviations(above))
            .collect()
    }

    /// What [`Backgrounds::above`] gave for a function, in standard deviations.
    pub fn in_deviations(&self, above: &[f32]) -> Vec<f32> {
        let deviations = self.statistics.iter().map(|(_, deviation)| deviation);
        above.iter().zip(deviations).map(|(a, d)| a / d).collect()
    }

    /// How far the cosine of each function with each description is above what
    /// is usual for that: some prompts are near to everything.
    pub fn above(&self, functions: &Matrix) -> Vec<Vec<f32>> {
        functions.against(&self.vectors, |_, cosines| {
            let usual = self.statistics.iter().map(|(mean, _)| mean);
            cosines
                .iter()
                .zip(usual)
                .map(|(c, mean)| c - mean)
                .collect()
        })
    }
}

/// The tags as vectors: a tag scores as its best prompt does.
#[derive(Debug, Clone)]
pub struct TagVectors {
    backgrounds: Backgrounds,
}

impl TagVectors {
    /// From the vectors of [`prompts`], in that order.
    pub fn new(prompt_vectors: Matrix, reference: &Compact) -> TagVectors {
        TagVectors {
            backgrounds: Backgrounds::new(prompt_vectors, reference),
        }
    }

    /// The score of each tag (in the order of [`TAGS`]) for each function.
    pub fn scores(&self, functions: &Matrix) -> Vec<Vec<f32>> {
        let by_prompt = self.backgrounds.scores(functions);
        by_prompt
            .into_iter()
            .map(|scores| {
                let mut rest = scores.as_slice();
                TAGS.iter()
                    .map(|tag| {
                        let (own, others) = rest.split_at(tag.prompts.len().min(rest.len()));
                        rest = others;
                        own.iter().copied().fold(f32::NEG_INFINITY, f32::max)
                    })
                    .collect()
            })
            .collect()
    }
}

/// What the features of a tag are called in a calibration.
pub const FEATURES: [&str; 2] = ["z", "margin"];

/// The best score but that of `index`, where there is a finite one.
pub(crate) fn best_other(scores: &[f32], index: usize) -> Option<f32> {
    let others = scores
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != index);
    let best = others
        .map(|(_, score)| *score)
        .fold(f32::NEG_INFINITY, f32::max);
    best.is_finite().then_some(best)
}

/// The features from which the confidence in description `index` is computed:
/// its own score, and how far it is above the best of the others.
pub fn features(scores: &[f32], index: usize) -> Vec<f64> {
    let own = scores[index];
    let margin = best_other(scores, index).map_or(0.0, |best| own - best);
    vec![
        f64::from(own.clamp(-4.0, 6.0)),
        f64::from(margin.clamp(-4.0, 2.0)),
    ]
}

/// Softmax of `cosines` at `temperature`: the share of each label if one of
/// them must be right (CLAP, zero-shot classification, 0.07).
pub fn softmax(cosines: &[f32], temperature: f32) -> Vec<f32> {
    let best = cosines.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = cosines
        .iter()
        .map(|c| ((c - best) / temperature).exp())
        .collect();
    let total: f32 = powers.iter().sum();
    powers.iter().map(|power| power / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_tag_can_be_said() {
        let mut names: Vec<&str> = TAGS.iter().map(|tag| tag.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TAGS.len());
        assert!(
            TAGS.iter()
                .all(|tag| !tag.prompts.is_empty() && !tag.words.is_empty())
        );
    }

    #[test]
    fn words_of_names_and_comments() {
        let find = |name: &str| TAGS.iter().find(|tag| tag.name == name).expect("the tag");
        assert!(find("checksum").is_said_by("crc32_z", ""));
        assert!(find("sorting").is_said_by("f", "Sorts the lines."));
        assert!(!find("sorting").is_said_by("resort", "a resort"));
        assert!(find("url").is_said_by("f", "Handle URLs."));
    }

    #[test]
    fn a_description_near_to_everything_scores_no_higher_for_it() {
        let background =
            Matrix::from_rows(&[[1.0f32, 0.0, 0.0], [0.98, 0.199, 0.0], [0.98, 0.0, 0.199]]);
        let descriptions = Matrix::from_rows(&[[1.0f32, 0.0, 0.0], [0.0, 0.0, 1.0]]);
        let scores = Backgrounds::new(descriptions, &Compact::plain(background))
            .scores(&Matrix::from_rows(&[[0.9f32, 0.0, 0.436]]));
        assert!(scores[0][1] > scores[0][0]);
    }

    #[test]
    fn a_tag_scores_as_its_best_prompt() {
        let count = prompts().len();
        let rows: Vec<[f32; 2]> = (0..count)
            .map(|i| if i == 1 { [1.0, 0.0] } else { [0.0, 1.0] })
            .collect();
        let tags = TagVectors::new(Matrix::from_rows(&rows), &Compact::plain(Matrix::new(2)));
        let scores = tags.scores(&Matrix::from_rows(&[[1.0f32, 0.0]]));
        assert_eq!(scores[0].len(), TAGS.len());
        assert_eq!(scores[0][0], 1.0);
        assert_eq!(scores[0][1], 0.0);
    }

    #[test]
    fn softmax_is_as_in_the_paper() {
        let shares = softmax(&[0.5, 0.43, -0.2], 0.07);
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((shares[0] / shares[1] - 1f32.exp()).abs() < 1e-3);
    }
}
