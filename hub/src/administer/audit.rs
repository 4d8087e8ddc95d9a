//! `audit`: who did what.

use super::{Wish, place::of_account};
use clap::Args;
use riser_host::audit::LineArgs;

/// `audit`
#[derive(Clone, Debug, Args)]
pub(crate) struct AuditArgs {
    /// An account; all unless given.
    account: Option<String>,
    #[command(flatten)]
    lines: LineArgs,
}

impl AuditArgs {
    /// What it asks.
    pub(crate) fn wish(&self) -> anyhow::Result<Wish> {
        let LineArgs { before, limit, contains } = &self.lines;
        let before = before.map(|before| format!("before={before}"));
        let limit = limit.map(|limit| format!("limit={limit}"));
        let contains = contains.as_ref().map(|text| format!("contains={}", quoted(text)));
        let query: Vec<String> = [before, limit, contains].into_iter().flatten().collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let path = match &self.account {
            Some(account) => of_account(account, "/audit")?,
            None => "/v1/audit".to_owned(),
        };
        Ok(Wish::new("GET", path + &query))
    }
}

/// As it stands in a query (RFC 3986, section 2).
fn quoted(text: &str) -> String {
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if stays(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
