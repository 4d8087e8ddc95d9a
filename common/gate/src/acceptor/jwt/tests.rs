//! Tokens that pass, and every attack on them that is known by name.

use crate::{
    acceptor::Kind,
    config::{AccountConfig, UserConfig},
    directory::Directory,
    gate::{Caller, Effect, Gate, Input, Output, Proof, Standing, Verdict},
    gate_config::{AcceptorConfig, GateConfig},
    issuer::{Algorithm, IssuerConfig, JwkConfig},
    policy::Policy,
    verifying_key::VerifyingKey,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use riser_model::{
    AccountId, Now, Wall,
    door::{Code, Credential, Secret},
    event::GateStep,
};
use serde_json::{Value, json};
use std::sync::Arc;

const NOW_S: i64 = 1_700_000_000;
const NOW: Now = Now { time: riser_model::Time(0), wall: Wall(NOW_S * 1000) };

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `ann` may come by tokens of an issuer with an RSA key and an Ed25519 key of name `new`.
fn directory() -> Arc<Directory> {
    let mut account = AccountConfig::new("acme".parse().unwrap(), AccountId(uuid::Uuid::from_u128(1)));
    account.user = vec![UserConfig::new("ann".parse().unwrap())];
    let none = JwkConfig { kid: None, alg: Algorithm::RS256, x: None, y: None, n: None, e: None, k: None };
    let rsa = JwkConfig { n: Some(b64(&[0xab; 256])), e: Some(b64(&[1, 0, 1])), ..none.clone() };
    let ed = JwkConfig { kid: Some("new".into()), alg: Algorithm::EdDSA, x: Some(b64(&[9; 32])), ..none };
    account.issuer = vec![IssuerConfig {
        issuer: "https://sso.example".into(),
        audience: "riser".into(),
        claim: "sub".into(),
        key: vec![rsa, ed],
        key_set: None,
        discover: false,
        ca: None,
        page: None,
    }];
    Arc::new(Directory::compile(&[account]).unwrap())
}

fn claims() -> Value {
    json!({ "iss": "https://sso.example", "aud": ["other", "riser"], "sub": "ann", "exp": NOW_S + 60, "iat": NOW_S })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn token(header: &Value, claims: &Value) -> String {
    let (header, claims) = (header.to_string(), claims.to_string());
    format!("{}.{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()), b64(b"signature"))
}

fn rs256() -> Value {
    json!({ "alg": "RS256", "typ": "JWT" })
}

/// What a gate does with a token: the keys that it verifies against, or why it refused.
fn shown(token: &str) -> (Gate, Result<(u64, Vec<VerifyingKey>), &'static str>) {
    let policy = Policy::new(&directory(), None, "").unwrap();
    let mut gate = Gate::front(&policy, Caller::default(), NOW);
    gate.handle(Input::Shown(Credential::Token(Secret(token.to_owned().into()))), NOW);
    let mut why = "";
    loop {
        match gate.poll().expect("it is verified or refused") {
            Output::Tell { step: GateStep::Refused, why: really, .. } => why = really,
            Output::Refuse(refusal) => {
                assert_eq!(refusal.code, Code::NotAuthorised, "outside all look the same");
                return (gate, Err(why));
            }
            Output::Do { ticket, effect: Effect::Verify(Proof::Signature { keys, .. }) } => {
                return (gate, Ok((ticket, keys)));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn refused(token: &str) -> &'static str {
    shown(token).1.expect_err(token)
}

#[test]
fn token_of_an_issuer_passes_until_it_expires() {
    let (mut gate, verify) = shown(&token(&rs256(), &claims()));
    let (ticket, keys) = verify.unwrap();
    assert!(matches!(&keys[..], [VerifyingKey::Rsa { .. }]));
    gate.handle(Input::Done { ticket, verdict: Verdict::Matches }, NOW);
    assert_eq!(gate.standing().principal.as_ref().unwrap().name.as_str(), "ann");
    assert_eq!(gate.standing().until, Some(Wall((NOW_S + 120) * 1000)));
    assert!(!gate.standing().is_lasting() && !gate.standing().evidence.is_empty());
    assert!(gate.standing().passed.contains(&Kind::Jwt));
    let (mut gate, verify) = shown(&token(&rs256(), &claims()));
    gate.handle(Input::Done { ticket: verify.unwrap().0, verdict: Verdict::Differs }, NOW);
    assert!(gate.standing().principal.is_none());
}

#[test]
fn a_token_shown_anew_is_shown_to_no_gate_behind_the_listener_s() {
    let (directory, standing) = (directory(), Standing::default());
    let policy = Policy::new(&directory, None, "").unwrap();
    let inside = AcceptorConfig::Address(serde_json::from_value(json!(["192.0.2.0/24"])).unwrap());
    let room = GateConfig(vec![AcceptorConfig::Any(vec![AcceptorConfig::Token, inside])]);
    let room = room.compile("gate", true).unwrap();
    let caller = Caller { address: Some([192, 0, 2, 7].into()), ..Caller::default() };
    let who = directory.named("ann").cloned();
    let standing = Standing { principal: who, ..standing };
    let mut gate = Gate::anew(&policy, Arc::new(policy.front.then(&room)), &standing, caller, NOW);
    gate.handle(Input::Shown(Credential::Token(Secret(token(&rs256(), &claims()).into()))), NOW);
    let Some(Output::Do { ticket, .. }) = gate.poll() else { panic!("it is verified") };
    gate.handle(Input::Done { ticket, verdict: Verdict::Matches }, NOW);
    let passed: Vec<Output> = std::iter::from_fn(|| gate.poll()).collect();
    assert_eq!(
        passed.last(),
        Some(&Output::Pass),
        "who comes by it and then into the room passes: {passed:?}"
    );
}

#[test]
fn the_key_says_which_algorithm_and_the_token_does_not() {
    let alg = |alg: &str| token(&json!({ "alg": alg }), &claims());
    for none in ["none", "None", "NONE", "nOnE", ""] {
        assert_eq!(refused(&alg(none)), "a token that none of its issuer's keys is for", "{none}");
    }
    // An RSA modulus taken for a secret.
    for other in ["HS256", "ES256", "RS384", "PS256"] {
        assert_eq!(refused(&alg(other)), "a token that none of its issuer's keys is for", "{other}");
    }
    let unsigned = token(&rs256(), &claims());
    let (message, _) = unsigned.rsplit_once('.').unwrap();
    let (_, verify) = shown(&format!("{message}."));
    assert!(verify.is_ok(), "an empty signature is verified like any other");
}

#[test]
fn names_of_keys_are_names_and_nothing_else() {
    let kid = |kid: &str, alg: &str| token(&json!({ "alg": alg, "kid": kid }), &claims());
    assert!(shown(&kid("new", "EdDSA")).1.is_ok() && shown(&kid("any", "RS256")).1.is_ok());
    for other in ["", "old", "../../dev/null", "/dev/null", "new\0", "' or 1=1 --", "NEW"] {
        assert_eq!(refused(&kid(other, "EdDSA")), "a token that none of its issuer's keys is for", "{other}");
    }
    assert!(
        shown(&token(&json!({ "alg": "EdDSA" }), &claims())).1.is_err(),
        "a key with a name is asked for by it"
    );
}

#[test]
fn token_brings_no_keys_and_asks_for_nothing() {
    for (name, value) in [
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("jwk", json!({ "kty": "OKP" })),
        ("x5c", json!(["MII"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
    ] {
        let mut header = rs256();
        header[name] = value;
        assert_eq!(
            refused(&token(&header, &claims())),
            "a token whose header asks for what is not done here"
        );
    }
}

#[test]
fn issuer_audience_and_times_must_be_right() {
    for (name, value, why) in [
        ("iss", json!("https://sso.example/"), "a token of an unknown issuer"),
        ("iss", json!(["https://sso.example"]), "a token without an issuer"),
        ("aud", json!("rise"), "a token for another audience"),
        ("aud", json!(["other"]), "a token for another audience"),
        ("aud", Value::Null, "a token for another audience"),
        ("exp", json!(NOW_S - 60), "a token that has expired"),
        ("exp", json!("soon"), "a token that cannot be read"),
        ("exp", json!(1e300), "a token that cannot be read"),
        ("exp", json!(-1), "a token that cannot be read"),
        ("nbf", json!(NOW_S + 61), "a token of the future"),
        ("iat", json!(NOW_S + 61), "a token of the future"),
    ] {
        assert_eq!(refused(&token(&rs256(), &with(name, value.clone()))), why, "{name} {value}");
    }
    let mut endless = claims();
    endless.as_object_mut().unwrap().remove("exp");
    assert_eq!(refused(&token(&rs256(), &endless)), "a token without an end");
    for (name, value) in [("exp", json!(NOW_S - 59)), ("nbf", json!(NOW_S + 60)), ("exp", json!(1.8e9))] {
        assert!(shown(&token(&rs256(), &with(name, value))).1.is_ok(), "clocks may be a minute apart");
    }
}

#[test]
fn who_is_not_known_costs_a_verification_and_passes_by_none() {
    for sub in [json!("bob"), json!("other/ann"), json!(7), json!(["ann"]), Value::Null] {
        let (mut gate, verify) = shown(&token(&rs256(), &with("sub", sub)));
        gate.handle(Input::Done { ticket: verify.unwrap().0, verdict: Verdict::Matches }, NOW);
        assert!(gate.standing().principal.is_none());
    }
}

#[test]
fn what_two_readers_might_read_differently_is_refused() {
    let raw = |header: &str, claims: &str| {
        format!("{}.{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()), b64(b"x"))
    };
    let good = claims().to_string();
    let twice = good.replacen('{', r#"{"sub":"bob","#, 1);
    for token in [
        raw(r#"{"alg":"RS256","alg":"none"}"#, &good),
        raw(r#"{"alg":"RS256"}"#, &twice),
        raw(r#"{"alg":"RS256"}"#, &format!("{good} {good}")),
        raw(r#"["RS256"]"#, &good),
        raw("", ""),
        raw(r#"{"alg":"RS256"}"#, "\u{feff}{}"),
        format!("{}=.{}.{}", b64(br#"{"alg":"RS256"}"#), b64(good.as_bytes()), b64(b"x")),
        format!("{}.{}.{}.x", b64(br#"{"alg":"RS256"}"#), b64(good.as_bytes()), b64(b"x")),
        format!("{}.{}.+/==", b64(br#"{"alg":"RS256"}"#), b64(good.as_bytes())),
        "..".into(),
        ".".into(),
    ] {
        assert_eq!(refused(&token), "a token that cannot be read", "{token}");
    }
    let whole = token(&rs256(), &claims());
    for cut in 0..whole.len() {
        drop(shown(&whole[..cut]));
    }
}

/// An account whose UUID comes first names the same issuer and audience, with a key of its own.
#[test]
fn one_account_s_issuer_shuts_out_no_other_s_tokens() {
    let account = |n: u128, name: &str, user: &str, key: u8| {
        let mut account = AccountConfig::new(name.parse().unwrap(), AccountId(uuid::Uuid::from_u128(n)));
        account.user = vec![UserConfig::new(user.parse().unwrap())];
        let (kid, x) = (None, Some(b64(&[key; 32])));
        let key = JwkConfig { kid, alg: Algorithm::EdDSA, x, y: None, n: None, e: None, k: None };
        account.issuer = vec![IssuerConfig {
            issuer: "https://sso.example".into(),
            audience: "riser".into(),
            claim: "sub".into(),
            key: vec![key],
            key_set: None,
            discover: false,
            ca: None,
            page: None,
        }];
        account
    };
    let shown = |other: &str, verdicts: &[Verdict]| {
        let accounts = [account(1, "evil", other, 1), account(2, "acme", "ann", 2)];
        let directory = Arc::new(Directory::compile(&accounts).unwrap());
        let mut gate = Gate::front(&Policy::new(&directory, None, "").unwrap(), Caller::default(), NOW);
        let token = token(&json!({ "alg": "EdDSA" }), &claims());
        gate.handle(Input::Shown(Credential::Token(Secret(token.into()))), NOW);
        let (mut verdicts, mut asked) = (verdicts.iter(), Vec::new());
        while let Some(output) = gate.poll() {
            if let Output::Do { ticket, effect: Effect::Verify(Proof::Signature { keys, .. }) } = output {
                asked.extend(keys);
                gate.handle(Input::Done { ticket, verdict: *verdicts.next().unwrap() }, NOW);
            }
        }
        let who = gate.standing().principal.as_ref().map(|who| who.account_name.to_string());
        (asked.len(), who)
    };
    let (yes, no) = (Verdict::Matches, Verdict::Differs);
    assert_eq!(shown("ann", &[no, yes]), (2, Some("acme".to_owned())));
    assert_eq!(shown("ann", &[Verdict::Away, yes]), (2, Some("acme".to_owned())));
    assert_eq!(shown("ann", &[yes]), (1, Some("evil".to_owned())), "whose key has signed it");
    assert_eq!(shown("ann", &[no, no]), (2, None));
    assert_eq!(shown("bob", &[yes]), (1, Some("acme".to_owned())), "nobody of that name is there");
}

#[test]
fn megabyte_of_token_is_not_even_decoded() {
    let huge = format!("{}.{}", "e".repeat(1024 * 1024), token(&rs256(), &claims()));
    assert_eq!(refused(&huge), "a token that is too long");
}
