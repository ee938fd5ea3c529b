//! Several real processes that train one model.
//!
//! The runs need the text encoder: `cargo xtask minilm` fetches it.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

#[path = "../src/testing.rs"]
#[allow(dead_code)]
mod testing;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use binscribe_train::Recipe;
use tch::Tensor;

/// A corpus and a recipe in a folder that goes away.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(change: impl FnOnce(&mut Recipe)) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let rows = folder.path().join("rows");
        std::fs::create_dir(&rows).unwrap();
        binscribe_corpus::write_rows(&rows.join("tiny.parquet"), &testing::rows(60)).unwrap();
        let place = Place { folder };
        place.recipe(change);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn recipe(&self, change: impl FnOnce(&mut Recipe)) {
        let text = include_str!("../../../recipes/tiny.toml");
        let mut recipe = Recipe::parse(text, false).unwrap();
        // Muon calculates in bfloat16, which makes much of a small difference.
        recipe.contrast.schedule.optimizer = "adamw".to_owned();
        recipe.contrast.schedule.learning_rate = 1e-3;
        recipe.pretrain.schedule.learning_rate = 1e-3;
        // Neither is a multiple of two.
        recipe.contrast.functions = 15;
        recipe.pretrain.batch_tokens = 3 * recipe.micro_tokens;
        recipe.contrast.text_trainable_layers = 1;
        change(&mut recipe);
        let text = toml::to_string(&recipe).unwrap();
        std::fs::write(self.path("recipe.toml"), text).unwrap();
    }

    fn command(&self, run: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_binscribe-train"));
        for name in ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"] {
            command.env_remove(name);
        }
        command
            .arg(self.path("recipe.toml"))
            .arg("--corpus")
            .arg(self.folder.path())
            .arg("--out")
            .arg(self.path(run))
            .arg("--minilm")
            .arg(testing::minilm())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Two processes; the second by the environment, and with a run directory
    /// of its own.
    fn pair(&self, run: &str, more: &[&str]) -> [Child; 2] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let first = self
            .command(run)
            .args(["--world", "2", "--rank", "0", "--meet"])
            .arg(format!("127.0.0.1:{port}"))
            .args(more)
            .spawn()
            .unwrap();
        let second = self
            .command("second")
            .env("WORLD_SIZE", "2")
            .env("RANK", "1")
            .env("MASTER_ADDR", "127.0.0.1")
            .env("MASTER_PORT", port.to_string())
            .args(more)
            .spawn()
            .unwrap();
        [first, second]
    }
}

fn ended(children: [Child; 2]) -> [(bool, String); 2] {
    children.map(|child| said(&child.wait_with_output().unwrap()))
}

fn said(output: &Output) -> (bool, String) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), text)
}

fn wait_for(path: &Path) {
    for _ in 0..1200 {
        if path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{} never came to be", path.display());
}

fn signal(name: &str, child: &Child) {
    let pid = child.id().to_string();
    let status = Command::new("kill").args([name, &pid]).status();
    assert!(status.unwrap().success());
}

fn state(run: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(run.join("checkpoint/state.json")).unwrap()).unwrap()
}

#[test]
fn two_processes_end_with_the_weights_of_one() {
    let place = Place::new(|recipe| {
        recipe.pretrain.schedule.steps = 5;
        recipe.contrast.schedule.steps = 6;
    });
    let (fine, text) = said(&place.command("one").output().unwrap());
    assert!(fine, "{text}");
    for (fine, text) in ended(place.pair("two", &[])) {
        assert!(fine, "{text}");
    }
    assert!(!place.path("second").exists(), "process 1 wrote files");
    let weights = |run: &str, file: &str| {
        let mut tensors = Tensor::read_safetensors(place.path(run).join(file)).unwrap();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        tensors
    };
    for file in [
        "pretrained.safetensors",
        "checkpoint/encoder.safetensors",
        "checkpoint/text.safetensors",
        "checkpoint/scales.safetensors",
        "checkpoint/bank.safetensors",
    ] {
        for ((name, one), (_, two)) in weights("one", file).iter().zip(&weights("two", file)) {
            let apart = (one - two).abs().max().double_value(&[]);
            assert!(apart < 1e-4, "{file}, {name}: {apart} apart");
        }
    }
    let (one, two) = (state(&place.path("one")), state(&place.path("two")));
    for (one, two) in one["points"]
        .as_array()
        .unwrap()
        .iter()
        .zip(two["points"].as_array().unwrap())
    {
        let loss = |point: &serde_json::Value| point["loss"].as_f64().unwrap();
        assert!((loss(one) - loss(two)).abs() < 1e-3, "{one} {two}");
    }
}

#[test]
fn whoever_is_stopped_stops_all_and_whoever_is_killed_is_named() {
    let place = Place::new(|recipe| {
        recipe.pretrain.schedule.steps = 2;
        recipe.contrast.schedule.steps = 1_000_000;
    });
    let run = place.path("run");
    let pair = place.pair("run", &[]);
    // It is in its second stage.
    wait_for(&run.join("pretrained.safetensors"));
    signal("-INT", &pair[1]);
    let [first, second] = ended(pair);
    assert!(first.0 && second.0, "{first:?} {second:?}");
    assert!(first.1.contains("stopped; --resume goes on"), "{first:?}");
    let before = state(&run);
    assert_eq!(before["stage"], "contrast");

    let [mut first, second] = place.pair("run", &["--resume"]);
    let mut lines = BufReader::new(first.stderr.take().unwrap()).lines();
    let training = |line: &String| line.contains("functions to contrast");
    assert!(
        lines
            .by_ref()
            .map(Result::unwrap)
            .any(|line| training(&line))
    );
    signal("-KILL", &second);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(rest.join("\n").contains("process 1 has ended"), "{rest:?}");
    assert!(!first.wait().unwrap().success());
    assert!(!second.wait_with_output().unwrap().status.success());

    let step = before["step"].as_u64().unwrap();
    place.recipe(|recipe| recipe.contrast.schedule.steps = step + 3);
    for (fine, text) in ended(place.pair("run", &["--resume"])) {
        assert!(fine, "{text}");
    }
    assert_eq!(state(&run)["step"].as_u64(), Some(step + 3));
    assert!(run.join("model.safetensors").is_file());
}
