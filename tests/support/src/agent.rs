//! A gateway or device of a test's own: `espalier-agent` with its state in a folder.

use std::{
    io::{Read as _, Seek as _, SeekFrom},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::{process::Process, programs::Program, wait};

/// How long an agent may take until its doors are open.
const OPEN_WITHIN: Duration = Duration::from_secs(30);

/// Who an agent is.
#[derive(Debug, Clone)]
pub struct AgentSpec {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// Whether others sit behind it.
    pub gateway: bool,
}

/// An enrolled agent, running or not.
#[derive(Debug)]
pub struct Agent {
    spec: AgentSpec,
    state: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    process: Process,
    doors: Doors,
}

/// The addresses that an agent wrote into its state folder.
#[derive(Debug, Clone, Deserialize)]
pub struct Doors {
    pid: u32,
    /// Where applications on its machine ask.
    pub serving: SocketAddr,
    /// Where the devices behind it ask.
    pub relay: Option<SocketAddr>,
}

impl Agent {
    /// Enrols an agent with a claim file, its state in `state`.
    ///
    /// # Errors
    /// When it is refused; with what it said.
    pub async fn enrol(spec: AgentSpec, state: &Path, claim: &Path) -> Result<Self> {
        let agent = Self {
            spec,
            state: state.to_owned(),
            running: None,
        };
        let claim = claim.to_str().context("a claim path that is no text")?;
        let role = if agent.spec.gateway {
            "gateway"
        } else {
            "device"
        };
        agent
            .command(&[
                "enrol",
                "--claim",
                claim,
                "--name",
                &agent.spec.name,
                "--class",
                &agent.spec.class,
                "--role",
                role,
            ])
            .await?;
        Ok(agent)
    }

    /// Starts the daemon and waits until its doors are open.
    ///
    /// # Errors
    /// When it ends instead; with the end of its log.
    pub async fn start(&mut self) -> Result<()> {
        let log = self.log();
        let (listen, relay) = match self.running.take() {
            // Devices behind a gateway know its address: a restart opens the same doors.
            Some(Running { doors, .. }) => (doors.serving, doors.relay),
            None => (any_port(), None),
        };
        let mut process = Process::start(Program::Agent, &log, |command| {
            command.arg("run").args(["--listen", &listen.to_string()]);
            command.args([
                "--relay-listen",
                &relay.unwrap_or_else(any_port).to_string(),
            ]);
            self.arrange(command);
        })?;
        let (state, id) = (self.state.clone(), process.id());
        let doors = wait::until("the agent's doors", OPEN_WITHIN, || {
            let read = process.must_run().map(|()| read_doors(&state, id));
            async { read }
        })
        .await
        .with_context(|| process.last_words())?;
        self.running = Some(Running { process, doors });
        Ok(())
    }

    /// `kill -9`; the doors' addresses stay known for the next start.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill_hard(&mut self) -> Result<()> {
        self.running()?.process.kill_hard().await
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// When it does not run, or does not end in time.
    pub async fn stop(&mut self) -> Result<()> {
        let status = self.running()?.process.stop().await?;
        anyhow::ensure!(
            status.success(),
            "the agent {} ended with {status}",
            self.spec.name
        );
        Ok(())
    }

    /// Its process.
    ///
    /// # Errors
    /// When it was never started.
    pub fn process(&mut self) -> Result<&mut Process> {
        Ok(&mut self.running()?.process)
    }

    /// Its open doors.
    ///
    /// # Errors
    /// When it was never started.
    pub fn doors(&self) -> Result<&Doors> {
        let running = self.running.as_ref();
        running
            .map(|running| &running.doors)
            .with_context(|| format!("{} was never started", self.spec.name))
    }

    /// Who it is.
    #[must_use]
    pub fn spec(&self) -> &AgentSpec {
        &self.spec
    }

    /// Its state folder.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// How long its log is now, to be read on from there.
    ///
    /// # Errors
    /// When there is none yet.
    pub fn log_length(&self) -> Result<u64> {
        Ok(std::fs::metadata(self.log())?.len())
    }

    /// What its log says from a position on.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn log_since(&self, position: u64) -> Result<String> {
        let mut file = std::fs::File::open(self.log())?;
        file.seek(SeekFrom::Start(position))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The slots of a model as its store holds them now, also while it is dead.
    ///
    /// # Errors
    /// When there is no such record, or it is not one.
    pub fn slots(&self, model: &str) -> Result<Value> {
        let file = self.state.join("store/slots");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let (_header, body) = text.split_once('\n').context("a record without a header")?;
        let mut all: Value = serde_json::from_str(body).context("a record that is no JSON")?;
        Ok(all[model].take())
    }

    fn log(&self) -> PathBuf {
        self.state.with_extension("log")
    }

    /// Asks the running agent, at its local door, for the object under a click.
    ///
    /// # Errors
    /// When it refuses; with what it said.
    pub async fn segment(
        &self,
        http: &reqwest::Client,
        model: &str,
        picture: &[u8],
        prompt: &Value,
    ) -> Result<Value> {
        let url = format!("http://{}/v1/models/{model}/segment", self.doors()?.serving);
        let form = reqwest::multipart::Form::new()
            .part("image", reqwest::multipart::Part::bytes(picture.to_vec()))
            .text("request", prompt.to_string());
        let answer = http
            .post(url)
            .multipart(form)
            .send()
            .await
            .context("the agent does not answer")?;
        let status = answer.status();
        let text = answer
            .text()
            .await
            .context("the agent's answer broke off")?;
        anyhow::ensure!(
            status.is_success(),
            "{} refused: {status}: {text}",
            self.spec.name
        );
        serde_json::from_str(&text).context("the agent answered with something else")
    }

    /// Runs `espalier-agent ARGS` on its state folder and gives what it printed.
    ///
    /// # Errors
    /// When the command fails; with what it said.
    pub async fn command(&self, args: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(Program::Agent.path()?);
        command.args(args).kill_on_drop(true);
        self.arrange(&mut command);
        let said = command
            .output()
            .await
            .context("cannot run espalier-agent")?;
        if !said.status.success() {
            bail!(
                "`espalier-agent {}` failed: {}",
                args.join(" "),
                String::from_utf8_lossy(&said.stderr)
            );
        }
        String::from_utf8(said.stdout).context("espalier-agent printed no text")
    }

    fn arrange(&self, command: &mut tokio::process::Command) {
        command
            .arg("--state")
            .arg(&self.state)
            .arg("--development-trust");
        command.env("ESPALIER_AGENT_LOG_FORMAT", "json");
    }

    fn running(&mut self) -> Result<&mut Running> {
        let name = &self.spec.name;
        self.running
            .as_mut()
            .with_context(|| format!("{name} does not run"))
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The doors that this very process opened; an older one's are none.
fn read_doors(state: &Path, process: Option<u32>) -> Option<Doors> {
    let bytes = std::fs::read(state.join("doors.json")).ok()?;
    let doors: Doors = serde_json::from_slice(&bytes).ok()?;
    (Some(doors.pid) == process).then_some(doors)
}
