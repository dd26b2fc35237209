//! `espalier-forge inspect`: what a model is, or why it is refused.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use espalier_forge::inspect::{GraphReport, Inspection, Origin, PortReport};
use espalier_forge::sandbox::Limits;
use espalier_forge::sandbox::spawn::{Failure, WorkerError, one_line};
use espalier_forge::stages::{Answer, Errand};
use espalier_protocol::job::JobEvent;

use super::workshop::{Confinement, on_this_thread, told_to_end};

/// Reads and checks a full model in a confined process, and describes it.
#[derive(clap::Args)]
pub struct Args {
    /// A folder with ONNX graphs (and a model.json), or one ONNX file.
    model: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    confinement: Confinement,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let model = args
        .model
        .canonicalize()
        .with_context(|| format!("{} cannot be read", args.model.display()))?;
    let scratch = tempfile::tempdir().context("no scratch folder")?;
    let room = if model.is_file() {
        model.parent().unwrap_or(&model).to_owned()
    } else {
        model.clone()
    };
    let worker = args
        .confinement
        .workshop()?
        .worker(scratch.path(), &[room], Limits::default());
    let found = on_this_thread(worker.run(&Errand::Inspect { model }, &mut |_| {}, told_to_end()))?;
    match found {
        Ok(Answer::Inspection(found)) if args.json => {
            println!("{}", serde_json::to_string_pretty(&found)?);
        }
        // Names in a model are a stranger's.
        Ok(Answer::Inspection(found)) => describe(&found)
            .lines()
            .for_each(|line| println!("{}", one_line(line))),
        Ok(_) => anyhow::bail!("the worker answered another question"),
        Err(WorkerError::Failed(Failure { code, detail })) if args.json => {
            println!(
                "{}",
                serde_json::to_string(&JobEvent::Refused { code, detail })?
            );
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => anyhow::bail!("refused: {error}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(found: &Inspection) -> String {
    let origin = match found.origin {
        Origin::Given => "described by its model.json",
        Origin::SamExport => "recognised as an export of Segment Anything",
        Origin::SingleGraph => "a single graph of unknown meaning",
    };
    let description = &found.description;
    let mut text = format!(
        "{}: {}, {origin}; {} parameters, {} bytes\n",
        description.model,
        description.serving.task(),
        found.params(),
        found.bytes()
    );
    text.extend(found.graphs.iter().map(describe_graph));
    text
}

fn describe_graph(graph: &GraphReport) -> String {
    let ports = |ports: &[PortReport]| ports.iter().map(port).collect::<Vec<_>>().join(", ");
    let operators: Vec<String> = graph
        .operators
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    let outside = match graph.external.len() {
        0 => String::new(),
        files => format!(", weights in {files} file(s) beside it"),
    };
    format!(
        "{}: opset {}, {} parameters, {} bytes{outside}\n  in:  {}\n  out: {}\n  operators: {}\n",
        graph.file,
        graph.opset,
        graph.params,
        graph.bytes,
        ports(&graph.inputs),
        ports(&graph.outputs),
        operators.join(", ")
    )
}

fn port(port: &PortReport) -> String {
    let shape = port
        .shape
        .as_ref()
        .map_or("?".to_owned(), |axes| axes.join(", "));
    format!("{} {}[{shape}]", port.name, port.element)
}
