//! A command line, taken apart by hand so that xtask needs no parser crate.

use std::collections::VecDeque;

use crate::failure::{Failure, Result};

/// What is left of the command line. Everything after `--` is kept apart and handed on untouched.
pub struct Args {
    own: VecDeque<String>,
    handed_on: Vec<String>,
}

impl Args {
    pub fn from_command_line() -> Self {
        Self::new(std::env::args().skip(1))
    }

    fn new(all: impl IntoIterator<Item = String>) -> Self {
        let mut all = all.into_iter();
        let own = all.by_ref().take_while(|arg| arg != "--").collect();
        Self {
            own,
            handed_on: all.collect(),
        }
    }

    /// Takes the next word: the name of a command.
    pub fn command(&mut self) -> Option<String> {
        self.own.pop_front()
    }

    pub fn asks_for_help(&self) -> bool {
        self.own.iter().any(|arg| arg == "--help" || arg == "-h")
    }

    /// Takes `--name`, and says whether it was there.
    pub fn flag(&mut self, name: &str) -> bool {
        match self.own.iter().position(|arg| arg == name) {
            Some(place) => self.own.remove(place).is_some(),
            None => false,
        }
    }

    /// Takes `--name VALUE` or `--name=VALUE`.
    pub fn value(&mut self, name: &str) -> Result<Option<String>> {
        let joined = format!("{name}=");
        if let Some(place) = self.own.iter().position(|arg| arg.starts_with(&joined)) {
            return Ok(self
                .own
                .remove(place)
                .map(|arg| arg[joined.len()..].to_owned()));
        }
        let Some(place) = self.own.iter().position(|arg| arg == name) else {
            return Ok(None);
        };
        self.own.remove(place);
        match self.own.remove(place) {
            Some(value) => Ok(Some(value)),
            None => Err(Failure::new(format!("`{name}` needs a value"))),
        }
    }

    /// Takes all that is left, for the program that the command starts.
    pub fn into_rest(self) -> Vec<String> {
        self.own.into_iter().chain(self.handed_on).collect()
    }

    /// Takes what stood after `--`, and refuses anything else that is left.
    pub fn into_handed_on(self, command: &str) -> Result<Vec<String>> {
        match self.own.front() {
            Some(unknown) => Err(Failure::new(format!(
                "`{command}` does not know `{unknown}`; see `cargo xtask help {command}`"
            ))),
            None => Ok(self.handed_on),
        }
    }

    /// Refuses anything that is left.
    pub fn finish(self, command: &str) -> Result<()> {
        match self.into_handed_on(command)?.first() {
            Some(extra) => Err(Failure::new(format!("`{command}` takes no `-- {extra}`"))),
            None => Ok(()),
        }
    }
}
