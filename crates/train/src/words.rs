//! English out of identifiers and comments.

/// The words of a C identifier: `xmlParseFile_ex` is `xml parse file ex`.
///
/// ```
/// assert_eq!(binscribe_train::name_words("HTTPGetURL2"), "http get url2");
/// ```
pub fn name_words(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut words = String::new();
    for (i, &letter) in letters.iter().enumerate() {
        if !letter.is_alphanumeric() {
            push_space(&mut words);
            continue;
        }
        let before = i.checked_sub(1).map(|i| letters[i]);
        let after = letters.get(i + 1);
        let hump = letter.is_uppercase()
            && before.is_some_and(|b| {
                b.is_lowercase()
                    || b.is_ascii_digit()
                    || (b.is_uppercase() && after.is_some_and(|a| a.is_lowercase()))
            });
        if hump {
            push_space(&mut words);
        }
        words.extend(letter.to_lowercase());
    }
    words.trim_end().to_owned()
}

/// The words of a function's name and then of the names that its source calls,
/// each once, at most [`MAX_WORDS`].
pub(crate) fn call_words(name: &str, source: &str) -> String {
    let own = name_words(name);
    let mut words: Vec<String> = own.split(' ').map(str::to_owned).collect();
    let body = source.split_once('{').map_or("", |(_, body)| body);
    let identifier = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for (at, _) in body.match_indices('(') {
        let before = body[..at].trim_end();
        let start = before.rfind(|c| !identifier(c)).map_or(0, |i| {
            i + before[i..].chars().next().map_or(1, char::len_utf8)
        });
        let called = &before[start..];
        if KEYWORDS.contains(&called) || called.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        for word in name_words(called).split(' ') {
            if word.len() > 1 && !words.iter().any(|known| known == word) {
                words.push(word.to_owned());
            }
            if words.len() >= MAX_WORDS {
                return words.join(" ");
            }
        }
    }
    words.join(" ")
}

/// What a file is about, by the words of its path, each once, at most
/// [`MAX_WORDS`]: `src/ciphers/aes/aes.c` is `ciphers aes`. Folders that every
/// package has say nothing.
pub(crate) fn topic_words(file: &str) -> String {
    let path = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let mut words: Vec<String> = Vec::new();
    for part in path.split('/').filter(|part| !COMMON.contains(part)) {
        for word in name_words(part).split(' ') {
            if word.len() > 1 && !words.iter().any(|known| known == word) {
                words.push(word.to_owned());
            }
        }
    }
    words.truncate(MAX_WORDS);
    words.join(" ")
}

/// Folders and files that say nothing of what is in them.
const COMMON: [&str; 14] = [
    "src", "source", "sources", "lib", "libs", "library", "include", "common", "core", "main",
    "misc", "util", "utils", "unix",
];

/// Words of a text about calls.
const MAX_WORDS: usize = 32;
/// What stands before a parenthesis and calls nothing.
const KEYWORDS: [&str; 7] = ["", "if", "for", "while", "switch", "return", "sizeof"];

fn push_space(words: &mut String) {
    if !words.is_empty() && !words.ends_with(' ') {
        words.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_become_words() {
        let check = |name, words: &str| assert_eq!(name_words(name), words);
        check("xmlParseFile_ex", "xml parse file ex");
        check("__read_config", "read config");
        check("sqlite3VdbeExec", "sqlite3 vdbe exec");
        check("mp_", "mp");
        check("SHA256Init", "sha256 init");
        check("", "");
    }

    #[test]
    fn files_tell_topics() {
        let check = |file, words: &str| assert_eq!(topic_words(file), words);
        check("src/ciphers/aes/aes_enc.c", "ciphers aes enc");
        check("lib/vtls/vtls.c", "vtls");
        check("inflate.c", "inflate");
        check("src/main.c", "");
    }

    #[test]
    fn calls_follow_the_name() {
        let source = "int read_all(int fd)\n{\n  if (fd < 0) return (1);\n  \
            é(buf_append (b, readLine(fd)), sizeof (x));\n}";
        assert_eq!(call_words("read_all", source), "read all buf append line");
        let long: String = (0..99).map(|i| format!("f_w{i}(); ")).collect();
        let text = call_words("f", &format!("{{ {long} }}"));
        assert_eq!(text.split(' ').count(), MAX_WORDS);
    }
}
