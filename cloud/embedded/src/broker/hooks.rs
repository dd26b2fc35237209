//! The points at which the broker stops and asks. Whatever is not allowed here is refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use espalier_protocol::envelope::MAX_ENVELOPE_BYTES;
use espalier_protocol::incarnation::USER_PROPERTY;
use espalier_protocol::topic::Topic;
use espalier_protocol::{DeviceIdentity, Incarnation};
use rmqtt::codec::types::MQTT_LEVEL_5;
use rmqtt::codec::v5::{PublishAckReason, SubscribeAckReason};
use rmqtt::hook::{Handler, HookResult, Parameter, Register, ReturnType, Type};
use rmqtt::session::Session;
use rmqtt::types::{
    AuthResult, ConnectInfo, Id, Publish, PublishAclResult, PublishResult, Subscribe,
    SubscribeAclResult,
};

use super::guard::{Admission, BrokerGuard};
use super::presence::{Connection, Presence, Start, Succession};

/// Locked while the guard is told about the device, so that what it is told last is how things are.
type SharedPresence = Arc<tokio::sync::Mutex<Presence>>;

/// Our answers, the same object at every point.
#[derive(Clone)]
pub(super) struct Hooks {
    guard: Arc<dyn BrokerGuard>,
    /// Every device that ever connected: no more than there are certificates.
    devices: Arc<Mutex<HashMap<DeviceIdentity, SharedPresence>>>,
}

impl Hooks {
    pub(super) fn new(guard: Arc<dyn BrokerGuard>) -> Self {
        Self {
            guard,
            devices: Arc::default(),
        }
    }

    /// Handlers do nothing before `start`.
    pub(super) async fn install(self, register: Box<dyn Register>) {
        let points = [
            Type::ClientAuthenticate,
            Type::ClientSubscribeCheckAcl,
            Type::MessagePublishCheckAcl,
            Type::ClientConnected,
            Type::ClientDisconnected,
        ];
        for point in points {
            register.add(point, Box::new(self.clone())).await;
        }
        register.start().await;
    }

    /// The devices that are connected now.
    pub(super) async fn connected(&self) -> Vec<DeviceIdentity> {
        let devices: Vec<_> = self.devices().clone().into_iter().collect();
        let mut connected = Vec::new();
        for (device, presence) in devices {
            if presence.lock().await.is_connected() {
                connected.push(device);
            }
        }
        connected
    }

    fn presence(&self, device: &DeviceIdentity) -> SharedPresence {
        self.devices().entry(device.clone()).or_default().clone()
    }

