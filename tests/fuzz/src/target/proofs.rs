//! What somebody shows of itself: keys and signatures of OpenSSH, signed passwords, cookies. What is read is written as it was,
//! what is verified is for this instance, and nobody passes by what nothing verified.
//!
//! Input: what the verdict is (the lowest bit) and of what kind (the others); then the bytes.

use crate::outcome;
use base64::{Engine, engine::general_purpose::STANDARD};
use riser_gate::{
    AccountConfig, Caller, ClientConfig, CookieId, DeviceKey, Directory, Effect, Gate, Input, Output, Policy,
    Proof, Statement, TokenHash, UserConfig, Verdict, VerifyingKey, acceptor::Kind,
};
use riser_model::{
    AccountId, ClientId, Memberships, Now, Time, Wall,
    door::{Credential, Method, Prompt, Secret},
};
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

const NOW: Now = Now { time: Time(0), wall: Wall(600_000) };
const INSTANCE: &str = "the-key-of-this-instance";
const PUMP: ClientId = ClientId(Uuid::from_u128(7));
const KEY: DeviceKey = DeviceKey([9; 32]);

pub fn run(input: &[u8]) {
    let [how, bytes @ ..] = input else { return };
    let holds = how & 1 != 0;
    let secret = || Secret(bytes.to_vec().into());
    match how / 2 % 5 {
        0 => keys(bytes),
        1 => passes(claim(Method::Key), Some(bytes), holds),
        2 => passes(claim(Method::Secret), Some(bytes), holds),
        3 => {
            let (account, user) = (None, "acme/pump".to_owned());
            passes(Credential::Password { account, user, password: secret() }, None, holds);
        }
        _ => {
            cookie(bytes);
            passes(Credential::Cookie(secret()), None, holds);
        }
    }
}

fn claim(method: Method) -> Credential {
    Credential::Claim { account: None, name: "acme/pump".to_owned(), method }
}

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let mut account =
        AccountConfig::new("acme".parse().expect("letters are a name"), AccountId(Uuid::from_u128(1)));
    let ann = UserConfig::new("ann".parse().expect("letters are a name"));
    account.user = vec![UserConfig { tokens: vec![TokenHash::of(b"of-ann")], ..ann }];
    let secret = serde_json::from_str("\"AAECAwQFBgcICQoLDA0ODw\"").expect("it is a secret");
    account.client = vec![ClientConfig {
        id: Some(PUMP),
        keys: vec![KEY],
        secret: Some(secret),
        ..ClientConfig::new("pump".parse().expect("letters are a name"))
    }];
    let directory = Arc::new(Directory::compile(&[account]).expect("it is an account"));
    Policy::new(&directory, None, "listen").expect("nobody comes without a credential")
});

/// A credential, and what answers if something is asked; all of it is good, or none.
fn passes(credential: Credential, answer: Option<&[u8]>, holds: bool) {
    let caller = Caller { instance: INSTANCE.into(), tls: true, entropy: [5; 32], ..Caller::default() };
    let mut gate = Gate::front(&POLICY, caller, NOW);
    gate.handle(Input::Shown(credential), NOW);
    let (mut verified, mut asked) = (false, 0);
    while let Some(output) = gate.poll() {
        match output {
            Output::Pass => {
                assert!(verified && holds, "it passes by what nothing verified");
                let who = gate.standing().principal.as_ref().expect("who passes is somebody");
                assert_eq!(who.client, PUMP, "nobody else was spoken of");
                return;
            }
            Output::Refuse(why) => return outcome::note(why.code),
            Output::Say(Prompt::Challenge { .. }) => {
                asked += 1;
                assert!(asked <= 1, "it is asked once");
                gate.handle(Input::Answered(Secret(answer.unwrap_or_default().to_vec().into())), NOW);
            }
            Output::Say(Prompt::Words(_) | Prompt::Knocked) => panic!("nobody is there to talk to"),
            Output::Do { ticket, effect } => {
                if let Effect::Verify(proof) = &effect {
                    outcome::note(std::mem::discriminant(proof));
                    verified = true;
                }
                if let Effect::Verify(Proof::Signature { keys, message, signature }) = &effect {
                    // The signed bytes of OpenSSH hold the message's hash.
                    let is_sshsig = message.starts_with(b"SSHSIG");
                    let said = String::from_utf8_lossy(message).into_owned();
                    assert!(is_sshsig || said.ends_with(&format!("{INSTANCE}\n")), "it is for this instance");
                    let is_secret = keys.iter().all(|key| matches!(key, VerifyingKey::Hmac(_)));
                    assert!(is_secret || signature.len() == 64, "as long as one is");
                }
                let verdict = if holds { Verdict::Matches } else { Verdict::Differs };
                gate.handle(Input::Done { ticket, verdict }, NOW);
            }
            Output::Tell { .. } => {}
        }
    }
    panic!("it passes or is refused");
}

fn keys(bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).lines() {
        if let Ok(key) = line.parse::<DeviceKey>() {
            outcome::note("a key");
            assert_eq!(key.to_string().parse(), Ok(key));
        }
    }
}

fn cookie(bytes: &[u8]) {
    let shown = Secret(bytes.to_vec().into());
    let Some(statement) = Statement::shown(&shown) else { return };
    outcome::note((statement.passed.len(), statement.proven_until.is_some()));
    assert_eq!(CookieId::of(&shown), Some(statement.id()));
    assert_eq!(Statement::read(&statement.text()).as_ref(), Some(&statement), "it is written as it was read");
    let message = Statement::message(&statement.text(), &[3; 32]);
    assert_eq!(Statement::of_message(&message), Some(statement));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let string = |part: &[u8]| [&(part.len() as u32).to_be_bytes()[..], part].concat();
    let ssh_key = [string(b"ssh-ed25519"), string(&KEY.0)].concat();
    let signature = [string(b"ssh-ed25519"), string(&[7; 64])].concat();
    let sshsig = |hash: &[u8]| {
        let parts = [string(&ssh_key), string(b"riser-gate"), string(b""), string(hash), string(&signature)];
        STANDARD.encode([b"SSHSIG\0\0\0\x01".to_vec(), parts.concat()].concat())
    };
    let armour = |hash: &[u8]| {
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", sshsig(hash))
    };
    let statement = Statement {
        client: PUMP,
        passed: [Kind::Password, Kind::Key].into(),
        until: Wall(NOW.wall.0 + 1000),
        proven_until: None,
        memberships: Memberships::default(),
        is_token: false,
        nonce: [7; 16],
    };
    let member = Statement {
        proven_until: Some(Wall(NOW.wall.0 + 9)),
        memberships: Memberships(5),
        ..statement.clone()
    };
    let texts = [
        (0, format!("{KEY}\n{KEY} a comment\nCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk")),
        (1, STANDARD.encode([7; 64])),
        (1, sshsig(b"sha512")),
        (1, armour(b"sha256")),
        (2, STANDARD.encode([7; 32])),
        (3, format!("riser2.600.0123456789abcdef.{}", "A".repeat(86))),
        (3, "a password".to_owned()),
        (4, format!("{}.AQIDBA", statement.text())),
        (4, format!("{}.AQIDBA", member.text())),
    ];
    let with = |how: u8, text: &str| [&[how], text.as_bytes()].concat();
    texts.iter().flat_map(|(kind, text)| [with(2 * kind, text), with(2 * kind + 1, text)]).collect()
}
