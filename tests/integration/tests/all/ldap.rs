//! People whose passwords a directory server knows: Debian's slapd, over StartTLS, and when it is not what it should be.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::needs::{Need, find, needs};
use crate::program::{Program, SOON, free_port, output};
use crate::sign_in::enters_with;
use crate::site::{OWNER, PASSWORD, Plan, Site};
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

fn person(name: &str) -> String {
    format!(
        "\ndn: uid={name},ou=users,dc=yunohost,dc=org\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
         userPassword: {WORD}\n"
    )
}

struct Slapd {
    folder: PathBuf,
    port: u16,
    process: Program,
}

impl Slapd {
    fn start(folder: &Path, own: &(PathBuf, PathBuf)) -> Self {
        let (port, data) = (free_port(), folder.join("tree"));
        fs::create_dir_all(&data).unwrap();
        let schemas = ["core", "cosine", "nis", "inetorgperson"];
        let includes: String =
            schemas.iter().map(|name| format!("include /etc/ldap/schema/{name}.schema\n")).collect();
        let (cert, key) = own;
        let config = format!(
            "{includes}modulepath /usr/lib/ldap\nmoduleload back_mdb\nTLSCertificateFile {}\nTLSCertificateKeyFile {}\n\
             security simple_bind=128\ndatabase mdb\nsuffix \"dc=yunohost,dc=org\"\ndirectory {}\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by dn.exact=\"cn=looker,dc=yunohost,dc=org\" read by * auth\n",
            cert.display(),
            key.display(),
            data.display(),
        );
        fs::write(folder.join("slapd.conf"), config).unwrap();
        let tree = format!("{TREE}{}{}{}", person("eve"), person("mallory"), person("stranger"));
        fs::write(folder.join("tree.ldif"), tree).unwrap();
        let mut command = Command::new(find("slapadd").expect("it comes with slapd"));
        output({
            command.arg("-f").arg(folder.join("slapd.conf")).arg("-l").arg(folder.join("tree.ldif"));
            command
        });
        let process = Self::launch(folder, port);
        Self { folder: folder.to_owned(), port, process }
    }

    fn launch(folder: &Path, port: u16) -> Program {
        let mut command = Command::new(find("slapd").expect("it is there"));
        command.arg("-f").arg(folder.join("slapd.conf"));
        command.args(["-h", &format!("ldap://127.0.0.1:{port}/"), "-d", "0"]);
        let mut process = Program::start("slapd", command, folder);
        process.wait_until("listens", SOON, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        process
    }

    fn again(&mut self) {
        self.process = Self::launch(&self.folder, self.port);
    }
}

/// A hub whose people are in the tree, and the server of that. `believes` is whom it takes for the server.
fn site(believes: impl FnOnce(&Path, &(PathBuf, PathBuf)) -> PathBuf) -> (Site, Slapd) {
    let mut site = Site::laid_out(Plan::default());
    let folder = site.folder.path();
    let own = certificate(folder, "slapd");
    let slapd = Slapd::start(folder, &own);
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

[account.ldap]
preset = "yunohost"
url = "ldap://127.0.0.1:{}"
start_tls = true
ca = {ca:?}
filter = "(objectClass=inetOrgPerson)"
bind = "cn=looker,dc=yunohost,dc=org"
bind_password_file = {looks:?}
groups = ["building", "cellar"]
"#,
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
