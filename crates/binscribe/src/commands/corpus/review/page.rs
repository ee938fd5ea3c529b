//! The page on which a person rates explanations in a browser.
//!
//! Sources, comments and answers are by strangers: they are escaped, and the
//! page may load nothing and send its form nowhere but here. Whoever has not the
//! token of the address, such as a page of another site that the same browser
//! shows, is told nothing and can change nothing.

use std::collections::HashSet;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use binscribe_corpus::explain::{Pair, Review, listing_of};

use super::super::{STOP, watch_for_ctrl_c};
use crate::args;
use crate::output::note;
use crate::terminal;

const TEMPLATE: &str = include_str!("page.html");
/// Bytes of a request's head, and of a form.
const MAX_HEAD: usize = 16 << 10;
const MAX_FORM: usize = 64 << 10;
/// Connections at a time; browsers open some that they never use.
const MAX_CONNECTIONS: usize = 32;
/// How long a connection may say nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the connections share.
struct Site {
    /// Secret; the first part of every path.
    token: String,
    /// Allows the page's own style and script, and none that got into it.
    nonce: String,
    hide_origin: bool,
    public: bool,
    pairs: Vec<Pair>,
    rows: PathBuf,
    state: Mutex<State>,
}

struct State {
    review: Review,
    /// Places of pairs that the rater did not want.
    skipped: HashSet<usize>,
}

