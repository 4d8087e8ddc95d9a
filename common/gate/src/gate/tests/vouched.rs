//! Those whom somebody else vouches for: a cookie, a certificate, an issuer that publishes its keys, a directory server.

use super::*;
use crate::{
    acceptor::{cookie::Statement, ticket::Redeemed},
    config::{GrantConfig, Rights, RoomConfig},
    issuer::{Algorithm, IssuerConfig},
    ldap::{GroupAs, LdapConfig},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use riser_model::{Certificate, Filter, History, Right, RoomId};

const NOW: Now = Now { time: Time(0), wall: Wall(1_700_000_000_000) };

/// `ann` has a password, `eve` is in the tree, `pump` has a certificate; the issuer publishes its keys.
fn house() -> AccountConfig {
    let mut account = AccountConfig::new("acme".parse().unwrap(), AccountId(uuid::Uuid::from_u128(1)));
    let user = |name: &str| UserConfig::new(name.parse().unwrap());
    account.user = vec![
        UserConfig { password: Some(ANN.parse().unwrap()), role: Some(Role::Owner), ..user("ann") },
        user("eve"),
        user("guest"),
    ];
    account.client = vec![ClientConfig {
        certificates: vec!["pump.example".into(), "urn:pump".into()],
        keys: vec![KEY],
        ..ClientConfig::new("pump".parse().unwrap())
    }];
    account.issuer = vec![IssuerConfig {
        issuer: "https://sso.example".into(),
        audience: "riser".into(),
        claim: "sub".into(),
        key: vec![],
        key_set: Some("https://sso.example/keys".into()),
        discover: false,
        ca: None,
        page: None,
    }];
    account.ldap = Some(LdapConfig {
        url: Some("ldaps://ldap.example".into()),
        base: Some("dc=example".into()),
        ..LdapConfig::default()
    });
    account
}

fn policy(account: &AccountConfig, anonymous: Option<&str>) -> Policy {
    let directory = Arc::new(Directory::compile(std::slice::from_ref(account)).unwrap());
    Policy::new(&directory, anonymous, "listen").unwrap().with_cookies()
}

fn front(anonymous: Option<&str>, certificate: Option<Certificate>) -> Gate {
    Gate::front(&policy(&house(), anonymous), Caller { certificate, ..Caller::default() }, NOW)
}

fn shown(gate: &mut Gate, credential: Credential) -> Output {
    gate.handle(Input::Shown(credential), NOW);
    next(gate).expect("every credential is answered or verified")
}

fn judged(gate: &mut Gate, output: &Output, verdict: Verdict) -> Output {
    let Output::Do { ticket, .. } = output else { panic!("{output:?}") };
    gate.handle(Input::Done { ticket: *ticket, verdict }, NOW);
    next(gate).expect("every verdict is answered")
}

/// Ann's cookie, good for so many seconds.
fn cookie(passed: Kind, s: i64) -> Credential {
    cookie_of(policy(&house(), None).directory.named("ann").unwrap().client, passed, s)
}

fn cookie_of(client: ClientId, passed: Kind, s: i64) -> Credential {
    let until = Wall(NOW.wall.0 + 1000 * s);
    let statement = Statement {
        client,
        passed: [passed].into(),
        until,
        proven_until: None,
        memberships: Default::default(),
        is_token: false,
        nonce: [7; 16],
    };
    Credential::Cookie(secret(&format!("{}.AQIDBA", statement.text())))
}

fn certificate(name: &str, s: i64) -> Option<Certificate> {
    Some(Certificate { names: vec!["other".into(), name.into()], until: Wall(NOW.wall.0 + 1000 * s) })
}

fn token(kid: &str, alg: &str) -> Credential {
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    let header = part(format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#));
    let claims =
        part(r#"{"iss":"https://sso.example","aud":"riser","sub":"ann","exp":1700000060}"#.to_owned());
    Credential::Token(secret(&format!("{header}.{claims}.AQIDBA")))
}

#[test]
fn cookie_stands_for_what_was_proven_at_sign_in_and_ends_with_what_proved_it() {
    let mut gate = front(None, None);
    let verify = shown(&mut gate, cookie(Kind::Password, 60));
    let Output::Do { effect: Effect::Verify(Proof::Cookie { message, .. }), .. } = &verify else {
        panic!("{verify:?}")
    };
    let message = message.clone();
    let passed = judged(&mut gate, &verify, Verdict::Matches);
    assert_eq!(who(&gate, &passed), "ann");
    assert_eq!(gate.standing().passed, [Kind::Cookie, Kind::Password].into());
    assert_eq!(gate.standing().until, None, "it is for the handshake");

    let mut other = house();
    let hash = ANN.replace("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "ODEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3");
    other.user[0].password = Some(hash.parse().unwrap());
    let mut changed = Gate::front(&policy(&other, None), Caller::default(), NOW);
    let verify = shown(&mut changed, cookie(Kind::Password, 60));
    assert!(matches!(
        &verify,
        Output::Do { effect: Effect::Verify(Proof::Cookie { message: of, .. }), .. } if *of != message
    ));
}

/// What a cookie of that user by these acceptors is verified against, if it is.
fn message(account: &AccountConfig, name: &str, passed: Kind) -> Option<Bytes> {
    let policy = policy(account, None);
    let client = policy.directory.named(name).unwrap().client;
    let mut gate = Gate::front(&policy, Caller::default(), NOW);
    match shown(&mut gate, cookie_of(client, passed, 1)) {
        Output::Do { effect: Effect::Verify(Proof::Cookie { message, .. }), .. } => Some(message),
        refused => {
            assert_eq!(code(&refused), Code::NotAuthorised);
            None
        }
    }
}

#[test]
fn cookie_ends_with_whoever_vouched_for_its_person() {
    let before = house();
    let jwt = message(&before, "ann", Kind::Jwt).unwrap();
    let mut other = house();
    other.issuer[0].key_set = Some("https://other.example/keys".into());
    assert_ne!(message(&other, "ann", Kind::Jwt), Some(jwt.clone()));
    other.issuer.push(house().issuer[0].clone());
    assert_ne!(message(&other, "ann", Kind::Jwt), Some(jwt), "one more is not what it was either");
    other.issuer.clear();
    assert_eq!(message(&other, "ann", Kind::Jwt), None, "nobody vouches");

    let ldap = message(&before, "eve", Kind::Password).unwrap();
    let mut other = house();
    other.ldap.as_mut().unwrap().filter = Some("(a=b)".into());
    assert_ne!(message(&other, "eve", Kind::Password), Some(ldap.clone()));
    other.ldap = None;
    assert_eq!(message(&other, "eve", Kind::Password), None);
    for kind in [Kind::Token, Kind::Key, Kind::Secret, Kind::Certificate] {
        assert_eq!(message(&before, "ann", kind), None, "she has none");
    }
}

#[test]
fn who_came_in_by_a_directory_server_is_looked_at_again() {
    use crate::directory::Holds;

    let mut gate = front(None, None);
    let verify = shown(&mut gate, password(None, "eve", "x"));
    let passed = judged(&mut gate, &verify, Verdict::Matches);
    assert_eq!(who(&gate, &passed), "eve");
    assert_eq!(gate.standing().until, Some(Wall(NOW.wall.0 + 3_600_000)), "an hour unless set");
    let holds = |account: &AccountConfig| {
        let directory = Directory::compile(std::slice::from_ref(account)).unwrap();
        directory.holds(directory.named("eve").unwrap().client, &gate.standing().evidence)
    };
    assert_eq!(holds(&house()), Holds::Yes);
    let mut other = house();
    other.ldap.as_mut().unwrap().groups = vec!["building".into()];
    other.ldap.as_mut().unwrap().group_base = Some("ou=groups".into());
    assert_eq!(holds(&other), Holds::No);
    let mut other = house();
    other.user[1].password = Some(ANN.parse().unwrap());
    assert_eq!(holds(&other), Holds::No, "she has a password here");
    other.ldap = None;
    other.user[1].password = None;
    assert_eq!(holds(&other), Holds::No);
}

#[test]
fn cookie_that_does_not_hold_is_the_same_as_none() {
    let refused = {
        let mut gate = front(None, None);
        shown(&mut gate, Credential::Token(secret("nope")))
    };
    for wrong in [cookie(Kind::Password, 0), Credential::Cookie(secret("")), cookie(Kind::Knock, 60)] {
        assert_eq!(shown(&mut front(None, None), wrong.clone()), refused);
        let mut gate = front(Some("guest"), None);
        let passed = shown(&mut gate, wrong);
        assert_eq!(who(&gate, &passed), "guest");
    }
    let mut gate = front(None, None);
    let verify = shown(&mut gate, cookie(Kind::Password, 60));
    assert_eq!(judged(&mut gate, &verify, Verdict::Differs), refused);
    let mut gate = front(Some("guest"), None);
    let verify = shown(&mut gate, cookie(Kind::Password, 60));
    let passed = judged(&mut gate, &verify, Verdict::Differs);
    assert_eq!(who(&gate, &passed), "guest");
}

#[test]
fn certificate_is_whose_it_is_where_nothing_else_is_shown() {
    let mut gate = front(None, certificate("urn:pump", 60));
    let passed = shown(&mut gate, Credential::Anonymous);
    assert_eq!(who(&gate, &passed), "pump");
    assert_eq!(gate.standing().until, Some(Wall(NOW.wall.0 + 60_000)), "no longer than it holds");
    for (name, s) in [("urn:pump", 0), ("urn:Pump", 60), ("nobody", 60)] {
        assert_eq!(
            code(&shown(&mut front(None, certificate(name, s)), Credential::Anonymous)),
            Code::NotAuthorised
        );
    }
    let mut own = front(None, certificate("pump.example", 60));
    assert_eq!(shown(&mut own, claim("pump", Method::Key)), Output::Pass, "it need not prove it again");
    let mut other = front(None, certificate("pump.example", 60));
    assert!(matches!(shown(&mut other, claim("ann", Method::Key)), Output::Say(Prompt::Challenge { .. })));
    let mut wrong = front(None, certificate("pump.example", 60));
    let verify = shown(&mut wrong, password(None, "ann", "wrong"));
    assert_eq!(code(&judged(&mut wrong, &verify, Verdict::Differs)), Code::NotAuthorised, "it saves nobody");
}

#[test]
fn who_came_by_certificate_and_proves_its_key_anew_stands_beyond_the_certificate_s_end() {
    let policy = policy(&house(), None);
    let mut first = front(None, certificate("pump.example", 60));
    let passed = shown(&mut first, Credential::Anonymous);
    assert_eq!(who(&first, &passed), "pump");
    let caller = Caller { certificate: certificate("pump.example", 60), ..Caller::default() };
    let anew = || Gate::anew(&policy, Arc::clone(&policy.front), first.standing(), caller.clone(), NOW);
    let mut by_key = anew();
    let asked = shown(&mut by_key, claim("pump", Method::Key));
    assert!(matches!(asked, Output::Say(Prompt::Challenge { .. })), "{asked:?}");
    by_key.handle(Input::Answered(secret(&"A".repeat(86))), NOW);
    let verify = next(&mut by_key).unwrap();
    let passed = judged(&mut by_key, &verify, Verdict::Matches);
    assert_eq!(who(&by_key, &passed), "pump");
    assert_eq!((by_key.standing().until, by_key.standing().passed.clone()), (None, [Kind::Key].into()));
    let mut by_nothing = anew();
    assert_eq!(shown(&mut by_nothing, Credential::Anonymous), Output::Pass, "the certificate is there yet");
    assert_eq!(by_nothing.standing().until, first.standing().until);
}

#[test]
fn token_is_verified_by_what_its_issuer_publishes_and_by_nothing_that_it_says_itself() {
    for (alg, kid) in [("ES256", "a"), ("EdDSA", "b"), ("RS256", "c")] {
        let mut gate = front(None, None);
        let verify = shown(&mut gate, token(kid, alg));
        let Output::Do { effect: Effect::Verify(Proof::Token { source, kid: of, alg: by, .. }), .. } =
            &verify
        else {
            panic!("{verify:?}")
        };
        assert_eq!((of.as_deref(), by.name()), (Some(kid), alg));
        assert_eq!(source.url.as_deref(), Some("https://sso.example/keys"));
        assert_eq!(code(&judged(&mut gate, &verify, Verdict::Away)), Code::Timeout, "come back");
    }
    for alg in ["HS256", "none", "ES384"] {
        assert_eq!(code(&shown(&mut front(None, None), token("a", alg))), Code::NotAuthorised, "{alg}");
    }
    assert_eq!(Algorithm::public("HS256"), None, "secrets are not published");
}

#[test]
fn nobody_can_tell_by_what_is_asked_of_a_directory_server_who_exists() {
    for (user, exists) in [("eve", true), ("acme/eve", true), ("acme/nobody", false), ("acme/pump", false)] {
        let mut gate = front(None, None);
        let verify = shown(&mut gate, password(None, user, "x"));
        let Output::Do { effect: Effect::Verify(Proof::Ldap { user: asked, .. }), .. } = &verify else {
            panic!("{user}: {verify:?}")
        };
        assert_eq!(asked, user.rsplit('/').next().unwrap());
        match judged(&mut gate, &verify, Verdict::Matches) {
            Output::Pass => assert!(exists),
            refused => assert!(!exists && code(&refused) == Code::NotAuthorised, "{user}"),
        }
    }
    let local = shown(&mut front(None, None), password(None, "ann", "x"));
    assert!(matches!(local, Output::Do { effect: Effect::Verify(Proof::Password { .. }), .. }));
}

#[test]
fn password_of_a_name_alone_is_shown_to_no_directory_server_in_a_lobby() {
    let at = |home: &str| {
        let home = Some(home.parse().unwrap());
        Gate::front(&policy(&house(), None), Caller { home, ..Caller::default() }, NOW)
    };
    let is_local = |output: &Output| match output {
        Output::Do { effect: Effect::Verify(Proof::Password { .. }), .. } => true,
        Output::Do { effect: Effect::Verify(Proof::Ldap { .. }), .. } => false,
        other => panic!("{other:?}"),
    };
    // Whoever has a name in the tree, or none, or whether there is such an account: it is all the same.
    for (home, user) in [("acme", "eve"), ("acme", "nobody"), ("acme", "pump"), ("nowhere", "eve")] {
        let mut gate = at(home);
        let verify = shown(&mut gate, password(None, user, "x"));
        assert!(is_local(&verify), "{user} at {home}");
        assert_eq!(code(&judged(&mut gate, &verify, Verdict::Matches)), Code::NotAuthorised, "{user}");
    }
    // Who names the account means it; and who has a password here comes in by its name alone.
    assert!(!is_local(&shown(&mut at("acme"), password(None, "acme/eve", "x"))));
    let mut gate = at("acme");
    let verify = shown(&mut gate, password(None, "ann", "x"));
    assert!(is_local(&verify));
    assert_eq!(judged(&mut gate, &verify, Verdict::Matches), Output::Pass);
    // A person at a terminal too.
    for (name, local) in [("eve", true), ("acme/eve", false)] {
        let policy = policy(&house(), None).with_words(&Arc::default());
        let home = Some("acme".parse().unwrap());
        let mut gate = Gate::front(&policy, Caller { home, ..Caller::default() }, NOW);
        shown(&mut gate, Credential::Person);
        gate.handle(Input::Answered(secret(name)), NOW);
        next(&mut gate);
        gate.handle(Input::Answered(secret("x")), NOW);
        assert_eq!(is_local(&next(&mut gate).unwrap()), local, "{name}");
    }
}

/// The same house; who is in the tree's `ops` administers it, who is on its `Night Shift` publishes in the hall.
fn house_of_groups() -> AccountConfig {
    let grant = |to: &str, rights: &[Right]| GrantConfig {
        to: crate::config::Whom::Group(to.parse().unwrap()),
        right: Rights(rights.to_vec()),
        channels: Filter::all(),
        deny: false,
    };
    let mut account = house();
    let as_here = |group: &str, name: &str| GroupAs { group: group.into(), name: name.parse().unwrap() };
    let ldap = account.ldap.as_mut().unwrap();
    ldap.groups_as = vec![as_here("ops", "ops"), as_here("Night Shift", "night")];
    ldap.group_base = Some("dc=example".into());
    account.grant = vec![grant("ops", &[Right::Admin, Right::Subscribe])];
    account.room = vec![RoomConfig {
        grant: vec![grant("night", &[Right::Publish])],
        ..RoomConfig::new("hall".parse().unwrap(), History::Log)
    }];
    account
}

#[test]
fn groups_of_a_directory_server_give_what_is_granted_to_them_here_to_whom_it_names() {
    let account = house_of_groups();
    let (policy, id) = (policy(&account, None), account.id.unwrap());
    let [hall, quarantine] = ["hall", crate::directory::QUARANTINE].map(|name| RoomId::of(id, name));
    let rights = |principal: &Principal| {
        let grants = &principal.grants;
        let reads = grants.reach(Right::Subscribe, quarantine);
        assert_eq!(reads, grants.administer(), "admins read what was refused");
        (grants.administer(), grants.reach(Right::Publish, hall))
    };
    let by = |user: &str, verdict| {
        let mut gate = Gate::front(&policy, Caller::default(), NOW);
        let verify = shown(&mut gate, password(None, user, "x"));
        assert_eq!(judged(&mut gate, &verify, verdict), Output::Pass);
        gate.standing().principal.clone().unwrap()
    };
    let inside = |places: &[usize]| Verdict::MatchesIn(Memberships::of(places.iter().copied()));
    assert_eq!(rights(&by("eve", inside(&[0]))), (true, false));
    assert_eq!(rights(&by("eve", inside(&[1]))), (false, true));
    assert_eq!(rights(&by("eve", Verdict::Matches)), (false, false), "in no group");
    assert_eq!(
        rights(&by("eve", inside(&[2, 63, 64, 1000]))),
        (false, false),
        "in groups that are none here"
    );
    let both = by("eve", inside(&[0, 1]));
    assert_eq!((both.grants.administer(), both.grants.reach(Right::Publish, hall)), (true, true));

    // What stands for it stands for its groups: a ticket, a cookie; and so do other rights of a group.
    let night = by("eve", inside(&[1]));
    let mut gate = Gate::front(&policy, Caller::default(), NOW);
    let redeemed = Redeemed {
        client: night.client,
        passed: [Kind::Password].into(),
        evidence: Evidence::default(),
        memberships: night.grants.memberships(),
        until: None,
        cookie: None,
    };
    gate.handle(Input::Redeemed(Some(redeemed)), NOW);
    assert_eq!(next(&mut gate), Some(Output::Pass));
    assert_eq!(rights(gate.standing().principal.as_ref().unwrap()), (false, true));
    let statement = Statement {
        client: night.client,
        passed: [Kind::Password].into(),
        until: Wall(i64::MAX),
        proven_until: None,
        memberships: night.grants.memberships(),
        is_token: false,
        nonce: [1; 16],
    };
    let cookie = format!("{}.{}", statement.text(), URL_SAFE_NO_PAD.encode([0; 32]));
    let mut gate = Gate::front(&policy, Caller::default(), NOW);
    let verify = shown(&mut gate, Credential::Cookie(secret(&cookie)));
    assert_eq!(judged(&mut gate, &verify, Verdict::Matches), Output::Pass);
    assert_eq!(rights(gate.standing().principal.as_ref().unwrap()), (false, true));
    let mut without = account.clone();
    without.room[0].grant.clear();
    let without = Directory::compile(&[without]).unwrap();
    assert_eq!(rights(&without.known(&night).unwrap()), (false, false), "what was taken from the group");
    assert_eq!(without.known(&night).unwrap().grants.memberships(), night.grants.memberships());
    assert_eq!(rights(&policy.directory.known(&night).unwrap()), (false, true));

    // Who has a password here is asked for nowhere else, and is in none of them.
    let own = by("ann", inside(&[1]));
    assert!(own.grants.memberships().is_empty());
}

#[test]
fn nothing_is_denied_to_a_group_of_a_directory_server() {
    let mut account = house_of_groups();
    account.room[0].grant[0].deny = true;
    let wrong = Directory::compile(&[account]).unwrap_err();
    let keys: Vec<&str> = wrong.iter().map(|invalid| invalid.key.as_str()).collect();
    assert_eq!(keys, ["account[acme].ldap.groups_as[Night Shift]"]);
}

/// Whatever comes, in whatever order: a gate ends once, says nothing after its end, always waits with a deadline, and lets
/// nobody pass for whom neither a verdict, the handshake nor a ticket has vouched; by a signed password nobody of whom it was not
/// said that it came for the first time; and who says anew who it is, as nobody else.
#[test]
fn any_order_of_events_keeps_those_out_for_whom_nobody_vouched() {
    use proptest::prelude::*;

    let known = policy(&house(), None);
    let redeemed = Redeemed {
        client: known.directory.named("acme/eve").unwrap().client,
        passed: [Kind::Password].into(),
        evidence: Evidence::default(),
        memberships: Default::default(),
        until: None,
        cookie: None,
    };
    let signed = format!("riser2.1700000000.{}.{}", "n".repeat(22), "A".repeat(86));
    let input = prop_oneof![
        1 => Just(Input::Deadline),
        2 => Just(Input::Shown(Credential::Anonymous)),
        2 => (0..120_i64).prop_map(|s| Input::Shown(cookie(Kind::Password, s))),
        2 => Just(Input::Shown(token("a", "ES256"))),
        2 => Just(Input::Shown(password(None, "acme/eve", "x"))),
        1 => Just(Input::Shown(password(None, "acme/nobody", "x"))),
        1 => Just(Input::Shown(claim("pump", Method::Key))),
        2 => Just(Input::Shown(password(None, "acme/pump", &signed))),
        1 => Just(Input::Redeemed(None)),
        1 => Just(Input::Redeemed(Some(redeemed))),
        2 => Just(Input::Answered(secret(&"A".repeat(86)))),
        8 => (0..4_u64, 0..6_usize).prop_map(|(ticket, verdict)| Input::Done {
            ticket,
            verdict: *[Verdict::Differs, Verdict::Busy, Verdict::Away].get(verdict).unwrap_or(&Verdict::Matches),
        }),
    ];
    let certificates = prop_oneof![
        2 => Just(None),
        1 => Just(certificate("pump.example", 60)),
        1 => Just(certificate("pump.example", -1)),
        1 => Just(certificate("nobody", 60)),
    ];
    let anew = prop_oneof![2 => Just(None), 1 => Just(Some("ann")), 1 => Just(Some("pump"))];
    let run = (certificates, anew, proptest::collection::vec((input, 0..3_000_u64), 0..8));
    proptest!(ProptestConfig::with_cases(2048), |((certificate, anew, inputs) in run)| {
        let certified = certificate.as_ref().is_some_and(|one| one.until > NOW.wall && one.names[1] == "pump.example");
        let caller = Caller { certificate, tls: true, ..Caller::default() };
        let mut gate = match anew {
            None => Gate::front(&known, caller, NOW),
            Some(name) => {
                let principal = known.directory.named(&format!("acme/{name}")).cloned();
                let stands = Standing { principal, passed: [Kind::Key].into(), ..Standing::default() };
                Gate::anew(&known, Arc::clone(&known.front), &stands, caller, NOW)
            }
        };
        let (mut now, mut ended, mut asked, mut vouched) = (NOW, false, BTreeMap::new(), false);
        // Whether it came by a signed password; and whether that was said to come for the first time.
        let (mut by_signed, mut first) = (None, false);
        for (input, ms) in inputs {
            now = Now { time: now.time.plus(Duration::from_millis(ms)), ..now };
            vouched |= matches!(input, Input::Redeemed(Some(_)));
            if let Input::Shown(_) | Input::Redeemed(_) = &input {
                by_signed.get_or_insert(input == Input::Shown(password(None, "acme/pump", &signed)));
            }
            if let Input::Done { ticket, verdict: Verdict::Matches } = &input
                && let Some(is_once) = asked.remove(ticket)
            {
                vouched = true;
                first |= is_once;
            }
            gate.handle(input, now);
            while let Some(output) = gate.poll() {
                prop_assert!(!ended, "{output:?} after its end");
                match output {
                    Output::Do { ticket, effect } => {
                        let is_once = matches!(effect, Effect::Once { .. });
                        prop_assert!(asked.insert(ticket, is_once).is_none());
                    }
                    Output::Pass => {
                        ended = true;
                        prop_assert!(vouched || certified);
                        prop_assert!(by_signed != Some(true) || first, "nobody said that it came for the first time");
                        let name = gate.standing().principal.as_ref().unwrap().name.to_string();
                        prop_assert!(["ann", "eve", "pump"].contains(&name.as_str()), "{name}");
                        prop_assert!(anew.is_none_or(|only| only == name), "{anew:?} is {name} now");
                    }
                    Output::Refuse(_) => ended = true,
                    Output::Say(_) | Output::Tell { .. } => {}
                }
            }
            prop_assert_eq!(ended, gate.poll_timeout().is_none());
            prop_assert_eq!(ended, matches!(gate.stand(), Stand::Finished | Stand::Refused));
        }
        if let Some(time) = gate.poll_timeout() {
            gate.handle(Input::Deadline, Now { time, ..now });
            prop_assert!(matches!(gate.stand(), Stand::Refused), "every wait ends");
        }
    });
}

#[test]
fn admins_learn_of_whom_a_credential_speaks_that_does_not_hold() {
    let claimed = |gate: &Gate| gate.claimed().map(|who| who.name.to_string());
    let ann = Some("ann".to_owned());
    let mut gate = front(None, None);
    let claims = r#"{"iss":"https://sso.example","aud":"riser","sub":"ann","exp":1}"#;
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let token = format!("{}.{}.AAAA", part(r#"{"alg":"EdDSA"}"#), part(claims));
    assert_eq!(code(&shown(&mut gate, Credential::Token(secret(&token)))), Code::NotAuthorised);
    assert_eq!(claimed(&gate), ann, "its token has expired");
    let mut gate = front(None, None);
    assert_eq!(code(&shown(&mut gate, cookie(Kind::Password, -1))), Code::NotAuthorised);
    assert_eq!(claimed(&gate), ann, "its cookie has expired");
    let mut gate = front(None, None);
    assert_eq!(code(&shown(&mut gate, Credential::Token(secret("of-nobody")))), Code::NotAuthorised);
    assert_eq!(claimed(&gate), None);
}
