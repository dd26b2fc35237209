//! Configuration for external brokers.

use actix_web::{get, web};
use espalier_api::broker::BrokerConfigView;

use super::Shared;
use crate::{principal::Operator, refusal::Outcome, usecase};

/// Gives the files that make a Mosquitto keep each device to its own topics
///
/// Listener with mutual TLS, certificate authority, a server certificate with its key, and rights:
/// by pattern for devices, one by one for what gateways do for their children. Fetch them again when
/// children were enrolled.
#[utoipa::path(tag = "system", responses((status = 200, body = BrokerConfigView)))]
#[get("/broker/mosquitto")]
pub async fn mosquitto(cloud: Shared, who: Operator) -> Outcome<web::Json<BrokerConfigView>> {
    usecase::broker_config(&cloud, &who).await.map(web::Json)
}
