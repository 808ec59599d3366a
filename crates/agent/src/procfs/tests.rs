//! Parsers of the kernel's files, on texts as kernels write them.

use super::*;
use proptest::prelude::*;

fn error(line: usize, what: &'static str) -> FieldError {
    FieldError { line, what }
}

#[test]
fn stat_of_two_processors() {
    let text = "cpu  30 0 12 900 1 0 2 0 0 0\n\
                cpu0 10 1 5 400 1 0 2 3 4 5\n\
                cpu1 20 0 7 500\n\
                intr 105 0 9 0 0\nctxt 1200\nbtime 1795211514\nprocesses 77\n\
                procs_running 2\nprocs_blocked 1\nsoftirq 5 1 2\n";
    let expected = Stat {
        cpus: vec![
            ("0".to_owned(), [10, 1, 5, 400, 1, 0, 2, 3, 4, 5]),
            ("1".to_owned(), [20, 0, 7, 500, 0, 0, 0, 0, 0, 0]),
        ],
        interrupts: 105,
        context_switches: 1200,
        boot_time_secs: 1_795_211_514,
        forks: 77,
        procs_running: 2,
        procs_blocked: 1,
    };
    assert_eq!(stat(text), Ok(expected));
    assert_eq!(stat("cpu0 x\n"), Err(error(1, "ticks of a processor")));
    assert_eq!(stat("intr 1\nctxt -\n"), Err(error(2, "a number")));
}

#[test]
fn meminfo_in_bytes_and_counts() {
    let text = "MemTotal:       24684084 kB\nActive(anon):     1234 kB\nHugePages_Total:       3\n";
    let expected = vec![
        ("MemTotal_bytes".to_owned(), 24_684_084.0 * 1024.0),
        ("Active_anon_bytes".to_owned(), 1234.0 * 1024.0),
        ("HugePages_Total".to_owned(), 3.0),
    ];
    assert_eq!(meminfo(text), Ok(expected));
    assert_eq!(meminfo("MemTotal: 1 MB"), Err(error(1, "kB or the end of the line")));
    assert_eq!(meminfo("MemTotal:"), Err(error(1, "a number")));
}

#[test]
fn loads() {
    assert_eq!(loadavg("0.55 0.79 0.74 2/300 4242\n"), Ok([0.55, 0.79, 0.74]));
    assert_eq!(loadavg(""), Err(error(1, "a line")));
    assert_eq!(loadavg("0.1 0.2"), Err(error(1, "a load")));
}

#[test]
fn disks_of_old_and_new_kernels() {
    let text = "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n 254       0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n";
    let disks = diskstats(text).expect("valid");
    assert_eq!((disks[0].major, disks[0].minor, disks[0].device.as_str()), (8, 0, "sda"));
    assert_eq!((disks[0].fields.len(), disks[1].fields.len()), (11, 17));
    assert_eq!(diskstats("8 x sda"), Err(error(1, "a device's minor number")));
}

#[test]
fn mounts_with_blanks_in_their_names() {
    let text = "/dev/vda / ext4 rw,relatime 0 0\nnas:/a\\040b /mnt/two\\011tabs\\134 nfs4 ro,vers=4.2 0 0\n";
    let expected = vec![
        Mount {
            device: "/dev/vda".to_owned(),
            mount_point: "/".to_owned(),
            fs_type: "ext4".to_owned(),
            is_read_only: false,
        },
        Mount {
            device: "nas:/a b".to_owned(),
            mount_point: "/mnt/two\ttabs\\".to_owned(),
            fs_type: "nfs4".to_owned(),
            is_read_only: true,
        },
    ];
    assert_eq!(mounts(text), Ok(expected));
    assert_eq!(mounts("a b c"), Err(error(1, "options")));
    assert_eq!(octal_unescaped("\\9\\04\\"), "\\9\\04\\");
}

#[test]
fn interfaces() {
    let text = "Inter-|   Receive\n face |bytes\n    lo:14037679   11496 0 0 0 0 0 0 14037679 11496 0 0 0 0 0 0\n\
                eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
    let devices = net_dev(text).expect("valid");
    assert_eq!((devices[0].0.as_str(), devices[0].1[0]), ("lo", 14_037_679));
    assert_eq!((devices[1].0.as_str(), devices[1].1[15]), ("eth0:1", 16));
    assert_eq!(net_dev("a\nb\neth0: 1 2\n"), Err(error(3, "16 counters")));
}

