//! Models that are damaged or mean harm, at the door where they come in: each is refused with its reason, the
//! control plane stays up, and nothing of them is left.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use espalier_api::{model::ModelView, page::Page};
use espalier_support::{Cloud, Operator, cloud::CloudOptions};

use crate::{
    onnx::{Graph, Values},
    tiny,
};

#[tokio::test(flavor = "multi_thread")]
async fn hostile_models_are_refused_with_their_reason_and_leave_nothing() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let state = scratch.path().join("cloud");
    let cloud = Cloud::start(&state, CloudOptions::default()).await?;
    let operator = cloud.operator();
    let folder = scratch.path().join("model");
    tiny::write_model(&folder, 12.0);
    let graph = folder.join("encoder.onnx");
    let honest = fs::read(&graph)?;

    let cases = [
        (
            "cut off",
            honest[..honest.len() / 2].to_vec(),
            "encoder.onnx",
        ),
        ("no protobuf", vec![0xff; 1 << 16], "encoder.onnx"),
        ("empty", Vec::new(), "encoder.onnx"),
        ("unknown operator", encoder("Konv").encode(), "Konv"),
        (
            "billions of elements",
            enormous().encode(),
            "1099511627776 elements",
        ),
        ("another input", other_input().encode(), "picture"),
    ];
    for (what, bytes, reason) in cases {
        fs::write(&graph, bytes)?;
        refused(&operator, &folder, reason).await.context(what)?;
        ensure!(operator.is_ready().await?.is_some(), "{what}: not ready");
        let left = fs::read_dir(state.join("jobs"))?.count();
        ensure!(left == 0, "{what}: {left} folders were left in jobs");
    }
    let models: Page<ModelView> = operator.get("/models").await?;
    ensure!(
        models.items.is_empty(),
        "a refused model is in the registry"
    );

    fs::write(&graph, honest)?;
    operator.import(&folder).await?;
    Ok(())
}

async fn refused(operator: &Operator, folder: &Path, reason: &str) -> Result<()> {
    let folder = folder.to_str().context("a folder that is no text")?;
    let said = operator.try_run(&["model", "import", folder]).await?;
    let words = String::from_utf8_lossy(&said.stderr);
    ensure!(!said.status.success(), "it was taken");
    ensure!(
        words.contains("The forge refuses the model") && words.contains(reason),
        "`{reason}` is not among: {words}"
    );
    Ok(())
}

fn encoder(operator: &str) -> Graph {
    let side = i64::from(tiny::INPUT);
    Graph::new()
        .input("picture", &[1, 3, side, side])
        .node(operator, &["picture"], "embedding", &[])
        .output("embedding", &[1, 3, 1, 1])
}

/// 2⁴⁰ elements that nobody sent.
fn enormous() -> Graph {
    encoder("GlobalAveragePool").constant("huge", &[1 << 20, 1 << 20], Values::Floats(Vec::new()))
}

fn other_input() -> Graph {
    Graph::new()
        .input("photograph", &[1, 3, 8, 8])
        .node("GlobalAveragePool", &["photograph"], "embedding", &[])
        .output("embedding", &[1, 3, 1, 1])
}
