//! Where outputs go: a directory of this machine or a bucket that all machines
//! reach, by URL.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use futures_util::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt as _, ObjectStoreScheme, PutMode, PutPayload};
use regex::Regex;
use reqwest::Url;
use tokio::runtime::Runtime;

use crate::comment::pattern;
use crate::error::{Error, Result};

/// Objects under one URL. Its calls block, so it must not be used from within
/// an asynchronous runtime.
///
/// An object is there whole or not at all: a directory gets it under a
/// temporary name first, a bucket in one request.
#[derive(Clone, Debug)]
pub struct Store {
    shown: String,
    objects: Arc<PrefixStore<Arc<dyn ObjectStore>>>,
    runtime: &'static Runtime,
}

impl Store {
    /// The store at a path of this machine (made if it is absent) or at a URL:
    /// `file:///DIR`, `s3://BUCKET/DIR`, `gs://BUCKET/DIR`,
    /// `az://CONTAINER/DIR`, or `memory:///`, which is gone with the process.
    ///
    /// Regions, endpoints and credentials are those of the environment
    /// (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, `GOOGLE_SERVICE_ACCOUNT`,
    /// `AZURE_STORAGE_ACCOUNT_NAME` and so on) or of the machine's own identity
    /// in its cloud.
    pub fn open(url_or_path: &str) -> Result<Store> {
        let shown = without_secrets(url_or_path);
        let fail = |reason: String| Error::Store {
            url: shown.clone(),
            reason,
        };
        let runtime = runtime().map_err(fail)?;
        // The builders of the clouds look for a runtime when they are built.
        let _inside = runtime.enter();
        let (objects, prefix) = match url_or_path.contains("://") {
            true => cloud(url_or_path),
            false => std::path::absolute(url_or_path)
                .map_err(|error| error.to_string())
                .and_then(directory),
        }
        .map_err(fail)?;
        Ok(Store {
            objects: Arc::new(PrefixStore::new(objects, prefix)),
            shown,
            runtime,
        })
    }

    /// The URL or path, without credentials.
    pub fn url(&self) -> &str {
        &self.shown
    }

    /// Writes an object, in place of one of that name.
    pub fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let path = self.path(name)?;
        let put = self.objects.put(&path, PutPayload::from(bytes));
        self.runtime
            .block_on(put)
            .map_err(|e| self.error(name, e))?;
        Ok(())
    }

    /// Writes an object unless there is one of that name; says whether it did.
    /// Of several that try at once, one succeeds. A bucket that cannot do that
    /// (some imitations of S3) keeps the last one.
    pub fn put_if_absent(&self, name: &str, bytes: Vec<u8>) -> Result<bool> {
        use object_store::Error as E;
        let path = self.path(name)?;
        let payload = PutPayload::from(bytes);
        let put = self
            .objects
            .put_opts(&path, payload.clone(), PutMode::Create.into());
        match self.runtime.block_on(put) {
            Ok(_) => Ok(true),
            Err(E::AlreadyExists { .. } | E::Precondition { .. }) => Ok(false),
            Err(E::NotImplemented { .. } | E::NotSupported { .. }) => {
                let put = self.objects.put(&path, payload);
                self.runtime
                    .block_on(put)
                    .map_err(|e| self.error(name, e))?;
                Ok(true)
            }
            Err(error) => Err(self.error(name, error)),
        }
    }

    /// Reads an object whole.
    pub fn get(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path(name)?;
        let bytes = async { self.objects.get(&path).await?.bytes().await };
        let bytes = self.runtime.block_on(bytes);
        Ok(bytes.map_err(|e| self.error(name, e))?.to_vec())
    }

    /// The size of an object in bytes; none if there is no such object.
    pub fn size(&self, name: &str) -> Result<Option<u64>> {
        let path = self.path(name)?;
        match self.runtime.block_on(self.objects.head(&path)) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error(name, error)),
        }
    }

    /// Whether there is an object of that name.
    pub fn exists(&self, name: &str) -> Result<bool> {
        Ok(self.size(name)?.is_some())
    }

    /// The names of all objects in a folder (`units`) and its folders, sorted.
    pub fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.path(folder)?;
        let objects = self.objects.list(Some(&path));
        let names = objects.map_ok(|meta| meta.location.to_string());
        let names = self.runtime.block_on(names.try_collect::<Vec<_>>());
        let mut names = names.map_err(|e| self.error(folder, e))?;
        names.sort_unstable();
        Ok(names)
    }

    /// Removes an object; one that is not there is as good as removed.
    pub fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        match self.runtime.block_on(self.objects.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error(name, error)),
        }
    }

    fn path(&self, name: &str) -> Result<Path> {
        Path::parse(name).map_err(|e| self.error(name, e.into()))
    }

    fn error(&self, name: &str, error: object_store::Error) -> Error {
        Error::Store {
            url: match self.shown.ends_with('/') {
                true => format!("{}{name}", self.shown),
                false => format!("{}/{name}", self.shown),
            },
            reason: without_secrets(&error.to_string()),
        }
    }
}

