//! The chat interface that OpenAI, Ollama, llama.cpp and vLLM share:
//! `POST {base}/chat/completions`.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::prompt::Prompt;

/// A server that speaks the OpenAI-compatible chat interface, and the model to
/// ask there.
#[derive(Clone)]
pub struct Server {
    /// Up to and with `/v1`, such as `http://localhost:11434/v1`.
    pub base: String,
    /// The model, as the server calls it.
    pub model: String,
    /// Sent as a bearer token.
    pub key: Option<String>,
    /// Certificates (PEM) of the authorities to trust, for a server that Mozilla's
    /// do not vouch for.
    pub authorities: Option<Vec<u8>>,
    /// At most so many tokens for the answer about one function.
    pub answer_tokens: u32,
    /// The model is one that thinks first (OpenAI's o series and later): it
    /// takes `max_completion_tokens`, and no temperature.
    pub reasoning: bool,
    /// How long to wait for an answer.
    pub timeout: Duration,
    /// How often to ask before giving up.
    pub tries: u32,
}

/// Without the key.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("base", &self.base)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// An answer of a server.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) text: String,
    /// The model was stopped because it had said enough.
    pub(crate) cut: bool,
    /// Tokens of question and answer, if the server counts them.
    pub(crate) usage: Option<(u64, u64)>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// 429 or 5xx: later, perhaps when the server says.
    Busy {
        said: String,
        after: Option<Duration>,
    },
    /// Nobody is there.
    Unreachable(String),
    /// The answer was lost or made no sense: it may have cost something.
    Lost(String),
    /// The question is wrong; asking again would not mend it.
    Refused { status: u16, said: String },
}

/// No answer of use is longer, whatever a server sends.
const MAX_REPLY: u64 = 1 << 20;

impl Server {
    /// Whether the server is on this machine, by its address.
    pub fn is_local(&self) -> bool {
        let (_, rest) = self.base.split_once("://").unwrap_or_default();
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let host = match authority.strip_prefix('[') {
            Some(v6) => v6.split(']').next(),
            None => authority.split(':').next(),
        };
        let host = host.unwrap_or_default();
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    pub(crate) fn agent(&self) -> Agent {
        let mut config = Agent::config_builder();
        // A proxy that the environment names does not know this machine's own
        // servers.
        if self.is_local() {
            config = config.proxy(None);
        }
        if let Some(pem) = &self.authorities {
            let certificates = parse_pem(pem).filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            });
            let tls = TlsConfig::builder().root_certs(RootCerts::from(certificates));
            config = config.tls_config(tls.build());
        }
        config
            .timeout_global(Some(self.timeout))
            .timeout_connect(Some(self.timeout.min(Duration::from_secs(10))))
            .http_status_as_error(false)
            // A redirected POST would lose its body, and a key its server.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("binscribe/", env!("CARGO_PKG_VERSION")))
            .build()
            .into()
    }

    fn url(&self) -> String {
        let base = self.base.trim_end_matches('/');
        let base = base.strip_suffix("/chat/completions").unwrap_or(base);
        format!("{base}/chat/completions")
    }

    /// The body of the request for one prompt about `functions` functions.
    fn body(&self, prompt: &Prompt, functions: usize) -> Value {
        let limit = self.limit(functions);
        let mut body = json!({
            "model": self.model,
            "messages": [
                { "role": "system", "content": prompt.system },
                { "role": "user", "content": prompt.user },
            ],
        });
        if self.reasoning {
            body["max_completion_tokens"] = limit.into();
        } else {
            body["max_tokens"] = limit.into();
            body["temperature"] = 0.into();
            body["seed"] = 1.into();
        }
        body
    }

    /// At most so many tokens are answered about so many functions.
    pub(crate) fn limit(&self, functions: usize) -> u64 {
        u64::from(self.answer_tokens) * functions as u64
    }

    /// Asks once.
    pub(crate) fn ask(
        &self,
        agent: &Agent,
        prompt: &Prompt,
        functions: usize,
    ) -> Result<Reply, Failure> {
        let mut request = agent
            .post(self.url())
            .header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let body = self.body(prompt, functions).to_string();
        let mut response = request.send(body.as_bytes()).map_err(failure)?;
        let status = response.status().as_u16();
        let after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry_after(value, SystemTime::now()));
        let bytes = response
            .body_mut()
            .with_config()
            .limit(MAX_REPLY)
            .read_to_vec()
            .map_err(|error| Failure::Lost(format!("the answer broke off: {error}")))?;
        match status {
            200..=299 => reply(&bytes),
            // A timeout of the server's own is as good as a 5xx.
            408 | 429 | 500..=599 => Err(Failure::Busy {
                said: format!("status {status}: {}", said(&bytes)),
                after,
            }),
            _ => Err(Failure::Refused {
                status,
                said: said(&bytes),
            }),
        }
    }
}

