//! People whose passwords a directory server knows: Debian's slapd, over StartTLS, and when it is not what it should be.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::needs::{Need, find, needs};
use crate::place::{Cable, Place};
use crate::program::{Program, SOON, free_port, output};
use crate::sign_in::enters_with;
use crate::site::{ACCOUNT, OWNER, PASSWORD, Plan, Site};
use crate::terminal::Terminal;
use crate::tls::certificate;

const WORD: &str = "tree word";

/// The tree: as YunoHost's, with somebody who may look into it.
const TREE: &str = "\
dn: dc=yunohost,dc=org
objectClass: dcObject
objectClass: organization
o: house
dc: yunohost

dn: cn=looker,dc=yunohost,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: looker
userPassword: looks

dn: ou=users,dc=yunohost,dc=org
objectClass: organizationalUnit
ou: users

dn: ou=groups,dc=yunohost,dc=org
objectClass: organizationalUnit
ou: groups

dn: cn=building,ou=groups,dc=yunohost,dc=org
objectClass: groupOfNames
cn: building
member: uid=eve,ou=users,dc=yunohost,dc=org
member: uid=mallory,ou=users,dc=yunohost,dc=org
";

/// People who are in groups, each in another one and in another way.
const MEMBERS: [&str; 6] = ["nina", "oda", "pia", "ines", "carla", "zoe"];
const GROUPS: &str = "
dn: cn=Night  Shift,ou=groups,dc=yunohost,dc=org
objectClass: groupOfNames
cn: Night  Shift
member: uid=nina,ou=users,dc=yunohost,dc=org

dn: cn=Odd*(Name)\\2c \\c3\\a9t\\c3\\a9,ou=groups,dc=yunohost,dc=org
objectClass: groupOfUniqueNames
cn: Odd*(Name), \u{e9}t\u{e9}
uniqueMember: uid=oda,ou=users,dc=yunohost,dc=org

dn: cn=posix,ou=groups,dc=yunohost,dc=org
objectClass: posixGroup
cn: posix
gidNumber: 1001
memberUid: pia

dn: cn=inner,ou=groups,dc=yunohost,dc=org
objectClass: groupOfNames
cn: inner
member: uid=ines,ou=users,dc=yunohost,dc=org
member: cn=outer,ou=groups,dc=yunohost,dc=org

dn: cn=outer,ou=groups,dc=yunohost,dc=org
objectClass: groupOfNames
cn: outer
member: cn=inner,ou=groups,dc=yunohost,dc=org

dn: cn=admins,ou=groups,dc=yunohost,dc=org
objectClass: groupOfNames
cn: admins
member: uid=carla,ou=users,dc=yunohost,dc=org
";

fn person(name: &str) -> String {
    format!(
        "\ndn: uid={name},ou=users,dc=yunohost,dc=org\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
         userPassword: {WORD}\n"
    )
}

struct Slapd {
    folder: PathBuf,
    certificate: PathBuf,
    port: u16,
    serves: Serves,
    process: Program,
}

/// Where and how it listens.
#[derive(Clone)]
struct Serves {
    place: Place,
    scheme: &'static str,
    port: Option<u16>,
    /// To whoever asks, in the clear: as on YunoHost's own loopback.
    open: bool,
}

impl Serves {
    /// Here, to who may look, and only over TLS.
    fn over(scheme: &'static str) -> Self {
        Self { place: Place::Here, scheme, port: None, open: false }
    }
}

