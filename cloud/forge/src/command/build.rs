//! `espalier-forge build`: a job's full model becomes a bundle.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use espalier_forge::job;
use espalier_protocol::job::{Evaluation, GateVerdict, JobEvent};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::workshop::{Confinement, on_this_thread, told_to_end};

/// Makes the bundle of a job: inspects the full model, quantises it by the recipe, measures it against the full
/// model and writes golden inputs. Prints JSON lines, or progress bars in a terminal.
#[derive(clap::Args)]
pub struct Args {
    /// The job's `job.json`; the full model lies in `input/` beside it, the bundle will lie in `output/`.
    #[arg(long)]
    job: PathBuf,
    /// Print JSON lines also in a terminal.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    confinement: Confinement,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let pretty = std::io::stdout().is_terminal() && !args.json;
    let mut teller: Box<dyn FnMut(JobEvent)> = if pretty {
        Box::new(Bars::default().teller())
    } else {
        Box::new(print)
    };
    let workshop = match args.confinement.workshop() {
        Ok(workshop) => workshop,
        Err(error) => {
            teller(JobEvent::Refused {
                code: "no-runtime".to_owned(),
                detail: format!("{error:#}"),
            });
            return Ok(ExitCode::FAILURE);
        }
    };
    let ended = on_this_thread(job::run(
        &args.job,
        &workshop,
        &mut *teller,
        now,
        told_to_end(),
    ))?;
    Ok(match ended {
        Ok(finished) => {
            teller(finished);
            ExitCode::SUCCESS
        }
        Err(error) => {
            teller(error.event());
            ExitCode::FAILURE
        }
    })
}

/// The clock of this process.
#[expect(
    clippy::disallowed_methods,
    reason = "the wiring is where the clock comes from"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

/// One JSON object a line, whole at once, so that a reader never waits for half of it.
fn print(event: JobEvent) {
    if let Ok(line) = serde_json::to_string(&event) {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).ok();
    }
}

/// One bar for each stage, and a table at the end.
#[derive(Default)]
struct Bars {
    current: Option<(String, ProgressBar)>,
}

impl Bars {
    fn teller(mut self) -> impl FnMut(JobEvent) {
        move |event| match event {
            JobEvent::Progress { stage, done, total } => self.advance(stage, done, total),
            JobEvent::Finished { bundle, evaluation } => {
                self.finish();
                println!("bundle {bundle}\n{}", table(&evaluation));
            }
            JobEvent::Refused { code, detail } => {
                self.finish();
                eprintln!("refused ({code}): {detail}");
            }
        }
    }

    fn advance(&mut self, stage: String, done: u64, total: u64) {
        let same = self
            .current
            .as_ref()
            .is_some_and(|(name, bar)| *name == stage && bar.position() <= done);
        if !same {
            self.finish();
            let style = ProgressStyle::with_template("{prefix:>12} {bar:40} {pos}/{len} {elapsed}");
            let bar = ProgressBar::new(total).with_prefix(stage.clone());
            self.current = Some((
                stage,
                bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())),
            ));
        }
        if let Some((_, bar)) = &self.current {
            bar.set_position(done);
        }
    }

    fn finish(&mut self) {
        if let Some((_, bar)) = self.current.take() {
            bar.finish();
        }
    }
}

fn table(found: &Evaluation) -> String {
    let ratio = found.bytes as f64 / found.full_bytes.max(1) as f64;
    let mut lines = vec![
        format!(
            "bytes      {} of {} ({ratio:.3})",
            found.bytes, found.full_bytes
        ),
        format!(
            "latency    {:.1} ms median, {:.1} ms p95 on {} thread(s); the full model {:.1} ms",
            found.latency_ms_p50, found.latency_ms_p95, found.threads, found.full_latency_ms_p50
        ),
        format!("memory     {} MiB at most", found.peak_memory_bytes >> 20),
        format!(
            "agreement  {:.4} (clicks {:.4}, boxes {:.4}) over {} pairs",
            found.agreement_iou, found.agreement_iou_click, found.agreement_iou_box, found.pairs
        ),
    ];
    match &found.gate {
        GateVerdict::Passed => lines.push("gate       passed".to_owned()),
        GateVerdict::Failed { reasons } => {
            lines.extend(
                reasons
                    .iter()
                    .map(|reason| format!("gate       failed: {reason}")),
            );
        }
    }
    lines.extend(found.notes.iter().map(|note| format!("note       {note}")));
    lines.join("\n")
}
