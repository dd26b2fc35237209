use std::path::Path;

use espalier_forge::inspect::{InspectError, Origin, inspect};
use espalier_forge::onnx::build::Setting;
use espalier_forge::onnx::{
    DataType, GraphBuilder, Limits, ModelProto, OnnxError, TensorProto, proto, write, write_file,
};
use espalier_protocol::manifest::{Layout, MODEL_FILE, MaskFrame, Serving};

use crate::support::{self, Weights};

fn refused(path: &Path) -> InspectError {
    inspect(path, &Limits::default())
        .err()
        .expect("this model must be refused")
}

/// A folder with the encoder, changed.
fn folder_with(change: impl FnOnce(&mut ModelProto)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut model = support::encoder(1);
    change(&mut model);
    write_file(&model, &folder.path().join("encoder.onnx")).unwrap();
    folder
}

#[test]
fn a_described_model_is_reported_with_its_tensors_and_weights() {
    let folder = tempfile::tempdir().unwrap();
    support::write_model(folder.path(), 1);
    let found = inspect(folder.path(), &Limits::default())
        .unwrap()
        .inspection;
    assert_eq!(found.origin, Origin::Given);
    let encoder = &found.graphs[0];
    assert_eq!(encoder.inputs[0].name, "picture");
    assert_eq!(
        encoder.inputs[0].shape.as_deref(),
        Some(&["1", "3", "64", "64"].map(String::from)[..])
    );
    assert_eq!(encoder.operators["Conv"], 4);
    // Four convolutions with biases; the bounds of Clip are scalars and no weights.
    assert_eq!(encoder.params, 3 * 32 * 9 + 3 * 32 * 32 * 9 + 4 * 32);
}

#[test]
fn every_truncation_is_refused_and_none_panics() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut.onnx");
    let whole = write(&support::encoder(1));
    for length in (0..whole.len()).step_by(whole.len() / 97) {
        std::fs::write(&file, &whole[..length]).unwrap();
        let message = refused(&file).to_string();
        assert!(message.starts_with("cut.onnx: "), "{message}");
    }
}

