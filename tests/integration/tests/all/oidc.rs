//! Tokens of a certified OpenID provider: its keys are found, changed and cached, and it may be away.

use std::process::Command;
use std::time::Instant;

use serde_json::json;

use crate::client::Client;
use crate::needs::{Need, needs};
use crate::program::{SOON, free_port, output};
use crate::sign_in::enters_with;
use crate::site::{OWNER, Plan, Site};

struct Provider {
    control: u16,
    _process: Client,
}

impl Provider {
    fn start(site: &Site, port: u16) -> Self {
        let control = free_port();
        let asked =
            json!({ "port": port, "control": control, "audience": "riser", "clients": [OWNER, "nobody"] });
        let process = site.client("provider", "oidc.mjs", &site.hub, OWNER, asked);
        site.history.wait_mark("provider is up", SOON);
        Self { control, _process: process }
    }

    fn tell(&self, path: &str) -> String {
        let mut command = Command::new("curl");
        command.args(["--silent", "--fail", "--max-time", "30"]);
        command.arg(format!("http://127.0.0.1:{}{path}", self.control));
        output(command)
    }

    fn token(&self, client: &str, alg: &str) -> String {
        self.tell(&format!("/token?client={client}&alg={alg}"))
    }
}

async fn enters(site: &Site, token: &str) -> String {
    enters_with(site, &[], Some(json!({ "token": token }))).await
}

/// Waits until this token is answered so: the provider is asked again every ten seconds at most.
async fn comes_to(site: &Site, token: &str, expected: &str) {
    let began = Instant::now();
    loop {
        let heard = enters(site, token).await;
        if heard == expected {
            return;
        }
        assert!(began.elapsed() < SOON, "still {heard} and not {expected}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn tokens_hold_by_the_keys_that_their_issuer_publishes_now() {
    needs!(Need::Program("curl"), Need::Node);
    let port = free_port();
    let hub_account = format!(
        "\n[[account.issuer]]\nissuer = \"http://127.0.0.1:{port}\"\naudience = \"riser\"\nclaim = \"sub\"\ndiscover = true\n"
    );
    let mut site = Site::laid_out(Plan { hub_account, ..Plan::default() });
    site.hub.start();
    let provider = Provider::start(&site, port);
    for alg in ["EdDSA", "ES256", "RS256"] {
        assert_eq!(enters(&site, &provider.token(OWNER, alg)).await, OWNER, "{alg}");
    }
    assert_eq!(site.hub.metric("riser_key_sets_fetched", "ok"), Some(1.0), "once for all");
    assert_eq!(enters(&site, &provider.token("nobody", "ES256")).await, "not_authorised");
    let other = provider.tell(&format!("/token?client={OWNER}&alg=ES256&audience=another"));
    assert_eq!(enters(&site, &other).await, "not_authorised");
    let old = provider.token(OWNER, "ES256");
    let (message, _) = old.rsplit_once('.').unwrap();
    assert_eq!(enters(&site, &format!("{message}.{}", "A".repeat(86))).await, "not_authorised");

    provider.tell("/rotate");
    let new = provider.token(OWNER, "ES256");
    comes_to(&site, &new, OWNER).await;
    assert_eq!(site.hub.metric("riser_key_sets_fetched", "ok"), Some(2.0));
    assert_eq!(enters(&site, &old).await, "not_authorised", "its key is published no more");

    provider.tell("/down");
    assert_eq!(enters(&site, &new).await, OWNER, "what it said last is believed");
    site.hub.stop();
    site.hub.start();
    assert_eq!(enters(&site, &new).await, "timeout", "nobody can say");
    assert!(site.hub.printed().contains("the keys of an issuer cannot be fetched"));
    provider.tell("/up");
    comes_to(&site, &new, OWNER).await;
    assert!(!site.hub.printed().contains(&new), "no token is printed");
}
