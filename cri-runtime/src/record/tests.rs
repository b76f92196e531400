use super::*;

fn sandbox(id: &str) -> SandboxRecord {
    SandboxRecord {
        version: VERSION,
        id: id.to_owned(),
        created_at: 7,
        request: String::new(),
        handler: String::new(),
        config: PodSandboxConfig { hostname: "web".to_owned(), ..Default::default() },
        stage: SandboxStage::Ready,
        network: Network::Attached { ips: vec!["10.85.0.2".parse().unwrap()] },
        netns: None,
        pause: Some(ProcessId { pid: 12, start_time: 99 }),
        cgroup: "/orlop/a".to_owned(),
        pod_cgroup: None,
    }
}

#[test]
fn a_record_comes_back_as_it_was_put() {
    let dir = tempfile::tempdir().unwrap();
    let records = Records::open(dir.path().to_owned()).unwrap();
    records.put(&sandbox("a")).unwrap();
    let all: Vec<SandboxRecord> = records.all().unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].config.hostname, "web");
    assert_eq!(all[0].network, sandbox("a").network);
    records.remove::<SandboxRecord>("a").unwrap();
    records.remove::<SandboxRecord>("a").unwrap();
    assert!(records.all::<SandboxRecord>().unwrap().is_empty());
}

#[test]
fn a_record_that_was_damaged_in_any_way_is_left_aside_and_the_others_are_read() {
    let whole = serde_json::to_vec(&sandbox("bad")).unwrap();
    let other = serde_json::to_vec(&sandbox("other")).unwrap();
    let newer = serde_json::to_vec(&SandboxRecord { version: VERSION + 1, ..sandbox("bad") }).unwrap();
    for damaged in [&b""[..], &whole[..whole.len() / 2], b"{}", &other, &newer, &[0; 64]] {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path().to_owned()).unwrap();
        records.put(&sandbox("good")).unwrap();
        fs::write(dir.path().join("sandboxes/bad"), damaged).unwrap();
        let all: Vec<SandboxRecord> = records.all().unwrap();
        assert_eq!(all.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["good"]);
        assert!(dir.path().join("quarantine/bad").exists());
    }
}
