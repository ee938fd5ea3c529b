//! The routes, and what `/openapi.json` says of them.

use std::ffi::OsString;
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;

use crate::document::{self, Page};
use crate::guard::guard;
use crate::metrics;
use crate::programs::Lease;
use crate::refusal::Refusal;
use crate::runner::{Question, option};
use crate::{App, page};

/// Of a list so many items are given unless more are asked for.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 10_000;

/// Answers of a search at most.
const MOST_MATCHES: usize = 1000;

/// Bytes of a text that is searched for, and of a function's name.
const LONGEST: usize = 4096;

/// Hexadecimal digits of the hash of a program.
const DIGITS: usize = 64;

type Answer = Result<Response, Refusal>;
type Asked<T> = Result<Query<T>, QueryRejection>;
type Named = Result<Path<String>, PathRejection>;
type Shared = State<Arc<App>>;

fn routes() -> Vec<(&'static str, MethodRouter<Arc<App>>)> {
    vec![
        ("/", get(page::page)),
        ("/page.js", get(page::script)),
        ("/page.css", get(page::style)),
        ("/icon.svg", get(page::icon)),
        ("/healthz", get(healthz)),
        ("/metrics", get(figures)),
        ("/openapi.json", get(openapi)),
        ("/v1", get(about)),
        ("/v1/programs", post(upload)),
        ("/v1/programs/{id}", get(program).delete(remove)),
        ("/v1/programs/{id}/functions", get(functions)),
        ("/v1/programs/{id}/explain", get(explain)),
        ("/v1/programs/{id}/listing", get(listing)),
        ("/v1/programs/{id}/decompile", get(decompile)),
        ("/v1/programs/{id}/search", get(search)),
        ("/v1/programs/{id}/similar", get(similar)),
        ("/v1/programs/{id}/classify", get(classify)),
        ("/v1/diff", get(diff)),
        ("/v1/indices/{name}/search", get(search_index)),
    ]
}

pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, methods) in routes() {
        router = router.route(path, methods);
    }
    let guard = axum::middleware::from_fn_with_state(Arc::clone(&app), guard);
    router
        .fallback(async || {
            Refusal::new(StatusCode::NOT_FOUND, "no_route", "there is no such route")
        })
        .method_not_allowed_fallback(async || {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            Refusal::new(status, "method", "this route does not take this method")
        })
        .layer(guard)
        .with_state(app)
}

/// The description of all routes, with the schemas of what the command prints.
pub(crate) fn description(schemas: &Map<String, Value>) -> String {
    let text = include_str!("openapi.json");
    // A test reads it; and what is no JSON would still be passed on as it is.
    let Ok(mut document) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    if let Some(all) = document["components"]["schemas"].as_object_mut() {
        all.extend(schemas.clone());
    }
    document.to_string()
}

async fn healthz() -> Response {
    document::json(
        StatusCode::OK,
        json!({"version": 1, "state": "up"}).to_string(),
    )
}

async fn openapi(State(app): Shared) -> Response {
    document::json(StatusCode::OK, app.openapi.clone())
}

async fn figures(State(app): Shared) -> Answer {
    let (running, waiting) = app.runner.load();
    let (programs, program_bytes) = app.programs.count();
    let text = app.metrics.text(metrics::State {
        running,
        waiting,
        programs,
        program_bytes,
    });
    let mut response = text
        .map_err(|error| Refusal::failed(&io::Error::other(error)))?
        .into_response();
    let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

async fn about(State(app): Shared) -> Response {
    let indices: Vec<&str> = app.indices.iter().map(|(name, _)| name.as_str()).collect();
    let about = json!({
        "version": 1,
        "binscribe": env!("CARGO_PKG_VERSION"),
        "indices": indices,
        "max_upload": app.max_upload,
        "timeout": app.timeout.as_secs(),
    });
    document::json(StatusCode::OK, about.to_string())
}

/// How to read a file without a format: of every question about it.
#[derive(Debug, Default)]
struct Raw {
    arch: Option<String>,
    base: Option<String>,
}

impl Raw {
    fn options(self) -> impl Iterator<Item = OsString> {
        let options = [option("--arch", self.arch), option("--base", self.base)];
        options.into_iter().flatten()
    }
}

/// A program, or one in it: `HASH` or `HASH:MEMBER`.
struct Program {
    lease: Lease,
    operand: OsString,
}

impl App {
    fn program(&self, id: &str) -> Result<Program, Refusal> {
        let (hash, member) = match id.split_once(':') {
            Some((hash, member)) => (hash, Some(member)),
            None => (id, None),
        };
        // Nothing else may become the name of a file.
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hash.len() != DIGITS || !hash.bytes().all(hexadecimal) {
            return Err(Refusal::wrong(format!(
                "a program is named by the {DIGITS} hexadecimal digits that its upload is \
                 answered with, and :MEMBER for one that is in it"
            )));
        }
        let lease = self.programs.lease(hash).ok_or_else(|| {
            Refusal::new(
                StatusCode::NOT_FOUND,
                "no_program",
                "there is no such program, or no longer: upload it (again)",
            )
        })?;
        let mut operand = OsString::from(lease.id());
        if let Some(member) = member {
            operand.push(":");
            operand.push(member);
        }
        Ok(Program { lease, operand })
    }

    fn index(&self, name: &str) -> Result<&FilePath, Refusal> {
        let index = self.indices.iter().find(|(index, _)| index == name);
        index.map(|(_, path)| path.as_path()).ok_or_else(|| {
            let status = StatusCode::NOT_FOUND;
            Refusal::new(status, "no_index", "this server has no index of that name")
        })
    }

    async fn answer(&self, question: Question, page: Page) -> Answer {
        let document = self.runner.ask(&question).await?;
        let text = document.page(page);
        let text = text.map_err(|error| Refusal::failed(&error.into()))?;
        Ok(document::json(StatusCode::OK, text))
    }
}

/// The list is there as a whole, or there is none.
const WHOLE: Page = Page {
    offset: 0,
    limit: usize::MAX,
};

fn asked<T>(query: Asked<T>) -> Result<T, Refusal> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(rejection) => Err(Refusal::wrong(rejection.body_text())),
    }
}

