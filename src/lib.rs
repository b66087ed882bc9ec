//! Every committed change of the forum, in order, to the browsers that may see it.

pub mod actor;
pub mod ids;
