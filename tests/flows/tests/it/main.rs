//! Whole walks and hazards, through the doors that users and devices have.

mod kills;
mod rights;
mod walk;
