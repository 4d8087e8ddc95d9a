//! The lobby's verbs over real sockets, in envelopes and in plain lines: what they do, for whom, and what is written down.

use serde_json::{Value, json};

use crate::program::{SOON, free_port, output, wait};
use crate::site::{ACCOUNT, OWNER, PASSWORD, Plan, READER, Site};
use crate::terminal::Terminal;

/// A hub with a second account, whose first user has the password of everybody.
fn site() -> Site {
    site_of("")
}

/// The same with these lines at the top of the hub's file.
fn site_of(top: &str) -> Site {
    let mut site = Site::laid_out(Plan { hub_top: top.to_owned(), ..Plan::default() });
    let text = std::fs::read_to_string(&site.hub.config).unwrap();
    let hash = text.lines().find(|line| line.starts_with("password = ")).unwrap();
    let garden = format!(
        "\n[[account]]\nname = \"garden\"\nid = \"6f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a77\"\n\n[[account.user]]\nname = \"eve\"\n\
         role = \"owner\"\n{hash}\n\n[[account.room]]\nname = \"shed\"\n\n[[account]]\nname = \"castle\"\n\
         id = \"6f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a78\"\ngate = [{{ any = [\"certificate\", \"knock\"] }}]\n"
    );
    let admin = format!("[listen]\nadmin = \"127.0.0.1:{}\"\n", free_port());
    site.hub.write_config(&(text.replacen("[listen]\n", &admin, 1) + &garden));
    site.hub.start();
    site
}

fn password(user: &str) -> Value {
    json!({ "user": format!("{ACCOUNT}/{user}"), "password": PASSWORD })
}

fn names(rooms: &Value) -> Vec<String> {
    let rooms = rooms["ok"]["rooms"].as_array().unwrap();
    rooms.iter().map(|room| room["name"].as_str().unwrap().to_owned()).collect()
}

/// What is in the audit log, when all of these are.
fn audited(site: &Site, parts: &[&str]) -> String {
    let has =
        |text: &str, part: &str| text.lines().any(|line| part.split('|').all(|word| line.contains(word)));
    let found = wait(SOON, || {
        let files = ["audit.jsonl", "audit-gates.jsonl"].map(|name| site.hub.data.join(name));
        let text = files.map(|file| std::fs::read_to_string(file).unwrap_or_default()).concat();
        parts.iter().all(|part| has(&text, part)).then_some(text)
    });
    found.unwrap_or_else(|| panic!("not all of it is written down: {parts:?}"))
}

