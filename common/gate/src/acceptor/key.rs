//! A challenge that is answered with a key of the user or client: see [`claim`].

use super::{Given, Known, Sort, Step, claim};
use crate::credential::digest;
use riser_model::door::Method;

pub(crate) const SORT: Sort = Sort::Known(Known {
    of: |_, member| member.keys.iter().map(|key| digest(&key.0)).collect(),
    is_one_of_several: true,
});

pub(crate) fn begin(given: &Given<'_>) -> Step {
    claim::begin(Method::Key, given)
}
