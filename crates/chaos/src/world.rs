//! PostgreSQL, Redis and the nodes, with a proxy in every link, and what can be done to them.

use std::{path::PathBuf, time::Duration};

use curia_driver::Service;
use curia_scratch::{Options, Port, Postgres, Redis};
use tokio::{process::Command, task::block_in_place, time::sleep};
use tokio_postgres::{Client, NoTls};

use crate::{
    error::ChaosError,
    plan::{Fault, Link},
    proxy::Proxy,
};

const DATABASE: &str = "forum";
/// So long a node takes to send its clients away.
const DRAIN: &str = "1500ms";
const TABLES: &str = include_str!("../../../tests/fixtures/forum.sql");
const HISTORY: &str = include_str!("../sql/history.sql");
const CONTENT: &str = include_str!("../sql/content.sql");

struct Node {
    /// Its own also while it is down.
    port: Port,
    /// Behind the proxy.
    database: String,
    more: Vec<String>,
    service: Option<Service>,
    front: Proxy,
    to_postgres: Proxy,
    to_redis: Option<Proxy>,
}

/// Everything a run starts; gone with this value.
pub struct World {
    program: PathBuf,
    nodes: Vec<Node>,
    redis: Option<Redis>,
    postgres: Postgres,
}

impl World {
    /// Starts the servers, fills the forum, installs our schema, starts so many nodes of this program and waits until they are ready.
    pub async fn start(program: PathBuf, nodes: usize) -> Result<Self, ChaosError> {
        let settings = [("synchronous_commit", "on"), ("restart_after_crash", "on")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let postgres = block_in_place(|| Postgres::start(&Options { fsync: false, settings, port: None }))?;
        let takes = flags(&program).await?;
        let redis = if takes.contains("--redis-url") { Some(block_in_place(Redis::start)?) } else { None };
        let mut world = Self { program, nodes: Vec::new(), redis, postgres };
        block_in_place(|| world.fill())?;
        for _ in 0..nodes {
            world.add_node(&takes).await?;
        }
        for number in 0..nodes {
            world.start_node(number)?;
        }
        for node in &mut world.nodes {
            if let Some(service) = &mut node.service {
                service.until_ready().await?;
            }
        }
        Ok(world)
    }

    fn fill(&self) -> Result<(), ChaosError> {
        self.postgres.create_database(DATABASE)?;
        self.postgres.run_script(DATABASE, TABLES)?;
        self.postgres.run_script(DATABASE, HISTORY)?;
        self.postgres.run_script(DATABASE, CONTENT)?;
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
        let entries = std::fs::read_dir(folder).map_err(ChaosError::io("read the folder of migrations"))?;
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.to_string_lossy().ends_with(".up.sql"));
        files.sort();
        Ok(files.iter().try_for_each(|file| self.postgres.run_file(DATABASE, file))?)
    }

    async fn add_node(&mut self, takes: &str) -> Result<(), ChaosError> {
        let port = Port::free()?;
        let proxy = |port| async move { Proxy::before(port).await.map_err(ChaosError::io("open a proxy")) };
        let (front, to_postgres) = (proxy(port.number()).await?, proxy(self.postgres.port()).await?);
        let to_redis = match &self.redis {
            Some(redis) => Some(proxy(redis.port()).await?),
            None => None,
        };
        let mut more = ["--drain", DRAIN].map(str::to_owned).to_vec();
        if let Some(redis) = &to_redis {
            more.extend(["--redis-url".to_owned(), format!("redis://127.0.0.1:{}/", redis.port)]);
        }
        if to_redis.is_some() && takes.contains("--redis-prefix") {
            more.extend(["--redis-prefix".to_owned(), "chaos:".to_owned()]);
        }
        let database = format!("postgres://postgres@127.0.0.1:{}/{DATABASE}", to_postgres.port);
        self.nodes.push(Node { port, database, more, service: None, front, to_postgres, to_redis });
        Ok(())
    }

