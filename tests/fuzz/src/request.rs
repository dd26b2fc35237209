//! Requests for inference.

use bytes::Bytes;
use espalier_protocol::manifest::Prompt;
use espalier_serving::Question;

use crate::same;

/// The body of a request in JSON, and the prompt of a form.
pub fn question(bytes: &[u8]) {
    if let Ok(question) = Question::from_json(Bytes::copy_from_slice(bytes)) {
        assert!(
            question.picture.len() <= bytes.len(),
            "a picture is larger than the body that it came in"
        );
        prompt(&question.prompt);
    }
    if let Ok(asked) = serde_json::from_slice::<Prompt>(bytes) {
        prompt(&asked);
    }
}

fn prompt(prompt: &Prompt) {
    let marks = prompt.points.iter().flat_map(|point| [point.x, point.y]);
    let mut numbers = marks.chain(prompt.bounds.into_iter().flatten());
    // JSON has no word for what is no number; such a prompt is refused with the picture.
    if numbers.all(f32::is_finite) {
        same::in_json(prompt, usize::MAX, |bytes| serde_json::from_slice(bytes));
    }
}
