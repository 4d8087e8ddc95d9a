//! Tokens of a certified OpenID provider: its keys are found, changed and cached, and it may be away.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Instant, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::client::Client;
use crate::needs::{Need, needs};
use crate::page::look;
use crate::program::{SOON, free_port, output};
use crate::sign_in::enters_with;
use crate::site::{ACCOUNT, OWNER, Plan, Site};
use crate::terminal::Terminal;

struct Provider {
    control: u16,
    _process: Client,
}

impl Provider {
    fn start(site: &Site, port: u16) -> Self {
        Self::with_pages(site, port, json!([]))
    }

    fn with_pages(site: &Site, port: u16, pages: Value) -> Self {
        let control = free_port();
        let asked = json!({
            "port": port, "control": control, "audience": "riser", "clients": [OWNER, "nobody"], "pages": pages,
        });
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

#[tokio::test]
async fn edge_fetches_the_keys_of_issuers_as_a_hub_does_and_goes_on_while_they_are_away() {
    needs!(Need::Program("curl"), Need::Node);
    let port = free_port();
    let mut site = Site::laid_out(Plan::default());
    let text = std::fs::read_to_string(&site.edge.config).unwrap();
    let issuer = format!(
        "\n[[account.issuer]]\nissuer = \"http://127.0.0.1:{port}\"\naudience = \"riser\"\nclaim = \"sub\"\ndiscover = true\n"
    );
    site.edge.write_config(&(text + &issuer));
    // There is no hub: the edge lets its people in by itself.
    site.edge.start();
    let provider = Provider::start(&site, port);
    let enters = async |token: &str| {
        let path = format!("/{ACCOUNT}/hall");
        let entered = Terminal::program_at(site.edge.http, &path, json!({ "token": token })).await;
        entered.map(drop).map_err(|code| code.as_str().unwrap_or_default().to_owned())
    };
    for alg in ["EdDSA", "ES256", "RS256"] {
        assert_eq!(enters(&provider.token(OWNER, alg)).await, Ok(()), "{alg}");
    }
    assert_eq!(site.edge.metric("riser_key_sets_fetched", "ok"), Some(1.0), "once for all");
    let old = provider.token(OWNER, "ES256");
    provider.tell("/rotate");
    let new = provider.token(OWNER, "ES256");
    let began = Instant::now();
    while enters(&new).await != Ok(()) {
        assert!(began.elapsed() < SOON, "the new key is not fetched");
        tokio::task::yield_now().await;
    }
    assert_eq!(enters(&old).await, Err("not_authorised".to_owned()), "its key is published no more");
    provider.tell("/down");
    assert_eq!(enters(&new).await, Ok(()), "what it said last is believed");
}

/// Two ways to the same provider: as a public client, and with a secret.
#[test]
fn the_page_sends_people_to_a_provider_and_takes_them_back() {
    needs!(Need::Program("chromium"), Need::Program("curl"), Need::Node);
    let port = free_port();
    let mut site = Site::laid_out(Plan { hub_top: "[login]\n".into(), ..Plan::default() });
    let (issuer, redirect) =
        (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}/api/login/back", site.hub.http));
    let secret = site.folder.path().join("secret");
    std::fs::write(&secret, "the hub's: 100% &+ secret\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let way = |id: &str, more: &str| {
        format!(
            "\n[[account.issuer]]\nissuer = \"{issuer}\"\naudience = \"{id}\"\ndiscover = true\n\
             [account.issuer.page]\nclient_id = \"{id}\"\nredirect = \"{redirect}\"\n{more}\n"
        )
    };
    let account = way("page", "name = \"the house\"")
        + &way("hub", &format!("client_secret_file = {secret:?}"))
        + "\n[[account.user]]\nname = \"mia\"\nrole = \"member\"\n";
    let text = std::fs::read_to_string(&site.hub.config).unwrap();
    site.hub.write_config(&(text + &account));
    site.hub.start();
    let _provider = Provider::with_pages(
        &site,
        port,
        json!([
            { "client_id": "page", "redirect": redirect },
            { "client_id": "hub", "redirect": redirect, "secret": "the hub's: 100% &+ secret" },
        ]),
    );
    let get = |path: &str| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--include", "--max-time", "30"]);
        command.arg(format!("http://127.0.0.1:{}/api/login/{path}", site.hub.http));
        output(command)
    };
    let offered = |account: &str| get(&format!("providers?account={account}"));
    assert!(
        offered(ACCOUNT).contains(&format!(r#"["the house","127.0.0.1:{port}"]"#)),
        "{}",
        offered(ACCOUNT)
    );
    for nobody in ["nobody", "%22"] {
        assert!(offered(nobody).contains(r#"{"providers":[]}"#), "{}", offered(nobody));
    }
    assert!(get(&format!("with?account={ACCOUNT}&provider=7")).contains("location: /?signin=unknown"));
    assert!(get("back?code=x&state=y").contains("location: /?signin=late"));
    let sent = get(&format!("with?account={ACCOUNT}&provider=0&room=hall"));
    for part in [
        "code_challenge_method=S256",
        "scope=openid",
        "nonce=",
        "state=",
        "referrer-policy: no-referrer",
        "HttpOnly; SameSite=Lax",
    ] {
        assert!(sent.contains(part), "{part}: {sent}");
    }
    let asked = json!({
        "guest": "mia", "room": "hall", "providers": ["the house", format!("127.0.0.1:{port}")],
    });
    let seen = [
        "signed in by a provider",
        "signed out",
        "straight into a room, where the hub has a secret",
        "who is not known here is not let in",
        "who says no there is told so",
        "a code of another browser signs nobody in",
    ];
    look(&site, "look_provider.mjs", asked, &seen);
    assert!(!site.hub.printed().contains("100%"), "the secret is printed nowhere");
    assert!(!site.hub.printed().contains("code="), "nor a code");
}

/// What OpenSSL makes of this.
fn openssl(words: &[&str]) -> Vec<u8> {
    let done = Command::new("openssl").args(words).output().unwrap();
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// The two numbers of an ECDSA signature, 32 bytes each, as tokens have them.
fn numbers(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut both = Vec::new();
    for _ in 0..2 {
        let (number, after) = rest[2..].split_at(usize::from(rest[1]));
        let number = &number[number.len().saturating_sub(32)..];
        both.extend(vec![0; 32 - number.len()]);
        both.extend(number);
        rest = after;
    }
    both
}

#[tokio::test]
async fn a_token_of_each_algorithm_lets_in_by_the_key_that_the_file_declares() {
    needs!(Need::Program("curl"), Need::Program("openssl"));
    let mut site = Site::laid_out(Plan::default());
    let folder = site.folder.path().to_owned();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (ed, ec, rsa, said) = (path("ed.pem"), path("ec.pem"), path("rsa.pem"), path("said"));
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", &ed]);
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &ec]);
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &rsa]);
    let public = |key: &str| openssl(&["pkey", "-in", key, "-pubout", "-outform", "DER"]);
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (ed_public, ec_public) = (public(&ed), public(&ec));
    let x = text(&ed_public[ed_public.len() - 32..]);
    let (ec_x, ec_y) = ec_public[ec_public.len() - 64..].split_at(32);
    let modulus = String::from_utf8(openssl(&["rsa", "-in", &rsa, "-noout", "-modulus"])).unwrap();
    let modulus = modulus.trim().strip_prefix("Modulus=").unwrap();
    let digit = |at: usize| u8::from_str_radix(&modulus[at..at + 2], 16).unwrap();
    let n = text(&(0..modulus.len()).step_by(2).map(digit).collect::<Vec<u8>>());
    let secret: Vec<u8> = (0..32).collect();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = |alg: &str, rest: String| {
        format!("\n[[account.issuer.key]]\nkid = \"by-{alg}\"\nalg = \"{alg}\"\n{rest}\n")
    };
    let keys = [
        key("EdDSA", format!("x = \"{x}\"")),
        key("ES256", format!("x = \"{}\"\ny = \"{}\"", text(ec_x), text(ec_y))),
        key("RS256", format!("n = \"{n}\"\ne = \"AQAB\"")),
        key("HS256", format!("k = \"{}\"", text(&secret))),
    ];
    let issuer = "\n[[account.issuer]]\nissuer = \"the office\"\naudience = \"riser\"\nclaim = \"sub\"\n";
    let config = std::fs::read_to_string(&site.hub.config).unwrap();
    site.hub.write_config(&(config + issuer + &keys.concat()));
    site.hub.start();
    let until = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 600;
    let claims = json!({ "iss": "the office", "aud": "riser", "sub": OWNER, "exp": until }).to_string();
    let sign = |alg: &str, message: &str| {
        std::fs::write(&said, message).unwrap();
        match alg {
            "EdDSA" => openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", &ed, "-in", &said]),
            "ES256" => numbers(&openssl(&["dgst", "-sha256", "-sign", &ec, &said])),
            "RS256" => openssl(&["dgst", "-sha256", "-sign", &rsa, &said]),
            _ => {
                let key = format!("hexkey:{hex}");
                openssl(&["dgst", "-sha256", "-mac", "HMAC", "-macopt", &key, "-binary", &said])
            }
        }
    };
    for alg in ["EdDSA", "ES256", "RS256", "HS256"] {
        let head = json!({ "alg": alg, "kid": format!("by-{alg}"), "typ": "JWT" }).to_string();
        let message = format!("{}.{}", text(head.as_bytes()), text(claims.as_bytes()));
        let mut signature = sign(alg, &message);
        assert_eq!(enters(&site, &format!("{message}.{}", text(&signature))).await, OWNER, "{alg}");
        signature[7] ^= 1;
        let forged = format!("{message}.{}", text(&signature));
        assert_eq!(enters(&site, &forged).await, "not_authorised", "{alg}");
    }
}
