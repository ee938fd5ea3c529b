//! The Hugging Face Hub, or what `HF_ENDPOINT` names instead. What its own tools have
//! loaded before is not loaded again (`HF_HOME`).

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Repo, RepoType};

/// How often a part of a download is tried again.
const RETRIES: usize = 5;

/// Repository and revision of what a user names: `owner/name`, or
/// `owner/name@REVISION`.
pub(crate) fn parts(name: &str) -> Result<(&str, &str)> {
    let (id, revision) = name.split_once('@').unwrap_or((name, "main"));
    let is_repository = matches!(id.split('/').collect::<Vec<_>>()[..], [owner, model]
        if !owner.is_empty() && !model.is_empty() && !owner.starts_with('.'));
    if !is_repository {
        bail!("`{name}` is not owner/name of the Hugging Face Hub");
    }
    Ok((id, revision))
}

/// The repository `id` at a revision.
pub(crate) fn repository(id: &str, revision: &str) -> Result<ApiRepo> {
    let api = ApiBuilder::from_env()
        .with_progress(true)
        .with_retries(RETRIES)
        .build()
        .with_context(|| format!("{id}: the Hub cannot be asked"))?;
    let repo = Repo::with_revision(id.to_owned(), RepoType::Model, revision.to_owned());
    Ok(api.repo(repo))
}

/// Where a file of the repository `name` lies, loaded if it was not yet.
pub(crate) fn file(repo: &ApiRepo, name: &str, file: &str) -> Result<PathBuf> {
    repo.get(file).with_context(|| {
        format!(
            "{name}: {file} cannot be had from the Hub (HF_ENDPOINT names another one); without \
             a network, copy the repository here and name its directory"
        )
    })
}
