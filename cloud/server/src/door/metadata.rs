use actix_web::{HttpResponse, get, http::header, web};

use super::Caller;
use crate::{cloud::Cloud, refusal::Outcome, usecase};

/// Serves one file of the signed metadata, byte by byte as it was signed.
#[get("/tuf/{file}")]
pub async fn metadata(
    cloud: web::Data<Cloud>,
    caller: Caller,
    file: web::Path<String>,
) -> Outcome<HttpResponse> {
    let bytes = usecase::metadata_file(&cloud, &caller, &file).await?;
    // Only the timestamp changes under a standing name.
    let cache = if *file == usecase::TIMESTAMP_FILE {
        "no-cache"
    } else {
        "public, max-age=31536000, immutable"
    };
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, cache))
        .body(bytes))
}