    fn start_node(&mut self, number: usize) -> Result<(), ChaosError> {
        let node = &mut self.nodes[number];
        let service = Service::start_to_kill(&self.program, &node.database, &node.port, &node.more)?;
        node.service = Some(service);
        Ok(())
    }

    /// Where clients find the nodes.
    pub fn fronts(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.front.port).collect()
    }

    /// The database itself, without a proxy.
    pub fn url(&self) -> String {
        self.postgres.url_for(DATABASE)
    }

    /// Fails when a node has ended that nobody killed.
    pub fn require_nodes(&mut self) -> Result<(), ChaosError> {
        let services = self.nodes.iter_mut().filter_map(|node| node.service.as_mut());
        services.into_iter().try_for_each(|service| Ok(service.require_alive()?))
    }

    /// From now on every link carries what it should.
    pub fn mend(&mut self) {
        for node in &mut self.nodes {
            [Some(&mut node.front), Some(&mut node.to_postgres), node.to_redis.as_mut()]
                .into_iter()
                .flatten()
                .for_each(Proxy::mend);
        }
    }

    /// Does it; what lasts for a while goes on by itself. Gives what was done.
    pub async fn suffer(&mut self, fault: Fault) -> Result<Fault, ChaosError> {
        self.require_nodes()?;
        match fault {
            Fault::KillNode { node, down } => self.kill(node, down).await?,
            Fault::KillTicking { down } => {
                let node = self.ticking().await.unwrap_or(0);
                self.kill(node, down).await?;
            }
            Fault::Drain { node, down } => {
                if let Some(service) = self.nodes[node].service.take() {
                    block_in_place(|| service.drain())?;
                }
                sleep(down).await;
                self.start_node(node)?;
            }
            Fault::RestartPostgres => block_in_place(|| self.postgres.restart_immediately())?,
            Fault::RestartRedis => {
                if let Some(redis) = &mut self.redis {
                    block_in_place(|| redis.restart())?;
                }
            }
            Fault::Cut { link, node } => self.link(link, node).cut(),
            Fault::Stall { link, node, lasting } => self.link(link, node).stall(lasting),
            Fault::Swallow { link, node } => self.link(link, node).swallow(),
            Fault::Delay { link, node, by, lasting } => self.link(link, node).delay(by, lasting),
        }
        Ok(fault)
    }

    async fn kill(&mut self, number: usize, down: Duration) -> Result<(), ChaosError> {
        if let Some(service) = self.nodes[number].service.take() {
            block_in_place(|| service.stop())?;
        }
        sleep(down).await;
        self.start_node(number)
    }

    fn link(&mut self, link: Link, node: usize) -> &mut Proxy {
        let node = &mut self.nodes[node];
        match link {
            Link::Front => &mut node.front,
            Link::Postgres => &mut node.to_postgres,
            Link::Redis => node.to_redis.as_mut().unwrap_or(&mut node.to_postgres),
        }
    }

    /// The node that makes the ticks, which the database knows by the port of its session.
    async fn ticking(&self) -> Option<usize> {
        let session = connect(&self.url()).await.ok()?;
        let row = session.query_opt(include_str!("../sql/ticking_port.sql"), &[]).await.ok()??;
        let port = row.get::<_, Option<i32>>(0).and_then(|port| u16::try_from(port).ok())?;
        self.nodes.iter().position(|node| node.to_postgres.connects_from(port))
    }
}

/// A session with the database.
pub async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // An error of the connection is told to whoever asks with the client.
    tokio::spawn(connection);
    Ok(client)
}

/// What `serve --help` names.
async fn flags(program: &PathBuf) -> Result<String, ChaosError> {
    let help = Command::new(program).args(["serve", "--help"]).output().await;
    let help = help.map_err(ChaosError::io("run `curia-realtime serve --help`"))?;
    Ok(String::from_utf8_lossy(&help.stdout).into_owned())
}
