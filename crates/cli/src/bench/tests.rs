//! Whole runs against the floor server, which answers every request and keeps nothing.

use super::args::BenchArgs;
use super::measure;
use super::report::Report;
use clap::Parser;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::AtomicBool;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: BenchArgs,
}

/// A floor server for as long as this process runs.
fn floor(data_bytes: usize) -> SocketAddr {
    // Below the range the system gives to outgoing connections, one of which might otherwise take
    // the port.
    let listener = (21_000 + std::process::id() as u16 % 5_000..32_768)
        .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
        .expect("a free port");
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || floor::epoll::serve(listener, 1, data_bytes, None));
    address
}

fn args(line: &str) -> BenchArgs {
    Line::try_parse_from(["bench"].into_iter().chain(line.split_whitespace())).unwrap().args
}

fn bench(line: &str) -> Report {
    measure(&args(line), &AtomicBool::new(false))
        .unwrap_or_else(|error| panic!("{line}: {}", super::chain(&error)))
}

fn figure(report: &Report, side: usize, key: &str) -> f64 {
    report.json()["sides"][side]["summary"][key]["median"].as_f64().unwrap_or_else(|| panic!("no {key}"))
}

#[test]
fn every_workload_of_single_requests_runs_without_errors() {
    let server = floor(100);
    for workload in [
        "get",
        "exists",
        "list",
        "set",
        "create",
        "lock",
        "multi",
        "mix:get=5,set=3,lock=1,create=1",
        "churn",
    ] {
        let report = bench(&format!(
            "{workload} -s {server} --connections 4 --depth 3 --seconds 0.2 --warmup 0.05 --paths 10 --children 3"
        ));
        assert!(!report.has_errors(), "{workload}\n{}", report.table());
        assert!(figure(&report, 0, "operations_per_second") > 10.0, "{workload}\n{}", report.table());
        assert!(figure(&report, 0, "latency_max_us") >= figure(&report, 0, "latency_p50_us"), "{workload}");
    }
}

#[test]
fn deletes_end_with_the_stock_and_count_all_of_it() {
    let server = floor(100);
    let report =
        bench(&format!("delete -s {server} --connections 3 --depth 2 --stock 1000 --seconds 20 --threads 2"));
    assert!(!report.has_errors());
    // A thousand deletes take nowhere near the twenty seconds: the rate has to be that of the time
    // they took, and not the fifty a second of the time they were given.
    assert!(figure(&report, 0, "operations_per_second") > 60.0, "{}", report.table());
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let server = floor(100);
    let report =
        bench(&format!("get -s {server} --connections 4 --rate 500 --seconds 1 --warmup 0.1 --threads 2"));
    assert!(!report.has_errors());
    let rate = figure(&report, 0, "operations_per_second");
    // A closed loop would do tens of thousands; a busy machine may fall behind.
    assert!((250.0..=505.0).contains(&rate), "{rate}");
}

#[test]
fn two_servers_take_turns_and_are_compared() {
    // Which of the two is faster depends on the machine; only the ratios are checked.
    let (first, second) = (floor(100), floor(100_000));
    let pid = std::process::id();
    let report = bench(&format!(
        "get -s {first} --server-pid {pid} --against {second} --against-pid {pid} --rounds 3 --connections 2 \
         --seconds 0.2 --warmup 0.05 --paths 10"
    ));
    assert!(!report.has_errors());
    let json = report.json();
    let rates = [first, second].map(|server| {
        let side = json["sides"].as_array().unwrap().iter().find(|side| side["label"] == server.to_string());
        let rounds = side.expect("a side for each server")["rounds"].as_array().unwrap();
        rounds.iter().map(|round| round["operations_per_second"].as_f64().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(rates.each_ref().map(Vec::len), [3, 3]);
    let mut ratios: Vec<_> = rates[0].iter().zip(&rates[1]).map(|(first, second)| first / second).collect();
    ratios.sort_by(f64::total_cmp);
    let reported = &json["ratio"]["operations_per_second"];
    assert_eq!(["min", "median", "max"].map(|key| reported[key].as_f64().unwrap()).as_slice(), ratios);
    assert!(figure(&report, 0, "server_resident_bytes") > 1e6);
}

#[test]
fn a_server_that_vanishes_is_counted_as_errors() {
    // It opens the sessions and answers the preparations, and then closes the connections that are
    // measured.
    let server = floor(100);
    let proxy = TcpListener::bind(("127.0.0.1", server.port() + 1_000)).unwrap();
    let address = proxy.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, client) in proxy.incoming().map_while(Result::ok).enumerate() {
            let upstream = std::net::TcpStream::connect(server).unwrap();
            for (mut from, mut to) in
                [(client.try_clone(), upstream.try_clone()), (upstream.try_clone(), client.try_clone())]
                    .map(|(from, to)| (from.unwrap(), to.unwrap()))
            {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
            // One session creates the parents, sixteen the znodes, and the next two are measured.
            if (17..19).contains(&number) {
                std::thread::spawn(move || {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                    let _ = client.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    let report =
        bench(&format!("get -s {address} --connections 2 --depth 5 --seconds 1 --warmup 0 --paths 10"));
    let errors = &report.json()["sides"][0]["errors"];
    assert!(errors["-4"].as_u64().unwrap() >= 2, "{errors}");
    assert!(report.table().contains("ConnectionLoss"));
}

#[test]
fn options_that_make_no_sense_are_refused_by_name() {
    for (line, text) in [
        ("get --seconds 0", "--seconds"),
        ("get --seconds nan", "--seconds"),
        ("get --warmup -1", "--warmup"),
        ("get --rate 0", "--rate"),
        ("get --data-bytes 2000000", "--data-bytes"),
        ("get --start-command true", "--start-command"),
    ] {
        let line = line.replace(" -1", "=-1");
        let error = args(&line).check().unwrap_err();
        assert!(error.contains(text), "{line}: {error}");
    }
    for line in
        ["nonsense", "start", "get --name-bytes 8", "get --during true --against a:1", "get --against-pid 1"]
    {
        let parsed = Line::try_parse_from(["bench"].into_iter().chain(line.split_whitespace()));
        assert!(parsed.is_err(), "{line}");
    }
}
