//! The control plane through its public doors, on free ports, with a database of its own.

mod device;
mod enrolment;
mod operators;
mod reports;
mod restart;
mod stack;
