//! The gate of who is in and says anew who it is.

use super::*;

/// Before somebody who stands like this, with what its account wants beside what the listener does.
fn anew(standing: &Standing, and: &str) -> Gate {
    let policy = Policy::new(&directory(), None, "listen").unwrap();
    let account = inner(and, standing, Caller::default(), Now::default());
    let sequence = Arc::new(policy.front.then(account.sequence()));
    let caller = Caller { instance: INSTANCE.into(), ..Caller::default() };
    Gate::anew(&policy, sequence, standing, caller, Now::default())
}

fn nonce(output: &Output) -> String {
    match output {
        Output::Say(Prompt::Challenge { nonce, .. }) => nonce.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_proven_before_counts_for_nothing_and_what_is_proven_now_for_all() {
    let ends = Standing { until: Some(Wall(7)), ..standing("pump", Kind::Token) };
    let mut gate = anew(&ends, "gate = ['token']");
    let asked = show(&mut gate, claim("pump", Method::Key));
    assert!(!nonce(&asked).is_empty());
    gate.handle(Input::Answered(secret(&"A".repeat(86))), Now::default());
    let verify = next(&mut gate).unwrap();
    let refused = judge(&mut gate, &verify, Verdict::Matches);
    assert_eq!(code(&refused), Code::NotAuthorised, "its account wants a token, which was shown long ago");

    let mut gate = anew(&ends, "gate = ['key']");
    show(&mut gate, claim("pump", Method::Key));
    gate.handle(Input::Answered(secret(&"A".repeat(86))), Now::default());
    let verify = next(&mut gate).unwrap();
    let passed = judge(&mut gate, &verify, Verdict::Matches);
    assert_eq!(who(&gate, &passed), "pump");
    let standing = gate.standing();
    assert_eq!((standing.until, standing.passed.clone()), (None, [Kind::Key].into()));
    assert!(standing.evidence.iter().all(|(kind, _)| *kind == Kind::Key), "{standing:?}");
}

#[test]
fn nobody_passes_anew_as_somebody_else() {
    let ann = standing("ann", Kind::Password);
    let mut gate = anew(&ann, "gate = []");
    let Output::Refuse(of_bob) = show(&mut gate, Credential::Token(secret("token-of-bob"))) else { panic!() };
    assert_eq!(
        gate.claimed().map(|bob| bob.name.to_string()),
        Some("bob".to_owned()),
        "its admins see whose"
    );
    let mut gate = anew(&ann, "gate = []");
    let Output::Refuse(of_nobody) = show(&mut gate, Credential::Token(secret("guessed"))) else { panic!() };
    assert_eq!(of_bob, of_nobody, "a guess that is right is answered as one that is wrong");
    // So is a password, whoever is meant.
    for name in ["ann", "guest"] {
        let mut gate = anew(&ann, "gate = []");
        let verify = show(&mut gate, password(Some("acme"), name, "x"));
        let Output::Refuse(why) = judge(&mut gate, &verify, Verdict::Differs) else { panic!("{name}") };
        assert_eq!(why.what, "the credential was not accepted", "{name}");
    }
    let mut gate = anew(&ann, "gate = []");
    let verify = show(&mut gate, password(Some("acme"), "ann", "x"));
    let passed = judge(&mut gate, &verify, Verdict::Matches);
    assert_eq!(who(&gate, &passed), "ann");
}

#[test]
fn challenge_of_a_connection_comes_once_also_anew() {
    let mut first = gate(None);
    let asked = nonce(&show(&mut first, claim("pump", Method::Key)));
    first.handle(Input::Answered(secret(&"A".repeat(86))), Now::default());
    let verify = next(&mut first).unwrap();
    judge(&mut first, &verify, Verdict::Matches);
    let mut again = anew(first.standing(), "gate = []");
    assert_ne!(nonce(&show(&mut again, claim("pump", Method::Key))), asked);
    // One answer is heard, within the time of every challenge.
    assert_eq!(again.poll_timeout(), Some(Time::default().plus(DEADLINE)));
    again.handle(Input::Deadline, Now { time: Time::default().plus(DEADLINE), ..Now::default() });
    assert_eq!(code(&next(&mut again).unwrap()), Code::Timeout);
}