impl Slapd {
    fn start(folder: &Path, own: &(PathBuf, PathBuf), serves: Serves) -> Self {
        let (port, data) = (serves.port.unwrap_or_else(free_port), folder.join("tree"));
        fs::create_dir_all(&data).unwrap();
        let schemas = ["core", "cosine", "nis", "inetorgperson"];
        let includes: String =
            schemas.iter().map(|name| format!("include /etc/ldap/schema/{name}.schema\n")).collect();
        let (cert, key) = own;
        let (security, readers) = match serves.open {
            true => ("", "by * read"),
            false => {
                ("security simple_bind=128\n", "by dn.exact=\"cn=looker,dc=yunohost,dc=org\" read by * auth")
            }
        };
        let config = format!(
            "{includes}modulepath /usr/lib/ldap\nmoduleload back_mdb\nTLSCertificateFile {}\nTLSCertificateKeyFile {}\n\
             {security}database mdb\nsuffix \"dc=yunohost,dc=org\"\ndirectory {}\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * {readers}\n",
            cert.display(),
            key.display(),
            data.display(),
        );
        fs::write(folder.join("slapd.conf"), config).unwrap();
        let people: String = ["eve", "mallory", "stranger"].into_iter().chain(MEMBERS).map(person).collect();
        let tree = format!("{TREE}{GROUPS}{people}");
        fs::write(folder.join("tree.ldif"), tree).unwrap();
        let mut command = Command::new(find("slapadd").expect("it comes with slapd"));
        output({
            command.arg("-f").arg(folder.join("slapd.conf")).arg("-l").arg(folder.join("tree.ldif"));
            command
        });
        let process = Self::launch(folder, port, &serves);
        Self { folder: folder.to_owned(), certificate: cert.clone(), port, serves, process }
    }

    fn launch(folder: &Path, port: u16, serves: &Serves) -> Program {
        let mut command = serves.place.command(find("slapd").expect("it is there"));
        command.arg("-f").arg(folder.join("slapd.conf"));
        command.args(["-h", &format!("{}://127.0.0.1:{port}/", serves.scheme), "-d", "0"]);
        let mut process = Program::start("slapd", command, folder);
        let listens = || {
            let mut tries = serves.place.command("bash");
            tries.args(["-c", &format!("</dev/tcp/127.0.0.1/{port}")]);
            tries.output().is_ok_and(|done| done.status.success())
        };
        process.wait_until("listens", SOON, listens);
        process
    }

    fn again(&mut self) {
        self.process = Self::launch(&self.folder, self.port, &self.serves);
    }

    /// The connections to it that are open, each by its other end.
    fn connections(&self) -> BTreeSet<String> {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let there = format!(":{:04X}", self.port);
        let open = table.lines().skip(1).filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let (own, other, state) = (words.next()?, words.next()?, words.next()?);
            (other.ends_with(&there) && state == "01").then(|| own.to_owned())
        });
        open.collect()
    }
}

/// A hub whose people are in the tree, and the server of that. `believes` is whom it takes for the server.
fn site(believes: impl FnOnce(&Path, &(PathBuf, PathBuf)) -> PathBuf) -> (Site, Slapd) {
    site_with(believes, "", "groups = [\"building\", \"cellar\"]\n")
}

/// The same, with these lines of its account before those about the server, and these at their end.
fn site_with(
    believes: impl FnOnce(&Path, &(PathBuf, PathBuf)) -> PathBuf,
    lines: &str,
    groups: &str,
) -> (Site, Slapd) {
    site_over("ldap", believes, lines, groups)
}

/// The same over that.
fn site_over(
    scheme: &'static str,
    believes: impl FnOnce(&Path, &(PathBuf, PathBuf)) -> PathBuf,
    lines: &str,
    groups: &str,
) -> (Site, Slapd) {
    let mut site = Site::laid_out(Plan { hub_top: "[login]\n".into(), ..Plan::default() });
    let folder = site.folder.path();
    let own = certificate(folder, "slapd");
    let slapd = Slapd::start(folder, &own, Serves::over(scheme));
    let start_tls = scheme == "ldap";
    let looks = folder.join("looks");
    fs::write(&looks, "looks\n").unwrap();
    fs::set_permissions(&looks, fs::Permissions::from_mode(0o600)).unwrap();
    let ca = believes(folder, &own);
    let account = format!(
        r#"
[[account.user]]
name = "eve"
role = "member"

[[account.user]]
name = "stranger"
role = "member"

[[account.client]]
name = "mallory"
role = "member"
{lines}
[account.ldap]
preset = "yunohost"
url = "{scheme}://127.0.0.1:{}"
start_tls = {start_tls}
ca = {ca:?}
filter = "(objectClass=inetOrgPerson)"
bind = "cn=looker,dc=yunohost,dc=org"
bind_password_file = {looks:?}
{groups}"#,
        slapd.port
    );
    let text = fs::read_to_string(&site.hub.config).unwrap();
    site.hub.write_config(&(text + &account));
    site.hub.start();
    (site, slapd)
}

