//! CLAP's models against the reference implementation in Python.
//!
//! The published weights cannot be had on every machine, so the two are
//! compared on seeded random numbers in exactly their shapes: what the shapes
//! and the code prove, they prove for the published numbers too.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says when it is skipped"
)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use binscribe_model::export::Precision;
use binscribe_model::{ClapFunction, ClapTokenizer, Encoding, Model, import};
use serde_json::{Value, json};

const BUBBLE_SORT: &str = include_str!("fixtures/clap/bubblesort.json");

/// Token ids of CLAP's bubble sort, numbered from 1, as its tokenizer gives
/// them.
const BUBBLE_SORT_IDS: [u32; 70] = [
    1422, 1159, 1219, 1050, 1235, 1184, 1184, 1207, 1219, 1184, 1555, 1190, 19, 1159, 1242, 1061,
    1172, 1040, 1162, 1039, 1048, 1063, 1159, 1221, 1061, 1172, 1040, 1162, 1039, 1048, 1040, 1048,
    1063, 1207, 1242, 1221, 1555, 1190, 17, 1159, 1061, 1172, 1040, 1162, 1039, 1048, 1063, 1221,
    1159, 1061, 1172, 1040, 1162, 1039, 1048, 1040, 1048, 1063, 1242, 1825, 1162, 1208, 1190, 9,
    1841, 1219, 1248, 1190, 8, 1340,
];

/// How many tokens each of its instructions has.
const BUBBLE_SORT_LENGTHS: [usize; 16] = [1, 3, 3, 3, 3, 9, 11, 3, 3, 9, 11, 2, 3, 2, 3, 1];

/// The words of the bubble sort, in the order of its tokens.
const BUBBLE_SORT_WORDS: &str = "endbr64 mov edx 6 xor eax eax cmp edx eax jle short INSTR14 \
    mov ecx [ rdi + rax * 4 ] mov esi [ rdi + rax * 4 + 4 ] cmp ecx esi jle short INSTR12 \
    mov [ rdi + rax * 4 ] esi mov [ rdi + rax * 4 + 4 ] ecx inc rax jmp short INSTR4 \
    dec edx jnz short INSTR3 retn";

/// CLAP's tokenizer with those entries of its vocabulary that the bubble sort
/// needs, under their ids: all of its words are whole entries, so the others
/// change nothing.
fn published_tokenizer() -> ClapTokenizer {
    let mut vocabulary: BTreeMap<&str, u32> = BTreeMap::from([
        ("<s>", 0),
        ("<pad>", 1),
        ("</s>", 2),
        ("<unk>", 3),
        ("[UNK]", 4),
        ("<mask>", 5),
    ]);
    let names: Vec<String> = (1..=1024).map(|k| format!("INSTR{k}")).collect();
    vocabulary.extend((6..).zip(&names).map(|(id, name)| (name.as_str(), id)));
    let words: Vec<&str> = BUBBLE_SORT_WORDS.split_whitespace().collect();
    assert_eq!(words.len(), BUBBLE_SORT_IDS.len());
    for (word, id) in words.into_iter().zip(BUBBLE_SORT_IDS) {
        // A word that had two ids would show that the lists do not fit.
        assert_eq!(*vocabulary.entry(word).or_insert(id), id, "{word}");
    }
    let added: Vec<Value> = vocabulary
        .iter()
        .filter(|(name, id)| **id < 6 || name.starts_with("INSTR"))
        .map(|(name, id)| {
            json!({
                "id": id, "content": name, "single_word": false, "lstrip": *name == "<mask>",
                "rstrip": false, "normalized": false, "special": true,
            })
        })
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
            "trim_offsets": true, "add_prefix_space": false,
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    });
    ClapTokenizer::from_bytes(tokenizer.to_string().as_bytes()).unwrap()
}

/// Tokens of instruction k labelled `first + k`, the first ones `zeroth`.
fn labels(zeroth: u32, first: u32) -> Vec<u32> {
    let label = |at: usize| if at == 0 { zeroth } else { first + at as u32 };
    let lengths = BUBBLE_SORT_LENGTHS.iter().enumerate();
    lengths
        .flat_map(|(at, &length)| std::iter::repeat_n(label(at), length))
        .collect()
}

#[test]
fn the_bubble_sort_has_its_published_token_ids() {
    let tokenizer = published_tokenizer();
    let function = &ClapFunction::parse(BUBBLE_SORT).unwrap()[0];
    let encoding = tokenizer.encode_function(function).unwrap();
    assert_eq!(encoding.ids, BUBBLE_SORT_IDS);
    assert_eq!(encoding.instruction_ids, labels(6, 6));
    // As it is, and as a listing of ours.
    assert_eq!(tokenizer.encode(&function.text()).unwrap(), encoding);
    assert!(function.warning().is_none());
}