#[tokio::test]
async fn program_makes_a_room_invites_into_it_and_whoever_is_invited_looks_after_its_own_keys() {
    let site = site();
    let mut ann = Terminal::program(&site, "/", password(OWNER)).await.unwrap();
    assert!(ann.asks(json!({ "op": "help" })).await["ok"]["verbs"].is_array());
    let made = ann.asks(json!({ "op": "create", "room": "plant", "history": "log" })).await;
    assert_eq!(made["ok"]["room"], "plant", "{made}");
    let twice = ann.asks(json!({ "op": "create", "room": "plant" })).await;
    assert!(twice["error"]["what"].is_string(), "{twice}");
    assert!(names(&ann.asks(json!({ "op": "rooms" })).await).contains(&"plant".to_owned()));
    let nowhere = ann.asks(json!({ "op": "invite", "name": "bob", "room": "nowhere" })).await;
    assert_eq!(nowhere["error"]["code"], "denied");
    let invited = ann.asks(json!({ "op": "invite", "name": "bob", "room": "plant" })).await;
    let token = invited["ok"]["token"].as_str().unwrap_or_else(|| panic!("{invited}")).to_owned();

    let mut bob = Terminal::program(&site, "/", json!({ "token": token })).await.unwrap();
    assert_eq!(bob.asks(json!({ "op": "whoami" })).await["ok"]["name"], "bob");
    assert_eq!(names(&bob.asks(json!({ "op": "rooms" })).await), ["plant"]);
    for denied in [
        json!({ "op": "create", "room": "den" }),
        json!({ "op": "invite", "name": READER, "room": "plant" }),
        json!({ "op": "invite", "name": "bob", "room": "hall" }),
        json!({ "op": "move", "room": "hall" }),
    ] {
        let answer = bob.asks(denied.clone()).await;
        assert_eq!(answer["error"]["code"], "denied", "{denied}: {answer}");
    }
    let keys = bob.asks(json!({ "op": "keys" })).await;
    let first = keys["ok"]["keys"][0]["fingerprint"].as_str().unwrap().to_owned();
    let more = bob.asks(json!({ "op": "keys", "make": "token" })).await;
    let second = more["ok"]["token"].as_str().unwrap().to_owned();
    let foreign = bob.asks(json!({ "op": "keys", "revoke": "0123456789abcdef" })).await;
    assert_eq!(foreign["error"]["code"], "denied");

    let mut again = Terminal::program(&site, "/", json!({ "token": second })).await.unwrap();
    let revoked = again.asks(json!({ "op": "keys", "revoke": first })).await;
    assert_eq!(revoked["ok"]["fingerprint"], first, "{revoked}");
    bob.hears("\"ev\":\"bye\"").await;
    let refused = Terminal::program(&site, "/", json!({ "token": token })).await.err();
    assert_eq!(refused, Some(json!("not_authorised")));
    assert_eq!(again.asks(json!({ "op": "enter", "room": "plant" })).await["ok"]["room"], "plant");
    let said = again.asks(json!({ "op": "publish", "channel": "a", "data": "x" })).await;
    assert!(said["ok"]["pos"].is_string(), "{said}");

    let written = audited(
        &site,
        &[
            "room created|room plant|house/ann|done",
            "invited|user bob: token|house/ann",
            "credential added|bob: token|house/bob",
            "credential revoked|house/bob|done",
            "refused|create room: not for you",
            "refused|invite: ",
        ],
    );
    assert!(!written.contains(&token) && !written.contains(&second), "no secret is written down");
}

#[tokio::test]
async fn person_has_the_same_done_in_plain_lines_and_is_refused_the_same() {
    let site = site();
    let mut ann = Terminal::person(&site, "/", &format!("{ACCOUNT}/{OWNER}"), PASSWORD).await;
    assert_eq!(ann.line("create room den board").await, "the room den is there\r\n> ");
    assert!(ann.line("rooms").await.contains("den (0 here)"));
    let invited = ann.line("invite mia to den as reader").await;
    let token = invited.split("again: ").nth(1).unwrap().trim_end_matches(['>', ' ', '\r', '\n']).to_owned();
    assert_eq!(ann.line(&format!("invite {READER} to den")).await, format!("{READER} may enter den\r\n> "));
    let made = ann.line("keys make").await;
    let fingerprint = made.split(' ').next().unwrap();
    assert!(ann.line("keys").await.contains(fingerprint));
    assert_eq!(
        ann.line(&format!("keys revoke {fingerprint}")).await,
        format!("{fingerprint} is revoked\r\n> ")
    );
    assert!(!ann.line("keys").await.contains(fingerprint));

    let mut rob = Terminal::person(&site, "/", &format!("{ACCOUNT}/{READER}"), PASSWORD).await;
    for denied in ["create room attic", &format!("invite {OWNER} to den"), "enter attic"] {
        let answer = rob.line(denied).await;
        assert!(
            answer.starts_with("!! not for you") || answer.starts_with("!! no such room"),
            "{denied}: {answer}"
        );
    }
    let mut mia = Terminal::program(&site, "/", json!({ "token": token })).await.unwrap();
    assert_eq!(mia.asks(json!({ "op": "enter", "room": "den" })).await["ok"]["room"], "den");
    let said = mia.asks(json!({ "op": "publish", "channel": "a", "data": "x" })).await;
    assert_eq!(said["error"]["code"], "denied", "who reads does not write");
}

