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
}
