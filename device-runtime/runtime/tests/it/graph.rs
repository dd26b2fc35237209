use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use espalier_runtime::graph::{Axis, GraphError};
use espalier_runtime::provider::{InvalidPolicy, ProviderPolicy};
use espalier_runtime::{Graph, GraphOptions, Provider, Tensor};
use tempfile::TempDir;

use crate::onnx;

/// `sum = a + b`, for `a` of any length.
fn adder() -> onnx::Graph {
    onnx::Graph::new()
        .input("a", &[-1, 2])
        .constant("b", &[2], onnx::Values::Floats(vec![10.0, 20.0]))
        .node("Add", &["a", "b"], "sum", &[])
        .output("sum", &[-1, 2])
}

fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("graph.onnx");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn load(bytes: &[u8], options: &GraphOptions) -> Result<Graph, GraphError> {
    let (_folder, path) = written(bytes);
    Graph::load(&path, options)
}

#[test]
fn a_graph_describes_itself_and_runs() {
    let graph = load(&adder().encode(), &GraphOptions::default()).unwrap();
    assert_eq!(
        graph.inputs()[0].axes,
        Some(vec![Axis::Free, Axis::Fixed(2)])
    );
    assert_eq!(graph.placement().provider, Provider::Cpu);
    let a = Tensor::f32([3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let outputs = graph.run(&[("a", &a)]).unwrap();
    let (name, sum) = &outputs[0];
    assert_eq!((name.as_str(), sum.shape()), ("sum", &[3, 2][..]));
    assert_eq!(sum.as_f32().unwrap(), [11.0, 22.0, 13.0, 24.0, 15.0, 26.0]);
}

#[test]
fn wrong_inputs_are_refused_before_the_run() {
    let graph = load(&adder().encode(), &GraphOptions::default()).unwrap();
    let fits = Tensor::f32([1, 2], vec![0.0; 2]).unwrap();
    let wide = Tensor::f32([1, 3], vec![0.0; 3]).unwrap();
    let whole = Tensor::new([1, 2], espalier_runtime::Elements::I64(vec![0; 2])).unwrap();
    assert!(matches!(graph.run(&[]), Err(GraphError::MissingInput(name)) if name == "a"));
    assert!(
        matches!(graph.run(&[("a", &fits), ("c", &fits)]), Err(GraphError::UnknownInput(name)) if name == "c")
    );
    for wrong in [&wide, &whole] {
        assert!(
            matches!(graph.run(&[("a", wrong)]), Err(GraphError::WrongInput { input, .. }) if input == "a")
        );
    }
    assert!(Tensor::f32([2, 2], vec![0.0; 3]).is_err());
    assert!(Tensor::f32([usize::MAX, 2], vec![0.0; 3]).is_err());
}

#[test]
fn broken_files_are_refused_by_name() {
    let whole = adder().encode();
    let (_folder, path) = written(&whole);
    let missing = path.with_file_name("none.onnx");
    assert!(matches!(
        Graph::load(&missing, &GraphOptions::default()),
        Err(GraphError::Unreadable { .. })
    ));
    let unknown = onnx::Graph::new()
        .input("a", &[1])
        .node("NoSuchThing", &["a"], "b", &[])
        .output("b", &[1])
        .encode();
    for bytes in [
        &b""[..],
        b"not a graph",
        &whole[..whole.len() / 2],
        &unknown,
    ] {
        assert!(matches!(
            load(bytes, &GraphOptions::default()),
            Err(GraphError::Refused { .. })
        ));
    }
}

/// ONNX Runtime calls CUDA available even where it cannot start; only the policy may send work to the CPU.
#[test]
fn a_provider_that_cannot_start_falls_back_only_where_the_policy_says_so() {
    let policy = |text: &str| GraphOptions {
        providers: text.parse().unwrap(),
        ..GraphOptions::default()
    };
    let asked = load(&adder().encode(), &policy("cuda,cpu")).unwrap();
    if asked.placement().provider == Provider::Cuda {
        return; // A machine that has what this test is about to miss.
    }
    assert_eq!(asked.placement().refused[0].provider, Provider::Cuda);
    let alone = load(&adder().encode(), &policy("cuda"));
    assert!(
        matches!(alone, Err(GraphError::Refused { refused, .. }) if refused[0].provider == Provider::Cuda)
    );
}

#[test]
fn a_policy_is_a_list_without_repetition() {
    assert_eq!(
        "cuda, tensorrt,cpu"
            .parse::<ProviderPolicy>()
            .unwrap()
            .to_string(),
        "cuda,tensorrt,cpu"
    );
    assert_eq!("".parse::<ProviderPolicy>(), Err(InvalidPolicy::Empty));
    assert_eq!(
        "cpu,gpu".parse::<ProviderPolicy>(),
        Err(InvalidPolicy::Unknown("gpu".into()))
    );
    assert_eq!(
        "cpu,cpu".parse::<ProviderPolicy>(),
        Err(InvalidPolicy::Twice(Provider::Cpu))
    );
}

#[test]
fn threads_share_a_pool_of_sessions() {
    let sessions = NonZeroUsize::new(2).unwrap();
    let graph = load(
        &adder().encode(),
        &GraphOptions {
            sessions,
            ..GraphOptions::default()
        },
    )
    .unwrap();
    thread::scope(|scope| {
        for thread in 0..8 {
            let graph = &graph;
            scope.spawn(move || {
                for round in 0..20 {
                    let value = (thread * 100 + round) as f32;
                    let a = Tensor::f32([1, 2], vec![value; 2]).unwrap();
                    let outputs = graph.run(&[("a", &a)]).unwrap();
                    assert_eq!(outputs[0].1.as_f32().unwrap(), [value + 10.0, value + 20.0]);
                }
            });
        }
    });
}
