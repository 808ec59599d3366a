//! Pushes, what the page says then, and what a restart finds.

use stdx::clock::TestClock;
use stdx::dir::MemDir;

use super::*;

struct Bench {
    dir: Arc<MemDir>,
    clock: Arc<TestClock>,
    receiver: PushReceiver,
}

const PATH: &str = "data/pushed-groups";

fn open(dir: &Arc<MemDir>, clock: &Arc<TestClock>) -> PushReceiver {
    let options = PushOptions { dir: dir.clone(), clock: clock.clone(), registry: Registry::new() };
    PushReceiver::open(options, Path::new(PATH)).unwrap()
}

fn labels(text: &str) -> GroupLabels {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect()
}

impl Bench {
    fn new() -> Self {
        let (dir, clock) = (Arc::new(MemDir::new()), Arc::new(TestClock::new()));
        clock.jump_wall_ms(5_000);
        dir.create_dir_all(Path::new("data")).unwrap();
        let receiver = open(&dir, &clock);
        Self { dir, clock, receiver }
    }

    fn push(&self, group: &str, body: &str, replaces: bool) -> Result<(), String> {
        let pushed = self.receiver.push(labels(group), body.as_bytes(), Format::Text004, replaces);
        pushed.map_err(|err| err.to_string())
    }

    /// The page without comments and times.
    fn page(&self) -> Vec<String> {
        let page = self.receiver.page();
        page.lines()
            .filter(|line| !line.starts_with('#') && !line.starts_with("push_"))
            .map(str::to_owned)
            .collect()
    }

    #[track_caller]
    fn check(&self, expected: &[&str]) {
        assert_eq!(self.page(), expected);
        // What a restart finds is the same.
        let again = open(&self.dir, &self.clock);
        assert_eq!(again.page(), self.receiver.page());
    }
}

#[test]
fn put_replaces_a_group_post_its_families_and_delete_removes_it() {
    let bench = Bench::new();
    bench.push("job=a", "# TYPE x counter\nx 1\ny{job=\"b\",l=\"m\"} 2\n", true).unwrap();
    let y = "y{job=\"a\",l=\"m\",instance=\"\"} 2";
    bench.check(&["x{job=\"a\",instance=\"\"} 1", y]);
    bench.push("job=a", "# TYPE x counter\nx{instance=\"i\"} 3\n", false).unwrap();
    bench.check(&["x{instance=\"i\",job=\"a\"} 3", y]);
    bench.push("job=a,z=w", "x 4\n", true).unwrap_err();
    bench.push("job=a", "z 5\n", true).unwrap();
    bench.check(&["z{job=\"a\",instance=\"\"} 5"]);
    bench.push("job=a", "", true).unwrap();
    bench.check(&[]);
    assert!(bench.receiver.page().contains("push_time_seconds{job=\"a\",instance=\"\"} 5\n"));
    bench.receiver.delete(labels("job=a")).unwrap();
    bench.receiver.delete(labels("job=unknown")).unwrap();
    bench.check(&[]);
    assert!(!bench.receiver.page().contains("push_time_seconds{job=\"a\",instance"));
}

#[test]
fn what_contradicts_itself_is_refused_and_noted() {
    let bench = Bench::new();
    bench.push("job=a", "# TYPE x gauge\nx 1\n", true).unwrap();
    for (group, body, expected) in [
        ("job=b", "# TYPE x counter\nx 1\n", "x is counter, and gauge in another group"),
        ("job=b", "x{a=\"1\"} 1\nx{a=\"1\"} 2\n", "is there twice"),
        ("job=b", "push_time_seconds 1\n", "is written by the server itself"),
        ("job=b", "x 1 5000\n", "pushed metrics must not have timestamps"),
        ("job=b", "x 1", "the body must end with a line end"),
        ("job=b", "x{\n", "line 1"),
    ] {
        let err = bench.push(group, body, true).unwrap_err();
        assert!(err.contains(expected), "{body:?}: {err}");
    }
    // Only what could be read is noted as the group's failure.
    assert!(bench.receiver.page().contains("push_failure_time_seconds{job=\"b\",instance=\"\"} 5\n"));
    bench.check(&["x{job=\"a\",instance=\"\"} 1"]);
}

