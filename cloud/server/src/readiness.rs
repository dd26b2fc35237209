//! Which parts answer now. Reconcilers and links write it as they succeed and fail; `/readyz` reads it.

use std::sync::Mutex;

use espalier_api::system::{PartView, ReadinessView};

use crate::metrics::{Metrics, PartLabels};

/// A part that the server needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Postgres.
    Database,
    /// The MQTT broker.
    Broker,
    /// The store of blobs.
    Blobs,
    /// The first edition of the signed metadata.
    Trust,
}

impl Part {
    const ALL: [Self; 4] = [Self::Database, Self::Broker, Self::Blobs, Self::Trust];

    const fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Broker => "broker",
            Self::Blobs => "blobs",
            Self::Trust => "trust",
        }
    }
}

/// What each part last said.
pub struct Readiness {
    problems: Mutex<[Option<String>; Part::ALL.len()]>,
}

impl Readiness {
    /// Nothing has answered yet.
    #[must_use]
    pub fn starting() -> Self {
        Self {
            problems: Mutex::new(Part::ALL.map(|_| Some("it has not answered yet".to_owned()))),
        }
    }

    /// The part answers.
    pub fn up(&self, part: Part, metrics: &Metrics) {
        self.set(part, None, metrics);
    }

    /// The part does not answer, in words for people.
    pub fn down(&self, part: Part, problem: impl Into<String>, metrics: &Metrics) {
        self.set(part, Some(problem.into()), metrics);
    }

    fn set(&self, part: Part, problem: Option<String>, metrics: &Metrics) {
        metrics
            .part_up
            .get_or_create(&PartLabels { part: part.name() })
            .set(i64::from(problem.is_none()));
        let mut problems = self
            .problems
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let slot = &mut problems[part as usize];
        match (&slot, &problem) {
            (None, Some(problem)) => {
                tracing::warn!(part = part.name(), problem, "a part went away")
            }
            (Some(_), None) => tracing::info!(part = part.name(), "a part is ready"),
            _ => {}
        }
        *slot = problem;
    }

    /// Everything, for `/readyz`.
    #[must_use]
    pub fn view(&self) -> ReadinessView {
        let problems = self
            .problems
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let parts: Vec<_> = Part::ALL
            .iter()
            .zip(problems.iter())
            .map(|(part, problem)| PartView {
                name: part.name().to_owned(),
                ready: problem.is_none(),
                problem: problem.clone(),
            })
            .collect();
        ReadinessView {
            ready: parts.iter().all(|part| part.ready),
            parts,
        }
    }
}
