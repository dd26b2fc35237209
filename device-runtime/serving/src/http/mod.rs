//! HTTP: one module for each protocol, and the server that carries them.

mod body;
mod open_inference;
mod segment;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

use crate::problem::{Code, Problem};
use crate::service::Service;

/// How long a request that is being answered may go on after the server was told to stop.
pub const SHUTDOWN_SECONDS: u64 = 30;
/// A client that sends no whole request head in this time is cut off.
pub const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Connections of one thread at once; each has buffers, so more of them would take memory that no queue bounds.
pub const MAX_CONNECTIONS: usize = 256;

/// The header with which a request insists on one bundle.
pub const BUNDLE_HEADER: &str = "espalier-bundle";

/// Adds all routes of a service to an application.
pub fn configure(service: Arc<Service>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config
            .app_data(web::Data::from(service))
            .configure(open_inference::routes)
            .configure(segment::routes)
            .route("/metrics", web::get().to(metrics))
            .default_service(web::to(nothing_here));
    }
}

/// Serves on a TCP socket that is already bound. The server must be awaited; its handle stops it.
///
/// # Errors
/// When the socket cannot be used.
pub fn on_tcp(service: Arc<Service>, listener: TcpListener, threads: usize) -> io::Result<Server> {
    let server = HttpServer::new(move || App::new().configure(configure(Arc::clone(&service))));
    Ok(server
        .workers(threads)
        .max_connections(MAX_CONNECTIONS)
        .client_request_timeout(HEAD_LIMIT)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .listen(listener)?
        .run())
}

async fn metrics(service: web::Data<Service>) -> HttpResponse {
    let text = service.metrics().encode(service.host());
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(text)
}

async fn nothing_here(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::new(
        Code::NotFound,
        format!("there is nothing at {}", request.path()),
    ))
}
