//! Embedding and prompt → masks and how good they are.

use super::algebra::Algebra;
use super::layer::{Init, Layer};
use super::neck::{Block, DETAIL, EMBEDDING, Embedding};
use super::prompt::{self, Bounds, COARSE_MAPS, FINE_MAPS, Prompt};
use super::window::{CELLS, FINE_CELLS, Window};
use crate::train::frame::Frame;

/// Masks that a prompt gets: the likeliest first, then others that it may have meant.
pub const MASKS: usize = 3;
/// How much better than the first another mask must be predicted to be before it wins. Without it, two masks that
/// are as good as each other change places for a rounding error, and so would what a user sees after quantisation.
const HEADSTART: f32 = 0.05;
/// Channels that are compared with what lies under the prompt.
const ESSENCE: usize = 32;
/// Channels at half and at a quarter of the window's cells.
const MIDDLE: usize = 96;
const DEEP: usize = 128;

/// What the decoder answers.
#[derive(Clone, Debug)]
pub struct Answer<V> {
    /// Logits in the masks' cells: [batch, [`MASKS`], rows, columns].
    pub masks: V,
    /// Predicted IoU of each mask: [batch, 1, [`MASKS`], 1].
    pub scores: V,
}

/// A small U-net that sees a window of the embedding, compared with what lies under the prompt, and the prompt's maps.
#[derive(Clone, Debug)]
pub struct Decoder {
    frame: Frame,
    essence: Layer,
    compare: [Layer; 2],
    place: Layer,
    fine: [Block; 2],
    to_middle: [Layer; 2],
    middle: [Block; 3],
    to_deep: [Layer; 2],
    deep: [Block; 3],
    survey: Layer,
    from_deep: Layer,
    from_middle: Layer,
    to_detail: Layer,
    place_detail: Layer,
    detail: Block,
    logits: Layer,
    prior: Layer,
    judge: [Layer; 2],
}

impl Decoder {
    /// The decoder for this input size.
    #[must_use]
    pub fn new(frame: Frame) -> Self {
        let block = |name: &str, channels| Block::new(&format!("decoder.{name}"), channels);
        let pointwise = |name: &str, inputs, outputs| {
            Layer::pointwise(format!("decoder.{name}"), inputs, outputs)
        };
        let down = |name: &str, inputs, outputs| {
            [
                Layer::depthwise(format!("decoder.{name}.down"), inputs, 2),
                pointwise(&format!("{name}.mix"), inputs, outputs),
            ]
        };
        // Clicks, background clicks, inside of the box, bell, across, down, box given, previous mask.
        let believe_prompt = Init::Exactly(vec![3.0, -3.0, 5.0, 1.0, 0.0, 0.0, -1.0, 4.0], -2.0);
        Self {
            frame,
            essence: pointwise("essence", EMBEDDING, ESSENCE),
            compare: [
                pointwise("compare.picture", EMBEDDING, EMBEDDING).linear(),
                pointwise("compare.prompt", ESSENCE * 3, EMBEDDING).linear(),
            ],
            place: pointwise("place", COARSE_MAPS, EMBEDDING).linear(),
            fine: [block("fine.0", EMBEDDING), block("fine.1", EMBEDDING)],
            to_middle: down("to_middle", EMBEDDING, MIDDLE),
            middle: [
                block("middle.0", MIDDLE),
                block("middle.1", MIDDLE),
                block("middle.2", MIDDLE),
            ],
            to_deep: down("to_deep", MIDDLE, DEEP),
            deep: [
                block("deep.0", DEEP),
                block("deep.1", DEEP),
                block("deep.2", DEEP),
            ],
            survey: pointwise("survey", DEEP, DEEP)
                .linear()
                .starting(Init::Quiet(0.4)),
            from_deep: pointwise("from_deep", DEEP, MIDDLE).linear(),
            from_middle: pointwise("from_middle", MIDDLE, EMBEDDING).linear(),
            to_detail: pointwise("to_detail", EMBEDDING, DETAIL).linear(),
            place_detail: pointwise("place_detail", FINE_MAPS, DETAIL).linear(),
            detail: block("detail", DETAIL),
            logits: pointwise("logits", DETAIL, MASKS)
                .linear()
                .starting(Init::Quiet(0.2)),
            prior: pointwise("prior", FINE_MAPS, MASKS)
                .linear()
                .starting(believe_prompt),
            judge: [
                pointwise("judge.0", DETAIL * 2 + 1, DETAIL),
                pointwise("judge.1", DETAIL, 1)
                    .linear()
                    .starting(Init::Quiet(0.3)),
            ],
        }
    }

    /// Masks and scores for a prompt on an embedded picture.
    pub fn forward<A: Algebra>(
        &self,
        a: &mut A,
        embedding: &Embedding<A::Value>,
        prompt: &Prompt<A::Value>,
    ) -> Answer<A::Value> {
        let bounds = Bounds::of(a, prompt);
        let window = Window::around(a, &bounds, self.frame);
        let drawn = prompt::draw(a, prompt, &bounds, &window, self.frame);
        let meaning = a.spread(&embedding.meaning);
        let meaning = window.look(a, &meaning, self.frame.embedding_grid(), CELLS);
        let compared = self.compare(a, &meaning, &drawn.evidence);
        let placed = a.convolve(&drawn.coarse, &self.place);
        let x = a.add_relu6(&compared, &placed);
        let x = self.understand(a, &x);
        let x = a.convolve(&x, &self.to_detail);
        let x = a.upsample(&x);
        let placed = a.convolve(&drawn.fine, &self.place_detail);
        let detail = a.spread(&embedding.detail);
        let detail = window.look(a, &detail, self.frame.detail_grid(), FINE_CELLS);
        let detail = a.add(&detail, &placed);
        let x = a.add_relu6(&x, &detail);
        let x = self.detail.forward(a, &x);
        let learnt = a.convolve(&x, &self.logits);
        let prior = a.convolve(&drawn.fine, &self.prior);
        let masks = a.add(&learnt, &prior);
        let scores = self.judge(a, &x, &masks);
        let masks = window.put_back(a, &masks, self.frame.mask_grid());
        Answer { masks, scores }
    }