    fn devices(&self) -> MutexGuard<'_, HashMap<DeviceIdentity, SharedPresence>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn authenticate(&self, client: &ConnectInfo) -> AuthResult {
        match self.identify(client) {
            Ok((device, serial)) => match self.guard.authenticate(&device, serial).await {
                Admission::Allow => AuthResult::Allow(false, None),
                Admission::Refuse => AuthResult::NotAuthorized,
            },
            Err(reason) => {
                tracing::info!(client = %client.client_id(), reason, "connection refused");
                AuthResult::NotAuthorized
            }
        }
    }

    /// Who the certificate says it is. A client id or a user name proves nothing.
    fn identify<'a>(
        &self,
        client: &'a ConnectInfo,
    ) -> Result<(DeviceIdentity, &'a str), &'static str> {
        if client.proto_ver() != MQTT_LEVEL_5 {
            // Older versions cannot be told that a message was refused.
            return Err("it does not speak MQTT 5");
        }
        let certificate = client.cert().ok_or("it has no certificate")?;
        let name = certificate
            .common_name
            .as_deref()
            .ok_or("its certificate has no common name")?;
        let device = name
            .parse()
            .map_err(|_| "its certificate's common name is no device identity")?;
        if client.client_id() != name {
            return Err("its client id is not its certificate's common name");
        }
        // The broker would publish a will without asking whether the device may.
        if client.last_will().is_some() {
            return Err("it brings a will");
        }
        let serial = certificate
            .serial
            .as_deref()
            .ok_or("its certificate has no serial number")?;
        Ok((device, serial))
    }

    async fn check_subscription(
        &self,
        session: &Session,
        subscription: &Subscribe,
    ) -> SubscribeAclResult {
        let allowed = match (
            device(&session.id),
            subscription.topic_filter.parse::<Topic>(),
        ) {
            (Some(device), Ok(topic))
                if topic.channel.is_down() && subscription.opts.shared_group().is_none() =>
            {
                self.may_act_for(&device, &topic.identity).await
            }
            _ => false,
        };
        if allowed {
            return SubscribeAclResult::new_success(subscription.opts.qos(), None);
        }
        let (client, filter) = (&session.id.client_id, &subscription.topic_filter);
        tracing::info!(%client, %filter, "subscription refused");
        SubscribeAclResult::new_failure(SubscribeAckReason::NotAuthorized)
    }

    async fn accept(&self, session: &Session, message: &Publish) -> PublishAclResult {
        let (Some(device), Ok(topic)) = (device(&session.id), message.topic.parse::<Topic>())
        else {
            return refused(
                session,
                message,
                PublishAckReason::NotAuthorized,
                "not a topic of this device",
            );
        };
        if topic.channel.is_down() || !self.may_act_for(&device, &topic.identity).await {
            return refused(
                session,
                message,
                PublishAckReason::NotAuthorized,
                "not a topic of this device",
            );
        }
        if message.retain {
            return refused(
                session,
                message,
                PublishAckReason::NotAuthorized,
                "devices may not retain messages",
            );
        }
        if message.payload.len() > MAX_ENVELOPE_BYTES {
            return refused(
                session,
                message,
                PublishAckReason::PayloadFormatInvalid,
                "the payload is too large",
            );
        }
        match self
            .guard
            .on_publish(&device, &topic, message.payload.clone())
            .await
        {
            Ok(()) => PublishAclResult::allow(),
            Err(_) => refused(
                session,
                message,
                PublishAckReason::QuotaExceeded,
                "not accepted now, send it again",
            ),
        }
    }

    async fn may_act_for(&self, connected: &DeviceIdentity, device: &DeviceIdentity) -> bool {
        connected == device || self.guard.speaks_for(connected, device).await
    }

    async fn note_connected(&self, session: &Session) {
        let Some(device) = device(&session.id) else {
            return;
        };
        let start = incarnation(session)
            .await
            .map_or(Start::Unnamed, Start::Named);
        let presence = self.presence(&device);
        let mut presence = presence.lock().await;
        let succession = presence.connected(connection(&session.id), start);
        self.guard.on_connected(&device).await;
        if succession == Succession::Contested {
            self.guard.on_cloned(&device).await;
        }
    }

    async fn note_disconnected(&self, session: &Session) {
        let Some(device) = device(&session.id) else {
            return;
        };
        let presence = self.presence(&device);
        let mut presence = presence.lock().await;
        if presence.disconnected(connection(&session.id)) {
            self.guard.on_disconnected(&device).await;
        }
    }
}

#[async_trait]
impl Handler for Hooks {
    async fn hook(&self, point: &Parameter, _so_far: Option<HookResult>) -> ReturnType {
        let answer = match point {
            Parameter::ClientAuthenticate(client) => {
                Some(HookResult::AuthResult(self.authenticate(client).await))
            }
            Parameter::ClientSubscribeCheckAcl(session, subscription) => {
                Some(HookResult::SubscribeAclResult(
                    self.check_subscription(session, subscription).await,
                ))
            }
            Parameter::MessagePublishCheckAcl(session, message) => Some(
                HookResult::PublishAclResult(self.accept(session, message).await),
            ),
            Parameter::ClientConnected(session) => {
                self.note_connected(session).await;
                None
            }
            Parameter::ClientDisconnected(session, _) => {
                self.note_disconnected(session).await;
                None
            }
            _ => None,
        };
        (false, answer)
    }
}

/// Authentication made sure that the client id is the certificate's name.
fn device(id: &Id) -> Option<DeviceIdentity> {
    id.client_id.parse().ok()
}

/// The start of the agent that a connection names, if it does.
async fn incarnation(session: &Session) -> Option<Incarnation> {
    let info = session.connect_info().await.ok()?;
    let ConnectInfo::V5(_, connect) = info.as_ref() else {
        return None;
    };
    let properties = &connect.user_properties;
    let (_, value) = properties
        .iter()
        .find(|(name, _)| name.as_bytes() == USER_PROPERTY.as_bytes())?;
    value.parse().ok()
}

fn connection(id: &Id) -> Connection {
    (id.remote_addr, id.create_time)
}

fn refused(
    session: &Session,
    message: &Publish,
    code: PublishAckReason,
    reason: &'static str,
) -> PublishAclResult {
    let (client, topic) = (&session.id.client_id, &message.topic);
    tracing::info!(%client, %topic, reason, "message refused");
    PublishAclResult(PublishResult::reason_code(code, Some(reason.into()), false))
}