async fn enters(site: &Site, user: &str, password: &str) -> String {
    enters_with(site, &[], Some(json!({ "user": user, "password": password }))).await
}

#[tokio::test]
async fn operator_sets_the_directory_server_while_the_hub_runs_and_takes_it_away() {
    needs!(Need::Program("slapd"), Need::Program("curl"));
    let (mut site, slapd) = site(|_, own| own.0.clone());
    let port = free_port();
    let text = fs::read_to_string(&site.hub.config).unwrap();
    // The file says nothing of it any more.
    let (before, _) = text.split_once("[account.ldap]").unwrap();
    let listen = format!("[listen]\nadmin = \"127.0.0.1:{port}\"\n");
    site.hub.stop();
    site.hub.write_config(&before.replacen("[listen]\n", &listen, 1));
    site.hub.start();
    assert_eq!(enters(&site, "eve", WORD).await, "not_authorised", "nobody knows her");
    let token = fs::read_to_string(site.hub.data.join("admin.token")).unwrap();
    let put = |ldap: serde_json::Value| -> serde_json::Value {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "30", "--request", "PUT"]);
        command.args(["--oauth2-bearer", token.trim(), "--header", "Content-Type: application/json"]);
        command.args(["--data", &json!({ "ldap": ldap }).to_string()]);
        command.arg(format!("http://127.0.0.1:{port}/v1/accounts/{ACCOUNT}/ldap"));
        serde_json::from_str(&output(command)).unwrap()
    };
    let folder = site.folder.path();
    let (certificate, looks) = (&slapd.certificate, folder.join("looks"));
    let server = json!({
        "preset": "yunohost", "url": format!("ldap://127.0.0.1:{}", slapd.port), "start_tls": true, "ca": certificate,
        "filter": "(objectClass=inetOrgPerson)", "bind": "cn=looker,dc=yunohost,dc=org",
        "bind_password_file": looks, "groups": ["building", "cellar"],
    });
    let set = put(server);
    assert!(set["revision"].is_u64(), "{set}");
    assert_eq!(enters(&site, "eve", WORD).await, "eve");
    assert_eq!(put(json!({ "url": "ldaps://dc" }))["error"]["code"], "invalid", "as in a file");
    assert_eq!(enters(&site, "eve", WORD).await, "eve");
    assert!(put(json!(null))["revision"].is_u64());
    assert_eq!(enters(&site, "eve", WORD).await, "not_authorised");
}

#[tokio::test]
async fn people_enter_with_the_password_that_the_tree_knows() {
    needs!(Need::Program("slapd"), Need::Program("curl"), Need::Program("mosquitto_pub"));
    let (site, _slapd) = site(|_, own| own.0.clone());
    assert_eq!(enters(&site, "eve", WORD).await, "eve");
    assert_eq!(enters(&site, OWNER, PASSWORD).await, OWNER, "who has a password here is not asked for there");
    for (user, password, why) in [
        ("eve", "tree wor", "a wrong password"),
        ("eve", "", "no password"),
        ("stranger", WORD, "in none of the groups"),
        ("mallory", WORD, "a device is no person"),
        ("nobody", WORD, "in no tree"),
        ("*", WORD, "no name"),
        ("eve)(uid=*", WORD, "no name"),
        ("ev*", WORD, "no name"),
        (OWNER, WORD, "the other password"),
    ] {
        assert_eq!(enters(&site, user, password).await, "not_authorised", "{user}: {why}");
    }
    let publishes = |password: &str| {
        let port = site.hub.mqtt.to_string();
        let mut command = Command::new("mosquitto_pub");
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-u",
            "eve",
            "-P",
            password,
            "-q",
            "1",
            "-t",
            "hall/x",
            "-m",
            "1",
        ]);
        command.output().unwrap().status.success()
    };
    assert!(publishes(WORD) && !publishes("another"));
    assert!(!site.hub.printed().contains(WORD) && !site.hub.printed().contains("looks\""));
}