/// Serves the page until Ctrl-C.
pub(super) fn serve(
    args: &args::CorpusReview,
    address: SocketAddr,
    review: Review,
    pairs: Vec<Pair>,
    rows: PathBuf,
) -> Result<()> {
    if !address.ip().is_loopback() && !args.public {
        bail!(
            "{address} can be reached by other machines; serve on 127.0.0.1, or add --public if \
             that is what you want"
        );
    }
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot serve on {address}"))?;
    listener.set_nonblocking(true)?;
    watch_for_ctrl_c()?;
    let site = Site {
        token: format!("{:032x}", rand::random::<u128>()),
        nonce: format!("{:032x}", rand::random::<u128>()),
        hide_origin: args.hide_origin,
        public: args.public,
        pairs,
        rows,
        state: Mutex::new(State {
            review,
            skipped: HashSet::new(),
        }),
    };
    note(&format!(
        "open http://{}/{}/ in a browser; Ctrl-C ends it",
        listener.local_addr()?,
        site.token
    ));
    let open = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        while !STOP.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((stream, _)) if open.load(Ordering::Relaxed) < MAX_CONNECTIONS => {
                    open.fetch_add(1, Ordering::Relaxed);
                    let (site, open) = (&site, &open);
                    scope.spawn(move || {
                        // A client that breaks off is no trouble of ours.
                        let _ = site.answer(stream);
                        open.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                // One too many is closed; or there is none.
                Ok(_) => {}
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    });
    Ok(())
}

struct Request {
    method: String,
    path: String,
    host: String,
    origin: Option<String>,
    body: Vec<u8>,
}

struct Response {
    status: &'static str,
    kind: &'static str,
    location: Option<String>,
    body: String,
}

impl Response {
    fn plain(status: &'static str, body: &str) -> Response {
        Response {
            status,
            kind: "text/plain; charset=utf-8",
            location: None,
            body: body.to_owned(),
        }
    }
}

impl Site {
    fn answer(&self, mut stream: TcpStream) -> Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let response = match read_request(&mut stream)? {
            Some(request) => self.respond(&request),
            None => Response::plain("400 Bad Request", "this is no request\n"),
        };
        let location = response
            .location
            .map(|to| format!("Location: {to}\r\n"))
            .unwrap_or_default();
        let nonce = &self.nonce;
        write!(
            stream,
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{location}\
             Content-Security-Policy: default-src 'none'; style-src 'nonce-{nonce}'; \
             script-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'\r\n\
             X-Content-Type-Options: nosniff\r\nReferrer-Policy: same-origin\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n{}",
            response.status,
            response.kind,
            response.body.len(),
            response.body
        )?;
        stream.flush()?;
        Ok(())
    }

    fn respond(&self, request: &Request) -> Response {
        let missing = || Response::plain("404 Not Found", "there is no such page\n");
        // A name that was made to point here would have the browser take us for
        // another site.
        if !self.public && !is_loopback(&request.host) {
            return missing();
        }
        let mut parts = request.path.trim_start_matches('/').splitn(2, '/');
        let token = parts.next().unwrap_or_default();
        // Hashes are compared in constant time.
        if blake3::hash(token.as_bytes()) != blake3::hash(self.token.as_bytes()) {
            return missing();
        }
        match (request.method.as_str(), parts.next().unwrap_or_default()) {
            ("GET", "") => self.page(),
            ("POST", "") => self.take(request),
            ("GET", page) => match page.strip_prefix("listing/").map(str::parse::<usize>) {
                Some(Ok(place)) => self.listing(place),
                _ => missing(),
            },
            _ => missing(),
        }
    }

    fn page(&self) -> Response {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_left =
            |(i, pair): &(usize, &Pair)| !state.skipped.contains(i) && !state.review.has(pair);
        let rated = self.pairs.iter().filter(|p| state.review.has(p)).count();
        let next = self.pairs.iter().enumerate().find(is_left);
        drop(state);
        let main = match next {
            None => "<p>Everything of this sample is rated or skipped. Thank you.</p>".to_owned(),
            Some((place, pair)) => self.form(place, pair),
        };
        let filled = fill(
            TEMPLATE,
            &[
                ("nonce", &self.nonce),
                ("rated", &rated.to_string()),
                ("count", &self.pairs.len().to_string()),
                ("main", &main),
            ],
        );
        Response {
            status: "200 OK",
            kind: "text/html; charset=utf-8",
            location: None,
            body: filled,
        }
    }

    fn form(&self, place: usize, pair: &Pair) -> String {
        let function = &pair.function;
        let origin = if self.hide_origin {
            String::new()
        } else {
            format!(
                "<p class=\"origin\">{}</p>",
                escape(&pair.explanation.origin.to_string())
            )
        };
        let buttons: String = ["wrong", "poor", "fair", "good", "right and helpful"]
            .iter()
            .zip(1..)
            .map(|(says, n)| {
                format!(
                    "<button name=\"score\" value=\"{n}\" title=\"{says}\">{n} {says}</button>\n"
                )
            })
            .collect();
        // Enter in the remark presses the first button of the form: it is one that
        // does nothing.
        format!(
            "<h2>{}</h2>\n<p class=\"where\">{}: {} \
             <a href=\"listing/{place}\" target=\"_blank\">listing</a></p>\n\
             <pre id=\"source\">{}</pre>\n{origin}<p id=\"explanation\">{}</p>\n\
             <form method=\"post\" action=\"./\">\n<button disabled hidden></button>\n\
             <input type=\"hidden\" name=\"pair\" value=\"{place}\">\n\
             <input name=\"note\" placeholder=\"a remark, if you like\" maxlength=\"2000\">\n\
             {buttons}<button name=\"score\" value=\"skip\">skip</button>\n</form>",
            escape(&function.name),
            escape(&function.package),
            escape(&function.file),
            escape(&function.source),
            escape(&pair.explanation.text),
        )
    }

    fn take(&self, request: &Request) -> Response {
        // Only a form of our own page may post.
        let own = format!("http://{}", request.host);
        if request.origin.as_ref().is_some_and(|origin| *origin != own) {
            return Response::plain("403 Forbidden", "this form is not ours\n");
        }
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let field = |name: &str| {
            form.split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| decoded(value))
        };
        let place = field("pair").and_then(|place| place.parse::<usize>().ok());
        let pair = place.and_then(|place| Some((place, self.pairs.get(place)?)));
        let score = field("score").unwrap_or_default();
        let number = score.parse::<u8>().ok().filter(|n| (1..=5).contains(n));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (pair, number) {
            (Some((place, _)), None) if score == "skip" => {
                state.skipped.insert(place);
            }
            (Some((_, pair)), Some(score)) => {
                let remark = field("note").unwrap_or_default();
                if let Err(error) = state.review.add(pair, score, &remark) {
                    note(&format!("warning: a score could not be kept: {error}"));
                    return Response::plain(
                        "500 Internal Server Error",
                        "the score could not be kept\n",
                    );
                }
            }
            _ => return Response::plain("400 Bad Request", "this is no score\n"),
        }
        Response {
            status: "303 See Other",
            location: Some(format!("/{}/", self.token)),
            ..Response::plain("", "")
        }
    }

    fn listing(&self, place: usize) -> Response {
        let hash = self.pairs.get(place).map(|p| &p.function.source_hash);
        match hash.map(|hash| listing_of(&self.rows, hash)) {
            Some(Ok(Some(listing))) => Response::plain("200 OK", &listing),
            _ => Response::plain("404 Not Found", "the corpus has no listing of it\n"),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host.parse::<SocketAddr>()
        .is_ok_and(|address| address.ip().is_loopback())
        || host.split(':').next() == Some("localhost")
}

/// Reads one request; none if it is not one, or is too long.
fn read_request(stream: &mut TcpStream) -> Result<Option<Request>> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if head.len() == MAX_HEAD || reader.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    if !request
        .parse(&head)
        .is_ok_and(|status| status.is_complete())
    {
        return Ok(None);
    }
    let header = |name: &str| {
        let header = request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(header.value).into_owned())
    };
    let length = header("content-length").map_or(Ok(0), |value| value.parse::<usize>());
    let Some(length) = length.ok().filter(|length| *length <= MAX_FORM) else {
        return Ok(None);
    };
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request {
        method: request.method.unwrap_or_default().to_owned(),
        path: request.path.unwrap_or_default().to_owned(),
        host: header("host").unwrap_or_default(),
        origin: header("origin"),
        body,
    }))
}

