//! `config/loadbalancer`: services in LoxiLB's words.
//!
//! A rule is known by its address, ports and protocol; its name may be that of several. What it asks for and this
//! node does not do is refused, never ignored.

mod convert;
mod show;

use super::{
    Api,
    answer::{Answer, Problem, Refused, done},
    extract::{LoxiJson, Path},
};
use crate::{
    manage::{Put, Refusal, ServiceKey, Source, Transaction},
    types::Protocol,
};
use axum::{Json, extract::State, http::StatusCode};
use convert::{LoadBalancerRule, Operation, Wanted, join, part};
use show::LoadBalancers;
use std::{net::IpAddr, sync::Arc};

/// All rules.
#[utoipa::path(get, path = "/config/loadbalancer/all", tag = "loadbalancer",
    responses((status = 200, body = LoadBalancers), Refused))]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<LoadBalancers> {
    Json(LoadBalancers::of(&api.shared))
}

/// Create a rule, replace it, or attach or detach endpoints.
#[utoipa::path(post, path = "/config/loadbalancer", tag = "loadbalancer", request_body = LoadBalancerRule,
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    LoxiJson(rule): LoxiJson<LoadBalancerRule>,
) -> Answer {
    let operation = rule.operation()?;
    let instances = Arc::clone(&api.instances);
    let put =
        api.changes.make(move |transaction| carry_out(transaction, &rule, operation, &instances)).await?;
    match put {
        // The word that tells clients that all is as they want it.
        Put::Unchanged => {
            Err(Problem::new(StatusCode::CONFLICT, "lbrule-exists error: an identical rule is there"))
        }
        Put::Created | Put::Replaced => Ok(done()),
    }
}

fn carry_out(
    transaction: &mut Transaction<'_>,
    rule: &LoadBalancerRule,
    operation: Operation,
    instances: &[String],
) -> Result<Put, Refusal> {
    let key = rule.key()?;
    let known = transaction.registry.service(&key).cloned();
    let wanted = match (operation, known) {
        (Operation::Replace, _) | (Operation::Attach, None) => {
            let mut wanted = rule.wanted(instances, transaction.registry.default_instance())?;
            wanted.service.name = transaction.registry.free_name(&wanted.service.name, &key);
            wanted
        }
        (Operation::Attach, Some(known)) => {
            let mut wanted = Wanted { service: known.wanted.clone(), rule: known.rule.clone() };
            join(&mut wanted.service.backends, rule.backends()?);
            wanted
        }
        (Operation::Detach, Some(known)) => {
            let mut wanted = Wanted { service: known.wanted.clone(), rule: known.rule.clone() };
            part(&mut wanted.service.backends, &rule.backends()?);
            wanted
        }
        // The word that tells clients that all is as they want it.
        (Operation::Detach, None) => {
            return Err(Refusal::NotFound("lbrule not-exists error: nothing to detach from".into()));
        }
    };
    transaction.registry.put(wanted.service, wanted.rule, Source::Api, transaction.now)
}

/// Delete all rules that the API created.
#[utoipa::path(delete, path = "/config/loadbalancer/all", tag = "loadbalancer",
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn delete_all(State(api): State<Arc<Api>>) -> Answer {
    api.changes
        .make(|transaction| {
            let of_api = transaction.registry.services().filter(|entry| entry.source == Source::Api);
            let keys: Vec<ServiceKey> = of_api.map(|entry| entry.key()).collect();
            transaction.saved_mut().parked.clear();
            remove(transaction, keys)
        })
        .await?;
    Ok(done())
}

