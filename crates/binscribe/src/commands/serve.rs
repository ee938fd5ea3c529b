//! `binscribe serve`: the commands over HTTP, and a page that asks them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use binscribe_serve::{Options, Server};

use crate::args;
use crate::engine;
use crate::json;
use crate::output::note;

pub(crate) fn run(args: &args::Serve) -> Result<()> {
    let token = args.token_file.as_deref().map(token).transpose()?;
    let indices: Result<_> = args.index.iter().map(|index| named(index)).collect();
    // Without a model half of the routes would fail, each time with the reason that is
    // better told now.
    let model = engine::resolve(args.model.model.as_ref())?;
    let mut model_arguments: Vec<OsString> = vec!["--model".into(), absolute(&model)?.into()];
    model_arguments.extend(args.model.no_cache.then(|| "--no-cache".into()));
    let options = Options {
        program: std::env::current_exe().context("cannot find this program")?,
        model_arguments,
        schemas: json::schemas(),
        indices: indices?,
        token,
        max_upload: args.max_upload << 20,
        max_stored: args.max_stored << 20,
        timeout: Duration::from_secs(args.timeout),
        jobs: args.jobs.into(),
        queue: args.queue.into(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let end = told_to_end()?;
        let server = Server::bind(args.listen, options).await?;
        note(&format!("listening on http://{}/", server.address()));
        server.run(end).await;
        Ok(())
    })
}

/// The secret in a file, without the end of its line.
fn token(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// An index with the name that requests give it.
fn named(index: &Path) -> Result<(String, PathBuf)> {
    let whole = absolute(index)?;
    let what = index.display();
    if !whole.is_dir() {
        bail!("{what} is not an index: make one with `binscribe index add {what} FILE...`");
    }
    let name = whole.file_name().unwrap_or_default();
    let name = name.to_str().filter(|name| !name.is_empty());
    let name = name.with_context(|| format!("{what}: requests could not name it"))?;
    Ok((name.to_owned(), whole))
}

/// Analyses run in another directory.
fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("cannot read {}", path.display()))
}

/// Is there when the user or the system wants the program to end.
fn told_to_end() -> Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminated = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate()).context("cannot wait for signals")?
    };
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}