#[tokio::test]
async fn lobby_of_an_account_is_its_own_and_everybody_else_is_a_visitor_there_whatever_the_name() {
    let site = site();
    let mut own = Terminal::program(&site, &format!("/user/{ACCOUNT}"), password(OWNER)).await.unwrap();
    assert!(names(&own.asks(json!({ "op": "rooms" })).await).contains(&"hall".to_owned()));
    let mut answers = Vec::new();
    for (n, name) in ["garden", "nobody", "6f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a77"].into_iter().enumerate() {
        let mut visitor = Terminal::program(&site, &format!("/user/{name}/"), password(OWNER)).await.unwrap();
        let who = visitor.asks(json!({ "op": "whoami" })).await;
        assert_eq!((&who["ok"]["visits"], &who["ok"]["account"]), (&json!(name), &json!(ACCOUNT)));
        let mut all = Vec::new();
        for request in [
            json!({ "op": "rooms" }),
            json!({ "op": "enter" }),
            json!({ "op": "move", "room": "shed" }),
            json!({ "op": "create", "room": "den" }),
            json!({ "op": "invite", "name": OWNER, "room": "shed" }),
            json!({ "op": "keys" }),
            json!({ "op": "subscribe", "sub": 1, "channels": "#" }),
            json!({ "op": "publish", "channel": "news", "data": "x" }),
            json!({ "op": "subscribe", "sub": 1, "technical": "room" }),
        ] {
            let answer = visitor.asks(request.clone()).await;
            assert_eq!(answer["error"]["code"], "denied", "{request}: {answer}");
            all.push(answer);
        }
        answers.push(all);
        let mut person =
            Terminal::person(&site, &format!("/user/{name}"), &format!("{ACCOUNT}/{OWNER}"), PASSWORD).await;
        assert!(person.line("rooms").await.contains("visitor"), "{n}");
        assert!(person.line("whoami").await.contains(&format!("the lobby of {name}, as a visitor")));
    }
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "an account that is not looks like one that is"
    );
    for path in ["/user/garden", "/user/nobody"] {
        for wrong in [json!({ "user": "garden/eve", "password": "no" }), json!({ "token": "no" })] {
            let refused = Terminal::program(&site, path, wrong.clone()).await.err();
            assert_eq!(refused, Some(json!("not_authorised")), "{path}: {wrong}");
        }
    }
    let eve = json!({ "user": "garden/eve", "password": PASSWORD });
    let mut eve = Terminal::program(&site, "/user/garden", eve).await.unwrap();
    assert!(names(&eve.asks(json!({ "op": "rooms" })).await).contains(&"shed".to_owned()));
}

