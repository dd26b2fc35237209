//! Hears the database's notices, and rings the bells that they are about.

use std::{sync::Arc, time::Duration};

use espalier_store::{Signal, Signals};

use crate::cloud::Cloud;

/// The pause before listening is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens until the server drains. While nobody can be heard, timers do the work.
pub(super) async fn listen(cloud: Arc<Cloud>, database_url: String) {
    while !cloud.stopping.is_cancelled() {
        tokio::select! {
            () = hear(&cloud, &database_url) => {}
            () = cloud.stopping.cancelled() => return,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn hear(cloud: &Cloud, database_url: &str) {
    // The database's own reconciler says what is wrong with it.
    let Ok(mut signals) = Signals::listen(database_url).await else {
        return;
    };
    // What was said before anybody listened is made good by looking at everything.
    cloud.bells.ring(&Signal::Everything);
    while let Ok(signal) = signals.next().await {
        cloud.bells.ring(&signal);
    }
}
