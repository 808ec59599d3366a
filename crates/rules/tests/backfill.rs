//! A rule over stored history writes what it would have written live, step by step, and nothing twice.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::sync::Arc;

use common::{HOUR_MS, MINUTE_MS, World};
use model::{Labels, Matcher, TimeRange};
use rules::{
    BackfillRequest, BackfillState, BackfillStatus, Backfills, Env, Manager, NoSink, Options, ProgressFile,
    parse_file,
};
use stdx::MemDir;
use stdx::clock::TEST_EPOCH_MS;
use stdx::metrics::Registry;
use storage::{Appendable as _, MemStore, Queryable as _, SelectHints};

/// How long rules run live.
const LIVE_MS: i64 = 5 * HOUR_MS;

/// Everything that is stored, values by their bits.
fn content(store: &MemStore, matchers: &[Matcher]) -> Vec<(Labels, Vec<(i64, u64)>)> {
    let mut set = store.select(matchers, TimeRange::ALL, &SelectHints::default()).unwrap();
    let mut all = Vec::new();
    while let Some(series) = set.next().unwrap() {
        let values = series.values.iter().map(|value| value.to_bits());
        all.push((series.labels, series.timestamps.iter().copied().zip(values).collect()));
    }
    all
}

fn sources() -> Vec<Matcher> {
    promql::metric_selector("m{job=\"src\"}").unwrap()
}

/// A world whose series come and go while `rules` run.
fn live(rules: &str) -> World {
    let options = Options { query_offset_ms: 30_000, ..Options::default() };
    let mut world = World::with(rules, options, Arc::new(MemStore::new()), TEST_EPOCH_MS);
    let mut n = 0.0;
    while world.now_ms < TEST_EPOCH_MS + LIVE_MS {
        n += 1.0;
        let minute = (world.now_ms - TEST_EPOCH_MS) / MINUTE_MS;
        let mut series = vec![("m{job=\"src\",i=\"a\"}", n), ("m{job=\"src\",i=\"b\"}", n * n % 97.0)];
        if minute % 40 < 20 {
            series.push(("m{job=\"src\",i=\"c\"}", 0.1 + n));
        }
        world.run(MINUTE_MS, &series);
    }
    world
}

/// A manager without groups over the sources of `world` alone.
fn copy(world: &World) -> (Arc<MemStore>, Arc<Manager>) {
    let store = Arc::new(MemStore::new());
    for (labels, samples) in content(&world.store, &sources()) {
        let mut appender = store.appender(world.now_ms);
        for (t_ms, bits) in samples {
            appender.append(None, &labels, t_ms, f64::from_bits(bits)).unwrap();
        }
        appender.commit().unwrap();
    }
    let env = Env {
        queryable: store.clone(),
        appendable: store.clone(),
        sink: Arc::new(NoSink),
        clock: world.clock.clone(),
    };
    (store, Arc::new(Manager::new(env, &Registry::new())))
}

fn run(backfills: &Backfills, request: &BackfillRequest) -> BackfillStatus {
    let (prepared, _) = backfills.prepare(request).unwrap();
    backfills.run(prepared);
    backfills.status().unwrap()
}

#[test]
fn a_rule_backfilled_is_the_rule_evaluated_live() {
    let check = |rules: &str, is_failing: bool| {
        let text = format!("groups:\n- name: g\n{rules}");
        let world = live(&text);
        let (store, manager) = copy(&world);
        let options = Options { query_offset_ms: 30_000, ..Options::default() };
        world.clock.jump_wall_ms(world.now_ms);
        manager.reload(parse_file("test.yml", &text).unwrap(), options, world.now_ms);
        let request = BackfillRequest {
            // Live, the first evaluation is within the first interval.
            start_ms: TEST_EPOCH_MS - 30_000,
            end_ms: world.now_ms - 1 - if rules.contains("query_offset: 2m") { 120_000 } else { 30_000 },
            ..BackfillRequest::default()
        };
        let backfills = Backfills::new(manager, None);
        let status = run(&backfills, &request);
        assert_eq!(status.state, BackfillState::Done, "{status:?}");
        assert_eq!(status.n_failed > 0, is_failing, "{status:?}");
        assert_eq!((status.n_done, status.n_refused, status.n_here), (status.n_steps, 0, 0), "{status:?}");
        assert!(status.n_samples > 0, "{rules}");
        assert_eq!(content(&store, &[]), content(&world.store, &[]), "{rules}");
        let again = run(&backfills, &request);
        assert_eq!((again.n_samples, again.n_here), (0, status.n_samples), "{rules}");
        assert_eq!(content(&store, &[]), content(&world.store, &[]), "{rules}");
    };
    check("  rules: [{record: r, expr: sum(m)}]\n", false);
    check("  interval: 7s\n  rules: [{record: r, expr: 'rate(m[2m]) > 0.01', labels: {i: ''}}]\n", true);
    check("  interval: 3h\n  rules: [{record: r, expr: m}]\n", false);
    check("  rules: [{record: r, expr: m}, {record: s, expr: 'sum(rate(r[5m]))'}]\n", false);
    check("  rules: [{record: s, expr: 'sum(rate(r[5m]))'}, {record: r, expr: m}]\n", false);
    check("  rules: [{record: n, expr: 'n + 1 or vector(0)'}]\n", false);
    check("  limit: 2\n  rules: [{record: r, expr: m}]\n", true);
    check("  rules: [{record: r, expr: 'm{i=~\"a|c\"}', labels: {i: x}}]\n", true);
    check("  rules: [{record: r, expr: 'sum(m @ end())'}, {record: t, expr: time()}]\n", false);
    check("  query_offset: 2m\n  rules: [{record: r, expr: 'count(m)'}]\n", false);
    check("  rules: [{record: x, expr: y}]\n- name: h\n  rules: [{record: y, expr: sum(m)}]\n", false);
    check(
        "  rules: [{record: x, expr: y}]\n- name: h\n  interval: 30s\n  rules: [{record: y, expr: 'x + 1 or sum(m)'}]\n",
        false,
    );
}