#[tokio::test]
async fn lobby_has_channels_of_its_own_for_those_of_the_account_and_for_nobody_else() {
    let mut site = site();
    let mut ann = Terminal::program(&site, "/", password(OWNER)).await.unwrap();
    let made = ann.asks(json!({ "op": "create", "room": "lobby", "history": "log" })).await;
    assert!(made["error"]["what"].is_string(), "it is there, though no file says so: {made}");
    assert!(ann.asks(json!({ "op": "subscribe", "sub": 1, "channels": "#" })).await["ok"].is_object());
    assert!(ann.asks(json!({ "op": "subscribe", "sub": 2, "technical": "room" })).await["ok"].is_object());

    let mut person = Terminal::person(&site, "/", &format!("{ACCOUNT}/{OWNER}"), PASSWORD).await;
    ann.hears("riser.joined").await;
    person.say("say news the lift is out").await;
    let heard = ann.hears("\"ev\":\"msg\"").await;
    assert!(heard.contains("the lift is out") && heard.contains("\"channel\":\"news\""), "{heard}");
    assert!(
        ann.asks(json!({ "op": "publish", "channel": "news", "data": "it runs again" })).await["ok"]
            .is_object()
    );
    person.hears("news: it runs again").await;
    // In a room it hears the room's, and the lobby is without it.
    assert!(ann.asks(json!({ "op": "enter", "room": "hall" })).await["ok"].is_object());
    let present = ann.asks(json!({ "op": "publish", "channel": "news", "data": "elsewhere" })).await;
    assert!(present["ok"].is_object(), "{present}");
    assert!(person.line("whoami").await.contains("in the lobby"), "and heard nothing of it");

    // A channel of a lobby has an address of its own.
    let mut raw = Terminal::with_header(&site, &format!("/user/{ACCOUNT}/news"), OWNER, PASSWORD).await;
    raw.say("by hand").await;
    person.hears("news: by hand").await;

    // Who only reads there reads; who may nothing hears nothing; who is from elsewhere neither.
    let mut rob = Terminal::program(&site, "/", password(READER)).await.unwrap();
    assert!(rob.asks(json!({ "op": "subscribe", "sub": 1, "channels": "#" })).await["ok"].is_object());
    let said = rob.asks(json!({ "op": "publish", "channel": "news", "data": "x" })).await;
    assert_eq!(said["error"]["code"], "denied", "{said}");
    let eve = json!({ "user": "garden/eve", "password": PASSWORD });
    let mut eve = Terminal::program(&site, &format!("/user/{ACCOUNT}"), eve).await.unwrap();
    for denied in [
        json!({ "op": "subscribe", "sub": 1, "channels": "#" }),
        json!({ "op": "publish", "channel": "news", "data": "x" }),
        json!({ "op": "presence" }),
    ] {
        let answer = eve.asks(denied.clone()).await;
        assert_eq!(answer["error"]["code"], "denied", "{denied}: {answer}");
    }

    // Without such a room there are none, and a restart brings none back.
    let mut remove = site.hub.command(&["room", "remove", &format!("{ACCOUNT}/lobby")]);
    remove.arg("--config").arg(&site.hub.config);
    output(remove);
    site.hub.kill();
    site.hub.start();
    let mut ann = Terminal::program(&site, "/", password(OWNER)).await.unwrap();
    let none = ann.asks(json!({ "op": "subscribe", "sub": 1, "channels": "#" })).await;
    assert_eq!(none["error"]["code"], "denied", "{none}");
}

#[tokio::test]
async fn account_that_a_file_declares_has_a_personal_room_whose_past_outlives_a_restart() {
    let mut site = site();
    let mut ann = Terminal::program(&site, "/", password(OWNER)).await.unwrap();
    let rooms = names(&ann.asks(json!({ "op": "rooms" })).await);
    assert!(["lobby", "personal"].iter().all(|room| rooms.contains(&room.to_string())), "{rooms:?}");
    assert_eq!(ann.asks(json!({ "op": "enter" })).await["ok"]["room"], "personal");
    let said = ann.asks(json!({ "op": "publish", "channel": "try", "data": "the first" })).await;
    assert!(said["ok"].is_object(), "{said}");
    site.hub.kill();
    site.hub.start();
    // Who may nothing in every room may nothing there either, and who reads only reads.
    let mut rob = Terminal::program(&site, "/", password(READER)).await.unwrap();
    assert_eq!(rob.asks(json!({ "op": "enter" })).await["ok"]["room"], "personal");
    let asked = json!({ "op": "subscribe", "sub": 1, "channels": "#", "from": "start" });
    assert!(rob.asks(asked).await["ok"].is_object());
    rob.hears("the first").await;
    let said = rob.asks(json!({ "op": "publish", "channel": "try", "data": "x" })).await;
    assert_eq!(said["error"]["code"], "denied", "{said}");
}

