//! What a model is asked, and how well it answers.
//!
//! * [`Explainer`] proposes names from a [`Reference`] set of known functions,
//!   gives tags, and sums up a function in one line; every answer has a
//!   probability from a [`Calibration`], and there is none where that is low.
//! * [`bcsd`], [`retrieval`] and [`classes`] measure a model against the
//!   baselines of [`sparse`] on packages that it never saw, with the metrics of
//!   [`metrics`] and the intervals of [`bootstrap`]; a [`report`] keeps, shows
//!   and draws what they found. [`labels`] says what functions are.
//! * [`Sample`] is one function of a corpus as these tasks see it; [`Matrix`]
//!   holds vectors and multiplies them.
//!
//! Names, tags and searches all rest on vectors that the caller gets from a
//! model; nothing here runs one.
//!
//! ```
//! use binscribe_tasks::{Matrix, Reference, Sample, naming};
//!
//! let known = Sample { name: "crc32".into(), package: "zlib".into(), ..Sample::default() };
//! let vectors = Matrix::from_rows(&[[0.6f32, 0.8]]);
//! let reference = Reference::build(&[known], &vectors, "model-1", 100)?;
//!
//! let stripped = Matrix::from_rows(&[[0.8f32, 0.6]]);
//! let near = reference.vectors().nearest(&stripped, naming::NEIGHBOURS);
//! let names = naming::candidates(&reference, &near[0]);
//! assert_eq!(names[0].name, "crc32");
//! assert!((names[0].score - 0.96).abs() < 0.01);
//! # Ok::<(), binscribe_tasks::Error>(())
//! ```

pub mod bcsd;
pub mod bootstrap;
pub mod calibration;
pub mod classes;
mod compact;
mod copies;
pub mod diff;
mod error;
pub mod evidence;
mod explain;
pub mod labels;
mod logistic;
mod matrix;
pub mod mentions;
pub mod metrics;
pub mod naming;
pub mod own_names;
mod plot;
pub mod reference;
pub mod report;
pub mod retrieval;
mod sample;
pub mod softmax;
pub mod sparse;
pub mod stretches;
pub mod summary;
pub mod tags;
pub mod text;
pub mod zero_shot;

pub use calibration::Calibration;
pub use compact::Compact;
pub use copies::{Code, Copies, copies};
pub use error::Error;
pub use explain::{Evidence, Explainer, Explanation, ModelTag, Name, SMALLEST, Subject, Undecided};
pub use logistic::{Bin, Logistic, Observation, Reliability};
pub use matrix::{Matrix, dot, normalise, top};
pub use reference::Reference;
pub use sample::Sample;
pub use text::names_agree;
