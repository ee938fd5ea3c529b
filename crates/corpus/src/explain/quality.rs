//! How much a sentence about a function is worth as natural language.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::comment::pattern;

/// From here on a comment says something about its function. Medians of whole
/// packages are labels of a few words; most of those stay below.
pub const USEFUL: f32 = 0.5;

/// Words beyond this are more than a text encoder reads.
const LONG: f32 = 120.0;

/// Why a text got its score: factors from 0 to 1, whose product it is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Quality {
    /// Rises to 1 at six words and falls again, to a half at 240.
    pub length: f32,
    /// Share of the words that are English, words of the trade, or words of
    /// the function's own identifiers: 0 at a half of them, 1 at nine tenths.
    /// Names of code (`size_t`, `EOF`) count neither way.
    pub english: f32,
    /// 0.3 for a heading without verb or article ("Hash functions"), 0.6 for a
    /// short text without a verb ("The hashing function").
    pub label: f32,
    /// 1 over the square root of how many functions of the package share it.
    pub unique: f32,
    /// A half where it says that something is still to be done.
    pub finished: f32,
    /// Falls to 0 as signs of code reach half the number of words.
    pub prose: f32,
}

impl Quality {
    /// Judges what `text` says of a function with this source; `sharing` other
    /// functions of the package have the very same text.
    pub fn of(text: &str, source: &str, sharing: usize) -> Quality {
        let words: Vec<&str> = pattern!(r"[A-Za-z_][A-Za-z0-9_']*")
            .find_iter(text)
            .map(|word| word.as_str())
            .collect();
        let count = words.len() as f32;
        let signs = pattern!(r"[;{}]|->|==|\+\+|&&|\|\||\w\(")
            .find_iter(text)
            .count() as f32;
        let unfinished = pattern!(r"\b(?:TODO|FIXME|XXX|HACK)\b").is_match(text);
        Quality {
            length: if count <= LONG {
                (count / 6.0).min(1.0)
            } else {
                (LONG / count).max(0.5)
            },
            english: english(&words, source),
            label: label(&words),
            unique: 1.0 / (1.0 + sharing as f32).sqrt(),
            finished: if unfinished { 0.5 } else { 1.0 },
            prose: 1.0 - ((signs / count.max(1.0) - 0.15) / 0.35).clamp(0.0, 1.0),
        }
    }

    /// The score, from 0 to 1.
    pub fn score(&self) -> f32 {
        self.length * self.english * self.label * self.unique * self.finished * self.prose
    }
}

/// Share of known words, stretched to 0 to 1.
fn english(words: &[&str], source: &str) -> f32 {
    let identifiers = identifiers(source);
    let known = |word: &str| {
        let word = word.to_ascii_lowercase();
        let word = word.split('\'').next().unwrap_or_default();
        let stem = word.strip_suffix('n').unwrap_or(word);
        word.len() == 1
            || [word, stem]
                .iter()
                .any(|w| WORDS.contains(w) || identifiers.contains(*w))
    };
    let plain = words.iter().filter(|word| !is_name_of_code(word));
    let (mut all, mut good) = (0.0, 0.0);
    for word in plain {
        all += 1.0;
        good += f32::from(u8::from(known(word)));
    }
    if all == 0.0 {
        return 0.0;
    }
    ((good / all - 0.5) / 0.4_f32).clamp(0.0, 1.0)
}

fn label(words: &[&str]) -> f32 {
    let is_function_word = |word: &&str| FUNCTION_WORDS.contains(&*word.to_ascii_lowercase());
    if words.first().is_some_and(|word| is_verb(word)) {
        1.0
    } else if !words.iter().any(is_function_word) {
        0.3
    } else if words.len() <= 8 && !words.iter().any(|word| is_verb(word)) {
        0.6
    } else {
        1.0
    }
}

/// `snake_case`, `camelCase`, `CONSTANT`, `utf8`.
fn is_name_of_code(word: &str) -> bool {
    word.contains(|c: char| c == '_' || c.is_ascii_digit())
        || word[1..].contains(|c: char| c.is_ascii_uppercase())
}

/// The identifiers of a source in lower case, and the words they are made of.
fn identifiers(source: &str) -> HashSet<String> {
    let mut all = HashSet::new();
    for name in pattern!(r"[A-Za-z_]\w*").find_iter(source) {
        all.insert(name.as_str().to_ascii_lowercase());
        for part in pattern!(r"[A-Z]?[a-z]+|[A-Z]+").find_iter(name.as_str()) {
            all.insert(part.as_str().to_ascii_lowercase());
        }
    }
    all
}

