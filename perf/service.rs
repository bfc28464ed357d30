//! What the service layer costs: finding a service, picking a backend, building rings and tables.
//!
//! `cargo bench --no-default-features --bench service`

use criterion::{BatchSize, BenchmarkId, Criterion};
use hitless::{
    service::{Backend, BuildError, Change, Client, SchedulerKind, ServiceSpec, ServiceTable, TableBuilder},
    types::{BackendId, Duration, InstanceId, Protocol, ServiceId},
};
use std::{hint::black_box, net::IpAddr};

fn address(n: u32) -> IpAddr {
    (0x0a00_0000 + n).to_be_bytes().into()
}

/// A service on an address of its own, with backends nobody else has.
fn service(id: u32, scheduler: SchedulerKind, backends: u32) -> ServiceSpec {
    let backend = |n| Backend {
        id: BackendId(id * backends + n),
        address: address(0x40_0000 + id * backends + n),
        port: Some(8080),
        weight: 1,
        available: true,
    };
    ServiceSpec {
        id: ServiceId(id),
        name: format!("s{id}"),
        instance: InstanceId(0),
        vip: address(id),
        secondary_vips: Vec::new(),
        ports: 80..=80,
        protocol: Protocol::Tcp,
        scheduler,
        idle_timeout: Duration::from_secs(1800),

        resets_unknown: false,
        allowed_sources: Vec::new(),
        backends: (0..backends).map(backend).collect(),
    }
}

fn services(count: u32, scheduler: SchedulerKind, backends: u32) -> Vec<ServiceSpec> {
    (0..count).map(|id| service(id, scheduler, backends)).collect()
}

/// As many services on one address, port by port.
fn on_one_address(count: u32) -> Vec<ServiceSpec> {
    let mut specs = services(count, SchedulerKind::Maglev, 3);
    for (spec, port) in specs.iter_mut().zip(10_000..) {
        (spec.vip, spec.ports) = (address(0), port..=port);
    }
    specs
}

/// Steps through `0..count` in an order the prefetcher does not guess.
fn scattered(count: u32) -> impl FnMut() -> u32 {
    let mut state = 0u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((u64::from(state) * u64::from(count)) >> 32) as u32
    }
}

fn find(c: &mut Criterion) -> Result<(), BuildError> {
    let mut group = c.benchmark_group("find");
    for count in [1, 10_000] {
        let table = ServiceTable::build(services(count, SchedulerKind::Maglev, 3), [], None)?;
        let mut next = scattered(count);
        group.bench_function(BenchmarkId::new("addresses", count), |b| {
            b.iter(|| table.find(address(next()), Protocol::Tcp, 80).map(|service| service.id()));
        });
        let table = ServiceTable::build(on_one_address(count), [], None)?;
        let mut next = scattered(count);
        group.bench_function(BenchmarkId::new("ports of one address", count), |b| {
            b.iter(|| {
                let port = 10_000 + next() as u16;
                table.find(address(0), Protocol::Tcp, port).map(|service| service.id())
            });
        });
    }
    let table = ServiceTable::build(services(10_000, SchedulerKind::Maglev, 3), [], None)?;
    let mut next = scattered(20_000);
    group.bench_function("role", |b| b.iter(|| table.role(address(next()))));
    Ok(())
}

fn select(c: &mut Criterion) -> Result<(), BuildError> {
    let mut group = c.benchmark_group("select");
    for scheduler in SchedulerKind::ALL {
        for backends in [3, 100] {
            let table = ServiceTable::build(services(1, scheduler, backends), [], None)?;
            let mut next = scattered(1 << 24);
            group.bench_function(BenchmarkId::new(scheduler.name(), backends), |b| {
                b.iter(|| {
                    let n = next();
                    let client = Client { flow: u64::from(n) << 32, source: address(n) };
                    let service = table.find(address(0), Protocol::Tcp, 80)?;
                    service.select(&client, |id| id.0 & 3).map(|backend| backend.id)
                });
            });
        }
    }
    let table = ServiceTable::build(services(10_000, SchedulerKind::Maglev, 3), [], None)?;
    let mut next = scattered(10_000);
    group.bench_function("maglev, cold, of 10000 services", |b| {
        b.iter(|| {
            let n = next();
            let client = Client { flow: u64::from(n) << 40, source: address(n) };
            let service = table.find(address(n), Protocol::Tcp, 80)?;
            service.select(&client, |_| 0).map(|backend| backend.id)
        });
    });
    Ok(())
}

fn build(c: &mut Criterion) -> Result<(), BuildError> {
    let mut group = c.benchmark_group("build");
    group.sample_size(10);
    let all = [(1, 3), (1, 100), (1, 1_000), (10_000, 3), (10_000, 10)];
    for (count, backends) in all {
        let specs = services(count, SchedulerKind::Maglev, backends);
        let name = format!("{count} services of {backends}");
        group.bench_function(BenchmarkId::new("new", &name), |b| {
            b.iter_batched(
                || specs.clone(),
                |specs| ServiceTable::build(black_box(specs), [], None),
                BatchSize::PerIteration,
            );
        });
        let previous = ServiceTable::build(specs.clone(), [], None)?;
        let mut changed = specs;
        changed[0].backends[0].available = false;
        group.bench_function(BenchmarkId::new("one backend fails", &name), |b| {
            b.iter_batched(
                || changed.clone(),
                |specs| ServiceTable::build(black_box(specs), [], Some(&previous)),
                BatchSize::PerIteration,
            );
        });
        let mut builder = TableBuilder::new([])?;
        builder
            .apply(services(count, SchedulerKind::Maglev, backends).into_iter().map(Change::Put).collect())?;
        let mut available = true;
        group.bench_function(BenchmarkId::new("one backend fails, by steps", &name), |b| {
            b.iter(|| {
                let mut spec = service(0, SchedulerKind::Maglev, backends);
                available = !available;
                spec.backends[0].available = available;
                builder.apply(vec![Change::Put(spec)])
            });
        });
    }
    Ok(())
}

fn main() -> Result<(), BuildError> {
    let mut criterion = Criterion::default().configure_from_args();
    find(&mut criterion)?;
    select(&mut criterion)?;
    build(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
