//! The agent's trust from the outside: the TUF conformance suite, and what the suite does not ask.

mod store;
mod suite;
