//! `POST /v1/models/{model}/segment`: a picture and prompts in, masks out.
//!
//! Either a form (`multipart/form-data`: the file `image`, and `request` with the prompt's JSON) or
//! one JSON object with the prompt's members and `image` in base64.

use actix_multipart::Multipart;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, web};
use espalier_protocol::Digest;
use futures::StreamExt;

use super::BUNDLE_HEADER;
use super::body::Budget;
use crate::problem::{Code, Problem};
use crate::question::{Question, Unreadable};
use crate::service::{Limits, Service};

/// The largest prompt of a form in bytes.
const MAX_PROMPT_BYTES: usize = 64 * 1024;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.route("/v1/models/{model}/segment", web::post().to(segment));
}

async fn segment(
    service: web::Data<Service>,
    model: web::Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let pin = pinned(&request)?;
    let ticket = service.admit(&model)?;
    let question = read_in_time(&request, payload, service.limits()).await?;
    let answer = service
        .segment(ticket, &model, pin, question.picture, question.prompt)
        .await?;
    Ok(HttpResponse::Ok().json(answer))
}

async fn read_in_time(
    request: &HttpRequest,
    payload: Payload,
    limits: Limits,
) -> Result<Question, Problem> {
    let read = read(request, payload, limits.body);
    tokio::time::timeout(limits.body_time, read)
        .await
        .map_err(|_| {
            let seconds = limits.body_time.as_secs_f64();
            Problem::new(
                Code::SlowBody,
                format!("the request's body was not here within {seconds} seconds"),
            )
        })?
}

fn pinned(request: &HttpRequest) -> Result<Option<Digest>, Problem> {
    let Some(header) = request.headers().get(BUNDLE_HEADER) else {
        return Ok(None);
    };
    let digest = header.to_str().ok().and_then(|text| text.parse().ok());
    digest.map(Some).ok_or_else(|| {
        Problem::new(
            Code::MalformedParameter,
            format!("the header {BUNDLE_HEADER} is not a bundle's digest"),
        )
    })
}

async fn read(request: &HttpRequest, payload: Payload, limit: usize) -> Result<Question, Problem> {
    // Said to be too large is refused before a byte of it is read.
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if header(CONTENT_LENGTH)
        .and_then(|length| length.parse::<usize>().ok())
        .is_some_and(|length| length > limit)
    {
        return Err(Problem::too_large(limit));
    }
    let kind = header(CONTENT_TYPE).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        "multipart/form-data" => read_form(Multipart::new(request.headers(), payload), limit).await,
        "application/json" => {
            let body = Budget::new(limit).read(payload).await?.freeze();
            Ok(Question::from_json(body)?)
        }
        _ => Err(Problem::new(
            Code::UnsupportedMedia,
            "send multipart/form-data with `image` and `request`, or application/json with `image` in base64",
        )),
    }
}

async fn read_form(mut form: Multipart, limit: usize) -> Result<Question, Problem> {
    let (mut picture, mut prompt) = (None, None);
    let mut room = Budget::new(limit);
    while let Some(field) = form.next().await {
        let field = field.map_err(|error| {
            Problem::new(
                Code::MalformedBody,
                format!("the form cannot be read: {error}"),
            )
        })?;
        match field.name().unwrap_or_default() {
            "image" if picture.is_none() => picture = Some(room.read(field).await?.freeze()),
            "request" if prompt.is_none() => {
                let text = Budget::new(MAX_PROMPT_BYTES).read(field).await?;
                prompt = Some(serde_json::from_slice(&text).map_err(Unreadable::Json)?);
            }
            other => {
                return Err(Problem::new(
                    Code::MalformedBody,
                    format!("the form has a part `{other}` too many"),
                ));
            }
        }
    }
    let missing = |part| {
        Problem::new(
            Code::MalformedBody,
            format!("the form has no part `{part}`"),
        )
    };
    Ok(Question {
        picture: picture.ok_or_else(|| missing("image"))?,
        prompt: prompt.ok_or_else(|| missing("request"))?,
    })
}

impl From<Unreadable> for Problem {
    fn from(why: Unreadable) -> Self {
        Self::new(Code::MalformedBody, why.to_string())
    }
}
