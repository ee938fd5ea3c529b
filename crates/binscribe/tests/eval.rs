//! The evaluations, over a small corpus and with random weights: their form and
//! their arithmetic, not how good anything is.

use std::path::Path;

use binscribe_corpus::{Row, write_rows};
use serde_json::Value;

use crate::{Binscribe, random_model};

const MANIFEST: &str = r#"
schema = 1
[[package]]
name = "liba"
path = "liba"
split = "train"
license = "MIT"
category = "crypto"
labels = ["http"]
[[package]]
name = "libb"
path = "libb"
split = "validation"
license = "MIT"
category = "crypto"
labels = ["dns"]
[[package]]
name = "libc"
path = "libc"
split = "test"
license = "MIT"
category = "crypto"
labels = ["http", "dns"]
"#;

/// Algorithms with code that tells them apart.
const ALGORITHMS: [(&str, &str); 3] = [
    ("aes", "movzx   eax, byte ptr [rdi]\nxor     eax, 1B1B1B1Bh"),
    (
        "md5",
        "rol     eax, 7\nadd     eax, 0D76AA478h; MD5 round constant",
    ),
    ("rc4", "mov     dl, [rsi+rcx]\nxchg    dl, [rsi+rax]"),
];

fn row(package: &str, split: &str, algorithm: usize, number: usize, toolchain: [&str; 4]) -> Row {
    let (name, body) = ALGORITHMS[algorithm];
    let [compiler, level, arch, obfuscation] = toolchain;
    let id = format!("{package}-{name}-{number}");
    Row {
        package: package.to_owned(),
        version: "1".to_owned(),
        split: split.to_owned(),
        compiler: compiler.to_owned(),
        level: level.to_owned(),
        arch: arch.to_owned(),
        format: "elf".to_owned(),
        obfuscation: obfuscation.to_owned(),
        name: format!("{name}_dns_{number}"),
        file: format!("src/{name}.c"),
        listing: format!("push    rbp\n{body}\nlea     rax, [rdx+{number}{number}h]\nretn"),
        comment: Some(format!(
            "Run step number{number} of {name} over block{number}."
        )),
        source_hash: id.clone(),
        function_id: id,
        ..Row::default()
    }
}

/// Writes the corpus and its manifest; their paths.
fn corpus(binscribe: &Binscribe) -> (String, String) {
    let rows = binscribe.directory.path().join("corpus/rows");
    std::fs::create_dir_all(&rows).expect("a directory");
    for (package, split) in [("liba", "train"), ("libb", "validation"), ("libc", "test")] {
        let mut all = Vec::new();
        for algorithm in 0..3 {
            for number in 0..6 {
                let plain = ["gcc", "clang"].map(|c| [c, "O2", "x86-64", ""]);
                let others = [
                    ["gcc", "O0", "x86-64", ""],
                    ["gcc", "O3", "x86-64", ""],
                    ["gcc", "O2", "arm", ""],
                    ["clang", "O2", "x86-64", "flatten"],
                ];
                let builds = plain.into_iter().chain(others);
                all.extend(builds.map(|t| row(package, split, algorithm, number, t)));
            }
        }
        let path = rows.join(format!("{package}.parquet"));
        write_rows(&path, &all).expect("written");
    }
    let corpus = rows
        .parent()
        .and_then(Path::to_str)
        .expect("UTF-8")
        .to_owned();
    (corpus, binscribe.file("packages.toml", MANIFEST.as_bytes()))
}

/// The value of a method in a comparison, at a pool or number of shots.
fn value(report: &Value, method: &str, comparison: &str, name: &str) -> f64 {
    let figures = report["figures"].as_array().expect("figures");
    let figure = figures
        .iter()
        .find(|f| f["method"] == method && f["comparison"] == comparison)
        .unwrap_or_else(|| panic!("no {method}, {comparison} in {report}"));
    figure["values"][name]["value"].as_f64().expect("a number")
}