#[test]
fn what_is_wanted_is_chosen_and_the_rest_is_refused_in_words() {
    let world = live("groups: []");
    let (_, manager) = copy(&world);
    let text = "groups:\n- name: g\n  rules: [{record: r, expr: m}, {alert: A, expr: m}]\n- name: h\n  rules: [{record: s, expr: m}]\n";
    manager.reload(parse_file("test.yml", text).unwrap(), Options::default(), world.now_ms);
    world.clock.jump_wall_ms(world.now_ms);
    let backfills = Backfills::new(manager, None);
    let all = BackfillRequest {
        start_ms: TEST_EPOCH_MS,
        end_ms: TEST_EPOCH_MS + HOUR_MS,
        ..BackfillRequest::default()
    };
    let of = |request: BackfillRequest| run(&backfills, &request);
    let named =
        |status: &BackfillStatus| status.rules.iter().map(|(_, rule)| rule.clone()).collect::<Vec<_>>();
    let status = of(BackfillRequest { groups: vec!["g".to_owned()], ..all.clone() });
    assert_eq!((named(&status), status.n_alerting, status.n_steps), (vec!["r".to_owned()], 1, 60));
    let status = of(BackfillRequest { records: vec!["s".to_owned()], ..all.clone() });
    assert_eq!((named(&status), status.n_steps), (vec!["s".to_owned()], 60));
    let text = "groups:\n- name: new\n  rules: [{record: q, expr: count(m)}]\n";
    let status =
        of(BackfillRequest { rules: Some(text.to_owned()), interval_ms: Some(30_000), ..all.clone() });
    assert_eq!((named(&status), status.n_steps, status.n_samples), (vec!["q".to_owned()], 120, 120));

    let refused = |request: BackfillRequest, words: &str| {
        let err = backfills.prepare(&request).unwrap_err();
        assert!(err.contains(words), "{err}");
    };
    refused(BackfillRequest { end_ms: i64::MAX, ..all.clone() }, "future");
    refused(BackfillRequest { start_ms: all.end_ms + 1, ..all.clone() }, "behind the end");
    refused(BackfillRequest { groups: vec!["no".to_owned()], ..all.clone() }, "no such recording rule");
    refused(BackfillRequest { rules: Some("groups: [{name: ''}]".to_owned()), ..all.clone() }, "1:");
    let (running, _) = backfills.prepare(&all).unwrap();
    refused(all, "is running");
    backfills.cancel();
    backfills.run(running);
    assert_eq!(backfills.status().unwrap().state, BackfillState::Cancelled);
}

#[test]
fn what_a_restart_cuts_off_goes_on_and_ends_as_if_nothing_had_been() {
    let text = "groups:\n- name: g\n  rules: [{record: r, expr: 'm{i=~\"a|c\"}'}, {record: s, expr: 'sum(rate(r[5m]))'}]\n";
    let world = live(text);
    let options = || Options { query_offset_ms: 30_000, ..Options::default() };
    world.clock.jump_wall_ms(world.now_ms);
    let (start_ms, end_ms) = (TEST_EPOCH_MS - 30_000, world.now_ms - 30_001);
    let request = BackfillRequest { start_ms, end_ms, ..BackfillRequest::default() };
    let file = || ProgressFile { dir: Arc::new(MemDir::new()), path: "rule-backfill".into() };
    // Killed when that much was done; without any, stopped before the first evaluation.
    for done_ms in [0, HOUR_MS, 3 * HOUR_MS, 4 * HOUR_MS + 7 * MINUTE_MS] {
        let (store, manager) = copy(&world);
        manager.reload(parse_file("test.yml", text).unwrap(), options(), world.now_ms);
        let file = file();
        let first = Backfills::new(manager.clone(), Some(file.clone()));
        if done_ms == 0 {
            let (prepared, _) = first.prepare(&request).unwrap();
            first.stop();
            first.run(prepared);
        } else {
            let part = BackfillRequest { end_ms: start_ms + done_ms, ..request.clone() };
            assert_eq!(run(&first, &part).state, BackfillState::Done);
            assert!(!file.dir.exists(&file.path), "nothing is left of one that ended");
            let reached_ms = part.end_ms / (2 * HOUR_MS) * (2 * HOUR_MS);
            let request = serde_json::to_value(&request).unwrap();
            let saved = serde_json::json!({ "version": 1, "request": request, "reached_ms": reached_ms });
            file.dir.write_atomic(&file.path, saved.to_string().as_bytes()).unwrap();
        }
        let second = Backfills::new(manager, Some(file.clone()));
        second.run(second.resume().expect("there is something left"));
        assert_eq!(second.status().unwrap().state, BackfillState::Done, "{done_ms}");
        assert_eq!(content(&store, &[]), content(&world.store, &[]), "{done_ms}");
        assert!(!file.dir.exists(&file.path) && second.resume().is_none());
    }
}