/// Delete the rules of a name.
#[utoipa::path(delete, path = "/config/loadbalancer/name/{lb_name}", tag = "loadbalancer",
    params(("lb_name" = String, Path, description = "The name they were created with")),
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn delete_by_name(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer {
    api.changes
        .make(move |transaction| {
            let named = transaction.registry.services().filter(|entry| entry.rule_name() == name);
            let keys: Vec<ServiceKey> = named.map(|entry| entry.key()).collect();
            remove(transaction, keys)
        })
        .await?;
    Ok(done())
}

fn remove(transaction: &mut Transaction<'_>, keys: Vec<ServiceKey>) -> Result<(), Refusal> {
    for key in keys {
        transaction.registry.remove(&key, Source::Api, transaction.now)?;
    }
    Ok(())
}

/// Where a rule listens, as paths name it.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Place {
    #[serde(default)]
    hosturl: Option<String>,
    ip_address: String,
    port: u16,
    #[serde(default)]
    portmax: u16,
    proto: String,
}

/// Delete a rule.
#[utoipa::path(delete, path = "/config/loadbalancer/externalipaddress/{ip_address}/port/{port}/protocol/{proto}",
    tag = "loadbalancer",
    params(("ip_address" = String, Path), ("port" = u16, Path), ("proto" = String, Path)),
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn delete_port(api: State<Arc<Api>>, place: Path<Place>) -> Answer {
    delete(api, place).await
}

/// Delete a rule of several ports; `portmax` 0 is a rule of one.
#[utoipa::path(delete,
    path = "/config/loadbalancer/externalipaddress/{ip_address}/port/{port}/portmax/{portmax}/protocol/{proto}",
    tag = "loadbalancer",
    params(("ip_address" = String, Path), ("port" = u16, Path), ("portmax" = u16, Path), ("proto" = String, Path)),
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn delete_ports(api: State<Arc<Api>>, place: Path<Place>) -> Answer {
    delete(api, place).await
}

/// Delete a rule of a host, which must be `any`: there are no others.
#[utoipa::path(delete,
    path = "/config/loadbalancer/hosturl/{hosturl}/externalipaddress/{ip_address}/port/{port}/protocol/{proto}",
    tag = "loadbalancer",
    params(("hosturl" = String, Path), ("ip_address" = String, Path), ("port" = u16, Path), ("proto" = String, Path)),
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn delete_host_port(api: State<Arc<Api>>, place: Path<Place>) -> Answer {
    delete(api, place).await
}

/// Delete a rule of several ports and a host, which must be `any`.
#[utoipa::path(delete,
    path = "/config/loadbalancer/hosturl/{hosturl}/externalipaddress/{ip_address}/port/{port}/portmax/{portmax}/protocol/{proto}",
    tag = "loadbalancer",
    params(("hosturl" = String, Path), ("ip_address" = String, Path), ("port" = u16, Path), ("portmax" = u16, Path),
        ("proto" = String, Path)),
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn delete_host_ports(api: State<Arc<Api>>, place: Path<Place>) -> Answer {
    delete(api, place).await
}

/// A rule that is not there is as good as deleted: controllers try a deletion again until it succeeds.
async fn delete(State(api): State<Arc<Api>>, Path(place): Path<Place>) -> Answer {
    let malformed = |text: String| Problem::new(StatusCode::BAD_REQUEST, text);
    let address = &place.ip_address;
    let vip: IpAddr =
        address.parse().map_err(|_| malformed(format!("malformed-ip error: {address} is no IP address")))?;
    let protocol = match place.proto.as_str() {
        // LoxiLB has rules for these; this node cannot have any.
        "icmp" | "none" => return Ok(done()),
        name => name.parse::<Protocol>().map_err(|()| {
            malformed(format!("malformed-proto error: {name} is no protocol: use tcp, udp or sctp"))
        })?,
    };
    if place.hosturl.is_some_and(|host| host != "any") {
        return Ok(done());
    }
    let last = if place.portmax == 0 { place.port } else { place.portmax };
    let key = ServiceKey { vip, protocol, first: place.port, last };
    api.changes
        .make(move |transaction| transaction.registry.remove(&key, Source::Api, transaction.now))
        .await?;
    Ok(done())
}