type Place = (Arc<dyn ObjectStore>, Path);

fn directory(path: PathBuf) -> Result<Place, String> {
    std::fs::create_dir_all(&path).map_err(|error| error.to_string())?;
    // A unit leaves the queue once its output is written, so the output must
    // outlive a loss of power.
    let objects = LocalFileSystem::new_with_prefix(path)
        .map_err(|error| error.to_string())?
        .with_fsync(true);
    Ok((Arc::new(objects), Path::default()))
}

fn cloud(url: &str) -> Result<Place, String> {
    const KNOWN: &str = "use a path, file://, s3://, gs://, az:// or memory://";
    let parsed = Url::parse(url).map_err(|error| format!("{error}; {KNOWN}"))?;
    let (scheme, prefix) =
        ObjectStoreScheme::parse(&parsed).map_err(|_| format!("no such store; {KNOWN}"))?;
    // Another part of the program may have chosen a library already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let text = |error: object_store::Error| without_secrets(&error.to_string());
    let objects: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::Local => {
            let path = parsed.to_file_path();
            return directory(path.map_err(|()| "not a path of this machine".to_owned())?);
        }
        ObjectStoreScheme::Memory => Arc::new(InMemory::new()),
        ObjectStoreScheme::AmazonS3 => {
            let builder = AmazonS3Builder::from_env().with_url(url);
            Arc::new(builder.build().map_err(text)?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(url);
            Arc::new(builder.build().map_err(text)?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(url);
            Arc::new(builder.build().map_err(text)?)
        }
        _ => return Err(format!("cannot be written to; {KNOWN}")),
    };
    Ok((objects, prefix))
}

/// The runtime under the blocking calls of this crate, which lasts as long as
/// the process. Its one thread also tells queues that work goes on.
pub(crate) fn runtime() -> Result<&'static Runtime, String> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
        })
        .as_ref()
        .map_err(|error| format!("no thread for the network could be started: {error}"))
}

/// A text in which URLs have neither a password nor a query, which may carry a
/// signature.
fn without_secrets(text: &str) -> String {
    let password: &Regex = pattern!(r"(://[^/\s:@]*):[^/\s]*@");
    let query: &Regex = pattern!(r#"(://[^\s?"]*)\?[^\s"]*"#);
    let text = password.replace_all(text, "$1:***@");
    query.replace_all(&text, "$1").into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn a_directory_keeps_the_first_of_two_that_are_written_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/here");
        let store = Store::open(path.to_str().unwrap()).unwrap();
        let start = Barrier::new(8);
        let firsts: Vec<bool> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8u8)
                .map(|n| {
                    let (store, start) = (&store, &start);
                    scope.spawn(move || {
                        start.wait();
                        store.put_if_absent("units/a.parquet", vec![n; 1 << 20])
                    })
                })
                .collect();
            writers
                .into_iter()
                .map(|w| w.join().unwrap().unwrap())
                .collect()
        });
        assert_eq!(firsts.iter().filter(|first| **first).count(), 1);
        let first = firsts.iter().position(|first| *first).unwrap();
        assert_eq!(
            store.get("units/a.parquet").unwrap(),
            vec![first as u8; 1 << 20]
        );
        assert_eq!(store.list("units").unwrap(), ["units/a.parquet"]);
        // Nothing of the others is left beside it.
        assert_eq!(std::fs::read_dir(path.join("units")).unwrap().count(), 1);
    }

    #[test]
    fn errors_name_the_place_but_no_credential() {
        let message = Store::open("ftp://user:hunter2@host/dir?sig=abc")
            .unwrap_err()
            .to_string();
        assert!(message.contains("ftp://user:***@host/dir"), "{message}");
        assert!(!message.contains("hunter2") && !message.contains("abc"));

        let store = Store::open("memory:///").unwrap();
        let message = store.get("units/none").unwrap_err().to_string();
        assert!(message.contains("memory:///units/none"), "{message}");
    }
}
