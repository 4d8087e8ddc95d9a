//! The compatibility run: one script of steps, run by clients that others wrote, against mosquitto and against an
//! edge, and the table of what came of it.
//!
//! Each client is an agent: a process that holds one connection and does what it is told ([`agent`]). The steps
//! ([`steps`]) are written once, demand what the standards demand, and are the same for every client and broker. An
//! agent or a broker lives no longer than its step or its column.

pub mod agent;
pub mod broker;
pub mod rumqttc_agent;
pub mod steps;
pub mod table;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use agent::{Agent, Client};
use broker::{Broker, Kind};
use serde_json::{Value, json};
use steps::Step;

/// What came of one step by one client against one broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cell {
    /// What the standard demands.
    Ok,
    /// Something else.
    Differs(String),
    /// The client has no way to do it.
    NotOffered(String),
}

/// Why a step did not come to its end.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// The client has no way to do it.
    NotOffered(String),
    /// The broker said no: its code, or `closed` where it closed without one.
    Refused(String),
    /// Anything else that the standard does not allow.
    Differs(String),
}

/// What a step has at hand: a broker, and clients of one kind.
pub struct Bench<'a> {
    /// The broker. A step may end and start it.
    pub broker: &'a mut Broker,
    /// The client.
    pub client: Client,
    /// The program whose first argument makes it an edge or an agent.
    own: &'a Path,
}

impl Bench<'_> {
    /// What a client of that id is told when it shall connect as it should.
    pub fn options(&self, id: &str) -> Value {
        json!({
            "host": "127.0.0.1", "port": self.broker.ports.plain, "user": broker::USER,
            "password": broker::PASSWORD, "id": id, "version": self.client.version, "clean": true,
        })
    }

    /// The same with a session that stays for an hour.
    pub fn kept(&self, id: &str) -> Value {
        let mut options = self.options(id);
        options["clean"] = json!(false);
        options["expiry"] = json!(3600);
        options
    }

    /// A client that is not connected yet.
    pub fn agent(&self) -> Agent {
        Agent::start(self.client, self.own)
    }

    /// A client that is connected.
    ///
    /// # Errors
    ///
    /// Where it was not let in.
    pub fn connect(&self, options: &Value) -> Result<Agent, Trouble> {
        let mut agent = self.agent();
        agent.connect(options)?;
        Ok(agent)
    }

    /// A client that is connected as it should and has subscribed.
    ///
    /// # Errors
    ///
    /// Where either was refused.
    pub fn reader(&self, id: &str, filter: &str, qos: u8) -> Result<Agent, Trouble> {
        let mut agent = self.connect(&self.options(id))?;
        agent.subscribe(filter, qos)?;
        Ok(agent)
    }

    /// A client that is connected as it should.
    ///
    /// # Errors
    ///
    /// Where it was not let in.
    pub fn writer(&self) -> Result<Agent, Trouble> {
        self.connect(&self.options("writer"))
    }
}

/// What is run and with what.
pub struct Run {
    /// The program whose first argument makes it an edge or an agent.
    pub own: PathBuf,
    /// The clients.
    pub clients: Vec<Client>,
    /// The steps.
    pub steps: Vec<Step>,
    /// The brokers.
    pub brokers: Vec<Kind>,
    /// How many columns run at a time.
    pub at_once: usize,
}

/// All steps of one client against one broker, in the order of the script.
#[derive(Clone, Debug)]
pub struct Column {
    /// The client.
    pub client: Client,
    /// The broker.
    pub broker: Kind,
    /// One for each step.
    pub cells: Vec<Cell>,
}

impl Run {
    /// Runs all of it.
    pub fn go(&self) -> Vec<Column> {
        let of = |client: &Client| self.brokers.iter().map(|broker| (*client, *broker)).collect::<Vec<_>>();
        let asked: Mutex<Vec<_>> = Mutex::new(self.clients.iter().rev().flat_map(of).collect());
        let columns = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..self.at_once {
                scope.spawn(|| {
                    loop {
                        let next = asked.lock().expect("no column panics with the list").pop();
                        let Some((client, broker)) = next else { break };
                        let column = self.column(client, broker);
                        columns.lock().expect("no column panics with the list").push(column);
                    }
                });
            }
        });
        columns.into_inner().expect("every column ended")
    }

    fn column(&self, client: Client, kind: Kind) -> Column {
        let mut broker = Broker::start(kind, &self.own);
        let mut cell = |step: &Step| {
            if !step.is_for(client.version) {
                return Cell::NotOffered("this version of MQTT".to_owned());
            }
            let began = Instant::now();
            let cell = match step.run(&mut Bench { broker: &mut broker, client, own: &self.own }) {
                Ok(()) => Cell::Ok,
                Err(Trouble::NotOffered(what)) => Cell::NotOffered(what),
                Err(Trouble::Refused(code)) => Cell::Differs(format!("refused: {code}")),
                Err(Trouble::Differs(how)) => Cell::Differs(how),
            };
            // The broker is its own again for the next step, whatever this one left.
            broker.make_sure_it_runs();
            let took = began.elapsed().as_secs_f64();
            eprintln!("{} {} {:?} {took:.1} s: {cell:?}", kind.name(), client.shown(), step.name);
            cell
        };
        let cells = self.steps.iter().map(&mut cell).collect();
        Column { client, broker: kind, cells }
    }
}