#[test]
fn the_numbers_of_the_published_percentages_are_kept_and_warned_of() {
    let tokenizer = published_tokenizer();
    let zero_based = include_str!("fixtures/clap/bubblesort.zero-based.json");
    let function = &ClapFunction::parse(zero_based).unwrap()[0];
    assert!(function.warning().unwrap().contains("numbered from 0"));
    let encoding = tokenizer.encode_function(function).unwrap();
    let jumps = BTreeMap::from([(19, 18), (17, 16), (9, 8), (8, 7)]);
    let expected = BUBBLE_SORT_IDS.map(|id| jumps.get(&id).copied().unwrap_or(id));
    assert_eq!(encoding.ids, expected);
    assert_eq!(encoding.instruction_ids, labels(4, 5));
}

#[test]
fn what_clap_has_no_token_for_is_read_as_it_reads_it() {
    let tokenizer = published_tokenizer();
    let long = ClapFunction::parse(&format!(
        r#"{{"1": "{}", "1025": "retn", "x": "retn"}}"#,
        "mov ".repeat(21)
    ));
    assert!(long.unwrap_err().to_string().contains("\"x\""));
    let long = format!(r#"{{"1": "{}", "1025": "retn"}}"#, "mov, ".repeat(21));
    let function = &ClapFunction::parse(&long).unwrap()[0];
    let encoding = tokenizer.encode_function(function).unwrap();
    assert_eq!(encoding.ids, [vec![1159; 20], vec![1340]].concat());
    assert_eq!(encoding.instruction_ids, [vec![6; 20], vec![4]].concat());
    // 1,024 tokens and not one more.
    let listing = "mov     rax, rax\n".repeat(400);
    let encoding = tokenizer.encode(&listing).unwrap();
    assert_eq!(
        (encoding.len(), encoding.instruction_ids.len()),
        (1024, 1024)
    );
    assert_eq!(encoding.instruction_ids.last(), Some(&(6 + 341)));
    // Small letters name no instruction.
    assert_eq!(tokenizer.encode("jmp     instr4").unwrap().ids, [1208, 4]);
}

/// A Python with torch and transformers, which `cargo xtask test` prepares.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("BINSCRIBE_REFERENCE_PYTHON").map(PathBuf::from);
    if python.is_none() {
        println!("skipped: BINSCRIBE_REFERENCE_PYTHON is not set; `cargo xtask test` sets it");
    }
    python
}

/// What the reference made: folders `asm` and `text`, and what it expects.
struct Reference {
    dir: tempfile::TempDir,
    functions: Vec<ClapFunction>,
    texts: Vec<String>,
    expected: Value,
}

impl Reference {
    fn new(python: &Path, size: &str) -> Reference {
        let dir = tempfile::tempdir().unwrap();
        let functions = functions();
        let texts = [
            "This is a function related to bubble sort ",
            "A function: related, to (time)!",
            &"one word after another ".repeat(150),
        ]
        .map(str::to_owned);
        let write = |name: &str, value: &Value| {
            let path = dir.path().join(name);
            std::fs::write(&path, value.to_string()).unwrap();
            path
        };
        let (functions_path, texts_path) = (
            write("functions.json", &functions),
            write("texts.json", &json!(texts)),
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clap_reference.py");
        let status = Command::new(python)
            .arg(script)
            .arg(dir.path())
            .args([functions_path, texts_path])
            .arg(size)
            .status()
            .unwrap();
        assert!(status.success());
        let expected = std::fs::read(dir.path().join("expected.json")).unwrap();
        Reference {
            expected: serde_json::from_slice(&expected).unwrap(),
            functions: ClapFunction::parse(&functions.to_string()).unwrap(),
            texts: texts.to_vec(),
            dir,
        }
    }

    fn part(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn import(&self, precisions: &[Precision]) -> (tempfile::TempDir, import::Imported) {
        let out = tempfile::tempdir().unwrap();
        let made = import::clap(
            &self.part("asm"),
            &self.part("text"),
            out.path(),
            precisions,
        );
        (out, made.unwrap())
    }

    fn encodings(&self) -> Vec<Encoding> {
        let encoded = self.expected["assembly"]["encoded"].as_array().unwrap();
        let numbers = |value: &Value| serde_json::from_value(value.clone()).unwrap();
        let encoding = |pair: &Value| Encoding {
            ids: numbers(&pair[0]),
            instruction_ids: numbers(&pair[1]),
        };
        encoded.iter().map(encoding).collect()
    }

    fn vectors(&self, of: &str) -> Vec<Vec<f64>> {
        serde_json::from_value(self.expected[of]["vectors"].clone()).unwrap()
    }

    /// The import's tokens and vectors are the reference's.
    fn check(&self, model: &Model) {
        let encodings: Vec<Encoding> = self
            .functions
            .iter()
            .map(|function| model.encode_function(function).unwrap())
            .collect();
        assert_eq!(encodings, self.encodings());
        let vectors = model.embed_encodings(&encodings).unwrap();
        near(&vectors, &self.vectors("assembly"));
        near(
            &model.embed_texts(&self.texts).unwrap(),
            &self.vectors("text"),
        );
    }
}

fn near(ours: &[Vec<f32>], theirs: &[Vec<f64>]) {
    assert_eq!(ours.len(), theirs.len());
    for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let difference = largest_difference(a, b);
        println!("sequence {at}: {difference:e}");
        assert!(difference < 1e-5, "sequence {at}: {difference:e}");
    }
    // They would agree on anything if all were the same.
    let apart = cosine(&ours[0], &ours[1]);
    assert!(apart < 0.99, "{apart}");
}

fn largest_difference(a: &[f32], b: &[f64]) -> f64 {
    let differences = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).abs());
    differences.fold(0.0, f64::max)
}