#[tokio::test]
async fn people_enter_over_ldaps_by_connections_that_are_kept_and_a_server_with_another_name_is_shown_nothing()
 {
    needs!(Need::Program("slapd"), Need::Program("curl"));
    let (site, slapd) = site_over("ldaps", |_, own| own.0.clone(), "", "");
    assert_eq!(enters(&site, "eve", WORD).await, "eve");
    let kept = slapd.connections();
    assert_eq!(kept.len(), 2, "one to look, and one to bind: {kept:?}");
    for password in [WORD, "another", WORD, WORD] {
        let heard = enters(&site, "eve", password).await;
        assert_eq!(heard, if password == WORD { "eve" } else { "not_authorised" });
    }
    assert_eq!(slapd.connections(), kept, "no other was made, and none was lost");
    assert_eq!(site.hub.metric("riser_ldap_asked", "failed").unwrap_or_default(), 0.0);

    let (other, _slapd) = site_over("ldaps", |folder, _| certificate(folder, "other").0, "", "");
    assert_eq!(enters(&other, "eve", WORD).await, "timeout");
}

#[test]
fn preset_of_yunohost_needs_nothing_but_its_name_on_that_host() {
    needs!(Need::Namespaces, Need::Program("slapd"), Need::Program("curl"));
    let cable = Cable::lay();
    let mut site = Site::laid_out(Plan { hub_place: Some(cable.a.clone()), ..Plan::default() });
    let folder = site.folder.path().to_owned();
    let own = certificate(&folder, "slapd");
    let serves = Serves { place: cable.a.clone(), scheme: "ldap", port: Some(389), open: true };
    let _slapd = Slapd::start(&folder, &own, serves);
    let account =
        "\n[[account.user]]\nname = \"eve\"\nrole = \"member\"\n\n[account.ldap]\npreset = \"yunohost\"\n";
    let text = fs::read_to_string(&site.hub.config).unwrap();
    site.hub.write_config(&(text + account));
    site.hub.start();
    let asks = |password: &str| {
        let mut command = cable.b.command("curl");
        command.args(["--silent", "--max-time", "30", "--user", &format!("{ACCOUNT}/eve:{password}")]);
        command.arg(format!("http://{}:{}/api/status", cable.a.address(), site.hub.http));
        let answer: serde_json::Value = serde_json::from_str(&output(command)).unwrap();
        answer["error"]["code"].as_str().unwrap_or("in").to_owned()
    };
    assert_eq!(asks(WORD), "in");
    assert_eq!(asks("another"), "not_authorised");
}

#[tokio::test]
async fn visitor_s_password_goes_to_no_server_that_it_did_not_name() {
    needs!(Need::Program("slapd"), Need::Program("curl"));
    let (site, mut slapd) = site(|_, own| own.0.clone());
    let comes = async |path: &str, user: &str| {
        let credential = json!({ "user": user, "password": WORD });
        match Terminal::program(&site, path, credential).await {
            Ok(mut program) => program.asks(json!({ "op": "whoami" })).await["ok"]["name"].clone(),
            Err(code) => code,
        }
    };
    let at = format!("/user/{ACCOUNT}");
    let named = format!("{ACCOUNT}/eve");
    assert_eq!(comes(&at, &named).await, "eve", "who names the account means its server");
    assert_eq!(comes("/", "eve").await, "eve", "there is one of that name");
    // Without the server the same are told to come back; who only gave a name is not asked about.
    slapd.process.kill();
    assert_eq!(comes(&at, &named).await, "timeout");
    for user in ["eve", "mallory", "nobody"] {
        assert_eq!(comes(&at, user).await, "not_authorised", "{user}");
    }
}

#[tokio::test]
async fn server_that_a_hub_does_not_know_is_shown_no_password() {
    needs!(Need::Program("slapd"), Need::Program("curl"));
    let (site, _slapd) = site(|folder, _| certificate(folder, "other").0);
    assert_eq!(enters(&site, "eve", WORD).await, "timeout");
    assert!(site.hub.printed().contains("a directory server cannot be asked"));
    assert_eq!(enters(&site, OWNER, PASSWORD).await, OWNER);
    assert_eq!(site.hub.metric("riser_ldap_asked", "failed"), Some(1.0));
}

