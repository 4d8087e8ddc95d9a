//! Tokens of issuers, and what issuers publish: nobody passes by a token that nothing verified, nobody by one that does not
//! name it, and keys are believed of no address that somebody between could answer at.
//!
//! Input: what the verdict is (the lowest bit) and of what kind (a token; its header, claims and signature a line each; a key set;
//! a description); then the bytes.

use crate::outcome;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use riser_gate::{
    AccountConfig, Algorithm, Caller, Directory, Effect, Gate, Input, IssuerConfig, JwkConfig, KeySet,
    KeySource, Output, Policy, Proof, Provider, UserConfig, Verdict, Way,
    key_set::{FRESH, Look},
};
use riser_model::{
    AccountId, Now, Time, Wall,
    door::{Credential, Secret},
};
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

const NOW_S: i64 = 1_700_000_000;
const NOW: Now = Now { time: Time(0), wall: Wall(NOW_S * 1000) };
const ISSUER: &str = "https://sso.example/realm";

pub fn run(input: &[u8]) {
    let [how, bytes @ ..] = input else { return };
    let holds = how & 1 != 0;
    match how / 2 % 4 {
        0 => token(bytes, holds),
        1 => token(signed(bytes).as_bytes(), holds),
        2 => key_set(bytes),
        _ => description(bytes),
    }
}

/// `ann` comes by tokens of an issuer with keys of its own and of one that publishes them.
static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let mut account =
        AccountConfig::new("acme".parse().expect("letters are a name"), AccountId(Uuid::from_u128(1)));
    account.user = vec![UserConfig::new("ann".parse().expect("letters are a name"))];
    let none = JwkConfig { kid: None, alg: Algorithm::EdDSA, x: None, y: None, n: None, e: None, k: None };
    let b64 = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
    let ed = JwkConfig { kid: Some("new".to_owned()), x: b64(&[9; 32]), ..none.clone() };
    let rsa = JwkConfig { alg: Algorithm::RS256, n: b64(&[0xab; 256]), e: b64(&[1, 0, 1]), ..none };
    let issuer = IssuerConfig {
        issuer: "https://own.example".to_owned(),
        audience: "riser".to_owned(),
        claim: "sub".to_owned(),
        key: vec![ed, rsa],
        key_set: None,
        discover: false,
        ca: None,
        page: None,
    };
    let published =
        IssuerConfig { issuer: ISSUER.to_owned(), key: Vec::new(), discover: true, ..issuer.clone() };
    account.issuer = vec![issuer, published];
    let directory = Arc::new(Directory::compile(&[account]).expect("it is an account"));
    Policy::new(&directory, None, "listen").expect("nobody comes without a credential")
});

fn token(token: &[u8], holds: bool) {
    let mut gate = Gate::front(&POLICY, Caller::default(), NOW);
    gate.handle(Input::Shown(Credential::Token(Secret(token.to_vec().into()))), NOW);
    let mut verified = false;
    while let Some(output) = gate.poll() {
        match output {
            Output::Pass => {
                assert!(verified, "it passes by what nothing verified");
                let who = gate.standing().principal.as_ref().expect("who passes is somebody");
                let claims = String::from_utf8_lossy(token).split('.').nth(1).map(str::to_owned);
                let claims = URL_SAFE_NO_PAD.decode(claims.expect("it has claims")).expect("they were read");
                let claims: serde_json::Value = serde_json::from_slice(&claims).expect("they were read");
                assert_eq!(claims["sub"], who.name.as_str(), "it is whom its token names");
                assert!(claims["exp"].as_f64().expect("it ends") >= (NOW_S - 61) as f64);
                return;
            }
            Output::Refuse(why) => return outcome::note(why.code),
            Output::Do { ticket, effect: Effect::Verify(proof) } => {
                outcome::note(std::mem::discriminant(&proof));
                if let Proof::Signature { message, .. } | Proof::Token { message, .. } = &proof {
                    assert!(token.starts_with(message), "what is verified is what was shown");
                    verified |= holds;
                }
                let verdict = if holds { Verdict::Matches } else { Verdict::Differs };
                gate.handle(Input::Done { ticket, verdict }, NOW);
            }
            Output::Tell { .. } => {}
            Output::Do { .. } | Output::Say(_) => panic!("a token is asked for nothing more"),
        }
    }
    panic!("it passes or is refused");
}

/// Header, claims and signature, a line each, as a token.
fn signed(text: &[u8]) -> String {
    let mut parts = text.splitn(3, |byte| *byte == b'\n');
    let mut part = || URL_SAFE_NO_PAD.encode(parts.next().unwrap_or_default());
    format!("{}.{}.{}", part(), part(), part())
}