/// Text as HTML shows it: nothing in it is markup, and what is not seen but acts
/// on the order of a line is written out.
fn escape(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| terminal::clean(&line.replace('\t', "        ")))
        .collect();
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in lines.join("\n").chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Puts values into a template in one pass, so that a value that looks like a
/// place stays as it is.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() + 4096);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        let value = values.iter().find(|(key, _)| *key == name);
        filled.push_str(value.map_or("", |(_, value)| value));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// A value of a form, `application/x-www-form-urlencoded`.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = others.get(..2).and_then(|d| std::str::from_utf8(d).ok());
                match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
                    Some(byte) => {
                        bytes.push(byte);
                        rest = &others[2..];
                    }
                    None => bytes.push(b'%'),
                }
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_only_text() {
        let check = |text: &str, expected: &str| assert_eq!(escape(text), expected);
        check(
            "</script><img src=x onerror='alert(\"1\")'>&",
            "&lt;/script&gt;&lt;img src=x onerror=&#39;alert(&quot;1&quot;)&#39;&gt;&amp;",
        );
        check("a\n\tb\u{1b}[2J\u{202e}", "a\n        b\\x1b[2J\\u{202e}");
    }

    #[test]
    fn values_are_not_places() {
        let filled = fill("<{{a}}|{{b}}>", &[("a", "{{b}}"), ("b", "x")]);
        assert_eq!(filled, "<{{b}}|x>");
    }

    #[test]
    fn forms_are_decoded() {
        let check = |value: &str, expected: &str| assert_eq!(decoded(value), expected);
        check("a+b%20c%C3%A9", "a b c\u{e9}");
        check("100%", "100%");
        check("%zz%4", "%zz%4");
    }
}
