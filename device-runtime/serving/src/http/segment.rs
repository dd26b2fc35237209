//! `POST /v1/models/{model}/segment`: a picture and prompts in, masks out.
//!
//! Either a form (`multipart/form-data`: the file `image`, and `request` with the prompt's JSON) or
//! one JSON object with the prompt's members and `image` in base64.

use actix_multipart::Multipart;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use espalier_protocol::Digest;
use espalier_protocol::manifest::Prompt;
use futures::StreamExt;
use serde::Deserialize;

use super::BUNDLE_HEADER;
use super::body::Budget;
use crate::problem::{Code, Problem};
use crate::service::Service;

/// The largest prompt of a form in bytes.
const MAX_PROMPT_BYTES: usize = 64 * 1024;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.route("/v1/models/{model}/segment", web::post().to(segment));
}

/// A picture's file and what is asked about it.
struct Question {
    picture: Bytes,
    prompt: Prompt,
}

#[derive(Deserialize)]
struct JsonQuestion {
    image: String,
    #[serde(flatten)]
    prompt: Prompt,
}

async fn segment(
    service: web::Data<Service>,
    model: web::Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let pin = pinned(&request)?;
    let question = read(&request, payload, service.limits().body).await?;
    let answer = service
        .segment(&model, pin, question.picture, question.prompt)
        .await?;
    Ok(HttpResponse::Ok().json(answer))
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
        "application/json" => read_json(&Budget::new(limit).read(payload).await?),
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
            "image" if picture.is_none() => picture = Some(room.read(field).await?),
            "request" if prompt.is_none() => {
                prompt = Some(parse::<Prompt>(
                    &Budget::new(MAX_PROMPT_BYTES).read(field).await?,
                )?);
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

fn read_json(body: &[u8]) -> Result<Question, Problem> {
    let question: JsonQuestion = parse(body)?;
    let picture = STANDARD.decode(&question.image);
    let picture = picture.map_err(|error| {
        Problem::new(
            Code::MalformedBody,
            format!("`image` is not base64: {error}"),
        )
    })?;
    Ok(Question {
        picture: picture.into(),
        prompt: question.prompt,
    })
}

fn parse<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, Problem> {
    serde_json::from_slice(json).map_err(|error| {
        Problem::new(
            Code::MalformedBody,
            format!("the request cannot be read: {error}"),
        )
    })
}
