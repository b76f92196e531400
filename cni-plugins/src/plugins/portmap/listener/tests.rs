use super::*;

/// What the kernel shows on a little-endian machine: sshd on both families, a client, a server on 127.0.0.1.
const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 010200C0:9C40 020200C0:0050 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   3: 010200C0:9C41 020200C0:0050 06 00000000:00000000 00:00000000 00000000     0        0 0 1
   4: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 4 1
   5: 0000000000000000FFFF000001010A0A:0051 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 5 1
";

fn has(address: &str) -> bool {
    listed(TABLE.as_bytes(), address.parse().expect("address"), LISTENING).expect("read")
}

#[test]
#[cfg(target_endian = "little")]
fn listeners_are_told_from_clients_and_from_other_addresses() {
    for taken in ["0.0.0.0:22", "192.0.2.1:22", "0.0.0.0:8080", "127.0.0.1:8080", "0.0.0.0:80", "[::]:80"] {
        assert!(has(taken), "{taken}");
    }
    assert!(has("10.10.1.1:81") && has("0.0.0.0:81"), "a mapped address is one of IPv4");
    for free in
        ["192.0.2.1:8080", "0.0.0.0:40000", "0.0.0.0:40001", "[::]:22", "[2001:db8::1]:81", "0.0.0.0:23"]
    {
        assert!(!has(free), "{free}");
    }
}

#[test]
fn a_line_that_makes_no_sense_is_nobody() {
    for line in
        ["", "0:", "0: x y 0A", "0: 0000:0016 0 0A", "0: é0000000:0016 0 0A", "0: 00000000:99999 0 0A"]
    {
        let table = format!("header\n{line}\n");
        let wanted = "0.0.0.0:22".parse().expect("address");
        assert!(!listed(table.as_bytes(), wanted, LISTENING).expect("read"), "{line}");
    }
}
