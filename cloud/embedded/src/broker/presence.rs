//! Who is connected as one device, and whether that is one agent or two.

use std::collections::VecDeque;
use std::net::SocketAddr;

use espalier_protocol::Incarnation;

/// Names one connection: a device that connects again has two for a moment.
pub(super) type Connection = (Option<SocketAddr>, i64);

/// Earlier starts of one device that are remembered. Stops a device that restarts for ever from filling memory.
const REMEMBERED: usize = 16;

/// One device as the broker has seen it since its own start.
#[derive(Debug, Default)]
pub(super) struct Presence {
    newest: Option<Connection>,
    speaks: Option<Start>,
    replaced: VecDeque<Start>,
}

/// What a connection says of the agent's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// It names it.
    Named(Incarnation),
    /// It does not; two that name none are taken for one.
    Unnamed,
}

/// Whether the agents of a device follow one another, as they do when it restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Succession {
    /// They do.
    InOrder,
    /// One is here again after another had replaced it: both live.
    Contested,
}

impl Presence {
    pub(super) const fn is_connected(&self) -> bool {
        self.newest.is_some()
    }

    /// Notes a connection. After a contest nothing of the past is remembered: whoever is left over is heard as new.
    pub(super) fn connected(&mut self, connection: Connection, start: Start) -> Succession {
        self.newest = Some(connection);
        if self.speaks == Some(start) {
            return Succession::InOrder;
        }
        if self.replaced.contains(&start) {
            self.speaks = None;
            self.replaced.clear();
            return Succession::Contested;
        }
        if let Some(earlier) = self.speaks.replace(start) {
            self.replaced.push_back(earlier);
        }
        if self.replaced.len() > REMEMBERED {
            self.replaced.pop_front();
        }
        Succession::InOrder
    }

    /// Whether the device is gone with this connection. One that a newer connection has replaced ends too: that is no
    /// news.
    pub(super) fn disconnected(&mut self, connection: Connection) -> bool {
        let last = self.newest == Some(connection);
        if last {
            self.newest = None;
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start(number: u8) -> Start {
        Start::Named(Incarnation::from_bytes([number; 16]))
    }

    fn connections(starts: impl IntoIterator<Item = Start>) -> Vec<Succession> {
        let mut presence = Presence::default();
        let connections = (0..).zip(starts);
        connections
            .map(|(at, start)| presence.connected((None, at), start))
            .collect()
    }

    #[test]
    fn two_agents_that_take_turns_are_a_contest_and_the_survivor_is_heard() {
        let turns = [start(1), start(2), start(1), start(1), start(1)];
        assert_eq!(
            connections(turns),
            [
                Succession::InOrder,
                Succession::InOrder,
                Succession::Contested,
                Succession::InOrder,
                Succession::InOrder
            ]
        );
    }

    #[test]
    fn an_agent_that_hides_its_start_is_told_apart_from_one_that_names_it() {
        let turns = [start(1), Start::Unnamed, start(1)];
        assert_eq!(connections(turns).pop(), Some(Succession::Contested));
    }

    proptest! {
        #[test]
        fn a_device_that_restarts_and_reconnects_is_never_a_contest(
            reconnections in prop::collection::vec(1_usize..4, 1..40)
        ) {
            let starts = (0_u8..).zip(reconnections).flat_map(|(number, times)| vec![start(number); times]);
            prop_assert!(connections(starts).iter().all(|one| *one == Succession::InOrder));
        }
    }
}
