fn main() {
    let a: Vec<String> = std::env::args().collect();
    let n = a[1].parse().unwrap();
    let p = if a.get(2).map(|s| s == "tcp").unwrap_or(false) {
        hitless::types::Protocol::Tcp
    } else {
        hitless::types::Protocol::Udp
    };
    let f = a.get(3).and_then(|s| s.parse().ok()).unwrap_or(4);
    let b = a.get(4).and_then(|s| s.parse().ok()).unwrap_or(3);
    println!(
        "{:#?}",
        hitless::bench::forward(&hitless::bench::Forward {
            flows: n,
            size: 64,
            protocol: p,
            family: f,
            seconds: 3.0,
            services: 1,
            backends: b
        })
    );
}
