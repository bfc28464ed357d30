//! What handlers take from requests: bodies, parameters of paths and of queries. What does not fit is refused in the
//! API's own words.

use super::answer::{Problem, code};
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// JSON as Go's decoder takes it, which LoxiLB's clients rely on: keys match whatever their case, unknown ones are
/// ignored, `null` is as good as absent, and of a key given twice the last counts.
#[derive(Debug)]
pub(super) struct LoxiJson<T>(pub(super) T);

/// Plain JSON.
#[derive(Debug)]
pub(super) struct PlainJson(pub(super) Value);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for LoxiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let PlainJson(value) = PlainJson::from_request(request, state).await?;
        let reader = folded(value);
        serde_path_to_error::deserialize(reader).map(Self).map_err(|error| {
            let (path, said) = (error.path().to_string(), error.inner().to_string());
            let missing = said.starts_with("missing field");
            let number = if missing { code::REQUIRED } else { code::TYPE };
            match path.as_str() {
                "." => Problem::unfit(number, format!("the body: {said}")),
                path => Problem::unfit(number, format!("{path} in the body: {said}")),
            }
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for PlainJson {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        // Browsers ask before they send this type to another site, and are not answered: a web page cannot
        // change the services of a node that listens on this machine.
        if !is_json(&request) {
            let text = "the body must be of Content-Type application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
        if bytes.is_empty() {
            return Err(Problem::unfit(code::REQUIRED, "the body is missing"));
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("parsing the body: {error}")))
    }
}

/// Parameters of the path.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let taken = axum::extract::Path::from_request_parts(parts, state).await;
        let refused = |text: String| Problem::new(StatusCode::BAD_REQUEST, format!("malformed path: {text}"));
        taken
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection| refused(rejection.body_text()))
    }
}

/// Parameters of the query.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let taken = axum::extract::Query::from_request_parts(parts, state).await;
        let refused =
            |text: String| Problem::new(StatusCode::BAD_REQUEST, format!("malformed query: {text}"));
        taken
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| refused(rejection.body_text()))
    }
}

fn is_json(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

/// The value with all keys in lower case and without those that are null.
fn folded(value: Value) -> Value {
    match value {
        Value::Object(keys) => {
            let kept = keys.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.to_lowercase(), folded(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(folded).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_lose_their_case_at_every_level() {
        let value = json!({"A": {"bC": [{"D": 1, "e": null}, null]}, "a": 2, "F": null, "x": "Y"});
        assert_eq!(folded(value), json!({"a": 2, "x": "Y"}));
        let value = json!({"A": {"bC": [{"D": 1, "e": null}, null]}});
        assert_eq!(folded(value), json!({"a": {"bc": [{"d": 1}, null]}}));
    }
}
