//! The web console, embedded. Every address that is no file is the console's own route.

use actix_web::{HttpRequest, HttpResponse, http::header};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "../console/dist"]
struct Console;

const INDEX: &str = "index.html";
/// Where built files are, each with its digest in its name.
const ASSETS: &str = "assets/";

/// Serves a file of the console, or its start page for its own routes.
pub async fn serve(request: HttpRequest) -> HttpResponse {
    let path = request.path().trim_start_matches('/');
    if let Some(file) = Console::get(path) {
        return answer(&request, path, file);
    }
    match Console::get(INDEX) {
        // A page that was opened before an upgrade asks for files of the old console. It must not
        // take the start page for a script.
        Some(index) if !path.starts_with(ASSETS) => answer(&request, INDEX, index),
        _ => HttpResponse::NotFound().finish(),
    }
}

fn answer(request: &HttpRequest, path: &str, file: EmbeddedFile) -> HttpResponse {
    let etag = format!("\"{}\"", hex::encode(file.metadata.sha256_hash()));
    let known = request
        .headers()
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == etag.as_bytes());
    if known {
        return HttpResponse::NotModified().finish();
    }
    // Built files carry their digest in their names; the start page must always be asked for anew.
    let cache = if path.starts_with(ASSETS) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    HttpResponse::Ok()
        .content_type(file.metadata.mimetype())
        .insert_header((header::ETAG, etag))
        .insert_header((header::CACHE_CONTROL, cache))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_POLICY))
        .body(file.data.into_owned())
}

/// Scripts only from here; styles inline, because the component library writes them; pictures from
/// memory, because masks are drawn in the page.
const CONTENT_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'";