#[tokio::test]
async fn lobby_of_a_user_is_behind_the_gate_of_that_user_s_account() {
    let site = site();
    let mut visitor = Terminal::open(&site, "/user/castle/", Some("riser.v1.json")).await;
    let hello = json!({ "op": "hello", "id": 1, "credential": password(OWNER) });
    visitor.say(&hello.to_string()).await;
    assert_eq!(visitor.json().await["ev"], "knocked", "its own account has no gate");
    let mut person = Terminal::open(&site, "/user/castle/", None).await;
    person.hears("name: ").await;
    person.say(&format!("{ACCOUNT}/{OWNER}")).await;
    person.hears("password: ").await;
    person.say(PASSWORD).await;
    person.hears("an admin was asked").await;
    assert!(Terminal::program(&site, "/user/garden", password(OWNER)).await.is_ok(), "which has none");
}

#[tokio::test]
async fn who_shows_the_operator_s_token_makes_accounts_in_the_admin_lobby_and_nobody_else_does() {
    let site = site();
    let token = std::fs::read_to_string(site.hub.data.join("admin.token")).unwrap().trim().to_owned();
    let mut ann = Terminal::program(&site, "/", password(OWNER)).await.unwrap();
    let denied = [
        json!({ "op": "accounts" }),
        json!({ "op": "create", "account": "foo" }),
        json!({ "op": "remove", "account": "garden" }),
    ];
    for request in &denied {
        let answer = ann.asks(request.clone()).await;
        assert_eq!(answer["error"]["code"], "denied", "who owns an account: {request}: {answer}");
    }
    let wrong = ann.asks(json!({ "op": "admin", "token": "guessed" })).await;
    assert_eq!(wrong["error"]["code"], "not_authorised", "{wrong}");
    assert_eq!(ann.asks(denied[1].clone()).await["error"]["code"], "denied", "a guess opens nothing");
    assert_eq!(ann.asks(json!({ "op": "admin", "token": token })).await["ok"]["admin"], true);
    let made = ann.asks(json!({ "op": "create", "account": "foo", "user": "bar" })).await;
    let secrets =
        ["password", "token"].map(|field| made["ok"][field].as_str().unwrap_or_else(|| panic!("{made}")));
    let twice = ann.asks(json!({ "op": "create", "account": "foo" })).await;
    assert!(twice["error"]["what"].is_string(), "{twice}");
    let listed = ann.asks(json!({ "op": "accounts" })).await;
    let names: Vec<_> = listed["ok"]["accounts"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names.iter().filter(|name| **name == "foo").count(), 1, "{listed}");
    assert!(names.len() >= 4, "{listed}");

    // The first user owns it, and finds its rooms there.
    let bar = json!({ "user": "foo/bar", "password": secrets[0] });
    let mut bar = Terminal::program(&site, "/", bar).await.unwrap();
    assert_eq!(self::names(&bar.asks(json!({ "op": "rooms" })).await), ["lobby", "personal", "quarantine"]);
    assert_eq!(bar.asks(json!({ "op": "enter" })).await["ok"]["room"], "personal");
    assert_eq!(bar.asks(denied[0].clone()).await["error"]["code"], "denied");
    let own = ann.asks(json!({ "op": "remove", "account": ACCOUNT })).await;
    assert_eq!(own["error"]["code"], "denied", "one's own");
    let gone = ann.asks(json!({ "op": "remove", "account": "foo" })).await;
    assert_eq!(gone["ok"]["name"], "foo", "{gone}");
    bar.hears("\"ev\":\"bye\"").await;

    // It is over with the next room, and a person does the same in plain lines.
    assert!(ann.asks(json!({ "op": "enter", "room": "hall" })).await["ok"].is_object());
    assert_eq!(ann.asks(denied[0].clone()).await["error"]["code"], "denied");
    let mut person = Terminal::person(&site, "/", &format!("{ACCOUNT}/{READER}"), PASSWORD).await;
    assert!(person.line("accounts").await.starts_with("!! not for you"));
    for (shown, answer) in
        [("guessed", "!! the token was not accepted"), (&*token, "you are in the admin lobby")]
    {
        person.say("move to admin lobby").await;
        person.hears("the operator's token: ").await;
        let said = person.line(shown).await;
        assert!(said.starts_with(answer), "{said}");
    }
    let created = person.line("create account shop").await;
    assert!(created.contains("its first user is shop/shop"), "{created}");
    let shown = created.lines().find_map(|line| line.strip_prefix("token: ")).unwrap().to_owned();
    assert!(Terminal::program(&site, "/", json!({ "token": shown })).await.is_ok());
    assert!(person.line("accounts").await.contains("shop "));

    let written = audited(
        &site,
        &[
            "refused|the admin lobby|house/ann",
            "entered|the admin lobby|house/ann|done",
            "account created|account foo|operator, as house/ann|done",
            "account removed|account foo|operator, as house/ann|done",
            "account created|account shop|operator, as house/rob|done",
        ],
    );
    for secret in [&token, secrets[0], secrets[1], &shown, "guessed"] {
        assert!(!written.contains(secret), "no secret is written down");
    }
}

