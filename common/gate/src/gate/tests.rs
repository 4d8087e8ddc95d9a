//! A gate before one connection: who passes, who is refused, and what the difference looks like from outside.

use super::*;
use crate::{
    acceptor::DEADLINE,
    config::{AccountConfig, Role, UserConfig},
    directory::Directory,
    hidden::TokenHash,
};
use bytes::Bytes;
use riser_model::{AccountId, AccountName, Time};

const ANN: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQx$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

fn directory() -> Arc<Directory> {
    let mut account = AccountConfig::new("acme".parse().unwrap(), AccountId(uuid::Uuid::from_u128(1)));
    let user = |name: &str| UserConfig::new(name.parse().unwrap());
    account.user = vec![
        UserConfig { password: Some(ANN.parse().unwrap()), role: Some(Role::Owner), ..user("ann") },
        UserConfig { tokens: vec![TokenHash::of(b"token-of-bob")], ..user("bob") },
        user("guest"),
    ];
    Arc::new(Directory::compile(&[account]).unwrap())
}

fn gate(anonymous: Option<&str>) -> Gate {
    let policy = Policy::new(&directory(), anonymous, "listen.mqtt[0]").unwrap();
    Gate::new(Arc::new(policy), Now::default())
}

fn secret(text: &str) -> Secret {
    Secret(Bytes::copy_from_slice(text.as_bytes()))
}

fn password(account: Option<&str>, user: &str, password: &str) -> Credential {
    let account: Option<AccountName> = account.map(|name| name.parse().unwrap());
    Credential::Password { account, user: user.to_owned(), password: secret(password) }
}

fn show(gate: &mut Gate, credential: Credential) -> Output {
    gate.handle(Input::Shown(credential), Now::default());
    let output = gate.poll().expect("every credential is answered or verified");
    assert_eq!(gate.poll(), None);
    output
}

fn judge(gate: &mut Gate, output: &Output, verdict: Verdict) -> Output {
    let Output::Verify { ticket, .. } = output else { panic!("{output:?}") };
    gate.handle(Input::Verified { ticket: *ticket, verdict }, Now::default());
    gate.poll().expect("every verdict is answered")
}

fn who(output: &Output) -> &str {
    match output {
        Output::Pass(principal) => principal.name.as_str(),
        Output::Verify { .. } | Output::Refuse(_) => panic!("{output:?}"),
    }
}

fn code(output: &Output) -> Code {
    match output {
        Output::Refuse(refusal) => refusal.code,
        Output::Pass(_) | Output::Verify { .. } => panic!("{output:?}"),
    }
}

#[test]
fn the_right_password_passes_in_each_way_to_write_the_user() {
    for credential in
        [password(None, "ann", "x"), password(Some("acme"), "ann", "x"), password(None, "acme/ann", "x")]
    {
        let mut gate = gate(None);
        let verify = show(&mut gate, credential);
        assert_eq!(who(&judge(&mut gate, &verify, Verdict::Matches)), "ann");
        assert_eq!(gate.poll_timeout(), None);
    }
}

/// Wrong user, wrong password and unknown account look and cost the same: the same effect, the same answer.
#[test]
fn who_is_unknown_cannot_be_told_from_who_is_wrong() {
    let answer = |credential, verdict| {
        let mut gate = gate(None);
        let verify = show(&mut gate, credential);
        let Output::Verify { hash, .. } = &verify else { panic!("{verify:?}") };
        assert_eq!(hash.expose().split('$').nth(3), ANN.split('$').nth(3), "the same costs");
        judge(&mut gate, &verify, verdict)
    };
    let wrong = answer(password(None, "ann", "x"), Verdict::Differs);
    assert_eq!(code(&wrong), Code::NotAuthorised);
    for credential in [
        password(None, "nobody", "x"),
        password(Some("nowhere"), "ann", "x"),
        password(None, "nowhere/ann", "x"),
        password(None, "NOT A NAME", "x"),
        password(None, "", ""),
        password(None, "bob", "x"),
        password(Some("acme"), "acme/ann", "x"),
    ] {
        // Even a verifier that says yes to the stand-in lets nobody in.
        for verdict in [Verdict::Differs, Verdict::Matches] {
            assert_eq!(answer(credential.clone(), verdict), wrong, "{credential:?}");
        }
    }
    let mut gate = gate(None);
    assert_eq!(show(&mut gate, Credential::Token(secret("nope"))), wrong, "tokens answer the same too");
}

