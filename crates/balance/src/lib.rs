//! Chooses one instance of a service out of a set that changes.
//!
//! ```text
//!   instances ──► set ──► picker ──► pick: an instance; the request counts as outstanding
//!                  ▲        │        until the pick is dropped
//!                  └────────┘ updated(instances): a new picker that keeps counts and positions
//! ```
//!
//! A [`Picker`] never changes: when the set changes, the caller builds a new one from it and
//! replaces it, for example behind an `Arc`. Picking takes `&self` and works from several threads
//! at once; it takes no lock, except a short one with [`Choice::Weighted`].
//!
//! Everything here is computed from its arguments. Randomness comes from the seed that the caller
//! gives. Where a key belongs depends only on the key, the settings and the ids and weights of the
//! instances, so clients that see the same set agree, whatever order they learned it in. The
//! [`hash`] functions are frozen, so that programs in other languages can agree with them too.
//!
//! ```
//! use balance::{Instance, Picker, Settings, Weight};
//!
//! let instances = vec![
//!     Instance::new("a", Weight::new(1)?, None)?,
//!     Instance::new("b", Weight::new(3)?, Some("north"))?,
//! ];
//! let seed = 1;
//! let picker = Picker::new("least-loaded".parse()?, Settings::default(), instances, seed)?;
//! let request = picker.pick(b"ignored by this strategy").expect("the set is not empty");
//! assert_eq!(request.instance().id(), "b");
//! assert_eq!(request.outstanding(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bounded;
pub mod hash;
mod instance;
mod jump;
mod least_loaded;
mod load;
mod maglev;
mod picker;
mod proportional;
mod random;
mod rendezvous;
mod ring;
mod round_robin;
mod set;
mod settings;
mod smooth;
mod strategy;

pub use instance::{ID_BYTES_MAX, Instance, InstanceError, WEIGHT_MAX, Weight, WeightError, ZONE_BYTES_MAX};
pub use load::Pick;
pub use picker::{Picker, PickerError};
pub use ring::RING_POINTS_MAX;
pub use set::{INSTANCES_MAX, SetError};
pub use settings::{LOAD_FACTOR_PERCENT, MAGLEV_SLOTS_MAX, POINTS_PER_WEIGHT_MAX, Settings, SettingsError};
pub use strategy::{Choice, Strategy, UnknownStrategy};