const BROKEN: [io::ErrorKind; 6] = [
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::TimedOut,
    io::ErrorKind::WouldBlock,
];

/// What went wrong before there was a response.
fn failure(error: ureq::Error) -> Failure {
    use ureq::Timeout::{Connect, Resolve};
    let text = error.to_string();
    match error {
        ureq::Error::Timeout(Connect | Resolve) => Failure::Unreachable(text),
        ureq::Error::Timeout(_) => Failure::Lost(format!("no answer in time ({text})")),
        // A connection that there was, and that broke.
        ureq::Error::Io(e) if BROKEN.contains(&e.kind()) => Failure::Lost(text),
        _ => Failure::Unreachable(text),
    }
}

/// Reads the body of a good response.
fn reply(bytes: &[u8]) -> Result<Reply, Failure> {
    let lost = |what: &str| Failure::Lost(format!("the answer is {what}: {}", said(bytes)));
    let value: Value = serde_json::from_slice(bytes).map_err(|_| lost("no JSON"))?;
    let choice = &value["choices"][0];
    let message = choice
        .get("message")
        .ok_or_else(|| lost("no chat completion"))?;
    let usage = &value["usage"];
    let tokens = |name: &str| usage[name].as_u64();
    Ok(Reply {
        // A refusal has no content, but a field of its own.
        text: message["content"].as_str().unwrap_or_default().to_owned(),
        cut: choice["finish_reason"] == "length",
        usage: tokens("prompt_tokens").zip(tokens("completion_tokens")),
    })
}

/// The message of an error response, in the forms that servers have for it.
fn said(bytes: &[u8]) -> String {
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let message = [
        &value["error"]["message"],
        &value["error"],
        &value["message"],
        &value["detail"],
    ]
    .into_iter()
    .find_map(Value::as_str);
    let text = message.map_or_else(
        || String::from_utf8_lossy(bytes).into_owned(),
        str::to_owned,
    );
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return "nothing was said".to_owned();
    }
    text.chars().take(200).collect()
}

/// How long `Retry-After` asks to wait: seconds, or until a date (RFC 9110,
/// section 10.2.3).
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    match value.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            Some(date.duration_since(now).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let check = |value: &str, expected: Option<u64>| {
            assert_eq!(
                retry_after(value, now),
                expected.map(Duration::from_secs),
                "{value}"
            );
        };
        check("7", Some(7));
        check(" 0 ", Some(0));
        check("Sun, 06 Nov 1994 08:50:07 GMT", Some(30));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check("soon", None);
        check("-1", None);
    }

    #[test]
    fn errors_of_every_server_are_read() {
        let check = |body: &str, expected: &str| assert_eq!(said(body.as_bytes()), expected);
        // OpenAI and vLLM; Ollama; FastAPI; a proxy.
        check(
            r#"{"error":{"message":"The model `x` does not exist","type":"invalid_request_error"}}"#,
            "The model `x` does not exist",
        );
        check(r#"{"error":"model 'x' not found"}"#, "model 'x' not found");
        check(r#"{"detail":"Not Found"}"#, "Not Found");
        check("<h1>502\n Bad Gateway</h1>", "<h1>502 Bad Gateway</h1>");
        check("", "nothing was said");
    }

    fn server(base: &str) -> Server {
        Server {
            base: base.into(),
            model: "m".into(),
            key: Some("sk-secret".into()),
            authorities: None,
            answer_tokens: 10,
            reasoning: false,
            timeout: Duration::from_secs(1),
            tries: 1,
        }
    }

    #[test]
    fn servers_of_this_machine_are_known() {
        let check = |base: &str, expected: bool| {
            assert_eq!(server(base).is_local(), expected, "{base}");
        };
        check("http://localhost:11434/v1", true);
        check("http://127.0.0.1/v1", true);
        check("http://[::1]:8000/v1", true);
        check("http://10.0.0.7:8000/v1", false);
        check("https://localhost.example.com/v1", false);
        check("http://localhost:x@example.com/v1", false);
    }

    #[test]
    fn reasoning_models_are_asked_in_their_way() {
        let prompt = Prompt::single("int f();", 100);
        let plain = server("http://localhost/v1");
        let body = plain.body(&prompt, 2);
        assert_eq!(
            (&body["max_tokens"], &body["temperature"]),
            (&json!(20), &json!(0))
        );
        let reasoning = Server {
            reasoning: true,
            ..plain
        };
        let body = reasoning.body(&prompt, 2);
        assert_eq!(body["max_completion_tokens"], 20);
        assert!(body.get("max_tokens").is_none() && body.get("temperature").is_none());
    }

    #[test]
    fn the_key_is_not_printed() {
        let server = server("https://api.example.com/v1/");
        assert!(!format!("{server:?}").contains("secret"));
        assert_eq!(server.url(), "https://api.example.com/v1/chat/completions");
    }
}