#[tokio::test]
async fn user_whom_the_configuration_names_operates_in_the_admin_lobby_without_the_token() {
    let site = site_of(&format!("operators = [\"{ACCOUNT}/{READER}\", \"garden/nobody\"]\n"));
    // Who gets a name that nobody had when the hub started operates nothing; the log says that nobody had it.
    let mut eve =
        Terminal::program(&site, "/", json!({ "user": "garden/eve", "password": PASSWORD })).await.unwrap();
    let invited = eve.asks(json!({ "op": "invite", "name": "nobody", "room": "shed", "as": "reader" })).await;
    let token = json!({ "token": invited["ok"]["token"] });
    let mut nobody = Terminal::program(&site, "/", token).await.unwrap();
    assert_eq!(nobody.asks(json!({ "op": "admin" })).await["error"]["code"], "not_authorised", "{invited}");
    let mut ann = Terminal::program(&site, "/", password(OWNER)).await.unwrap();
    let refused = ann.asks(json!({ "op": "admin" })).await;
    assert_eq!(refused["error"]["code"], "not_authorised", "who owns the account is not named: {refused}");
    let mut rob = Terminal::program(&site, "/", password(READER)).await.unwrap();
    assert_eq!(rob.asks(json!({ "op": "accounts" })).await["error"]["code"], "denied", "not asked for yet");
    assert_eq!(rob.asks(json!({ "op": "admin" })).await["ok"]["admin"], true);
    let made = rob.asks(json!({ "op": "create", "account": "foo" })).await;
    assert!(made["ok"]["token"].is_string(), "{made}");
    assert!(rob.asks(json!({ "op": "enter", "room": "hall" })).await["ok"].is_object());
    assert_eq!(rob.asks(json!({ "op": "accounts" })).await["error"]["code"], "denied", "it is over");

    let mut person = Terminal::person(&site, "/", &format!("{ACCOUNT}/{READER}"), PASSWORD).await;
    assert!(person.line("move to admin lobby by name").await.starts_with("you are in the admin lobby"));
    assert!(person.line("remove account foo").await.starts_with("foo is there no more"));
    audited(
        &site,
        &[
            "account created|account foo|operator, as house/rob|done",
            "account removed|account foo|operator, as house/rob|done",
            "entered|the admin lobby|house/rob",
            "refused|the admin lobby|house/ann|not_authorised",
        ],
    );
}

