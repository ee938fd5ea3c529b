//! What the command printed, kept so that pages of it can be given without reading it
//! again, and without changing a character of what it says.

use std::fmt;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A document of the command.
#[derive(Debug)]
pub(crate) struct Document {
    fields: Fields,
    /// The list that comes in pages, with its items.
    list: Option<(&'static str, Vec<Box<RawValue>>)>,
    /// What the command said beside it.
    warnings: Vec<String>,
    bytes: usize,
}

/// Which part of the list is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

impl Document {
    /// Reads what the command printed; `list` is the field that comes in pages.
    ///
    /// # Errors
    ///
    /// If it is no JSON object, or the list is none.
    pub(crate) fn read(
        printed: &[u8],
        list: Option<&'static str>,
        warnings: Vec<String>,
    ) -> serde_json::Result<Document> {
        let compact = compact(printed);
        let fields: Fields = serde_json::from_slice(&compact)?;
        let list = match list {
            Some(name) => {
                let field = fields.0.iter().find(|(field, _)| field == name);
                let text = field.map_or("[]", |(_, value)| value.get());
                Some((name, serde_json::from_str(text)?))
            }
            None => None,
        };
        let fields = fields.0.into_iter().map(|(name, value)| {
            let paged = list.as_ref().is_some_and(|(list, _)| name == *list);
            // The items are kept once.
            let value = if paged {
                RawValue::NULL.to_owned()
            } else {
                value
            };
            (name, value)
        });
        Ok(Document {
            fields: Fields(fields.collect()),
            list,
            warnings,
            bytes: compact.len(),
        })
    }

    /// About the memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many items the list has.
    pub(crate) fn total(&self) -> usize {
        self.list.as_ref().map_or(0, |(_, items)| items.len())
    }

    /// The text of a field, as JSON.
    pub(crate) fn field(&self, name: &str) -> Option<&RawValue> {
        let field = self.fields.0.iter().find(|(field, _)| field == name);
        field.map(|(_, value)| value.as_ref())
    }

    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The document with one page of its list, as JSON.
    pub(crate) fn page(&self, page: Page) -> serde_json::Result<String> {
        serde_json::to_string(&Paged {
            document: self,
            page,
        })
    }
}

struct Paged<'a> {
    document: &'a Document,
    page: Page,
}

impl Serialize for Paged<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Document {
            fields,
            list,
            warnings,
            ..
        } = self.document;
        let mut map = serializer.serialize_map(None)?;
        let total = self.document.total();
        let start = self.page.offset.min(total);
        let end = start.saturating_add(self.page.limit).min(total);
        for (name, value) in &fields.0 {
            match list {
                Some((list, items)) if name == list => {
                    map.serialize_entry(name, &items[start..end])?;
                }
                _ => map.serialize_entry(name, value)?,
            }
        }
        if list.is_some() {
            map.serialize_entry("total", &total)?;
            map.serialize_entry("next_offset", &(end < total).then_some(end))?;
        }
        map.serialize_entry("warnings", warnings)?;
        map.end()
    }
}

/// The fields of an object in their order, with the text of their values.
#[derive(Debug)]
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// JSON without the spaces between its tokens, of which the command prints as many as
/// of everything else.
fn compact(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() / 2);
    let (mut within, mut escaped) = (false, false);
    for &byte in json {
        if within {
            within = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            within = byte == b'"';
        }
        out.push(byte);
    }
    out
}

/// A response with this JSON.
pub(crate) fn json(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const PRINTED: &str = r#"{
  "version": 1,
  "z": { "b": 0.30000001192092896, "a": [ "two  words", "a \" b \\" ] },
  "functions": [ 1, 2, 3, 4, 5 ],
  "last": null
}"#;

    fn page(offset: usize, limit: usize) -> (String, Value) {
        let document = Document::read(PRINTED.as_bytes(), Some("functions"), Vec::new());
        let page = Page { offset, limit };
        let text = document.expect("a document").page(page).expect("JSON");
        let value = serde_json::from_str(&text).expect("JSON");
        (text, value)
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        assert_eq!(page(0, 2).1["functions"], json!([1, 2]));
        assert_eq!(page(0, 2).1["next_offset"], 2);
        assert_eq!(page(2, 3).1["functions"], json!([3, 4, 5]));
        assert_eq!(page(2, 3).1["next_offset"], Value::Null);
        let beyond = page(usize::MAX, usize::MAX).1;
        assert_eq!(beyond["functions"], json!([]));
        assert_eq!(beyond["total"], 5);
    }

    #[test]
    fn what_the_command_said_is_passed_on_to_the_letter() {
        let expected = r#"{"version":1,"z":{"b":0.30000001192092896,"a":["two  words","a \" b \\"]},"functions":[1],"last":null,"total":5,"next_offset":1,"warnings":[]}"#;
        assert_eq!(page(0, 1).0, expected);
    }
}
