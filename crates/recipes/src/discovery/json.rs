//! The description of an instance as JSON: that of Curator's `ServiceInstance`, with what Curator
//! has no field for in its payload.
//!
//! ```json
//! {"name":"web","id":"1","address":"10.0.0.7","port":8080,"sslPort":null,
//!  "payload":{"@class":"java.util.LinkedHashMap","weight":3,"zone":"north",
//!             "metadata":{"version":"7"},"health":"failing"},
//!  "registrationTimeUTC":1700000000000,"serviceType":"DYNAMIC","uriSpec":null,"enabled":false}
//! ```
//!
//! - Each member of the payload is left out when it says nothing: weight 1, no zone, no metadata,
//!   passing. A payload with nothing to say is `null`, which every Java program can read; others
//!   need `Map` or `Object` as the class of their payload.
//! - `enabled` is false also while the check fails, so Curator's own providers leave the instance
//!   out too.
//! - A payload of another class is not ours: of it only `metadata` counts, where its members are
//!   strings, as Spring Cloud has them.
//! - An instance with an `sslPort` only has that as its port.

use std::collections::BTreeMap;

use balance::Weight;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::instance::{Health, Instance};

/// What Java makes of our payload.
const CLASS: &str = "java.util.LinkedHashMap";

/// A znode that describes no instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The name of the znode.
    pub id: String,
    /// What is wrong with it.
    pub why: String,
}

/// In the order in which Curator writes its members.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    name: &'a str,
    id: &'a str,
    address: &'a str,
    port: u16,
    ssl_port: Option<u16>,
    payload: Option<Payload<'a>>,
    #[serde(rename = "registrationTimeUTC")]
    registered_ms: i64,
    service_type: &'static str,
    uri_spec: Option<&'static str>,
    enabled: bool,
}

#[derive(Serialize, PartialEq)]
struct Payload<'a> {
    #[serde(rename = "@class")]
    class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<&'static str>,
}

/// The JSON of an instance.
pub(super) fn write(instance: &Instance) -> Vec<u8> {
    let payload = Payload {
        class: CLASS,
        weight: Some(instance.weight.get()).filter(|weight| *weight != 1),
        zone: instance.zone.as_deref(),
        metadata: Some(&instance.metadata).filter(|metadata| !metadata.is_empty()),
        health: (instance.health == Health::Failing).then_some("failing"),
    };
    let nothing = Payload { class: CLASS, weight: None, zone: None, metadata: None, health: None };
    let written = Written {
        name: &instance.service,
        id: &instance.id,
        address: &instance.address,
        port: instance.port,
        ssl_port: instance.ssl_port,
        payload: Some(payload).filter(|payload| *payload != nothing),
        registered_ms: instance.registered_ms,
        service_type: "DYNAMIC",
        uri_spec: None,
        enabled: instance.is_available(),
    };
    serde_json::to_vec(&written).expect("texts and numbers are JSON")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    name: String,
    id: String,
    address: Option<String>,
    port: Option<u16>,
    ssl_port: Option<u16>,
    #[serde(default)]
    payload: Value,
    #[serde(default, rename = "registrationTimeUTC")]
    registered_ms: i64,
    /// Curator before CURATOR-275 does not write it.
    #[serde(default = "enabled")]
    enabled: bool,
}

fn enabled() -> bool {
    true
}

/// The instance that a znode describes. `service` and `id` are the names of its parent and of the
/// znode itself.
///
/// # Errors
/// What makes no sense in it.
pub(super) fn read(service: &str, id: &str, json: &[u8]) -> Result<Instance, Skipped> {
    parse(service, id, json).map_err(|why| Skipped { id: id.to_owned(), why })
}

fn parse(service: &str, id: &str, json: &[u8]) -> Result<Instance, String> {
    let read: Read = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if read.name != service || read.id != id {
        return Err(format!("it describes the instance {:?} of the service {:?}", read.id, read.name));
    }
    let mut instance = Instance {
        service: read.name,
        id: read.id,
        address: read.address.ok_or("it has no address")?,
        port: read.port.or(read.ssl_port).ok_or("it has no port")?,
        ssl_port: read.ssl_port,
        weight: Weight::ONE,
        zone: None,
        metadata: BTreeMap::new(),
        is_enabled: read.enabled,
        health: Health::Passing,
        registered_ms: read.registered_ms,
    };
    take_payload(&mut instance, &read.payload)?;
    instance.check().map_err(|error| error.to_string())?;
    Ok(instance)
}