#[tokio::test]
async fn server_that_is_gone_or_slow_keeps_nobody_else_waiting_and_is_asked_when_it_is_back() {
    needs!(Need::Program("slapd"), Need::Program("curl"));
    let (site, mut slapd) = site(|_, own| own.0.clone());
    assert_eq!(enters(&site, "eve", WORD).await, "eve");
    slapd.process.kill();
    assert_eq!(enters(&site, "eve", WORD).await, "timeout");
    slapd.again();
    assert_eq!(enters(&site, "eve", WORD).await, "eve", "over new connections");

    slapd.process.signal(Signal::STOP);
    let began = Instant::now();
    let (slow, quick) = tokio::join!(enters(&site, "eve", WORD), async {
        let name = enters(&site, OWNER, PASSWORD).await;
        (name, began.elapsed())
    });
    assert_eq!((slow.as_str(), quick.0.as_str()), ("timeout", OWNER));
    assert!(quick.1 < Duration::from_secs(3), "{:?}", quick.1);
    assert!(began.elapsed() < Duration::from_secs(15));
    slapd.process.signal(Signal::CONT);
    assert_eq!(enters(&site, "eve", WORD).await, "eve");
}

/// Members of the account who may nothing but what a group gives them, and what each group gives.
fn members() -> String {
    let users: String =
        MEMBERS.iter().map(|name| format!("\n[[account.user]]\nname = \"{name}\"\n")).collect();
    let given = ["night", "odd", "posix", "outer", "admins"];
    let grant = |group| format!("\n[[account.grant]]\nto = \"@{group}\"\nright = \"subscribe\"\n");
    users + &given.into_iter().map(grant).collect::<String>()
}

const GROUPS_AS: &str = "groups_as = [\"posix\", \"outer\", \"nowhere\", { group = \"NIGHT shift\", as = \"night\" }, \
                         { group = \"odd*(name), \u{c9}T\u{c9}\", as = \"odd\" }]\n";

#[tokio::test]
async fn groups_of_the_tree_give_what_is_granted_to_them_here_and_what_is_not_named_gives_nothing() {
    needs!(Need::Program("slapd"), Need::Program("curl"));
    let (site, mut slapd) = site_with(|_, own| own.0.clone(), &members(), GROUPS_AS);
    for (user, why) in [("nina", "member"), ("oda", "uniqueMember, an odd name"), ("pia", "memberUid")] {
        assert_eq!(enters(&site, user, WORD).await, user, "{why}");
    }
    for (user, why) in [
        ("carla", "a group that is granted something here, and is not named for the tree"),
        ("ines", "a group in a group"),
        ("zoe", "in no group"),
    ] {
        assert_eq!(enters(&site, user, WORD).await, "denied", "{user}: {why}");
        assert_eq!(enters(&site, user, "another").await, "not_authorised", "{user}");
    }
    assert_eq!(enters(&site, "nina", "another").await, "not_authorised");
    let reads = |user: &str| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--user", &format!("{user}:{WORD}"), "--output", "-"]);
        command.arg(format!("http://127.0.0.1:{}/api/rooms/hall/presence", site.hub.http));
        !output(command).contains("\"error\"")
    };
    assert!(reads("nina") && !reads("zoe"), "by a request too");

    slapd.process.kill();
    let gone = slapd.folder.join("gone.ldif");
    let text = "dn: cn=Night  Shift,ou=groups,dc=yunohost,dc=org\nchangetype: modify\nreplace: member\n\
                member: uid=zoe,ou=users,dc=yunohost,dc=org\n";
    fs::write(&gone, text).unwrap();
    let mut command = Command::new(find("slapmodify").expect("it comes with slapd"));
    command.arg("-f").arg(slapd.folder.join("slapd.conf")).arg("-l").arg(&gone);
    output(command);
    slapd.again();
    assert_eq!(enters(&site, "nina", WORD).await, "denied", "who is in it no more");
    assert_eq!(enters(&site, "zoe", WORD).await, "zoe");
}

#[tokio::test]
async fn who_is_in_a_group_of_the_tree_that_is_in_another_one_is_in_that_too_where_that_is_said() {
    needs!(Need::Program("slapd"), Need::Program("curl"));
    let groups = format!("{GROUPS_AS}nested = true\ngroups = [\"outer\", \"Night Shift\"]\n");
    let (site, _slapd) = site_with(|_, own| own.0.clone(), &members(), &groups);
    assert_eq!(enters(&site, "ines", WORD).await, "ines", "though the groups are in each other");
    assert_eq!(enters(&site, "nina", WORD).await, "nina");
    assert_eq!(enters(&site, "pia", WORD).await, "not_authorised", "in none of those who may come");
}
