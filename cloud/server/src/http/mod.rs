//! The operator door: `/api/v1`, the console, and what machines ask (health, metrics).
//!
//! Handlers only translate: path, query and body in, a view or a problem out. What is done stands in
//! [`crate::usecase`].

mod auth;
mod brokers;
mod builds;
mod console;
mod devices;
mod events;
mod models;
pub mod problem;
pub mod range;
mod releases;
mod rollouts;
mod segment;
mod system;
mod trust;

use actix_web::{
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::{Compress, from_fn},
    web,
};
use espalier_api::API_ROOT;
use tracing_actix_web::TracingLogger;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_actix_web::{AppExt, scope, service_config::ServiceConfig};
use utoipa_swagger_ui::{Config as SwaggerConfig, SwaggerUi};

use crate::cloud::Cloud;

/// What handlers work with.
type Shared = web::Data<Cloud>;

/// Where the OpenAPI document is served.
const OPENAPI: &str = "/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Espalier",
        description = "Models, builds, releases, rollouts and devices. Errors are problem documents \
                       (RFC 9457) with a stable `code`; lists are cut by cursors.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    security(("token" = [])),
    modifiers(&TokenScheme)
)]
struct Document;

struct TokenScheme;

impl Modify for TokenScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", scheme);
    }
}

/// The whole operator door as one app; `main` and tests serve the same.
pub fn app(
    cloud: Shared,
) -> actix_web::App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl actix_web::body::MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let (app, document) = actix_web::App::new()
        .into_utoipa_app()
        .openapi(Document::openapi())
        .app_data(cloud)
        .app_data(problem::json_config())
        .app_data(problem::query_config())
        .app_data(problem::path_config())
        .configure(system::routes)
        .service(
            scope::scope(API_ROOT)
                .wrap(from_fn(auth::authenticate))
                .configure(operations),
        )
        .split_for_parts();
    app.service(web::resource("/docs/errors").get(system::error_codes))
        .service(
            SwaggerUi::new("/docs/{_:.*}")
                .url(OPENAPI, document)
                .config(SwaggerConfig::from(OPENAPI)),
        )
        .service(web::redirect("/docs", "/docs/"))
        .default_service(web::get().to(console::serve))
        .wrap(Compress::default())
        .wrap(TracingLogger::default())
}

/// The OpenAPI 3.1 document, as committed and as served.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn openapi() -> serde_json::Result<String> {
    let (_, document) = actix_web::App::new()
        .into_utoipa_app()
        .openapi(Document::openapi())
        .configure(system::routes)
        .service(scope::scope(API_ROOT).configure(operations))
        .split_for_parts();
    document.to_pretty_json().map(|json| json + "\n")
}

fn operations(config: &mut ServiceConfig<'_>) {
    config
        .default_service(web::to(problem::nothing_here))
        .service(models::upload_blob)
        .service(models::download_blob)
        .service(models::import_model)
        .service(models::list_models)
        .service(models::list_model_versions)
        .service(models::show_model_version)
        .service(builds::create_build)
        .service(builds::list_builds)
        .service(builds::show_build)
        .service(builds::cancel_build)
        .service(releases::draft_release)
        .service(releases::list_releases)
        .service(releases::show_release)
        .service(releases::signing_request)
        .service(releases::sign_bundles)
        .service(releases::sign_release)
        .service(releases::release_file)
        .service(releases::current_targets)
        .service(trust::publish_root)
        .service(trust::publish_targets)
        .service(rollouts::create_rollout)
        .service(rollouts::list_rollouts)
        .service(rollouts::show_rollout)
        .service(rollouts::list_assignments)
        .service(rollouts::list_rollout_events)
        .service(rollouts::start_rollout)
        .service(rollouts::pause_rollout)
        .service(rollouts::resume_rollout)
        .service(rollouts::abort_rollout)
        .service(rollouts::revert_rollout)
        .service(devices::list_devices)
        .service(devices::show_device)
        .service(devices::list_device_events)
        .service(devices::set_labels)
        .service(devices::revoke_device)
        .service(devices::readmit_device)
        .service(devices::make_claim)
        .service(brokers::mosquitto)
        .service(segment::segment)
        .service(events::events);
}