#[tokio::test]
async fn bare_name_is_that_of_the_address_and_at_none_of_the_configured_account_or_of_the_only_one() {
    let twin = |site: &Site| {
        let text = std::fs::read_to_string(&site.hub.config).unwrap();
        let hash = text.lines().find(|line| line.starts_with("password = ")).unwrap().to_owned();
        let ann = format!("name = \"castle\"\nuser = [{{ name = \"{OWNER}\", {hash} }}]\n");
        text.replace("name = \"castle\"\n", &ann)
    };
    let of = async |site: &Site, path: &str, user: &str| {
        let bare = json!({ "user": user, "password": PASSWORD });
        match Terminal::program(site, path, bare).await {
            Ok(mut program) => program.asks(json!({ "op": "whoami" })).await["ok"]["account"].clone(),
            Err(code) => code,
        }
    };
    let account = async |site: &Site, path: &str| of(site, path, OWNER).await;
    for (top, main) in [("", "not_authorised"), ("default_account = \"house\"\n", ACCOUNT)] {
        let mut site = site_of(top);
        site.hub.stop();
        // Its gate asks nobody anything here.
        let text = twin(&site).replace("gate = [{ any = [\"certificate\", \"knock\"] }]\n", "");
        site.hub.write_config(&text);
        site.hub.start();
        assert_eq!(account(&site, "/").await, main, "{top}");
        assert_eq!(account(&site, "/user/castle").await, "castle", "{top}");
        assert_eq!(account(&site, &format!("/user/{ACCOUNT}/")).await, ACCOUNT, "{top}");
        // Who visits says whose it is, whether there is such an account or not, and whatever names it has.
        assert_eq!(of(&site, "/", READER).await, ACCOUNT, "{top}: the only one");
        for (path, user) in [("/user/castle", READER), ("/user/nowhere", READER), ("/user/nowhere", OWNER)] {
            assert_eq!(of(&site, path, user).await, "not_authorised", "{top}: {user} at {path}");
        }
        let mut person = Terminal::person(&site, "/user/castle", OWNER, PASSWORD).await;
        assert!(person.line("whoami").await.starts_with("castle/ann"), "{top}");
    }
}

#[tokio::test]
async fn account_at_an_edge_has_neither_lobby_nor_personal_room_unless_its_file_says_so() {
    let site = Site::start();
    let mut ann = Terminal::program_at(site.edge.http, "/", password(OWNER)).await.unwrap();
    let rooms = names(&ann.asks(json!({ "op": "rooms" })).await);
    assert!(!["lobby", "personal"].iter().any(|room| rooms.contains(&room.to_string())), "{rooms:?}");
    // What no hub ever gets is not taken.
    let said = ann.asks(json!({ "op": "publish", "channel": "news", "data": "x" })).await;
    assert!(said["error"].is_object(), "{said}");
}

