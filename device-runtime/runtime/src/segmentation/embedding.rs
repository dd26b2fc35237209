//! What the encoder knows about one picture.

use crate::graph::NamedTensors;
use crate::picture::Picture;
use crate::preprocess::Placing;
use crate::tensor::Tensor;

use super::SegmentError;

/// A picture's embedding: all that is needed to answer prompts about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    tensors: Vec<Tensor>,
    width: u32,
    height: u32,
    placing: Placing,
}

impl Embedding {
    /// Takes the named outputs, in the names' order.
    pub(super) fn pick(
        mut outputs: NamedTensors,
        names: &[String],
        picture: &Picture,
        placing: Placing,
    ) -> Result<Self, SegmentError> {
        let tensors = names
            .iter()
            .map(|name| take(&mut outputs, name))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            tensors,
            width: picture.width(),
            height: picture.height(),
            placing,
        })
    }

    /// Width of the original picture in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height of the original picture in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// How the picture lay in the encoder's input.
    #[must_use]
    pub fn placing(&self) -> Placing {
        self.placing
    }

    /// The encoder's outputs in the description's order.
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// How much memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tensors.iter().map(Tensor::bytes).sum()
    }
}

/// Takes one tensor out of a run's outputs.
pub(super) fn take(outputs: &mut NamedTensors, name: &str) -> Result<Tensor, SegmentError> {
    let at = outputs.iter().position(|(output, _)| output == name);
    let at = at.ok_or_else(|| crate::GraphError::UnknownOutput(name.to_owned()))?;
    Ok(outputs.swap_remove(at).1)
}
