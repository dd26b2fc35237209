//! The square that a network sees, and how pictures lie in it.

use espalier_protocol::manifest::{Fit, Layout, Preprocessing};

/// Strides of the backbone's taps: what it gives after 4-, 8-, 16- and 32-fold reduction.
pub const STRIDES: [usize; 4] = [4, 8, 16, 32];
/// Channels of the taps.
pub const CHANNELS: [usize; 4] = [24, 32, 96, 320];

/// Pixels along each side of a mask's cell. With cells of 4 pixels, masks that are right everywhere have a mean IoU of
/// 0.55 on objects under 16 pixels; with cells of 2, of 0.84 (measured on COCO).
pub const MASK_CELL: usize = 2;

/// A square grid of cells over the whole frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Cells along each side.
    pub cells: usize,
    /// Pixels along each side of a cell.
    pub size: f32,
}

/// The side of the square input in pixels; a multiple of 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame(usize);

impl Frame {
    /// A frame of this side; `None` when it is no multiple of 32 between 64 and 2048.
    #[must_use]
    pub fn new(side: usize) -> Option<Self> {
        ((64..=2048).contains(&side) && side.is_multiple_of(32)).then_some(Self(side))
    }

    /// Its side in pixels.
    #[must_use]
    pub fn side(self) -> usize {
        self.0
    }

    /// The side of the masks, in cells of [`MASK_CELL`] pixels.
    #[must_use]
    pub fn mask_side(self) -> usize {
        self.0 / MASK_CELL
    }

    /// The side of the detail, in cells of 4 pixels.
    #[must_use]
    pub fn detail_side(self) -> usize {
        self.0 / 4
    }

    /// The side of the embedding, in cells of 8 pixels.
    #[must_use]
    pub fn embedding_side(self) -> usize {
        self.0 / 8
    }

    /// The grid of the masks.
    #[must_use]
    pub fn mask_grid(self) -> Grid {
        Grid {
            cells: self.mask_side(),
            size: MASK_CELL as f32,
        }
    }

    /// The grid of the detail.
    #[must_use]
    pub fn detail_grid(self) -> Grid {
        Grid {
            cells: self.detail_side(),
            size: 4.0,
        }
    }

    /// The grid of the embedding.
    #[must_use]
    pub fn embedding_grid(self) -> Grid {
        Grid {
            cells: self.embedding_side(),
            size: 8.0,
        }
    }

    /// Shapes of the backbone's taps as (channels, side).
    #[must_use]
    pub fn taps(self) -> [(usize, usize); 4] {
        std::array::from_fn(|at| (CHANNELS[at], self.0 / STRIDES[at]))
    }

    /// How a picture becomes the input: the longer side fills the frame, the rest is padding at the right and the
    /// bottom; ImageNet's mean and deviation, because the backbone was trained with them.
    #[must_use]
    pub fn preprocessing(self) -> Preprocessing {
        Preprocessing {
            height: self.0 as u32,
            width: self.0 as u32,
            fit: Fit::LongSidePad,
            scale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            layout: Layout::Nchw,
        }
    }
}
