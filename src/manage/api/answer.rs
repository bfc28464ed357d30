//! What the API answers when there is nothing to show, and when it refuses.
//!
//! LoxiLB's clients read `result`: "Success" is success, whatever else is an error, and a text with "exist" in it is
//! an error that does not matter. Every refusal has it.

use crate::manage::{Refusal, RefusalKind};
use axum::{
    Json,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::{
    IntoResponses, PartialSchema, ToSchema,
    openapi::{Components, ContentBuilder, Ref, RefOr, ResponseBuilder},
};

/// It is done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Done {
    /// "Success".
    result: &'static str,
}

/// What a change answers.
pub(super) type Answer = Result<Json<Done>, Problem>;

/// It is done.
pub(super) const fn done() -> Json<Done> {
    Json(Done { result: "Success" })
}

/// It is not done, and nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The status, or a number above 600 that says what is wrong with the body.
    code: u16,
    /// The status in words.
    message: String,
    /// What is wrong, and what to do.
    result: String,
    #[serde(skip)]
    status: u16,
}

impl Problem {
    /// Answers `status` with these words.
    pub(super) fn new(status: StatusCode, result: impl Into<String>) -> Self {
        let code = status.as_u16();
        Self { code, message: in_words(status).into(), result: result.into(), status: code }
    }

    /// A body that is JSON but not what is asked for. `code`: see [`code`].
    pub(super) fn unfit(code: u16, result: impl Into<String>) -> Self {
        Self { code, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, result) }
    }
}

/// A problem as an answer, for who is not of the API.
pub(in crate::manage) fn problem(status: StatusCode, result: impl Into<String>) -> impl IntoResponse {
    Problem::new(status, result)
}

/// What is wrong with a body, as LoxiLB's framework numbers it.
pub(super) mod code {
    /// A value is of the wrong type, or out of its range.
    pub(in crate::manage::api) const TYPE: u16 = 601;
    /// A value is missing.
    pub(in crate::manage::api) const REQUIRED: u16 = 602;
    /// A value is none of those there are.
    pub(in crate::manage::api) const ENUM: u16 = 606;
}

fn in_words(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "Malformed arguments for API call",
        401 => "Invalid authentication credentials",
        403 => "Capacity insufficient",
        404 => "Resource not found",
        409 => "Resource conflict",
        503 => "Maintenance mode",
        _ => status.canonical_reason().unwrap_or("Error"),
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind() {
            RefusalKind::Malformed => StatusCode::BAD_REQUEST,
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Capacity | RefusalKind::Disabled => StatusCode::FORBIDDEN,
            RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut problem = Self::new(status, refusal.to_string());
        if refusal.kind() == RefusalKind::Disabled {
            problem.message = "Not enabled on this node".into();
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self)).into_response()
    }
}

/// For documentation: the ways any request may be refused.
pub(super) struct Refused;

const STATUSES: [(&str, &str); 12] = [
    ("400", "The request makes no sense here"),
    ("401", "The bearer token is missing or wrong"),
    ("403", "There is no room, or this node does not do that"),
    ("404", "It names nothing that is there"),
    ("405", "The path has no such method"),
    ("408", "The request took too long to arrive"),
    ("409", "It contradicts something that is there, or says what is so already"),
    ("413", "The body is too large"),
    ("415", "The body is not of type application/json"),
    ("422", "The body is JSON but not what is asked for"),
    ("431", "The headers are too large"),
    ("503", "Not now: try again"),
];

/// What the operations' documentation refers to.
pub(super) fn document(components: &mut Components) {
    components.schemas.insert(Problem::name().into(), Problem::schema());
    for (status, description) in STATUSES {
        let schema = Ref::from_schema_name(Problem::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response =
            ResponseBuilder::new().description(description).content("application/json", content).build();
        components.responses.insert(status.into(), RefOr::T(response));
    }
}

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let to = |status: &str| RefOr::Ref(Ref::from_response_name(status));
        STATUSES.into_iter().map(|(status, _)| (status.to_owned(), to(status))).collect()
    }
}

/// A path that leads nowhere.
pub(super) async fn not_found(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("path {} was not found", uri.path()))
}

/// A method that the path has not got.
pub(super) async fn not_allowed(method: axum::http::Method, uri: Uri) -> Problem {
    let text = format!("method {method} is not allowed for {}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, text)
}
