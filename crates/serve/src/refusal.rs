//! Answers that are errors.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Seconds after which a client that was refused for now may ask again.
const RETRY_AFTER: &str = "5";

/// Why a request has no other answer.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// For programs: does not change.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) message: String,
    /// The program that was uploaded nevertheless.
    program: Option<String>,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> Refusal {
        Refusal {
            status,
            code,
            message: message.into(),
            program: None,
        }
    }

    /// The same, of an upload that is kept under this id.
    pub(crate) fn about(self, program: &str) -> Refusal {
        Refusal {
            program: Some(program.to_owned()),
            ..self
        }
    }

    /// The request itself is wrong.
    pub(crate) fn wrong(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn busy(what: &str) -> Refusal {
        Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "busy",
            format!("too many {what} at once: ask again later"),
        )
    }

    /// The server has failed, through no fault of the request.
    pub(crate) fn failed(why: &std::io::Error) -> Refusal {
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server",
            format!("the server cannot do this now: {why}"),
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut document = json!({
            "version": 1,
            "error": {"code": self.code, "message": self.message},
        });
        if let Some(program) = self.program {
            document["error"]["id"] = program.into();
        }
        let mut response = super::document::json(self.status, document.to_string());
        let headers = response.headers_mut();
        match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let seconds = HeaderValue::from_static(RETRY_AFTER);
                headers.insert(header::RETRY_AFTER, seconds);
            }
            StatusCode::UNAUTHORIZED => {
                let scheme = HeaderValue::from_static("Bearer");
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            _ => {}
        }
        response
    }
}