fn named(path: Named) -> Result<String, Refusal> {
    match path {
        Ok(Path(name)) => Ok(name),
        Err(rejection) => Err(Refusal::wrong(rejection.body_text())),
    }
}

fn part(offset: Option<usize>, limit: Option<usize>) -> Result<Page, Refusal> {
    let limit = limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Refusal::wrong(format!("limit is from 1 to {LARGEST_PAGE}")));
    }
    Ok(Page {
        offset: offset.unwrap_or(0),
        limit,
    })
}

fn matches(k: Option<usize>) -> Result<Option<OsString>, Refusal> {
    match k {
        Some(k) if !(1..=MOST_MATCHES).contains(&k) => {
            Err(Refusal::wrong(format!("k is from 1 to {MOST_MATCHES}")))
        }
        k => Ok(option("-k", k)),
    }
}

fn text(name: &str, text: String) -> Result<String, Refusal> {
    if text.trim().is_empty() || text.len() > LONGEST {
        let message = format!("{name} has from 1 to {LONGEST} bytes");
        return Err(Refusal::wrong(message));
    }
    Ok(text)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UploadQuery {
    member: Option<String>,
    arch: Option<String>,
    base: Option<String>,
}

/// What is said of a program that was uploaded.
#[derive(Serialize)]
struct Uploaded<'a> {
    version: u32,
    /// What requests name it by.
    id: String,
    binary: Option<&'a RawValue>,
    /// How many functions it has.
    total: usize,
    warnings: &'a [String],
}

async fn upload(
    State(app): Shared,
    query: Asked<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let query = asked(query)?;
    let kind = headers.get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes() != b"application/octet-stream") {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media_type",
            "send the bytes of the file themselves, as application/octet-stream",
        ));
    }
    let place = app.uploads.try_acquire();
    let place = place.map_err(|_| Refusal::busy("uploads"))?;
    let received = receive(&app, body.into_data_stream());
    let received = tokio::time::timeout(app.timeout, received).await;
    let (file, size, id) = received.map_err(|_| {
        let status = StatusCode::REQUEST_TIMEOUT;
        Refusal::new(status, "slow", "the upload took too long")
    })??;
    let lease = app.programs.keep(file, size, id);
    drop(place);
    let lease = lease.map_err(|error| Refusal::failed(&error))?;
    let id = match &query.member {
        Some(member) => format!("{}:{member}", lease.id()),
        None => lease.id().to_owned(),
    };
    let raw = Raw {
        arch: query.arch,
        base: query.base,
    };
    // What cannot be read as it is may be a package, whose members can.
    let answer = describe(&app, &id, raw).await;
    answer.map_err(|refusal| refusal.about(lease.id()))
}

async fn describe(app: &App, id: &str, raw: Raw) -> Answer {
    let program = app.program(id)?;
    let document = app.runner.ask(&functions_of(&program, raw)).await?;
    let uploaded = Uploaded {
        version: 1,
        id: id.to_owned(),
        binary: document.field("binary"),
        total: document.total(),
        warnings: document.warnings(),
    };
    let text = serde_json::to_string(&uploaded);
    let text = text.map_err(|error| Refusal::failed(&error.into()))?;
    Ok(document::json(StatusCode::OK, text))
}

