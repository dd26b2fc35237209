//! The walls on trial: a hostile job tries every door, each in a worker of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use crate::job::Workshop;
use crate::sandbox::Limits;
use crate::sandbox::doors::{Attempt, Door, Outcome};
use crate::sandbox::spawn::{Worker, WorkerError};
use crate::stages::{Answer, Errand};

/// Tight enough that every limit is met within a second or two.
const LIMITS: Limits = Limits {
    memory_bytes: 1 << 30,
    cpu_seconds: 1,
    file_bytes: 4 << 20,
    threads: 64,
    open_files: 64,
    wall_seconds: 30,
};

/// Tries every door. `scratch` is an empty folder.
///
/// # Errors
/// When the trial itself cannot be set up, or the kernel offers no walls at all.
pub async fn try_all(
    workshop: &Workshop,
    scratch: &Path,
) -> Result<Vec<(Door, Outcome)>, WorkerError> {
    let trial = Trial::set_up(workshop, scratch)?;
    let mut outcomes = Vec::with_capacity(Door::ALL.len());
    for door in Door::ALL {
        outcomes.push((door, trial.attempt(door).await?));
    }
    Ok(outcomes)
}

struct Trial {
    worker: Worker,
    secret: PathBuf,
    listener: TcpListener,
}

impl Trial {
    fn set_up(workshop: &Workshop, scratch: &Path) -> Result<Self, WorkerError> {
        let scratch = scratch.canonicalize()?;
        let work = scratch.join("work");
        std::fs::create_dir_all(&work)?;
        let secret = scratch.join("secret");
        std::fs::write(&secret, "not for models")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self {
            worker: workshop.worker(&work, &[], LIMITS),
            secret,
            listener,
        })
    }

    async fn attempt(&self, door: Door) -> Result<Outcome, WorkerError> {
        let attempt = Attempt {
            door,
            listener: self.listener.local_addr()?,
            secret: self.secret.clone(),
            limits: LIMITS,
        };
        let answer = self
            .worker
            .run(
                &Errand::TryDoor(attempt),
                &mut |_| {},
                std::future::pending(),
            )
            .await;
        match answer {
            Ok(Answer::Door(outcome)) => Ok(outcome),
            Ok(_) => Err(WorkerError::Nonsense(
                "an answer to another question".to_owned(),
            )),
            // Some limits are kept by ending whoever passes them.
            Err(died @ (WorkerError::Died { .. } | WorkerError::TooLong(_))) => Ok(Outcome::Shut {
                reason: died.to_string(),
            }),
            Err(other) => Err(other),
        }
    }
}
