//! The embedded database and broker, through their public doors.

mod broker;
mod broker_rights;
mod certificates;
mod devices;
mod postgres;