#[test]
fn a_model_gets_a_reference_set_of_other_packages() {
    let binscribe = Binscribe::new();
    let model = binscribe.directory.path().join("model");
    random_model::write(&model);
    let (corpus, _) = corpus(&binscribe);
    let mine = binscribe.directory.path().join("mine");
    let (model, mine) = (
        model.to_str().expect("UTF-8"),
        mine.to_str().expect("UTF-8"),
    );
    let export = |from, more: &[&'static str]| {
        let args = ["model", "export", from, "--corpus", &corpus, "-o", mine];
        [&args[..], more].concat()
    };
    binscribe.ok(&export(model, &[]));

    let info = |dir| binscribe.json(&["model", "info", dir]);
    let (before, after) = (info(model), info(mine));
    assert_eq!(before["model"]["id"], after["model"]["id"]);
    // Three builds each of eighteen functions, all alike.
    assert_eq!(before["reference"]["vectors"], 0);
    assert_eq!(after["reference"]["vectors"], 18);
    let card = std::fs::read_to_string(Path::new(mine).join("README.md")).expect("a card");
    assert!(
        card.contains("taken from another model directory"),
        "{card}"
    );

    // Of packages to learn from alone: the confidences stay.
    let calibration = || std::fs::read(Path::new(mine).join("calibration.json")).expect("one");
    let before = calibration();
    let rows = Path::new(&corpus).join("rows");
    for package in ["libb", "libc"] {
        std::fs::remove_file(rows.join(format!("{package}.parquet"))).expect("removed");
    }
    let output = binscribe.run(&export(mine, &[]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the confidences stay"), "{said}");
    assert!(calibration() == before, "other confidences");
    assert_eq!(info(mine)["reference"]["vectors"], 18);

    // Added to what is there: twice the same.
    binscribe.ok(&export(mine, &["--add"]));
    assert_eq!(info(mine)["reference"]["vectors"], 36);

    // Over itself, and with fewer.
    binscribe.ok(&export(mine, &["--reference", "5"]));
    assert_eq!(info(mine)["reference"]["vectors"], 5);
    let said = binscribe.fails(&export(mine, &["--float"]));
    assert!(said.contains("single precision"), "{said}");
    let output = binscribe.run(&export(mine, &["--toolchains", "gcc O9"]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("no function of the train split under gcc O9"),
        "{said}"
    );
    std::fs::remove_file(Path::new(mine).join("text.int8.onnx")).expect("removed");
    let said = binscribe.fails(&export(mine, &[]));
    assert!(said.contains("neither a finished training run"), "{said}");
}

#[test]
fn every_evaluation_has_a_report_and_reports_make_a_page() {
    let binscribe = Binscribe::new();
    let model = binscribe.directory.path().join("model");
    random_model::write(&model);
    let model = model.to_str().expect("UTF-8");
    let (corpus, manifest) = corpus(&binscribe);
    let mut files = Vec::new();
    let mut eval = |task: &str, more: &[&str]| -> Value {
        let common = [
            "eval", task, "--corpus", &corpus, "--model", model, "--format", "json",
        ];
        let text = binscribe.ok(&[&common[..], more].concat());
        files.push(binscribe.file(&format!("{}.json", files.len()), text.as_bytes()));
        let report: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(report["version"], 2);
        report
    };

    let report = eval("bcsd", &["--pool", "2,100"]);
    // All builds of a function are alike here.
    assert_eq!(value(&report, "model", "levels mean", "recall_1"), 1.0);
    assert_eq!(value(&report, "TF-IDF", "gcc O2 - arm", "recall_1"), 1.0);
    assert_eq!(value(&report, "model", "obfuscations mean", "mrr"), 1.0);
    assert_eq!(value(&report, "model", "all builds", "map"), 1.0);
    assert_eq!(value(&report, "random", "levels mean", "recall_1"), 0.5);

    let report = eval("retrieval", &["--pool", "40"]);
    let pools: Vec<_> = report["figures"]
        .as_array()
        .expect("some")
        .iter()
        .map(|f| &f["pool"])
        .collect();
    assert!(
        pools.contains(&&Value::from(18)) && pools.contains(&&Value::from(40)),
        "{pools:?}"
    );

    let manifest = ["--manifest", &manifest];
    let report = eval("crypto", &manifest);
    assert_eq!(report["labels"], serde_json::json!(["AES", "MD5", "RC4"]));
    assert_eq!(
        value(&report, "supervised from scratch", "function", "accuracy"),
        1.0
    );
    assert_eq!(
        value(&report, "supervised from scratch", "file", "accuracy"),
        1.0
    );
    assert!(value(&report, "zero-shot", "function", "accuracy") <= 1.0);
    // MD5's constant is found, and the rest is guessed.
    assert!(value(&report, "constants", "function", "accuracy") >= 1.0 / 3.0);
    assert!(
        report["notes"].to_string().contains("competitive"),
        "{}",
        report["notes"]
    );

    // Where there is one protocol there is nothing to choose.
    let only = [
        "eval",
        "protocol",
        "--split",
        "validation",
        "--corpus",
        &corpus,
        "--model",
        model,
    ];
    let said = binscribe.fails(&[&only[..], &manifest].concat());
    assert!(said.contains("--split unseen"), "{said}");
    let report = eval(
        "probe",
        &[
            &manifest[..],
            &["--task", "crypto", "--shots", "1,all", "--draws", "2"],
        ]
        .concat(),
    );
    assert_eq!(report["task"], "crypto probe");
    assert_eq!(report["figures"].as_array().expect("some").len(), 12);
    let labels = binscribe.file("mine.tsv", b"*\t*\taes*\tblock\n*\t*\trc4*\tstream\n");
    let report = eval("probe", &["--task", &labels, "--shots", "all"]);
    assert_eq!(
        value(&report, "words from scratch", "function", "accuracy"),
        1.0
    );

    let page = binscribe.directory.path().join("results/page.md");
    let mut command = vec!["eval", "report", "-o", page.to_str().expect("UTF-8")];
    command.extend(files.iter().map(String::as_str));
    binscribe.ok(&command);
    let text = std::fs::read_to_string(&page).expect("a page");
    for (number, task) in ["bcsd", "retrieval", "crypto"].iter().enumerate() {
        let picture = format!("page-{}-{task}.svg", number + 1);
        assert!(text.contains(&picture), "{text}");
        let svg = std::fs::read_to_string(page.with_file_name(&picture)).expect("a picture");
        assert!(svg.starts_with("<svg"), "{svg}");
    }
    assert!(text.contains("binscribe eval bcsd --corpus"), "{text}");
    let said = binscribe.fails(&["eval", "report", "-o", "x.md", manifest[1]]);
    assert!(said.contains("binscribe eval TASK"), "{said}");
}