fn key_set(document: &[u8]) {
    let mut keys = KeySet::default();
    keys.asked(Time(0));
    let taken = keys.answered(document, Time(0));
    outcome::note(taken);
    for (alg, kid) in [(Algorithm::EdDSA, None), (Algorithm::ES256, Some("a")), (Algorithm::RS256, None)] {
        match keys.look(kid, alg, Time(1)) {
            Look::Keys(found) => {
                outcome::note((format!("{alg:?}"), found.len()));
                assert!(taken && (1..=64).contains(&found.len()), "so many are kept");
            }
            Look::Unknown => assert!(taken, "nobody has said so"),
            Look::Away => assert!(!taken, "it has answered"),
            Look::Aging(_) | Look::Fetch => panic!("it was asked a moment ago"),
        }
    }
    assert_eq!(keys.look(None, Algorithm::HS256, Time(0).plus(FRESH)), Look::Fetch, "no secret is published");
}

fn description(text: &[u8]) {
    let source = KeySource { url: None, issuer: ISSUER.to_owned(), ca: None };
    let provider = Provider {
        account: "acme".parse().expect("letters are a name"),
        issuer: ISSUER.to_owned(),
        client_id: "riser".to_owned(),
        redirect: "https://hub.example/api/login/back".to_owned(),
        client_secret_file: None,
        endpoints: None,
        scope: "openid".to_owned(),
        name: "sso".to_owned(),
        ca: None,
    };
    let endpoints = provider.endpoints_in(text);
    let urls = endpoints.into_iter().flat_map(|endpoints| [endpoints.authorization, endpoints.token]);
    for url in source.keys_in(text).into_iter().chain(urls) {
        outcome::note("an address");
        assert!(url.starts_with("https://"), "{url}: somebody between could answer");
        let host = url.split(['/', '?', '#']).nth(2).unwrap_or_default();
        let is_host = |letter: char| letter.is_ascii_alphanumeric() || ".-_:[]".contains(letter);
        assert!(host.chars().all(is_host), "{url} names another host than it seems");
        assert!(!url.contains(char::is_control), "{url} ends elsewhere for some");
    }
    // What comes back with a person is looked at before it is verified.
    let way = Way(&[7; 32]);
    let token = String::from_utf8_lossy(text);
    if way.is_of(&token, &provider) {
        assert!(token.split('.').nth(1).is_some_and(|claims| claims.len() > way.nonce().len()));
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let claims = |issuer: &str, rest: &str| {
        format!(
            r#"{{"iss":"{issuer}","aud":["other","riser"],"sub":"ann","exp":{},"iat":{NOW_S}{rest}}}"#,
            NOW_S + 60
        )
    };
    let (own, theirs) = (claims("https://own.example", ""), claims(ISSUER, r#","nbf":1.5e9"#));
    let parts = [
        format!("{{\"alg\":\"EdDSA\",\"kid\":\"new\",\"typ\":\"JWT\"}}\n{own}\nsignature"),
        format!("{{\"alg\":\"RS256\"}}\n{own}\nsignature"),
        format!("{{\"alg\":\"ES256\",\"kid\":\"a\"}}\n{theirs}\nsignature"),
        format!("{{\"alg\":\"none\"}}\n{own}\n"),
        format!("{{\"alg\":\"EdDSA\",\"jku\":\"https://evil\"}}\n{}\nx", claims(ISSUER, r#","sub":"eve""#)),
    ];
    let key = |kty: &str, rest: &str| format!(r#"{{"kty":"{kty}","kid":"a","use":"sig",{rest}}}"#);
    let (x, long) = (URL_SAFE_NO_PAD.encode([9; 32]), URL_SAFE_NO_PAD.encode([0xab; 256]));
    let set = [
        key("OKP", &format!(r#""crv":"Ed25519","x":"{x}""#)),
        key("EC", &format!(r#""crv":"P-256","x":"{x}","y":"{x}","key_ops":["verify"]"#)),
        key("RSA", &format!(r#""n":"{long}","e":"AQAB","alg":"RS256""#)),
        key("oct", r#""k":"AAAA""#),
    ];
    let set = format!(r#"{{"keys":[{}]}}"#, set.join(","));
    let described = format!(
        r#"{{"issuer":"{ISSUER}","jwks_uri":"{ISSUER}/keys","authorization_endpoint":"{ISSUER}/auth","token_endpoint":"https://sso.example:8443/token"}}"#
    );
    let nonce = Way(&[7; 32]).nonce();
    let back = signed(format!("{{}}\n{{\"iss\":\"{ISSUER}\",\"nonce\":\"{nonce}\"}}\n").as_bytes());
    let of = |how: u8, text: &str| [&[how], text.as_bytes()].concat();
    let mut seeds: Vec<Vec<u8>> = parts.iter().flat_map(|part| [of(2, part), of(3, part)]).collect();
    seeds.extend(parts.iter().map(|part| of(1, &signed(part.as_bytes()))));
    seeds.extend([of(4, &set), of(6, &described), of(6, &back)]);
    seeds
}