#[test]
fn protocols() {
    let text = "Tcp: RtoMin MaxConn\nTcp: 200 -1\nUdp: InDatagrams\nUdp: 5\n";
    let expected = vec![
        ("Tcp_RtoMin".to_owned(), 200.0),
        ("Tcp_MaxConn".to_owned(), -1.0),
        ("Udp_InDatagrams".to_owned(), 5.0),
    ];
    assert_eq!(netstat(text), Ok(expected));
    assert!(netstat("Tcp: A B\nTcp: 1\n").is_err());
    assert!(netstat("Tcp: A\nUdp: 1\n").is_err());
    let expected = vec![("Ip6_InReceives".to_owned(), 7.0), ("UdpLite6_InErrors".to_owned(), 0.0)];
    assert_eq!(snmp6("Ip6InReceives  \t7\nUdpLite6InErrors 0\n"), Ok(expected));
}

#[test]
fn sockets_and_queues() {
    let text = "sockets: used 39\nTCP: inuse 12 orphan 0\n";
    let expected = vec![
        ("sockets".to_owned(), vec![("used".to_owned(), 39.0)]),
        ("TCP".to_owned(), vec![("inuse".to_owned(), 12.0), ("orphan".to_owned(), 0.0)]),
    ];
    assert_eq!(sockstat(text), Ok(expected));
    assert_eq!(sockstat("TCP: inuse"), Err(error(1, "a number")));
    let text = "  sl  local_address rem_address   st tx_queue rx_queue\n\
                1: 0100007F:0035 00000000:0000 07 00000010:00000020 00:00000000\n\
                2: 0100007F:0036 00000000:0000 07 00000001:00000002 00:00000000\n";
    assert_eq!(udp_queues(text), Ok((0x11, 0x22)));
    assert!(udp_queues("head\n1: a b c").is_err());
    let text =
        "IP address HW type Flags HW address Mask Device\n192.0.2.1 0x1 0x2 02:fc:00:00:00:05 * eth0\n";
    assert_eq!(arp_devices(text).collect::<Vec<_>>(), ["eth0"]);
}

#[test]
fn columns_in_hexadecimal() {
    let text = "entries  found drop\n0000000a 1 0\n0000000a 2 f\n";
    let expected = vec![("entries".to_owned(), 20), ("found".to_owned(), 3), ("drop".to_owned(), 15)];
    assert_eq!(conntrack_stat(text), Ok(expected));
    assert_eq!(conntrack_stat("a\nx\n"), Err(error(2, "a hexadecimal number")));
    assert_eq!(softnet("00001837 0000000a\n"), Ok(vec![vec![0x1837, 10]]));
}

#[test]
fn pressure_of_some_and_all() {
    let text = "some avg10=0.00 avg60=0.10 avg300=0.00 total=144926539\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";
    assert_eq!(pressure(text), Ok(Pressure { some_us: Some(144_926_539), full_us: Some(5) }));
    assert_eq!(pressure("some avg10=0.00\n"), Err(error(1, "total=<number>")));
}

#[test]
fn scheduler_of_each_processor() {
    let text =
        "version 17\ntimestamp 4\ncpu0 0 0 0 0 0 0 2045936778163 343796328169 4767485306\ndomain0 3 1\n";
    let expected = vec![("0".to_owned(), [2_045_936_778_163, 343_796_328_169, 4_767_485_306])];
    assert_eq!(schedstat(text), Ok(expected));
    assert_eq!(schedstat("cpu0 1 2\n"), Err(error(1, "nine numbers")));
}

#[test]
fn distributions() {
    let text = "# a remark\nID=debian\nNAME=\"Debian \\\"GNU\\\"\"\nVERSION_ID='12'\nEMPTY=\nbroken\n";
    let expected = [("ID", "debian"), ("NAME", "Debian \"GNU\""), ("VERSION_ID", "12"), ("EMPTY", "")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(os_release(text), expected);
}

#[test]
fn processes_with_odd_names() {
    let text = "42 (a ) (b) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 4 0 12345 1000000 250 18446744073709551615\n";
    let expected =
        ProcessStat { cpu_ticks: 200, start_ticks: 12345, virtual_bytes: 1_000_000, resident_pages: 250 };
    assert_eq!(process_stat(text), Ok(expected));
    assert!(process_stat("42 (a) S 1").is_err());
    let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  4096  files\nMax address space  unlimited\n";
    assert_eq!(soft_limit(limits, "Max open files"), Some(1024.0));
    assert_eq!(soft_limit(limits, "Max address space"), Some(f64::INFINITY));
    assert_eq!(soft_limit(limits, "Max nothing"), None);
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "([a-z0-9:=.()\\\\ \n\t-]|cpu0 |Tcp: |some total=|\\\\040|é){0,60}") {
        let _ = (stat(&text), meminfo(&text), loadavg(&text), diskstats(&text), mounts(&text), net_dev(&text));
        let _ = (netstat(&text), snmp6(&text), sockstat(&text), pairs(&text), pressure(&text), softnet(&text));
        let _ = (conntrack_stat(&text), udp_queues(&text), schedstat(&text), os_release(&text), process_stat(&text));
        let _ = (soft_limit(&text, "a"), arp_devices(&text).count());
    }
}
