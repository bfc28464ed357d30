//! Text that is not TOML: as much as can be told of it, and nothing that only follows from it.

use super::{NAT, PORT, config, expect};

#[test]
fn values_without_quotes() {
    expect(
        r#"
[node]
name = lb1
#! 8: node.name: is lb1, allowed is text in quotes ("lb1"), a whole number, true or false
[cores]
control = 0800
#! 11: cores.control: is 0800, allowed is text in quotes ("0800"), a whole number, true or false
workers = [two, 3, four]
#! 12: cores.workers[0]: is two, allowed is text in quotes ("two"), a whole number, true or false
#! 20: cores.workers[2]: is four, allowed is text in quotes ("four"), a whole number, true or false
management =
#! 13: cores.management: has no value, allowed is text in quotes, a number, true, false, an array or a table
idle = spin
#! 8: cores.idle: is spin, allowed is text in quotes ("spin"), a whole number, true or false
realtime = yes
#! 12: cores.realtime: is yes, allowed is text in quotes ("yes"), a whole number, true or false
[api]
listen = 127.0.0.1:11111
#! 10: api.listen: is 127.0.0.1:11111, allowed is text in quotes ("127.0.0.1:11111"), a whole number, true or false
[log]
level = "loud"
#! 9: log.level: is "loud", allowed is "error", "warn", "info", "debug" or "trace"
"#,
        &[PORT],
    );
}

#[test]
fn lines_that_are_nothing() {
    expect(
        r#"
[node]
name: "lb1"
#! 1: name: has no =, allowed is name = VALUE
[cores]
control 0
#! 1: control: has no =, allowed is control = VALUE
workers = [2, 3] management = [1]
#! 18: unexpected key or value, allowed is newline, `#`
idle = "spin
#! 8: cores.idle: is text without an end, allowed is " behind it
realtime = "yes"
#! 12: cores.realtime: is "yes", allowed is true or false
= 5
#! 1: unquoted keys cannot be empty, allowed is letters, numbers, `-`, `_`
@
#! 1: is no setting, allowed is KEY = VALUE, [TABLE] or [[TABLE]]
notify = "\q"
#! 12: cores.notify: missing escaped value, allowed is `b`, `e`, `f`, `n`, `r`, `\`, `"`, `x`, `u`, `U`
[log]
level = "info" "debug"
#! 16: unexpected key or value, allowed is newline, `#`
"#,
        &[PORT],
    );
}

#[test]
fn things_twice() {
    expect(
        r#"
[node]
name = "a"
name = "b"
#! 1: name: is written a second time in its table, allowed is once
[cores]
workers = [2]
[node]
#! 2: node: is written a second time, allowed is one table [node]
[[log]]
level = "info"
[log]
#! 2: log: is written a second time, allowed is one table [log]
[ha]
instance = "blue"
[[ha.instance]]
#! 6: ha.instance: is already given in another form, allowed is that or [[ha.instance]] tables, not both
name = "green"
"#,
        &[PORT],
    );
}

#[test]
fn what_is_not_closed_hides_what_follows() {
    expect(
        r#"
[node]
nome = "a"
#! 1: node.nome: unknown key, did you mean name?
[cores]
workers = [2, 3
management = [1]
#! 1: missing comma between array elements, allowed is `,`; is every [ and { above it closed?
idle = "spinn"
"#,
        &[PORT],
    );
    expect(
        r#"
[log
#! 5: unclosed table, allowed is `]`
level = "info"
"#,
        &[PORT],
    );
    expect(
        r#"
[[service]]
backends = [
  { address = "10.77.0.21", port = 80
]
#! 1: invalid inline table element, allowed is `,`; is every [ and { above it closed?
"#,
        &[PORT],
    );
    expect(
        r#"
[log]
level = """info
#! 9: log.level: is text without an end, allowed is """ behind it
"#,
        &[PORT],
    );
}

#[test]
fn a_comma_forgotten_in_a_backend() {
    expect(
        r#"
[[service]]
name = "web"
vip = "10.77.0.300"
#! 7: service[0].vip: is "10.77.0.300", allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
port = 80
backends = [
  { address = "10.77.0.21" port = 80 },
#! 28: missing comma between key-value pairs, allowed is `,`
  { address = "10.77.0.22", port = 0 },
#! 36: service[0].backends[1].port: is 0, allowed is a whole number from 1 to 65535
]
"#,
        &[PORT, NAT],
    );
}

#[test]
fn columns_count_characters_and_lines_may_end_as_windows_ends_them() {
    let said = |text: &str| {
        let machine = super::Machine::with_cores(8);
        super::Config::parse(text, "lb.toml", &machine).unwrap_err().to_string()
    };
    let text = format!("node = {{ \"nämé\" = 1 }} # ü\r\nlog = {{ \"ß\" = \"é\", level = 5 }}\r\n{PORT}");
    assert_eq!(
        said(&text),
        "lb.toml:1:10: node.\"nämé\": unknown key, did you mean name?\n\
         lb.toml:2:9: log.\"ß\": unknown key, allowed is level\n\
         lb.toml:2:28: log.level: is 5, allowed is \"error\", \"warn\", \"info\", \"debug\" or \"trace\""
    );
    let windows = format!("[log]\nlevel = 5\n{PORT}").replace('\n', "\r\n");
    assert_eq!(
        said(&windows),
        "lb.toml:2:9: log.level: is 5, allowed is \"error\", \"warn\", \"info\", \"debug\" or \"trace\""
    );
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line() {
    config(&format!("\u{feff}[log]\nlevel = \"warn\"\n{PORT}"));
    let text = "\u{feff}lag = 5\n".to_owned() + PORT;
    let machine = super::Machine::with_cores(8);
    let mistakes = super::Config::parse(&text, "lb.toml", &machine).unwrap_err();
    assert_eq!(mistakes.to_string(), "lb.toml:1:1: lag: unknown key, did you mean log?");
}

#[test]
fn one_mistake_is_one_line_whatever_is_quoted() {
    let text = format!("[node]\nname = \"\"\"a\nb\\u0007\"\"\"\n\"x\\ny\" = 1\n{PORT}");
    let machine = super::Machine::with_cores(8);
    let mistakes = super::Config::parse(&text, "lb.toml", &machine).unwrap_err().to_string();
    assert_eq!(mistakes.lines().count(), 2, "{mistakes}");
    assert!(mistakes.contains(r#"is "a\u000Ab\u0007", allowed is"#), "{mistakes}");
    let long = format!("[log]\nlevel = \"{}\"\n{PORT}", "ü".repeat(100_000));
    assert!(super::Config::parse(&long, "lb.toml", &machine).unwrap_err().to_string().len() < 300);
}