#[test]
fn a_tensor_of_billions_of_elements_is_refused_before_memory_is_taken() {
    let folder = folder_with(|model| {
        let weight = &mut model.graph.as_mut().unwrap().initializer[0];
        weight.dims = vec![1 << 20, 1 << 20];
    });
    let error = refused(folder.path());
    assert!(
        matches!(
            error,
            InspectError::Onnx {
                source: OnnxError::TooLarge { .. },
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn weights_of_the_wrong_type_are_refused_by_name() {
    let folder = folder_with(|model| {
        model.graph.as_mut().unwrap().initializer[0].data_type = Some(DataType::Double.number());
    });
    let message = refused(folder.path()).to_string();
    assert!(message.contains("stem.weight"), "{message}");
}

#[test]
fn a_cycle_is_refused_by_the_name_of_the_value() {
    let folder = folder_with(|model| {
        let graph = model.graph.as_mut().unwrap();
        let last = graph.node[2].output[0].clone();
        graph.node[0].input[0] = last;
    });
    let message = refused(folder.path()).to_string();
    assert!(message.contains("nothing before it makes"), "{message}");
}

#[test]
fn an_unknown_operator_is_refused_by_name() {
    let folder = folder_with(|model| {
        model.graph.as_mut().unwrap().node[0].op_type = Some("Konv".into());
    });
    let error = refused(folder.path());
    assert!(
        matches!(&error, InspectError::UnknownOperators { operators, .. } if operators == &["Konv"]),
        "{error}"
    );
}

#[test]
fn an_operator_set_from_the_future_is_refused() {
    let folder = folder_with(|model| model.opset_import[0].version = Some(99));
    assert!(matches!(
        refused(folder.path()),
        InspectError::Opset { found: 99, .. }
    ));
}

/// Says that the data of a tensor lie in the file `location`.
fn place_outside(tensor: &mut TensorProto, location: &str) {
    tensor.raw_data = None;
    tensor.data_location = Some(1);
    tensor.external_data = vec![proto::StringStringEntryProto {
        key: Some("location".into()),
        value: Some(location.into()),
    }];
}

/// Moves the first weight into `weights.bin`, named in the model as `location`.
fn with_outside_weights(location: &str) -> tempfile::TempDir {
    let folder = folder_with(|model| {
        let weight = &mut model.graph.as_mut().unwrap().initializer[0];
        place_outside(weight, location);
    });
    let weight = Weights::seeded(1).tensor("stem.weight", &[32, 3, 3, 3]);
    std::fs::write(folder.path().join("weights.bin"), weight.raw_data.unwrap()).unwrap();
    folder
}

#[test]
fn weights_in_a_file_beside_the_model_are_brought_in() {
    let folder = with_outside_weights("weights.bin");
    let full = inspect(folder.path(), &Limits::default()).unwrap();
    assert_eq!(
        full.inspection.graphs[0].external["weights.bin"],
        32 * 27 * 4
    );
    let whole = &full.graphs[&full.inspection.graphs[0].file];
    assert_eq!(
        write(whole),
        write(&support::encoder(1)),
        "the model is the same as with its weights inside"
    );
}

#[test]
fn weights_outside_the_folder_are_refused() {
    for location in ["../weights.bin", "/etc/passwd", "sub/../../weights.bin"] {
        let message = refused(with_outside_weights(location).path()).to_string();
        assert!(message.contains("outside the model's folder"), "{message}");
    }
}

#[test]
fn a_link_out_of_the_folder_is_refused() {
    let folder = with_outside_weights("link.bin");
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link.bin")).unwrap();
    let message = refused(folder.path()).to_string();
    assert!(message.contains("leads outside"), "{message}");
}

/// A function of one constant, which no node calls: a runtime reads it all the same.
fn with_function(constant: TensorProto) -> tempfile::TempDir {
    let value = proto::AttributeProto {
        name: Some("value".into()),
        t: Some(constant),
        r#type: Some(proto::AttributeKind::Tensor.into()),
        ..Default::default()
    };
    let node = proto::NodeProto {
        op_type: Some("Constant".into()),
        output: vec!["made".into()],
        attribute: vec![value],
        ..Default::default()
    };
    folder_with(|model| {
        model.functions.push(proto::FunctionProto {
            name: Some("Attic".into()),
            domain: Some("attic".into()),
            output: vec!["made".into()],
            node: vec![node],
            ..Default::default()
        });
    })
}

#[test]
fn constants_of_a_function_are_checked_like_all_others() {
    let good = TensorProto::from_f32("held", &[2], &[1.0, 2.0]);
    let folder = with_function(good.clone());
    assert!(inspect(folder.path(), &Limits::default()).is_ok());

    let mut short = good.clone();
    short.dims = vec![3];
    let message = refused(with_function(short).path()).to_string();
    assert!(message.contains("held"), "{message}");

    let mut huge = good.clone();
    huge.dims = vec![1 << 20, 1 << 20];
    let message = refused(with_function(huge).path()).to_string();
    assert!(message.contains("elements in one constant"), "{message}");

    for location in ["weights.bin", "../secret", "/etc/passwd"] {
        let mut outside = good.clone();
        place_outside(&mut outside, location);
        let message = refused(with_function(outside).path()).to_string();
        assert!(message.contains("held"), "{message}");
    }
}

#[test]
fn sparse_constants_are_refused() {
    let sparse = || {
        let mut values = TensorProto::from_f32("values", &[1], &[1.0]);
        place_outside(&mut values, "/etc/passwd");
        proto::SparseTensorProto {
            values: Some(values),
            ..Default::default()
        }
    };
    let among_weights = folder_with(|model| {
        let graph = model.graph.as_mut().unwrap();
        graph.sparse_initializer.push(sparse());
    });
    let in_an_attribute = folder_with(|model| {
        let node = &mut model.graph.as_mut().unwrap().node[0];
        node.attribute.push(proto::AttributeProto {
            name: Some("sparse_value".into()),
            sparse_tensor: Some(sparse()),
            r#type: Some(proto::AttributeKind::SparseTensor.into()),
            ..Default::default()
        });
    });
    for folder in [among_weights, in_an_attribute] {
        let message = refused(folder.path()).to_string();
        assert!(message.contains("sparse"), "{message}");
    }
}

#[test]
fn weights_that_their_file_does_not_hold_are_refused() {
    let folder = with_outside_weights("weights.bin");
    std::fs::write(folder.path().join("weights.bin"), [0; 10]).unwrap();
    let message = refused(folder.path()).to_string();
    assert!(
        message.contains("stem.weight") && message.contains("the file has 10"),
        "{message}"
    );
}

#[test]
fn a_description_that_names_a_missing_tensor_is_refused_with_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    support::write_model(folder.path(), 1);
    let text = std::fs::read_to_string(folder.path().join(MODEL_FILE)).unwrap();
    std::fs::write(
        folder.path().join(MODEL_FILE),
        text.replace("\"picture\"", "\"image\""),
    )
    .unwrap();
    let message = refused(folder.path()).to_string();
    assert!(
        message.contains("`image`") && message.contains("it has: picture"),
        "{message}"
    );
}

/// The tensors of segment-anything's `export_onnx_model.py`, with a trivial inside.
fn sam_decoder() -> ModelProto {
    let mut graph = GraphBuilder::new("decoder");
    let embedding = graph.input(
        "image_embeddings",
        DataType::Float,
        &[1.into(), 256.into(), 64.into(), 64.into()],
    );
    graph.input(
        "point_coords",
        DataType::Float,
        &[1.into(), "num_points".into(), 2.into()],
    );
    graph.input(
        "point_labels",
        DataType::Float,
        &[1.into(), "num_points".into()],
    );
    graph.input(
        "mask_input",
        DataType::Float,
        &[1.into(), 1.into(), 256.into(), 256.into()],
    );
    graph.input("has_mask_input", DataType::Float, &[1.into()]);
    graph.input("orig_im_size", DataType::Float, &[2.into()]);
    for name in ["masks", "iou_predictions", "low_res_masks"] {
        graph.output(&embedding, name, DataType::Float, &[]);
    }
    graph.finish()
}

fn sam_encoder(axes: &[espalier_forge::onnx::build::Axis], output: &str) -> ModelProto {
    let mut graph = GraphBuilder::new("encoder");
    let picture = graph.input("input_image", DataType::Float, axes);
    let pooled = graph.node(
        "ReduceMean",
        &[Some(&picture)],
        vec![("keepdims", Setting::Int(0))],
    );
    graph.output(&pooled, output, DataType::Float, &[]);
    graph.finish()
}

#[test]
fn the_official_sam_export_is_recognised_by_its_tensor_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sam_vit_b_01ec64");
    std::fs::create_dir(&path).unwrap();
    write_file(&sam_decoder(), &path.join("decoder.onnx")).unwrap();
    let outside = [1.into(), 3.into(), 1024.into(), 1024.into()];
    write_file(
        &sam_encoder(&outside, "image_embeddings"),
        &path.join("encoder.onnx"),
    )
    .unwrap();
    let found = inspect(&path, &Limits::default()).unwrap().inspection;
    assert_eq!(found.origin, Origin::SamExport);
    assert_eq!(found.description.model.as_str(), "sam-vit-b-01ec64");
    let Serving::PromptableSegmentation(sam) = found.description.serving else {
        panic!("not a segmenter")
    };
    assert_eq!(sam.encoder.preprocessing.layout, Layout::Nchw);
    assert_eq!(sam.encoder.preprocessing.std, [58.395, 57.12, 57.375]);
    assert_eq!(sam.decoder.mask_frame, MaskFrame::Original);
    assert_eq!(sam.decoder.original_size.as_deref(), Some("orig_im_size"));
    assert!(sam.decoder.pad_point);
}

#[test]
fn an_export_with_its_preprocessing_inside_takes_raw_pixels() {
    let folder = tempfile::tempdir().unwrap();
    write_file(&sam_decoder(), &folder.path().join("decoder.onnx")).unwrap();
    let inside = ["height".into(), "width".into(), 3.into()];
    write_file(
        &sam_encoder(&inside, "embeddings"),
        &folder.path().join("encoder.onnx"),
    )
    .unwrap();
    let found = inspect(folder.path(), &Limits::default())
        .unwrap()
        .inspection;
    let Serving::PromptableSegmentation(sam) = found.description.serving else {
        panic!("not a segmenter")
    };
    assert_eq!(sam.encoder.preprocessing.layout, Layout::Hwc);
    assert_eq!(sam.encoder.outputs, ["embeddings"]);
}

#[test]
fn several_graphs_of_unknown_meaning_are_refused() {
    let folder = folder_with(|_| {});
    std::fs::copy(
        folder.path().join("encoder.onnx"),
        folder.path().join("other.onnx"),
    )
    .unwrap();
    assert!(matches!(
        refused(folder.path()),
        InspectError::Undescribed(2)
    ));
}

#[test]
fn an_empty_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(refused(folder.path()), InspectError::NoGraph(_)));
    assert!(matches!(
        refused(&folder.path().join("nothing")),
        InspectError::Unreadable { .. }
    ));
}

#[test]
fn a_weight_with_typed_data_counts_like_one_with_raw_bytes() {
    let folder = folder_with(|model| {
        let weight = &mut model.graph.as_mut().unwrap().initializer[1];
        let values = weight.to_f32().unwrap();
        *weight = TensorProto {
            raw_data: None,
            float_data: values,
            ..weight.clone()
        };
    });
    let found = inspect(folder.path(), &Limits::default())
        .unwrap()
        .inspection;
    assert_eq!(found.params(), 3 * 32 * 9 + 3 * 32 * 32 * 9 + 4 * 32);
}