#[test]
fn a_directory_without_passwords_still_costs_the_same() {
    let policy = Policy::new(&Arc::default(), None, "").unwrap();
    let mut gate = Gate::new(Arc::new(policy), Now::default());
    let verify = show(&mut gate, password(None, "ann", "x"));
    assert_eq!(code(&judge(&mut gate, &verify, Verdict::Matches)), Code::NotAuthorised);
}

#[test]
fn a_token_passes_at_once_and_a_huge_one_is_not_even_hashed() {
    assert_eq!(who(&show(&mut gate(None), Credential::Token(secret("token-of-bob")))), "bob");
    let huge = Credential::Token(secret(&"x".repeat(1024 * 1024)));
    assert_eq!(code(&show(&mut gate(None), huge)), Code::NotAuthorised);
}

#[test]
fn nobody_enters_without_a_credential_unless_the_listener_says_so_by_name() {
    assert_eq!(code(&show(&mut gate(None), Credential::Anonymous)), Code::NotAuthorised);
    assert_eq!(who(&show(&mut gate(Some("guest")), Credential::Anonymous)), "guest");
    let wrong = show(&mut gate(Some("guest")), Credential::Token(secret("nope")));
    assert_eq!(code(&wrong), Code::NotAuthorised, "a wrong credential is not an absent one");
    let unknown = Policy::new(&directory(), Some("acme/gest"), "listen.http[0]").unwrap_err();
    assert_eq!(unknown.key, "listen.http[0].anonymous");
    assert_eq!(unknown.want, "did you mean \"acme/guest\"?");
}

#[test]
fn a_busy_verifier_sends_the_peer_away_to_come_back() {
    let mut gate = gate(None);
    let verify = show(&mut gate, password(None, "ann", "x"));
    assert_eq!(code(&judge(&mut gate, &verify, Verdict::Busy)), Code::TooMany);
}

#[test]
fn each_wait_ends_at_its_deadline() {
    let mut gate = gate(None);
    let (deadline, wake) = gate.poll_timeout().unwrap();
    assert_eq!((deadline, wake), (Time(0).plus(DEADLINE), Wake::Credential));
    show(&mut gate, password(None, "ann", "x"));
    let (deadline, wake) = gate.poll_timeout().unwrap();
    assert_eq!(wake, Wake::Verdict);
    gate.handle(Input::Deadline, Now { time: deadline, ..Now::default() });
    assert_eq!(code(&gate.poll().unwrap()), Code::Timeout);
    gate.handle(Input::Verified { ticket: 0, verdict: Verdict::Matches }, Now::default());
    assert_eq!(gate.poll(), None, "a verdict that comes too late lets nobody in");
}

#[test]
fn what_is_not_awaited_does_not_pass() {
    let mut early = gate(None);
    early.handle(Input::Verified { ticket: 0, verdict: Verdict::Matches }, Now::default());
    assert_eq!(early.poll(), None);
    let mut other = gate(None);
    show(&mut other, password(None, "ann", "x"));
    other.handle(Input::Verified { ticket: 7, verdict: Verdict::Matches }, Now::default());
    assert_eq!(other.poll(), None);
    assert_eq!(code(&show(&mut other, Credential::Token(secret("token-of-bob")))), Code::WrongState);
}

#[test]
fn nothing_a_gate_prints_holds_a_secret() {
    let mut gate = gate(None);
    let credential = password(None, "ann", "canary");
    let token = Credential::Token(secret("canary"));
    let mut printed = format!("{credential:?} {token:?} {gate:?}");
    let verify = show(&mut gate, credential);
    printed += &format!("{verify:?} {gate:?} {:?}", directory());
    printed += &format!("{:?}", judge(&mut gate, &verify, Verdict::Differs));
    assert!(!printed.contains("canary") && !printed.contains("argon2id"), "{printed}");
}