fn take_payload(instance: &mut Instance, payload: &Value) -> Result<(), String> {
    let Value::Object(payload) = payload else { return Ok(()) };
    if let Some(Value::Object(metadata)) = payload.get("metadata") {
        let texts =
            metadata.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        instance.metadata = texts.filter(|(key, _)| !key.is_empty()).collect();
    }
    if payload.get("@class").is_some_and(|class| class != CLASS) {
        return Ok(());
    }
    if let Some(weight) = payload.get("weight") {
        let number = weight.as_u64().and_then(|weight| u32::try_from(weight).ok());
        let number = number.ok_or_else(|| format!("{weight} is not a weight"))?;
        instance.weight = Weight::new(number).map_err(|error| error.to_string())?;
    }
    match payload.get("zone") {
        None | Some(Value::Null) => {}
        Some(Value::String(zone)) => instance.zone = Some(zone.clone()),
        Some(other) => return Err(format!("{other} is not the name of a zone")),
    }
    match payload.get("health").map(|health| (health, health.as_str())) {
        None | Some((Value::Null, _) | (_, Some("passing"))) => {}
        Some((_, Some("failing"))) => instance.health = Health::Failing,
        Some((other, _)) => return Err(format!("the health {other} is neither \"passing\" nor \"failing\"")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Instance {
        let mut instance = Instance::new("web", "10.0.0.7", 8080);
        instance.id = "1".to_owned();
        instance.registered_ms = 1_700_000_000_000;
        instance
    }

    /// What Curator 5 writes for the same instance without a payload.
    const PLAIN: &str = r#"{"name":"web","id":"1","address":"10.0.0.7","port":8080,"sslPort":null,"payload":null,"registrationTimeUTC":1700000000000,"serviceType":"DYNAMIC","uriSpec":null,"enabled":true}"#;

    const FULL: &str = r#"{"name":"web","id":"1","address":"10.0.0.7","port":8080,"sslPort":8443,"payload":{"@class":"java.util.LinkedHashMap","weight":3,"zone":"north","metadata":{"version":"7"},"health":"failing"},"registrationTimeUTC":1700000000000,"serviceType":"DYNAMIC","uriSpec":null,"enabled":false}"#;

    #[test]
    fn the_json_is_curators() {
        assert_eq!(String::from_utf8(write(&instance())).unwrap(), PLAIN);
        assert_eq!(read("web", "1", PLAIN.as_bytes()), Ok(instance()));
        let mut full = instance();
        full.ssl_port = Some(8443);
        full.weight = Weight::new(3).unwrap();
        full.zone = Some("north".to_owned());
        full.metadata.insert("version".to_owned(), "7".to_owned());
        full.health = Health::Failing;
        assert_eq!(String::from_utf8(write(&full)).unwrap(), FULL);
        // A reader cannot tell whether it would be enabled if it passed.
        full.is_enabled = false;
        assert_eq!(read("web", "1", FULL.as_bytes()), Ok(full));
    }

    #[test]
    fn what_curator_and_spring_register_is_read() {
        // With a URI and a payload of the program's own, and without `enabled`, as old versions.
        let old = r#"{"name":"web","id":"1","address":"h","port":null,"sslPort":8443,"payload":"text","registrationTimeUTC":5,"serviceType":"PERMANENT","uriSpec":{"parts":[{"value":"scheme","variable":true}]}}"#;
        let read_old = read("web", "1", old.as_bytes()).unwrap();
        assert_eq!((read_old.port, read_old.is_enabled, read_old.weight), (8443, true, Weight::ONE));
        let spring = r#"{"name":"web","id":"1","address":"h","port":80,"sslPort":null,"payload":{"@class":"org.springframework.cloud.zookeeper.discovery.ZookeeperInstance","id":"x","name":"web","weight":"heavy","metadata":{"a":"b","n":7}},"registrationTimeUTC":5,"serviceType":"DYNAMIC","uriSpec":null}"#;
        let read_spring = read("web", "1", spring.as_bytes()).unwrap();
        assert_eq!(read_spring.metadata, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        assert_eq!((read_spring.weight, read_spring.zone), (Weight::ONE, None));
    }

    #[test]
    fn what_makes_no_sense_is_skipped_with_the_reason() {
        let with = |from: &str, to: &str| FULL.replacen(from, to, 1);
        for (json, reason) in [
            (String::new(), "EOF"),
            ("[]".to_owned(), "invalid length"),
            ("\u{0}".to_owned(), "expected value"),
            ("[".repeat(100_000), "invalid type"),
            (with("8080", "80800"), "80800"),
            (with("8080", "0"), "1 to 65535"),
            (with("\"10.0.0.7\"", "null"), "no address"),
            (with("\"10.0.0.7\"", "\"a b\""), "a host of"),
            (with("\"port\":8080,\"sslPort\":8443", "\"port\":null"), "no port"),
            (with("\"id\":\"1\"", "\"id\":\"2\""), "the instance \"2\""),
            (with("\"name\":\"web\"", "\"name\":\"db\""), "the service \"db\""),
            (with("\"weight\":3", "\"weight\":0"), "1 to 256"),
            (with("\"weight\":3", "\"weight\":-3.5"), "-3.5 is not a weight"),
            (with("\"zone\":\"north\"", "\"zone\":7"), "7 is not the name of a zone"),
            (with("\"zone\":\"north\"", "\"zone\":\"\""), "1 to 256 bytes"),
            (with("failing", "well"), "neither"),
        ] {
            let skipped = read("web", "1", json.as_bytes()).expect_err(reason);
            assert!(skipped.why.contains(reason), "{json:.200}: {}", skipped.why);
        }
    }
}