#[tokio::test]
async fn visitors_read_and_publish_in_a_lobby_what_its_account_grants_them_and_nothing_unless_it_does() {
    let site = site();
    let does = |words: &[&str]| {
        let mut command = site.hub.command(words);
        command.arg("--config").arg(&site.hub.config);
        command.output().unwrap().status.success()
    };
    let lobby = format!("{ACCOUNT}/lobby");
    let eve = || json!({ "user": "garden/eve", "password": PASSWORD });
    let at = format!("/user/{ACCOUNT}");
    let read = |sub: u32, channels: &str| json!({ "op": "subscribe", "sub": sub, "channels": channels });
    let says = |channel: &str| json!({ "op": "publish", "channel": channel, "data": "hello" });
    let mut visitor = Terminal::program(&site, &at, eve()).await.unwrap();
    // What is asked, and whether the grants below let it be done. A subscription starts where anything may be read, and brings
    // what may be.
    let table = [
        (read(1, "news/#"), true),
        (read(2, "book/#"), true),
        (says("news/a"), false),
        (says("book/a"), true),
    ];
    for (request, _) in &table {
        assert_eq!(visitor.asks(request.clone()).await["error"]["code"], "denied", "by default: {request}");
    }
    assert!(does(&["grant", &lobby, "*/*", "subscribe", "--channels", "news/#"]));
    assert!(does(&["grant", &lobby, "*/*", "publish", "--channels", "book/#"]));
    let mut second = Terminal::program(&site, &at, eve()).await.unwrap();
    let mut elsewhere = Terminal::program(&site, "/user/nobody", eve()).await.unwrap();
    let mut own = Terminal::program(&site, "/user/garden", eve()).await.unwrap();
    for (request, may) in &table {
        for one in [&mut visitor, &mut second] {
            let answer = one.asks(request.clone()).await;
            assert_eq!(answer["ok"].is_object(), *may, "{request}: {answer}");
        }
        assert_eq!(elsewhere.asks(request.clone()).await["error"]["code"], "denied", "{request}");
        assert!(own.asks(request.clone()).await["ok"].is_object(), "one's own lobby is as it was: {request}");
    }
    for denied in [
        json!({ "op": "presence" }),
        json!({ "op": "statistics", "channels": "#" }),
        json!({ "op": "past", "channels": "#" }),
        json!({ "op": "subscribe", "sub": 3, "technical": "room" }),
        json!({ "op": "subscribe", "sub": 3, "technical": "account" }),
        json!({ "op": "enter", "room": "hall" }),
        json!({ "op": "rooms" }),
        json!({ "op": "ticket" }),
    ] {
        assert_eq!(visitor.asks(denied.clone()).await["error"]["code"], "denied", "{denied}");
    }
    // Raw sockets too: one that reads, one that publishes, by either address; and who may do neither hears what it hears of an
    // account that is not.
    let raw = async |path: &str| Terminal::with_header(&site, path, "garden/eve", PASSWORD).await;
    let mut reads = raw(&format!("{at}/news/a")).await;
    let mut writes = raw(&format!("/{ACCOUNT}/lobby/book/a")).await;
    let mut closed = Vec::new();
    for nowhere in [&format!("{at}/secret/a"), "/user/nobody/secret/a", &format!("/{ACCOUNT}/hall/news/a")] {
        let mut neither = raw(nowhere).await;
        neither.tries(tokio_tungstenite::tungstenite::Message::text("hello")).await;
        closed.push(neither.closed().await);
    }
    assert!(closed[0].is_some(), "it is said why");
    assert_eq!(
        closed[0], closed[1],
        "a forbidden channel of a lobby that is, and one of a lobby that is not"
    );

    // Live, both ways: who is of the account hears the visitor, and a visiting person reads and says the same.
    let mut ann = Terminal::program(&site, "/", password(OWNER)).await.unwrap();
    assert!(ann.asks(read(1, "#")).await["ok"].is_object());
    let mut person = Terminal::person(&site, &at, "garden/eve", PASSWORD).await;
    for channel in ["book/a", "secret/a", "news/a"] {
        assert!(ann.asks(says(channel)).await["ok"].is_object());
    }
    person.hears("news/a: hello").await;
    reads.hears("hello").await;
    writes.say("from a raw socket").await;
    ann.hears("from a raw socket").await;
    let heard = visitor.hears("\"ev\":\"msg\"").await;
    assert!(heard.contains("news/a"), "{heard}");
    person.say("say book/b from a terminal").await;
    ann.hears("from a terminal").await;
    assert_eq!(visitor.asks(json!({ "op": "whoami" })).await["ok"]["account"], "garden");

    // What is taken back is gone at once; a deny wins; other rooms have no visitors, and none of them administers.
    assert!(does(&["ungrant", &lobby, "*/*", "publish", "--channels", "book/#"]));
    assert_eq!(second.asks(says("book/a")).await["error"]["code"], "denied");
    assert!(does(&["deny", &lobby, "*/*", "subscribe", "--channels", "news/a"]));
    assert!(ann.asks(says("news/a")).await["ok"].is_object());
    assert!(ann.asks(says("news/b")).await["ok"].is_object());
    let heard = visitor.hears("\"ev\":\"msg\"").await;
    assert!(heard.contains("news/b"), "{heard}");
    for (place, right) in
        [(format!("{ACCOUNT}/hall"), "subscribe"), (ACCOUNT.to_owned(), "publish"), (lobby, "admin")]
    {
        assert!(!does(&["grant", &place, "*/*", right]), "{place} {right}");
    }
    assert!(!does(&["role", &format!("{ACCOUNT}/lobby"), "*/*", "reader"]));
}
