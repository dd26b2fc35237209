//! Retained messages, in memory: what must outlive the process is kept by the cloud, and published
//! again.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use rmqtt::retain::RetainStorage;
use rmqtt::types::{Retain, TopicFilter, TopicName};
use tokio::sync::RwLock;

/// The last retained message of each topic.
///
/// Only the cloud publishes retained messages, so there are at most a few for each device; and
/// filters have no wildcards, so a look-up is enough.
#[derive(Default)]
pub(super) struct RetainedMessages(RwLock<HashMap<TopicName, Retain>>);

#[async_trait]
impl RetainStorage for RetainedMessages {
    fn enable(&self) -> bool {
        true
    }

    fn need_sync(&self) -> bool {
        false
    }

    async fn set(
        &self,
        topic: &TopicName,
        retain: Retain,
        _expiry: Option<Duration>,
    ) -> rmqtt::Result<()> {
        let mut messages = self.0.write().await;
        if retain.publish.payload.is_empty() {
            messages.remove(topic);
        } else {
            messages.insert(topic.clone(), retain);
        }
        Ok(())
    }

    async fn get(&self, filter: &TopicFilter) -> rmqtt::Result<Vec<(TopicName, Retain)>> {
        let messages = self.0.read().await;
        Ok(messages
            .get(filter)
            .map(|retain| (filter.clone(), retain.clone()))
            .into_iter()
            .collect())
    }

    async fn count(&self) -> isize {
        isize::try_from(self.0.read().await.len()).unwrap_or(isize::MAX)
    }

    async fn max(&self) -> isize {
        self.count().await
    }
}
