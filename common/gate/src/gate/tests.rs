//! A gate before one connection: who passes, who is refused, and what the difference looks like from outside.

use super::*;
use crate::{
    acceptor::DEADLINE,
    config::{AccountConfig, ClientConfig, Role, UserConfig},
    device_key::DeviceKey,
    directory::Evidence,
    hidden::TokenHash,
    verifying_key::VerifyingKey,
};
use bytes::Bytes;
use riser_model::{AccountId, AccountName, ClientId, Memberships, door::Method};
use std::{collections::BTreeMap, time::Duration};

mod anew;
mod chat;
mod signed;
mod stages;
mod vouched;

const ANN: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQx$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
const KEY: DeviceKey = DeviceKey([9; 32]);
const SECRET: &str = "AAECAwQFBgcICQoLDA0ODw";
/// The key of the instance.
const INSTANCE: &str = "the-key-of-this-instance";

/// `ann` has a password, `bob` a token, `pump` a key and a secret; `guest` has nothing.
fn directory() -> Arc<Directory> {
    let mut account = AccountConfig::new("acme".parse().unwrap(), AccountId(uuid::Uuid::from_u128(1)));
    let user = |name: &str| UserConfig::new(name.parse().unwrap());
    account.user = vec![
        UserConfig { password: Some(ANN.parse().unwrap()), role: Some(Role::Owner), ..user("ann") },
        UserConfig { tokens: vec![TokenHash::of(b"token-of-bob")], ..user("bob") },
        user("guest"),
    ];
    account.client = vec![ClientConfig {
        keys: vec![KEY],
        secret: Some(SECRET.parse().unwrap()),
        ..ClientConfig::new("pump".parse().unwrap())
    }];
    Arc::new(Directory::compile(&[account]).unwrap())
}

fn gate(anonymous: Option<&str>) -> Gate {
    let policy = Policy::new(&directory(), anonymous, "listen.mqtt[0]").unwrap();
    Gate::front(&policy, Caller { instance: INSTANCE.into(), ..Caller::default() }, Now::default())
}

/// A gate that talks to a person, known already or not.
fn tty(known: bool) -> Gate {
    let policy = Policy::new(&directory(), Some("guest"), "").unwrap().with_words(&Arc::default());
    Gate::front(&policy, Caller { known, ..Caller::default() }, Now::default())
}

/// The gate of a room, before somebody who stands like this.
fn inner(stages: &str, standing: &Standing, caller: Caller, now: Now) -> Gate {
    #[derive(serde::Deserialize)]
    struct Room {
        gate: crate::GateConfig,
    }
    let toml = <figment::providers::Toml as figment::providers::Format>::string(stages);
    let room: Room = figment::Figment::from(toml).extract().unwrap();
    let sequence = Arc::new(room.gate.compile("gate", true).unwrap());
    Gate::inner(directory(), sequence, standing.clone(), caller, now)
}

fn standing(name: &str, passed: Kind) -> Standing {
    let principal = Arc::clone(directory().named(name).unwrap());
    Standing { principal: Some(principal), passed: [passed].into(), drawn: 7, ..Standing::default() }
}

fn secret(text: &str) -> Secret {
    Secret(Bytes::copy_from_slice(text.as_bytes()))
}

fn password(account: Option<&str>, user: &str, password: &str) -> Credential {
    let account: Option<AccountName> = account.map(|name| name.parse().unwrap());
    Credential::Password { account, user: user.to_owned(), password: secret(password) }
}

fn claim(name: &str, method: Method) -> Credential {
    Credential::Claim { account: Some("acme".parse().unwrap()), name: name.to_owned(), method }
}

/// The next thing that is not for admins.
fn next(gate: &mut Gate) -> Option<Output> {
    std::iter::from_fn(|| gate.poll()).find(|output| !matches!(output, Output::Tell { .. }))
}

fn show(gate: &mut Gate, credential: Credential) -> Output {
    gate.handle(Input::Shown(credential), Now::default());
    let output = next(gate).expect("every credential is answered or verified");
    assert_eq!(next(gate), None);
    output
}

fn judge(gate: &mut Gate, output: &Output, verdict: Verdict) -> Output {
    let Output::Do { ticket, .. } = output else { panic!("{output:?}") };
    gate.handle(Input::Done { ticket: *ticket, verdict }, Now::default());
    next(gate).expect("every verdict is answered")
}

fn who(gate: &Gate, output: &Output) -> String {
    assert_eq!(*output, Output::Pass);
    gate.standing().principal.as_ref().unwrap().name.to_string()
}

fn code(output: &Output) -> Code {
    match output {
        Output::Refuse(refusal) => refusal.code,
        Output::Pass | Output::Say(_) | Output::Do { .. } | Output::Tell { .. } => panic!("{output:?}"),
    }
}

#[test]
fn the_right_password_passes_in_each_way_to_write_the_user() {
    for credential in
        [password(None, "ann", "x"), password(Some("acme"), "ann", "x"), password(None, "acme/ann", "x")]
    {
        let mut gate = gate(None);
        let verify = show(&mut gate, credential);
        let passed = judge(&mut gate, &verify, Verdict::Matches);
        assert_eq!(who(&gate, &passed), "ann");
        assert_eq!((gate.poll_timeout(), gate.stand()), (None, Stand::Finished));
    }
}