/// Whether it may be a verb that says what a function does, as in "compute the
/// hash" and "computes the hash".
fn is_verb(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let bare = |suffix: &str, to: &str| word.strip_suffix(suffix).map(|w| format!("{w}{to}"));
    VERBS.contains(&*word)
        || [bare("ies", "y"), bare("es", ""), bare("s", "")]
            .into_iter()
            .flatten()
            .any(|w| VERBS.contains(&*w))
}

fn set(text: &'static str) -> HashSet<&'static str> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .collect()
}

static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| set(include_str!("words.txt")));
static FUNCTION_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    set(
        "a an and are as at be been by can for from has have if in into is it its no not of on or \
         should than that the then there these this to was when where which will with",
    )
});
static VERBS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    set(
        "accept access acquire activate add adjust advance allocate analyze append apply assign \
         attach authenticate begin bind build calculate call cancel change check choose clamp \
         clean clear clone close collect combine compare compile complete compress compute \
         concatenate configure connect construct consume convert copy count create decode \
         decompress decrement decrypt define delete derive destroy detach detect determine \
         disable discard disconnect display divide do draw drop dump duplicate emit empty \
         enable encode encrypt end enqueue ensure enter erase escape estimate evaluate examine \
         exchange execute exit expand export extend extract fetch fill filter finalize find \
         finish fix flip flush fold force format forward free generate get give go grow guess \
         handle hash hold identify ignore implement import increase increment indicate init \
         initialise initialize insert inspect install invert invoke issue iterate join keep \
         leave link list load locate lock log look loop lower make manage map mark match \
         measure merge modify move multiply negate normalize notify obtain open output \
         overwrite pack parse pass peek perform pick place pop prepare prepend print process \
         produce provide push put query quit quote raise randomize read realloc reallocate \
         receive recompute record reduce refill register reject release reload remove rename \
         render reopen replace report request require reserve reset resize resolve restore \
         resume retrieve return reverse revert rewind rotate round run save scale scan schedule \
         search seek select send serialize set setup shift show shrink shuffle shut sign skip \
         sort split start stop store strip submit subtract sum swap switch sync take tell \
         terminate test toggle tokenize trace track transfer transform translate traverse trim \
         truncate try turn unlink unlock unpack unregister unset update upgrade use validate \
         verify visit wait walk warn wipe wrap write yield zero",
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    fn score(text: &str, sharing: usize) -> f32 {
        Quality::of(
            text,
            "int frob(struct widget *w) { return w->size; }",
            sharing,
        )
        .score()
    }

    /// Comments as they stand above functions of curl, zlib, SQLite, mbed TLS,
    /// libgcrypt, lz4 and libxml2.
    #[test]
    fn sentences_of_people_are_useful() {
        for text in [
            "Close all upvalues up to the given stack level.",
            "Handle an attempt to read beyond EOF under the control of record P, on iteration \
             REPETITION if nonzero.",
            "Delete all information from the single table that pCur is open on. This routine only \
             work for pCur on an ephemeral table.",
            "Prints all categories and their description.",
            "BLAKE2S MAC a block of memory to produce the authentication tag. Returns CRYPT_OK if \
             successful. Parameter key: The secret key.",
            "Like mkstemp, but do not return STDIN_FILENO, STDOUT_FILENO, or STDERR_FILENO.",
            "Write data to the file.",
        ] {
            assert!(score(text, 0) >= USEFUL, "{}: {text}", score(text, 0));
        }
    }

    #[test]
    fn labels_and_code_are_not() {
        for text in [
            "ECC Crypto, Tom St Denis.",
            "X.509 v3 extensions.",
            "Default setting : 1 == independent blocks.",
            "RESULT = P1 + P2 (Weierstrass version).",
            "The hashing function.",
            "[: '[' expr ']' test: test expr.",
            "if (widget->size == 0) { frob(widget); return NULL; }",
            "Ajoute un maillon au bout de la chaine courante.",
            "",
        ] {
            assert!(score(text, 0) < USEFUL, "{}: {text}", score(text, 0));
        }
    }

    #[test]
    fn what_many_functions_share_says_little_of_each() {
        let text = "Initialize the hash state. Returns CRYPT_OK if successful.";
        assert_eq!(score(text, 0), 1.0);
        assert!(score(text, 1) >= USEFUL, "two versions of one function");
        assert!(score(text, 11) < USEFUL);
    }

    #[test]
    fn what_is_still_to_be_done_counts_half() {
        let text = "Dump an HTML node, children are printed too.";
        assert_eq!(
            score(
                &format!("{text} TODO: use the encoding of the document."),
                0
            ),
            score(text, 0) / 2.0
        );
    }

    #[test]
    fn a_book_is_too_long() {
        let sentence = "Reads the next block of the file. ";
        assert_eq!(score(&sentence.repeat(10), 0), 1.0);
        assert_eq!(score(&sentence.repeat(60), 0), 0.5);
    }
}
