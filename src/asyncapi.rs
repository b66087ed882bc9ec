//! The contract as an AsyncAPI 3.0 document: `docs/asyncapi.json` is this text, and a test fails when it is not.

use schemars::{
    SchemaGenerator,
    generate::{Contract, SchemaSettings},
};
use serde_json::{Map, Value, json};

use crate::contract::{
    self, EventSpec, ServerEvent,
    commands::{self, COMMANDS, CommandSpec},
};

/// Where the schemas of the contract's types stand in the document.
const SCHEMAS: &str = "/components/schemas";

const READ_ME: &str = "A Socket.IO 4 namespace under the path /socket.io/. The name of a message is the Socket.IO event, its payload the event's first \
    argument. A durable event, one that comes from a committed row, carries a second argument, `meta`, which stands here as the message's \
    headers. The reply of a command is what its acknowledgement callback is given; without a callback a refusal comes as the event `error`. \
    The token of the forum is sent as `auth.token` or as an `Authorization: Bearer` header; a refused connection is a `connect_error` whose \
    message is `<code>: <readable text>`. What a client does not know of a message it should pass over.";

/// The whole file, as `cargo run -- types --asyncapi` writes it.
pub fn contract() -> String {
    format!("{:#}\n", document())
}

fn document() -> Value {
    let schemas = schemas();
    let mut messages = Map::new();
    let mut operations = Map::new();
    let events: Vec<Value> = ServerEvent::TABLE.iter().map(|event| on_channel(&key("event", event.name))).collect();
    operations.insert("tell".into(), json!({"action": "send", "channel": channel(), "messages": events}));
    for event in ServerEvent::TABLE {
        messages.insert(key("event", event.name), event_message(event));
    }
    for command in COMMANDS {
        let (asked, answered) = (key("command", command.name), key("answer", command.name));
        let operation = json!({
            "action": "receive",
            "channel": channel(),
            "messages": [on_channel(&asked)],
            "reply": {"channel": channel(), "messages": [on_channel(&answered)]},
        });
        operations.insert(asked.clone(), operation);
        messages.insert(asked, json!({"name": command.name, "payload": schema(command.argument)}));
        messages.insert(answered, answer_message(command, &schemas));
    }
    let of_channel: Map<String, Value> =
        messages.keys().map(|key| (key.clone(), reference(&format!("/components/messages/{key}")))).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {"title": "curia-realtime", "version": "1", "description": READ_ME},
        "defaultContentType": "application/json",
        "channels": {"socket": {"address": "/", "messages": of_channel}},
        "operations": operations,
        "components": {
            "messages": messages,
            "messageTraits": {"durable": {"headers": schema("Meta")}},
            "schemas": schemas,
        },
    })
}

/// Every type of the contract, as it is written and as it is read.
fn schemas() -> Map<String, Value> {
    let generator = |contract| {
        let settings = SchemaSettings::draft07().with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
            settings.contract = contract;
        });
        SchemaGenerator::new(settings)
    };
    let (mut written, mut read) = (generator(Contract::Serialize), generator(Contract::Deserialize));
    contract::add_schemas(&mut written);
    commands::add_schemas(&mut read);
    let mut schemas = read.take_definitions(true);
    schemas.extend(written.take_definitions(true));
    schemas.insert(
        "Refusal".into(),
        json!({
            "description": "The acknowledgement of a command that is refused.",
            "type": "object",
            "properties": {"ok": {"const": false}, "error": schema("Failure")},
            "required": ["ok", "error"],
        }),
    );
    schemas
}

fn event_message(event: &EventSpec) -> Value {
    let mut message = json!({"name": event.name, "payload": schema(event.payload)});
    if event.durable {
        message["traits"] = json!([reference("/components/messageTraits/durable")]);
    }
    message
}

fn answer_message(command: &CommandSpec, schemas: &Map<String, Value>) -> Value {
    let mut granted = schemas.get(command.answer).cloned().unwrap_or_default();
    granted["properties"]["ok"] = json!({"const": true});
    match granted["required"].as_array_mut() {
        Some(required) => required.push("ok".into()),
        None => granted["required"] = json!(["ok"]),
    }
    json!({"name": format!("answer to {}", command.name), "payload": {"oneOf": [granted, schema("Refusal")]}})
}

/// A message's key: a colon may not stand in one.
fn key(direction: &str, name: &str) -> String {
    format!("{direction}.{}", name.replace(':', "."))
}

fn channel() -> Value {
    reference("/channels/socket")
}

fn on_channel(key: &str) -> Value {
    reference(&format!("/channels/socket/messages/{key}"))
}

fn schema(name: &str) -> Value {
    reference(&format!("{SCHEMAS}/{name}"))
}

fn reference(path: &str) -> Value {
    json!({"$ref": format!("#{path}")})
}

#[cfg(test)]
mod tests;
