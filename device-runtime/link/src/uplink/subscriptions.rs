//! Whose messages the broker is asked for: everybody's with every connection, and then those alone that were refused.
//!
//! A broker that says that it remembers the session may have forgotten the subscriptions in it, so its word is not taken
//! for it; to be subscribed twice does no harm.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use espalier_protocol::DeviceIdentity;
use espalier_protocol::topic::{Channel, Topic};
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, SubAck, SubscribeReasonCode};
use tokio::sync::Notify;
use tokio::time::Instant;

/// A child whose topics are refused this often in a row is not asked for any more until it speaks again. The first
/// refusals may mean that its enrolment is slower than its first question.
const MAX_REFUSALS: u32 = 8;
/// Devices in one packet: brokers limit the size of packets.
const AT_A_TIME: usize = 64;
/// A queue that is full is tried again after this.
const QUEUE_REST: Duration = Duration::from_secs(1);
/// What comes down for a device.
const CHANNELS: [Channel; 2] = [Channel::Desired, Channel::Ack];

/// The subscriptions of one uplink.
pub(super) struct Subscriptions {
    own: DeviceIdentity,
    state: Mutex<State>,
    /// Rung when somebody may be due.
    changed: Notify,
}

#[derive(Default)]
struct State {
    connected: bool,
    wanted: BTreeMap<DeviceIdentity, Wanted>,
    /// Asked for by packets that the client did not send yet, in their order.
    handed: VecDeque<Vec<DeviceIdentity>>,
    /// Asked for by packets that the broker did not answer yet.
    asked: BTreeMap<u16, Vec<DeviceIdentity>>,
}

#[derive(Default)]
struct Wanted {
    /// In a row.
    refusals: u32,
    /// When it is asked for; `None` while that is done, or was.
    due: Option<Instant>,
}

impl Subscriptions {
    pub(super) fn new(own: DeviceIdentity) -> Self {
        let wanted = BTreeMap::from([(own.clone(), Wanted::default())]);
        Self {
            own,
            state: Mutex::new(State {
                wanted,
                ..State::default()
            }),
            changed: Notify::new(),
        }
    }

    /// Asks for a child's messages too, from now on.
    pub(super) fn want(&self, child: &DeviceIdentity) {
        let mut state = self.state();
        let due = state.connected.then(Instant::now);
        state
            .wanted
            .entry(child.clone())
            .or_insert(Wanted { refusals: 0, due });
        drop(state);
        self.changed.notify_one();
    }

    /// There is a connection: everybody is asked for. `resumed` says that the client goes on with what it had not sent.
    pub(super) fn connected(&self, resumed: bool) {
        let mut state = self.state();
        state.connected = true;
        state.asked.clear();
        if !resumed {
            state.handed.clear();
        }
        let now = Instant::now();
        for wanted in state.wanted.values_mut() {
            wanted.due = Some(now);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// There is no connection: nobody is asked for.
    pub(super) fn disconnected(&self) {
        let mut state = self.state();
        state.connected = false;
        for wanted in state.wanted.values_mut() {
            wanted.due = None;
        }
    }

    /// The client sent the next packet, under this id.
    pub(super) fn sent(&self, packet: u16) {
        let mut state = self.state();
        if let Some(whose) = state.handed.pop_front() {
            state.asked.insert(packet, whose);
        }
    }

    /// The broker answered a packet. Who was refused is asked for again after `rest`, which is told how often that
    /// happened; the children that are given up are returned.
    pub(super) fn answered(
        &self,
        answer: &SubAck,
        mut rest: impl FnMut(u32) -> Duration,
    ) -> Vec<DeviceIdentity> {
        let mut state = self.state();
        let whose = state.asked.remove(&answer.pkid).unwrap_or_default();
        let mut given_up = Vec::new();
        // Codes that are missing granted nothing.
        let codes = answer.return_codes.chunks(CHANNELS.len());
        for (device, codes) in whose
            .into_iter()
            .zip(codes.chain(std::iter::repeat(&[][..])))
        {
            let Some(wanted) = state.wanted.get_mut(&device) else {
                continue;
            };
            if is_granted(codes) {
                wanted.refusals = 0;
                continue;
            }
            wanted.refusals = wanted.refusals.saturating_add(1);
            tracing::warn!(%device, ?codes, refusals = wanted.refusals, "the broker refuses a device's messages");
            if wanted.refusals >= MAX_REFUSALS && device != self.own {
                state.wanted.remove(&device);
                given_up.push(device);
            } else {
                wanted.due = Some(Instant::now() + rest(wanted.refusals));
            }
        }
        drop(state);
        self.changed.notify_one();
        given_up
    }

    /// Asks for whoever is due, as long as it is polled.
    pub(super) async fn keep_asking(&self, client: &AsyncClient) {
        loop {
            match self.ask(client) {
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Asks for whoever is due now, and says when the next one is.
    fn ask(&self, client: &AsyncClient) -> Option<Instant> {
        let now = Instant::now();
        // Held while packets are handed over: their order is how answers find their devices again.
        let mut state = self.state();
        let is_due = |wanted: &Wanted| wanted.due.is_some_and(|due| due <= now);
        let all = state.wanted.iter();
        let due: Vec<_> = all
            .filter(|(_, wanted)| is_due(wanted))
            .map(|(device, _)| device.clone())
            .collect();
        for some in due.chunks(AT_A_TIME) {
            let again = match client.try_subscribe_many(filters(some)) {
                Ok(()) => {
                    state.handed.push_back(some.to_vec());
                    None
                }
                Err(error) => {
                    tracing::debug!(%error, "a subscription cannot be asked for now");
                    Some(now + QUEUE_REST)
                }
            };
            for device in some {
                if let Some(wanted) = state.wanted.get_mut(device) {
                    wanted.due = again;
                }
            }
        }
        state.wanted.values().filter_map(|wanted| wanted.due).min()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn filters(devices: &[DeviceIdentity]) -> Vec<Filter> {
    let filter = |device: &DeviceIdentity, channel| {
        Filter::new(
            Topic::new(device.clone(), channel).to_string(),
            QoS::AtLeastOnce,
        )
    };
    let of_one = |device| CHANNELS.map(|channel| filter(device, channel));
    devices.iter().flat_map(of_one).collect()
}

fn is_granted(codes: &[SubscribeReasonCode]) -> bool {
    codes.len() == CHANNELS.len()
        && codes
            .iter()
            .all(|code| matches!(code, SubscribeReasonCode::Success(_)))
}