/// Wrong user, wrong password and unknown account look and cost the same: the same effect, the same answer.
#[test]
fn who_is_unknown_cannot_be_told_from_who_is_wrong() {
    let answer = |credential, verdict| {
        let mut gate = gate(None);
        let verify = show(&mut gate, credential);
        let Output::Do { effect: Effect::Verify(Proof::Password { hash, .. }), .. } = &verify else {
            panic!("{verify:?}")
        };
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
    let mut gate = Gate::front(&policy, Caller::default(), Now::default());
    let verify = show(&mut gate, password(None, "ann", "x"));
    assert_eq!(code(&judge(&mut gate, &verify, Verdict::Matches)), Code::NotAuthorised);
}

#[test]
fn a_token_passes_at_once_and_a_huge_one_is_not_even_hashed() {
    let mut one = gate(None);
    let passed = show(&mut one, Credential::Token(secret("token-of-bob")));
    assert_eq!(who(&one, &passed), "bob");
    let huge = Credential::Token(secret(&"x".repeat(1024 * 1024)));
    assert_eq!(code(&show(&mut gate(None), huge)), Code::NotAuthorised);
}

#[test]
fn nobody_enters_without_a_credential_unless_the_listener_says_so_by_name() {
    assert_eq!(code(&show(&mut gate(None), Credential::Anonymous)), Code::NotAuthorised);
    let mut one = gate(Some("guest"));
    let passed = show(&mut one, Credential::Anonymous);
    assert_eq!(who(&one, &passed), "guest");
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
    assert_eq!((gate.poll_timeout(), gate.stand()), (Some(Time(0).plus(DEADLINE)), Stand::Arrived));
    show(&mut gate, password(None, "ann", "x"));
    assert_eq!(gate.stand(), Stand::Awaits(Kind::Password));
    let deadline = gate.poll_timeout().unwrap();
    gate.handle(Input::Deadline, Now { time: deadline, ..Now::default() });
    assert_eq!(code(&next(&mut gate).unwrap()), Code::Timeout);
    gate.handle(Input::Done { ticket: 0, verdict: Verdict::Matches }, Now::default());
    assert_eq!(next(&mut gate), None, "a verdict that comes too late lets nobody in");
}

#[test]
fn what_is_not_awaited_does_not_pass() {
    let mut early = gate(None);
    early.handle(Input::Done { ticket: 0, verdict: Verdict::Matches }, Now::default());
    assert_eq!(next(&mut early), None);
    let mut other = gate(None);
    show(&mut other, password(None, "ann", "x"));
    other.handle(Input::Done { ticket: 7, verdict: Verdict::Matches }, Now::default());
    assert_eq!(next(&mut other), None);
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

#[test]
fn who_comes_while_nobody_has_time_to_look_has_not_offended() {
    let mut gate = tty(false);
    gate.handle(Input::Shown(Credential::Person), Now::default());
    gate.handle(Input::Answered(secret("ann")), Now::default());
    gate.handle(Input::Answered(secret("right")), Now::default());
    let verify = std::iter::from_fn(|| next(&mut gate)).last().unwrap();
    assert_eq!(code(&judge(&mut gate, &verify, Verdict::Busy)), Code::TooMany);
    assert!(!gate.is_offended());
}

#[test]
fn admins_hear_why_and_only_they() {
    let mut gate = gate(None);
    gate.handle(Input::Shown(password(None, "ann", "x")), Now::default());
    let Some(Output::Do { ticket, .. }) = gate.poll() else { panic!("no effect") };
    assert_eq!(gate.claimed().unwrap().name.as_str(), "ann");
    gate.handle(Input::Done { ticket, verdict: Verdict::Differs }, Now::default());
    let (acceptor, step, why) = (Kind::Password, GateStep::Refused, "a wrong password");
    assert_eq!(gate.poll(), Some(Output::Tell { stage: 0, acceptor, step, why }));
    let Some(Output::Refuse(refusal)) = gate.poll() else { panic!("not refused") };
    assert!(!refusal.what.contains("password") && gate.standing().principal.is_none());
}

/// Whatever comes, in whatever order: a gate ends once, says nothing after its end, always waits with a deadline, and
/// lets nobody pass for whom no verdict said yes.
#[test]
fn any_order_of_events_keeps_a_gate_sound() {
    use proptest::prelude::*;

    const GATES: [&str; 6] = [
        "gate = []",
        "gate = ['key', 'secret']",
        "gate = [{ any = ['token', 'knock'] }, { seats = 1 }]",
        "gate = ['knock', 'key', { address = ['192.0.2.0/24'] }]",
        "gate = [{ schedule = ['thu 00:00-24:00'] }, 'secret']",
        "gate = [{ any = [{ seats = 1 }, 'key', 'password'] }]",
    ];
    let input = prop_oneof![
        1 => Just(Input::Deadline),
        1 => Just(Input::Shown(Credential::Anonymous)),
        1 => Just(Input::Shown(Credential::Person)),
        1 => Just(Input::Shown(password(None, "ann", "x"))),
        1 => Just(Input::Shown(claim("pump", Method::Key))),
        1 => Just(Input::Shown(claim("pump", Method::Secret))),
        1 => Just(Input::Shown(Credential::Token(secret("token-of-bob")))),
        6 => Just(Input::Answered(secret(&"A".repeat(86)))),
        1 => Just(Input::Answered(secret("?"))),
        8 => (0..12_u64, 0..6_usize).prop_map(|(ticket, verdict)| Input::Done {
            ticket,
            verdict: *[Verdict::Differs, Verdict::Busy].get(verdict).unwrap_or(&Verdict::Matches),
        }),
    ];
    let run = (0..GATES.len() + 1, proptest::collection::vec((input, 0..3_000_u64), 0..12));
    proptest!(ProptestConfig::with_cases(1024), |((which, inputs) in run)| {
        let mut now = Now::default();
        let mut gate = match GATES.get(which) {
            Some(stages) => inner(stages, &standing("pump", Kind::Token), Caller::default(), now),
            None => tty(false),
        };
        // As many as there are stages of which every alternative needs one, and none was passed before.
        let by_verdict = |one: &Acceptor| one.kind().identifies() || matches!(one.kind(), Kind::Seats | Kind::Knock);
        let before = gate.standing.passed.clone();
        let open = |any: &[Acceptor]| any.iter().all(|one| by_verdict(one) && !before.contains(&one.kind()));
        let needed = gate.sequence.stages.iter().filter(|stage| open(&stage.any)).count();
        let (mut ended, mut asked, mut proven) = (false, BTreeMap::new(), 0);
        let mut inputs = inputs.into_iter();
        loop {
            while let Some(output) = gate.poll() {
                prop_assert!(!ended, "{output:?} after its end");
                match output {
                    Output::Do { ticket, .. } => {
                        prop_assert!(asked.insert(ticket, false).is_none(), "a ticket came twice");
                    }
                    Output::Pass => {
                        ended = true;
                        prop_assert!(gate.standing().principal.is_some());
                        let free = [Kind::Token, Kind::Anonymous].iter().any(|kind| gate.standing().passed.contains(kind));
                        prop_assert!(proven >= needed || (which == GATES.len() && free), "{proven} of {needed}");
                    }
                    Output::Refuse(_) => ended = true,
                    Output::Say(_) | Output::Tell { .. } => {}
                }
            }
            prop_assert_eq!(ended, gate.poll_timeout().is_none());
            prop_assert_eq!(ended, matches!(gate.stand(), Stand::Finished | Stand::Refused));
            let Some((mut input, ms)) = inputs.next() else { break };
            // Most verdicts are those that were asked for last: else hardly a gate gets past its first stage.
            if let (Input::Done { ticket, .. }, Some((last, _))) = (&mut input, asked.last_key_value())
                && *ticket < 10
            {
                *ticket = *last;
            }
            now.time = now.time.plus(Duration::from_millis(ms));
            if let Input::Done { ticket, verdict: Verdict::Matches } = &input
                && let Some(answered) = asked.get_mut(ticket)
                && !std::mem::replace(answered, true)
            {
                proven += 1;
            }
            gate.handle(input, now);
        }
        if let Some(time) = gate.poll_timeout() {
            gate.handle(Input::Deadline, Now { time, ..now });
            prop_assert!(matches!(gate.stand(), Stand::Refused), "every wait ends");
        }
    });
}

#[test]
fn ticket_lets_in_whom_it_was_made_for_and_looks_wrong_like_everything_else() {
    let directory = directory();
    let bob = directory.named("acme/bob").unwrap().client;
    let policy = Policy::new(&directory, None, "listen").unwrap();
    let shown = |whose: Option<ClientId>| {
        let mut gate = Gate::front(&policy, Caller::default(), Now::default());
        let what = whose.map(|client| Redeemed {
            memberships: Default::default(),
            client,
            passed: [Kind::Password].into(),
            evidence: Evidence::new(),
            until: Some(Wall(7)),
            cookie: None,
        });
        gate.handle(Input::Redeemed(what), Now::default());
        let last = std::iter::from_fn(|| gate.poll()).last();
        (last, gate)
    };
    let (last, gate) = shown(Some(bob));
    assert_eq!(last, Some(Output::Pass));
    assert_eq!(gate.standing().principal.as_ref().map(|one| one.client), Some(bob));
    assert_eq!(gate.standing().until, Some(Wall(7)));
    let passed = [Kind::Password, Kind::Ticket];
    assert!(passed.iter().all(|kind| gate.standing().passed.contains(kind)), "what was proven before stands");
    let mut wrong = Gate::front(&policy, Caller::default(), Now::default());
    wrong.handle(Input::Shown(Credential::Token(secret("nope"))), Now::default());
    let wrong = std::iter::from_fn(|| wrong.poll()).last();
    assert_eq!(shown(None).0, wrong);
    assert_eq!(shown(Some(ClientId(uuid::Uuid::from_u128(77)))).0, wrong, "gone meanwhile");
}