/// Writes an upload to a file: that, its size and its hash.
async fn receive(
    app: &App,
    mut body: BodyDataStream,
) -> Result<(NamedTempFile, u64, String), Refusal> {
    let failed = |error: io::Error| Refusal::failed(&error);
    let file = app.programs.file().map_err(failed)?;
    let mut out = tokio::fs::File::from_std(file.reopen().map_err(failed)?);
    let mut hasher = blake3::Hasher::new();
    let mut size: u64 = 0;
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|_| Refusal::wrong("the upload broke off"))?;
        size += bytes.len() as u64;
        if size > app.max_upload {
            // A client that still sends would miss the answer.
            let mut rest = app.max_upload;
            while let Some(Ok(bytes)) = body.next().await {
                rest = rest.saturating_sub(bytes.len() as u64);
                if rest == 0 {
                    break;
                }
            }
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!("a file may have {} bytes here", app.max_upload),
            ));
        }
        hasher.update(&bytes);
        out.write_all(&bytes).await.map_err(failed)?;
    }
    out.flush().await.map_err(failed)?;
    Ok((file, size, hasher.finalize().to_hex().to_string()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuery {
    arch: Option<String>,
    base: Option<String>,
}

async fn program(State(app): Shared, id: Named, query: Asked<RawQuery>) -> Answer {
    let RawQuery { arch, base } = asked(query)?;
    describe(&app, &named(id)?, Raw { arch, base }).await
}

async fn remove(State(app): Shared, id: Named) -> Answer {
    let program = app.program(&named(id)?)?;
    app.programs.forget(program.lease.id());
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FunctionsQuery {
    arch: Option<String>,
    base: Option<String>,
    offset: Option<usize>,
    limit: Option<usize>,
}

fn functions_of(program: &Program, raw: Raw) -> Question {
    Question {
        command: "functions",
        options: raw.options().collect(),
        operands: vec![program.operand.clone()],
        asks_model: false,
        list: Some("functions"),
        lasting: true,
    }
}

async fn functions(State(app): Shared, id: Named, query: Asked<FunctionsQuery>) -> Answer {
    let query = asked(query)?;
    let page = part(query.offset, query.limit)?;
    let program = app.program(&named(id)?)?;
    let raw = Raw {
        arch: query.arch,
        base: query.base,
    };
    app.answer(functions_of(&program, raw), page).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainQuery {
    function: Option<String>,
    top: Option<usize>,
    min_confidence: Option<f32>,
    arch: Option<String>,
    base: Option<String>,
    offset: Option<usize>,
    limit: Option<usize>,
}

async fn explain(State(app): Shared, id: Named, query: Asked<ExplainQuery>) -> Answer {
    let query = asked(query)?;
    let page = part(query.offset, query.limit)?;
    let function = query.function.map(|f| text("function", f)).transpose()?;
    let program = app.program(&named(id)?)?;
    let raw = Raw {
        arch: query.arch,
        base: query.base,
    };
    let options = [
        option("--function", function),
        option("--top", query.top),
        option("--min-confidence", query.min_confidence),
    ];
    let question = Question {
        command: "explain",
        options: options.into_iter().flatten().chain(raw.options()).collect(),
        operands: vec![program.operand],
        asks_model: true,
        list: Some("functions"),
        lasting: true,
    };
    app.answer(question, page).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListingQuery {
    function: String,
    arch: Option<String>,
    base: Option<String>,
    offset: Option<usize>,
    limit: Option<usize>,
}

async fn listing(State(app): Shared, id: Named, query: Asked<ListingQuery>) -> Answer {
    let query = asked(query)?;
    let page = part(query.offset, query.limit)?;
    let function = text("function", query.function)?;
    let program = app.program(&named(id)?)?;
    let raw = Raw {
        arch: query.arch,
        base: query.base,
    };
    let question = Question {
        command: "listing",
        options: raw.options().collect(),
        operands: vec![program.operand, function.into()],
        asks_model: false,
        list: Some("lines"),
        lasting: true,
    };
    app.answer(question, page).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DecompileQuery {
    function: String,
    arch: Option<String>,
    base: Option<String>,
}

async fn decompile(State(app): Shared, id: Named, query: Asked<DecompileQuery>) -> Answer {
    let query = asked(query)?;
    let function = text("function", query.function)?;
    let program = app.program(&named(id)?)?;
    let raw = Raw {
        arch: query.arch,
        base: query.base,
    };
    let question = Question {
        command: "decompile",
        options: raw.options().collect(),
        operands: vec![program.operand, function.into()],
        asks_model: false,
        list: None,
        lasting: true,
    };
    app.answer(question, WHOLE).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchQuery {
    q: String,
    k: Option<usize>,
    arch: Option<String>,
    base: Option<String>,
}

async fn search(State(app): Shared, id: Named, query: Asked<SearchQuery>) -> Answer {
    let query = asked(query)?;
    let words = text("q", query.q)?;
    let k = matches(query.k)?;
    let program = app.program(&named(id)?)?;
    let raw = Raw {
        arch: query.arch,
        base: query.base,
    };
    let question = Question {
        command: "search",
        options: k.into_iter().chain(raw.options()).collect(),
        operands: vec![words.into(), program.operand],
        asks_model: true,
        list: None,
        lasting: true,
    };
    app.answer(question, WHOLE).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexQuery {
    q: String,
    k: Option<usize>,
}

async fn search_index(State(app): Shared, name: Named, query: Asked<IndexQuery>) -> Answer {
    let query = asked(query)?;
    let words = text("q", query.q)?;
    let k = matches(query.k)?;
    let question = Question {
        command: "search",
        options: k.into_iter().collect(),
        operands: vec![words.into(), app.index(&named(name)?)?.into()],
        asks_model: true,
        list: None,
        lasting: false,
    };
    app.answer(question, WHOLE).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SimilarQuery {
    function: String,
    k: Option<usize>,
    #[serde(rename = "in")]
    within: Option<String>,
    index: Option<String>,
    arch: Option<String>,
    base: Option<String>,
}

async fn similar(State(app): Shared, id: Named, query: Asked<SimilarQuery>) -> Answer {
    let query = asked(query)?;
    let function = text("function", query.function)?;
    let k = matches(query.k)?;
    let program = app.program(&named(id)?)?;
    let other = query.within.map(|id| app.program(&id)).transpose()?;
    let index = query.index.map(|name| app.index(&name)).transpose()?;
    let within = match (&other, index) {
        (Some(_), Some(_)) => return Err(Refusal::wrong("name a program by in, or an index")),
        (Some(other), None) => Some(other.operand.as_os_str()),
        (None, index) => index.map(FilePath::as_os_str),
    };
    let lasting = index.is_none();
    let within = within.map(|within| {
        let mut option = OsString::from("--in=");
        option.push(within);
        option
    });
    let raw = Raw {
        arch: query.arch,
        base: query.base,
    };
    let options = [k, within];
    let question = Question {
        command: "similar",
        options: options.into_iter().flatten().chain(raw.options()).collect(),
        operands: vec![program.operand, function.into()],
        asks_model: true,
        list: None,
        lasting,
    };
    app.answer(question, WHOLE).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassifyQuery {
    labels: Labels,
    function: Option<String>,
    k: Option<usize>,
    arch: Option<String>,
    base: Option<String>,
}

/// The lists of labels that the command has: no file may be named.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Labels {
    Crypto,
    Protocol,
}

async fn classify(State(app): Shared, id: Named, query: Asked<ClassifyQuery>) -> Answer {
    let query = asked(query)?;
    let function = query.function.map(|f| text("function", f)).transpose()?;
    let k = matches(query.k)?;
    let program = app.program(&named(id)?)?;
    let raw = Raw {
        arch: query.arch,
        base: query.base,
    };
    let labels = match query.labels {
        Labels::Crypto => "crypto",
        Labels::Protocol => "protocol",
    };
    let options = [
        option("--labels", Some(labels)),
        option("--function", function),
        k,
    ];
    let question = Question {
        command: "classify",
        options: options.into_iter().flatten().chain(raw.options()).collect(),
        operands: vec![program.operand],
        asks_model: true,
        list: None,
        lasting: true,
    };
    app.answer(question, WHOLE).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiffQuery {
    old: String,
    new: String,
    function: Option<String>,
    #[serde(default)]
    all: bool,
    arch: Option<String>,
    base: Option<String>,
    offset: Option<usize>,
    limit: Option<usize>,
}

async fn diff(State(app): Shared, query: Asked<DiffQuery>) -> Answer {
    let query = asked(query)?;
    let page = part(query.offset, query.limit)?;
    let function = query.function.map(|f| text("function", f)).transpose()?;
    let (old, new) = (app.program(&query.old)?, app.program(&query.new)?);
    let raw = Raw {
        arch: query.arch,
        base: query.base,
    };
    let options = [
        option("--function", function),
        query.all.then(|| "--all".into()),
    ];
    let question = Question {
        command: "diff",
        options: options.into_iter().flatten().chain(raw.options()).collect(),
        operands: vec![old.operand, new.operand],
        asks_model: true,
        list: Some("functions"),
        lasting: true,
    };
    app.answer(question, page).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document: Value = serde_json::from_str(&description(&Map::new())).expect("JSON");
        let described = document["paths"].as_object().expect("paths");
        let described: Vec<&str> = described.keys().map(String::as_str).collect();
        let served: Vec<&str> = routes().into_iter().map(|(path, _)| path).collect();
        assert_eq!(described, served);
    }
}
