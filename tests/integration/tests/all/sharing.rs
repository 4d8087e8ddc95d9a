//! Workers that share a subscription, as mosquitto's client does it: each job is one worker's, and none is nobody's.

use crate::needs::{Need, needs};
use crate::program::{EVENTUALLY, Program, SOON, output};
use crate::sensors::mosquitto_login;
use crate::site::{OWNER, Site};
use std::collections::BTreeMap;

const FILTER: &str = "$share/workers/hall/jobs";

#[test]
fn each_job_is_one_workers_and_a_worker_that_comes_back_finds_what_nobody_did() {
    needs!(Need::Program("mosquitto_pub"), Need::Program("mosquitto_sub"), Need::Program("curl"));
    let mut site = Site::start();
    let mut workers = [
        worker(&site, "clean-1", &["-V", "mqttv5"]),
        worker(&site, "clean-2", &[]),
        worker(&site, "keeper", &["-c", "-i", "keeper"]),
    ];
    publish(&site, 1..=60);
    let mut all = BTreeMap::new();
    workers[0].wait_until("the workers have every job", EVENTUALLY, || false_until(&site, &mut all, 60));
    assert!(all.values().all(|times| *times == 1), "{all:?}");
    let shares = ["clean-1", "clean-2", "keeper"].map(|name| done(&site, name).len());
    assert!(shares.iter().all(|share| *share > 5), "each has a part: {shares:?}");

    workers.iter_mut().for_each(Program::kill);
    publish(&site, 61..=80);
    site.hub.kill();
    site.hub.start();
    publish(&site, 81..=100);
    let mut back = worker(&site, "keeper", &["-c", "-i", "keeper"]);
    back.wait_until("the one that comes back has the rest", EVENTUALLY, || {
        let found = done(&site, "keeper");
        (61..=100).all(|job| found.contains(&job))
    });
}

/// Whether so many jobs are done; how often each was.
fn false_until(site: &Site, all: &mut BTreeMap<u32, u32>, jobs: usize) -> bool {
    all.clear();
    for name in ["clean-1", "clean-2", "keeper"] {
        for job in done(site, name) {
            *all.entry(job).or_default() += 1;
        }
    }
    all.len() == jobs
}

fn worker(site: &Site, name: &str, options: &[&str]) -> Program {
    // To a file it would print in blocks.
    let mut subscriber = site.hub.place.command("stdbuf");
    subscriber.args(["-oL", "mosquitto_sub"]).args(mosquitto_login(site.hub.mqtt, OWNER));
    subscriber.args(options).args(["-q", "1", "-d", "-F", "job %p", "-t", FILTER]);
    let mut worker = Program::start(name, subscriber, site.folder.path());
    worker.wait_printed("received SUBACK", SOON);
    worker
}

/// The jobs that a worker has printed.
fn done(site: &Site, name: &str) -> Vec<u32> {
    let printed = std::fs::read_to_string(site.folder.path().join(format!("{name}.log"))).unwrap_or_default();
    printed.lines().filter_map(|line| line.strip_prefix("job ")?.parse().ok()).collect()
}

fn publish(site: &Site, jobs: std::ops::RangeInclusive<u32>) {
    let mut publish = site.hub.place.command("sh");
    let login = mosquitto_login(site.hub.mqtt, OWNER).map(|word| format!("'{word}'")).join(" ");
    let (from, to) = jobs.into_inner();
    publish.args(["-c", &format!("seq {from} {to} | mosquitto_pub {login} -q 1 -t hall/jobs -l")]);
    output(publish);
}