    /// What the picture shows everywhere, and how like it is to what lies under the prompt.
    fn compare<A: Algebra>(&self, a: &mut A, meaning: &A::Value, evidence: &A::Value) -> A::Value {
        let shown = a.convolve(meaning, &self.compare[0]);
        let essence = a.convolve(meaning, &self.essence);
        let means = average(a, &essence, evidence);
        let (wanted, unwanted) = (a.row(&means, 0), a.row(&means, 1));
        let product = a.multiply(&essence, &wanted);
        let product = a.affine(&product, 1.0 / 6.0, 0.0);
        let near = a.subtract(&essence, &wanted);
        let near = a.absolute(&near);
        let far = a.subtract(&essence, &unwanted);
        let far = a.absolute(&far);
        let joined = a.join(&[&product, &near, &far]);
        let alike = a.convolve(&joined, &self.compare[1]);
        a.add(&shown, &alike)
    }

    fn understand<A: Algebra>(&self, a: &mut A, x: &A::Value) -> A::Value {
        let fine = self.fine[0].forward(a, x);
        let middle = descend(a, &fine, &self.to_middle);
        let middle = self.middle[0].forward(a, &middle);
        let middle = self.middle[1].forward(a, &middle);
        let mut deep = descend(a, &middle, &self.to_deep);
        for block in &self.deep {
            deep = block.forward(a, &deep);
        }
        let whole = a.mean(&deep);
        let whole = a.convolve(&whole, &self.survey);
        let deep = a.add_relu6(&deep, &whole);
        let deep = a.convolve(&deep, &self.from_deep);
        let deep = a.upsample(&deep);
        let middle = a.add_relu6(&middle, &deep);
        let middle = self.middle[2].forward(a, &middle);
        let middle = a.convolve(&middle, &self.from_middle);
        let middle = a.upsample(&middle);
        let fine = a.add_relu6(&fine, &middle);
        self.fine[1].forward(a, &fine)
    }

    /// The predicted IoU of each mask, from the features inside it and along its unsure border.
    fn judge<A: Algebra>(&self, a: &mut A, features: &A::Value, masks: &A::Value) -> A::Value {
        let (features, masks) = (a.detach(features), a.detach(masks));
        let inside = a.sigmoid(&masks);
        let outside = a.affine(&inside, -1.0, 1.0);
        let unsure = a.multiply(&inside, &outside);
        let of_inside = average(a, &features, &inside);
        let of_border = average(a, &features, &unsure);
        let one = a.channels(&inside, 0, 1);
        let one = a.affine(&one, 0.0, 1.0);
        let area = a.weigh(&one, &inside);
        let area = a.affine(&area, 1.0, 1.0);
        let border = a.weigh(&one, &unsure);
        let doubt = a.divide(&border, &area);
        let doubt = a.affine(&doubt, 4.0, 0.0);
        let known = a.join(&[&of_inside, &of_border, &doubt]);
        let judged = a.convolve(&known, &self.judge[0]);
        let judged = a.convolve(&judged, &self.judge[1]);
        a.sigmoid(&judged)
    }

    /// The scores as they are given out: the first mask has a head start.
    pub fn ranked<A: Algebra>(&self, a: &mut A, scores: &A::Value) -> A::Value {
        let mut handicap = [-HEADSTART; MASKS];
        handicap[0] = 0.0;
        let handicap = a.constant(&handicap);
        a.add(scores, &handicap)
    }

    /// Its layers.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        let blocks = self
            .fine
            .iter()
            .chain(&self.middle)
            .chain(&self.deep)
            .chain([&self.detail]);
        [&self.essence, &self.place]
            .into_iter()
            .chain(&self.compare)
            .chain(blocks.flat_map(Block::layers))
            .chain(&self.to_middle)
            .chain(&self.to_deep)
            .chain([
                &self.survey,
                &self.from_deep,
                &self.from_middle,
                &self.to_detail,
            ])
            .chain([&self.place_detail, &self.logits, &self.prior])
            .chain(&self.judge)
    }
}

/// Halves the sides and changes the channels.
fn descend<A: Algebra>(a: &mut A, x: &A::Value, [down, mix]: &[Layer; 2]) -> A::Value {
    let x = a.convolve(x, down);
    a.convolve(&x, mix)
}

/// The mean of the features under each map of weights: [batch, channels, maps, 1]; zero where a map is empty.
fn average<A: Algebra>(a: &mut A, features: &A::Value, weights: &A::Value) -> A::Value {
    let sums = a.weigh(features, weights);
    let one = a.channels(weights, 0, 1);
    let one = a.affine(&one, 0.0, 1.0);
    let totals = a.weigh(&one, weights);
    let totals = a.affine(&totals, 1.0, 1e-3);
    a.divide(&sums, &totals)
}
