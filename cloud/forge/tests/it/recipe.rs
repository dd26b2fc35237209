use espalier_forge::recipe::{Method, Recipe, RecipeError, Signedness, WeightBits};

const LEAST: &str = "[device]\nclass = \"device-x86\"\narch = \"x86_64\"\n";

fn refused(text: &str) -> String {
    Recipe::parse(text)
        .expect_err("this recipe must be refused")
        .to_string()
}

#[test]
fn a_recipe_with_a_device_alone_leaves_the_model_as_it_is() {
    let recipe = Recipe::parse(LEAST).unwrap();
    assert_eq!(recipe.quantise.method_for("encoder"), Method::Full);
    assert_eq!(recipe.device.integers().activations, Signedness::Unsigned);
}

#[test]
fn number_formats_follow_the_architecture_unless_the_class_says_otherwise() {
    let arm = LEAST.replace("x86_64", "aarch64");
    let found = Recipe::parse(&arm).unwrap().device.integers();
    assert_eq!(
        (found.activations, found.weights),
        (Signedness::Signed, WeightBits::Eight)
    );
    let said = format!("{arm}activations = \"u8\"\nweight_bits = 7\n");
    let found = Recipe::parse(&said).unwrap().device.integers();
    assert_eq!(
        (found.activations, found.weights),
        (Signedness::Unsigned, WeightBits::Seven)
    );
    assert!(refused(&format!("{LEAST}weight_bits = 4\n")).contains("line 4"));
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let text = format!("{LEAST}\n[quantise]\nmethod = \"static-int8\"\nkalibration = 3\n");
    let message = refused(&text);
    assert!(
        message.contains("line 7") && message.contains("kalibration"),
        "{message}"
    );
}

#[test]
fn an_impossible_number_is_refused_with_its_line() {
    let message = refused(&format!("{LEAST}[gate]\nbytes_ratio = 1.5\n"));
    assert!(
        message.contains("line 5") && message.contains("1.5"),
        "{message}"
    );
    let message = refused(&format!("{LEAST}[quantise.calibration]\npictures = 0\n"));
    assert!(message.contains("line 5"), "{message}");
}

#[test]
fn a_build_is_never_judged_on_what_it_was_tuned_on() {
    let text = format!("{LEAST}[quantise.calibration]\nseed = 9\n[held_out]\nseed = 9\n");
    assert!(matches!(
        Recipe::parse(&text),
        Err(RecipeError::Contradiction(_))
    ));
}

#[test]
fn an_endless_recipe_is_refused_unread() {
    let endless = "#".repeat(espalier_forge::recipe::MAX_RECIPE_BYTES + 1);
    assert!(matches!(
        Recipe::parse(&endless),
        Err(RecipeError::TooLong(_))
    ));
}

#[test]
fn the_committed_recipes_are_valid() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    for (class, numbers) in [
        ("device-x86", "int8"),
        ("gateway-x86", "int8"),
        ("gateway-x86", "fp16"),
    ] {
        let file = folder.join(format!("{class}-{numbers}.toml"));
        let recipe = Recipe::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(recipe.device.class.as_str(), class);
        assert!(recipe.gate.agreement_iou.is_some() && recipe.gate.bytes_ratio.is_some());
    }
}