/// Of unit vectors.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// CLAP's example, one of 1,024 tokens, and one of all that is seldom.
fn functions() -> Value {
    let mut functions: Value = json!([]);
    let all = functions.as_array_mut().unwrap();
    for example in [
        BUBBLE_SORT,
        include_str!("fixtures/clap/bubblesort.zero-based.json"),
    ] {
        all.push(serde_json::from_str(example).unwrap());
    }
    let long = (1..=150).map(|k| {
        let line = format!("mov     rax, [rbp+var_{:X}+{k}h]", k % 23);
        (k.to_string(), Value::String(line))
    });
    all.push(Value::Object(long.collect()));
    all.push(json!({
        "1": format!("call    ds:{}", "qqqq.wwww_zzzz".repeat(3)),
        "2": "jmp     short INSTR1",
        "1025": "JMP     INSTR1025; \"\u{dc}n\u{ef}, \"",
    }));
    functions
}

#[test]
fn small_models_of_claps_form_equal_the_reference() {
    let Some(python) = python() else { return };
    let reference = Reference::new(&python, "small");
    let (out, made) = reference.import(&[Precision::Float, Precision::Int8]);
    assert_eq!(made.published, [false, false]);
    reference.check(&Model::load_with(out.path(), Precision::Float).unwrap());

    // Weights as others have saved them again: another prefix, half precision,
    // the shared table twice.
    let float = Model::load_with(out.path(), Precision::Float).unwrap();
    let expected = float.embed_encodings(&reference.encodings()).unwrap();
    let path = reference.part("asm").join("model.safetensors");
    save_again(&path);
    let (out, _) = reference.import(&[Precision::Float]);
    let again = Model::load_with(out.path(), Precision::Float).unwrap();
    let vectors = again.embed_encodings(&reference.encodings()).unwrap();
    for (a, b) in vectors.iter().zip(&expected) {
        assert!(cosine(a, b) > 0.999);
    }
    assert_ne!(again.id(), float.id());

    // Given the other way round, the mistake is named.
    let (asm, text) = (reference.part("asm"), reference.part("text"));
    let said = import::clap(&text, &asm, out.path(), &[]).unwrap_err();
    assert!(said.to_string().contains("not \"mpnet\""), "{said}");
}

fn save_again(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut all = HashMap::new();
    for (name, tensor) in tensors.tensors() {
        let (values, _) = tensor.data().as_chunks();
        let half = values
            .iter()
            .flat_map(|b| half::bf16::from_f32(f32::from_le_bytes(*b)).to_le_bytes());
        let name = name.replace("jroformer.", "roformer.");
        let value = (tensor.shape().to_vec(), half.collect::<Vec<u8>>());
        if name.ends_with("word_embeddings.weight") {
            let twin = name.replace("word_embeddings", "token_type_embeddings");
            all.insert(twin, value.clone());
        }
        all.insert(name, value);
    }
    let views = all.iter().map(|(name, (shape, bytes))| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, shape.clone(), bytes);
        (name.clone(), view.unwrap())
    });
    safetensors::serialize_to_file(views.collect::<HashMap<_, _>>(), None, path).unwrap();
}

#[test]
fn models_of_claps_published_shapes_equal_the_reference() {
    let Some(python) = python() else { return };
    let reference = Reference::new(&python, "published");
    // The published files have these sizes, and the reference wrote these.
    for (part, size) in [("asm", 446_100_912), ("text", 437_967_672)] {
        let path = reference.part(part).join("model.safetensors");
        assert_eq!(std::fs::metadata(path).unwrap().len(), size, "{part}");
    }
    let (out, _) = reference.import(&[Precision::Float]);
    reference.check(&Model::load(out.path()).unwrap());
}
