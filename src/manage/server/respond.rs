//! From a request to its answer.

use super::{
    body::{Budget, MOST_BYTES, Unread},
    connections::{Busy, Connection},
    token::Token,
};
use crate::manage::api::problem;
use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    http::{HeaderValue, Request, Response, StatusCode, header},
    response::IntoResponse,
};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::timeout;
use tower::ServiceExt;

/// How long a handler may take: a hand-over waits for the peer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers requests.
#[derive(Debug)]
pub(super) struct Responder {
    pub(super) app: Router,
    pub(super) token: Option<Token>,
    pub(super) budget: Budget,
}

impl Responder {
    /// Answers one request.
    pub(super) async fn respond(
        &self,
        request: Request<Incoming>,
        connection: Arc<Connection>,
    ) -> Result<Response<Tracked>, Infallible> {
        let (mut head, body) = request.into_parts();
        if self.token.as_ref().is_some_and(|token| !token.admits(head.headers.get(header::AUTHORIZATION))) {
            return Ok(untracked(unauthorized()));
        }
        let whole = match self.budget.read(body).await {
            Ok(whole) => whole,
            Err(unread) => return Ok(untracked(refusal(unread))),
        };
        let busy = connection.busy();
        // The body is whole: what the head says of its transfer has been done.
        head.headers.remove(header::TRANSFER_ENCODING);
        let request = Request::from_parts(head, Body::from(whole.bytes.clone()));
        let answer = timeout(PATIENCE, self.app.clone().oneshot(request)).await;
        let response = match answer {
            Ok(Ok(response)) => response,
            Err(_) => {
                refused(StatusCode::SERVICE_UNAVAILABLE, "this took too long: look whether it was done")
            }
        };
        Ok(response.map(|body| Tracked { body, _busy: Some(busy) }))
    }
}

fn untracked(response: Response<Body>) -> Response<Tracked> {
    response.map(|body| Tracked { body, _busy: None })
}

fn refused(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    problem(status, text).into_response()
}

fn unauthorized() -> Response<Body> {
    let text =
        "invalid token: send `Authorization: Bearer TOKEN` with the token of this node's api.token_file";
    let mut response = refused(StatusCode::UNAUTHORIZED, text);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn refusal(unread: Unread) -> Response<Body> {
    match unread {
        Unread::TooLarge => {
            let most = MOST_BYTES >> 20;
            refused(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "the body is too large: up to {most} MiB are taken, and 1 MiB without a Content-Length"
                ),
            )
        }
        Unread::TooSlow => refused(StatusCode::REQUEST_TIMEOUT, "the body took longer than 10 s to come"),
        Unread::NoRoom => refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "other requests take all the memory there is for bodies: try again",
        ),
        Unread::Broken => refused(StatusCode::BAD_REQUEST, "the body broke off"),
    }
}

/// An answer's body. Its connection is busy until it has been written.
#[derive(Debug)]
pub(super) struct Tracked {
    body: Body,
    _busy: Option<Busy>,
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.body)
    }
}
