//! The commands behind HTTP: programs are uploaded and asked about, by other programs
//! (`/v1`, described by `/openapi.json`) and by people (the page at `/`).
//!
//! # Design constraints
//!
//! - What is uploaded is hostile. Every question about it is a process of the command
//!   itself, with a limit of time, so that a file that brings one down brings down no
//!   more; a process ends with the request that asked for it.
//! - Answers are what the command prints (docs/json.md), passed on as they are. This
//!   crate knows no model and no format of programs; what its caller says of the answers
//!   ([`Options::schemas`]) becomes part of the description.
//! - No request names a file. Programs are named by what they hold, and indexes by names
//!   that whoever starts the server gives them.
//! - All that a client can make grow has a bound: uploads, what is kept of them, what is
//!   run at once, what waits, answers that are kept, connections.
//!
//! [`Server::bind`] opens the address, [`Server::run`] answers until it is told to end.

mod api;
mod document;
mod guard;
mod metrics;
mod page;
mod programs;
mod refusal;
mod runner;

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use guard::Guard;
use metrics::Metrics;
use programs::Programs;
use runner::Runner;

/// So many connections are open at once; others wait to be accepted.
const CONNECTIONS: usize = 256;

/// Whoever does not say what they want in this time is hung up on.
const HEADERS: Duration = Duration::from_secs(30);

/// For processes that are ended to be gone.
const ENDING: Duration = Duration::from_secs(5);

/// Tokens that are shorter can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Other machines could reach it, and it would answer anyone.
    #[error(
        "{address} can be reached from other machines: name a file with a secret in it by \
         --token-file, which clients then have to send, or listen on 127.0.0.1"
    )]
    Exposed {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The token is too short to be a secret.
    #[error("the token has {length} characters; it takes at least {SHORTEST_TOKEN}")]
    ShortToken {
        /// How many bytes it has.
        length: usize,
    },
    /// Two indexes would have one name in requests.
    #[error("two indexes are called {name}: requests name them by their last component")]
    IndexName {
        /// The name.
        name: String,
    },
    /// A single upload may be larger than all of them together.
    #[error("an upload of {upload} bytes would not fit into the {stored} that are kept")]
    Bounds {
        /// Bytes of an upload at most.
        upload: u64,
        /// Bytes of all at most.
        stored: u64,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// There is no directory for what is uploaded.
    #[error("cannot make a temporary directory: {0}")]
    Directory(#[source] io::Error),
}

/// What a server is to do, and how much of it at most.
#[derive(Debug, Clone)]
pub struct Options {
    /// The command that is run for each question.
    pub program: PathBuf,
    /// What it is told beside the question, where the question is for a model.
    pub model_arguments: Vec<OsString>,
    /// The schemas of the documents that it prints, by their names in
    /// `#/components/schemas`: `Functions`, `Explained`, `Listing`, `Matches`,
    /// `IndexMatches` and `Versions`, and what these refer to.
    pub schemas: Map<String, Value>,
    /// The indexes that may be searched, by the names that requests give them.
    pub indices: Vec<(String, PathBuf)>,
    /// What requests under `/v1` and for `/metrics` have to send.
    pub token: Option<String>,
    /// Bytes of an upload at most.
    pub max_upload: u64,
    /// Bytes of all programs that are kept; the one that was asked about least recently
    /// goes first.
    pub max_stored: u64,
    /// After this a process is ended, or an upload given up.
    pub timeout: Duration,
    /// So many processes run at once.
    pub jobs: usize,
    /// So many questions wait for one of them to end; more are refused.
    pub queue: usize,
}

/// A server that has its address and answers nobody yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
}

/// What all requests share.
#[derive(Debug)]
struct App {
    programs: Arc<Programs>,
    runner: Runner,
    guard: Guard,
    metrics: Arc<Metrics>,
    indices: Vec<(String, PathBuf)>,
    openapi: String,
    max_upload: u64,
    timeout: Duration,
    uploads: Semaphore,
}

impl Server {
    /// Opens `address` and makes the directory of uploads, which is removed with the
    /// server.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub async fn bind(address: SocketAddr, options: Options) -> Result<Server, Error> {
        match &options.token {
            None if !address.ip().is_loopback() => return Err(Error::Exposed { address }),
            Some(token) if token.len() < SHORTEST_TOKEN => {
                let length = token.len();
                return Err(Error::ShortToken { length });
            }
            _ => {}
        }
        let (upload, stored) = (options.max_upload, options.max_stored);
        if upload > stored {
            return Err(Error::Bounds { upload, stored });
        }
        for (at, (name, _)) in options.indices.iter().enumerate() {
            if options.indices[..at].iter().any(|(other, _)| other == name) {
                return Err(Error::IndexName { name: name.clone() });
            }
        }
        let refused = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let programs = Arc::new(Programs::new(stored).map_err(Error::Directory)?);
        let metrics = Arc::new(Metrics::new());
        let app = App {
            runner: Runner::new(&options, &programs, Arc::clone(&metrics)),
            guard: Guard::new(address.ip(), options.token.as_deref()),
            openapi: api::description(&options.schemas),
            // Nobody can fill the disk by many uploads that are not yet kept.
            uploads: Semaphore::new(options.jobs + options.queue),
            indices: options.indices,
            max_upload: upload,
            timeout: options.timeout,
            programs,
            metrics,
        };
        Ok(Server {
            listener,
            address,
            app: Arc::new(app),
        })
    }

    /// Where it listens: with the port that it was given if it asked for any.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `end` is there. Then the processes that run are ended, and what was
    /// uploaded is removed.
    pub async fn run(self, end: impl Future<Output = ()>) {
        let router = api::router(Arc::clone(&self.app));
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        let accept = async {
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                let stream = match self.listener.accept().await {
                    Ok((stream, _)) => stream,
                    // Too many open files, or a client that is gone again: neither is
                    // worth ending for, and the first passes.
                    Err(_) => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let service = TowerToHyperService::new(router.clone());
                connections.spawn(async move {
                    let _place = place;
                    // That a client hangs up concerns nobody else.
                    let _ = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEADERS)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
                while connections.try_join_next().is_some() {}
            }
        };
        tokio::select! {
            () = accept => {}
            () = end => {}
        }
        // A process that still writes would put files back into a directory that is
        // being removed.
        let _ = tokio::time::timeout(ENDING, self.app.runner.end()).await;
        connections.shutdown().await;
    }
}
