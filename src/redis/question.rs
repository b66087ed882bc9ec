//! What is asked of Redis: a command, or a script over one key.

use redis::{Arg, Cmd, ToRedisArgs, cmd};

/// A script that Redis runs in one step. A server that has seen it once is asked by its digest from then on.
#[derive(Debug)]
pub struct Script {
    text: &'static str,
    digest: String,
}

/// One question. Its key, by which its server is found in a Cluster, is the first argument of its command or that of its script.
#[derive(Clone)]
pub struct Question {
    command: Cmd,
    /// The text of the script that it names by its digest.
    script: Option<&'static str>,
}

impl Script {
    /// Of this text, which names no key but `KEYS[1]`.
    pub fn new(text: &'static str) -> Self {
        Self { text, digest: redis::Script::new(text).get_hash().to_owned() }
    }

    /// To run it over this key, with the arguments that are added.
    pub fn on(&self, key: &str) -> Question {
        let mut command = cmd("EVALSHA");
        command.arg(&self.digest).arg(1).arg(key);
        Question { command, script: Some(self.text) }
    }
}

impl Question {
    /// With a further argument, or several.
    pub fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.command.arg(argument);
        self
    }

    pub(super) fn command(&self) -> &Cmd {
        &self.command
    }

    /// The same with the whole script, for a server that does not know it.
    pub(super) fn in_full(&self) -> Option<Cmd> {
        let mut command = cmd("EVAL");
        command.arg(self.script?);
        for argument in self.command.args_iter().skip(2) {
            if let Arg::Simple(argument) = argument {
                command.arg(argument);
            }
        }
        Some(command)
    }
}

impl From<Cmd> for Question {
    fn from(command: Cmd) -> Self {
        Self { command, script: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_in_full_has_the_same_key_and_arguments() {
        let question = Script::new("return ARGV[2]").on("curia:key").arg(7).arg("two words");
        let packed = |command: &Cmd| String::from_utf8(command.get_packed_command()).unwrap();
        let expected =
            "*6\r\n$4\r\nEVAL\r\n$14\r\nreturn ARGV[2]\r\n$1\r\n1\r\n$9\r\ncuria:key\r\n$1\r\n7\r\n$9\r\ntwo words\r\n";
        assert_eq!(question.in_full().as_ref().map(packed).as_deref(), Some(expected));
        assert!(Question::from(cmd("PING")).in_full().is_none());
    }
}