#[test]
fn names_of_any_alphabet_are_kept() {
    let bench = Bench::new();
    let body = "# TYPE \"my.h\" histogram\n{\"my.h_bucket\",\"l.m\"=\"1\",le=\"+Inf\"} 2\n{\"my.h_count\",\"l.m\"=\"1\"} 2\n{\"my.x\"} 1\n";
    bench.push("job=a,my.job=\u{e5}", body, true).unwrap();
    bench.check(&[
        "{\"my.h_bucket\",job=\"a\",\"l.m\"=\"1\",le=\"+Inf\",\"my.job\"=\"\u{e5}\",instance=\"\"} 2",
        "{\"my.h_count\",job=\"a\",\"l.m\"=\"1\",\"my.job\"=\"\u{e5}\",instance=\"\"} 2",
        "{\"my.x\",job=\"a\",\"my.job\"=\"\u{e5}\",instance=\"\"} 1",
    ]);
}

#[test]
fn histograms_of_both_formats_keep_their_parts() {
    let bench = Bench::new();
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    bench.push("job=a,instance=i", body, true).unwrap();
    bench.check(&[
        "h_bucket{instance=\"i\",job=\"a\",le=\"1.0\"} 1",
        "h_bucket{instance=\"i\",job=\"a\",le=\"+Inf\"} 2",
        "h_sum{instance=\"i\",job=\"a\"} 3",
        "h_count{instance=\"i\",job=\"a\"} 2",
    ]);
    let recorded = include_bytes!("../../../wire/src/exposition/protobuf/client_golang.pb");
    bench.receiver.push(labels("job=b"), recorded, Format::Protobuf, true).unwrap();
    let n_classic = bench.page().len();
    assert!(n_classic > 4, "{n_classic}");
}

#[test]
fn native_histograms_are_kept_with_their_groups_labels() {
    let bench = Bench::new();
    let recorded = include_bytes!("../../../wire/src/exposition/protobuf/client_golang.pb");
    let push = |group: &str| bench.receiver.push(labels(group), recorded, Format::Protobuf, true);
    push("job=a,instance=i").unwrap();
    push("job=b").unwrap();
    let found = |receiver: &PushReceiver| {
        let groups = receiver.groups();
        let families = groups.iter().flat_map(|group| group.families.values());
        let mut all: Vec<String> = families
            .flat_map(natives_of)
            .map(|(labels, count, sum)| format!("{labels} {count} {sum}"))
            .collect();
        all.sort();
        all
    };
    let all = found(&bench.receiver);
    let of = |part: &str| all.iter().filter(|line| line.contains(part)).count();
    assert!(
        !all.is_empty() && of("job=\"a\"") == of("job=\"b\"") && of("instance=\"i\"") == of("job=\"a\""),
        "{all:#?}"
    );
    assert!(!bench.receiver.natives().is_empty());
    assert_eq!(found(&open(&bench.dir, &bench.clock)), all);
    // Taken back with the group, and refused as any other series that is there twice.
    let twice = [&recorded[..], &recorded[..]].concat();
    assert!(bench.receiver.push(labels("job=c"), &twice, Format::Protobuf, true).is_err());
    bench.receiver.delete(labels("job=a,instance=i")).unwrap();
    assert_eq!(found(&bench.receiver).len(), of("job=\"b\""));
}

#[test]
fn a_torn_end_is_dropped_and_another_file_is_left_alone() {
    let bench = Bench::new();
    bench.push("job=a", "x 1\n", true).unwrap();
    bench.push("job=b", "x 1\n", true).unwrap();
    let whole = bench.dir.read(Path::new(PATH)).unwrap();
    bench.dir.write_atomic(Path::new(PATH), &whole[..whole.len() - 3]).unwrap();
    let again = open(&bench.dir, &bench.clock);
    assert_eq!(again.groups().len(), 1);
    again.push(labels("job=c"), b"x 1\n", Format::Text004, true).unwrap();
    assert_eq!(open(&bench.dir, &bench.clock).groups().len(), 2);
    bench.dir.write_atomic(Path::new(PATH), b"something else").unwrap();
    let options =
        PushOptions { dir: bench.dir.clone(), clock: bench.clock.clone(), registry: Registry::new() };
    assert!(
        PushReceiver::open(options, Path::new(PATH))
            .unwrap_err()
            .to_string()
            .contains("no file of pushed groups")
    );
}

#[test]
fn a_long_file_is_written_anew() {
    let bench = Bench::new();
    let body = format!("x{{l=\"{}\"}} 1\n", "y".repeat(300_000));
    for _ in 0..20 {
        bench.push("job=a", &body, true).unwrap();
    }
    assert!(bench.dir.read(Path::new(PATH)).unwrap().len() < 2_000_000);
    bench.check(&[&format!("x{{job=\"a\",l=\"{}\",instance=\"\"}} 1", "y".repeat(300_000))]);
}
