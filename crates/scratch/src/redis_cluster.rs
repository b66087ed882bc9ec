use std::thread;
use std::time::{Duration, Instant};

use crate::{Redis, RedisOptions, ScratchError};

const SERVERS: u16 = 3;
const SLOTS: u16 = 16_384;
const JOINED_WITHIN: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(25);

/// A private Redis Cluster of three servers without replicas. They end with this value.
#[derive(Debug)]
pub struct RedisCluster {
    servers: Vec<Redis>,
    options: RedisOptions,
}

impl RedisCluster {
    /// Starts the servers, gives each a third of the slots, and waits until each knows of all.
    pub fn start(options: &RedisOptions) -> Result<Self, ScratchError> {
        let servers = (0..SERVERS).map(|_| Redis::launch(options, true)).collect::<Result<Vec<_>, _>>()?;
        for (number, server) in (0..SERVERS).zip(&servers) {
            let slots = (number * (SLOTS / SERVERS))..if number + 1 == SERVERS {
                SLOTS
            } else {
                (number + 1) * (SLOTS / SERVERS)
            };
            let slots: Vec<_> = slots.map(|slot| slot.to_string()).collect();
            server.ask(&format!("CLUSTER ADDSLOTS {}", slots.join(" ")))?;
            for other in &servers {
                server.ask(&format!("CLUSTER MEET 127.0.0.1 {}", other.port()))?;
            }
        }
        let cluster = Self { servers, options: options.clone() };
        cluster.wait()?;
        Ok(cluster)
    }

    /// The address by which the Cluster is found, with its password: all three.
    pub fn url(&self) -> String {
        let (scheme, login) = self.options.scheme_and_login(true);
        let servers: Vec<_> = self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
        format!("{scheme}://{login}{}", servers.join(","))
    }

    /// The servers that run.
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// Ends one of the servers, for good.
    pub fn lose(&mut self, number: usize) -> Result<(), ScratchError> {
        self.servers.remove(number).stop().map(drop)
    }

    fn wait(&self) -> Result<(), ScratchError> {
        let until = Instant::now() + JOINED_WITHIN;
        for server in &self.servers {
            loop {
                let said = server.ask("CLUSTER INFO")?;
                let knows = |words: &str| said.lines().any(|line| line.trim_end() == words);
                if knows("cluster_state:ok")
                    && knows(&format!("cluster_known_nodes:{SERVERS}"))
                    && knows(&format!("cluster_size:{SERVERS}"))
                {
                    break;
                }
                if Instant::now() > until {
                    return Err(ScratchError::Silent { server: "a Redis Cluster", after: JOINED_WITHIN, said });
                }
                thread::sleep(GLANCE);
            }
        }
        Ok(())
    }
}
