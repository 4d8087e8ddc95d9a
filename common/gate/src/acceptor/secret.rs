//! A challenge that is answered with the secret that the user or client shares with this instance: see [`claim`].

use super::{Given, Known, Sort, Step, claim};
use crate::credential::digest;
use riser_model::door::Method;

pub(crate) const SORT: Sort = Sort::Known(Known {
    of: |_, member| member.secret.iter().map(|secret| digest(secret.expose())).collect(),
    is_one_of_several: false,
});

pub(crate) fn begin(given: &Given<'_>) -> Step {
    claim::begin(Method::Secret, given)
}
